"""pg_pool_t: a pool and how its objects are placed.

Format: ceph/ceph, src/osd/osd_types.h and .cc, src/osd/HitSet.h (Pacific).
"""

from enum import IntEnum
from typing import Any

from mdsdaemon.encoding import (
    F64,
    S32,
    S64,
    U8,
    U32,
    U64,
    Bool,
    Cursor,
    Custom,
    Map,
    Set,
    Str,
    Time,
    field,
    wire,
)
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.types.osd import PG, EVersion

NEVER = 1 << 64
"""A feature bit that no peer has, for versions that only certain values are written with."""

CRUSH_ITEM_NONE = 0x7FFFFFFF


class PoolType(IntEnum):
    """How a pool keeps its data safe."""

    REPLICATED = 1
    ERASURE = 3


FLAG_HASHPSPOOL = 1 << 0
FLAG_FULL = 1 << 1
FLAG_EC_OVERWRITES = 1 << 2
FLAG_SELFMANAGED_SNAPS = 1 << 13
FLAG_POOL_SNAPS = 1 << 14


@wire(v=2, compat=2, ceph="pool_snap_info_t")
class PoolSnapInfo:
    """pool_snap_info_t: one snapshot of a whole pool."""

    snapid: int = field(U64, default=0)
    stamp: int = field(Time, default=0)
    name: str = field(Str, default="")


@wire(v=1, compat=1, ceph="pg_merge_meta_t")
class PGMergeMeta:
    """pg_merge_meta_t: the last merge of placement groups."""

    source_pgid: PG = field(PG, factory=PG)
    ready_epoch: int = field(U32, default=0)
    last_epoch_started: int = field(U32, default=0)
    last_epoch_clean: int = field(U32, default=0)
    source_version: EVersion = field(EVersion, factory=EVersion)
    target_version: EVersion = field(EVersion, factory=EVersion)


class HitSetType(IntEnum):
    """Which kind of hit set a cache pool keeps."""

    NONE = 0
    EXPLICIT_HASH = 1
    EXPLICIT_OBJECT = 2
    BLOOM = 3


@wire(v=1, compat=1, ceph="BloomHitSet::Params")
class BloomParams:
    """Parameters of a Bloom filter."""

    fpp_micro: int = field(U32, default=0)
    target_size: int = field(U64, default=0)
    seed: int = field(U64, default=0)


@wire(v=1, compat=1, ceph="HitSet::Params")
class HitSetParams:
    """HitSet::Params: the kind of hit set, and the filter's parameters if it is a Bloom filter."""

    type: int = field(U8, default=HitSetType.NONE)
    bloom: BloomParams = field(BloomParams, factory=BloomParams, only_if="type == 3")


OptionValue = str | int | float

_S32 = struct_of("i").pack
_STR, _INT, _DOUBLE = 0, 1, 2


def _decode_option(c: Cursor) -> OptionValue:
    kind = c.s32()
    if kind == _STR:
        return c.str_()
    if kind == _INT:
        return c.s64()
    if kind == _DOUBLE:
        return c.get(F64)
    raise c.fail(f"a pool option is of type {kind}, not a string, an integer or a double")


def _encode_option(value: OptionValue, out: bytearray, features: int) -> None:
    if isinstance(value, str):
        out += _S32(_STR)
        Str.encoder()(out, value, features)
    elif isinstance(value, int):
        out += _S32(_INT)
        S64.encoder()(out, value, features)
    else:
        out += _S32(_DOUBLE)
        F64.encoder()(out, value, features)


def _plain_option(value: OptionValue) -> Any:
    return ["s", Str.to_plain(value)] if isinstance(value, str) else ["n", value]


def _unplain_option(plain: Any) -> OptionValue:
    kind, value = plain
    return Str.from_plain(value) if kind == "s" else value


OptionCodec: Custom[OptionValue] = Custom(
    _decode_option, _encode_option, 8, plain=_plain_option, unplain=_unplain_option
)


@wire(v=2, compat=1, ceph="pool_opts_t")
class PoolOpts:
    """pool_opts_t: options of a pool by number; those of before Nautilus are not understood."""

    opts: dict[int, OptionValue] = field(Map(S32, OptionCodec), factory=dict)


def _pool_version(pool: "PGPool", v: int, compat: int) -> tuple[int, int]:
    return (30, compat) if pool.peering_crush_bucket_count else (v, compat)


@wire(versions=((NEVER, 30, 5), (0, 29, 5)), by_value=_pool_version, ceph="pg_pool_t")
class PGPool:
    """pg_pool_t; version 30 is of pools in stretch mode."""

    type: int = field(U8, default=PoolType.REPLICATED)
    size: int = field(U8, default=0)
    crush_rule: int = field(U8, default=0)
    object_hash: int = field(U8, default=0)
    pg_num: int = field(U32, default=0)
    pgp_num: int = field(U32, default=0)
    lpg_num: int = field(U32, default=0)
    lpgp_num: int = field(U32, default=0)
    last_change: int = field(U32, default=0)
    snap_seq: int = field(U64, default=0)
    snap_epoch: int = field(U32, default=0)
    snaps: dict[int, PoolSnapInfo] = field(Map(U64, PoolSnapInfo), factory=dict)
    removed_snaps: dict[int, int] = field(Map(U64, U64), factory=dict)
    auid: int = field(U64, default=0)
    flags: int = field(U64, default=0)
    crash_replay_interval: int = field(U32, default=0)
    min_size: int = field(U8, default=0, since=7)
    quota_max_bytes: int = field(U64, default=0, since=8)
    quota_max_objects: int = field(U64, default=0, since=8)
    tiers: set[int] = field(Set(U64), factory=set, since=9)
    tier_of: int = field(S64, default=-1, since=9)
    cache_mode: int = field(U8, default=0, since=9)
    read_tier: int = field(S64, default=-1, since=9)
    write_tier: int = field(S64, default=-1, since=9)
    properties: dict[str, str] = field(Map(Str, Str), factory=dict, since=10)
    hit_set_params: HitSetParams = field(HitSetParams, factory=HitSetParams, since=11)
    hit_set_period: int = field(U32, default=0, since=11)
    hit_set_count: int = field(U32, default=0, since=11)
    stripe_width: int = field(U32, default=0, since=12)
    target_max_bytes: int = field(U64, default=0, since=13)
    target_max_objects: int = field(U64, default=0, since=13)
    cache_target_dirty_ratio_micro: int = field(U32, default=0, since=13)
    cache_target_full_ratio_micro: int = field(U32, default=0, since=13)
    cache_min_flush_age: int = field(U32, default=0, since=13)
    cache_min_evict_age: int = field(U32, default=0, since=13)
    erasure_code_profile: str = field(Str, default="", since=14)
    last_force_op_resend_preluminous: int = field(U32, default=0, since=15)
    min_read_recency_for_promote: int = field(U32, default=1, since=16)
    expected_num_objects: int = field(U64, default=0, since=17)
    cache_target_dirty_high_ratio_micro: int = field(U32, default=0, since=19)
    min_write_recency_for_promote: int = field(U32, default=1, since=20)
    use_gmt_hitset: bool = field(Bool, default=True, since=21)
    fast_read: bool = field(Bool, default=False, since=22)
    hit_set_grade_decay_rate: int = field(U32, default=0, since=23)
    hit_set_search_last_n: int = field(U32, default=1, since=23)
    opts: PoolOpts = field(PoolOpts, factory=PoolOpts, since=24)
    last_force_op_resend_prenautilus: int = field(U32, default=0, since=25)
    application_metadata: dict[str, dict[str, str]] = field(
        Map(Str, Map(Str, Str)), factory=dict, since=26
    )
    create_time: int = field(Time, default=0, since=27)
    pg_num_target: int = field(U32, default=0, since=28)
    pgp_num_target: int = field(U32, default=0, since=28)
    pg_num_pending: int = field(U32, default=0, since=28)
    pg_num_dec_last_epoch_started: int = field(U32, default=0, since=28)
    pg_num_dec_last_epoch_clean: int = field(U32, default=0, since=28)
    last_force_op_resend: int = field(U32, default=0, since=28)
    pg_autoscale_mode: int = field(U8, default=0, since=28)
    last_pg_merge_meta: PGMergeMeta = field(PGMergeMeta, factory=PGMergeMeta, since=29)
    peering_crush_bucket_count: int = field(U32, default=0, since=30)
    peering_crush_bucket_target: int = field(U32, default=0, since=30)
    peering_crush_bucket_barrier: int = field(U32, default=0, since=30)
    peering_crush_mandatory_member: int = field(S32, default=CRUSH_ITEM_NONE, since=30)
