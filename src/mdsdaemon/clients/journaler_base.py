"""A journal's header and positions: the part of the journaler that makes, recovers and erases it.

Behaviour: ceph/ceph, src/osdc/Journaler.cc (create, recover, reread_head, _probe, erase) (Pacific)
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

import trio

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.journaler_extents import object_name
from mdsdaemon.clients.journaler_objects import Removal, ask, probe_end
from mdsdaemon.clients.journaler_options import JournalerOptions
from mdsdaemon.clients.journaler_read import ObjectIO
from mdsdaemon.clients.journaler_write import JournalWriter
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.host import Host
from mdsdaemon.types.journal_store import JournalHeader, StreamFormat
from mdsdaemon.types.layout import FileLayout

_MOST = 1 << 63


def journal_layout(pool: int, object_size: int = 4 << 20) -> FileLayout:
    """How ceph-mds lays out a journal (mds_log_segment_size: another object_size)."""
    return FileLayout(object_size, 1, object_size, pool)


class JournalerBase:
    """See the module, and `Journaler` for its arguments and attributes."""

    def __init__(
        self,
        *,
        objecter: ObjectIO,
        pool: int,
        ino: int,
        magic: str,
        host: Host,
        log: logging.Logger,
        write_iohint: int = 0,
        options: JournalerOptions | None = None,
    ) -> None:
        self.pool = pool
        self.ino = ino
        self.magic = magic
        self.log = log
        self.write_iohint = write_iohint
        self.options = options or JournalerOptions()
        self.on_safe: Callable[[int], None] | None = None
        self.on_error: Callable[[RadosError], None] | None = None
        self.on_latency: Callable[[float], None] | None = None
        self.error: RadosError | None = None
        self.layout = FileLayout()
        self.stream_format: int = StreamFormat.RESILIENT
        self.last_written = JournalHeader(magic=magic)
        self.last_committed = JournalHeader(magic=magic)
        self.read_pos = 0
        self.expire_pos = 0
        self.trimming_pos = 0
        self.trimmed_pos = 0
        self.cut_bytes = 0
        self._io = objecter
        self._host = host
        self._writer: JournalWriter | None = None
        self._readonly = True
        self._end_known = False
        self._stopped = False
        self._pumping = False
        self._held = False
        self._safe_waiters: list[tuple[int, int, trio.Event]] = []
        self._waits = 0
        self._head_waiters: list[trio.Event] = []
        self._head_under_way = False
        self._head_again = False
        self._wrote_head_at = float("-inf")

    @property
    def name(self) -> str:
        """For people."""
        return f"journal {self.ino:#x}"

    # -- positions ---------------------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """It was created or recovered."""
        return self._writer is not None and not self._stopped

    @property
    def write_pos(self) -> int:
        return 0 if self._writer is None else self._writer.write_pos

    @property
    def flush_pos(self) -> int:
        return 0 if self._writer is None else self._writer.flush_pos

    @property
    def safe_pos(self) -> int:
        return 0 if self._writer is None else self._writer.safe_pos

    @property
    def prezero_pos(self) -> int:
        return 0 if self._writer is None else self._writer.prezero_pos

    @property
    def expiring_pos(self) -> int:
        """The expire_pos of the header that was written last; it may be under way."""
        return self.last_written.expire_pos

    @property
    def is_readonly(self) -> bool:
        return self._readonly

    def _active(self) -> JournalWriter:
        if self._stopped:
            raise JournalError(errno.EAGAIN, self.name, "the journaler was shut down")
        if self._writer is None:
            raise ValueError(f"{self.name} was neither created nor recovered")
        return self._writer

    def _make_writer(self, pos: int) -> None:
        self._writer = JournalWriter(
            self.layout.period,
            pos,
            stream_format=self.stream_format,
            prezero_periods=self.options.prezero_periods,
            at_once=self.options.writes_at_once,
        )

    # -- making and recovering ---------------------------------------------------------------

    def create(self, layout: FileLayout, *, stream_format: int = StreamFormat.RESILIENT) -> None:
        """Begin a new, empty journal, and make it writeable. Nothing is written by this.

        No objects of the journal may exist: `erase` one that is to be replaced.
        """
        if self.error is not None or (self._writer is not None and self._writer.under_way):
            raise ValueError(f"{self.name} is being written, or could not be")
        if layout.pool_id != self.pool or not layout.is_valid():
            raise ValueError(f"{layout} is no layout of a journal in pool {self.pool}")
        if stream_format not in tuple(StreamFormat):
            raise ValueError(f"there is no journal format {stream_format}")
        self.layout, self.stream_format = layout, stream_format
        pos = layout.period
        self.read_pos = self.expire_pos = self.trimming_pos = self.trimmed_pos = pos
        self._make_writer(pos)
        self._end_known, self._readonly, self._stopped = True, False, False
        self.log.info("%s: created, format %d", self.name, stream_format)

    async def recover(self, *, probe: bool = True) -> None:
        """Read the header, and find the end of what was written.

        Reading begins at expire_pos. Without `probe` the journal's end is that which the header
        knew, and the journal stays read-only.

        Raises:
            JournalError: ENOENT: there is no header; EINVAL: it is corrupt, or the journal is
                shorter than it says; or what the OSD answered.
        """
        if self._writer is not None:
            raise ValueError(f"{self.name} was recovered before")
        header = await self._read_head()
        self.layout, self.stream_format = header.layout, header.stream_format
        self._readonly = True
        self._take_head(header)
        self.read_pos = header.expire_pos
        if probe:
            await self._probe()

    async def reread_head(self) -> None:
        """Learn what another daemon, which writes the journal, has written to its header.

        write_pos becomes that of the header, which may lie before read_pos.

        Raises:
            JournalError: as `recover`.
        """
        self._active()
        header = await self._read_head()
        if header.layout != self.layout or header.stream_format != self.stream_format:
            why = "another journal has taken its place"
            raise JournalError(errno.EINVAL, f"{self.name}, header", why)
        self._take_head(header)

    async def reread_head_and_probe(self) -> None:
        """`reread_head`, and find the end of what was written.

        Raises:
            JournalError: as `recover`.
        """
        await self.reread_head()
        await self._probe()

    def _take_head(self, header: JournalHeader) -> None:
        if not self._readonly:
            raise ValueError(f"{self.name} is being written by ourselves")
        self.expire_pos = header.expire_pos
        self.trimming_pos = self.trimmed_pos = header.trimmed_pos
        self.last_written = self.last_committed = header
        self._make_writer(header.write_pos)
        self._end_known = False

    async def _probe(self) -> None:
        began = self.write_pos
        end = await probe_end(self._io, self.pool, self.ino, self.layout, began)
        self._make_writer(end)
        self._end_known = True
        self.log.debug("%s: ends at %d, %d in its header", self.name, end, began)

    async def _read_head(self) -> JournalHeader:
        oid = object_name(self.ino, 0)
        what = f"{self.name}, header {oid}"
        op = ObjectOperation()
        data = op.read(0, 0)
        outcome = await ask(self._io, self.pool, oid, op)
        if isinstance(outcome, RadosError):
            raise JournalError(outcome.errno or errno.EIO, what, str(outcome)) from outcome
        try:
            header = decode(JournalHeader, outcome[data], partial=True)
        except DecodeError as exc:
            raise JournalError(errno.EINVAL, what, str(exc)) from exc
        if why := self._wrong(header):
            raise JournalError(errno.EINVAL, what, why)
        return header

    def _wrong(self, h: JournalHeader) -> str:
        """What is wrong with a header, or ""."""
        if h.magic != self.magic:
            return f"its magic is {h.magic!r}, not {self.magic!r}"
        if not h.trimmed_pos <= h.expire_pos <= h.write_pos < _MOST:
            return (
                f"its positions contradict each other: trimmed {h.trimmed_pos},"
                f" expire {h.expire_pos}, write {h.write_pos}"
            )
        if not h.layout.is_valid() or h.layout.pool_id != self.pool:
            return f"its layout is not one of a journal in pool {self.pool}: {h.layout}"
        if h.stream_format not in tuple(StreamFormat):
            return f"it has format {h.stream_format}, which we do not know"
        if h.trimmed_pos < h.layout.period:
            return f"its trimmed position {h.trimmed_pos} lies in the header's own period"
        return ""

    # -- erasing -----------------------------------------------------------------------------

    async def erase(self) -> None:
        """Delete the journal: all its data, and then the header.

        Raises:
            JournalError: something could not be deleted; the header is still there unless it was
                the last.
        """
        writer = self._active()
        if writer.under_way:
            raise ValueError(f"{self.name} is being written")
        period, stripes = self.layout.period, self.layout.stripe_count
        first = self.trimmed_pos // period
        last = max(writer.write_pos // period + 2, writer.prezeroing_pos // period)
        names = (object_name(self.ino, n) for n in range(first * stripes, last * stripes))
        done, errors = trio.Event(), list[RadosError]()

        def finish(error: RadosError | None) -> None:
            if error is not None:
                errors.append(error)
            done.set()

        Removal(self._io, self.pool, names, self.options.max_purge_ops, finish).start()
        await done.wait()
        oid = object_name(self.ino, 0)
        outcome = errors[0] if errors else None
        if outcome is None:
            answer = await ask(self._io, self.pool, oid, ObjectOperation().remove())
            if isinstance(answer, RadosError) and answer.errno != errno.ENOENT:
                outcome = answer
        if outcome is not None:
            raise JournalError(outcome.errno or errno.EIO, self.name, str(outcome)) from outcome
        self._writer, self._readonly = None, True
