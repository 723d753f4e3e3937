"""The journal's performance counters, under the names that ceph-mds gives them.

Names: ceph/ceph, src/mds/MDLog.cc (create_logger) (Pacific)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdsdaemon.perf import PerfCounters, Prio

if TYPE_CHECKING:
    from mdsdaemon.rank.log.mdlog import MDLog


class LogCounters:
    """The group `mds_log`."""

    def __init__(self) -> None:
        group = self.group = PerfCounters("mds_log", prio_default=Prio.USEFUL)
        gauge, count = group.add_u64, group.add_u64_counter
        self.evadd = count("evadd", "Events submitted", "subm", Prio.INTERESTING)
        self.ev = gauge("ev", "Events", "evts", Prio.INTERESTING)
        self.seg = gauge("seg", "Segments", "segs", Prio.INTERESTING)
        self.evexg = gauge("evexg", "Expiring events")
        self.evexd = gauge("evexd", "Current expired events")
        self.segexg = gauge("segexg", "Expiring segments")
        self.segexd = gauge("segexd", "Current expired segments")
        self.replayed = count("replayed", "Events replayed", "repl", Prio.INTERESTING)
        self.jlat = group.add_time_avg("jlat", "Journaler flush latency")
        self.evex = count("evex", "Total expired events")
        self.evtrm = count("evtrm", "Trimmed events")
        self.segadd = count("segadd", "Segments added")
        self.segex = count("segex", "Total expired segments")
        self.segtrm = count("segtrm", "Trimmed segments")
        self.expos = gauge("expos", "Journaler xpire position")
        self.wrpos = gauge("wrpos", "Journaler  write position")
        self.rdpos = gauge("rdpos", "Journaler  read position")

    def note_latency(self, seconds: float) -> None:
        """A write of the journal took so long."""
        self.jlat.tinc(seconds)

    def added(self, mdlog: MDLog) -> None:
        """An event was submitted."""
        self.evadd.inc()
        self.ev.set(mdlog.num_events)

    def segments(self, mdlog: MDLog, added: int = 0) -> None:
        """The segments have changed."""
        if added:
            self.segadd.inc(added)
        self.seg.set(len(mdlog.segments))
        self.ev.set(mdlog.num_events)

    def under_way(self, expiring: Mapping[int, int], expired: Mapping[int, int]) -> None:
        """Segments that are being expired, and those that are and wait to be forgotten.

        Args:
            expiring, expired: how many events each has.
        """
        self.segexg.set(len(expiring))
        self.evexg.set(sum(expiring.values()))
        self.segexd.set(len(expired))
        self.evexd.set(sum(expired.values()))

    def expired(self, events: int) -> None:
        """A segment's changes are all stored."""
        self.segex.inc()
        self.evex.inc(events)

    def trimmed(self, events: int) -> None:
        """A segment was forgotten."""
        self.segtrm.inc()
        self.evtrm.inc(events)

    def positions(self, mdlog: MDLog) -> None:
        """Where the journal is."""
        journal = mdlog.journaler
        if journal is not None:
            self.expos.set(journal.expire_pos)
            self.wrpos.set(journal.write_pos)
            self.rdpos.set(journal.read_pos)
