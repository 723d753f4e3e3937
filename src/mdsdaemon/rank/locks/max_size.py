"""How far clients may write in a file, and what they are told when its size changes.

The journal knows a range for each client that may write: whoever takes over after a failure looks
up to there for data of clients that have not come back. So a range is grown in the journal first.

Behaviour: ceph/ceph, src/mds/Locker.cc (check_inode_max_size, calc_new_client_ranges,
share_inode_max_size, issue_truncate) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.locks.acquire import LockTaker
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.types.client_caps import CAP_ANY_FILE_WR
from mdsdaemon.types.client_ops import CapOp
from mdsdaemon.types.inode import ClientWriteableRange, Inode
from mdsdaemon.types.journal import EOpen

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.locks.capability import Capability
    from mdsdaemon.rank.locks.inode_locks import InodeLocks

MAX_SIZE = (1 << 63) - 1
"""No file is larger, whatever a client says."""


class MaxSize(LockTaker):
    """See the module."""

    def new_max_size(self, stored: Inode, size: int) -> int:
        """How far a client may write without asking, when the file is `size` bytes long."""
        period = stored.layout.period
        if not period:
            return 0
        most = (size + 1) << 1
        objects = self.rank.config.get_int("mds_client_writeable_range_max_inc_objs")
        if objects > 0:
            most = min(most, size + objects * stored.layout.object_size)
        return min(-(-most // period) * period, MAX_SIZE)

    def _ranges(self, inode: CInode, size: int) -> dict[int, int]:
        """By client that may write or wishes to: how far."""
        most = self.new_max_size(inode.inode, size)
        had = inode.inode.client_ranges
        found: dict[int, int] = {}
        for client, cap in (inode.caps or {}).items():
            if (cap.issued | cap.wanted) & CAP_ANY_FILE_WR:
                old = had.get(client)
                found[client] = most if old is None else max(most, old.last)
        return found

    def _set_ranges(self, inode: CInode, ranges: dict[int, int]) -> bool:
        """Put the ranges into the inode, which was announced; whether one has grown."""
        stored = inode.inode
        had = stored.client_ranges
        safe = inode.pos <= self.rank.mdlog.safe_pos
        grown = False
        for client, last in ranges.items():
            old = had.get(client)
            cap: Capability | None = (inode.caps or {}).get(client)
            if cap is not None:
                cap.writeable = True
                if safe:
                    cap.safe_max = 0 if old is None else old.last
            if old is None:
                had[client] = ClientWriteableRange(0, last, inode.first - 1)
                grown = True
            elif last != old.last:
                grown = grown or last > old.last
                had[client] = ClientWriteableRange(0, last, old.follows)
        for client in [client for client in had if client not in ranges]:
            del had[client]
            cap = (inode.caps or {}).get(client)
            if cap is not None:
                cap.writeable = False
        return grown

    def adjust_client_ranges(self, inode: CInode, size: int) -> bool:
        """The size is set within a change of the inode, which was announced: whether the ranges
        have changed, so that `share_when_safe` is due.
        """
        ranges = self._ranges(inode, size)
        if ranges == {client: held.last for client, held in inode.inode.client_ranges.items()}:
            return False
        self._set_ranges(inode, ranges)
        return True

    def check_max_size(
        self,
        inode: CInode,
        *,
        wanted: int = 0,
        size: int = 0,
        mtime: int = 0,
        force: bool = False,
    ) -> bool:
        """Bring the ranges in line with who may write, in an event of its own; whether it was due.

        Args:
            wanted: a maximum that a client has asked for.
            size, mtime: found out by looking at the objects; 0: nothing new.
            force: whatever the file lock is.
        """
        stored = inode.inode
        new_size, new_mtime = max(size, stored.size), max(mtime, stored.mtime)
        resized = size > 0 and (new_size != stored.size or new_mtime != stored.mtime)
        ranges = self._ranges(inode, max(wanted, new_size if size else stored.size))
        had = {client: held.last for client, held in stored.client_ranges.items()}
        if not force:
            for client, last in list(ranges.items()):
                if last > had.get(client, 0) and not self._may_grow(inode, client):
                    locks = self.locks_of(inode)
                    locks.max_size = max(locks.max_size, wanted, 1)
                    if client in had:
                        ranges[client] = had[client]
                    else:
                        del ranges[client]
        if not resized and ranges == had:
            return False
        event = EOpen(inos=[inode.ino]) if self.is_any_wanted(inode) else None
        # nobody's own change: not even the client may use a new range before it is safe
        mut = Mutation(self.rank, "check_inode_max_size", stamp=self.rank.now())
        mut.inode(inode, 0)
        grown = self._set_ranges(inode, ranges)
        if resized:
            stored.size = stored.rstat.rbytes = new_size
            stored.mtime = new_mtime
            if new_mtime > stored.ctime:
                stored.ctime = new_mtime
                stored.rstat.rctime = max(stored.rstat.rctime, new_mtime)
        end = mut.submit(event)
        if grown or resized:
            self.share_when_safe(inode, end)
        return True

    def _may_grow(self, inode: CInode, client: int) -> bool:
        locks: InodeLocks | None = inode.locks
        return locks is not None and locks.may_grow(client)

    def _settled(self, inode: CInode, locks: InodeLocks) -> None:
        wanted = locks.max_size
        if wanted and locks.is_stable(0):
            locks.max_size = 0
            if inode.is_file and not self.rank.read_only:
                self.check_max_size(inode, wanted=wanted if wanted > 1 else 0)
                if locks.max_size and not self._is_moving_for_writers(inode):
                    locks.max_size = 0  # who asked for it does not get to write

    def _is_moving_for_writers(self, inode: CInode) -> bool:
        return any(cap.wanted & CAP_ANY_FILE_WR for cap in (inode.caps or {}).values())

    def share_when_safe(self, inode: CInode, end: int) -> None:
        """Tell those who write how far they may, once that is safe."""
        self.rank.mdlog.when_safe(end, lambda: self._share_safe(inode))

    def _share_safe(self, inode: CInode) -> None:
        if self.rank.cache.get_inode(inode.ino) is inode:
            self.share_max_size(inode)

    def issue_truncate(self, inode: CInode) -> None:
        """Tell all who have the file in their caches that it was cut off.

        Before the locks are left: a client that is asked to give its buffers back must have heard
        of it, or it would write out what was cut off.
        """
        for cap in tuple((inode.caps or {}).values()):
            if not cap.new:
                self._send_caps(cap, CapOp.TRUNC, cap.pending, cap.wanted)
        if inode.is_file:
            self.rank.queue.push(lambda: self._check_later(inode))

    def _check_later(self, inode: CInode) -> None:
        if self.rank.cache.get_inode(inode.ino) is inode and not self.rank.read_only:
            self.check_max_size(inode)
