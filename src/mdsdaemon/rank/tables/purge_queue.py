"""PurgeQueue: data that nobody needs any more, to be deleted; in a journal of its own.

An item is in the journal before its inode leaves the tree, and until all its objects are gone; so
whatever happens, each is deleted, some of them twice.

    push ─► journal ─► executed, several side by side ─► expire position

Format: ceph/ceph, src/mds/PurgeQueue.h (Pacific)
Behaviour: ceph/ceph, src/mds/PurgeQueue.cc (Pacific)
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import trio

from mdsdaemon.clients.journaler import Journaler, JournalError, journal_layout
from mdsdaemon.clients.journaler_pointer import PURGE_QUEUE_INO
from mdsdaemon.clients.journaler_stream import Entry
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.rank.log.opening import make_journaler
from mdsdaemon.rank.tables.purge_items import Execution, is_valid, operations, weight
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.journal_store import PurgeItem

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

MAX_FRESH = 4096
"""Items that are kept in memory until they are executed; others are read from the journal."""
READ_AT_ONCE = 64
DRAINING_OPS = 0xFFFF
"""The limit of operations once the rank has nothing else to do."""


class PurgeQueue:
    """See the module. `create` or `open` begins it, `activate` lets it delete.

    Attributes:
        read_only: it cannot be read or written; nothing is deleted.
        max_purge_ops: how many operations may be under way.
        in_flight: items that are being executed, by their end in the journal, in order; None: one
            that is done and waits for those before it.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.read_only = False
        self.max_purge_ops = 0
        self.in_flight: dict[int, PurgeItem | None] = {}
        self.journaler: Journaler | None = None
        self._active = False
        self._fresh: deque[tuple[int, int, PurgeItem]] = deque()
        self._taken = 0  # up to where items were taken for execution
        self._ops = 0
        self._executing = 0
        self._high_ops = self._high_files = 0
        self._waiters: deque[tuple[int, Callable[[], None]]] = deque()
        self._flushing = False
        self._draining = False
        self._drain_initial = 0
        self._item_size = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._unobserve = rank.config.observe(
            ["mds_max_purge_ops", "mds_max_purge_ops_per_pg", "mds_max_purge_files"],
            lambda _: self.update_op_limit(),
        )

    # -- making and opening ------------------------------------------------------------------

    def _make(self) -> Journaler:
        ino = PURGE_QUEUE_INO + self.rank.whoami
        journal = self.journaler = make_journaler(self.rank, ino)
        journal.on_safe = self._on_safe
        journal.on_error = self._failed
        return journal

    async def create(self) -> None:
        """An empty queue.

        Raises:
            JournalError: it cannot be written.
        """
        journal = self._make()
        journal.create(journal_layout(self.rank.metadata_pool), stream_format=1)
        await journal.write_head()
        self._taken = journal.read_pos
        self._start(journal)

    async def open(self) -> None:
        """Find the queue and its end. A missing one is made; one that cannot be read makes the rank
        read-only, as a failed write does.
        """
        journal = self._make()
        try:
            try:
                await journal.recover()
            except JournalError as exc:
                if exc.errno != errno.ENOENT:
                    raise
                self.rank.log.info("Purge Queue not found, creating it")
                await self.create()
                return
            await self._find_end(journal)
        except OSError as exc:
            self._failed(exc)
            return
        self._start(journal)

    async def _find_end(self, journal: Journaler) -> None:
        """What was written last may be torn: only whole entries count."""
        async with aclosing(journal.read_batches(journal.last_committed.write_pos)) as batches:
            async for _ in batches:
                pass
        self._taken = journal.read_pos = journal.expire_pos
        journal.set_writeable()

    def _start(self, journal: Journaler) -> None:
        self._item_size = len(encode(PurgeItem, PurgeItem(), FEATURES_PACIFIC))
        self._item_size += journal.envelope_size
        self.update_op_limit()
        self.rank.spawn(journal.run, "purge queue journal")
        self.rank.spawn(self._consume, "purge queue")

    def close(self) -> None:
        """The rank is gone: options are followed no longer."""
        self._unobserve()

    def activate(self) -> None:
        """Deleting may begin."""
        self._active = True
        self._changed.unpark_all()

    def _failed(self, error: OSError) -> None:
        if self.read_only:
            return
        self.rank.log.error("purge queue: going readonly because internal IO failed: %s", error)
        self.read_only = True
        if self.journaler is not None:
            self.journaler.set_readonly()
        self._changed.unpark_all()
        self.rank.handle_write_error(error)

    # -- adding ------------------------------------------------------------------------------

    def push(self, item: PurgeItem, on_logged: Callable[[], None]) -> bool:
        """Add an item; `on_logged` is called once it is on disk. False: the queue is read-only."""
        journal = self.journaler
        if self.read_only or journal is None:
            return False
        start = journal.write_pos
        end = journal.append_entry(encode(PurgeItem, item, FEATURES_PACIFIC))
        self._waiters.append((end, on_logged))
        last = self._fresh[-1][1] if self._fresh else self._taken
        if start == last and len(self._fresh) < MAX_FRESH:
            self._fresh.append((start, end, item))
        if not self._flushing:
            self._flushing = True
            self.rank.queue.push(self._flush)
        self._changed.unpark_all()
        return True

    def _flush(self) -> None:
        self._flushing = False
        if self.journaler is not None and not self.read_only:
            self.journaler.flush()

    def _on_safe(self, pos: int) -> None:
        while self._waiters and self._waiters[0][0] <= pos:
            self.rank.leisure.push(self._waiters.popleft()[1])
        self._changed.unpark_all()
        self.rank.end_of_dispatch()

    # -- executing ---------------------------------------------------------------------------

    def _can_consume(self) -> bool:
        most = self.rank.config.get_int("mds_max_purge_files")
        if self.read_only or not self._active:
            return False
        if not self._executing:
            return most > 0  # so that no limit of operations can forbid all progress
        return self._ops < self.max_purge_ops and self._executing < most

    async def _room(self) -> bool:
        """Wait until an item may be executed; False: never again."""
        while not self._can_consume():
            if self.read_only:
                return False
            await self._changed.park()
        return True

    async def _consume(self) -> None:
        """Take one item after the other, from memory or from the journal."""
        journal = self.journaler
        assert journal is not None
        while await self._room():
            if self._fresh and self._fresh[0][0] == self._taken:
                _, end, item = self._fresh[0]
                if end > journal.safe_pos:
                    await self._changed.park()
                    continue
                self._fresh.popleft()
                self._execute(end, item)
            elif self._taken < journal.write_pos:
                self._fresh.clear()
                await self._read(journal)
            else:
                await self._changed.park()

    async def _read(self, journal: Journaler) -> None:
        """Execute what only the journal has, up to its end as it is now."""
        try:
            journal.read_pos = self._taken
            async with aclosing(journal.read_batches(at_most=READ_AT_ONCE)) as batches:
                async for batch in batches:
                    for entry in batch:
                        if not await self._read_one(entry):
                            return
                    if self._fresh and self._fresh[0][0] == self._taken:
                        return
        except JournalError as exc:
            if exc.errno != errno.EAGAIN:
                self._failed(exc)

    async def _read_one(self, entry: Entry) -> bool:
        if not await self._room():
            return False
        try:
            item = decode(PurgeItem, entry.payload)
        except DecodeError as exc:
            what = f"purge queue entry before {entry.end}"
            self._failed(RadosError(errno.EIO, what, "", str(exc)))
            return False
        self._execute(entry.end, item)
        return True

    def _execute(self, end: int, item: PurgeItem) -> None:
        self._taken = end
        rank = self.rank
        if not is_valid(item):
            rank.log.error("invalid item (action=%d) in purge queue, dropping it", item.action)
            self.in_flight[end] = None
            self._expire()
            return
        at_once = rank.config.get_int("filer_max_purge_ops")
        ops = weight(item, at_once)
        self.in_flight[end] = item
        self._executing += 1
        self._ops += ops
        self._high_files = max(self._high_files, self._executing)
        self._high_ops = max(self._high_ops, self._ops)
        self._count()

        def done(error: RadosError | None) -> None:
            self._done(end, item, ops, error)

        Execution(rank, operations(item, rank.metadata_pool), at_once, done).start()

    def _done(self, end: int, item: PurgeItem, ops: int, error: RadosError | None) -> None:
        self._executing -= 1
        self._ops -= ops
        if error is not None:
            if error.errno == EBLOCKLISTED:
                self._failed(error)
                return
            # as ceph-mds: one object that cannot be deleted must not stop the queue
            self.rank.log.error("purging inode %#x: %s", item.ino, error)
        self.rank.counters.purge_queue.inc("pq_executed")
        self.in_flight[end] = None
        self._expire()
        self._changed.unpark_all()

    def _expire(self) -> None:
        """Items that are done, with all before them, may leave the journal."""
        journal = self.journaler
        assert journal is not None
        pos = 0
        for end, item in self.in_flight.items():
            if item is not None:
                break
            pos = end
        while pos and (first := next(iter(self.in_flight), pos + 1)) <= pos:
            del self.in_flight[first]
        if pos:
            journal.set_expire_pos(pos)
        self._count()
        if not self.read_only and (not self.in_flight or journal.write_head_needed):
            journal.trim()

    # -- limits ------------------------------------------------------------------------------

    def update_op_limit(self) -> None:
        """The limit follows from the number of placement groups and from options."""
        rank = self.rank
        pools = rank.objecter.osd_map.pools
        groups = sum(pools[pool].pg_num for pool in rank.mdsmap.data_pools if pool in pools)
        per_group = rank.config.get_float("mds_max_purge_ops_per_pg")
        limit = int(groups / max(rank.mdsmap.max_mds, 1) * per_group)
        most = rank.config.get_int("mds_max_purge_ops")
        if most:
            limit = min(limit, most)
        self.max_purge_ops = DRAINING_OPS if self._draining else limit
        self._changed.unpark_all()

    # -- draining ----------------------------------------------------------------------------

    def is_idle(self) -> bool:
        """Nothing is left to be deleted, as far as it can be."""
        journal = self.journaler
        if self.read_only or journal is None:
            return True
        return not self.in_flight and self._taken == journal.write_pos

    def drain_progress(self) -> tuple[int, int, int]:
        """(bytes of the journal done, of how many, items under way); it hurries from now on."""
        journal = self.journaler
        left = 0 if journal is None else journal.write_pos - self._taken
        if not self._draining:
            self._draining = True
            self.update_op_limit()
        self._drain_initial = max(self._drain_initial, left)
        return self._drain_initial - left, self._drain_initial, self._executing

    async def wait_idle(self) -> None:
        """Wait until `is_idle`."""
        while not self.is_idle():
            await self._changed.park()

    async def drain(self) -> None:
        """Delete everything as fast as can be."""
        self.drain_progress()
        self.activate()
        await self.wait_idle()

    # -- counters ----------------------------------------------------------------------------

    def _count(self) -> None:
        journal = self.journaler
        counters = self.rank.counters.purge_queue
        counters.set("pq_executing", self._executing)
        counters.set("pq_executing_ops", self._ops)
        counters.set("pq_executing_high_water", self._high_files)
        counters.set("pq_executing_ops_high_water", self._high_ops)
        if journal is not None and self._item_size:
            done = journal.expire_pos if self.in_flight else self._taken
            counters.set("pq_item_in_journal", (journal.write_pos - done) // self._item_size)
