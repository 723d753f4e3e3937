"""Applying an incremental to an OSDMap.

Behaviour: ceph/ceph, src/osd/OSDMap.cc, OSDMap::apply_incremental (Pacific).
"""

import uuid
from collections.abc import Mapping

from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.osd_map import (
    DEFAULT_PRIMARY_AFFINITY,
    NO_UUID,
    OSD_AUTOOUT,
    OSD_EXISTS,
    OSD_NEW,
    OSD_STOP,
    OSD_UP,
    OSDInfo,
    OSDMap,
    OSDXInfo,
    decode_osd_map,
)
from mdsdaemon.maps.osd_map_inc import NO_RELEASE, Incremental
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.interval_set import subtract, union

FLAG_REQUIRE_JEWEL = 1 << 16
FLAG_REQUIRE_KRAKEN = 1 << 17
FLAG_REQUIRE_LUMINOUS = 1 << 18
FLAG_RECOVERY_DELETES = 1 << 19
FLAG_PGLOG_HARDLIMIT = 1 << 22

JEWEL = 10
KRAKEN = 11
LUMINOUS = 12
NAUTILUS = 14

MAX_OSDS = 1 << 20
"""More OSDs than any cluster has: a larger new_max_osd is refused before memory is taken for it."""


def apply_incremental(osd_map: OSDMap, inc: Incremental) -> OSDMap:
    """The map of the next epoch. ``osd_map`` itself is changed, unless ``inc`` brings a whole map.

    Raises:
        DecodeError: ``inc`` is of another cluster or not of the next epoch, or names an OSD that is
            not there; the map is then of no use any more.
    """
    new, epoch = inc.client, inc.client.epoch
    if epoch != osd_map.client.epoch + 1:
        raise _misfit(f"leads to epoch {epoch}, the map is at {osd_map.client.epoch}")
    if epoch != 1 and new.fsid != osd_map.client.fsid:
        raise _misfit(f"is of cluster {new.fsid}, the map is of {osd_map.client.fsid}")
    if new.fullmap:
        return decode_osd_map(new.fullmap)
    client = osd_map.client
    client.fsid = new.fsid
    client.epoch = epoch
    client.modified = new.modified
    if new.new_max_osd > MAX_OSDS:
        raise _misfit(f"asks for {new.new_max_osd} OSDs")
    if new.new_max_osd >= 0:
        osd_map.set_max_osd(new.new_max_osd)
    _check_osds(osd_map, inc)
    _apply_flags(osd_map, inc)
    _apply_pools(osd_map, inc)
    _apply_weights(osd_map, inc)
    _apply_up_and_down(osd_map, inc)
    _apply_infos(osd_map, inc)
    _apply_placement(osd_map, inc)
    _apply_settings(osd_map, inc)
    _apply_crush(osd_map, inc)
    return osd_map


def _misfit(why: str) -> DecodeError:
    return DecodeError("Incremental", "", 0, why)


def _check_osds(osd_map: OSDMap, inc: Incremental) -> None:
    # every list of a map from outside may be shorter than its max_osd
    osd_map.set_max_osd(min(max(osd_map.client.max_osd, 0), MAX_OSDS))
    count = osd_map.client.max_osd
    named: tuple[Mapping[int, object], ...] = (
        inc.client.new_up_client,
        inc.client.new_state,
        inc.client.new_weight,
        inc.client.new_primary_affinity,
        inc.osd.new_up_thru,
        inc.osd.new_last_clean_interval,
        inc.osd.new_lost,
        inc.osd.new_up_cluster,
        inc.osd.new_uuid,
        inc.osd.new_xinfo,
    )
    for osds in named:
        for osd in osds:
            if not 0 <= osd < count:
                raise _misfit(f"names osd.{osd} of {count}")


def _apply_flags(osd_map: OSDMap, inc: Incremental) -> None:
    client, osd = osd_map.client, osd_map.osd
    if inc.client.new_flags >= 0:
        client.flags = inc.client.new_flags
        if client.flags & FLAG_REQUIRE_KRAKEN:
            osd.require_osd_release = max(osd.require_osd_release, KRAKEN)
        elif client.flags & FLAG_REQUIRE_JEWEL:
            osd.require_osd_release = max(osd.require_osd_release, JEWEL)


def _apply_pools(osd_map: OSDMap, inc: Incremental) -> None:
    client, new, queue = osd_map.client, inc.client, osd_map.osd.removed_snaps_queue
    if new.new_pool_max != -1:
        client.pool_max = new.new_pool_max
    for number, pool in new.new_pools.items():
        client.pools[number] = pool
        pool.last_change = client.epoch
    client.new_removed_snaps = new.new_removed_snaps
    client.new_purged_snaps = new.new_purged_snaps
    for number, snaps in new.new_removed_snaps.items():
        queue[number] = union(queue.get(number, {}), snaps)
    for number, snaps in new.new_purged_snaps.items():
        left = subtract(queue.pop(number, {}), snaps)
        if left:
            queue[number] = left
    client.last_up_change = new.new_last_up_change or client.last_up_change
    client.last_in_change = new.new_last_in_change or client.last_in_change
    client.pool_name.update(new.new_pool_names)
    for number in new.old_pools:
        client.pools.pop(number, None)
        client.pool_name.pop(number, None)


def _set_primary_affinity(osd_map: OSDMap, osd: int, affinity: int) -> None:
    client = osd_map.client
    if not client.osd_primary_affinity:
        client.osd_primary_affinity = [DEFAULT_PRIMARY_AFFINITY] * client.max_osd
    client.osd_primary_affinity[osd] = affinity


def _apply_weights(osd_map: OSDMap, inc: Incremental) -> None:
    client = osd_map.client
    for osd, weight in inc.client.new_weight.items():
        client.osd_weight[osd] = weight
        if weight:
            client.osd_state[osd] |= OSD_EXISTS
            client.osd_state[osd] &= ~(OSD_AUTOOUT | OSD_NEW)
            osd_map.osd.osd_xinfo[osd].old_weight = 0
    for osd, affinity in inc.client.new_primary_affinity.items():
        _set_primary_affinity(osd_map, osd, affinity)
    for profile in inc.client.old_erasure_code_profiles:
        client.erasure_code_profiles.pop(profile, None)
    client.erasure_code_profiles.update(inc.client.new_erasure_code_profiles)


def _forget(osd_map: OSDMap, osd: int) -> None:
    osd_map.osd.osd_uuid[osd] = NO_UUID
    osd_map.osd.osd_info[osd] = OSDInfo()
    osd_map.osd.osd_xinfo[osd] = OSDXInfo()
    _set_primary_affinity(osd_map, osd, DEFAULT_PRIMARY_AFFINITY)
    osd_map.client.client_addrs[osd] = EntityAddrVec()
    osd_map.osd.cluster_addrs[osd] = EntityAddrVec()
    osd_map.osd.hb_front_addrs[osd] = EntityAddrVec()
    osd_map.osd.hb_back_addrs[osd] = EntityAddrVec()
    osd_map.client.osd_state[osd] = 0


def _apply_up_and_down(osd_map: OSDMap, inc: Incremental) -> None:
    client, rest = osd_map.client, osd_map.osd
    for osd, bits in inc.client.new_state.items():
        flipped = bits or OSD_UP
        if client.osd_state[osd] & flipped & OSD_UP:
            rest.osd_info[osd].down_at = client.epoch
            rest.osd_xinfo[osd].down_stamp = client.modified
        if client.osd_state[osd] & flipped & OSD_EXISTS:
            _forget(osd_map, osd)
        else:
            client.osd_state[osd] ^= flipped
    for osd, addrs in inc.client.new_up_client.items():
        client.osd_state[osd] |= OSD_EXISTS | OSD_UP
        client.osd_state[osd] &= ~OSD_STOP
        client.client_addrs[osd] = addrs
        rest.hb_back_addrs[osd] = inc.osd.new_hb_back_up.get(osd, EntityAddrVec())
        rest.hb_front_addrs[osd] = inc.osd.new_hb_front_up.get(osd, EntityAddrVec())
        rest.osd_info[osd].up_from = client.epoch
    for osd, addrs in inc.osd.new_up_cluster.items():
        rest.cluster_addrs[osd] = addrs


def _apply_infos(osd_map: OSDMap, inc: Incremental) -> None:
    rest, new = osd_map.osd, inc.osd
    for osd, epoch in new.new_up_thru.items():
        rest.osd_info[osd].up_thru = epoch
    for osd, (first, last) in new.new_last_clean_interval.items():
        rest.osd_info[osd].last_clean_begin = first
        rest.osd_info[osd].last_clean_end = last
    for osd, epoch in new.new_lost.items():
        rest.osd_info[osd].lost_at = epoch
    for osd, xinfo in new.new_xinfo.items():
        rest.osd_xinfo[osd] = xinfo
    for osd, number in new.new_uuid.items():
        rest.osd_uuid[osd] = uuid.UUID(bytes=number.bytes)


def _apply_placement(osd_map: OSDMap, inc: Incremental) -> None:
    client, new = osd_map.client, inc.client
    for pg, osds in new.new_pg_temp.items():
        if osds:
            client.pg_temp[pg] = osds
        else:
            client.pg_temp.pop(pg, None)
    for pg, primary in new.new_primary_temp.items():
        if primary == -1:
            client.primary_temp.pop(pg, None)
        else:
            client.primary_temp[pg] = primary
    client.pg_upmap.update(new.new_pg_upmap)
    client.pg_upmap_items.update(new.new_pg_upmap_items)
    client.pg_upmap_primaries.update(new.new_pg_upmap_primary)
    for pg in new.old_pg_upmap:
        client.pg_upmap.pop(pg, None)
    for pg in new.old_pg_upmap_items:
        client.pg_upmap_items.pop(pg, None)
    for pg in new.old_pg_upmap_primary:
        client.pg_upmap_primaries.pop(pg, None)


def _apply_settings(osd_map: OSDMap, inc: Incremental) -> None:
    client, rest, new = osd_map.client, osd_map.osd, inc.osd
    rest.blocklist.update(new.new_blocklist)
    for addr in new.old_blocklist:
        rest.blocklist.pop(addr, None)
    rest.range_blocklist.update(new.new_range_blocklist)
    for addr in new.old_range_blocklist:
        rest.range_blocklist.pop(addr, None)
    for table, changes in (
        (rest.crush_node_flags, new.new_crush_node_flags),
        (rest.device_class_flags, new.new_device_class_flags),
    ):
        for number, flags in changes.items():
            if flags:
                table[number] = flags
            else:
                table.pop(number, None)
    rest.cluster_snapshot = new.cluster_snapshot
    rest.cluster_snapshot_epoch = client.epoch if new.cluster_snapshot else 0
    if new.new_nearfull_ratio >= 0:
        rest.nearfull_ratio = new.new_nearfull_ratio
    if new.new_backfillfull_ratio >= 0:
        rest.backfillfull_ratio = new.new_backfillfull_ratio
    if new.new_full_ratio >= 0:
        rest.full_ratio = new.new_full_ratio
    if 0 < new.new_require_min_compat_client < NO_RELEASE:
        rest.require_min_compat_client = new.new_require_min_compat_client
    if new.new_require_osd_release < NO_RELEASE:
        rest.require_osd_release = new.new_require_osd_release
        if rest.require_osd_release >= LUMINOUS:
            required = FLAG_REQUIRE_JEWEL | FLAG_REQUIRE_KRAKEN | FLAG_REQUIRE_LUMINOUS
            client.flags = client.flags & ~required | FLAG_RECOVERY_DELETES
        if rest.require_osd_release >= NAUTILUS:
            client.flags |= FLAG_PGLOG_HARDLIMIT
    if new.change_stretch_mode:
        rest.stretch_mode_enabled = new.stretch_mode_enabled
        rest.stretch_bucket_count = new.new_stretch_bucket_count
        rest.degraded_stretch_mode = new.new_degraded_stretch_mode
        rest.recovering_stretch_mode = new.new_recovering_stretch_mode
        rest.stretch_mode_bucket = new.new_stretch_mode_bucket
    if new.mutate_allow_crimson:
        rest.allow_crimson = new.mutate_allow_crimson == 1


def _apply_crush(osd_map: OSDMap, inc: Incremental) -> None:
    client, rest = osd_map.client, osd_map.osd
    if not inc.client.crush:
        return
    client.crush = decode(CrushMap, inc.client.crush)
    client.crush.finalize()
    if rest.require_osd_release >= LUMINOUS:
        client.crush_version += 1
    for number in [n for n in rest.device_class_flags if n not in client.crush.class_name]:
        del rest.device_class_flags[number]
