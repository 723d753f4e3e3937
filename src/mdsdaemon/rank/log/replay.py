"""Reading the journal into the cache: after a failure, or live behind the daemon that writes it.

Behaviour: ceph/ceph, src/mds/MDLog.cc (_replay_thread, standby_trim_segments), src/mds/MDSRank.cc
(standby_replay_restart) (Pacific)
"""

from __future__ import annotations

import errno
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.clients.journaler import Entry, Journaler, JournalError
from mdsdaemon.encoding import DecodeError
from mdsdaemon.rank.log.events import LogEvent, decode_event
from mdsdaemon.rank.log.replay_blob import ReplayError
from mdsdaemon.rank.log.replay_events import EventReplay
from mdsdaemon.rank.log.segment import LogSegment
from mdsdaemon.rank.log.superseded import leave_out
from mdsdaemon.types.journal import EResetJournal, ESegment, ESubtreeMap

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.log.mdlog import MDLog

BEFORE_A_BREAK = 256
"""Events that are replayed before others get a turn."""
_BEGINNINGS = (ESubtreeMap, EResetJournal, ESegment)
"""Events that segments begin with."""


class CorruptJournal(Exception):
    """An event does not decode or does not fit: the rank is damaged."""


def _decoded(entry: Entry) -> LogEvent | DecodeError:
    """The event of an entry, or why it is none: those before it are replayed in any case."""
    try:
        return decode_event(entry.payload)
    except DecodeError as exc:
        return exc


def _where(entry: Entry) -> str:
    return f"{entry.start}~{entry.end - entry.start}"


class Replay:
    """The replay of a journal.

    Attributes:
        following: another daemon writes the journal.
        touched: while following: by segment, the fragments that its events make dirty.
    """

    def __init__(self, mdlog: MDLog) -> None:
        self.mdlog = mdlog
        self.following = False
        self.touched: dict[int, set[CDir]] = {}
        self._events = EventReplay(mdlog.rank)

    async def run(self) -> None:
        """Replay from read_pos to write_pos; may be called again when there is more.

        Raises:
            CorruptJournal: what, and where.
            JournalError: an object is missing or unreadable.
        """
        mdlog = self.mdlog
        journal = self._journal()
        skip = mdlog.rank.config.get_bool("mds_log_skip_corrupt_events")
        reading = journal.read_batches(at_most=BEFORE_A_BREAK, skip_corrupt=skip)
        async with aclosing(reading) as batches:
            async for batch in batches:
                events = [_decoded(entry) for entry in batch]
                leave_out(events)
                for entry, event in zip(batch, events, strict=True):
                    self._entry(entry, event, skip)
                self._events.end_of_batch()
                mdlog.counters.positions(mdlog)
                await trio.lowlevel.checkpoint()

    def _journal(self) -> Journaler:
        journal = self.mdlog.journaler
        assert journal is not None, "a replay without a journal"
        return journal

    def _entry(self, entry: Entry, event: LogEvent | DecodeError, skip: bool) -> None:
        mdlog = self.mdlog
        if isinstance(event, DecodeError):
            self._corrupt(entry, event, skip)
            return
        begins = isinstance(event, _BEGINNINGS)
        if begins:
            self._begin_segment(entry, event)
        else:
            mdlog.event_seq += 1
            if not mdlog.segments:
                return  # what came before the oldest map that is left is stored already
        segment = mdlog.segment
        segment.num_events += 1
        segment.end = entry.end
        mdlog.num_events += 1
        mdlog.counters.replayed.inc()
        touched = self.touched.setdefault(segment.seq, set()) if self.following else None
        try:
            self._events.replay(event, segment, touched)
        except (ReplayError, DecodeError) as exc:
            text = f"failure replaying journal event at {_where(entry)}"
            mdlog.rank.services.clog.error(text)
            raise CorruptJournal(f"{text}: {exc}") from exc
        if begins and self.following and isinstance(event, ESubtreeMap):
            # later events of the segment bring with them all that they need
            rank = mdlog.rank
            rank.store.trimmer.trim_batch(rank.config.get_int("mds_cache_memory_limit"))

    def _begin_segment(self, entry: Entry, event: Any) -> None:
        mdlog = self.mdlog
        seq = getattr(event, "event_seq", 0) or getattr(event, "seq", 0) or entry.start
        mdlog.event_seq = seq
        segment = LogSegment(seq, entry.start, entry.start)
        segment.progress = mdlog.rank.queue.gate()
        mdlog.segments[seq] = segment
        mdlog.counters.segments(mdlog)

    def _corrupt(self, entry: Entry, error: DecodeError, skip: bool) -> None:
        mdlog = self.mdlog
        text = f"corrupt journal event at {_where(entry)} / {mdlog.write_pos}"
        mdlog.rank.services.clog.error(text)
        mdlog.log.error("%s: %s", text, error)
        if not skip:
            raise CorruptJournal(f"{text}: {error}") from error

    # -- following ---------------------------------------------------------------------------

    async def follow(self) -> None:
        """Replay what another daemon writes, again and again; until cancelled.

        Raises:
            JournalError: EAGAIN: what we had yet to read has been trimmed, or the journal was
                replaced: start anew; or what else cannot be read.
            CorruptJournal: as `run`.
        """
        self.following = True
        rank, journal = self.mdlog.rank, self._journal()
        while True:
            await self.catch_up(journal)
            await trio.sleep(max(rank.config.get_float("mds_replay_interval"), 0.05))
            await self.reread(journal)

    async def catch_up(self, journal: Journaler) -> None:
        """Replay as far as the header knows, and forget what the writer has trimmed."""
        try:
            await self.run()
        except JournalError as exc:
            if exc.errno != errno.ENOENT:
                raise
            raise JournalError(errno.EAGAIN, journal.name, "it was trimmed before us") from exc
        self._forget_trimmed(journal)

    async def reread(self, journal: Journaler) -> None:
        """Learn how far the writer is.

        Raises:
            JournalError: EAGAIN: what we had yet to read has been trimmed.
        """
        read = journal.read_pos
        try:
            await journal.reread_head_and_probe()
        except JournalError as exc:
            if exc.errno in (errno.ENOENT, errno.EINVAL):
                why = "another journal has taken its place"
                raise JournalError(errno.EAGAIN, journal.name, why) from exc
            raise
        journal.read_pos = read
        if read < journal.trimmed_pos:
            raise JournalError(errno.EAGAIN, journal.name, "it was trimmed before us")

    async def take_over(self) -> None:
        """The writer is gone and we have its rank: replay the rest.

        Raises:
            JournalError, CorruptJournal: as `follow`.
        """
        journal = self._journal()
        await self.reread(journal)
        await self.catch_up(journal)
        self.following = False
        self.touched.clear()

    def _forget_trimmed(self, journal: Journaler) -> None:
        """What the writer has expired is stored: it is clean for us too."""
        mdlog = self.mdlog
        for seq, segment in list(mdlog.segments.items()):
            if segment.end > journal.expire_pos or len(mdlog.segments) == 1:
                break
            del mdlog.segments[seq]
            mdlog.num_events -= segment.num_events
            self._mark_clean(segment)
        mdlog.counters.segments(mdlog)

    def _mark_clean(self, segment: LogSegment) -> None:
        self.touched.pop(segment.seq, None)
        for directory in segment.dirty_dirs:
            later = next((s for s, dirs in self.touched.items() if directory in dirs), None)
            directory.segment = None
            if later is None or later not in self.mdlog.segments:
                directory.dirty_items.clear()
                directory.new = False
            else:
                directory.mark_dirty(self.mdlog.segments[later])
        for inode in segment.dirty_bases:
            inode.base_segment = None
        for inode in segment.dirty_backtraces:
            inode.backtrace_segment = None
        for inode in segment.dirty_nests:
            inode.nest_segment = None
