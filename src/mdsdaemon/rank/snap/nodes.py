"""What becomes of the realm that begins at an inode, when its names change.

What leaves a realm takes along which of its snapshots see it (`past_parent_snaps`). What has hard
links has the global realm around it, `last_destroyed` then tells since when its own dentry is
where it is.

All functions here compute; whoever changes the tree stores the result with `set_node`.

Behaviour: ceph/ceph, src/mds/CInode.cc (prepare_new_srnode, record_snaprealm_past_parent,
record_snaprealm_parent_dentry, mark_snaprealm_global), src/mds/Server.cc (_link_local,
handle_client_unlink, handle_client_rename) (Pacific)
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from mdsdaemon.encoding import decode, encode
from mdsdaemon.types.snap import SnapRealm

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.snap.realm import GlobalRealm, Realm
    from mdsdaemon.rank.snap.snaps import Snaps


def oldest_snap(inode: CInode) -> int:
    """The first snapshot that may see the inode."""
    first = min((old.first for old in inode.old_inodes.values()), default=inode.first)
    return min(first, inode.oldest_snap)


def node_of(inode: CInode) -> SnapRealm | None:
    """What is stored of the realm that begins at an inode, to be changed; None: none does."""
    return decode(SnapRealm, inode.snaprealm_blob, partial=True) if inode.snaprealm_blob else None


def new_node(snaps: Snaps, inode: CInode, seq: int = 0) -> SnapRealm:
    """What would be stored of a realm that begins at an inode: of one that does not begin yet."""
    seq = seq or snaps.newest
    return SnapRealm(seq=seq, created=seq, current_parent_since=oldest_snap(inode))


def set_node(inode: CInode, node: SnapRealm | None) -> bool:
    """Put a realm to an inode, announced, that changes; whether it begins by that."""
    if node is None:
        return False
    new = not inode.snaprealm_blob
    inode.snaprealm_blob = encode(SnapRealm, node)
    return new


def is_global(inode: CInode) -> bool:
    """Whether all snapshots of the file system hold for the inode."""
    node = node_of(inode)
    return node is not None and bool(node.flags & SnapRealm.PARENT_GLOBAL)


# -- occasions -------------------------------------------------------------------------------


def when_linked(snaps: Snaps, inode: CInode) -> SnapRealm | None:
    """A file gets another name."""
    dn = inode.parent
    if dn is None or is_global(inode):
        return None
    around = snaps.realm_of(dn.dir.inode)
    if snaps.subvolume_ino(around):
        return None
    node = node_of(inode) or new_node(snaps, inode)
    node.last_destroyed = node.current_parent_since
    node.current_parent_since = snaps.newest + 1
    node.flags |= SnapRealm.PARENT_GLOBAL
    _note_dentry(snaps, node, around, dn, primary=True)
    return node


def when_unlinked(snaps: Snaps, inode: CInode, dn: CDentry, stray_realm: Realm) -> SnapRealm | None:
    """An inode loses a name; by its last one it becomes a stray."""
    primary = dn.inode is not None
    node = node_of(inode)
    if node is not None and node.flags & SnapRealm.PARENT_GLOBAL:
        _note_dentry(snaps, node, snaps.realm_of(dn.dir.inode), dn, primary=primary)
        nlink = inode.inode.nlink
        if nlink == 1 or (nlink == 2 and not primary and not inode.is_stray):
            _clear_global(snaps, node)
        return node
    if not primary:
        return None
    follows = snaps.realm_of(inode).newest_seq()
    if node is None and follows + 1 <= oldest_snap(inode):
        return None
    node = node or new_node(snaps, inode, follows)
    _note_parent(snaps, node, inode, stray_realm)
    return node


def when_moved(snaps: Snaps, inode: CInode, dn: CDentry, to: CInode) -> SnapRealm | None:
    """A name of an inode becomes another one, in directory `to`."""
    source, target = snaps.realm_of(dn.dir.inode), snaps.realm_of(to)
    primary = dn.inode is not None
    node = node_of(inode)
    if node is not None and node.flags & SnapRealm.PARENT_GLOBAL:
        _note_dentry(snaps, node, source, dn, primary=primary)
        return node
    if not primary or source is target:
        return None
    follows = source.newest_seq()
    if node is None and follows + 1 <= oldest_snap(inode):
        return None
    node = node or new_node(snaps, inode, follows)
    _note_parent(snaps, node, inode, target)
    return node


def when_taken_in(snaps: Snaps, inode: CInode, dn: CDentry) -> SnapRealm | None:
    """A stray that has hard links becomes one of them its own name, `dn`."""
    node = node_of(inode)
    if node is None or not node.flags & SnapRealm.PARENT_GLOBAL or inode.inode.nlink != 1:
        return None
    _note_dentry(snaps, node, snaps.realm_of(dn.dir.inode), dn, primary=False)
    _clear_global(snaps, node)
    return node


# -- parts -----------------------------------------------------------------------------------


def _note_parent(snaps: Snaps, node: SnapRealm, inode: CInode, to: Realm) -> None:
    """The realm around it will be another: note which snapshots of the old one see it."""
    realm: Realm | GlobalRealm | None = snaps.realm_of(inode)
    if inode.snaprealm_blob and realm is not None:
        realm = realm.parent
    if realm is None or realm is to:
        return
    seq = realm.newest_seq()
    if seq + 1 > node.current_parent_since:
        held = realm.get_snaps()
        node.past_parent_snaps.update(held[bisect_left(held, node.current_parent_since) :])
        node.seq = max(node.seq, seq)
    node.current_parent_since = snaps.newest + 1


def _note_dentry(
    snaps: Snaps, node: SnapRealm, around: Realm, dn: CDentry, *, primary: bool
) -> None:
    """A name of what has hard links is about to change: note which snapshots see it by that."""
    held = around.get_snaps()
    since = node.last_destroyed if primary else dn.first
    node.past_parent_snaps.update(held[bisect_left(held, since) :])
    if primary:
        node.last_destroyed = snaps.newest + 1


def _clear_global(snaps: Snaps, node: SnapRealm) -> None:
    node.current_parent_since, node.last_destroyed = node.last_destroyed, 0
    node.seq = snaps.newest
    node.flags &= ~SnapRealm.PARENT_GLOBAL
