"""Two-dimensional histograms of performance counters.

Format: ceph/ceph, src/common/perf_histogram.h and .cc (Pacific)
"""

from __future__ import annotations

from typing import Any

from mdsdaemon import records

LINEAR = "linear"
LOG2 = "log2"
_U64 = 2**64 - 1


@records.frozen
class Axis:
    """One axis: bucket 0 holds values below `min`, the last one all that is too large.

    Attributes:
        scale: LINEAR (each bucket `quant_size` wide) or LOG2 (each twice as wide as the last).
        quant_size: width of the first bucket from `min` on.
        buckets: their number, at least 1.
    """

    name: str
    scale: str
    min: int
    quant_size: int
    buckets: int

    def __attrs_post_init__(self) -> None:
        if self.buckets < 1 or self.quant_size < 1 or self.scale not in (LINEAR, LOG2):
            raise ValueError(f"axis {self.name} has no buckets, or an unknown scale")

    def _quants(self, i: int) -> int:
        """The upper end of bucket `i`, in quants from `min`."""
        return i if self.scale == LINEAR else 1 << (i - 1)

    def bucket(self, value: int) -> int:
        """The bucket that `value` falls into."""
        if value < self.min:
            return 0
        quant = (value - self.min) // self.quant_size
        index = quant + 1 if self.scale == LINEAR else quant.bit_length() + 1
        return min(index, self.buckets - 1)

    def dump(self) -> dict[str, Any]:
        """As `perf histogram dump` has it; bounds are inclusive."""
        ranges: list[dict[str, int]] = []
        low = self.min
        for i in range(self.buckets):
            bucket: dict[str, int] = {}
            if i > 0:
                bucket["min"] = low
            if i == 0 and self.buckets > 1:
                bucket["max"] = self.min - 1
            elif i < self.buckets - 1:
                end = self.min + self._quants(i) * self.quant_size
                bucket["max"] = end - 1
                low = end
            ranges.append(bucket)
        return {
            "name": self.name,
            "min": self.min,
            "quant_size": self.quant_size,
            "buckets": self.buckets,
            "scale_type": self.scale,
            "ranges": ranges,
        }


class Histogram:
    """Counts of pairs (x, y)."""

    __slots__ = ("_values", "x", "y")

    def __init__(self, x: Axis, y: Axis) -> None:
        self.x = x
        self.y = y
        self._values = [0] * (x.buckets * y.buckets)

    def inc(self, x: int, y: int) -> None:
        """Count one pair."""
        index = self.x.bucket(x) * self.y.buckets + self.y.bucket(y)
        self._values[index] = (self._values[index] + 1) & _U64

    def reset(self) -> None:
        """Set all counts to zero."""
        self._values = [0] * len(self._values)

    def dump(self) -> dict[str, Any]:
        """The axes, and `values[x][y]`."""
        width = self.y.buckets
        rows = [self._values[i : i + width] for i in range(0, len(self._values), width)]
        return {"axes": [self.x.dump(), self.y.dump()], "values": rows}
