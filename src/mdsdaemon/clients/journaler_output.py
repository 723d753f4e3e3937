"""Writing a journal: entries, the header, zeroing ahead and trimming, started and handled at once.

Behaviour: ceph/ceph, src/osdc/Journaler.cc (append_entry, _do_flush, _write_head, _issue_prezero,
_trim) (Pacific)
"""

from __future__ import annotations

import errno
import heapq
import logging

import trio

from mdsdaemon.clients.journaler_base import JournalerBase
from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.journaler_extents import extents, object_name
from mdsdaemon.clients.journaler_objects import Removal
from mdsdaemon.clients.journaler_stream import envelope_size
from mdsdaemon.clients.journaler_write import JournalWriter, Piece
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.clients.objecter_session import Outcome
from mdsdaemon.encoding import encode
from mdsdaemon.types.journal_store import JournalHeader


class JournalerOutput(JournalerBase):
    """See the module, and `Journaler`."""

    def set_writeable(self) -> None:
        """Allow writing, and begin to zero what lies behind the journal's end.

        A torn entry at the end is found by reading only: whoever writes has read to the end, at
        least from `last_committed.write_pos` on.
        """
        self._active()
        if not self._end_known:
            raise ValueError(f"{self.name}: its end is not known, which is no place to write at")
        self._readonly = False
        if self.write_pos < self.last_committed.write_pos:
            # corrupt entries are given up; until the header says so, it claims that they exist
            self._held = True
            self._want_head()
        self._pump()

    def set_readonly(self) -> None:
        """Start no more writes; those under way go on."""
        self._readonly = True

    def _writing(self) -> JournalWriter:
        writer = self._active()
        if self._readonly:
            raise ValueError(f"{self.name} is read-only")
        return writer

    @property
    def envelope_size(self) -> int:
        """Bytes that an entry takes beside its payload."""
        return envelope_size(self.stream_format)

    # -- writing -----------------------------------------------------------------------------

    def append_entry(self, payload: bytes) -> int:
        """Add an entry; where it ends, which is write_pos then.

        It is written when `flush` is called, or with a whole object. Bytes that are not safe are
        held in memory without a limit: see `room`.
        """
        writer = self._writer
        if writer is None or self._readonly or self._stopped:
            writer = self._writing()
        if self.error is not None:
            writer.write_pos += len(payload) + self.envelope_size  # nobody will write it
            return writer.write_pos
        end = writer.append(payload)
        if writer.crossed:
            self._pump()
        return end

    def flush(self) -> None:
        """Start writing all that was appended.

        While `JournalerOptions.writes_at_once` writes are under way it waits for one of them, and
        goes with all that was appended by then.
        """
        if self._stopped or self.error is not None:
            return
        writer = self._writing()
        writer.flush()
        self._pump()
        if self.write_head_needed:
            self._want_head()

    @property
    def has_room(self) -> bool:
        """Fewer bytes than `JournalerOptions.max_unsafe` are appended and not safe."""
        return self.write_pos - self.safe_pos < self.options.max_unsafe

    async def room(self) -> None:
        """Wait until `has_room`.

        Raises:
            JournalError: as `wait_for_safe`.
        """
        if not self.has_room:
            self.flush()
            await self.wait_for_safe(self.write_pos - self.options.max_unsafe + 1)

    async def wait_for_safe(self, pos: int | None = None) -> None:
        """Wait until all before `pos` (write_pos as it is now) is in RADOS; this flushes nothing.

        Raises:
            JournalError: writing failed, with the OSD's errno; EAGAIN: shut down.
        """
        target = self.write_pos if pos is None else pos
        while self.safe_pos < target:
            self._check()
            event = trio.Event()
            self._waits += 1
            heapq.heappush(self._safe_waiters, (target, self._waits, event))
            await event.wait()
        self._check()

    def _check(self) -> None:
        if self.error is not None:
            raise JournalError(self.error.errno or errno.EIO, self.name, str(self.error))
        self._active()

    def _pump(self) -> None:
        """Start whatever may be started now."""
        writer = self._writer
        if writer is None or self._pumping:
            return
        self._pumping = True
        try:
            while not (self._readonly or self._stopped or self.error or self._held):
                if (zero := writer.next_zero()) is not None:
                    self._zero(writer, *zero)
                elif (piece := writer.next_piece()) is not None:
                    self._write(writer, piece)
                else:
                    break
        finally:
            self._pumping = False

    def _write(self, writer: JournalWriter, piece: Piece) -> None:
        found = extents(self.layout, piece.start, piece.end - piece.start)
        piece.left, piece.began = len(found), trio.current_time()
        data, piece.data = piece.data, b""
        mtime = self._mtime()

        def finish(outcome: Outcome) -> None:
            if isinstance(outcome, RadosError):
                self._fail(outcome)
                return
            piece.left -= 1
            if not piece.left:
                self._written(writer, piece)

        for extent in found:
            part = data
            if len(found) > 1:
                part = b"".join(data[where : where + size] for where, size in extent.parts)
            op = ObjectOperation().write(extent.offset, part)
            if self.write_iohint:
                op.set_last_op_flags(self.write_iohint)
            oid = object_name(self.ino, extent.number)
            self._io.submit(self.pool, oid, op, finish, mtime=mtime)

    def _written(self, writer: JournalWriter, piece: Piece) -> None:
        if self._stopped or self.error is not None:
            return  # what was told last stays true: nobody hears of more
        moved = writer.written(piece)
        if self.on_latency is not None:
            self.on_latency(trio.current_time() - piece.began)
        self._pump()
        if moved and writer is self._writer:
            self._wake_safe(writer.safe_pos)
            if self.on_safe is not None:
                self.on_safe(writer.safe_pos)

    def _zero(self, writer: JournalWriter, start: int, length: int) -> None:
        found = extents(self.layout, start, length)
        left = len(found)

        def finish(outcome: Outcome) -> None:
            nonlocal left
            if isinstance(outcome, RadosError) and outcome.errno != errno.ENOENT:
                self._fail(outcome)
                return
            left -= 1
            if not left:
                writer.zeroed(start, length)
                self._pump()

        for extent in found:
            whole = extent.offset == 0 and extent.length == self.layout.object_size
            op = ObjectOperation()
            if whole:
                op.remove()
            else:
                op.zero(extent.offset, extent.length)
            oid = object_name(self.ino, extent.number)
            self._io.submit(self.pool, oid, op, finish, mtime=self._mtime())

    def _mtime(self) -> int:
        return round(self._host.wall() * 1e9)

    def _fail(self, error: RadosError) -> None:
        """Writing failed: once, and for good."""
        if self.error is not None:
            return
        self.error = error
        # who is fenced says so, unless it has just said goodbye
        level = logging.INFO if error.errno == EBLOCKLISTED else logging.ERROR
        self.log.log(level, "%s: a write failed, nothing more is written: %s", self.name, error)
        self._wake_all()
        if self.on_error is not None:
            self.on_error(error)

    def _wake_safe(self, pos: int) -> None:
        waiters = self._safe_waiters
        while waiters and waiters[0][0] <= pos:
            heapq.heappop(waiters)[2].set()

    def _wake_all(self) -> None:
        waiters, self._safe_waiters = self._safe_waiters, []
        for _, _, event in waiters:
            event.set()
        heads, self._head_waiters = self._head_waiters, []
        for event in heads:
            event.set()

    # -- the header --------------------------------------------------------------------------

    @property
    def write_head_needed(self) -> bool:
        """The header is old enough to be written anew, and there is something new to it."""
        age = trio.current_time() - self._wrote_head_at
        return age > self.options.write_head_interval and self._new_head() != self.last_written

    async def write_head(self) -> None:
        """Write the header, with the positions as they are now.

        Raises:
            JournalError: writing failed, with the OSD's errno; EAGAIN: shut down.
        """
        self._check()
        self._writing()
        event = trio.Event()
        self._head_waiters.append(event)
        self._want_head()
        await event.wait()
        self._check()

    def _new_head(self) -> JournalHeader:
        expire = min(self.expire_pos, self.safe_pos)
        return JournalHeader(
            magic=self.magic,
            trimmed_pos=self.trimmed_pos,
            expire_pos=expire,
            unused_field=expire,
            write_pos=self.safe_pos,
            layout=self.layout,
            stream_format=self.stream_format,
        )

    def _want_head(self) -> None:
        if self._head_under_way:
            self._head_again = True
        else:
            self._write_head()

    def _write_head(self) -> None:
        self._head_under_way, self._head_again = True, False
        waiters, self._head_waiters = self._head_waiters, []
        header = self.last_written = self._new_head()
        self._wrote_head_at = trio.current_time()
        op = ObjectOperation().write_full(encode(JournalHeader, header))
        if self.write_iohint:
            op.set_last_op_flags(self.write_iohint)

        def finish(outcome: Outcome) -> None:
            self._head_under_way = False
            if isinstance(outcome, RadosError):
                self._fail(outcome)
            else:
                self.last_committed, self._held = header, False
                self._trim()
                self._pump()
                if self._head_again and not self._stopped and self.error is None:
                    self._write_head()
            for event in waiters:
                event.set()

        oid = object_name(self.ino, 0)
        self._io.submit(self.pool, oid, op, finish, mtime=self._mtime())

    # -- trimming ----------------------------------------------------------------------------

    def set_expire_pos(self, pos: int) -> None:
        """Let what lies before `pos`, the end of an entry, be trimmed; it never goes back."""
        if pos > self.write_pos:
            raise ValueError(f"{self.name}: nothing was written before {pos} that could expire")
        self.expire_pos = max(self.expire_pos, pos)

    def trim(self) -> None:
        """Delete the whole periods before expire_pos, once a header with it is in RADOS."""
        self._writing()
        if self._stopped or self.error is not None:
            return
        if min(self.expire_pos, self.safe_pos) > self.last_written.expire_pos:
            self._want_head()
        else:
            self._trim()

    def _trim(self) -> None:
        period, stripes = self.layout.period, self.layout.stripe_count
        to = self.last_committed.expire_pos - self.last_committed.expire_pos % period
        busy = self.trimming_pos > self.trimmed_pos
        if to <= self.trimming_pos or busy or self._readonly or self._stopped or self.error:
            return
        first, last = self.trimming_pos // period * stripes, to // period * stripes
        self.trimming_pos = to

        def finish(error: RadosError | None) -> None:
            if error is not None:
                self._fail(error)
                return
            self.trimmed_pos = to
            self._trim()

        names = (object_name(self.ino, number) for number in range(first, last))
        Removal(self._io, self.pool, names, self.options.max_purge_ops, finish).start()
