"""Which names have left the cache: a Bloom filter for a fragment that is not complete any more.

A name that is neither in the cache nor here does not exist, so that a file can be made in a large
directory without reading it again.
"""

from __future__ import annotations

BITS = 16
"""For each name that it is made for; four of them set: one in 400 names is taken for another."""
LEAST = 64


class NameFilter:
    """Names are added; `in` is true for all of them, and for few others."""

    __slots__ = ("_bits", "_table")

    def __init__(self, capacity: int) -> None:
        """`capacity`: how many names; beyond that more others are taken for them."""
        self._table = bytearray(max(capacity, LEAST) * BITS // 8)
        self._bits = len(self._table) * 8

    def _places(self, name: str) -> tuple[int, int, int, int]:
        value = hash(name)
        step = hash((value, name)) | 1
        bits = self._bits
        return (
            value % bits,
            (value + step) % bits,
            (value + 2 * step) % bits,
            (value + 3 * step) % bits,
        )

    def add(self, name: str) -> None:
        table = self._table
        for place in self._places(name):
            table[place >> 3] |= 1 << (place & 7)

    def __contains__(self, name: str) -> bool:
        table = self._table
        return all(table[place >> 3] & (1 << (place & 7)) for place in self._places(name))
