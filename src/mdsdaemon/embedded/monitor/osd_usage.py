"""What the object store says it holds, and what follows from it: free space, full flags.

Behaviour: ceph/ceph, src/mon/PGMap.cc (get_rule_avail, get_statfs), src/osd/OSDMap.cc
(get_full_pools), src/mon/OSDMonitor.cc (update_pools_status) (Pacific)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.types.pool import PGPool


@frozen
class PoolUsage:
    """The contents of a pool (or of one placement group), each object counted once.

    `objects` are heads and clones together. `bytes` are of their data, `omap_bytes` of their omap.
    """

    objects: int = 0
    clones: int = 0
    bytes: int = 0
    omap_objects: int = 0
    omap_bytes: int = 0
    omap_keys: int = 0
    whiteouts: int = 0
    reads: int = 0
    read_kb: int = 0
    writes: int = 0
    write_kb: int = 0


@frozen
class StoreUsage:
    """All pools, and the store's bytes: `used` of `total`."""

    pools: Mapping[int, PoolUsage] = field(factory=dict)
    total: int = 0
    used: int = 0

    @property
    def available(self) -> int:
        return max(self.total - self.used, 0)

    @property
    def ratio(self) -> float:
        """The part that is used."""
        return self.used / self.total if self.total else 0.0

    def pool(self, number: int) -> PoolUsage:
        return self.pools.get(number, NO_USAGE)


NO_USAGE = PoolUsage()


class UsageSource(Protocol):
    """Whoever knows: the object store. Called often; it has to be cheap."""

    def usage(self) -> StoreUsage: ...

    def pg_usage(self, pool: int) -> Mapping[int, PoolUsage]:
        """By the seed of the placement group; those that are empty may be missing."""
        ...


class NoStore:
    """No object store has come yet."""

    def usage(self) -> StoreUsage:
        return StoreUsage()

    def pg_usage(self, pool: int) -> Mapping[int, PoolUsage]:
        return {}


def raw_available(osd_map: OSDMap, usage: StoreUsage) -> int:
    """Bytes that may still be written, all copies counted: up to the full ratio.

    Ceph reckons in KiB here, and so do we.
    """
    unusable = (usage.total >> 10) * (1.0 - osd_map.osd.full_ratio)
    return int(max(0.0, (usage.available >> 10) - unusable) * 1024)


def pool_available(osd_map: OSDMap, pool: PGPool, usage: StoreUsage) -> int:
    """Bytes that may still be written into a pool, each counted once."""
    return int(raw_available(osd_map, usage) / pool.size) if pool.size else 0


def quota_is_reached(pool: PGPool, usage: PoolUsage) -> bool:
    """The pool's quota takes no more."""
    return (0 < pool.quota_max_bytes <= usage.bytes) or (
        0 < pool.quota_max_objects <= usage.objects
    )
