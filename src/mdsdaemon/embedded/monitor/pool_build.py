"""New pools, and the limits of their placement groups.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (prepare_new_pool, check_pg_num) (Pacific), checked
against 16.2.15. Placement groups are there at once, so a pool is never `creating`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mdsdaemon.embedded.monitor import crush_build
from mdsdaemon.embedded.monitor.commands import fail
from mdsdaemon.embedded.monitor.osd_view import existing, is_in
from mdsdaemon.embedded.monitor.pool_options import (
    AUTOSCALE_MODES,
    FLAG_BULK,
    FLAG_HASHPSPOOL,
    FLAG_NODELETE,
    FLAG_NOPGCHANGE,
    FLAG_NOSIZECHANGE,
    OPTIONS,
)
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.types.name_hash import STR_HASH_RJENKINS
from mdsdaemon.types.pool import OptionValue, PGPool, PoolType

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.embedded.monitor.osd_pending import Pending


_DEFAULT_FLAGS: Final = {
    "osd_pool_default_flag_hashpspool": FLAG_HASHPSPOOL,
    "osd_pool_default_flag_nodelete": FLAG_NODELETE,
    "osd_pool_default_flag_nopgchange": FLAG_NOPGCHANGE,
    "osd_pool_default_flag_nosizechange": FLAG_NOSIZECHANGE,
    "osd_pool_default_flag_bulk": FLAG_BULK,
}


@frozen
class NewPool:
    """What is asked of a new pool; 0 or "" for the configured default.

    `rule` is a rule's name; `crush_rule` its number, used where it is not negative.
    """

    name: str
    pg_num: int = 0
    pgp_num: int = 0
    size: int = 0
    rule: str = ""
    crush_rule: int = -1
    expected_num_objects: int = 0
    pg_num_min: int = 0
    pg_num_max: int = 0
    target_size_bytes: int = 0
    target_size_ratio: float = 0.0
    autoscale_mode: str = ""
    bulk: bool = False


def default_min_size(config: Config, size: int) -> int:
    """How many copies a pool of that size needs to serve."""
    configured = config.get_int("osd_pool_default_min_size")
    return min(configured, size) if configured else size - size // 2


def check_pg_num(osd_map: OSDMap, config: Config, pool: int, pg_num: int, size: int) -> None:
    """Raises CommandError (ERANGE): the OSDs would hold too many placement groups.

    `pool` is -1 for one that is yet to be made.
    """
    per_osd = config.get_int("mon_max_pg_per_osd")
    osds = max(sum(is_in(osd_map, osd) for osd in existing(osd_map)), 3)
    projected = pg_num * size if pool < 0 else 0
    for number, info in osd_map.pools.items():
        projected += pg_num * size if number == pool else info.pg_num_target * info.size
    if projected > per_osd * osds:
        raise fail(
            errno.ERANGE,
            f"{f'pool id {pool}' if pool >= 0 else ''} pg_num {pg_num} size {size} would mean "
            f"{projected} total pgs, which exceeds max {per_osd * osds} "
            f"(mon_max_pg_per_osd {per_osd} * num_in_osds {osds})",
        )


def check_max_pg_num(config: Config, pg_num: int) -> None:
    """Raises CommandError (ERANGE): no pool has that many placement groups."""
    most = config.get_int("mon_max_pool_pg_num")
    if not 0 < pg_num <= most:
        raise fail(
            errno.ERANGE,
            f"'pg_num' must be greater than 0 and less than or equal to {most} "
            "(you may adjust 'mon max pool pg num' for higher values)",
        )


def _crush_rule(osd_map: OSDMap, config: Config, asked: NewPool) -> int:
    crush = osd_map.client.crush
    number: int | None
    if asked.crush_rule >= 0:
        if crush.rule(asked.crush_rule) is None:
            raise fail(errno.ENOENT, f"CRUSH rule {asked.crush_rule} not found")
        return asked.crush_rule
    if asked.rule:
        number = crush_build.rule_id(crush, asked.rule)
        if number is None:
            raise fail(errno.ENOENT, f"specified rule {asked.rule} doesn't exist")
        return number
    number = config.get_int("osd_pool_default_crush_rule")
    if number < 0 or crush.rule(number) is None:
        rules = enumerate(crush.tree.rules)
        number = next((n for n, r in rules if r and r.type == PoolType.REPLICATED), None)
    if number is None:
        raise fail(
            errno.ENOENT,
            "No suitable CRUSH rule exists, check 'osd pool default crush *' config options",
        )
    return number


def create_pool(pending: Pending, config: Config, asked: NewPool, now: int) -> int:
    """Add a replicated pool whose name is free; returns its id. `now` in nanoseconds.

    Raises CommandError: ERANGE, EINVAL, ENOENT.
    """
    if not asked.name:
        raise fail(errno.EINVAL, "(22) Invalid argument")
    osd_map = pending.base
    pg_num = asked.pg_num or config.get_int("osd_pool_default_pg_num")
    pgp_num = asked.pgp_num or config.get_int("osd_pool_default_pgp_num") or pg_num
    check_max_pg_num(config, pg_num)
    if not 0 < pgp_num <= pg_num:
        raise fail(
            errno.ERANGE,
            "'pgp_num' must be greater than 0 and lower or equal than 'pg_num', "
            f"which in this case is {pg_num}",
        )
    rule = _crush_rule(osd_map, config, asked)
    size = asked.size or config.get_int("osd_pool_default_size")
    check_pg_num(osd_map, config, -1, pg_num, size)
    crush_build.check_rule(osd_map.client.crush, rule, PoolType.REPLICATED, size)
    flags = config.get_int("osd_pool_default_flags")
    for name, bit in _DEFAULT_FLAGS.items():
        flags |= bit if config.get_bool(name) else 0
    mode = asked.autoscale_mode or config.get_str("osd_pool_default_pg_autoscale_mode")
    new = pending.inc.client
    number = max(new.new_pool_max, osd_map.client.pool_max) + 1
    new.new_pool_max = number
    new.new_pool_names[number] = asked.name
    new.new_pools[number] = PGPool(
        type=PoolType.REPLICATED,
        size=size,
        min_size=default_min_size(config, size),
        crush_rule=rule,
        object_hash=STR_HASH_RJENKINS,
        pg_num=pg_num,
        pgp_num=pgp_num,
        pg_num_target=pg_num,
        pgp_num_target=pgp_num,
        pg_num_pending=pg_num,
        last_change=pending.epoch,
        flags=flags | (FLAG_BULK if asked.bulk else 0),
        create_time=now,
        pg_autoscale_mode=AUTOSCALE_MODES.index(mode) if mode in AUTOSCALE_MODES else 0,
        expected_num_objects=asked.expected_num_objects,
        use_gmt_hitset=config.get_bool("osd_pool_use_gmt_hitset"),
        min_read_recency_for_promote=0,
        min_write_recency_for_promote=0,
        hit_set_search_last_n=0,
        cache_target_dirty_ratio_micro=_micro(config, "osd_pool_default_cache_target_dirty_ratio"),
        cache_target_dirty_high_ratio_micro=_micro(
            config, "osd_pool_default_cache_target_dirty_high_ratio"
        ),
        cache_target_full_ratio_micro=_micro(config, "osd_pool_default_cache_target_full_ratio"),
        cache_min_flush_age=config.get_int("osd_pool_default_cache_min_flush_age"),
        cache_min_evict_age=config.get_int("osd_pool_default_cache_min_evict_age"),
    )
    options: dict[str, OptionValue] = {
        "pg_num_min": asked.pg_num_min,
        "pg_num_max": asked.pg_num_max,
        "target_size_bytes": asked.target_size_bytes,
        "target_size_ratio": float(asked.target_size_ratio),
    }
    for name, value in options.items():
        if value:
            new.new_pools[number].opts.opts[OPTIONS[name].key] = value
    return number


def _micro(config: Config, name: str) -> int:
    return int(config.get_float(name) * 1_000_000)
