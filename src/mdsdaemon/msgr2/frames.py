"""Frames to bytes and back, msgr2.1 layout, in crc and in secure mode.

A frame is a preamble (tag, segment lengths), one to four segments, and, with more than one segment,
an epilogue. In crc mode the preamble and the first segment carry their own crc, the epilogue those
of the others. In secure mode the preamble takes the first 48 bytes of the first segment along; the
preamble, the rest of the first segment, and the other segments with the epilogue are sealed
separately, each segment padded to 16 bytes.

Format: ceph/ceph, src/msg/async/frames_v2.h, frames_v2.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from attrs import frozen

from mdsdaemon.msgr2.crypto import (
    GCM_TAG_LEN,
    GcmOpen,
    GcmSeal,
    preamble_crc,
    segment_crc,
)
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.message import MSG_HEADER2
from mdsdaemon.msgr2.states import Tag, tag_name

MAX_NUM_SEGMENTS = 4
PREAMBLE_LEN = 32
INLINE_LEN = 48
SECURE_PREAMBLE_LEN = PREAMBLE_LEN + INLINE_LEN + GCM_TAG_LEN
CRC_EPILOGUE_LEN = 13
SECURE_EPILOGUE_LEN = 16

LATE_STATUS_ABORTED = 0x1
LATE_STATUS_COMPLETE = 0xE
LATE_STATUS_MASK = 0xF

# tag, number of segments, four times (length, alignment), reserved; the crc follows.
_PREAMBLE = Struct("<BBIHIHIHIHH")
_PREAMBLE_LENGTHS = Struct("<BBIxxIxxIxxIxxxxI")
_U32 = Struct("<I")
_CRC_EPILOGUE = Struct("<BIII")
_SECURE_EPILOGUE = bytes([LATE_STATUS_COMPLETE]) + bytes(SECURE_EPILOGUE_LEN - 1)
_ALIGN = 8
_PAGE_ALIGN = 4096
_PADDING = bytes(INLINE_LEN)
_MESSAGE = int(Tag.MESSAGE)


@frozen
class FrameLimits:
    """The longest segments taken from a peer, in bytes; longer ones are refused by the preamble.

    `preauth` bounds all bytes that an unauthenticated peer may send.
    """

    control: int = 256 << 10
    front: int = 64 << 20
    middle: int = 16 << 20
    data: int = 128 << 20
    preauth: int = 1 << 20


def _padded(length: int) -> int:
    return (length + 15) & ~15


def _preamble(tag: int, segments: Sequence[bytes], count: int) -> bytes:
    l0 = len(segments[0])
    if count == 1:
        head = _PREAMBLE.pack(tag, 1, l0, _ALIGN, 0, 0, 0, 0, 0, 0, 0)
    elif count == 2:
        head = _PREAMBLE.pack(tag, 2, l0, _ALIGN, len(segments[1]), _ALIGN, 0, 0, 0, 0, 0)
    else:
        l3 = len(segments[3]) if count == 4 else 0
        head = _PREAMBLE.pack(
            tag,
            count,
            l0,
            _ALIGN,
            len(segments[1]),
            _ALIGN,
            len(segments[2]),
            _ALIGN,
            l3,
            _PAGE_ALIGN if l3 else 0,
            0,
        )
    return head + _U32.pack(preamble_crc(head))


def _segment_count(segments: Sequence[bytes]) -> int:
    count = len(segments)
    while count > 1 and not segments[count - 1]:
        count -= 1
    return count


class FrameWriter:
    """Frames to bytes. Crc mode until `secure` is called.

    Frames collect until `take`; `nbytes` tells how much there is. While `transcript` is not None,
    everything written is appended to it as well.
    """

    __slots__ = ("_parts", "_seal", "nbytes", "transcript")

    def __init__(self) -> None:
        self.nbytes = 0
        self.transcript: bytearray | None = bytearray()
        self._parts: list[bytes] = []
        self._seal: GcmSeal | None = None

    def secure(self, seal: GcmSeal) -> None:
        """Seal all further frames."""
        self._seal = seal

    def write(self, tag: int, *segments: bytes) -> None:
        """Add one frame; trailing empty segments are left out."""
        count = _segment_count(segments)
        preamble = _preamble(tag, segments, count)
        before = len(self._parts)
        if self._seal is None:
            self._write_crc(preamble, segments, count)
        else:
            self._write_secure(self._seal, preamble, segments, count)
        new = self._parts[before:]
        self.nbytes += sum(map(len, new))
        if self.transcript is not None:
            self.transcript += b"".join(new)

    def write_raw(self, data: bytes) -> None:
        """Add bytes outside of any frame (the banner)."""
        self._parts.append(data)
        self.nbytes += len(data)
        if self.transcript is not None:
            self.transcript += data

    def take(self) -> bytes:
        """Everything written so far."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self.nbytes = 0
        return data

    def _write_crc(self, preamble: bytes, segments: Sequence[bytes], count: int) -> None:
        first = segments[0]
        parts = self._parts
        if not first:
            parts.append(preamble)
        else:
            parts += (preamble, first, _U32.pack(segment_crc(first)))
        if count == 1:
            return
        crcs = [0, 0, 0]
        for index in range(1, count):
            segment = segments[index]
            crcs[index - 1] = segment_crc(segment)
            if segment:
                parts.append(segment)
        parts.append(_CRC_EPILOGUE.pack(LATE_STATUS_COMPLETE, *crcs))

    def _write_secure(
        self, seal: GcmSeal, preamble: bytes, segments: Sequence[bytes], count: int
    ) -> None:
        first = segments[0]
        length = len(first)
        parts = self._parts
        if length <= INLINE_LEN:
            parts.append(seal.seal(preamble + first + _PADDING[length:]))
        else:
            parts.append(seal.seal(preamble + first[:INLINE_LEN]))
            parts.append(seal.seal(first[INLINE_LEN:] + bytes(-length % 16)))
        if count == 1:
            return
        rest: list[bytes] = []
        for index in range(1, count):
            segment = segments[index]
            if segment:
                rest.append(segment)
                padding = -len(segment) % 16
                if padding:
                    rest.append(_PADDING[:padding])
        rest.append(_SECURE_EPILOGUE)
        parts.append(seal.seal(b"".join(rest)))


class FrameReader:
    """Bytes to frames. Crc mode until `secure` is called.

    `allowed` is the bit mask of tags that may come next; a preamble with another one, or with a
    segment beyond `limits`, is refused before its segments are waited for. While `transcript` is
    not None, the bytes of every frame that `next` returns are appended to it.

    Invariant: `_buffer[_pos:]` is what has not been returned yet; the part before is dropped when
    more bytes arrive, not per frame.
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
        self._buffer = bytearray()
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
        if self._pos:
            del self._buffer[: self._pos]
            self._pos = 0
        self._buffer += data

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
        data = bytes(self._buffer[self._pos : self._pos + count])
        self._consume(count)
        return data

    def peek_raw(self, count: int) -> bytes:
        """Up to `count` of the next bytes."""
        return bytes(self._buffer[self._pos : self._pos + count])

    def clear(self) -> None:
        """Forget everything."""
        self._buffer = bytearray()
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
        while True:
            if not self._tag and not self._read_preamble():
                return None
            rest = self._rest
            if len(self._buffer) - self._pos < rest:
                return None
            tag = self._tag
            with memoryview(self._buffer) as whole, whole[self._pos : self._pos + rest] as view:
                segments = self._crc_segments(view) if not self._open else self._open_segments(view)
            self._consume(rest)
            self._tag = 0
            self._lengths = ()
            self._inline = b""
            if segments is not None:
                return tag, segments

    def _consume(self, count: int) -> None:
        if self.transcript is not None:
            self.transcript += self._buffer[self._pos : self._pos + count]
            if len(self.transcript) > self._limits.preauth:
                raise ProtocolError("too many bytes before authentication")
        self._pos += count

    def _read_preamble(self) -> bool:
        size = PREAMBLE_LEN if self._open is None else SECURE_PREAMBLE_LEN
        if len(self._buffer) - self._pos < size:
            return False
        head: bytes | memoryview
        if self._open is None:
            head = bytes(self._buffer[self._pos : self._pos + PREAMBLE_LEN])
        else:
            with memoryview(self._buffer) as whole, whole[self._pos : self._pos + size] as sealed:
                head = self._open.open(sealed)
        tag, count, l0, l1, l2, l3, crc = _PREAMBLE_LENGTHS.unpack_from(head)
        if preamble_crc(head[: PREAMBLE_LEN - 4]) != crc:
            raise ProtocolError("a frame's preamble has a wrong crc")
        if not 1 <= count <= MAX_NUM_SEGMENTS:
            raise ProtocolError(f"a frame has {count} segments")
        lengths = (l0, l1, l2, l3)[:count]
        if count > 1 and not lengths[-1]:
            raise ProtocolError("a frame's last segment is empty")
        if tag > _LAST_TAG or not self.allowed >> tag & 1:
            raise ProtocolError(f"frame {tag_name(tag)} is out of place")
        self._check_limits(tag, lengths)
        if self._open is None:
            rest = sum(lengths)
            if l0:
                rest += 4
            if count > 1:
                rest += CRC_EPILOGUE_LEN
        else:
            rest = 0
            if l0 > INLINE_LEN:
                rest = _padded(l0) - INLINE_LEN + GCM_TAG_LEN
            if count > 1:
                rest += sum(map(_padded, lengths[1:])) + SECURE_EPILOGUE_LEN + GCM_TAG_LEN
            self._inline = head[PREAMBLE_LEN:]
        self._consume(size)
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
        maxima = (("front", limits.front), ("middle", limits.middle), ("data", limits.data))
        for length, (name, most) in zip(lengths[1:], maxima, strict=False):
            if length > most:
                raise ProtocolError(f"a message with {length} bytes of {name}, {most} are taken")

    def _crc_segments(self, view: memoryview) -> list[bytes] | None:
        lengths = self._lengths
        first = bytes(view[: lengths[0]])
        at = lengths[0]
        if first:
            if segment_crc(first) != _U32.unpack_from(view, at)[0]:
                raise ProtocolError("a frame's first segment has a wrong crc")
            at += 4
        segments = [first]
        if len(lengths) == 1:
            return segments
        for length in lengths[1:]:
            segments.append(bytes(view[at : at + length]))
            at += length
        late_status, *crcs = _CRC_EPILOGUE.unpack_from(view, at)
        for segment, crc in zip(segments[1:], crcs, strict=False):
            if segment_crc(segment) != crc:
                raise ProtocolError("a frame's segment has a wrong crc")
        return self._complete(late_status, segments)

    def _open_segments(self, view: memoryview) -> list[bytes] | None:
        assert self._open is not None
        lengths = self._lengths
        first = self._inline
        at = 0
        if lengths[0] > INLINE_LEN:
            at = _padded(lengths[0]) - INLINE_LEN + GCM_TAG_LEN
            first += self._open.open(view[:at])
        segments = [first[: lengths[0]]]
        if len(lengths) == 1:
            return segments
        plain = self._open.open(view[at:])
        at = 0
        for length in lengths[1:]:
            segments.append(plain[at : at + length])
            at += _padded(length)
        return self._complete(plain[at], segments)

    def _complete(self, late_status: int, segments: list[bytes]) -> list[bytes] | None:
        status = late_status & LATE_STATUS_MASK
        if status == LATE_STATUS_COMPLETE:
            return segments
        if status == LATE_STATUS_ABORTED:
            return None
        raise ProtocolError(f"a frame ends with status {late_status:#x}")


_LAST_TAG = max(Tag)
