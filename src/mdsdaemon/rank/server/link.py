"""link: another name for a file.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_link, _link_local) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access, check_room
from mdsdaemon.rank.server.create import check_alternate_name
from mdsdaemon.rank.server.traverse import (
    Place,
    base_inode,
    inode_of,
    names_of,
    place_for,
    two_places,
)
from mdsdaemon.rank.snap import nodes
from mdsdaemon.rank.snap.notify import announce_later

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server


def handle_link(server: Server, req: MDRequest) -> None:
    """`path` is the new name, `path2` what it shall lead to: an inode, or a name."""
    rank = server.rank
    place, target = _places(req)
    alternate = check_alternate_name(req)
    if target.is_dir:
        raise FsError(errno.EINVAL, "a directory has one name")
    x: list[tuple[object, str]] = [(target, "snap"), (target, "link")]
    if place.dentry is not None:
        x.append((place.dentry, "dn"))
    diri = place.diri
    rank.locker.acquire(req, wr=((diri, "file"), (diri, "nest")), x=x)
    if target.inode.nlink == 0:
        raise FsError(errno.ENOENT, "it is unlinked")
    check_access(req, target, MAY_WRITE)
    check_access(req, diri, MAY_WRITE)
    check_room(req, place.directory)
    above = target.parent.dir.inode if target.parent is not None else target
    if not rank.snaps.same_subvolume(above, diri):
        raise FsError(errno.EXDEV)

    node = nodes.when_linked(rank.snaps, target)
    mut = req.mutation("link_local")
    dn = place.null_dentry(rank)
    dn.alternate_name = alternate
    stored = mut.inode(target)
    stored.nlink += 1
    req.touch_ctime(target)
    nodes.set_node(target, node)
    mut.link_remote(dn, target.ino, target.d_type, target)
    server.journal_and_reply(req, mut, inode=target, dentry=dn)
    if node is not None:
        announce_later(rank, target)
    rank.store.maybe_fragment(place.directory)


def _places(req: MDRequest) -> tuple[Place, CInode]:
    rank = req.rank
    if not names_of(req.msg.path2):
        target = base_inode(rank, req.msg.path2.ino)
        if target.parent is None:
            raise FsError(errno.EINVAL, "it has no name")
        return place_for(req, req.msg.path, create=False, may_exist=False), target
    place, source = two_places(req)
    if source.is_free:
        raise FsError(errno.ENOENT)
    if not place.is_free:
        raise FsError(errno.EEXIST)
    assert source.dentry is not None
    return place, inode_of(rank, source.dentry)
