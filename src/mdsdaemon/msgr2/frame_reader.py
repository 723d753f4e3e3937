"""Bytes to frames, bounded; the layout stands in `frames`.

Format: ceph/ceph, src/msg/async/frames_v2.h, frames_v2.cc (Pacific)
"""

from __future__ import annotations

from struct import Struct

from mdsdaemon.checksum import crc32c
from mdsdaemon.msgr2.crypto import GCM_TAG_LEN, GcmOpen
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.frames import (
    CRC_EPILOGUE,
    INLINE_LEN,
    LATE_STATUS_COMPLETE,
    PREAMBLE_LEN,
    SECURE_EPILOGUE_LEN,
    FrameLimits,
)
from mdsdaemon.msgr2.message import MSG_HEADER2
from mdsdaemon.msgr2.states import Tag, tag_name

MAX_NUM_SEGMENTS = 4
SECURE_PREAMBLE_LEN = PREAMBLE_LEN + INLINE_LEN + GCM_TAG_LEN

LATE_STATUS_ABORTED = 0x1
LATE_STATUS_MASK = 0xF

_PREAMBLE = Struct("<BBIxxIxxIxxIxxxxI")  # tag, number of segments, their lengths, crc
_CRC_AT = PREAMBLE_LEN - 4
_ONES = 0xFFFFFFFF
_U32 = Struct("<I")
_MESSAGE = int(Tag.MESSAGE)
_MESSAGE_PARTS = ("front", "middle", "data")
_LAST_TAG = int(max(Tag))
_SHORT = 16 << 10


def _padded(length: int) -> int:
    return (length + 15) & ~15


class FrameReader:
    """Bytes to frames. Crc mode until `secure` is called.

    `allowed` is the bit mask of tags that may come next; a preamble with another one, or with a
    segment beyond `limits`, is refused before its segments are waited for. While `transcript` is
    not None, the bytes of every frame that `next` returns are appended to it.

    Invariant: `_buffer[_pos:]` is what has not been returned yet. The part before is dropped when
    more bytes arrive, not per frame. The buffer is bytes, cut without detours, until the beginning
    of a long frame has to wait for its rest: then it is a bytearray that grows.
    """

    __slots__ = (
        "_buffer",
        "_inline",
        "_lengths",
        "_limits",
        "_open",
        "_pos",
        "_rest",
        "_tag",
        "allowed",
        "transcript",
    )

    def __init__(self, limits: FrameLimits) -> None:
        self.allowed = 0
        self.transcript: bytearray | None = bytearray()
        self._limits = limits
        self._open: GcmOpen | None = None
        self._buffer: bytes | bytearray = b""
        self._pos = 0
        # Of the frame whose preamble has been read (_tag != 0): its segment lengths, the bytes on
        # the wire after the preamble, and in secure mode the inlined part of its first segment.
        self._tag = 0
        self._lengths: tuple[int, ...] = ()
        self._rest = 0
        self._inline = b""

    def secure(self, opener: GcmOpen) -> None:
        """Everything after the last frame returned is sealed."""
        self._open = opener

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes from the peer."""
        left = self.buffered
        if not left:
            self._buffer = bytes(data)
        elif left <= _SHORT:
            self._buffer = bytes(self._buffer[self._pos :]) + data
        else:
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer[self._pos :])
            elif self._pos:
                del self._buffer[: self._pos]
            self._buffer += data
        self._pos = 0

    @property
    def buffered(self) -> int:
        """Bytes fed and not returned yet."""
        return len(self._buffer) - self._pos

    @property
    def incoming_bytes(self) -> int:
        """Front, middle and data bytes of a message whose preamble has been read; else 0."""
        return sum(self._lengths[1:]) if self._tag == _MESSAGE else 0

    def take_raw(self, count: int) -> bytes | None:
        """`count` bytes outside of any frame, or None if there are not as many yet."""
        if self.buffered < count:
            return None
        data = self.peek_raw(count)
        self._record(count)
        self._pos += count
        return data

    def peek_raw(self, count: int) -> bytes:
        """Up to `count` of the next bytes."""
        return bytes(self._buffer[self._pos : self._pos + count])

    def clear(self) -> None:
        """Forget everything."""
        self._buffer = b""
        self._pos = 0
        self._tag = 0
        self._lengths = ()
        self._inline = b""
        self.transcript = None

    def next(self) -> tuple[int, list[bytes]] | None:
        """The next frame's tag and segments, or None until more bytes arrive.

        A message that its sender has aborted half-way is left out.

        Raises:
            ProtocolError: the bytes are not a frame, or not one that may come now.
        """
        while self._tag or self._read_preamble():
            rest, pos, buffer = self._rest, self._pos, self._buffer
            if len(buffer) - pos < rest:
                return None
            tag = self._tag
            if isinstance(buffer, bytes):
                segments = self._segments(buffer, pos)
            else:
                with memoryview(buffer) as view:
                    segments = self._segments(view, pos)
            if self.transcript is not None:
                self._record(rest)
            self._pos = pos + rest
            self._tag = 0
            self._lengths = ()
            if segments is not None:
                return tag, segments
        return None

    def _record(self, count: int) -> None:
        if self.transcript is not None:
            self.transcript += self._buffer[self._pos : self._pos + count]
            if len(self.transcript) > self._limits.preauth:
                raise ProtocolError("too many bytes before authentication")

    def _read_preamble(self) -> bool:
        """Take the next preamble apart; False if it is not there yet."""
        pos, buffer = self._pos, self._buffer
        left = len(buffer) - pos
        if not left:
            return False
        opener = self._open
        size = PREAMBLE_LEN if opener is None else SECURE_PREAMBLE_LEN
        if left < size:
            return False
        if opener is None:
            tag, count, l0, l1, l2, l3, crc = _PREAMBLE.unpack_from(buffer, pos)
            checked = buffer[pos : pos + _CRC_AT]
        else:
            head = opener.open(buffer[pos : pos + size])
            self._inline = head[PREAMBLE_LEN:]
            tag, count, l0, l1, l2, l3, crc = _PREAMBLE.unpack_from(head)
            checked = head[:_CRC_AT]
        if crc32c(checked, _ONES) ^ _ONES != crc:
            raise ProtocolError("a frame's preamble has a wrong crc")
        if not 1 <= count <= MAX_NUM_SEGMENTS:
            raise ProtocolError(f"a frame has {count} segments")
        lengths = (l0, l1, l2, l3)[:count]
        if count > 1 and not lengths[-1]:
            raise ProtocolError("a frame's last segment is empty")
        if tag > _LAST_TAG or not self.allowed >> tag & 1:
            raise ProtocolError(f"frame {tag_name(tag)} is out of place")
        limits = self._limits
        if (
            tag != _MESSAGE
            or l0 != MSG_HEADER2.size
            or l1 > limits.front
            or l2 > limits.middle
            or l3 > limits.data
        ):
            self._check_limits(tag, lengths)
        if opener is None:
            rest = sum(lengths)
            if l0:
                rest += 4
            if count > 1:
                rest += CRC_EPILOGUE.size
        else:
            rest = 0
            if l0 > INLINE_LEN:
                rest = _padded(l0) - INLINE_LEN + GCM_TAG_LEN
            if count > 1:
                rest += sum(map(_padded, lengths[1:])) + SECURE_EPILOGUE_LEN + GCM_TAG_LEN
        if self.transcript is not None:
            self._record(size)
        self._pos = pos + size
        self._tag = tag
        self._lengths = lengths
        self._rest = rest
        return True

    def _check_limits(self, tag: int, lengths: tuple[int, ...]) -> None:
        limits = self._limits
        if tag != _MESSAGE:
            if len(lengths) != 1:
                raise ProtocolError(f"frame {tag_name(tag)} has {len(lengths)} segments")
            if lengths[0] > limits.control:
                raise ProtocolError(
                    f"frame {tag_name(tag)} of {lengths[0]} bytes, {limits.control} are taken"
                )
            return
        if lengths[0] != MSG_HEADER2.size:
            raise ProtocolError(f"a message header of {lengths[0]} bytes")
        maxima = (limits.front, limits.middle, limits.data)
        for length, most, name in zip(lengths[1:], maxima, _MESSAGE_PARTS, strict=False):
            if length > most:
                raise ProtocolError(f"a message with {length} bytes of {name}, {most} are taken")

    def _segments(self, data: bytes | memoryview, at: int) -> list[bytes] | None:
        """The segments of the frame whose bytes after the preamble begin at `at`."""
        if self._open is not None:
            return self._open_segments(self._open, data, at)
        lengths = self._lengths
        first = bytes(data[at : at + lengths[0]])
        at += lengths[0]
        if first:
            if crc32c(first) ^ _ONES != _U32.unpack_from(data, at)[0]:
                raise ProtocolError("a frame's first segment has a wrong crc")
            at += 4
        segments = [first]
        if len(lengths) == 1:
            return segments
        crcs = []
        for length in lengths[1:]:
            segment = bytes(data[at : at + length])
            at += length
            segments.append(segment)
            crcs.append(crc32c(segment) ^ _ONES)
        late_status, *expected = CRC_EPILOGUE.unpack_from(data, at)
        if crcs != expected[: len(crcs)]:
            raise ProtocolError("a frame's segment has a wrong crc")
        if late_status & LATE_STATUS_MASK == LATE_STATUS_COMPLETE:
            return segments
        return _unless_aborted(late_status, segments)

    def _open_segments(
        self, opener: GcmOpen, data: bytes | memoryview, at: int
    ) -> list[bytes] | None:
        lengths = self._lengths
        first = self._inline
        self._inline = b""
        end = at + self._rest
        if lengths[0] > INLINE_LEN:
            size = _padded(lengths[0]) - INLINE_LEN + GCM_TAG_LEN
            first += opener.open(data[at : at + size])
            at += size
        segments = [first[: lengths[0]]]
        if len(lengths) == 1:
            return segments
        plain = opener.open(data[at:end])
        at = 0
        for length in lengths[1:]:
            segments.append(plain[at : at + length])
            at += _padded(length)
        return _unless_aborted(plain[at], segments)


def _unless_aborted(late_status: int, segments: list[bytes]) -> list[bytes] | None:
    status = late_status & LATE_STATUS_MASK
    if status == LATE_STATUS_COMPLETE:
        return segments
    if status == LATE_STATUS_ABORTED:
        return None
    raise ProtocolError(f"a frame ends with status {late_status:#x}")
