"""What is written to a journal next, and what of it is safe: positions and bytes, without I/O.

Entries gather in a buffer. What is to be flushed leaves it in pieces that cross no layout period,
a few of which may be under way at once; what is appended meanwhile goes with the next piece. Space
ahead is zeroed before it is written, so that whoever looks for the journal's end finds it.

Behaviour: ceph/ceph, src/osdc/Journaler.cc (append_entry, _do_flush, _finish_flush,
_issue_prezero, _finish_prezero) (Pacific)
"""

from __future__ import annotations

from collections import deque

import attrs

from mdsdaemon.clients.journaler_stream import HEAD, LEGACY_HEAD, SENTINEL, TAIL
from mdsdaemon.types.journal_store import StreamFormat

_HEAD, _TAIL, _LEGACY = HEAD.pack, TAIL.pack, LEGACY_HEAD.pack
_ENVELOPE = HEAD.size + TAIL.size


@attrs.define(eq=False)
class Piece:
    """Bytes that are being written.

    Attributes:
        start, end: positions.
        safe_before: the end of the last entry that lies before `start` as a whole.
        began: when; the caller's.
        left: of the writes it was divided into; the caller's.
    """

    start: int
    end: int
    safe_before: int
    data: bytes = attrs.field(repr=False)
    began: float = 0.0
    left: int = 0


class JournalWriter:
    """See the module.

    Args:
        period: bytes of a layout period.
        pos: where the next entry begins.
        prezero_periods: how many of them are kept zeroed ahead.
        at_once: how many pieces may be under way; twice as many of those that complete a period,
            as waiting makes them no longer.

    Attributes:
        write_pos: where the next entry begins.
        flush_pos: up to where bytes are written or under way.
        safe_pos: the end of the last entry that is in RADOS with all before it.
        prezeroing_pos, prezero_pos: up to where zeroing was asked for, and is done.
    """

    def __init__(
        self,
        period: int,
        pos: int,
        *,
        stream_format: int = StreamFormat.RESILIENT,
        prezero_periods: int = 5,
        at_once: int = 2,
    ) -> None:
        self.period = period
        self.resilient = stream_format >= StreamFormat.RESILIENT
        self.prezero_periods = prezero_periods
        self.at_once = at_once
        self.under_way: dict[int, Piece] = {}
        self.write_pos = self.flush_pos = self.safe_pos = pos
        self.prezeroing_pos = self.prezero_pos = pos
        self._buf = bytearray()
        self._wanted = pos
        self._flushed_entry = pos  # end of the last entry before flush_pos
        self._crossings: deque[tuple[int, int]] = deque()
        self._next_period = pos - pos % self.period + self.period
        self._zeroed: dict[int, int] = {}

    @property
    def buffered(self) -> int:
        """Bytes appended that no write has been started for."""
        return self.write_pos - self.flush_pos

    # -- appending ---------------------------------------------------------------------------

    def append(self, payload: bytes) -> int:
        """Add an entry; where it ends."""
        start, buf = self.write_pos, self._buf
        if self.resilient:
            buf += _HEAD(SENTINEL, len(payload))
            buf += payload
            buf += _TAIL(start)
            end = start + len(payload) + _ENVELOPE
        else:
            buf += _LEGACY(len(payload))
            buf += payload
            end = start + len(payload) + LEGACY_HEAD.size
        self.write_pos = end
        if end >= self._next_period:
            self._cross(start, end)
        return end

    def _cross(self, start: int, end: int) -> None:
        """Periods are complete: they are to be written whether or not somebody asks for it."""
        at = self._next_period
        while at <= end:
            self._crossings.append((at, end if at == end else start))
            at += self.period
        self._wanted = max(self._wanted, at - self.period)
        self._next_period = at

    @property
    def crossed(self) -> bool:
        """Whether a complete period waits to be written."""
        return bool(self._crossings)

    def flush(self) -> None:
        """All that was appended is to be written."""
        self._wanted = self.write_pos

    # -- writing -----------------------------------------------------------------------------

    def next_piece(self) -> Piece | None:
        """What to write now: None: nothing, or something has to be done before."""
        start = self.flush_pos
        at_once = self.at_once * (2 if self._crossings else 1)
        if self._wanted <= start or len(self.under_way) >= at_once:
            return None
        if self.prezero_pos - self.period <= start:
            return None  # zeroing ends with a period, so that there is room to the end of this one
        if self._crossings:
            end, last = self._crossings.popleft()
        else:
            end = last = self.write_pos
        piece = Piece(start, end, self._flushed_entry, self._take(end - start))
        self.under_way[start] = piece
        self.flush_pos, self._flushed_entry = end, last
        return piece

    def _take(self, length: int) -> bytes:
        buf = self._buf
        if length == len(buf):
            self._buf = bytearray()
            return bytes(buf)
        with memoryview(buf) as view:
            data = bytes(view[:length])
        del buf[:length]
        return data

    def written(self, piece: Piece) -> bool:
        """A piece is in RADOS; whether safe_pos has moved."""
        del self.under_way[piece.start]
        before = self.safe_pos
        for first in self.under_way.values():
            self.safe_pos = max(before, first.safe_before)
            break
        else:
            self.safe_pos = max(before, self._flushed_entry)
        return self.safe_pos > before

    # -- zeroing ahead -----------------------------------------------------------------------

    def next_zero(self) -> tuple[int, int] | None:
        """(position, length) to zero now: the rest of a period, or a whole one to be removed."""
        period, start = self.period, self.prezeroing_pos
        to = self.write_pos + period * (self.prezero_periods + 1) - 1
        if start >= to - to % period:
            return None
        length = period - start % period
        self.prezeroing_pos = start + length
        return start, length

    def zeroed(self, start: int, length: int) -> None:
        """It was done."""
        self._zeroed[start] = length
        while (done := self._zeroed.pop(self.prezero_pos, 0)) > 0:
            self.prezero_pos += done
