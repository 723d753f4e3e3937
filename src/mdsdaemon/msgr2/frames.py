"""The layout of frames, msgr2.1, in crc and in secure mode; frames to bytes.

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
    GcmSeal,
    preamble_crc,
    segment_crc,
)

PREAMBLE_LEN = 32
INLINE_LEN = 48
SECURE_EPILOGUE_LEN = 16

LATE_STATUS_COMPLETE = 0xE

# tag, number of segments, four times (length, alignment), reserved; the crc follows.
_PREAMBLE = Struct("<BBIHIHIHIHH")
_U32 = Struct("<I")
CRC_EPILOGUE = Struct("<BIII")
_SECURE_EPILOGUE = bytes([LATE_STATUS_COMPLETE]) + bytes(SECURE_EPILOGUE_LEN - 1)
_ALIGN = 8
_PAGE_ALIGN = 4096
_PADDING = bytes(INLINE_LEN)


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
        parts.append(CRC_EPILOGUE.pack(LATE_STATUS_COMPLETE, *crcs))

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
