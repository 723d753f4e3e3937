"""What a report to the manager says of the perf counters.

A counter is declared once per session, by path, when its priority reaches the manager's threshold;
from then on its value is in every report, until it is undeclared. Values lie in the order of the
paths, which the manager knows from the declarations.

Source of the behaviour: ceph/ceph, src/mgr/MgrClient.cc, _send_report (Pacific)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from mdsdaemon.messages.mgr import PackedCounters, PerfCounterType
from mdsdaemon.perf import Entry, Type
from mdsdaemon.records import define, field, frozen

_ONE = struct.Struct("<Q").pack
_THREE = struct.Struct("<QQQ").pack


@frozen
class CounterReport:
    """The part of an MMgrReport that is about counters."""

    declare: list[PerfCounterType]
    undeclare: list[str]
    packed: PackedCounters


@define
class DeclaredCounters:
    """The paths of the counters that the manager knows in this session."""

    declared: set[str] = field(factory=set)

    def report(self, entries: Iterable[Entry], threshold: int) -> CounterReport:
        """Declare, undeclare and pack; the declared set is that of the returned report."""
        shown = {entry.path: entry for entry in entries if entry.priority >= threshold}
        undeclare = sorted(self.declared - shown.keys())
        declare = []
        values = bytearray()
        for path in sorted(shown):
            counter = shown[path].counter
            if path not in self.declared:
                declare.append(_declaration(shown[path]))
            if counter.type & Type.LONGRUNAVG:
                values += _THREE(counter.value, counter.avgcount, counter.avgcount)
            else:
                values += _ONE(counter.value)
        self.declared = set(shown)
        return CounterReport(declare, undeclare, PackedCounters(bytes(values)))


def _declaration(entry: Entry) -> PerfCounterType:
    counter = entry.counter
    return PerfCounterType(
        path=entry.path,
        description=counter.description,
        nick=counter.nick,
        type=counter.type,
        priority=entry.priority,
        unit=counter.unit,
    )
