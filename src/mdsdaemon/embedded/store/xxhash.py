"""xxHash, 32 and 64 bits, for the operation that sums an object up.

Source of the algorithm: the xxHash specification (doc/xxhash_spec.md of Cyan4973/xxHash); where
Ceph uses it: ceph/ceph, src/common/Checksummer.h. Plain Python: some 5 MB a second.
"""

from __future__ import annotations

import struct
from typing import Final

_MASK32: Final = 0xFFFFFFFF
_MASK64: Final = 0xFFFFFFFFFFFFFFFF
_P32: Final = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
_P64: Final = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def xxh32(data: bytes, seed: int) -> int:
    """The 32-bit hash."""
    p1, p2, p3, p4, p5 = _P32
    size = len(data)
    whole = size & ~15
    if whole:
        lanes = [seed + p1 + p2, seed + p2, seed, seed - p1]
        for words in struct.iter_unpack("<IIII", data[:whole]):
            lanes = [
                (_rotl32(lane + word * p2 & _MASK32, 13) * p1) & _MASK32
                for lane, word in zip(lanes, words, strict=True)
            ]
        one, two, three, four = lanes
        total = _rotl32(one, 1) + _rotl32(two, 7) + _rotl32(three, 12) + _rotl32(four, 18)
    else:
        total = seed + p5
    total = total + size & _MASK32
    words_end = size & ~3
    for (word,) in struct.iter_unpack("<I", data[whole:words_end]):
        total = _rotl32(total + word * p3 & _MASK32, 17) * p4 & _MASK32
    for byte in data[words_end:]:
        total = _rotl32(total + byte * p5 & _MASK32, 11) * p1 & _MASK32
    total = (total ^ total >> 15) * p2 & _MASK32
    total = (total ^ total >> 13) * p3 & _MASK32
    return total ^ total >> 16


def xxh64(data: bytes, seed: int) -> int:
    """The 64-bit hash."""
    p1, p2, p3, p4, p5 = _P64
    size = len(data)
    whole = size & ~31
    if whole:
        lanes = [seed + p1 + p2, seed + p2, seed, seed - p1]
        for words in struct.iter_unpack("<QQQQ", data[:whole]):
            lanes = [_round64(lane, word) for lane, word in zip(lanes, words, strict=True)]
        one, two, three, four = (lane & _MASK64 for lane in lanes)
        total = _rotl64(one, 1) + _rotl64(two, 7) + _rotl64(three, 12) + _rotl64(four, 18)
        for lane in lanes:
            total = (total ^ _round64(0, lane)) * p1 + p4 & _MASK64
    else:
        total = seed + p5
    total = total + size & _MASK64
    words_end = size & ~7
    for (word,) in struct.iter_unpack("<Q", data[whole:words_end]):
        total = _rotl64(total ^ _round64(0, word), 27) * p1 + p4 & _MASK64
    if size - words_end >= 4:
        half = int.from_bytes(data[words_end : words_end + 4], "little")
        total = _rotl64((total ^ half * p1) & _MASK64, 23) * p2 + p3 & _MASK64
        words_end += 4
    for byte in data[words_end:]:
        total = _rotl64((total ^ byte * p5) & _MASK64, 11) * p1 & _MASK64
    total = (total ^ total >> 33) * p2 & _MASK64
    total = (total ^ total >> 29) * p3 & _MASK64
    return total ^ total >> 32


def _round64(lane: int, word: int) -> int:
    return _rotl64(lane + word * _P64[1] & _MASK64, 31) * _P64[0] & _MASK64


def _rotl32(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK32


def _rotl64(value: int, by: int) -> int:
    return (value << by | value >> 64 - by) & _MASK64
