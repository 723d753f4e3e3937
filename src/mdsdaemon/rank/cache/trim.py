"""Trimming: what nobody needs leaves the cache until it fits into its limit.

A hand goes round over all dentries. What was looked at since it last came by is let off once; the
rest goes, leaves first, if nothing holds it: no client's capability or lease, nothing dirty, no
work under way.

Behaviour: ceph/ceph, src/mds/MDCache.cc (trim, trim_dentry, trim_inode) (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import trio

from mdsdaemon.rank.cache.inode import NO_DIRS
from mdsdaemon.rank.cache.name_filter import NameFilter
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore

# Bytes, as measured by bench/cache.py for files with short names, and for a client's capability
# with the locks of its inode.
INODE_COST = 1560
DENTRY_COST = 440
DIR_COST = 1250
CAP_COST = 1110
MOST_COST = INODE_COST + DENTRY_COST + DIR_COST
"""Of what goes with a dentry that is trimmed."""

DIRTY_SHARE = 0.5
"""Of the limit: how much of a full cache may be waiting to be stored."""
HELD_SHARE = 0.75
"""Of the limit: when so much of a full cache is clients' there is little left to be trimmed."""
LOOK_AGAIN = 32
"""A full look at a cache of which nothing could go is not repeated every second: so many seconds
are taken for it, until something goes."""
BATCH = 8192
"""Dentries that are looked at in one go; then others have their turn."""


class Trimmer:
    """See the module.

    Attributes:
        trimmed: how many dentries went, ever.
        hampered: it does not fit, and what is left was needed when it was looked at the last time.
        num_caps: tells how many capabilities clients have. Set by who knows.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.trimmed = 0
        self.hampered = False
        self.num_caps: Callable[[], int] = lambda: 0
        self._hand: Iterator[CDentry] | None = None
        self._running = False
        self._limit = 0

    def memory_used(self) -> int:
        """See `CacheStore`."""
        cache = self.rank.cache
        return (
            len(cache) * INODE_COST
            + cache.num_dentries * DENTRY_COST
            + cache.num_dirs * DIR_COST
            + self.num_caps() * CAP_COST
        )

    def goal(self) -> int:
        """Bytes that the cache is to take at most: a part of its limit stays free."""
        config = self.rank.config
        share = 1 - config.get_float("mds_cache_reservation")
        return int(config.get_int("mds_cache_memory_limit") * share)

    def is_full(self) -> bool:
        """See `CacheStore`."""
        return self.memory_used() > self.goal()

    def is_hampered(self) -> bool:
        """See `CacheStore`."""
        held = self.num_caps() * (INODE_COST + DENTRY_COST + CAP_COST)
        return self.is_full() and (self.hampered or held > HELD_SHARE * self.goal())

    def most_unstored(self) -> int | None:
        """See `CacheStore`."""
        if not self.is_full():
            return None
        return int(self.goal() * DIRTY_SHARE) // (INODE_COST + DENTRY_COST)

    def trim(self, limit: int) -> int:
        """One batch now; the rest is done by a task, batch by batch."""
        self._limit = limit
        if self.memory_used() <= limit:
            self.hampered = False
            return 0
        went = self._batch(limit)
        if self.memory_used() > limit and not self._running:
            self._running = True
            self.rank.spawn(self._go_on, "trim cache")
        return went

    def trim_batch(self, limit: int) -> int:
        """One batch and no more; how many dentries went."""
        return self._batch(limit) if self.memory_used() > limit else 0

    async def trim_to(self, limit: int) -> int:
        """Batch by batch until it fits, or all that is left is needed; how many dentries went."""
        return await self._trim_to(limit, 2 * self.rank.cache.num_dentries)

    async def _trim_to(self, limit: int, patience: int) -> int:
        """Give up after so many dentries, one after another, that are needed."""
        went = fruitless = 0
        while self.memory_used() > limit and fruitless <= patience:
            await trio.lowlevel.checkpoint()
            now = self._batch(limit)
            went += now
            fruitless = 0 if now else fruitless + BATCH
        return went

    async def _go_on(self) -> None:
        patience = 2 * self.rank.cache.num_dentries
        if self.hampered:
            patience //= LOOK_AGAIN
        try:
            await self._trim_to(self._limit, patience)
        finally:
            self._running = False
        self.hampered = self.memory_used() > self._limit

    def _batch(self, limit: int) -> int:
        held = self._held()
        went = excess = 0
        for _ in range(BATCH):
            if excess <= 0:
                excess = self.memory_used() - limit
                if excess <= 0:
                    break
            dn = self._next()
            if dn is None:
                break
            if dn.touched:
                dn.touched = False
            elif self.expire(dn, held):
                went += 1
                excess -= MOST_COST  # or less: it is counted again when that much has gone
        self.trimmed += went
        return went

    def _next(self) -> CDentry | None:
        """Where the hand points at; None: there are no dentries."""
        for _ in range(2):
            if self._hand is None:
                self._hand = self._round()
            dn = next(self._hand, None)
            if dn is not None:
                return dn
            self._hand = None
        return None

    def _round(self) -> Iterator[CDentry]:
        cache = self.rank.cache
        # the newest first: what lies deep comes before what it lies in
        for inode in reversed([inode for inode in cache.inodes.values() if inode.dirs]):
            for directory in list(inode.dirs.values()):
                for dn in directory.all_items():
                    if dn.dir is not directory:
                        continue
                    if dn.last == NOSNAP:
                        found = directory.items.get(dn.name)
                    else:
                        found = directory.lookup_exact(dn.name, dn.last)
                    if found is dn:
                        yield dn

    def _held(self) -> set[CInode]:
        """Inodes that a segment of the journal waits for."""
        held: set[CInode] = set()
        for segment in self.rank.mdlog.segments.values():
            held |= segment.open_files | segment.truncating | segment.dirty_nests
        return held

    # -- one dentry --------------------------------------------------------------------------

    def expire(self, dn: CDentry, held: set[CInode]) -> bool:
        """Take a dentry out with its inode, if nothing holds it; whether it went.

        Args:
            held: inodes that have to stay.
        """
        directory, cache = dn.dir, self.rank.cache
        if dn.pins or dn.leases or dn.lock is not None or directory.loads:
            return False
        if (directory.dirty_items or directory.committing_items) and dn.is_dirty:
            return False
        inode = dn.inode
        if inode is not None:
            if inode in held or not self.is_free(inode):
                return False
            for other in list(inode.remote_parents or ()):
                other.remote_inode = None
            cache.num_dirs -= len(inode.dirs)
            inode.dirs = NO_DIRS  # an inode and its fragments would hold each other for ever
            cache.remove_inode(inode)
        if inode is not None or dn.remote_ino:
            if directory.complete:
                directory.complete = False
                directory.trimmed_names = NameFilter(2 * len(directory.items))
            if directory.trimmed_names is not None:
                directory.trimmed_names.add(dn.name)
        cache.remove_dentry(dn)
        return True

    def is_free(self, inode: CInode) -> bool:
        """Whether nothing holds an inode."""
        if (
            inode.caps
            or inode.pins
            or inode.locks is not None
            or inode.extra
            or inode.backtrace_segment is not None
            or inode.nest_segment is not None
            or inode.base_segment is not None
            or inode.is_stray_dir
            or inode.inode.client_ranges
        ):
            return False
        if not inode.inode.nlink and inode.is_stray:
            return False  # it waits to be purged
        return all(self._is_idle(directory) for directory in inode.dirs.values())

    def _is_idle(self, directory: CDir) -> bool:
        return not (
            directory.items
            or directory.snap_items
            or directory.is_dirty
            or directory.pins
            or directory.loads
        )
