"""The numbers of `ceph -s` and `ceph df` that a manager would report.

Behaviour: ceph/ceph, src/mon/PGMap.cc (PGMapDigest::print_summary) (Pacific)
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from mdsdaemon.embedded.monitor.osd_text import iec, si
from mdsdaemon.embedded.monitor.service import Service


class MgrStatMonitor(Service):
    """See the module."""

    name: ClassVar[str] = "mgr_stat"

    def _states(self) -> list[tuple[str, int]]:
        """Placement groups by state, the most frequent first."""
        return Counter[str]().most_common()

    def summary(self) -> dict[str, Any]:
        """``pgmap`` of `ceph status -f json`."""
        osd = self.mon.osd
        usage = osd.usage
        states = self._states()
        return {
            "pgs_by_state": [{"state_name": name, "count": count} for name, count in states],
            "num_pgs": sum(count for _, count in states),
            "num_pools": len(osd.map.pools),
            "num_objects": sum(pool.objects for pool in usage.pools.values()),
            "data_bytes": sum(pool.bytes for pool in usage.pools.values()),
            "bytes_used": usage.used,
            "bytes_avail": usage.available,
            "bytes_total": usage.total,
        }

    def summary_text(self) -> str:
        """The lines below ``data:`` of `ceph status`."""
        found = self.summary()
        out = (
            f"    pools:   {found['num_pools']} pools, {found['num_pgs']} pgs\n"
            f"    objects: {si(found['num_objects'])} objects, {iec(found['data_bytes'])}\n"
            f"    usage:   {iec(found['bytes_used'])} used, {iec(found['bytes_avail'])} / "
            f"{iec(found['bytes_total'])} avail\n"
            "    pgs:     "
        )
        states = found["pgs_by_state"]
        width = max((len(str(state["count"])) for state in states), default=1)
        lines = [f"{state['count']:<{width}} {state['state_name']}\n" for state in states]
        return out + (" " * 13).join(lines)
