"""Sets of numbers as intervals: a dict of start and length, as interval_set<T> lies on the wire.

Format: ceph/ceph, src/include/interval_set.h (Pacific): a map of start and length, in order.
"""

from collections.abc import Iterable

from mdsdaemon.encoding import U64, Codec, Map

Intervals = dict[int, int]

IntervalSet: Codec[Intervals] = Map(U64, U64)
"""The codec: ``field(IntervalSet, factory=dict)``."""


def normalised(pieces: Iterable[tuple[int, int]]) -> Intervals:
    """The set of the given (start, length) pieces: in order, with no two that touch."""
    made: Intervals = {}
    last = None
    for start, length in sorted(pieces):
        if length <= 0:
            continue
        if last is not None and start <= last + made[last]:
            made[last] = max(made[last], start + length - last)
        else:
            made[start] = length
            last = start
    return made


def union(a: Intervals, b: Intervals) -> Intervals:
    """All numbers of either."""
    return normalised([*a.items(), *b.items()])


def subtract(a: Intervals, b: Intervals) -> Intervals:
    """The numbers of ``a`` that are not in ``b``."""
    holes = list(normalised(b.items()).items())
    left: list[tuple[int, int]] = []
    for start, length in normalised(a.items()).items():
        at, end = start, start + length
        for hole, size in holes:
            if hole + size <= at or hole >= end:
                continue
            if hole > at:
                left.append((at, hole - at))
            at = hole + size
        if at < end:
            left.append((at, end - at))
    return normalised(left)


def contains(a: Intervals, number: int) -> bool:
    """Whether the number is in the set."""
    return any(start <= number < start + length for start, length in a.items())


def size(a: Intervals) -> int:
    """How many numbers are in the set."""
    return sum(a.values())
