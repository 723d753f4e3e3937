"""What a reply tells: the trace of directory, name and inode, with capabilities and leases.

Behaviour: ceph/ceph, src/mds/Server.cc (set_trace_dist), src/mds/CInode.cc (encode_inodestat)
(Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.messages.client_reply import MClientReply, Trace, set_trace
from mdsdaemon.rank.locks.issue import NO_CAP
from mdsdaemon.types.client_stat import (
    CDIR_AUTH_PARENT,
    CEPHFS_FEATURE_REPLY_ENCODING,
    STRUCT_REPLIES,
    DirStat,
    InodeStat,
    ReplyEncoding,
    encode_xattrs,
    reply_encoding,
)
from mdsdaemon.types.inode import INLINE_NONE
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.session import Session

_NO_XATTRS = bytes(4)


def encoding_for(session: Session) -> ReplyEncoding:
    """How the parts of a reply are written for a client."""
    if session.info.client_metadata.features.test(CEPHFS_FEATURE_REPLY_ENCODING):
        return STRUCT_REPLIES
    connection = session.connection
    features = 0 if connection is None else connection.features
    return reply_encoding(session.info.client_metadata.features, features)


def inode_stat(
    rank: RankCore,
    session: Session,
    inode: CInode,
    snapid: int = NOSNAP,
    getattr_caps: int = 0,
    *,
    with_cap: bool = True,
) -> InodeStat:
    """An inode as a client is told of it, with the capability that it gets by that.

    Args:
        getattr_caps: what the client has asked for: it gets xattrs and inline data if these say so.
        with_cap: False: nothing is issued.
    """
    stored, xattrs = inode.inode, inode.xattrs
    client: int = session.name.num
    locker = rank.locker
    cap = locker.reply_cap(inode, session, snapid) if with_cap or snapid != NOSNAP else NO_CAP
    if snapid == NOSNAP:
        xattr_version, inline_version = locker.reply_news(inode, client, getattr_caps)
    else:
        stored, xattrs = rank.snaps.as_of(inode, snapid)
        xattr_version, inline_version = stored.xattr_version, stored.inline_data.version
    xattrbl = b""
    if xattr_version:
        xattrbl = encode_xattrs(xattrs) if xattrs else _NO_XATTRS
    inline_data = b""
    if inline_version and inline_version != INLINE_NONE:
        inline_data = stored.inline_data.data

    dirstat, rstat = stored.dirstat, stored.rstat
    max_size = locker.max_size_for(inode, client) if stored.client_ranges else 0
    stat = InodeStat(
        stored.ino,
        snapid,
        stored.rdev,
        2 * stored.version,
        xattr_version,
        cap,
        stored.layout,
        stored.ctime,
        stored.mtime,
        stored.atime,
        stored.time_warp_seq,
        stored.size,
        max_size,
        stored.truncate_size,
        stored.truncate_seq,
        stored.mode,
        stored.uid,
        stored.gid,
        stored.nlink,
        dirstat.nfiles,
        dirstat.nsubdirs,
        rstat.rbytes,
        rstat.rfiles,
        rstat.rsubdirs,
        rstat.rctime,
        inode.dirfragtree,
        inode.symlink,
        stored.dir_layout,
        xattrbl,
        inline_version,
        inline_data,
        stored.quota,
        stored.layout.pool_ns,
        stored.btime,
        stored.change_attr,
        stored.export_pin,
        0,
        rstat.rsnaps,
    )
    stat.fscrypt = stored.fscrypt
    if snapid != NOSNAP:
        stat.snap_btime, stat.snap_metadata = rank.snaps.snap_info(inode, snapid)
    return stat


def dir_stat(directory: CDir) -> DirStat:
    """Which fragment it is; where a subtree begins it says whose."""
    return DirStat(directory.frag, 0 if directory.inode.is_base else CDIR_AUTH_PARENT)


def put_trace(req: MDRequest, reply: MClientReply, inode: CInode | None, dn: CDentry | None) -> int:
    """Tell of a directory with a name in it, and of an inode.

    Returns:
        Where the journal must be safe before the client may know of it.
    """
    rank, session, snapid = req.rank, req.session, req.snapid
    trace = Trace()
    follow = 0
    must_follow = rank.sessions.must_follow
    if dn is not None:
        directory = dn.dir
        diri = directory.inode
        follow = must_follow(req.client, diri, directory, dn)
        trace.dir = inode_stat(rank, session, diri, snapid)
        trace.dirfrag = dir_stat(directory)
        trace.dname = dn.name
        trace.lease = rank.locker.lease(dn, session, snapid)
    if inode is not None:
        flushing_end = rank.locker.flushing_end(inode, req.client)
        follow = max(follow, must_follow(req.client, inode), flushing_end)
        trace.target = inode_stat(rank, session, inode, snapid, req.getattr_caps)
    if snapid == NOSNAP:
        realm_of = inode
        if realm_of is None:
            assert dn is not None
            realm_of = dn.dir.inode
        reply.snapbl = rank.snaps.realm_trace(realm_of)
    set_trace(reply, encoding_for(session), trace)
    return follow
