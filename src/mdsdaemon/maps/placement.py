"""Where an object lives: from its name to a placement group, and from that to OSDs.

Format: ceph/ceph, src/osd/OSDMap.cc (_pg_to_up_acting_osds and what it calls), src/osd/osd_types.cc
(pg_pool_t::hash_key, raw_pg_to_pps) (Pacific).
"""

import attrs

from mdsdaemon.maps.crush_hash import hash32_2
from mdsdaemon.maps.crush_mapper import ITEM_NONE, do_rule
from mdsdaemon.maps.osd_map import DEFAULT_PRIMARY_AFFINITY, OSDMap
from mdsdaemon.types.name_hash import STR_HASH_LINUX, str_hash_linux, str_hash_rjenkins
from mdsdaemon.types.osd import PG
from mdsdaemon.types.pool import PGPool, PoolType

_M = 0xFFFFFFFF
FLAG_HASHPSPOOL = 1 << 0
_NAMESPACE_END = b"\x1f"


@attrs.frozen
class Mapping:
    """The OSDs of a placement group.

    ``up`` is what CRUSH and the map's exceptions give, ``acting`` who serves it now; the primaries
    are -1 where there is none.
    """

    up: tuple[int, ...]
    up_primary: int
    acting: tuple[int, ...]
    acting_primary: int


def stable_mod(x: int, bins: int, mask: int) -> int:
    """``x`` modulo ``bins``, such that growing ``bins`` moves few; ``mask`` is 2^n - 1 >= bins."""
    return x & mask if x & mask < bins else x & mask >> 1


def _mask(count: int) -> int:
    return (1 << (count - 1).bit_length()) - 1 if count > 0 else 0


def hash_key(pool: PGPool, key: bytes, namespace: bytes = b"") -> int:
    """The placement hash of an object name (or its locator key) in a pool."""
    data = namespace + _NAMESPACE_END + key if namespace else key
    linux = pool.object_hash == STR_HASH_LINUX
    return str_hash_linux(data) if linux else str_hash_rjenkins(data)


def object_to_raw_pg(
    osd_map: OSDMap, pool_id: int, name: bytes, key: bytes = b"", namespace: bytes = b""
) -> PG | None:
    """The raw placement group (full hash) of an object; None if there is no such pool."""
    pool = osd_map.pools.get(pool_id)
    return None if pool is None else PG(pool_id, hash_key(pool, key or name, namespace))


def raw_pg_to_pg(pool: PGPool, pg: PG) -> PG:
    """The placement group in which a raw one is stored."""
    return PG(pg.pool, stable_mod(pg.seed, pool.pg_num, _mask(pool.pg_num)))


def placement_seed(pool: PGPool, pg: PG) -> int:
    """The input to CRUSH for a placement group."""
    seed = stable_mod(pg.seed, pool.pgp_num, _mask(pool.pgp_num))
    if pool.flags & FLAG_HASHPSPOOL:
        return hash32_2(seed, pg.pool)
    return seed + pg.pool & _M


def pg_to_up_acting(osd_map: OSDMap, raw_pg: PG) -> Mapping | None:
    """The OSDs of a placement group; None if there is no such pool."""
    pool = osd_map.pools.get(raw_pg.pool)
    if pool is None:
        return None
    pg = raw_pg_to_pg(pool, raw_pg)
    up, up_primary = _up(osd_map, pool, pg)
    acting, acting_primary = _temp(osd_map, pool, pg)
    if not acting:
        acting = up
        if acting_primary == -1:
            acting_primary = up_primary
    return Mapping(tuple(up), up_primary, tuple(acting), acting_primary)


def _up(osd_map: OSDMap, pool: PGPool, pg: PG) -> tuple[list[int], int]:
    seed = placement_seed(pool, pg)
    raw = _raw(osd_map, pool, pg, seed)
    if _can_shift(pool):
        up = [osd for osd in raw if osd_map.is_up(osd)]
    else:
        up = [osd if osd_map.is_up(osd) else ITEM_NONE for osd in raw]
    primary = next((osd for osd in up if osd != ITEM_NONE), -1)
    return _apply_primary_affinity(osd_map, pool, seed, up, primary)


def _can_shift(pool: PGPool) -> bool:
    """Whether positions mean nothing: a replica's absence moves the others up."""
    return pool.type == PoolType.REPLICATED


def _raw(osd_map: OSDMap, pool: PGPool, pg: PG, seed: int) -> list[int]:
    crush, weights = osd_map.client.crush, osd_map.client.osd_weight
    number = next(
        (
            i
            for i, rule in enumerate(crush.tree.rules)
            if rule is not None
            and rule.ruleset == pool.crush_rule
            and rule.type == pool.type
            and rule.min_size <= pool.size <= rule.max_size
        ),
        -1,
    )
    raw = do_rule(crush, number, seed, pool.size, weights, pg.pool) if number >= 0 else []
    if _can_shift(pool):
        raw = [osd for osd in raw if osd_map.exists(osd)]
    else:
        raw = [osd if osd_map.exists(osd) else ITEM_NONE for osd in raw]
    return _apply_upmap(osd_map, pg, raw)


def _apply_upmap(osd_map: OSDMap, pg: PG, raw: list[int]) -> list[int]:
    """The exceptions that the balancer put into the map."""
    weights = osd_map.client.osd_weight

    def marked_out(osd: int) -> bool:
        return osd != ITEM_NONE and 0 <= osd < len(weights) and weights[osd] == 0

    whole = osd_map.client.pg_upmap.get(pg)
    if whole is not None:
        if any(marked_out(osd) for osd in whole):
            return raw
        raw = list(whole)
    for source, target in osd_map.client.pg_upmap_items.get(pg, ()):
        if target not in raw and source in raw and not marked_out(target):
            raw[raw.index(source)] = target
    return raw


def _apply_primary_affinity(
    osd_map: OSDMap, pool: PGPool, seed: int, osds: list[int], primary: int
) -> tuple[list[int], int]:
    affinity = osd_map.client.osd_primary_affinity

    def of(osd: int) -> int:
        return affinity[osd] if osd < len(affinity) else DEFAULT_PRIMARY_AFFINITY

    if all(osd == ITEM_NONE or of(osd) == DEFAULT_PRIMARY_AFFINITY for osd in osds):
        return osds, primary
    position = -1
    for i, osd in enumerate(osds):
        if osd == ITEM_NONE:
            continue
        if of(osd) < DEFAULT_PRIMARY_AFFINITY and hash32_2(seed, osd) >> 16 >= of(osd):
            # turned down for this group, but better than none
            position = i if position < 0 else position
        else:
            position = i
            break
    if position < 0:
        return osds, primary
    primary = osds[position]
    if _can_shift(pool) and position > 0:
        osds = [primary, *osds[:position], *osds[position + 1 :]]
    return osds, primary


def _temp(osd_map: OSDMap, pool: PGPool, pg: PG) -> tuple[list[int], int]:
    """Who serves a group while its data moves."""
    temp: list[int] = []
    for osd in osd_map.client.pg_temp.get(pg, ()):
        if osd_map.is_up(osd):
            temp.append(osd)
        elif not _can_shift(pool):
            temp.append(ITEM_NONE)
    primary = osd_map.client.primary_temp.get(pg)
    if primary is None:
        primary = next((osd for osd in temp if osd != ITEM_NONE), -1)
    return temp, primary
