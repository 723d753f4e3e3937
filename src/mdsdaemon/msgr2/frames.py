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

from mdsdaemon.checksum import crc32c
from mdsdaemon.msgr2.crypto import GcmSeal
from mdsdaemon.records import frozen

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
_ONES = 0xFFFFFFFF
"""Ceph's crc has no final inversion; that of a preamble begins with 0, others with -1."""


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
    return head + _U32.pack(crc32c(head, _ONES) ^ _ONES)


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
        count = len(segments)
        while count > 1 and not segments[count - 1]:
            count -= 1
        preamble = _preamble(tag, segments, count)
        if self._seal is None:
            frame = _in_crc_mode(preamble, segments, count)
        else:
            frame = _in_secure_mode(self._seal, preamble, segments, count)
        self._parts += frame
        for part in frame:
            self.nbytes += len(part)
        if self.transcript is not None:
            self.transcript += b"".join(frame)

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


def _in_crc_mode(preamble: bytes, segments: Sequence[bytes], count: int) -> list[bytes]:
    first = segments[0]
    frame = [preamble]
    if first:
        frame += (first, _U32.pack(crc32c(first) ^ _ONES))
    if count == 1:
        return frame
    if count == 2:  # as most messages have it
        frame.append(segments[1])
        crcs = [crc32c(segments[1]) ^ _ONES, 0, 0]
    else:
        frame += filter(None, segments[1:count])
        crcs = [crc32c(segment) ^ _ONES for segment in segments[1:count]]
        crcs += [0] * (4 - count)
    frame.append(CRC_EPILOGUE.pack(LATE_STATUS_COMPLETE, *crcs))
    return frame


def _in_secure_mode(
    seal: GcmSeal, preamble: bytes, segments: Sequence[bytes], count: int
) -> list[bytes]:
    first = segments[0]
    length = len(first)
    if length <= INLINE_LEN:
        frame = [seal.seal(preamble + first + _PADDING[length:])]
    else:
        frame = [
            seal.seal(preamble + first[:INLINE_LEN]),
            seal.seal(first[INLINE_LEN:] + bytes(-length % 16)),
        ]
    if count == 1:
        return frame
    rest: list[bytes] = []
    for segment in segments[1:count]:
        if segment:
            rest.append(segment)
            padding = -len(segment) % 16
            if padding:
                rest.append(_PADDING[:padding])
    rest.append(_SECURE_EPILOGUE)
    frame.append(seal.seal(b"".join(rest)))
    return frame
