"""The groups that every Ceph daemon has: `cct` and `mempool`.

Pool names: ceph/ceph, src/include/mempool.h (Pacific); those of 16.2.15 that a live daemon lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mdsdaemon.perf.counters import PerfCounters
from mdsdaemon.perf.registry import PerfRegistry

_POOLS = """
    bloom_filter bluestore_alloc bluestore_cache_data bluestore_cache_onode bluestore_cache_meta
    bluestore_cache_other bluestore_Buffer bluestore_Extent bluestore_Blob bluestore_SharedBlob
    bluestore_inline_bl bluestore_fsck bluestore_txc bluestore_writing_deferred bluestore_writing
    bluefs bluefs_file_reader bluefs_file_writer buffer_anon buffer_meta osd osd_mapbl osd_pglog
    osdmap osdmap_mapping pgmap mds_co unittest_1 unittest_2
"""
MEMPOOLS: tuple[str, ...] = tuple(_POOLS.split())

_MEMPOOL_COUNTERS = tuple(
    (f"{pool}_{what}", f"{what} in use for {pool}")
    for pool in MEMPOOLS
    for what in ("bytes", "items")
)

PoolUse = Mapping[str, tuple[int, int]]
"""Pool → (items, bytes)."""


def add_context_counters(
    registry: PerfRegistry,
    *,
    workers: Callable[[], tuple[int, int]],
    pools: Callable[[], PoolUse],
) -> None:
    """Add `cct` and `mempool`, read through the callables when they are shown.

    Args:
        workers: gives (all workers of the internal heartbeat, unhealthy ones).
        pools: gives what is known of memory by kind of object; pools left out are 0.
    """
    cct = PerfCounters("cct")
    total = cct.add_u64("total_workers", "parts that the internal heartbeat watches")
    unhealthy = cct.add_u64("unhealthy_workers", "those of them that are stuck")
    mempool = PerfCounters("mempool")
    for name, description in _MEMPOOL_COUNTERS:
        mempool.add_u64(name, description)

    def refresh() -> None:
        everyone, sick = workers()
        total.set(everyone)
        unhealthy.set(sick)
        for pool, (items, size) in pools().items():
            mempool.set(f"{pool}_items", items)
            mempool.set(f"{pool}_bytes", size)

    registry.add(cct)
    registry.add(mempool)
    registry.on_dump(refresh)
