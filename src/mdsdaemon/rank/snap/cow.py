"""Copy on write: before something changes that a snapshot sees, what it sees is kept.

A directory, a file with several names and whatever a realm begins at keep their old versions with
themselves (`old_inodes`), so that there is one inode to be found from every name. Other files get a
dentry of their own beside the present one, `name_<last>`, with an inode that is not the head's. A
name that comes to lead elsewhere leaves such a dentry behind, too; where the inode keeps its
versions itself, that is a hard link.

`first` of an inode or dentry tells since when it is as it is: nothing is kept twice.

Behaviour: ceph/ceph, src/mds/MDCache.cc (journal_cow_dentry, cow_inode), src/mds/CInode.cc
(cow_old_inode) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.encoding import decode, encode
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.inode import Inode, OldInode
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.snap.snaps import Snaps


def copy_of(stored: Inode) -> Inode:
    """The same inode_t, sharing nothing."""
    return decode(Inode, encode(Inode, stored, FEATURES_PACIFIC))


def trim_ranges(stored: Inode, last: int) -> None:
    """Clients that were given a range after snapshot `last` have none in what it sees."""
    ranges = stored.client_ranges
    for client in [client for client, held in ranges.items() if held.follows >= last]:
        del ranges[client]


class Cow:
    """See the module."""

    def __init__(self, snaps: Snaps) -> None:
        self.snaps = snaps
        self.rank = snaps.rank

    def before_change(self, mut: Mutation, inode: CInode, follows: int = NOSNAP) -> None:
        """An inode is about to change.

        Args:
            follows: the change was made after this snapshot, and before the next; NOSNAP: after
                all of them.
        """
        if follows == NOSNAP:
            if inode.last != NOSNAP:
                return  # it is what it is for the snapshots that see it
            follows = self.snaps.newest
        if follows < inode.first:
            return
        dn = inode.parent
        if dn is None or (inode.is_multiversion and inode.last == NOSNAP):
            if self.snaps.realm_of(inode).has_snaps_in(inode.first, follows):
                self.keep_old(inode, follows)
            else:
                inode.first = follows + 1
        else:
            self._leave_primary(mut, dn, inode, follows)

    def before_relink(self, mut: Mutation, dn: CDentry) -> None:
        """A dentry is about to get or to lose what it leads to."""
        follows = self.snaps.newest
        if dn.last != NOSNAP:
            return
        inode = dn.inode
        if inode is None:
            if follows < dn.first:
                return
            if dn.is_null:
                dn.first = follows + 1
            else:
                self._leave_link(mut, dn, dn.remote_ino, dn.remote_d_type, follows)
        elif inode.is_multiversion:
            left = self._leave_link(mut, dn, inode.ino, inode.d_type, follows)
            if follows < inode.first:
                return
            realm = self.snaps.realm_of(inode)
            if left or realm.has_snaps_in(inode.first, follows):
                self.keep_old(inode, follows)
            else:
                inode.first = follows + 1
        else:
            self._leave_primary(mut, dn, inode, follows)

    def _leave_link(self, mut: Mutation, dn: CDentry, ino: int, d_type: int, follows: int) -> bool:
        """Leave a hard link for the snapshots that see the name; whether there are any."""
        first = dn.first
        if follows < first:
            return False
        dn.first = follows + 1
        if not self.snaps.realm_of(dn.dir.inode).has_snaps_in(first, follows):
            return False
        cache = self.rank.cache
        old = cache.add_dentry(dn.dir, dn.name, first, follows)
        cache.link_remote(old, ino, d_type, cache.get_inode(ino))
        old.alternate_name = dn.alternate_name
        mut.dentry(old)
        return True

    def _leave_primary(self, mut: Mutation, dn: CDentry, inode: CInode, follows: int) -> None:
        """Leave a dentry with its own inode for the snapshots that see the name."""
        first = dn.first
        if follows < first:
            return
        dn.first = follows + 1
        if not self.snaps.realm_of(dn.dir.inode).has_snaps_in(first, follows):
            inode.first = follows + 1
            return
        cache = self.rank.cache
        old = CInode(inode.ino, copy_of(inode.inode), inode.first, follows)
        old.xattrs, old.symlink = dict(inode.xattrs), inode.symlink
        old.store_tail, old.store_version = inode.store_tail, inode.store_version
        trim_ranges(old.inode, follows)
        inode.oldest_snap = min(inode.oldest_snap, inode.first)
        inode.first = follows + 1
        cache.add_inode(old)
        old_dn = cache.add_dentry(dn.dir, dn.name, first, follows)
        cache.link_primary(old_dn, old)
        old_dn.alternate_name, old_dn.store_tail = dn.alternate_name, dn.store_tail
        mut.snap_copy(old_dn)
        self.snaps.flushes.copied(mut, inode, old)

    def keep_old(self, inode: CInode, follows: int) -> None:
        """Note with an inode what it is now, for the snapshots up to `follows`."""
        old = OldInode(inode.first, copy_of(inode.inode), dict(inode.xattrs))
        trim_ranges(old.inode, follows)
        inode.old_inodes[follows] = old
        inode.oldest_snap = min(inode.oldest_snap, inode.first)
        inode.first = follows + 1


def old_version(inode: CInode, snapid: int) -> OldInode | None:
    """The old version that a snapshot sees, of those that the inode keeps."""
    for last in sorted(inode.old_inodes):
        if last >= snapid:
            old = inode.old_inodes[last]
            return old if old.first <= snapid else None
    return None


def is_seen_by(inode: CInode, snapid: int) -> bool:
    """Whether it is known what the inode is in a snapshot."""
    return inode.first <= snapid <= inode.last or old_version(inode, snapid) is not None
