"""Health checks about OSDs, pools and placement groups.

Codes and texts: ceph/ceph, src/osd/OSDMap.cc (check_health), src/mon/PGMap.cc (get_health_checks)
(Pacific), checked against 16.2.15
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdsdaemon.embedded.monitor import osd_crush
from mdsdaemon.embedded.monitor.osd_flags import (
    OSD_BACKFILLFULL,
    OSD_FULL,
    OSD_NEARFULL,
    WARN,
    flag_string,
)
from mdsdaemon.embedded.monitor.osd_text import general, iec, osd_list, timespan
from mdsdaemon.embedded.monitor.osd_view import existing, is_in
from mdsdaemon.embedded.monitor.pool_options import (
    FLAG_BACKFILLFULL,
    FLAG_FULL,
    FLAG_FULL_QUOTA,
    FLAG_NEARFULL,
    FLAG_NODEEP_SCRUB,
    FLAG_NOSCRUB,
)
from mdsdaemon.embedded.monitor.pool_view import is_tier, option
from mdsdaemon.embedded.monitor.service import HEALTH_ERR, HEALTH_OK, HEALTH_WARN, HealthCheck
from mdsdaemon.types.utime import NSEC

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor


def checks(osd: OSDMonitor) -> list[HealthCheck]:
    """What is wrong now."""
    return [
        *_down(osd),
        *_ratios(osd),
        *_full_osds(osd),
        *_flags(osd),
        *_scrub_flags(osd),
        *_full_pools(osd),
        *_quotas(osd),
        *_pools(osd),
        *_pgs(osd),
        *_numbers(osd),
    ]


def _warn(code: str, text: str, detail: list[str], severity: str = HEALTH_WARN) -> HealthCheck:
    return HealthCheck(code, severity, text, detail, len(detail))


def _down(osd: OSDMonitor) -> Iterator[HealthCheck]:
    osd_map, crush = osd.map, osd.map.client.crush
    inside = [o for o in existing(osd_map) if is_in(osd_map, o)]
    down = [o for o in inside if not osd_map.is_up(o)]
    if not down:
        return
    # every bucket, the outermost first, under which no OSD is up
    levels = sorted({bucket.type for bucket in osd_crush.buckets(crush)}, reverse=True)
    for kind in levels:
        dead = []
        for bucket in osd_crush.buckets(crush):
            below = osd_crush.devices_under(crush, bucket.id)
            if bucket.type != kind or osd_crush.is_shadow(crush, bucket.id) or not below:
                continue
            if below <= set(down):
                dead.append((bucket.id, len(below)))
        if not dead:
            continue
        name = crush.type_map.get(kind, "")
        count = sum(size for _, size in dead)
        detail = []
        for item, size in dead:
            where = osd_crush.location_text(crush, item)
            place = f" ({where})" if where else ""
            bucket_name = osd_crush.item_name(crush, item)
            detail.append(f"{name} {bucket_name}{place} ({size} osds) is down")
        text = f"{len(dead)} {name}{'s' if len(dead) > 1 else ''} ({count} osds) down"
        yield _warn(f"OSD_{name.upper()}_DOWN", text, detail)
    detail = [f"osd.{o} ({osd_crush.location_text(crush, o)}) is down" for o in down]
    yield _warn("OSD_DOWN", f"{len(down)} osds down", detail)


def _ratios(osd: OSDMonitor) -> Iterator[HealthCheck]:
    rest, detail = osd.map.osd, []
    steps = [
        ("nearfull_ratio", rest.nearfull_ratio),
        ("backfillfull_ratio", rest.backfillfull_ratio),
        ("full_ratio", rest.full_ratio),
        ("osd_failsafe_full_ratio", osd.mon.config.get_float("osd_failsafe_full_ratio")),
    ]
    floor_name, floor = steps[0]
    for name, value in steps[1:]:
        if value < floor:
            detail.append(f"{name} ({general(value)}) < {floor_name} ({general(floor)}), increased")
        floor_name, floor = name, max(value, floor)
    if detail:
        yield HealthCheck("OSD_OUT_OF_ORDER_FULL", HEALTH_ERR, "full ratio(s) out of order", detail)


def _full_osds(osd: OSDMonitor) -> Iterator[HealthCheck]:
    osd_map = osd.map
    for bit, code, word, said, severity in (
        (OSD_FULL, "OSD_FULL", "full", "full", HEALTH_ERR),
        (OSD_BACKFILLFULL, "OSD_BACKFILLFULL", "backfillfull", "backfill full", HEALTH_WARN),
        (OSD_NEARFULL, "OSD_NEARFULL", "nearfull", "near full", HEALTH_WARN),
    ):
        found = [
            o for o in existing(osd_map) if osd_map.is_up(o) and osd_map.client.osd_state[o] & bit
        ]
        if found:
            detail = [f"osd.{o} is {said}" for o in found]
            yield _warn(code, f"{len(found)} {word} osd(s)", detail, severity)


def _flags(osd: OSDMonitor) -> Iterator[HealthCheck]:
    names = flag_string(osd.map.client.flags & WARN)
    if names:
        # the count is the length of the text in Ceph, too
        yield HealthCheck("OSDMAP_FLAGS", HEALTH_WARN, f"{names} flag(s) set", count=len(names))


def _scrub_flags(osd: OSDMonitor) -> Iterator[HealthCheck]:
    detail, found = [], []
    for flag, name in ((FLAG_NOSCRUB, "noscrub"), (FLAG_NODEEP_SCRUB, "nodeep-scrub")):
        if any(pool.flags & flag for pool in osd.map.pools.values()):
            found.append(name)
    for number, pool in sorted(osd.map.pools.items()):
        for flag, name in ((FLAG_NOSCRUB, "noscrub"), (FLAG_NODEEP_SCRUB, "nodeep-scrub")):
            if pool.flags & flag:
                detail.append(f"Pool {osd.pool_name(number)} has {name} flag")
    if detail:
        text = f"Some pool(s) have the {', '.join(found)} flag(s) set"
        yield HealthCheck("POOL_SCRUB_FLAGS", HEALTH_OK, text, detail)


def _full_pools(osd: OSDMonitor) -> Iterator[HealthCheck]:
    full, backfillfull, nearfull = [], [], []
    for number, pool in sorted(osd.map.pools.items()):
        name = osd.pool_name(number)
        if pool.flags & FLAG_FULL:
            why = "running out of quota" if pool.flags & FLAG_FULL_QUOTA else "no space"
            full.append(f"pool '{name}' is full ({why})")
        elif pool.flags & FLAG_BACKFILLFULL:
            backfillfull.append(f"pool '{name}' is backfillfull")
        elif pool.flags & FLAG_NEARFULL:
            nearfull.append(f"pool '{name}' is nearfull")
    if full:
        yield _warn("POOL_FULL", f"{len(full)} pool(s) full", full)
    if backfillfull:
        yield _warn("POOL_BACKFILLFULL", f"{len(backfillfull)} pool(s) backfillfull", backfillfull)
    if nearfull:
        yield _warn("POOL_NEARFULL", f"{len(nearfull)} pool(s) nearfull", nearfull)


def _quotas(osd: OSDMonitor) -> Iterator[HealthCheck]:
    config, usage = osd.mon.config, osd.usage
    warn = config.get_int("mon_pool_quota_warn_threshold") / 100
    near: list[str] = []
    for number, pool in sorted(osd.map.pools.items()):
        used, name = usage.pool(number), osd.pool_name(number)
        objects, size = pool.quota_max_objects, pool.quota_max_bytes
        if warn > 0 and objects and objects * warn <= used.objects < objects:
            near.append(f"pool '{name}' has {used.objects} objects (max {objects})")
        if warn > 0 and size and size * warn <= used.bytes < size:
            near.append(f"pool '{name}' has {iec(used.bytes)} (max {iec(size)})")
    if near:
        yield _warn("POOL_NEAR_FULL", f"{len(near)} pools nearfull", near)


def _pools(osd: OSDMonitor) -> Iterator[HealthCheck]:
    config, usage = osd.mon.config, osd.usage
    odd, single, unused, fewer, both = [], [], [], [], []
    for number, pool in sorted(osd.map.pools.items()):
        name = osd.pool_name(number)
        if pool.pg_num_target & (pool.pg_num_target - 1):
            odd.append(f"pool '{name}' pg_num {pool.pg_num_target} is not a power of two")
        if pool.size == 1:
            single.append(f"pool '{name}' has no replicas configured")
        if usage.pool(number).objects and not pool.application_metadata and not is_tier(pool):
            unused.append(f"application not enabled on pool '{name}'")
        if pool.pg_num_target > pool.pgp_num_target:
            numbers = f"pg_num {pool.pg_num_target} > pgp_num {pool.pgp_num_target}"
            fewer.append(f"pool {name} {numbers}")
        if option(pool, "target_size_bytes") and option(pool, "target_size_ratio"):
            both.append(f"Pool {name} has target_size_bytes and target_size_ratio set")
    if odd and config.get_bool("mon_warn_on_pool_pg_num_not_power_of_two"):
        text = f"{len(odd)} pool(s) have non-power-of-two pg_num"
        yield _warn("POOL_PG_NUM_NOT_POWER_OF_TWO", text, odd)
    if single and config.get_bool("mon_warn_on_pool_no_redundancy"):
        text = f"{len(single)} pool(s) have no replicas configured"
        yield _warn("POOL_NO_REDUNDANCY", text, single)
    if unused and config.get_bool("mon_warn_on_pool_no_app"):
        text, count = f"{len(unused)} pool(s) do not have an application enabled", len(unused)
        unused.append(
            "use 'ceph osd pool application enable <pool-name> <app-name>', where <app-name> is "
            "'cephfs', 'rbd', 'rgw', or freeform for custom applications."
        )
        yield HealthCheck("POOL_APP_NOT_ENABLED", HEALTH_WARN, text, unused, count)
    if fewer:
        yield _warn("SMALLER_PGP_NUM", f"{len(fewer)} pools have pg_num > pgp_num", fewer)
    if both:
        text = f"{len(both)} pools have both target_size_bytes and target_size_ratio set"
        yield _warn("POOL_HAS_TARGET_SIZE_BYTES_AND_RATIO", text, both)


def _pgs(osd: OSDMonitor) -> Iterator[HealthCheck]:
    if all(name == "active+clean" for name in osd.pgs.states()):
        return
    now, most = osd.now(), osd.mon.config.get_int("mon_health_max_detail")
    before = now - osd.mon.config.get_int("mon_pg_stuck_threshold") * NSEC
    found: dict[str, tuple[Counter[str], list[str]]] = {
        "PG_AVAILABILITY": (Counter(), []),
        "PG_DEGRADED": (Counter(), []),
    }
    for row in osd.pgs.rows():
        stuck = row.since < before
        for state, code, delayed in (
            ("stale", "PG_AVAILABILITY", True),
            ("inactive", "PG_AVAILABILITY", True),
            ("degraded", "PG_DEGRADED", False),
            ("undersized", "PG_DEGRADED", True),
        ):
            there = "active" not in row.state if state == "inactive" else state in row.state
            if not there or (delayed and not stuck):
                continue
            counts, detail = found[code]
            counts[state] += 1
            if len(detail) > most:
                continue
            if delayed:
                detail.append(
                    f"pg {row.pgid} is stuck {state} for {timespan((now - row.since) / NSEC)}, "
                    f"current state {row.state_text}, last acting {osd_list(row.acting)}"
                )
            else:
                detail.append(f"pg {row.pgid} is {row.state_text}, acting {osd_list(row.acting)}")
    for code, head in (
        ("PG_AVAILABILITY", "Reduced data availability: "),
        ("PG_DEGRADED", "Degraded data redundancy: "),
    ):
        counts, detail = found[code]
        if not counts:
            continue
        facts = osd.pgs.summary()
        if code == "PG_DEGRADED" and facts.degraded:
            share = f"{facts.degraded / facts.copies * 100:.3f}%"
            head += f"{facts.degraded}/{facts.copies} objects degraded ({share}), "
        words = [f"{n} pg{'s' if n > 1 else ''} {state}" for state, n in counts.items()]
        text = head + ", ".join(words)
        yield HealthCheck(code, HEALTH_WARN, text, detail, sum(counts.values()))


def _numbers(osd: OSDMonitor) -> Iterator[HealthCheck]:
    osd_map, config = osd.map, osd.mon.config
    osds = existing(osd_map)
    size = config.get_int("osd_pool_default_size")
    if config.get_bool("mon_warn_on_too_few_osds") and len(osds) < size:
        text = f"OSD count {len(osds)} < osd_pool_default_size {size}"
        yield HealthCheck("TOO_FEW_OSDS", HEALTH_WARN, text, count=size - len(osds))
    inside = sum(is_in(osd_map, o) for o in osds)
    most = config.get_int("mon_max_pg_per_osd")
    if inside:
        per_osd = sum(pool.pg_num for pool in osd_map.pools.values()) // inside
        if per_osd > most:
            text = f"too many PGs per OSD ({per_osd} > max {most})"
            yield HealthCheck("TOO_MANY_PGS", HEALTH_WARN, text, count=per_osd - most)
