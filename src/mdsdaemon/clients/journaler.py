"""The journaler: a log of entries, striped over objects of one inode in RADOS.

    journal = Journaler(objecter=…, pool=1, ino=0x200, magic="ceph fs volume v011", host=…, log=…)
    await journal.recover()
    async for entry in journal.entries():
        …
    journal.set_writeable()
    await nursery.start(journal.run)
    end = journal.append_entry(payload)
    journal.flush()
    await journal.wait_for_safe(end)

trimmed_pos ≤ expire_pos ≤ safe_pos ≤ flush_pos ≤ write_pos, all of them bytes from the journal's
beginning, whose first layout period belongs to the header.

Behaviour: ceph/ceph, src/osdc/Journaler.h and .cc (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator

import trio

from mdsdaemon.clients.journaler_base import journal_layout
from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.journaler_options import JournalerOptions
from mdsdaemon.clients.journaler_output import JournalerOutput
from mdsdaemon.clients.journaler_read import ReadAhead
from mdsdaemon.clients.journaler_stream import Entry, JournalStream
from mdsdaemon.encoding import DecodeError

__all__ = ["Entry", "JournalError", "Journaler", "JournalerOptions", "journal_layout"]


class Journaler(JournalerOutput):
    """See the module.

    Everything but what is `async` happens at once, and nothing of it waits: requests are started,
    and their answers are handled where the objecter hands them over. `run` only adds what time
    brings about. One journal is for one writer, which reads it first.

    Args:
        objecter: an `Objecter` that runs.
        ino: of the journal: its objects are called after it.
        magic: what the header has to begin with.
        write_iohint: `OpFlag` bits of its writes.

    Attributes:
        layout, stream_format: of the journal, once it was created or recovered.
        read_pos: where reading goes on; it may be set while nothing reads.
        expire_pos: what lies before may be trimmed; `trimming_pos`, `trimmed_pos`: up to where
            that was begun, and is done.
        last_written, last_committed: the newest header, and the newest in RADOS.
        error: the write error after which nothing is written any more.
        cut_bytes: bytes at the end that were no whole entry and are given up.
        on_safe: called with each new safe_pos; on_error: called once, with the first write error;
            on_latency: called with the seconds that each write took.
    """

    # -- the service -------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled: flush what nobody asked to be flushed, and write headers by their age.

        Nothing is written after it has ended.
        """
        self._pump()
        task_status.started()
        try:
            while True:
                await trio.sleep(self.options.flush_interval)
                if self.is_active and not self._readonly:
                    self.flush()
        finally:
            self.shutdown()

    def shutdown(self) -> None:
        """Start nothing more; whoever waits gets EAGAIN."""
        self._stopped = True
        self._wake_all()

    # -- reading -----------------------------------------------------------------------------

    async def entries(
        self, start: int | None = None, *, skip_corrupt: bool = False
    ) -> AsyncGenerator[Entry, None]:
        """Entry by entry; see `read_batches`."""
        batches = self.read_batches(start, skip_corrupt=skip_corrupt)
        try:
            async for batch in batches:
                for entry in batch:
                    self.read_pos = entry.end
                    yield entry
        finally:
            await batches.aclose()

    async def read_batches(
        self, start: int | None = None, *, at_most: int = 1024, skip_corrupt: bool = False
    ) -> AsyncGenerator[list[Entry], None]:
        """The entries from `start` (read_pos) to write_pos, in batches; read_pos follows.

        Objects are read ahead. If the journal ends within an entry, and the journal is read-only,
        write_pos becomes its beginning, so that it is written over.

        Args:
            skip_corrupt: go on behind bytes that are no entry, if an entry is found there.

        Raises:
            JournalError: EINVAL: an object is too short, or what lies at read_pos is no entry;
                ENOENT: an object is missing (trimmed by the daemon that writes the journal); or
                what the OSD answered.
        """
        self._active()
        if start is not None:
            self.read_pos = start
        stream = JournalStream(self.stream_format, self.read_pos)
        window = self.layout.period * self.options.prefetch_periods
        ahead = ReadAhead(self._io, self.pool, self.ino, self.layout, self.read_pos, window)
        try:
            while self.read_pos < self.write_pos:
                self._active()
                stream.limit = self.write_pos
                try:
                    batch = stream.read(at_most)
                    if batch:
                        self.read_pos = batch[-1].end
                        yield batch
                    elif stream.torn:
                        await self._torn(stream, ahead, skip_corrupt)
                    elif ahead.pos == self.safe_pos:
                        if not await self._more_is_safe():
                            break
                    else:
                        stream.feed(await ahead.next(self.safe_pos))
                except DecodeError as exc:
                    await self._corrupt(stream, ahead, exc, skip_corrupt)
                await trio.lowlevel.checkpoint()
        finally:
            ahead.close()

    async def _more_is_safe(self) -> bool:
        """We read what we write, and have come to what is not in RADOS yet."""
        if not self._readonly:
            self.flush()
        elif not self._active().under_way:
            return False
        await self.wait_for_safe(self.safe_pos + 1)
        return True

    async def _torn(self, stream: JournalStream, ahead: ReadAhead, skip_corrupt: bool) -> None:
        """The entry at read_pos is longer than what is there, or it claims to be."""
        at, claim = stream.pos, stream.need
        if await self._resync(stream, ahead):
            why = f"an entry of {claim} bytes begins here, but another at {stream.pos}"
            self._skipped(at, stream.pos, why, skip_corrupt)
            return
        if stream.ends_entry_of(at) and not skip_corrupt:
            why = f"an entry says that it has {claim} bytes, and ends within {self.write_pos - at}"
            raise JournalError(errno.EINVAL, f"{self.name} at {at}", why)
        if not self._readonly:
            raise JournalError(errno.EINVAL, f"{self.name} at {at}", "an entry is not whole")
        self._cut(at)

    async def _corrupt(
        self, stream: JournalStream, ahead: ReadAhead, exc: DecodeError, skip_corrupt: bool
    ) -> None:
        at = stream.pos
        if not skip_corrupt:
            raise JournalError(errno.EINVAL, f"{self.name} at {at}", exc.why) from exc
        if await self._resync(stream, ahead):
            self._skipped(at, stream.pos, exc.why, skip_corrupt)
        elif self._readonly:
            self._cut(at)
        else:
            raise JournalError(errno.EINVAL, f"{self.name} at {at}", exc.why) from exc

    async def _resync(self, stream: JournalStream, ahead: ReadAhead) -> bool:
        while not stream.resync():
            data = await ahead.next(self.safe_pos)
            if not data:
                return False
            stream.feed(data)
        return True

    def _skipped(self, at: int, to: int, why: str, allowed: bool) -> None:
        if not allowed:
            raise JournalError(errno.EINVAL, f"{self.name} at {at}", why)
        self.log.error("%s: %d bytes at %d are skipped: %s", self.name, to - at, at, why)
        self.read_pos = to

    def _cut(self, at: int) -> None:
        self.cut_bytes = self.write_pos - at
        self.log.info(
            "%s: its last %d bytes are no whole entry; it ends at %d", self.name, self.cut_bytes, at
        )
        self._make_writer(at)
