"""Placement groups: which there are, where they lie, in what state.

A monitor learns of their states from managers; here the object store has every group that the map
gives it, so the states follow from the map: a group is ``active+clean`` when it has all its
replicas, ``undersized`` when it has fewer, and nobody serves it while its OSD is down or out.

Behaviour: ceph/ceph, src/osd/PeeringState.cc (which states), src/mon/PGMap.cc (sums) (Pacific)
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mdsdaemon.embedded.monitor.osd_text import iec, si
from mdsdaemon.embedded.monitor.osd_usage import NO_USAGE, PoolUsage
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.maps.placement import Mapping, pg_to_up_acting
from mdsdaemon.types.object_stats import ObjectStatCollection, ObjectStatSum, PoolStat
from mdsdaemon.types.osd import PG
from mdsdaemon.types.pool import PGPool

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor


@frozen
class PGRow:
    """One placement group.

    Attributes:
        state: its words, in Ceph's order: ``("active", "clean")``.
        since: when it came into this state, nanoseconds since the epoch.
        size: how many replicas it should have.
    """

    pgid: PG
    state: tuple[str, ...]
    up: tuple[int, ...]
    up_primary: int
    acting: tuple[int, ...]
    acting_primary: int
    usage: PoolUsage
    since: int
    created: int
    size: int

    @property
    def state_text(self) -> str:
        return "+".join(self.state)

    @property
    def degraded(self) -> int:
        """Replicas of objects that are missing."""
        return self.usage.objects * max(self.size - len(self.acting), 0)


@frozen
class PGSummary:
    """All groups together, as the status shows them; sizes in bytes."""

    states: dict[str, int]
    num_pgs: int
    num_pools: int
    objects: int
    degraded: int
    copies: int
    data: int
    used: int
    available: int
    total: int


def _where(osd_map: OSDMap, pool: PGPool) -> object:
    """All that the places of a pool's groups depend on."""
    client = osd_map.client
    return (
        pool.pg_num,
        pool.pgp_num,
        pool.size,
        pool.crush_rule,
        pool.flags & 1,
        client.crush_version,
        tuple(state & 3 for state in client.osd_state),
        tuple(client.osd_weight),
        tuple(client.osd_primary_affinity),
    )


class PGView:
    """The placement groups of the newest map. Places are found once and kept while they hold."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd
        self._places: dict[int, tuple[object, list[Mapping]]] = {}

    def _mappings(self, number: int, pool: PGPool) -> list[Mapping]:
        osd_map, key = self._osd.map, _where(self._osd.map, pool)
        known = self._places.get(number)
        if known is not None and known[0] == key:
            return known[1]
        found = []
        for seed in range(pool.pg_num):
            mapping = pg_to_up_acting(osd_map, PG(number, seed))
            assert mapping is not None
            found.append(mapping)
        self._places[number] = key, found
        for gone in self._places.keys() - osd_map.pools.keys():
            del self._places[gone]
        return found

    def rows(self, only: int | None = None, *, usage: bool = True) -> list[PGRow]:
        """All groups in order, or those of one pool; without `usage` what they hold is left out."""
        osd_map, out = self._osd.map, []
        for number, pool in sorted(osd_map.pools.items()):
            if only is not None and number != only:
                continue
            held = self._osd.usage_source.pg_usage(number) if usage else {}
            changed = max(pool.create_time, osd_map.client.last_up_change)
            changed = max(changed, osd_map.client.last_in_change)
            for seed, place in enumerate(self._mappings(number, pool)):
                mine = held.get(seed, NO_USAGE)
                out.append(
                    PGRow(
                        PG(number, seed),
                        _state_of(osd_map, pool, place.acting, mine.objects),
                        place.up,
                        place.up_primary,
                        place.acting,
                        place.acting_primary,
                        mine,
                        changed,
                        pool.create_time,
                        pool.size,
                    )
                )
        return out

    def states(self) -> dict[str, int]:
        """How many groups are in which state, the most frequent first."""
        counted: Counter[str] = Counter()
        for number, pool in self._osd.map.pools.items():
            used = self._osd.usage.pool(number)
            kinds = Counter(place.acting for place in self._mappings(number, pool))
            if all(len(acting) == pool.size for acting in kinds) or not used.objects:
                for acting, count in kinds.items():
                    counted["+".join(_state_of(self._osd.map, pool, acting, 0))] += count
            else:
                counted.update(row.state_text for row in self.rows(number))
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))

    def summary(self) -> PGSummary:
        """For the status."""
        osd_map, usage = self._osd.map, self._osd.usage
        objects = data = degraded = copies = 0
        for number, pool in osd_map.pools.items():
            used = usage.pool(number)
            objects += used.objects
            data += used.bytes
            copies += used.objects * pool.size
            replicas = self._mappings(number, pool)
            if any(len(place.acting) < pool.size for place in replicas):
                degraded += sum(row.degraded for row in self.rows(number))
        return PGSummary(
            self.states(),
            sum(pool.pg_num for pool in osd_map.pools.values()),
            len(osd_map.pools),
            objects,
            degraded,
            copies,
            data,
            usage.used,
            usage.available,
            usage.total,
        )

    def on_osd(self, osd: int) -> int:
        """How many groups lie on an OSD."""
        return sum(
            osd in place.acting
            for number, pool in self._osd.map.pools.items()
            for place in self._mappings(number, pool)
        )

    def pool_stat(self, number: int) -> PoolStat:
        """A pool's pool_stat_t."""
        pool = self._osd.map.pools[number]
        places = self._mappings(number, pool)
        return PoolStat(
            ObjectStatCollection(stat_sum(self._osd.usage.pool(number), pool.size)),
            up=sum(len(place.up) for place in places),
            acting=sum(len(place.acting) for place in places),
        )


def stat_sum(usage: PoolUsage, size: int) -> ObjectStatSum:
    """What a pool or group holds, in the words of object_stat_sum_t."""
    return ObjectStatSum(
        num_bytes=usage.bytes,
        num_objects=usage.objects,
        num_object_clones=usage.clones,
        num_object_copies=usage.objects * size,
        num_rd=usage.reads,
        num_rd_kb=usage.read_kb,
        num_wr=usage.writes,
        num_wr_kb=usage.write_kb,
        num_objects_dirty=usage.objects,
        num_whiteouts=usage.whiteouts,
        num_objects_omap=usage.omap_objects,
        num_omap_bytes=usage.omap_bytes,
        num_omap_keys=usage.omap_keys,
    )


def _state_of(
    osd_map: OSDMap, pool: PGPool, acting: tuple[int, ...], objects: int
) -> tuple[str, ...]:
    if not acting:
        # a group that nobody serves is shown as it was last seen
        seen = any(info.up_from for info in osd_map.osd.osd_info)
        return ("stale", "active", "clean") if seen else ("unknown",)
    if len(acting) >= pool.size:
        return ("active", "clean")
    return ("active", "undersized", "degraded") if objects else ("active", "undersized")


def summary_json(summary: PGSummary) -> dict[str, Any]:
    """`pgmap` of the status."""
    out: dict[str, Any] = {
        "pgs_by_state": [
            {"state_name": name, "count": count} for name, count in summary.states.items()
        ],
        "num_pgs": summary.num_pgs,
        "num_pools": summary.num_pools,
        "num_objects": summary.objects,
        "data_bytes": summary.data,
        "bytes_used": summary.used,
        "bytes_avail": summary.available,
        "bytes_total": summary.total,
    }
    inactive = sum(n for name, n in summary.states.items() if "active" not in name)
    unknown = summary.states.get("unknown", 0)
    if summary.num_pgs and unknown:
        out["unknown_pgs_ratio"] = unknown / summary.num_pgs
    elif summary.num_pgs and inactive:
        out["inactive_pgs_ratio"] = inactive / summary.num_pgs
    if summary.degraded and summary.copies:
        out |= {
            "degraded_objects": summary.degraded,
            "degraded_total": summary.copies,
            "degraded_ratio": summary.degraded / summary.copies,
        }
    return out


def summary_text(summary: PGSummary) -> str:
    """The lines of the status below ``data:``."""
    text = (
        f"    pools:   {summary.num_pools} pools, {summary.num_pgs} pgs\n"
        f"    objects: {si(summary.objects)} objects, {iec(summary.data)}\n"
        f"    usage:   {iec(summary.used)} used, {iec(summary.available)} / "
        f"{iec(summary.total)} avail\n"
    )
    lines = []
    facts = summary_json(summary)
    for key, words in (("unknown_pgs_ratio", "unknown"), ("inactive_pgs_ratio", "not active")):
        if key in facts:
            lines.append(f"{facts[key] * 100:.3f}% pgs {words}")
    if "degraded_ratio" in facts:
        share = f"{facts['degraded_ratio'] * 100:.3f}%"
        lines.append(f"{summary.degraded}/{summary.copies} objects degraded ({share})")
    width = max((len(f"{count}") for count in summary.states.values()), default=1)
    lines += [f"{count:<{width}} {name}" for name, count in summary.states.items()]
    return text + "    pgs:     " + "\n             ".join(lines) + "\n"
