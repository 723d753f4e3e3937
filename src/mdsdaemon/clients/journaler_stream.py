"""How entries lie in a journal: frames around payloads, written and read without any I/O.

The resilient form is u64 sentinel, u32 length, payload, u64 position of the frame's first byte; the
old one is u32 length, payload.

Format: ceph/ceph, src/osdc/Journaler.h and .cc (JournalStream) (Pacific)
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from mdsdaemon.encoding import DecodeError
from mdsdaemon.types.journal_store import StreamFormat

SENTINEL = 0x3141592653589793
"""What a frame begins with, so that frames are found again in a damaged journal."""

MAX_ENTRY = 256 << 20
"""Bytes of the longest payload that is believed when a journal is read."""

HEAD = Struct("<QI")
TAIL = Struct("<Q")
LEGACY_HEAD = Struct("<I")
_MARK = SENTINEL.to_bytes(8, "little")


class Entry(NamedTuple):
    """One entry, with the positions where its frame begins and ends."""

    start: int
    end: int
    payload: bytes


def envelope_size(stream_format: int) -> int:
    """Bytes that a frame has beside its payload."""
    if stream_format >= StreamFormat.RESILIENT:
        return HEAD.size + TAIL.size
    return LEGACY_HEAD.size


def frame(payload: bytes, start: int, stream_format: int = StreamFormat.RESILIENT) -> bytes:
    """An entry as it lies in the journal from `start` on."""
    if stream_format >= StreamFormat.RESILIENT:
        return HEAD.pack(SENTINEL, len(payload)) + payload + TAIL.pack(start)
    return LEGACY_HEAD.pack(len(payload)) + payload


class JournalStream:
    """The reader of frames: bytes of the journal go in by `feed`, entries come out by `read`.

    Attributes:
        pos: where the next entry begins.
        limit: where the journal ends; None: not known.
        torn: the bytes from `pos` to `limit` are fewer than the entry that begins there needs.
    """

    def __init__(
        self, stream_format: int = StreamFormat.RESILIENT, pos: int = 0, limit: int | None = None
    ) -> None:
        self.resilient = stream_format >= StreamFormat.RESILIENT
        self.pos = pos
        self.limit = limit
        self._head = HEAD.size if self.resilient else LEGACY_HEAD.size
        self._need = self._head
        self._chunks: list[bytes] = []
        self._have = 0
        self._off = 0  # of pos in the first chunk
        self._seeking = False  # pos is not known to be no entry

    @property
    def buffered(self) -> int:
        """Bytes fed that belong to no entry read so far."""
        return self._have

    @property
    def need(self) -> int:
        """Bytes from `pos` on without which reading does not go on: a head, or a whole entry."""
        return self._need

    @property
    def torn(self) -> bool:
        return self.limit is not None and self.pos < self.limit < self.pos + self._need

    def feed(self, data: bytes) -> None:
        """The next bytes of the journal."""
        if data:
            self._chunks.append(data)
            self._have += len(data)

    def readable(self) -> bool:
        """Whether a whole entry is there.

        Raises:
            DecodeError: at `pos` there is none; its offset is the position in the journal.
        """
        if self._have < self._head:
            return False
        self._need = self._size_of(self._join(), self._off, self.pos)
        return self._have >= self._need

    def read(self, at_most: int = 1 << 30) -> list[Entry]:
        """The whole entries that are there.

        Raises:
            DecodeError: the first that would have to be returned is none.
        """
        out: list[Entry] = []
        if self._have < self._need:
            return out
        buf, off, pos = self._join(), self._off, self.pos
        size, head, tail = len(buf), self._head, TAIL.size if self.resilient else 0
        need = self._need = head
        head_at, tail_at = HEAD.unpack_from, TAIL.unpack_from
        try:
            while len(out) < at_most and size - off >= head:
                mark, length = head_at(buf, off) if tail else (0, 0)
                if mark == SENTINEL and length <= MAX_ENTRY:
                    need = length + head + tail
                else:
                    need = self._size_of(buf, off, pos)
                if size - off < need:
                    break
                stop = off + need
                if tail and tail_at(buf, stop - tail)[0] != pos:
                    raise self._bad(pos, "its end names another place as its beginning")
                out.append(Entry(pos, pos + need, buf[off + head : stop - tail]))
                off, pos, need = stop, pos + need, head
        except DecodeError:
            need = head
            if not out:
                raise
        finally:
            self._have -= off - self._off
            self._off, self.pos, self._need = off, pos, need
        return out

    def resync(self) -> bool:
        """Go on to the next place behind `pos` where a whole entry lies.

        False: there is none in the bytes fed; `pos` is where one may begin that is not whole yet,
        or near the end of those bytes: feed more and ask again. The old form has no marks, so that
        nothing is found.
        """
        buf, begin = self._join(), self._off
        at, base = begin - self._seeking, self.pos - begin
        while self.resilient:
            at = buf.find(_MARK, at + 1)
            if at < 0:
                break
            if self._may_be_entry(buf, at, base + at):
                self._skip_to(at)
                found = self.readable()
                self._seeking = not found
                return found
        self._seeking = True
        self._skip_to(max(begin, len(buf) - TAIL.size) if self.resilient else len(buf))
        return False

    def ends_entry_of(self, pos: int) -> bool:
        """Whether the last bytes fed are the end of an entry that begins at `pos`."""
        if not self.resilient or self._have < TAIL.size:
            return False
        return bool(TAIL.unpack(self._join()[-TAIL.size :])[0] == pos)

    def _may_be_entry(self, buf: bytes, at: int, pos: int) -> bool:
        """Whether an entry that begins there is right as far as it is known."""
        if len(buf) - at < self._head:
            return self.limit is None or pos + self._head + TAIL.size <= self.limit
        try:
            need = self._size_of(buf, at, pos)
        except DecodeError:
            return False
        if self.limit is not None and pos + need > self.limit:
            return False
        if len(buf) - at < need:
            return True
        return bool(TAIL.unpack_from(buf, at + need - TAIL.size)[0] == pos)

    def _skip_to(self, at: int) -> None:
        moved = at - self._off
        self.pos += moved
        self._have -= moved
        self._off, self._need = at, self._head

    def _size_of(self, buf: bytes, off: int, pos: int) -> int:
        if not self.resilient:
            (size,) = LEGACY_HEAD.unpack_from(buf, off)
        else:
            mark, size = HEAD.unpack_from(buf, off)
            if mark != SENTINEL:
                raise self._bad(pos, f"no entry begins here ({mark:#018x})")
        need = int(size) + envelope_size(int(self.resilient))
        torn = self.limit is not None and pos + need > self.limit
        if size > MAX_ENTRY and not torn:
            raise self._bad(pos, f"an entry of {size} bytes is too long to be one")
        return need

    def _join(self) -> bytes:
        if len(self._chunks) != 1:
            first = self._chunks[0][self._off :] if self._chunks else b""
            self._chunks = [b"".join([first, *self._chunks[1:]])]
            self._off = 0
        return self._chunks[0]

    def _bad(self, pos: int, why: str) -> DecodeError:
        return DecodeError("JournalEntry", "", pos, why)
