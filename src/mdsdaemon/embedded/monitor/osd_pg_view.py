"""Placement groups and the store's usage as `pg dump` and `pg ls` show them.

Format: ceph/ceph, src/mon/PGMap.cc, src/osd/osd_types.cc (pg_stat_t, osd_stat_t) (Pacific), checked
against 16.2.15
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mdsdaemon.embedded.monitor.osd_pgs import PGRow, stat_sum
from mdsdaemon.embedded.monitor.osd_text import Table, iec, osd_list, timespan
from mdsdaemon.embedded.monitor.osd_usage import StoreUsage
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.types.object_stats import PoolStat, StoreStatfs
from mdsdaemon.types.utime import NSEC, utime_str

OMAP_NOTE: Final = (
    "\n* NOTE: bytes and keys of omap are 0 where they are not counted, as in a cluster that has "
    "not scrubbed.\n"
)

_COUNTS: Final = (
    "<>OBJECTS", "<>MISSING_ON_PRIMARY", "<>DEGRADED", "<>MISPLACED", "<>UNFOUND", "<>BYTES",
    "<>OMAP_BYTES*", "<>OMAP_KEYS*", "<>LOG", "<>DISK_LOG",
)  # fmt: skip
_NO_HEADS: Final = ("<<", *["<>"] * len(_COUNTS))


# -- placement groups -------------------------------------------------------------------------


def dump_pg(row: PGRow, osd_map: OSDMap, now: int) -> dict[str, Any]:
    """One group's pg_stat_t; `now` in nanoseconds."""
    fresh, since = utime_str(now), utime_str(row.since)
    active = fresh if "active" in row.state and "stale" not in row.state else since
    full = active if len(row.acting) >= row.size else since
    up_from = osd_map.osd.osd_info[row.acting_primary].up_from if row.acting else 0
    return {
        "pgid": f"{row.pgid}",
        "version": "0'0",
        "reported_seq": 1,
        "reported_epoch": osd_map.epoch,
        "state": row.state_text,
        "last_fresh": active,
        "last_change": since,
        "last_active": active,
        "last_peered": active,
        "last_clean": full,
        "last_became_active": since,
        "last_became_peered": since,
        "last_unstale": active,
        "last_undegraded": full,
        "last_fullsized": full,
        "mapping_epoch": up_from,
        "log_start": "0'0",
        "ondisk_log_start": "0'0",
        "created": up_from,
        "last_epoch_clean": up_from,
        "parent": "0.0",
        "parent_split_bits": 0,
        "last_scrub": "0'0",
        "last_scrub_stamp": utime_str(row.created),
        "last_deep_scrub": "0'0",
        "last_deep_scrub_stamp": utime_str(row.created),
        "last_clean_scrub_stamp": utime_str(row.created),
        "log_size": 0,
        "ondisk_log_size": 0,
        "stats_invalid": False,
        "dirty_stats_invalid": False,
        "omap_stats_invalid": False,
        "hitset_stats_invalid": False,
        "hitset_bytes_stats_invalid": False,
        "pin_stats_invalid": False,
        "manifest_stats_invalid": False,
        "snaptrimq_len": 0,
        "stat_sum": stat_sum(row.usage, row.size).dump() | {"num_objects_degraded": row.degraded},
        "up": list(row.up),
        "acting": list(row.acting),
        "avail_no_missing": [],
        "object_location_counts": [],
        "blocked_by": [],
        "up_primary": row.up_primary,
        "acting_primary": row.acting_primary,
        "purged_snaps": [],
    }


def dump_pg_brief(row: PGRow) -> dict[str, Any]:
    """One group's state and place."""
    return {
        "pgid": f"{row.pgid}",
        "state": row.state_text,
        "up": list(row.up),
        "acting": list(row.acting),
        "up_primary": row.up_primary,
        "acting_primary": row.acting_primary,
    }


def _counts(row: PGRow) -> list[object]:
    usage = row.usage
    sizes = (usage.bytes, usage.omap_bytes, usage.omap_keys)
    return [usage.objects, 0, row.degraded, 0, 0, *sizes, 0, 0]


def print_pgs(rows: Iterable[PGRow], epoch: int) -> str:
    """The groups as `pg dump` has them."""
    table = Table(
        "<<PG_STAT", *_COUNTS, "<>STATE", "<>STATE_STAMP", "<>VERSION", "<>REPORTED", "<>UP",
        "<>UP_PRIMARY", "<>ACTING", "<>ACTING_PRIMARY", "<>LAST_SCRUB", "<>SCRUB_STAMP",
        "<>LAST_DEEP_SCRUB", "<>DEEP_SCRUB_STAMP", "<>SNAPTRIMQ_LEN",
    )  # fmt: skip
    for row in rows:
        created = utime_str(row.created)
        where = (osd_list(row.up), row.up_primary, osd_list(row.acting), row.acting_primary)
        table.row(
            row.pgid, *_counts(row), row.state_text, utime_str(row.since), "0'0", f"{epoch}:1",
            *where, "0'0", created, "0'0", created, 0,
        )  # fmt: skip
    return str(table)


def print_pgs_brief(rows: Iterable[PGRow]) -> str:
    """State and place of the groups."""
    table = Table("<<PG_STAT", "<>STATE", "<>UP", "<>UP_PRIMARY", "<>ACTING", "<>ACTING_PRIMARY")
    for row in rows:
        where = (osd_list(row.up), row.up_primary, osd_list(row.acting), row.acting_primary)
        table.row(row.pgid, row.state_text, *where)
    return str(table)


def print_pg_list(rows: Iterable[PGRow], epoch: int, now: int) -> str:
    """The groups as `pg ls` has them."""
    table = Table(
        "<<PG", "<>OBJECTS", "<>DEGRADED", "<>MISPLACED", "<>UNFOUND", "<>BYTES", "<>OMAP_BYTES*",
        "<>OMAP_KEYS*", "<>LOG", "<>STATE", "<>SINCE", "<>VERSION", "<>REPORTED", "<>UP",
        "<>ACTING", "<>SCRUB_STAMP", "<>DEEP_SCRUB_STAMP",
    )  # fmt: skip
    for row in rows:
        objects, _, *counts, _ = _counts(row)
        created = utime_str(row.created)
        table.row(
            row.pgid, objects, *counts, row.state_text, timespan((now - row.since) / NSEC), "0'0",
            f"{epoch}:1", f"{osd_list(row.up)}p{row.up_primary}",
            f"{osd_list(row.acting)}p{row.acting_primary}", created, created,
        )  # fmt: skip
    return str(table)


# -- pools and the store ----------------------------------------------------------------------


def dump_pool_stats(stats: Sequence[tuple[int, int, PoolStat]]) -> list[dict[str, Any]]:
    """(pool, pg_num, what it holds) of each."""
    return [{"poolid": pool, "num_pg": pgs, **stat.dump()} for pool, pgs, stat in stats]


def _pool_row(table: Table, head: object, stat: PoolStat) -> None:
    total = stat.stats.sum
    sizes = (total.num_bytes, total.num_omap_bytes, total.num_omap_keys)
    table.row(head, total.num_objects, 0, total.num_objects_degraded, 0, 0, *sizes, 0, 0)


def print_pool_stats(stats: Sequence[tuple[int, int, PoolStat]], *, header: bool) -> str:
    """A line for each pool."""
    table = Table("<<POOLID", *_COUNTS) if header else Table(*_NO_HEADS)
    for pool, _, stat in stats:
        _pool_row(table, pool, stat)
    return str(table)


def print_pg_sum(total: PoolStat, *, header: bool) -> str:
    """The line of all pools together."""
    table = Table("<<PG_STAT", *_COUNTS) if header else Table(*_NO_HEADS)
    _pool_row(table, "sum", total)
    return str(table)


def dump_osd_stat(usage: StoreUsage, up_from: int, num_pgs: int, num_osds: int) -> dict[str, Any]:
    """osd_stat_t of the OSD, or of all."""
    data = sum(pool.bytes for pool in usage.pools.values())
    omap = sum(pool.omap_bytes for pool in usage.pools.values())
    statfs = StoreStatfs(
        total=usage.total,
        available=usage.available,
        allocated=data,
        data_stored=data,
        omap_allocated=omap,
    )
    no_latency = dict.fromkeys(
        ("commit_latency_ms", "apply_latency_ms", "commit_latency_ns", "apply_latency_ns"), 0
    )
    return {
        "up_from": up_from,
        "seq": 0,
        "num_pgs": num_pgs,
        "num_osds": num_osds,
        "num_per_pool_osds": 0,
        "num_per_pool_omap_osds": 0,
        "kb": usage.total >> 10,
        "kb_used": usage.used >> 10,
        "kb_used_data": data >> 10,
        "kb_used_omap": omap >> 10,
        "kb_used_meta": 0,
        "kb_avail": usage.available >> 10,
        "statfs": statfs.dump(),
        "hb_peers": [],
        "snap_trim_queue_len": 0,
        "num_snap_trimming": 0,
        "num_shards_repaired": 0,
        "op_queue_age_hist": {"histogram": [], "upper_bound": 1},
        "perf_stat": no_latency,
        "alerts": [],
        "network_ping_times": [],
    }


def print_osd_stats(usage: StoreUsage, pgs: dict[int, int]) -> str:
    """A line for each OSD (with its number of groups) and one for all."""
    table = Table(
        "<<OSD_STAT", "<>USED", "<>AVAIL", "<>USED_RAW", "<>TOTAL", "<>HB_PEERS", "<>PG_SUM",
        "<>PRIMARY_PG_SUM",
    )  # fmt: skip
    sizes = [iec(usage.used), iec(usage.available), iec(usage.used), iec(usage.total)]
    for osd, count in pgs.items():
        table.row(osd, *sizes, "[]", count, count)
    table.row("sum", *sizes)
    return str(table)


def print_osd_sum(usage: StoreUsage) -> str:
    """The line of all OSDs together."""
    table = Table("<<OSD_STAT", "<>USED", "<>AVAIL", "<>USED_RAW", "<>TOTAL")
    table.row("sum", iec(usage.used), iec(usage.available), iec(usage.used), iec(usage.total))
    return str(table)
