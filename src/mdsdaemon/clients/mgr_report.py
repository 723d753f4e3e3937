"""What a report to the manager says of the perf counters.

A counter is declared once per session, by path, when its priority reaches the manager's threshold;
from then on its value is in every report, until it is undeclared. Values lie in the order of the
paths, which the manager knows from the declarations.

Source of the behaviour: ceph/ceph, src/mgr/MgrClient.cc, _send_report (Pacific)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from attrs import define, field, frozen

from mdsdaemon.messages.mgr import PackedCounters, PerfCounterType

PERFCOUNTER_LONGRUNAVG = 0x4
_U64 = (1 << 64) - 1
_ONE = struct.Struct("<Q").pack
_THREE = struct.Struct("<QQQ").pack


@frozen
class Counter:
    """One perf counter now. `kind`: its PERFCOUNTER bits; `value`: ns for times; `count`: of
    an average."""

    path: str
    kind: int
    value: int
    count: int = 0
    priority: int = 0
    description: str = ""
    nick: str = ""
    unit: int = 1


@frozen
class CounterReport:
    """The part of an MMgrReport that is about counters."""

    declare: list[PerfCounterType]
    undeclare: list[str]
    packed: PackedCounters


@define
class DeclaredCounters:
    """The counters that the manager knows in this session."""

    declared: set[str] = field(factory=set)

    def report(self, counters: Iterable[Counter], threshold: int) -> CounterReport:
        """Declare, undeclare and pack; the declared set is that of the returned report."""
        shown = {c.path: c for c in counters if c.priority >= threshold}
        undeclare = sorted(self.declared - shown.keys())
        declare = []
        values = bytearray()
        for path in sorted(shown):
            counter = shown[path]
            if path not in self.declared:
                declare.append(_declaration(counter))
            if counter.kind & PERFCOUNTER_LONGRUNAVG:
                count = counter.count & _U64
                values += _THREE(counter.value & _U64, count, count)
            else:
                values += _ONE(counter.value & _U64)
        self.declared = set(shown)
        return CounterReport(declare, undeclare, PackedCounters(bytes(values)))


def _declaration(counter: Counter) -> PerfCounterType:
    return PerfCounterType(
        path=counter.path,
        description=counter.description,
        nick=counter.nick,
        type=counter.kind,
        priority=counter.priority,
        unit=counter.unit,
    )
