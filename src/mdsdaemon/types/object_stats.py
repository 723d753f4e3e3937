"""What pools and placement groups hold, as managers and monitors count it.

Format: ceph/ceph, src/osd/osd_types.h and .cc (Pacific).
"""

from typing import Any

import attrs

from mdsdaemon.encoding import S32, S64, U32, U64, field, wire


@wire(v=20, compat=14, ceph="object_stat_sum_t")
class ObjectStatSum:
    """object_stat_sum_t: counts of objects, bytes and operations."""

    num_bytes: int = field(S64, default=0)
    num_objects: int = field(S64, default=0)
    num_object_clones: int = field(S64, default=0)
    num_object_copies: int = field(S64, default=0)
    num_objects_missing_on_primary: int = field(S64, default=0)
    num_objects_degraded: int = field(S64, default=0)
    num_objects_unfound: int = field(S64, default=0)
    num_rd: int = field(S64, default=0)
    num_rd_kb: int = field(S64, default=0)
    num_wr: int = field(S64, default=0)
    num_wr_kb: int = field(S64, default=0)
    num_scrub_errors: int = field(S64, default=0)
    num_objects_recovered: int = field(S64, default=0)
    num_bytes_recovered: int = field(S64, default=0)
    num_keys_recovered: int = field(S64, default=0)
    num_shallow_scrub_errors: int = field(S64, default=0)
    num_deep_scrub_errors: int = field(S64, default=0)
    num_objects_dirty: int = field(S64, default=0)
    num_whiteouts: int = field(S64, default=0)
    num_objects_omap: int = field(S64, default=0)
    num_objects_hit_set_archive: int = field(S64, default=0)
    num_objects_misplaced: int = field(S64, default=0)
    num_bytes_hit_set_archive: int = field(S64, default=0)
    num_flush: int = field(S64, default=0)
    num_flush_kb: int = field(S64, default=0)
    num_evict: int = field(S64, default=0)
    num_evict_kb: int = field(S64, default=0)
    num_promote: int = field(S64, default=0)
    num_flush_mode_high: int = field(S32, default=0)
    num_flush_mode_low: int = field(S32, default=0)
    num_evict_mode_some: int = field(S32, default=0)
    num_evict_mode_full: int = field(S32, default=0)
    num_objects_pinned: int = field(S64, default=0)
    num_objects_missing: int = field(S64, default=0)
    num_legacy_snapsets: int = field(S64, default=0)
    num_large_omap_objects: int = field(S64, default=0, since=16)
    num_objects_manifest: int = field(S64, default=0, since=17)
    num_omap_bytes: int = field(S64, default=0, since=18)
    num_omap_keys: int = field(S64, default=0, since=18)
    num_objects_repaired: int = field(S64, default=0, since=19)

    def add(self, more: "ObjectStatSum") -> None:
        """Count another's in."""
        for name in _DUMPED.values():
            setattr(self, name, getattr(self, name) + getattr(more, name))

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        return {shown: getattr(self, name) for shown, name in _DUMPED.items()}


_SHOWN = {
    "num_rd": "num_read",
    "num_rd_kb": "num_read_kb",
    "num_wr": "num_write",
    "num_wr_kb": "num_write_kb",
}
_IN_JSON = """
    num_bytes num_objects num_object_clones num_object_copies num_objects_missing_on_primary
    num_objects_missing num_objects_degraded num_objects_misplaced num_objects_unfound
    num_objects_dirty num_whiteouts num_rd num_rd_kb num_wr num_wr_kb num_scrub_errors
    num_shallow_scrub_errors num_deep_scrub_errors num_objects_recovered num_bytes_recovered
    num_keys_recovered num_objects_omap num_objects_hit_set_archive num_bytes_hit_set_archive
    num_flush num_flush_kb num_evict num_evict_kb num_promote num_flush_mode_high
    num_flush_mode_low num_evict_mode_some num_evict_mode_full num_objects_pinned
    num_legacy_snapsets num_large_omap_objects num_objects_manifest num_omap_bytes num_omap_keys
    num_objects_repaired
"""
_DUMPED = {_SHOWN.get(name, name): name for name in _IN_JSON.split()}


@wire(v=2, compat=2, ceph="object_stat_collection_t")
class ObjectStatCollection:
    """object_stat_collection_t: the sum, and categories that are no more."""

    sum: ObjectStatSum = field(ObjectStatSum, factory=ObjectStatSum)
    categories: int = field(U32, default=0)


@wire(v=1, compat=1, ceph="store_statfs_t")
class StoreStatfs:
    """store_statfs_t: bytes of an object store, or of a pool's part of it."""

    total: int = field(U64, default=0)
    available: int = field(U64, default=0)
    internally_reserved: int = field(U64, default=0)
    allocated: int = field(S64, default=0)
    data_stored: int = field(S64, default=0)
    data_compressed: int = field(S64, default=0)
    data_compressed_allocated: int = field(S64, default=0)
    data_compressed_original: int = field(S64, default=0)
    omap_allocated: int = field(S64, default=0)
    internal_metadata: int = field(S64, default=0)

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        return {name: getattr(self, name) for name in _STATFS}


_STATFS = [attribute.name for attribute in attrs.fields(StoreStatfs)]  # type: ignore[arg-type]


@wire(v=7, compat=5, ceph="pool_stat_t")
class PoolStat:
    """pool_stat_t: a pool's counts; `up` and `acting` are replicas of all placement groups."""

    stats: ObjectStatCollection = field(ObjectStatCollection, factory=ObjectStatCollection)
    log_size: int = field(S64, default=0)
    ondisk_log_size: int = field(S64, default=0)
    up: int = field(S32, default=0, since=6)
    acting: int = field(S32, default=0, since=6)
    store_stats: StoreStatfs = field(StoreStatfs, factory=StoreStatfs, since=7)
    num_store_stats: int = field(S32, default=0, since=7)

    def add(self, more: "PoolStat") -> None:
        """Count another pool's in, without its bytes in the store."""
        self.stats.sum.add(more.stats.sum)
        self.up += more.up
        self.acting += more.acting

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        return {
            "stat_sum": self.stats.sum.dump(),
            "store_stats": self.store_stats.dump(),
            "log_size": self.log_size,
            "ondisk_log_size": self.ondisk_log_size,
            "up": self.up,
            "acting": self.acting,
            "num_store_stats": self.num_store_stats,
        }
