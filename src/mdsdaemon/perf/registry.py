"""All counters of one daemon, by the names of their groups.

Format: ceph/ceph, src/common/perf_counters.cc (Pacific), checked against 16.2.15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mdsdaemon import records
from mdsdaemon.perf.counters import Counter, PerfCounters, adjusted

Dump = dict[str, dict[str, Any]]
"""Group → counter → value or schema."""


@records.frozen
class Entry:
    """One counter with what MMgrReport says of it: `path` is `group.counter`."""

    path: str
    priority: int
    counter: Counter


class PerfRegistry:
    """The groups of counters of one daemon.

    A group that is removed takes its counters out of `dump` and of the manager's reports.
    """

    __slots__ = ("_groups", "_refreshers")

    def __init__(self) -> None:
        self._groups: dict[str, PerfCounters] = {}
        self._refreshers: list[Callable[[], None]] = []

    def add(self, counters: PerfCounters) -> None:
        """Add a group. A second one of the same name gets a number behind it."""
        name, number = counters.name, 1
        while counters.name in self._groups:
            number += 1
            counters.name = f"{name}-{number}"
        self._groups[counters.name] = counters

    def remove(self, counters: PerfCounters) -> None:
        """Take a group out; nothing happens when it is not in."""
        if self._groups.get(counters.name) is counters:
            del self._groups[counters.name]

    def on_dump(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before values are read, to set gauges that cost something to find out."""
        self._refreshers.append(refresh)

    def refresh(self) -> None:
        """Bring gauges up to date."""
        for refresh in self._refreshers:
            refresh()

    def __iter__(self) -> Iterator[PerfCounters]:
        return iter([self._groups[name] for name in sorted(self._groups)])

    def group(self, name: str) -> PerfCounters:
        """The group of this name. KeyError: there is none."""
        return self._groups[name]

    def entries(self) -> Iterator[Entry]:
        """Every counter that is no histogram, by path: what the manager gets."""
        self.refresh()
        for group in self:
            for counter in group:
                if counter.histogram is None:
                    priority = adjusted(counter.prio, group.prio_adjust)
                    yield Entry(f"{group.name}.{counter.name}", priority, counter)

    def dump(self, logger: str = "", counter: str = "") -> Dump:
        """`perf dump [logger] [counter]`."""
        self.refresh()
        return self._generic(lambda c, _: c.dump(), logger, counter, histograms=False)

    def schema(self) -> Dump:
        """`perf schema`."""
        return self._generic(lambda c, adjust: c.schema(adjust), "", "", histograms=False)

    def dump_histograms(self, logger: str = "", counter: str = "") -> Dump:
        """`perf histogram dump [logger] [counter]`."""
        return self._generic(lambda c, _: c.dump(), logger, counter, histograms=True)

    def histogram_schema(self) -> Dump:
        """`perf histogram schema`."""
        return self._generic(lambda c, adjust: c.schema(adjust), "", "", histograms=True)

    def _generic(
        self, show: Callable[[Counter, int], Any], logger: str, counter: str, *, histograms: bool
    ) -> Dump:
        return {
            group.name: {
                c.name: show(c, group.prio_adjust)
                for c in group
                if (c.histogram is not None) == histograms and counter in ("", c.name)
            }
            for group in self
            if logger in ("", group.name)
        }

    def reset(self, name: str) -> bool:
        """Set the counters of one group, or of `all`, to zero, except for gauges.

        Returns:
            False: there is no such group.
        """
        groups = [group for group in self if name in ("all", group.name)]
        for group in groups:
            group.reset()
        return bool(groups) or name == "all"

    def reset_command(self, name: str) -> dict[str, str]:
        """What `perf reset NAME` answers."""
        if self.reset(name):
            return {"success": f"perf reset {name}"}
        return {"error": f"Not find: {name}"}
