"""Performance counters, as `perf dump` and the manager have them."""

from mdsdaemon.perf.context import MEMPOOLS, add_context_counters
from mdsdaemon.perf.counters import Counter, PerfCounters, Prio, Type, Unit
from mdsdaemon.perf.histogram import LINEAR, LOG2, Axis, Histogram
from mdsdaemon.perf.registry import Entry, PerfRegistry

__all__ = [
    "LINEAR",
    "LOG2",
    "MEMPOOLS",
    "Axis",
    "Counter",
    "Entry",
    "Histogram",
    "PerfCounters",
    "PerfRegistry",
    "Prio",
    "Type",
    "Unit",
    "add_context_counters",
]
