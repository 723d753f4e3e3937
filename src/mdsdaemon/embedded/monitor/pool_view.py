"""A pool as `osd dump` shows it: JSON, and one line of text.

Format: ceph/ceph, src/osd/osd_types.cc (pg_pool_t::dump and operator<<) (Pacific), checked against
16.2.15
"""

from __future__ import annotations

from typing import Any

from mdsdaemon.embedded.monitor.osd_text import general, intervals
from mdsdaemon.embedded.monitor.pool_options import (
    AUTOSCALE_MODES,
    CACHE_MODES,
    FLAG_POOL_SNAPS,
    FLAG_SELFMANAGED_SNAPS,
    HIT_SET_TYPES,
    OPTIONS,
    flag_names,
)
from mdsdaemon.types.pool import HitSetType, OptionValue, PGPool, PoolType
from mdsdaemon.types.utime import utime_str


def type_name(pool: PGPool) -> str:
    """``replicated`` or ``erasure``."""
    return {PoolType.REPLICATED: "replicated", PoolType.ERASURE: "erasure"}.get(
        PoolType(pool.type), "???"
    )


def is_tier(pool: PGPool) -> bool:
    """Whether the pool is a cache before another."""
    return pool.tier_of >= 0


def is_pool_snaps_mode(pool: PGPool) -> bool:
    """Snapshots are of the whole pool."""
    return bool(pool.flags & FLAG_POOL_SNAPS)


def is_unmanaged_snaps_mode(pool: PGPool) -> bool:
    """Clients manage the snapshots themselves."""
    return bool(pool.flags & FLAG_SELFMANAGED_SNAPS)


def snap_by_name(pool: PGPool, name: str) -> int:
    """The id of a snapshot of the pool, 0 if there is none of that name."""
    return next((snap.snapid for snap in pool.snaps.values() if snap.name == name), 0)


def option(pool: PGPool, name: str) -> OptionValue | None:
    """The value of an option by name, None where it is not set."""
    return pool.opts.opts.get(OPTIONS[name].key)


def autoscale_mode(pool: PGPool) -> str:
    """``off``, ``warn`` or ``on``."""
    mode = pool.pg_autoscale_mode
    return AUTOSCALE_MODES[mode] if mode < len(AUTOSCALE_MODES) else "???"


def cache_mode(pool: PGPool) -> str:
    """``none`` for every pool that is not a cache."""
    return CACHE_MODES[pool.cache_mode] if pool.cache_mode < len(CACHE_MODES) else "unknown"


def hit_set_type(pool: PGPool) -> str:
    """``none`` for every pool that is not a cache."""
    return HIT_SET_TYPES[pool.hit_set_params.type]


def options(pool: PGPool) -> dict[str, OptionValue]:
    """The options that are set, by name."""
    found = ((name, pool.opts.opts.get(OPTIONS[name].key)) for name in sorted(OPTIONS))
    return {name: value for name, value in found if value is not None}


def option_text(value: OptionValue) -> str:
    """An option's value in plain output."""
    return general(value) if isinstance(value, float) else f"{value}"


def _hit_set_params(pool: PGPool) -> dict[str, Any]:
    params = pool.hit_set_params
    out: dict[str, Any] = {"type": hit_set_type(pool)}
    if params.type == HitSetType.BLOOM:
        out |= {
            "false_positive_probability": params.bloom.fpp_micro / 1_000_000,
            "target_size": params.bloom.target_size,
            "seed": params.bloom.seed,
        }
    return out


def _grade_table(pool: PGPool) -> list[int]:
    grades, grade = [], 1_000_000
    for _ in range(pool.hit_set_count):
        grades.append(grade)
        grade = int(grade * (1 - pool.hit_set_grade_decay_rate / 100.0))
    return grades


def dump_pool(pool: PGPool) -> dict[str, Any]:
    """All of a pool but its number and name."""
    merge = pool.last_pg_merge_meta
    return {
        "create_time": utime_str(pool.create_time),
        "flags": pool.flags,
        "flags_names": ",".join(flag_names(pool.flags)),
        "type": pool.type,
        "size": pool.size,
        "min_size": pool.min_size,
        "crush_rule": pool.crush_rule,
        "peering_crush_bucket_count": pool.peering_crush_bucket_count,
        "peering_crush_bucket_target": pool.peering_crush_bucket_target,
        "peering_crush_bucket_barrier": pool.peering_crush_bucket_barrier,
        "peering_crush_bucket_mandatory_member": pool.peering_crush_mandatory_member,
        "object_hash": pool.object_hash,
        "pg_autoscale_mode": autoscale_mode(pool),
        "pg_num": pool.pg_num,
        "pg_placement_num": pool.pgp_num,
        "pg_placement_num_target": pool.pgp_num_target,
        "pg_num_target": pool.pg_num_target,
        "pg_num_pending": pool.pg_num_pending,
        "last_pg_merge_meta": {
            "source_pgid": f"{merge.source_pgid}",
            "ready_epoch": merge.ready_epoch,
            "last_epoch_started": merge.last_epoch_started,
            "last_epoch_clean": merge.last_epoch_clean,
            "source_version": f"{merge.source_version}",
            "target_version": f"{merge.target_version}",
        },
        "last_change": f"{pool.last_change}",
        "last_force_op_resend": f"{pool.last_force_op_resend}",
        "last_force_op_resend_prenautilus": f"{pool.last_force_op_resend_prenautilus}",
        "last_force_op_resend_preluminous": f"{pool.last_force_op_resend_preluminous}",
        "auid": pool.auid,
        "snap_mode": "pool" if is_pool_snaps_mode(pool) else "selfmanaged",
        "snap_seq": pool.snap_seq,
        "snap_epoch": pool.snap_epoch,
        "pool_snaps": [
            {"snapid": snap.snapid, "stamp": utime_str(snap.stamp), "name": snap.name}
            for _, snap in sorted(pool.snaps.items())
        ],
        "removed_snaps": intervals(pool.removed_snaps),
        "quota_max_bytes": pool.quota_max_bytes,
        "quota_max_objects": pool.quota_max_objects,
        "tiers": sorted(pool.tiers),
        "tier_of": pool.tier_of,
        "read_tier": pool.read_tier,
        "write_tier": pool.write_tier,
        "cache_mode": cache_mode(pool),
        "target_max_bytes": pool.target_max_bytes,
        "target_max_objects": pool.target_max_objects,
        "cache_target_dirty_ratio_micro": pool.cache_target_dirty_ratio_micro,
        "cache_target_dirty_high_ratio_micro": pool.cache_target_dirty_high_ratio_micro,
        "cache_target_full_ratio_micro": pool.cache_target_full_ratio_micro,
        "cache_min_flush_age": pool.cache_min_flush_age,
        "cache_min_evict_age": pool.cache_min_evict_age,
        "erasure_code_profile": pool.erasure_code_profile,
        "hit_set_params": _hit_set_params(pool),
        "hit_set_period": pool.hit_set_period,
        "hit_set_count": pool.hit_set_count,
        "use_gmt_hitset": pool.use_gmt_hitset,
        "min_read_recency_for_promote": pool.min_read_recency_for_promote,
        "min_write_recency_for_promote": pool.min_write_recency_for_promote,
        "hit_set_grade_decay_rate": pool.hit_set_grade_decay_rate,
        "hit_set_search_last_n": pool.hit_set_search_last_n,
        "grade_table": _grade_table(pool),
        "stripe_width": pool.stripe_width,
        "expected_num_objects": pool.expected_num_objects,
        "fast_read": pool.fast_read,
        "options": options(pool),
        "application_metadata": {
            app: dict(sorted(keys.items()))
            for app, keys in sorted(pool.application_metadata.items())
        },
    }


def pool_line(pool: PGPool) -> str:
    """``replicated size 1 min_size 1 crush_rule 0 …``. Cache tiers' words are left out."""
    words = [type_name(pool)]
    if pool.type == PoolType.ERASURE:
        words.append(f"profile {pool.erasure_code_profile}")
    words += [
        f"size {pool.size} min_size {pool.min_size} crush_rule {pool.crush_rule}",
        f"object_hash {'rjenkins' if pool.object_hash == 2 else 'linux'}",
        f"pg_num {pool.pg_num} pgp_num {pool.pgp_num}",
    ]
    if pool.pg_num_target != pool.pg_num:
        words.append(f"pg_num_target {pool.pg_num_target}")
    if pool.pgp_num_target != pool.pgp_num:
        words.append(f"pgp_num_target {pool.pgp_num_target}")
    if pool.pg_num_pending != pool.pg_num:
        words.append(f"pg_num_pending {pool.pg_num_pending}")
    words += [f"autoscale_mode {autoscale_mode(pool)}", f"last_change {pool.last_change}"]
    resend = (
        pool.last_force_op_resend,
        pool.last_force_op_resend_prenautilus,
        pool.last_force_op_resend_preluminous,
    )
    if any(resend):
        words.append("lfor " + "/".join(map(str, resend)))
    if pool.flags:
        words.append("flags " + ",".join(flag_names(pool.flags)))
    if pool.quota_max_bytes:
        words.append(f"max_bytes {pool.quota_max_bytes}")
    if pool.quota_max_objects:
        words.append(f"max_objects {pool.quota_max_objects}")
    words.append(f"stripe_width {pool.stripe_width}")
    if pool.expected_num_objects:
        words.append(f"expected_num_objects {pool.expected_num_objects}")
    words += [f"{name} {option_text(value)}" for name, value in options(pool).items()]
    if pool.application_metadata:
        words.append("application " + ",".join(sorted(pool.application_metadata)))
    return " ".join(words)
