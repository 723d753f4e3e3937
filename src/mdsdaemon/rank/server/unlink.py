"""unlink and rmdir.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_unlink, _unlink_local, _dir_is_nonempty,
prepare_stray_dentry) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access, check_room
from mdsdaemon.rank.server.traverse import Place, inode_of, place_for
from mdsdaemon.rank.snap import nodes
from mdsdaemon.types.client_ops import MdsOp

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server
    from mdsdaemon.types.snap import SnapRealm


def is_empty(rank: RankCore, inode: CInode) -> bool:
    """Whether a directory has no entries and is in no snapshot."""
    stat = inode.inode.dirstat
    if stat.nfiles or stat.nsubdirs:
        return False
    for directory in inode.dirs.values():
        held = directory.fnode.fragstat
        if held.nfiles or held.nsubdirs:
            return False
        # what the sums say must hold, or files would be lost with the directory
        if any(not dn.is_null for dn in directory.items.values()):
            return False
    return not (rank.snaps.any_snapshots and rank.snaps.has_snapshots(inode))


def stray_place(req: MDRequest, inode: CInode) -> Place:
    """Where an inode goes that loses its name: its number is its name there.

    Raises:
        MustWait: until it is known.
        FsError: ENOSPC: there is no room.
    """
    rank = req.rank
    name = f"{inode.ino:x}"
    strays = rank.strays.stray_dir_inode()
    directory = rank.store.dir_for(strays, name)
    if not req.is_replay:
        check_room(req, directory)
    dn = rank.store.lookup(strays, name)
    place = Place(strays, directory, name, dn)
    if not place.is_free:
        raise FsError(errno.EIO, f"there is a stray {name} already")
    return place


def move_to_stray(mut: Mutation, dn: CDentry, stray: Place) -> CInode:
    """The primary dentry becomes null, its inode a stray."""
    straydn = stray.null_dentry(mut.rank)
    # a replay has to come to the stray first: it must not lose sight of the inode
    mut.dentry(straydn)
    inode = mut.unlink(dn)
    assert inode is not None
    mut.link_primary(straydn, inode)
    mut.backtrace(inode)
    straydn.touched = False
    return inode


def drop_link(req: MDRequest, mut: Mutation, inode: CInode, prior_path: str) -> None:
    """The inode has a name less."""
    stored = mut.inode(inode)
    stored.stray_prior_path = prior_path
    stored.nlink -= 1
    req.touch_ctime(inode)


def path_of_dentry(rank: RankCore, dn: CDentry) -> str:
    """The path of a name from the root."""
    above = rank.cache.path_of(dn.dir.inode)
    return f"{above}{dn.name}" if above.endswith("/") else f"{above}/{dn.name}"


def node_without(rank: RankCore, inode: CInode, dn: CDentry) -> SnapRealm | None:
    """The realm of an inode that is about to lose this name."""
    mydir = rank.cache.mydir
    assert mydir is not None
    return nodes.when_unlinked(rank.snaps, inode, dn, rank.snaps.realm_of(mydir))


def handle_unlink(server: Server, req: MDRequest) -> None:
    """Take a name away; an inode without names stays a stray while it is open or in a snapshot."""
    rank = server.rank
    is_rmdir = req.op == MdsOp.RMDIR
    place = place_for(req, req.msg.path, create=False, may_exist=True)
    dn = place.dentry
    assert dn is not None
    inode = inode_of(rank, dn)
    if inode.is_dir:
        if not is_rmdir:
            raise FsError(errno.EISDIR)
        if not is_empty(rank, inode):
            raise FsError(errno.ENOTEMPTY)
    elif is_rmdir:
        raise FsError(errno.ENOTDIR)
    check_access(req, place.diri, MAY_WRITE)
    stray = stray_place(req, inode) if dn.inode is not None else None
    rank.locker.acquire(
        req,
        rd=((inode, "file"),) if inode.is_dir else (),
        wr=((place.diri, "file"), (place.diri, "nest")),
        x=((dn, "dn"), (inode, "link"), (inode, "snap")),
    )
    if inode.is_dir and not is_empty(rank, inode):
        raise FsError(errno.ENOTEMPTY)

    node = node_without(rank, inode, dn)
    mut = req.mutation("unlink_local")
    path = path_of_dentry(rank, dn)
    if stray is not None:
        move_to_stray(mut, dn, stray)
    else:
        mut.unlink(dn)
    drop_link(req, mut, inode, path)
    nodes.set_node(inode, node)
    if inode.is_dir:
        mut.blob.renamed_dirino = inode.ino
    server.journal_and_reply(req, mut, dentry=dn, changed=inode)
    rank.strays.eval_stray(inode)
    rank.store.maybe_fragment(place.directory)
