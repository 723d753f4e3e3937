"""Performance counters: what `perf dump` shows and what the manager gets.

Code that counts often keeps the `Counter` that `add_…` returned and calls it directly.

Format: ceph/ceph, src/common/perf_counters.h and .cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from mdsdaemon.perf.histogram import Axis, Histogram

_U64 = 2**64 - 1
NSEC = 1_000_000_000


class Type:
    """Bits of a counter's type, as MMgrReport and `perf schema` have them."""

    TIME = 0x1
    U64 = 0x2
    LONGRUNAVG = 0x4
    COUNTER = 0x8
    HISTOGRAM = 0x10


class Unit(IntEnum):
    """What is counted, as MMgrReport has it."""

    BYTES = 0
    NONE = 1


class Prio:
    """Priorities; `ceph daemonperf` shows from INTERESTING, the manager gets from USEFUL on."""

    CRITICAL = 10
    INTERESTING = 8
    USEFUL = 5
    UNINTERESTING = 2
    DEBUGONLY = 0


class Counter:
    """One counter.

    Attributes:
        type: bits of `Type`.
        nick: at most four characters, for `ceph daemonperf`.
        value: the count, or nanoseconds when it measures time; the sum when it is an average.
        avgcount: how many values the sum is of; 0 when it is no average.
    """

    __slots__ = ("avgcount", "description", "histogram", "name", "nick", "prio", "type", "unit",
                 "value")  # fmt: skip

    def __init__(
        self,
        name: str,
        kind: int,
        description: str = "",
        nick: str = "",
        prio: int = 0,
        unit: Unit = Unit.NONE,
        histogram: Histogram | None = None,
    ) -> None:
        if len(nick) > 4:
            raise ValueError(f"nick {nick!r} of counter {name} has more than four characters")
        self.name = name
        self.type = kind
        self.description = description
        self.nick = nick
        self.prio = prio
        self.unit = unit
        self.histogram = histogram
        self.value = 0
        self.avgcount = 0

    def __repr__(self) -> str:
        return f"<Counter {self.name} {self.value}>"

    def inc(self, amount: int = 1) -> None:
        """Add; for an average, add one value to it."""
        self.value = (self.value + amount) & _U64
        if self.type & Type.LONGRUNAVG:
            self.avgcount += 1

    def dec(self, amount: int = 1) -> None:
        """Subtract. Below zero it goes on from 2**64, as in Ceph."""
        self.value = (self.value - amount) & _U64

    def set(self, value: int) -> None:
        """Set a gauge; for an average, begin a new sum but count on."""
        self.value = value & _U64
        if self.type & Type.LONGRUNAVG:
            self.avgcount += 1

    def tinc(self, seconds: float) -> None:
        """Add a duration; for an average, add one value to it."""
        self.inc(round(seconds * NSEC))

    def tset(self, seconds: float) -> None:
        """Set a duration or a point in time."""
        self.value = round(seconds * NSEC) & _U64

    def hinc(self, x: int, y: int) -> None:
        """Count one pair of a histogram."""
        if self.histogram is None:
            raise TypeError(f"counter {self.name} is no histogram")
        self.histogram.inc(x, y)

    def reset(self) -> None:
        """To zero, except for gauges, which tell how things are now."""
        if self.type != Type.U64:
            self.value = self.avgcount = 0
        if self.histogram is not None:
            self.histogram.reset()

    def dump(self) -> Any:
        """As `perf dump` (or `perf histogram dump`) has it."""
        if self.histogram is not None:
            return self.histogram.dump()
        if not self.type & Type.LONGRUNAVG:
            return self.value if self.type & Type.U64 else _seconds(self.value)
        if self.type & Type.U64:
            return {"avgcount": self.avgcount, "sum": self.value}
        avg = self.value // self.avgcount if self.avgcount else 0
        return {
            "avgcount": self.avgcount,
            "sum": _seconds(self.value),
            "avgtime": _seconds(avg),
        }

    def schema(self, prio_adjust: int = 0) -> dict[str, Any]:
        """As `perf schema` has it."""
        number = "real" if self.type & Type.TIME else "integer"
        if self.type & Type.LONGRUNAVG:
            value_type = f"{number}-integer-pair"
        elif self.type & Type.HISTOGRAM:
            value_type = f"{number}-2d-histogram"
        else:
            value_type = number
        return {
            "type": self.type,
            "metric_type": "counter" if self.type & Type.COUNTER else "gauge",
            "value_type": value_type,
            "description": self.description,
            "nick": self.nick,
            "priority": adjusted(self.prio, prio_adjust),
            "units": "none" if self.unit == Unit.NONE else "bytes",
        }


def adjusted(prio: int, adjust: int) -> int:
    """A priority moved by `adjust`, within its bounds."""
    return max(min(prio + adjust, Prio.CRITICAL), 0)


def _seconds(nsec: int) -> float:
    return nsec / NSEC


class PerfCounters:
    """The counters of one part of a daemon, such as `mds` or `objecter`.

    Args:
        prio_default: priority of counters that are added without one.
        prio_adjust: moves the priorities of all when they are shown.
    """

    __slots__ = ("_counters", "name", "prio_adjust", "prio_default")

    def __init__(self, name: str, *, prio_default: int = 0, prio_adjust: int = 0) -> None:
        self.name = name
        self.prio_default = prio_default
        self.prio_adjust = prio_adjust
        self._counters: dict[str, Counter] = {}

    def __getitem__(self, name: str) -> Counter:
        return self._counters[name]

    def __iter__(self) -> Iterator[Counter]:
        return iter(self._counters.values())

    def __len__(self) -> int:
        return len(self._counters)

    def _add(self, counter: Counter) -> Counter:
        if counter.name in self._counters:
            raise ValueError(f"counter {self.name}.{counter.name} exists already")
        counter.prio = counter.prio or self.prio_default
        self._counters[counter.name] = counter
        return counter

    def add_u64(
        self, name: str, description: str = "", nick: str = "", prio: int = 0,
        unit: Unit = Unit.NONE,
    ) -> Counter:  # fmt: skip
        """A gauge."""
        return self._add(Counter(name, Type.U64, description, nick, prio, unit))

    def add_u64_counter(
        self, name: str, description: str = "", nick: str = "", prio: int = 0,
        unit: Unit = Unit.NONE,
    ) -> Counter:  # fmt: skip
        """A number that only grows."""
        return self._add(Counter(name, Type.U64 | Type.COUNTER, description, nick, prio, unit))

    def add_u64_avg(
        self, name: str, description: str = "", nick: str = "", prio: int = 0,
        unit: Unit = Unit.NONE,
    ) -> Counter:  # fmt: skip
        """A sum of numbers, and how many they are."""
        return self._add(Counter(name, Type.U64 | Type.LONGRUNAVG, description, nick, prio, unit))

    def add_time(self, name: str, description: str = "", nick: str = "", prio: int = 0) -> Counter:
        """A duration or a point in time."""
        return self._add(Counter(name, Type.TIME, description, nick, prio))

    def add_time_avg(
        self, name: str, description: str = "", nick: str = "", prio: int = 0
    ) -> Counter:
        """A sum of durations, and how many they are."""
        return self._add(Counter(name, Type.TIME | Type.LONGRUNAVG, description, nick, prio))

    def add_u64_counter_histogram(
        self, name: str, x: Axis, y: Axis, description: str = "", nick: str = "", prio: int = 0,
        unit: Unit = Unit.NONE,
    ) -> Counter:  # fmt: skip
        """Counts of pairs of numbers."""
        kind = Type.U64 | Type.HISTOGRAM | Type.COUNTER
        histogram = Histogram(x, y)
        return self._add(Counter(name, kind, description, nick, prio, unit, histogram))

    def inc(self, name: str, amount: int = 1) -> None:
        """Add to a counter. KeyError: there is none of this name; so in all that follow."""
        self._counters[name].inc(amount)

    def dec(self, name: str, amount: int = 1) -> None:
        """Subtract from a gauge."""
        self._counters[name].dec(amount)

    def set(self, name: str, value: int) -> None:
        """Set a gauge."""
        self._counters[name].set(value)

    def get(self, name: str) -> int:
        """The value of a counter, in nanoseconds where it measures time."""
        return self._counters[name].value

    def tinc(self, name: str, seconds: float) -> None:
        """Add a duration."""
        self._counters[name].tinc(seconds)

    def tset(self, name: str, seconds: float) -> None:
        """Set a duration or a point in time."""
        self._counters[name].tset(seconds)

    def hinc(self, name: str, x: int, y: int) -> None:
        """Count one pair of a histogram."""
        self._counters[name].hinc(x, y)

    def reset(self) -> None:
        """All counters to zero, except for gauges."""
        for counter in self:
            counter.reset()
