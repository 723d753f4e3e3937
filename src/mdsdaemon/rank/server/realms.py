"""Realms that requests make without a snapshot: for a quota, or for a subvolume.

Clients find the directory whose quota holds for a file by way of the realms around it.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_set_vxattr), src/mds/CInode.cc (prepare_new_srnode),
src/mds/MDCache.cc (do_realm_invalidate_and_update_notify) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.snap import nodes
from mdsdaemon.types.snap import SnapRealm

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mutation import Mutation


def set_node(mut: Mutation, inode: CInode, node: SnapRealm) -> None:
    """Store a realm with an inode."""
    mut.inode(inode)
    nodes.set_node(inode, node)


def make_realm(mut: Mutation, inode: CInode) -> SnapRealm:
    """A realm without snapshots begins at this directory."""
    snaps = mut.rank.snaps
    node = nodes.new_node(snaps, inode, snaps.newest_seq(inode))
    set_node(mut, inode, node)
    return node


def is_subvolume(inode: CInode) -> bool:
    """Whether the directory is one."""
    node = nodes.node_of(inode)
    return node is not None and bool(node.flags & SnapRealm.SUBVOLUME)
