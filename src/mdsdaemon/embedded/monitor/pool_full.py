"""Flags of a full store and of quotas that are reached.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (prepare_full, encode_pending, update_pools_status)
(Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor.osd_flags import OSD_BACKFILLFULL, OSD_FULL, OSD_NEARFULL
from mdsdaemon.embedded.monitor.osd_text import iec
from mdsdaemon.embedded.monitor.osd_usage import StoreUsage, quota_is_reached
from mdsdaemon.embedded.monitor.pool_options import (
    FLAG_BACKFILLFULL,
    FLAG_FULL,
    FLAG_FULL_QUOTA,
    FLAG_NEARFULL,
)
from mdsdaemon.maps.osd_map import OSDMap

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor

_STATES: Final = OSD_FULL | OSD_BACKFILLFULL | OSD_NEARFULL
_POOL_FLAGS: Final = {
    OSD_FULL: FLAG_FULL,
    OSD_BACKFILLFULL: FLAG_BACKFILLFULL,
    OSD_NEARFULL: FLAG_NEARFULL,
    0: 0,
}
_FULLNESS: Final = FLAG_FULL | FLAG_BACKFILLFULL | FLAG_NEARFULL


def fullness(osd_map: OSDMap, ratio: float, failsafe: float) -> int:
    """The one bit of an OSD's state that says how full it is, 0 while there is room.

    `failsafe` stands in for the map's ratios where one of them is 0.
    """
    rest = osd_map.osd
    nearfull = rest.nearfull_ratio
    # ratios out of order count as if each were at least the one below it
    backfillfull = max(rest.backfillfull_ratio, nearfull)
    full = max(rest.full_ratio, backfillfull)
    if min(rest.full_ratio, rest.backfillfull_ratio, nearfull) <= 0:
        full = backfillfull = nearfull = max(failsafe, full)
    if ratio > full:
        return OSD_FULL
    if ratio > backfillfull:
        return OSD_BACKFILLFULL
    return OSD_NEARFULL if ratio > nearfull else 0


def update_full_flags(osd: OSDMonitor) -> None:
    """An epoch with the flags as they have to be; none if they are."""
    osd_map, usage = osd.map, osd.usage
    failsafe = osd.mon.config.get_float("osd_failsafe_full_ratio")
    with osd.change() as pending:
        wanted = fullness(osd_map, usage.ratio, failsafe) if osd_map.is_up(0) else 0
        if osd_map.is_up(0):
            pending.flip_state(0, (pending.state(0) & _STATES) ^ wanted)
        for number, pool in osd_map.pools.items():
            reached = quota_is_reached(pool, usage.pool(number))
            flags = pool.flags & ~(_FULLNESS | FLAG_FULL_QUOTA)
            flags |= FLAG_FULL | FLAG_FULL_QUOTA if reached else _POOL_FLAGS[wanted]
            if flags == pool.flags:
                continue
            pending.pool(number).flags = flags
            if (flags ^ pool.flags) & FLAG_FULL_QUOTA:
                _tell(osd, number, usage)


def _tell(osd: OSDMonitor, number: int, usage: StoreUsage) -> None:
    pool, name, used = osd.map.pools[number], osd.pool_name(number), usage.pool(number)
    if not quota_is_reached(pool, used):
        osd.cluster_log("info", f"pool '{name}' no longer out of quota; removing NO_QUOTA flag")
        return
    if 0 < pool.quota_max_bytes <= used.bytes:
        limit = f"max_bytes: {iec(pool.quota_max_bytes)}"
        osd.cluster_log("warn", f"pool '{name}' is full (reached quota's {limit})")
    if 0 < pool.quota_max_objects <= used.objects:
        limit = f"max_objects: {pool.quota_max_objects}"
        osd.cluster_log("warn", f"pool '{name}' is full (reached quota's {limit})")
