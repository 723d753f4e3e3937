"""What no snapshot sees any more leaves the directories that keep it.

A fragment notes up to which removal of a snapshot it was cleaned (`snap_purged_thru`). It is
cleaned when it is read, and what is stored anew is cleaned when it is.

Behaviour: ceph/ceph, src/mds/CInode.cc (purge_stale_snap_data), src/mds/CDir.cc
(try_trim_snap_dentry, _omap_fetched, _omap_commit) (Pacific)
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.snap.snaps import Snaps


def is_seen(live: list[int], first: int, last: int) -> bool:
    """Whether one of these snapshots (in order) lies between the two."""
    at = bisect_left(live, first)
    return at < len(live) and live[at] <= last


def purge_old_inodes(inode: CInode, live: list[int]) -> bool:
    """Drop the old versions that no snapshot sees; whether there were any."""
    gone = [last for last, old in inode.old_inodes.items() if not is_seen(live, old.first, last)]
    for last in gone:
        del inode.old_inodes[last]
    return bool(gone)


class Purger:
    """See the module."""

    def __init__(self, snaps: Snaps) -> None:
        self.snaps = snaps

    def live_snaps(self, directory: CDir) -> tuple[int, list[int]] | None:
        """The newest removal of a snapshot, and the snapshots that hold for a fragment; None: it
        has nothing of removed ones.
        """
        snaps = self.snaps
        if not snaps.recovered:
            return None  # the table is not yet what it was
        destroyed = snaps.table.state.last_destroyed
        if directory.fnode.snap_purged_thru >= destroyed:
            return None
        return destroyed, snaps.realm_of(directory.inode).get_snaps()

    def tidy_base(self, inode: CInode) -> None:
        """Root or mdsdir is about to be stored: drop old versions."""
        if self.snaps.recovered:
            purge_old_inodes(inode, self.snaps.realm_of(inode).get_snaps())

    def cleaned(self, directory: CDir, known: tuple[int, list[int]] | None) -> None:
        """A fragment is about to be stored: note if nothing of removed snapshots is left in it."""
        if known is not None and directory.complete and not directory.snap_items:
            directory.fnode.snap_purged_thru = known[0]

    def tidy(self, directory: CDir, dn: CDentry, known: tuple[int, list[int]] | None) -> bool:
        """A dentry is about to be stored: drop old versions; False: it is not to be stored at all.

        Args:
            known: what `live_snaps` tells of its fragment.
        """
        live = None if known is None else known[1]
        if dn.last != NOSNAP:
            if live is None or is_seen(live, dn.first, dn.last) or dn.pins:
                return True
            return dn.inode is not None and bool(dn.inode.pins)
        inode = dn.inode
        if inode is not None and inode.old_inodes and self.snaps.recovered:
            if inode.snaprealm_blob:
                purge_old_inodes(inode, self.snaps.realm_of(inode).get_snaps())
            elif live is not None:
                purge_old_inodes(inode, live)
        return True
