"""Expiring segments: storing what their events changed, so that the journal can be trimmed.

Behaviour: ceph/ceph, src/mds/journal.cc (LogSegment::try_to_expire), src/mds/MDLog.cc (trim,
_trim_expired_segments) (Pacific)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from mdsdaemon.clients.journaler import JournalError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.rank.cache.nests import carry_up

if TYPE_CHECKING:
    from mdsdaemon.rank.log.mdlog import MDLog
    from mdsdaemon.rank.log.segment import LogSegment

AT_ONCE = 64
"""Fragments and backtraces that are being stored at a time."""
RECHECK = 0.5
"""Seconds after which a segment that waits for truncations or purges is looked at again, for those
who do not say that they are done."""


class Expiry:
    """Which segments are being expired, and which are.

    Attributes:
        expiring, expired: by the numbers of segments, how many events these have. What is expired
            is forgotten once all before it is, and the open files are saved.
        failures: by the numbers of segments that could not be expired, what was wrong.
    """

    def __init__(self, mdlog: MDLog) -> None:
        self.mdlog = mdlog
        self.expiring: dict[int, int] = {}
        self.expired: dict[int, int] = {}
        self.failures: dict[int, OSError] = {}
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._changed = trio.lowlevel.ParkingLot()
        self._saving_openfiles = False

    # -- which -------------------------------------------------------------------------------

    def trim(self) -> None:
        """Begin to expire the oldest segments beyond mds_log_max_segments.

        And more of them while the cache is over its limit and has much that is not stored.
        """
        mdlog = self.mdlog
        rank = mdlog.rank
        if rank.read_only or mdlog.journaler is None or not mdlog.segments:
            return
        most = max(rank.config.get_int("mds_log_max_segments"), 1)
        most_events = rank.config.get_int("mds_log_max_events")
        unstored = rank.store.most_unstored()
        if unstored is not None:
            most_events = min(most_events, unstored) if most_events > 0 else max(unstored, 1)
        if most_events > 0:
            most_events = max(most_events, rank.config.get_int("mds_log_events_per_segment") + 1)
        left = len(mdlog.segments) - len(self.expiring) - len(self.expired)
        events = mdlog.num_events - sum(self.expiring.values()) - sum(self.expired.values())
        new = 0
        for seq, segment in list(mdlog.segments.items())[:-1]:
            if left <= most and (most_events < 0 or events <= most_events):
                break
            if new * 2 > left or len(self.expiring) >= max(most // 2, 1):
                break
            if segment.end > mdlog.safe_pos:
                break
            if seq in self.expiring or seq in self.expired:
                continue
            new += 1
            left -= 1
            events -= segment.num_events
            self._begin(segment)
        self._save_openfiles()
        self.drop_expired()

    def _begin(self, segment: LogSegment) -> None:
        self.expiring[segment.seq] = segment.num_events
        self.failures.pop(segment.seq, None)
        self._count()
        rank = self.mdlog.rank
        rank.spawn(partial(self._expire_task, segment), f"expire segment {segment.seq}")

    async def expire_all(self, *, capped: bool = False) -> None:
        """Expire every segment but the newest, and forget them.

        Args:
            capped: the newest one too: nothing will come after it.

        Raises:
            RadosError, JournalError: something could not be written; the journal keeps what it has.
        """
        mdlog = self.mdlog
        segments = list(mdlog.segments.values())
        wanted = segments if capped else segments[:-1]
        for segment in wanted:
            if segment.seq not in self.expiring and segment.seq not in self.expired:
                self._begin(segment)
        await self.save_openfiles_now()
        while any(segment.seq in self.expiring for segment in wanted):
            await self._changed.park()
        for segment in wanted:
            if segment.seq in self.failures:
                raise self.failures[segment.seq]
        self.drop_expired(capped=capped)

    # -- one ---------------------------------------------------------------------------------

    async def _expire_task(self, segment: LogSegment) -> None:
        try:
            await self.expire(segment)
        except (RadosError, JournalError) as exc:
            self.failures[segment.seq] = exc
            self.mdlog.rank.handle_write_error(exc)
        else:
            self.expired[segment.seq] = segment.num_events
            self.mdlog.counters.expired(segment.num_events)
        finally:
            del self.expiring[segment.seq]
            self._count()
            self._changed.unpark_all()
        self.drop_expired()

    def _count(self) -> None:
        self.mdlog.counters.under_way(self.expiring, self.expired)

    async def expire(self, segment: LogSegment) -> None:
        """Store all that this segment's events have changed.

        Raises:
            RadosError, JournalError: something could not be written.
        """
        mdlog, rank = self.mdlog, self.mdlog.rank
        while True:
            if segment.dirty_nests:
                carry_up(rank, list(segment.dirty_nests))
            if segment.open_files:
                rank.locker.rejournal_open_files(segment)
            await mdlog.wait_safe()
            await self._store(segment)
            await self._save_tables(segment)
            if segment.is_clean() and not self._tables_due(segment):
                return
            if not (segment.dirty_dirs or segment.dirty_bases or segment.dirty_backtraces):
                with trio.move_on_after(RECHECK):
                    assert segment.progress is not None
                    await segment.progress.wait()

    async def _store(self, segment: LogSegment) -> None:
        store = self.mdlog.rank.store
        work: list[Callable[[], Awaitable[object]]] = []
        work += [partial(store.commit_dir, directory) for directory in segment.dirty_dirs]
        work += [partial(store.commit_base, inode) for inode in segment.dirty_bases]
        work += [partial(store.write_backtrace, inode) for inode in segment.dirty_backtraces]
        if not work:
            return
        failure: list[OSError] = []
        async with trio.open_nursery() as nursery:
            for job in work:
                await self._limit.acquire_on_behalf_of(job)
                nursery.start_soon(self._job, job, failure)
        if failure:
            raise failure[0]

    async def _job(self, job: Callable[[], Awaitable[object]], failure: list[OSError]) -> None:
        try:
            await job()
        except (RadosError, JournalError) as exc:
            failure.append(exc)
        finally:
            self._limit.release_on_behalf_of(job)

    async def _save_tables(self, segment: LogSegment) -> None:
        rank = self.mdlog.rank
        for name in self._tables_due(segment):
            await rank.tables[name].save()
        if segment.sessions:
            clients, segment.sessions = segment.sessions, set()
            await rank.sessionmap.save_sessions(clients)

    def _tables_due(self, segment: LogSegment) -> list[str]:
        tables = self.mdlog.rank.tables
        return [
            name
            for name, version in segment.tables.items()
            if tables[name].committed_version < version
        ]

    # -- forgetting --------------------------------------------------------------------------

    def drop_expired(self, *, capped: bool = False) -> None:
        """Forget the oldest segments as far as they are expired; the journal may be trimmed then.

        A segment stays until the table of open files was saved after it: a replay needs one of
        the two.
        """
        mdlog = self.mdlog
        journal = mdlog.journaler
        saved = mdlog.rank.openfiles.committed_log_seq
        dropped = False
        for seq, segment in list(mdlog.segments.items()):
            if seq not in self.expired or (not capped and seq >= saved):
                break
            del self.expired[seq], mdlog.segments[seq]
            mdlog.num_events -= segment.num_events
            mdlog.counters.trimmed(segment.num_events)
            if journal is not None and journal.expire_pos < segment.end:
                journal.set_expire_pos(segment.end)
            dropped = True
        if dropped and journal is not None:
            journal.trim()
            self._count()
            mdlog.counters.segments(mdlog)
            mdlog.counters.positions(mdlog)

    def _save_openfiles(self) -> None:
        mdlog = self.mdlog
        openfiles = mdlog.rank.openfiles
        newest = mdlog.segment.seq
        if self._saving_openfiles or mdlog.capped:
            return
        if openfiles.is_dirty or newest > openfiles.committed_log_seq:
            self._saving_openfiles = True
            mdlog.rank.spawn(self._openfiles_task, "save open files")

    async def _openfiles_task(self) -> None:
        try:
            await self.save_openfiles_now()
        except (RadosError, JournalError) as exc:
            self.mdlog.rank.handle_write_error(exc)
        finally:
            self._saving_openfiles = False
        self.drop_expired()

    async def save_openfiles_now(self) -> None:
        """Save the table of open files as of the newest segment."""
        await self.mdlog.rank.openfiles.commit(self.mdlog.segment.seq)
