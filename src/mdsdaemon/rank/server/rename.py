"""rename: over files, empty directories and hard links, within a directory and across.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_rename, _rename_prepare) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access, check_room
from mdsdaemon.rank.server.create import check_alternate_name
from mdsdaemon.rank.server.traverse import Place, inode_of, names_of, two_places
from mdsdaemon.rank.server.unlink import (
    drop_link,
    is_empty,
    move_to_stray,
    node_without,
    path_of_dentry,
    stray_place,
)
from mdsdaemon.rank.snap import nodes
from mdsdaemon.rank.snap.notify import announce_later

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server

_DOTS = {".", ".."}


def handle_rename(server: Server, req: MDRequest) -> None:
    """`path` is the new name, `path2` the old one."""
    rank = server.rank
    for path in (req.msg.path, req.msg.path2):
        names = names_of(path)
        if names and names[-1] in _DOTS:
            raise FsError(errno.EBUSY)
    alternate = check_alternate_name(req)
    dest, src = two_places(req)
    if src.is_free:
        raise FsError(errno.ENOENT)
    assert src.dentry is not None
    inode = inode_of(rank, src.dentry)
    if dest.dentry is src.dentry:
        server.respond(req, after=server.others_end(req.client))
        return
    if inode.is_dir and rank.cache.is_ancestor(inode, dest.diri):
        raise FsError(errno.EINVAL, "a directory cannot go below itself")
    old: CInode | None = None
    if not dest.is_free:
        assert dest.dentry is not None
        old = inode_of(rank, dest.dentry)
        _check_target(req, inode, old)
        if inode is old:
            # two names of one file: POSIX has both stay
            server.respond(req, after=server.others_end(req.client))
            return
        if dest.dentry.alternate_name != alternate:
            raise FsError(errno.EINVAL)
    stray = None
    if dest.dentry is not None and dest.dentry.inode is not None:
        stray = stray_place(req, dest.dentry.inode)
    _lock(req, src, dest, inode, old)

    check_access(req, src.diri, MAY_WRITE)
    check_access(req, dest.diri, MAY_WRITE)
    check_room(req, dest.directory)
    check_access(req, inode, MAY_WRITE)
    if old is not None and old.is_dir and not is_empty(rank, old):
        raise FsError(errno.ENOTEMPTY)
    if src.diri is not dest.diri and not rank.snaps.same_subvolume(src.diri, dest.diri):
        raise FsError(errno.EXDEV)

    node = nodes.when_moved(rank.snaps, inode, src.dentry, dest.diri)
    moves = src.dentry.inode is not None
    mut = req.mutation("rename")
    if old is not None:
        _displace(req, mut, dest, old, stray)
    dest.null_dentry(rank).alternate_name = alternate
    move(req, mut, src, dest, inode)
    new_realm = nodes.set_node(inode, node)
    server.journal_and_reply(req, mut, inode=inode, dentry=dest.dentry, changed=old)
    if new_realm and moves:
        announce_later(rank, inode)
    if old is not None:
        rank.strays.eval_stray(old)
    rank.store.maybe_fragment(dest.directory)
    if src.directory is not dest.directory:
        rank.store.maybe_fragment(src.directory)


def _check_target(req: MDRequest, inode: CInode, old: CInode) -> None:
    if old.is_dir and not is_empty(req.rank, old):
        raise FsError(errno.ENOTEMPTY)
    if old.is_dir and not inode.is_dir:
        raise FsError(errno.EISDIR)
    if not old.is_dir and inode.is_dir:
        raise FsError(errno.ENOTDIR)


def _lock(req: MDRequest, src: Place, dest: Place, inode: CInode, old: CInode | None) -> None:
    wr = [(dest.diri, "file"), (dest.diri, "nest")]
    if src.diri is not dest.diri:
        wr += [(src.diri, "file"), (src.diri, "nest")]
    x: list[tuple[object, str]] = [(src.dentry, "dn"), (inode, "link"), (inode, "snap")]
    if dest.dentry is not None:
        x.append((dest.dentry, "dn"))
    rd: list[tuple[object, str]] = []
    if old is not None:
        x += [(old, "link"), (old, "snap")]
        if old.is_dir:
            rd.append((old, "file"))
    req.rank.locker.acquire(req, rd=rd, wr=wr, x=x)


def _displace(req: MDRequest, mut: Mutation, dest: Place, old: CInode, stray: Place | None) -> None:
    """What has the new name now loses it."""
    dn = dest.dentry
    assert dn is not None
    path = path_of_dentry(req.rank, dn)
    node = node_without(req.rank, old, dn)
    if stray is not None:
        move_to_stray(mut, dn, stray)
    else:
        mut.unlink(dn)
    drop_link(req, mut, old, path)
    nodes.set_node(old, node)


def move(req: MDRequest, mut: Mutation, src: Place, dest: Place, inode: CInode) -> None:
    """The link goes from one name to the other, which leads nowhere."""
    srcdn, destdn = src.dentry, dest.dentry
    assert srcdn is not None
    assert destdn is not None
    if inode.is_dir:
        mut.blob.renamed_dirino = inode.ino
    if srcdn.inode is not None:
        mut.unlink(srcdn)
        mut.link_primary(destdn, inode)
        mut.backtrace(inode)
    else:
        ino, d_type = srcdn.remote_ino, srcdn.remote_d_type
        mut.unlink(srcdn)
        mut.link_remote(destdn, ino, d_type, inode)
        mut.inode(inode)
    req.touch_ctime(inode)
