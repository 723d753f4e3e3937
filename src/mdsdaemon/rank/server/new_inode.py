"""Making an inode: its number, owner, mode, layout and times.

Behaviour: ceph/ceph, src/mds/Server.cc (prepare_new_inode), src/mds/MDCache.cc
(gen_default_file_layout) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.cache.lean import NO_ENTRIES, NO_HASH, NO_INLINE, NO_QUOTA, NO_TREE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.types.features import MDS_INLINE_DATA, has
from mdsdaemon.types.inode import S_IFDIR, S_IFMT, InlineData, Inode, XAttrs
from mdsdaemon.types.layout import DirLayout, FileLayout
from mdsdaemon.types.stats import NestInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.traverse import Place

S_ISGID = 0o2000
DEFAULT_OBJECT = 1 << 22
NO_TRUNCATION = 2**64 - 1


def default_layout(rank: RankCore) -> FileLayout:
    """Of files below directories that say nothing else: a new one each time."""
    return FileLayout(DEFAULT_OBJECT, 1, DEFAULT_OBJECT, rank.mdsmap.get_first_data_pool())


def has_layout(stored: Inode) -> bool:
    """Whether a directory says how files below it lie."""
    layout = stored.layout
    return bool(
        layout.stripe_unit
        or layout.object_size
        or layout.stripe_count
        or layout.pool_id >= 0
        or layout.pool_ns
    )


def copy_layout(layout: FileLayout) -> FileLayout:
    """The same, to be changed."""
    return FileLayout(
        layout.stripe_unit,
        layout.stripe_count,
        layout.object_size,
        layout.pool_id,
        layout.pool_ns,
    )


def inherited_layout(rank: RankCore, diri: CInode) -> FileLayout:
    """The layout of new files in a directory, to be changed: its own, or that of the next above."""
    at: CInode | None = diri
    while at is not None:
        if has_layout(at.inode):
            return copy_layout(at.inode.layout)
        at = at.parent.dir.inode if at.parent is not None else None
    return default_layout(rank)


def new_xattrs(data: bytes) -> dict[str, bytes]:
    """The attributes that a client gives a new inode.

    Raises:
        FsError: EINVAL: they are not a map of names and values.
    """
    if not data:
        return {}
    try:
        return decode(XAttrs, data)
    except DecodeError as error:
        raise FsError(errno.EINVAL, str(error)) from error


def new_inode(
    req: MDRequest,
    mut: Mutation,
    place: Place,
    mode: int,
    layout: FileLayout | None,
    xattrs: dict[str, bytes],
) -> CInode:
    """An inode for this name, in the cache and without a dentry. Changes the cache.

    Args:
        layout: of a file; None: the default.
    """
    rank, msg = req.rank, req.msg
    ino = rank.inotable.take_ino(mut, req.session, msg.ino)
    req.created = ino
    parent = place.diri.inode
    gid = msg.caller_gid
    if parent.mode & S_ISGID:
        gid = parent.gid
        if mode & S_IFMT == S_IFDIR:
            mode |= S_ISGID
    stamp = req.stamp
    is_dir = mode & S_IFMT == S_IFDIR
    stored = Inode(
        ino=ino,
        ctime=stamp,
        mode=mode,
        uid=msg.caller_uid,
        gid=gid,
        nlink=1,
        truncate_seq=1,
        truncate_size=NO_TRUNCATION,
        mtime=stamp,
        atime=stamp,
        btime=stamp,
        xattr_version=1,
    )
    if is_dir:
        stored.dir_layout = DirLayout(rank.config.get_int("mds_default_dir_hash"))
        stored.rstat = NestInfo(rsubdirs=1)
    else:
        stored.layout = layout if layout is not None else default_layout(rank)
        stored.rstat = NestInfo(rfiles=1)
        stored.dirstat, stored.dir_layout, stored.quota = NO_ENTRIES, NO_HASH, NO_QUOTA
    if "encryption.ctx" in xattrs:
        stored.fscrypt = True
    stored.inline_data = InlineData(1) if _keeps_inline(req) else NO_INLINE
    inode = CInode(ino=ino, inode=stored, first=place.null_dentry(rank).first)
    inode.xattrs = xattrs
    if not is_dir:
        inode.dirfragtree = NO_TREE
    return rank.cache.add_inode(inode)


def _keeps_inline(req: MDRequest) -> bool:
    if not req.rank.mdsmap.inline_data_enabled:
        return False
    connection = req.session.connection
    return connection is not None and has(connection.features, MDS_INLINE_DATA)
