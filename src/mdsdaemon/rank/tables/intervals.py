"""A set of numbers as intervals, for sets that change all the time.

What lies on disk and wire are plain dicts of start and length (`types.interval_set`).

Behaviour: ceph/ceph, src/include/interval_set.h (Pacific)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping


class Intervals:
    """The set; adding what is there, or removing what is not, raises ValueError."""

    __slots__ = ("_ends", "_starts", "size")

    def __init__(self, pieces: Mapping[int, int] | None = None) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.size = 0
        if pieces:
            self.union(pieces)

    # -- what is in it -----------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        """How many intervals it has; `size` is how many numbers."""
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(start, length) in order."""
        return iter([(s, e - s) for s, e in zip(self._starts, self._ends, strict=True)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    @property
    def first(self) -> int:
        """The lowest number; IndexError if the set is empty."""
        return self._starts[0]

    def as_dict(self) -> dict[int, int]:
        """As it lies on disk."""
        return dict(self)

    def intersection(self, pieces: Mapping[int, int]) -> Intervals:
        """What both have."""
        both = Intervals()
        for start, length in pieces.items():
            end = start + length
            at = max(bisect_right(self._starts, start) - 1, 0)
            while at < len(self._starts) and self._starts[at] < end:
                low, high = max(start, self._starts[at]), min(end, self._ends[at])
                if low < high:
                    both.insert(low, high - low)
                at += 1
        return both

    # -- changing it -------------------------------------------------------------------------

    def insert(self, start: int, length: int = 1) -> None:
        """Add numbers; ValueError if one is there already."""
        if length <= 0:
            raise ValueError(f"an interval of {length} numbers")
        end = start + length
        at = bisect_right(self._starts, start)
        before = at > 0 and self._ends[at - 1] > start
        if before or (at < len(self._starts) and self._starts[at] < end):
            raise ValueError(f"{start:#x}~{length} overlaps what is there")
        joins_left = at > 0 and self._ends[at - 1] == start
        joins_right = at < len(self._starts) and self._starts[at] == end
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_left:
            self._ends[at - 1] = end
        elif joins_right:
            self._starts[at] = start
        else:
            self._starts.insert(at, start)
            self._ends.insert(at, end)
        self.size += length

    def erase(self, start: int, length: int = 1) -> None:
        """Remove numbers; ValueError unless all of them are there."""
        end = start + length
        at = bisect_right(self._starts, start) - 1
        if length <= 0 or at < 0 or end > self._ends[at]:
            raise ValueError(f"{start:#x}~{length} is not all there")
        self._cut(at, start, end)

    def discard(self, number: int) -> bool:
        """Remove a number if it is there; whether it was."""
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._ends[at]:
            return False
        self._cut(at, number, number + 1)
        return True

    def _cut(self, at: int, start: int, end: int) -> None:
        low, high = self._starts[at], self._ends[at]
        if low == start and high == end:
            del self._starts[at], self._ends[at]
        elif low == start:
            self._starts[at] = end
        elif high == end:
            self._ends[at] = start
        else:
            self._ends[at] = start
            self._starts.insert(at + 1, end)
            self._ends.insert(at + 1, high)
        self.size -= end - start

    def union(self, pieces: Mapping[int, int]) -> None:
        """Add numbers, whether or not they are there."""
        for start, length in pieces.items():
            if length <= 0:
                continue
            for low, size in self.intersection({start: length}):
                self.erase(low, size)
            self.insert(start, length)

    def subtract(self, pieces: Mapping[int, int]) -> None:
        """Remove those of the numbers that are there."""
        for low, size in self.intersection(pieces):
            self.erase(low, size)

    def take(self, want: int) -> dict[int, int]:
        """Remove the lowest numbers, `want` of them or what there is, and return them."""
        taken: dict[int, int] = {}
        while want > 0 and self._starts:
            start = self._starts[0]
            length = min(self._ends[0] - start, want)
            taken[start] = length
            self.erase(start, length)
            want -= length
        return taken

    def clear(self) -> None:
        """Remove everything."""
        self._starts.clear()
        self._ends.clear()
        self.size = 0

    def __str__(self) -> str:
        return "[" + ",".join(f"{start:x}~{length:x}" for start, length in self) + "]"

    def __repr__(self) -> str:
        return f"Intervals({self})"
