"""What monitor and object store, being of one process, tell each other by direct call."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor.osd_usage import PoolUsage, StoreUsage
from mdsdaemon.embedded.store.state import space
from mdsdaemon.maps.placement import stable_mod
from mdsdaemon.types.sys_info import collect_sys_info

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.osd import EmbeddedOSD
    from mdsdaemon.embedded.store.engine import ObjectEngine
    from mdsdaemon.embedded.store.state import ObjectState
    from mdsdaemon.maps.osd_map import OSDMap
    from mdsdaemon.maps.osd_map_inc import Incremental
    from mdsdaemon.types.entity import EntityAddrVec

DISK_INTERVAL: Final = 5.0
"""Seconds for which the disk's free space is believed."""


def join(
    monitor: Monitor, osd: EmbeddedOSD, addrs: EntityAddrVec, identity: uuid.UUID, usage: Usage
) -> None:
    """The object store listens at `addrs`: from now on it is osd.0 of the map, and follows it."""
    maps = monitor.osd

    def new_map(osd_map: OSDMap, _: Incremental) -> None:
        osd.handle_osd_map(osd_map, maps.history.incremental(osd_map.epoch))

    maps.usage_source = usage
    maps.on_map(new_map)
    osd.on_purged = lambda pool, snaps: maps.snaps_purged({pool: snaps})
    osd.handle_osd_map(maps.map)
    metadata = {**collect_sys_info(str(addrs)), "osd_objectstore": usage.objectstore}
    del metadata["addr"]  # of metadata servers only
    with monitor.transactions.transaction():
        maps.boot_osd(
            addrs,
            capacity=usage.usage().total,
            identity=identity,
            metadata={**metadata, "osd_data": usage.place},
        )


class Usage:
    """What the pools hold and how much room there is (a `UsageSource` of the monitor).

    Args:
        capacity: bytes that a store in memory takes.
        folder: of a store on disk, whose room is that of its file system.
    """

    def __init__(self, engine: ObjectEngine, capacity: int, folder: Path | None) -> None:
        self._engine = engine
        self._capacity = capacity
        self._folder = folder
        self._free = 0
        self._free_until = 0.0

    @property
    def objectstore(self) -> str:
        """Where the objects are, as `ceph osd metadata` names such things."""
        return "memstore" if self._folder is None else "sqlite"

    @property
    def place(self) -> str:
        """The folder of a store on disk."""
        return "" if self._folder is None else str(self._folder)

    def usage(self) -> StoreUsage:
        """All pools."""
        pools: dict[int, PoolUsage] = {}
        used = 0
        for number, pool in self._engine.pools.items():
            stats = pool.stats
            used += stats.bytes
            pools[number] = PoolUsage(
                objects=stats.objects + stats.clones,
                clones=stats.clones,
                bytes=stats.bytes,
                omap_objects=stats.omap_objects,
                whiteouts=stats.whiteouts,
                reads=stats.reads,
                read_kb=stats.read_kb,
                writes=stats.writes,
                write_kb=stats.write_kb,
            )
        return StoreUsage(pools, self._total(used), used)

    def pg_usage(self, pool: int) -> Mapping[int, PoolUsage]:
        """One pool by placement group: every object of it is looked at."""
        store = self._engine.pools.get(pool)
        if store is None or not store.pg_num:
            return {}
        groups: dict[int, list[ObjectState]] = {}
        for state in store.objects.values():
            seed = stable_mod(state.hash, store.pg_num, (1 << (store.pg_num - 1).bit_length()) - 1)
            groups.setdefault(seed, []).append(state)
        return {seed: _sum(states) for seed, states in groups.items()}

    def _total(self, used: int) -> int:
        if self._folder is None:
            return self._capacity
        now = self._engine.host.wall()
        if not self._free or not 0 <= self._free_until - now <= DISK_INTERVAL:
            self._free = shutil.disk_usage(self._folder).free
            self._free_until = now + DISK_INTERVAL
        return self._free + used


def _sum(states: Iterable[ObjectState]) -> PoolUsage:
    total = [0, 0, 0, 0, 0]
    for state in states:
        total = [a + b for a, b in zip(total, space(state), strict=True)]
    heads, clones, size, omap, whiteouts = total
    return PoolUsage(
        objects=heads + clones, clones=clones, bytes=size, omap_objects=omap, whiteouts=whiteouts
    )
