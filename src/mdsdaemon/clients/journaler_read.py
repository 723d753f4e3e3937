"""Reading a journal ahead: several objects at once, their bytes in order.

Behaviour: ceph/ceph, src/osdc/Journaler.cc (_issue_read, _prefetch, _finish_read) (Pacific)
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.journaler_extents import Extent, extents, object_name
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.clients.objecter_session import OnFinish, Outcome, PendingOp
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.osd_op import OpFlag


class ObjectIO(Protocol):
    """What a journaler needs of the `Objecter`."""

    def submit(
        self,
        pool: int,
        oid: str,
        op: ObjectOperation,
        on_finish: OnFinish,
        *,
        flags: int = 0,
        mtime: int | None = None,
    ) -> PendingOp:
        """Start a request; see `Objecter.submit`."""

    def cancel(self, pending: PendingOp) -> None:
        """Give one up."""


@attrs.define(eq=False)
class _Read:
    """A range of bytes, of at most a period, that was asked for."""

    start: int
    length: int
    pending: list[PendingOp] = attrs.Factory(list)
    left: int = 0
    parts: list[tuple[int, bytes]] = attrs.Factory(list)
    error: JournalError | None = None

    def data(self) -> bytes:
        if len(self.parts) == 1:
            return self.parts[0][1]
        return b"".join(part for _, part in sorted(self.parts))


class ReadAhead:
    """The bytes of a journal from `pos` on; its user calls `close` when done.

    Args:
        window: bytes to have asked for ahead of what was taken.

    Attributes:
        pos: of the bytes that `next` gives next.
    """

    def __init__(
        self, io: ObjectIO, pool: int, ino: int, layout: FileLayout, pos: int, window: int
    ) -> None:
        self.pos = pos
        self._io, self._pool, self._ino, self._layout = io, pool, ino, layout
        self._window = max(window, layout.period)
        self._asked = pos
        self._reads: deque[_Read] = deque()
        self._arrived = trio.Event()

    def ask(self, limit: int) -> None:
        """Start reading what the window has room for, up to `limit`."""
        period = self._layout.period
        while self._asked < min(limit, self.pos + self._window):
            start = self._asked
            length = min(limit, start - start % period + period) - start
            self._asked += length
            self._start(_Read(start, length))

    async def next(self, limit: int) -> bytes:
        """The next bytes; b"" at `limit`.

        Raises:
            JournalError: ENOENT: the object is missing; EINVAL: it is shorter than it has to be;
                or what the OSD answered.
        """
        self.ask(limit)
        if not self._reads:
            return b""
        read = self._reads[0]
        while read.left and read.error is None:
            self._arrived = trio.Event()
            await self._arrived.wait()
        if read.error is not None:
            raise read.error
        self._reads.popleft()
        self.pos = read.start + read.length
        self.ask(limit)
        return read.data()

    def close(self) -> None:
        """Give up what is being read."""
        reads, self._reads = self._reads, deque()
        for read in reads:
            if read.left:
                for pending in read.pending:
                    if not pending.finished:
                        self._io.cancel(pending)

    def _start(self, read: _Read) -> None:
        self._reads.append(read)
        found = extents(self._layout, read.start, read.length)
        read.left = len(found)
        for extent in found:
            op = ObjectOperation()
            op.read(extent.offset, extent.length)
            op.set_last_op_flags(OpFlag.FADVISE_DONTNEED)
            oid = object_name(self._ino, extent.number)
            done = self._finisher(read, extent, oid)
            read.pending.append(self._io.submit(self._pool, oid, op, done))

    def _finisher(self, read: _Read, extent: Extent, oid: str) -> Callable[[Outcome], None]:
        def finish(outcome: Outcome) -> None:
            read.left -= 1
            what = f"journal {self._ino:#x}, object {oid}"
            if isinstance(outcome, RadosError):
                code = outcome.errno or errno.EIO
                why = "a part of the journal is missing" if code == errno.ENOENT else str(outcome)
                read.error = JournalError(code, what, why)
            elif len(data := outcome.ops[0].outdata) < extent.length:
                why = f"has {len(data)} bytes from {extent.offset} on, not {extent.length}"
                read.error = JournalError(errno.EINVAL, what, why)
            else:
                at = 0
                for where, size in extent.parts:
                    read.parts.append((where, data[at : at + size]))
                    at += size
            if read.error is not None or not read.left:
                self._arrived.set()

        return finish
