"""Realms that requests make without a snapshot: for a quota, or for a subvolume.

Clients find the directory whose quota holds for a file by way of the realms around it.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_set_vxattr), src/mds/CInode.cc (prepare_new_srnode),
src/mds/MDCache.cc (do_realm_invalidate_and_update_notify) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.encoding import decode, encode
from mdsdaemon.messages.client_misc import MClientSnap
from mdsdaemon.types.client_ops import SnapOp
from mdsdaemon.types.snap import SnapRealm

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.mutation import Mutation


def oldest_snap(inode: CInode) -> int:
    """The first snapshot that may see the inode."""
    first = min((old.first for old in inode.old_inodes.values()), default=inode.first)
    return min(first, inode.oldest_snap)


def node_of(inode: CInode) -> SnapRealm | None:
    """What is stored of the realm that begins at an inode; None: none does."""
    return decode(SnapRealm, inode.snaprealm_blob, partial=True) if inode.snaprealm_blob else None


def set_node(mut: Mutation, inode: CInode, node: SnapRealm) -> None:
    """Store a realm with an inode that is announced."""
    mut.inode(inode)
    inode.snaprealm_blob = encode(SnapRealm, node)


def make_realm(mut: Mutation, inode: CInode) -> SnapRealm:
    """A realm without snapshots begins at this directory."""
    seq = mut.rank.snaps.newest_seq(inode)
    node = SnapRealm(seq=seq, created=seq, current_parent_since=oldest_snap(inode))
    set_node(mut, inode, node)
    return node


def is_subvolume(inode: CInode) -> bool:
    """Whether the directory is one."""
    node = node_of(inode)
    return node is not None and bool(node.flags & SnapRealm.SUBVOLUME)


def subvolume_of(inode: CInode) -> CInode | None:
    """The subvolume that an inode is in; itself, if it is one."""
    at: CInode | None = inode
    while at is not None:
        if is_subvolume(at):
            return at
        at = at.parent.dir.inode if at.parent is not None else None
    return None


def announce(rank: RankCore, inode: CInode, after: int, *, new: bool) -> None:
    """Tell the clients that have something below a directory of its realm.

    Args:
        after: not before the journal is safe up to there.
        new: the realm has come to be; what is below leaves the realm above for it.
    """
    holders: dict[int, object] = {}
    inos: list[int] = []
    realms: list[int] = []
    for one in rank.cache.inodes.values():
        if not one.caps and not one.snaprealm_blob:
            continue
        realm = _realm_below(one, inode)
        if realm is None:
            continue
        if one.caps:
            for client, cap in one.caps.items():
                holders[client] = cap.session
            if realm is inode:
                inos.append(one.ino)
        if one.snaprealm_blob and one is not inode and _outer(one) is inode:
            realms.append(one.ino)
    trace = rank.snaps.realm_trace(inode)
    for session in holders.values():
        msg = MClientSnap(op=SnapOp.SPLIT if new else SnapOp.UPDATE, trace=trace)
        if new:
            msg.split, msg.split_inos, msg.split_realms = inode.ino, list(inos), list(realms)
        session.send(msg, after)  # type: ignore[attr-defined]


def _realm_below(inode: CInode, top: CInode) -> CInode | None:
    """Where the realm of an inode begins, if it lies below `top`."""
    realm: CInode | None = None
    at: CInode | None = inode
    while at is not None:
        if realm is None and at.snaprealm_blob:
            realm = at
        if at is top:
            return realm
        at = at.parent.dir.inode if at.parent is not None else None
    return None


def _outer(inode: CInode) -> CInode | None:
    """Where the realm around one begins."""
    at = inode.parent.dir.inode if inode.parent is not None else None
    while at is not None and at.parent is not None and not at.snaprealm_blob:
        at = at.parent.dir.inode
    return at
