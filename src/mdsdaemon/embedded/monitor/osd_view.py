"""An OSDMap as `osd dump` and `osd stat` show it.

Format: ceph/ceph, src/osd/OSDMap.cc (dump, print, print_summary) (Pacific), checked
against 16.2.15
"""

from __future__ import annotations

from typing import Any

from mdsdaemon.embedded.monitor import osd_crush
from mdsdaemon.embedded.monitor.osd_flags import (
    SEMIHIDDEN,
    flag_names,
    flag_string,
    state_names,
)
from mdsdaemon.embedded.monitor.osd_text import (
    general,
    intervals,
    number,
    osd_list,
    timespan,
)
from mdsdaemon.embedded.monitor.pool_view import dump_pool, pool_line
from mdsdaemon.maps.formatting import dump_addrs, legacy_str
from mdsdaemon.maps.osd_map import DEFAULT_PRIMARY_AFFINITY, OSDMap
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.release import release_name
from mdsdaemon.types.utime import NSEC, utime_str

_FULL_LAGGY = (1 << 32) - 1


def existing(osd_map: OSDMap) -> list[int]:
    """The OSDs of the map."""
    return [osd for osd in range(osd_map.client.max_osd) if osd_map.exists(osd)]


def is_in(osd_map: OSDMap, osd: int) -> bool:
    """Whether data may be placed on the OSD."""
    return osd_map.exists(osd) and osd_map.client.osd_weight[osd] > 0


def primary_affinity(osd_map: OSDMap, osd: int) -> int:
    """How much of what it holds an OSD leads, in units of 1/65536."""
    affinity = osd_map.client.osd_primary_affinity
    return affinity[osd] if osd < len(affinity) else DEFAULT_PRIMARY_AFFINITY


def min_compat_client(osd_map: OSDMap) -> str:
    """The oldest release whose clients understand the map."""
    client = osd_map.client
    if client.pg_upmap or client.pg_upmap_items or client.crush.choose_args:
        return "luminous"
    return osd_crush.min_required_version(client.crush)


# -- osd stat ---------------------------------------------------------------------------------


def summary(osd_map: OSDMap) -> dict[str, Any]:
    """`osd stat`, and `osdmap` in the status."""
    osds = existing(osd_map)
    return {
        "epoch": osd_map.epoch,
        "num_osds": len(osds),
        "num_up_osds": sum(osd_map.is_up(osd) for osd in osds),
        "osd_up_since": osd_map.client.last_up_change // NSEC,
        "num_in_osds": sum(is_in(osd_map, osd) for osd in osds),
        "osd_in_since": osd_map.client.last_in_change // NSEC,
        "num_remapped_pgs": len(osd_map.client.pg_temp),
    }


def summary_text(osd_map: OSDMap, now: float, prefix: str = "", *, extra: bool = False) -> str:
    """``1 osds: 1 up (since 6m), 1 in (since 6m)``, and a line with flags; `now` in seconds."""
    facts, client = summary(osd_map), osd_map.client
    text = f"{facts['num_osds']} osds: {facts['num_up_osds']} up"
    if client.last_up_change:
        text += f" (since {timespan(now - client.last_up_change / NSEC)})"
    text += f", {facts['num_in_osds']} in"
    if client.last_in_change:
        text += f" (since {timespan(now - client.last_in_change / NSEC)})"
    if extra:
        text += f"; epoch: e{osd_map.epoch}"
    if client.pg_temp:
        text += f"; {len(client.pg_temp)} remapped pgs"
    text += "\n"
    flags = client.flags & ~SEMIHIDDEN
    return text + (f"{prefix}flags {flag_string(flags)}\n" if flags else "")


# -- osd dump ---------------------------------------------------------------------------------


def dump_osd(osd_map: OSDMap, osd: int) -> dict[str, Any]:
    """One OSD, which is there."""
    client, rest = osd_map.client, osd_map.osd
    info = rest.osd_info[osd]
    kinds = {
        "public": client.client_addrs[osd],
        "cluster": rest.cluster_addrs[osd],
        "heartbeat_back": rest.hb_back_addrs[osd],
        "heartbeat_front": rest.hb_front_addrs[osd],
    }
    return {
        "osd": osd,
        "uuid": str(rest.osd_uuid[osd]),
        "up": int(osd_map.is_up(osd)),
        "in": int(is_in(osd_map, osd)),
        "weight": number(client.osd_weight[osd] / osd_crush.SCALE),
        "primary_affinity": number(primary_affinity(osd_map, osd) / osd_crush.SCALE),
        "last_clean_begin": info.last_clean_begin,
        "last_clean_end": info.last_clean_end,
        "up_from": info.up_from,
        "up_thru": info.up_thru,
        "down_at": info.down_at,
        "lost_at": info.lost_at,
        **{f"{kind}_addrs": dump_addrs(addrs) for kind, addrs in kinds.items()},
        **{f"{kind}_addr": legacy_str(addrs) for kind, addrs in kinds.items()},
        "state": state_names(client.osd_state[osd]),
    }


def osd_line(osd_map: OSDMap, osd: int) -> str:
    """One OSD, which is there, as a line."""
    client, rest = osd_map.client, osd_map.osd
    info, affinity = rest.osd_info[osd], primary_affinity(osd_map, osd)

    def shown(addrs: EntityAddrVec) -> str:
        return f"{addrs}" if addrs else ""

    words = [
        f"osd.{osd} {'up  ' if osd_map.is_up(osd) else 'down'}",
        "in " if is_in(osd_map, osd) else "out",
        f"weight {general(client.osd_weight[osd] / osd_crush.SCALE)}",
    ]
    if affinity != DEFAULT_PRIMARY_AFFINITY:
        words.append(f"primary_affinity {general(affinity / osd_crush.SCALE)}")
    words.append(
        f"up_from {info.up_from} up_thru {info.up_thru} down_at {info.down_at} "
        f"last_clean_interval [{info.last_clean_begin},{info.last_clean_end})"
    )
    if info.lost_at:
        words.append(f"lost_at {info.lost_at}")
    words += [shown(client.client_addrs[osd]), shown(rest.cluster_addrs[osd])]
    words.append(",".join(state_names(client.osd_state[osd])))
    if rest.osd_uuid[osd].int:
        words.append(f"{rest.osd_uuid[osd]}")
    return " ".join(words)


def _snap_sets(sets: dict[int, dict[int, int]]) -> list[dict[str, Any]]:
    return [
        {
            "pool": pool,
            "snaps": [{"begin": start, "length": size} for start, size in sorted(snaps.items())],
        }
        for pool, snaps in sorted(sets.items())
    ]


def _xinfo(osd_map: OSDMap, osd: int) -> dict[str, Any]:
    info = osd_map.osd.osd_xinfo[osd]
    return {
        "osd": osd,
        "down_stamp": utime_str(info.down_stamp),
        "laggy_probability": number(info.laggy_probability / _FULL_LAGGY),
        "laggy_interval": info.laggy_interval,
        "features": info.features,
        "old_weight": info.old_weight,
        "last_purged_snaps_scrub": utime_str(info.last_purged_snaps_scrub),
        "dead_epoch": info.dead_epoch,
    }


def dump_osd_map(osd_map: OSDMap) -> dict[str, Any]:
    """`osd dump`."""
    client, rest = osd_map.client, osd_map.osd
    crush = client.crush
    osds = existing(osd_map)
    return {
        "epoch": osd_map.epoch,
        "fsid": str(osd_map.fsid),
        "created": utime_str(client.created),
        "modified": utime_str(client.modified),
        "last_up_change": utime_str(client.last_up_change),
        "last_in_change": utime_str(client.last_in_change),
        "flags": flag_string(client.flags),
        "flags_num": client.flags,
        "flags_set": sorted(flag_names(client.flags)),
        "crush_version": client.crush_version,
        "full_ratio": number(rest.full_ratio),
        "backfillfull_ratio": number(rest.backfillfull_ratio),
        "nearfull_ratio": number(rest.nearfull_ratio),
        "cluster_snapshot": rest.cluster_snapshot,
        "pool_max": client.pool_max,
        "max_osd": client.max_osd,
        "require_min_compat_client": release_name(rest.require_min_compat_client),
        "min_compat_client": min_compat_client(osd_map),
        "require_osd_release": release_name(rest.require_osd_release),
        "pools": [
            {"pool": pool_id, "pool_name": client.pool_name.get(pool_id, "<unknown>")}
            | dump_pool(pool)
            for pool_id, pool in sorted(client.pools.items())
        ],
        "osds": [dump_osd(osd_map, osd) for osd in osds],
        "osd_xinfo": [_xinfo(osd_map, osd) for osd in osds],
        "pg_upmap": [
            {"pgid": f"{pg}", "osds": list(to)} for pg, to in sorted(client.pg_upmap.items())
        ],
        "pg_upmap_items": [
            {"pgid": f"{pg}", "mappings": [{"from": a, "to": b} for a, b in pairs]}
            for pg, pairs in sorted(client.pg_upmap_items.items())
        ],
        "pg_temp": [
            {"pgid": f"{pg}", "osds": list(to)} for pg, to in sorted(client.pg_temp.items())
        ],
        "primary_temp": [
            {"pgid": f"{pg}", "osd": osd} for pg, osd in sorted(client.primary_temp.items())
        ],
        "blocklist": {f"{addr}": utime_str(until) for addr, until in rest.blocklist.items()},
        "range_blocklist": {
            f"{addr}": utime_str(until) for addr, until in rest.range_blocklist.items()
        },
        "erasure_code_profiles": {
            name: dict(sorted(profile.items()))
            for name, profile in sorted(client.erasure_code_profiles.items())
        },
        "removed_snaps_queue": _snap_sets(rest.removed_snaps_queue),
        "new_removed_snaps": _snap_sets(client.new_removed_snaps),
        "new_purged_snaps": _snap_sets(client.new_purged_snaps),
        "crush_node_flags": {
            osd_crush.item_name(crush, item): state_names(flags)
            for item, flags in sorted(rest.crush_node_flags.items())
        },
        "device_class_flags": {
            crush.class_name.get(item, f"{item}"): state_names(flags)
            for item, flags in sorted(rest.device_class_flags.items())
        },
        "stretch_mode": {
            "stretch_mode_enabled": rest.stretch_mode_enabled,
            "stretch_bucket_count": rest.stretch_bucket_count,
            "degraded_stretch_mode": rest.degraded_stretch_mode,
            "recovering_stretch_mode": rest.recovering_stretch_mode,
            "stretch_mode_bucket": rest.stretch_mode_bucket,
        },
    }


def pool_lines(osd_map: OSDMap) -> list[str]:
    """Every pool as a line, and below it its snapshots."""
    lines = []
    for pool_id, pool in sorted(osd_map.pools.items()):
        name = osd_map.client.pool_name.get(pool_id, "<unknown>")
        lines.append(f"pool {pool_id} '{name}' {pool_line(pool)}")
        for _, snap in sorted(pool.snaps.items()):
            lines.append(f"\tsnap {snap.snapid:x} '{snap.name}' {utime_str(snap.stamp)}")
        if pool.removed_snaps:
            lines.append(f"\tremoved_snaps {intervals(pool.removed_snaps)}")
        if pool_id in osd_map.osd.removed_snaps_queue:
            queue = osd_map.osd.removed_snaps_queue[pool_id]
            lines.append(f"\tremoved_snaps_queue {intervals(queue)}")
    return lines


def print_osd_map(osd_map: OSDMap) -> str:
    """`osd dump` in plain text."""
    client, rest = osd_map.client, osd_map.osd
    lines = [
        f"epoch {osd_map.epoch}",
        f"fsid {osd_map.fsid}",
        f"created {utime_str(client.created)}",
        f"modified {utime_str(client.modified)}",
        f"flags {flag_string(client.flags)}",
        f"crush_version {client.crush_version}",
        f"full_ratio {general(rest.full_ratio)}",
        f"backfillfull_ratio {general(rest.backfillfull_ratio)}",
        f"nearfull_ratio {general(rest.nearfull_ratio)}",
    ]
    if rest.require_min_compat_client:
        lines.append(f"require_min_compat_client {release_name(rest.require_min_compat_client)}")
    lines.append(f"min_compat_client {min_compat_client(osd_map)}")
    if rest.require_osd_release:
        lines.append(f"require_osd_release {release_name(rest.require_osd_release)}")
    lines.append(f"stretch_mode_enabled {'true' if rest.stretch_mode_enabled else 'false'}")
    lines += pool_lines(osd_map)
    lines.append(f"max_osd {client.max_osd}")
    lines += [osd_line(osd_map, osd) for osd in existing(osd_map)]
    lines += [f"pg_upmap {pg} {osd_list(to)}" for pg, to in sorted(client.pg_upmap.items())]
    lines += [f"pg_temp {pg} {osd_list(to)}" for pg, to in sorted(client.pg_temp.items())]
    for listed, word in ((rest.blocklist, "blocklist"), (rest.range_blocklist, "range blocklist")):
        lines += [f"{word} {addr} expires {utime_str(t)}" for addr, t in listed.items()]
    return "".join(line + "\n" for line in lines)
