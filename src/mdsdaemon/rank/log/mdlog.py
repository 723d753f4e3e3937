"""MDLog: the journal of a rank: events in segments, written ahead of everything else.

    segment = mdlog.segment          # what the event changes is noted there
    end = mdlog.submit(event)        # it is in the journal once safe_pos >= end
    mdlog.when_safe(end, callback)
    mdlog.end_of_dispatch()          # writes, if somebody waits

What was answered early waits for nobody's sake: it is written with what comes after it, together,
when somebody waits for something to be safe, and at the latest `WRITE_AFTER` seconds later.

Behaviour: ceph/ceph, src/mds/MDLog.h and .cc; src/mds/Server.cc, journal_and_reply, which flushes
what had no early reply (Pacific)
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.clients.journaler import Journaler, journal_layout
from mdsdaemon.clients.journaler_pointer import LOG_INO, save_pointer
from mdsdaemon.rank.blob import BlobBuilder
from mdsdaemon.rank.cache.inode import MDSDIR, ROOT
from mdsdaemon.rank.log.counters import LogCounters
from mdsdaemon.rank.log.events import encode_event
from mdsdaemon.rank.log.expire import Expiry
from mdsdaemon.rank.log.opening import make_journaler, open_journal
from mdsdaemon.rank.log.replay import Replay
from mdsdaemon.rank.log.segment import LogSegment
from mdsdaemon.types.journal import ESubtreeMap
from mdsdaemon.types.journal_store import JournalPointer

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

BATCH = 64
"""Events after which writing begins although nobody waits and the dispatch goes on."""
WRITE_AFTER = 0.05
"""Seconds after which writing begins although nobody waits."""


class MDLog:
    """The journal of one rank.

    Attributes:
        journaler: None before `create` or `open`.
        segments: by number, the oldest first.
        event_seq: the number of the newest event.
        safe_pos: what lies before is on disk.
        expiry: what is stored elsewhere, so that the journal can be trimmed.
        replaying: the replay under way, or the last.
        capped: nothing more may be submitted: the rank has stopped.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.log: logging.Logger = rank.log
        self.journaler: Journaler | None = None
        self.segments: dict[int, LogSegment] = {}
        self.event_seq = 0
        self.num_events = 0
        self.safe_pos = 0
        self.capped = False
        self.counters = LogCounters()
        self.expiry = Expiry(self)
        self.replaying = Replay(self)
        self._unflushed = 0
        self._flushed = 0
        self._hurried = False
        self._segment_due = False
        self._start_clock = trio.Event()
        self._waiters: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()

    # -- positions ---------------------------------------------------------------------------

    @property
    def _open(self) -> Journaler:
        if self.journaler is None:
            raise RuntimeError("the journal is neither created nor opened")
        return self.journaler

    @property
    def write_pos(self) -> int:
        return 0 if self.journaler is None else self.journaler.write_pos

    @property
    def expire_pos(self) -> int:
        return 0 if self.journaler is None else self.journaler.expire_pos

    @property
    def segment(self) -> LogSegment:
        """The newest one, which the next event will be in."""
        return self.segments[next(reversed(self.segments))]

    # -- making and opening ------------------------------------------------------------------

    async def create(self) -> None:
        """Make an empty journal; the first segment is begun, and its map is yet to be journaled.

        Raises:
            RadosError, JournalError: RADOS refused.
        """
        rank = self.rank
        pool = rank.metadata_pool
        ino = LOG_INO + rank.whoami
        journal = self._attach(make_journaler(rank, ino))
        journal.create(journal_layout(pool), stream_format=1)
        self.safe_pos = journal.safe_pos
        await journal.write_head()
        await save_pointer(rank.objecter, pool, rank.whoami, JournalPointer(front=ino))
        self.prepare_new_segment()

    async def open(self, *, follow: bool = False) -> None:
        """Find the journal and its end, for `replay`.

        Args:
            follow: another daemon writes it (standby-replay).

        Raises:
            JournalError, RadosError: see `opening.open_journal`.
        """
        self._attach(await open_journal(self.rank, follow=follow))
        self.safe_pos = self._open.safe_pos

    def _attach(self, journal: Journaler) -> Journaler:
        self.journaler = journal
        journal.on_safe = self._on_safe
        journal.on_error = self.rank.handle_write_error
        journal.on_latency = self.counters.note_latency
        return journal

    async def replay(self) -> None:
        """Bring the cache and the tables to the journal's end. See `Replay.run`."""
        await self.replaying.run()

    async def start_writing(self) -> None:
        """The journal was read to its end, and is ours: go on behind it."""
        journal = self._open
        journal.set_writeable()
        self.safe_pos = journal.safe_pos

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the journal until cancelled; it is created or opened, and writeable."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_late)
            await self._open.run(task_status=task_status)
            nursery.cancel_scope.cancel()

    async def _write_late(self) -> None:
        while True:
            await self._start_clock.wait()
            await trio.sleep(WRITE_AFTER)
            self._start_clock = trio.Event()
            self.flush()

    # -- writing -----------------------------------------------------------------------------

    def submit(self, event: Any) -> int:
        """Append an event; the position at which it ends. See `end_of_dispatch` for when it is
        written.
        """
        assert not self.capped, "an event after the journal was capped"
        segment = self.segment
        end = self._append(event, segment)
        blob = getattr(event, "metablob", None)
        if blob is not None:
            if blob.inotablev:
                segment.note_table("inotable", blob.inotablev)
            if blob.sessionmapv:
                segment.note_table("sessionmap", blob.sessionmapv)
        period = self._open.layout.period
        if (
            segment.num_events >= self.rank.config.get_int("mds_log_events_per_segment")
            or end // period != segment.offset // period
        ):
            self._segment_due = True
        if self._unflushed >= BATCH:
            self._write()
        return end

    def _append(self, event: Any, segment: LogSegment) -> int:
        self.event_seq += 1
        end = self._open.append_entry(encode_event(event))
        segment.num_events += 1
        segment.end = end
        self.num_events += 1
        self._unflushed += 1
        self._start_clock.set()
        self.counters.added(self)
        return end

    def flush(self) -> None:
        """Start writing what was submitted; begin a new segment if one is due.

        Never within a `Mutation`: what it marks dirty belongs to the segment that it began in.
        """
        if self._segment_due and not self.capped:
            self.start_new_segment()
        self._hurried = False
        if self._unflushed:
            self._write()

    def _write(self) -> None:
        journal = self._open
        self._unflushed = 0
        self._flushed = journal.write_pos
        journal.flush()

    def end_of_dispatch(self) -> None:
        """What was submitted is written now if somebody waits for it, else soon."""
        if self._hurried or self._segment_due:
            self.flush()

    def hurry(self) -> None:
        """Somebody waits for what was submitted."""
        if self._unflushed:
            self._hurried = True

    def start_new_segment(self) -> LogSegment:
        """Begin a segment with the map of what is ours."""
        segment = self.prepare_new_segment()
        self.journal_subtree_map()
        return segment

    def prepare_new_segment(self) -> LogSegment:
        """Begin a segment whose map is journaled later, before any other event."""
        self._segment_due = False
        seq = self.event_seq + 1
        segment = LogSegment(seq, self.write_pos, self.write_pos)
        segment.progress = self.rank.queue.gate()
        self.segments[seq] = segment
        self.counters.segments(self, added=1)
        self.rank.strays.advance_stray()
        return segment

    def journal_subtree_map(self) -> int:
        """The first event of the newest segment: the whole tree and our strays are ours."""
        segment, cache = self.segment, self.rank.cache
        builder = BlobBuilder(segment, segment.seq)
        event = ESubtreeMap(stamp=self.rank.now(), event_seq=segment.seq)
        for inode in (cache.get_inode(ROOT), cache.get_inode(MDSDIR + self.rank.whoami)):
            if inode is None:
                continue
            for directory in inode.dirs.values():
                builder.add_dir_context(directory, to_root=True)
                builder.lump(directory)
                event.subtrees[directory.dirfrag] = []
        builder.finish()
        event.metablob = builder.blob
        event.expire_pos = self.expire_pos
        return self._append(event, segment)

    # -- being safe --------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether more may be submitted: not too much waits for RADOS, or nothing ever will."""
        journal = self.journaler
        return journal is None or journal.has_room or journal.error is not None

    def when_room(self, callback: Callable[[], None]) -> None:
        """Call back once `has_room`."""
        self.when_safe(self.write_pos - self._open.options.max_unsafe + 1, callback)

    def when_safe(self, pos: int, callback: Callable[[], None], *, patient: bool = False) -> None:
        """Call back once the journal is on disk up to `pos`; at once if it is.

        Args:
            patient: nobody waits for that: nothing is written earlier for it.
        """
        if pos <= self.safe_pos:
            callback()
        else:
            if not patient and pos > self._flushed:
                self._hurried = True
            heapq.heappush(self._waiters, (pos, next(self._numbers), callback))

    async def wait_safe(self, pos: int | None = None) -> None:
        """Wait until the journal is on disk up to `pos` (all of it).

        Raises:
            JournalError: it cannot be written.
        """
        if pos is None:
            pos = self.write_pos
        if pos > self.safe_pos:
            self.flush()
            await self._open.wait_for_safe(pos)

    def _on_safe(self, pos: int) -> None:
        self.safe_pos = pos
        waiters = self._waiters
        queue = self.rank.queue
        while waiters and waiters[0][0] <= pos:
            queue.add(heapq.heappop(waiters)[2])
        self.counters.positions(self)
        self.rank.end_of_dispatch()

    # -- trimming ----------------------------------------------------------------------------

    def trim(self) -> None:
        """Begin to expire the oldest segments if there are too many; called by the tick."""
        self.expiry.trim()

    async def trim_all(self) -> None:
        """Store everything and forget the whole journal but its newest segment.

        Raises:
            JournalError, RadosError: something could not be written.
        """
        self.start_new_segment()
        await self.wait_safe()
        await self.expiry.expire_all()
        await self._open.write_head()

    async def cap(self) -> None:
        """The rank stops: store everything, leave an empty journal, take no more events.

        Raises:
            JournalError, RadosError: something could not be written: the journal has it still.
        """
        await self.trim_all()
        self.capped = True
        try:
            await self.expiry.expire_all(capped=True)
        except OSError:
            self.capped = False
            raise
        await self._open.write_head()

    def dump_replay_status(self) -> dict[str, int]:
        """For `status`: where replay is."""
        journal = self.journaler
        if journal is None:
            return {"journal_read_pos": 0, "journal_write_pos": 0, "journal_expire_pos": 0,
                    "num_events": 0, "num_segments": 0}  # fmt: skip
        return {
            "journal_read_pos": journal.read_pos,
            "journal_write_pos": journal.write_pos,
            "journal_expire_pos": journal.expire_pos,
            "num_events": self.num_events,
            "num_segments": len(self.segments),
        }
