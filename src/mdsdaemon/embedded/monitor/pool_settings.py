"""`osd pool get` and `osd pool set`.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (prepare_command_pool_set) (Pacific), checked against
16.2.15. There is no manager that follows a pg_num slowly: placement groups split at once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mdsdaemon.embedded.monitor import crush_build
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_text import (
    number,
    parse_float,
    parse_iec,
    parse_int,
    parse_si,
)
from mdsdaemon.embedded.monitor.pool_build import check_max_pg_num, check_pg_num, default_min_size
from mdsdaemon.embedded.monitor.pool_options import (
    AUTOSCALE_MODES,
    COMPRESSION_ALGORITHMS,
    COMPRESSION_MODES,
    CSUM_TYPES,
    FLAG_NAMES,
    FLAG_NOPGCHANGE,
    FLAG_NOSIZECHANGE,
    OPTIONS,
    csum_name,
)
from mdsdaemon.embedded.monitor.pool_view import autoscale_mode, is_tier, option, option_text
from mdsdaemon.types.pool import OptionValue, PGPool, PoolType

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
    from mdsdaemon.embedded.monitor.osd_pending import Pending

N = TypeVar("N", int, float)

_TIER_ONLY: Final = (
    "hit_set_type", "hit_set_period", "hit_set_count", "hit_set_fpp", "use_gmt_hitset",
    "target_max_objects", "target_max_bytes", "cache_target_dirty_ratio",
    "cache_target_dirty_high_ratio", "cache_target_full_ratio", "cache_min_flush_age",
    "cache_min_evict_age", "min_read_recency_for_promote", "min_write_recency_for_promote",
    "hit_set_grade_decay_rate", "hit_set_search_last_n",
)  # fmt: skip
_ERASURE_ONLY: Final = ("allow_ec_overwrites", "erasure_code_profile")
_FLAGS: Final = (
    "nodelete", "nopgchange", "nosizechange", "write_fadvise_dontneed", "noscrub", "nodeep-scrub",
    "bulk",
)  # fmt: skip
_IEC_VALUES: Final = (
    "target_size_bytes", "compression_max_blob_size", "compression_min_blob_size",
    "csum_max_block", "csum_min_block",
)  # fmt: skip

# In the order in which `all` shows them.
_SHOWN: Final = (
    "size", "min_size", "pg_num", "pgp_num", "crush_rule", "hashpspool", "nodelete", "nopgchange",
    "nosizechange", "write_fadvise_dontneed", "noscrub", "nodeep-scrub", "use_gmt_hitset",
    "fast_read", "scrub_min_interval", "scrub_max_interval", "deep_scrub_interval",
    "recovery_priority", "recovery_op_priority", "scrub_priority", "compression_mode",
    "compression_algorithm", "compression_required_ratio", "compression_max_blob_size",
    "compression_min_blob_size", "csum_type", "csum_max_block", "csum_min_block",
    "fingerprint_algorithm", "pg_autoscale_mode", "pg_num_min", "target_size_bytes",
    "target_size_ratio", "pg_autoscale_bias", "dedup_tier", "dedup_chunk_algorithm",
    "dedup_cdc_chunk_size", "pg_num_max", "bulk",
)  # fmt: skip

_POOL_VAR: Final = "name=pool,type=CephPoolname name=var,type=CephChoices"
_GET_CHOICES: Final = (
    "size|min_size|pg_num|pgp_num|crush_rule|hashpspool|nodelete|nopgchange|nosizechange|"
    "write_fadvise_dontneed|noscrub|nodeep-scrub|hit_set_type|hit_set_period|hit_set_count|"
    "hit_set_fpp|use_gmt_hitset|target_max_objects|target_max_bytes|cache_target_dirty_ratio|"
    "cache_target_dirty_high_ratio|cache_target_full_ratio|cache_min_flush_age|"
    "cache_min_evict_age|erasure_code_profile|min_read_recency_for_promote|all|"
    "min_write_recency_for_promote|fast_read|hit_set_grade_decay_rate|hit_set_search_last_n|"
    "scrub_min_interval|scrub_max_interval|deep_scrub_interval|recovery_priority|"
    "recovery_op_priority|scrub_priority|compression_mode|compression_algorithm|"
    "compression_required_ratio|compression_max_blob_size|compression_min_blob_size|csum_type|"
    "csum_min_block|csum_max_block|allow_ec_overwrites|fingerprint_algorithm|pg_autoscale_mode|"
    "pg_autoscale_bias|pg_num_min|pg_num_max|target_size_bytes|target_size_ratio|dedup_tier|"
    "dedup_chunk_algorithm|dedup_cdc_chunk_size|bulk"
)
_SET_CHOICES: Final = (
    "size|min_size|pg_num|pgp_num|pgp_num_actual|crush_rule|hashpspool|nodelete|nopgchange|"
    "nosizechange|write_fadvise_dontneed|noscrub|nodeep-scrub|hit_set_type|hit_set_period|"
    "hit_set_count|hit_set_fpp|use_gmt_hitset|target_max_bytes|target_max_objects|"
    "cache_target_dirty_ratio|cache_target_dirty_high_ratio|cache_target_full_ratio|"
    "cache_min_flush_age|cache_min_evict_age|min_read_recency_for_promote|"
    "min_write_recency_for_promote|fast_read|hit_set_grade_decay_rate|hit_set_search_last_n|"
    "scrub_min_interval|scrub_max_interval|deep_scrub_interval|recovery_priority|"
    "recovery_op_priority|scrub_priority|compression_mode|compression_algorithm|"
    "compression_required_ratio|compression_max_blob_size|compression_min_blob_size|csum_type|"
    "csum_min_block|csum_max_block|allow_ec_overwrites|fingerprint_algorithm|pg_autoscale_mode|"
    "pg_autoscale_bias|pg_num_min|pg_num_max|target_size_bytes|target_size_ratio|dedup_tier|"
    "dedup_chunk_algorithm|dedup_cdc_chunk_size|bulk"
)


class PoolSettingCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    def _pool(self, args: Args) -> tuple[int, str, PGPool]:
        name = args.need_str("pool")
        pool_id = self._osd.pool_id(name)
        if pool_id is None:
            raise fail(errno.ENOENT, f"unrecognized pool '{name}'")
        return pool_id, name, self._osd.map.pools[pool_id]

    # -- get --------------------------------------------------------------------------------

    @command(
        f"osd pool get {_POOL_VAR},strings={_GET_CHOICES}",
        module="osd",
        perm="r",
        about="a setting of a pool, or all",
    )
    def pool_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        pool_id, name, pool = self._pool(args)
        var = args.need_str("var")
        names: tuple[str, ...] = _SHOWN
        if var != "all":
            names = (var,)
            if var in _TIER_ONLY and var != "use_gmt_hitset" and not is_tier(pool):
                text = f"pool '{name}' is not a tier pool: variable not applicable"
                raise fail(errno.EACCES, text)
            if var in _ERASURE_ONLY and pool.type != PoolType.ERASURE:
                text = f"pool '{name}' is not a erasure pool: variable not applicable"
                raise fail(errno.EACCES, text)
            if var in OPTIONS and option(pool, var) is None:
                raise fail(errno.ENOENT, f"option '{var}' is not set on pool '{name}'")
            if var not in _SHOWN:
                raise fail(errno.EINVAL, f"pool '{name}': invalid variable: '{var}'")
        values = {key: self._value(pool, key) for key in names}
        shown = {key: value for key, value in values.items() if value is not None}
        data = {"pool": name, "pool_id": pool_id, **shown}
        text = "".join(f"{key}: {_plain(key, value)}\n" for key, value in shown.items())
        return ctx.reply(data, text, section="pool")

    def _value(self, pool: PGPool, key: str) -> Any:
        if key in OPTIONS:
            value = option(pool, key)
            if key == "csum_type" and value is not None:
                return csum_name(value)
            return number(value) if isinstance(value, float) else value
        if key in FLAG_NAMES:
            return bool(pool.flags & FLAG_NAMES[key])
        if key == "crush_rule":
            names = self._osd.map.client.crush.rule_name_map
            return names.get(pool.crush_rule, f"{pool.crush_rule}")
        if key == "pg_autoscale_mode":
            return autoscale_mode(pool)
        if key == "fast_read":
            return int(pool.fast_read)
        return getattr(pool, key)

    # -- set --------------------------------------------------------------------------------

    @command(
        f"osd pool set {_POOL_VAR},strings={_SET_CHOICES} "
        "name=val,type=CephString name=yes_i_really_mean_it,type=CephBool,req=false",
        module="osd",
        perm="rw",
        about="change a setting of a pool",
    )
    def pool_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        pool_id, _, pool = self._pool(args)
        var, val = args.need_str("var"), args.get_str("val") or ""
        if var in _TIER_ONLY and not is_tier(pool):
            raise fail(errno.EACCES, "(13) Permission denied")
        handler = _SETTERS.get(var)
        if handler is None and var in _FLAGS:
            handler = _set_flag
        elif handler is None and var in OPTIONS:
            handler = _set_option
        if handler is None:
            raise fail(errno.EINVAL, f"unrecognized variable '{var}'")
        sure = args.get_bool("yes_i_really_mean_it")
        with self._osd.change() as pending:
            handler(_Setting(self._osd, pending, pool_id, var, val, sure))
        if val == "unset":
            return CommandResult(0, f"unset pool {pool_id} {var}")
        return CommandResult(0, f"set pool {pool_id} {var} to {val}")


class _Setting:
    """One change under way. `pool` is the pool that is changed; a CommandError leaves no trace."""

    def __init__(
        self, osd: OSDMonitor, pending: Pending, pool_id: int, var: str, val: str, sure: bool
    ) -> None:
        self.osd, self.pending, self.pool_id = osd, pending, pool_id
        self.var, self.val, self.sure = var, val, sure
        self.pool = pending.pool(pool_id)
        self.config = osd.mon.config

    def whole(self, kind: str = "integer value") -> int:
        """The value as a whole number."""
        return self._parsed(parse_int, kind)

    def floating(self, kind: str) -> float:
        """The value as a number of floating point."""
        return self._parsed(parse_float, kind)

    def size(self, kind: str) -> int:
        """The value as a number of bytes."""
        return self._parsed(parse_iec, kind)

    def si(self, kind: str) -> int:
        """The value as a number with a decimal unit."""
        return self._parsed(parse_si, kind)

    def _parsed(self, parse: Callable[[str], N], kind: str) -> N:
        try:
            return parse(self.val)
        except ValueError as error:
            raise fail(errno.EINVAL, f"error parsing {kind} '{self.val}': {error}") from None

    def truth(self) -> bool:
        """The value as a truth value."""
        if self.val in ("true", "1"):
            return True
        if self.val in ("false", "0"):
            return False
        raise fail(errno.EINVAL, "expecting value 'true', 'false', '0', or '1'")

    def refuse_if(self, flag: int, what: str, name: str) -> None:
        """Raises CommandError (EPERM): the pool's flag forbids it."""
        if self.pool.flags & flag:
            raise fail(
                errno.EPERM,
                f"pool {what} change is disabled; you must unset {name} flag for the pool first",
            )


def _set_size(s: _Setting) -> None:
    s.refuse_if(FLAG_NOSIZECHANGE, "size", "nosizechange")
    size = s.whole()
    if not 0 < size <= 10:
        raise fail(errno.EINVAL, "pool size must be between 1 and 10")
    if size == 1 and not s.config.get_bool("mon_allow_pool_size_one"):
        raise fail(errno.EPERM, "configuring pool size as 1 is disabled by default.")
    if size == 1 and not s.sure:
        raise fail(
            errno.EPERM,
            "WARNING: setting pool size 1 could lead to data loss without recovery. If you are "
            "*ABSOLUTELY CERTAIN* that is what you want, pass the flag --yes-i-really-mean-it.",
        )
    osd_map = s.osd.map
    crush_build.check_rule(osd_map.client.crush, s.pool.crush_rule, s.pool.type, size)
    check_pg_num(osd_map, s.config, s.pool_id, s.pool.pg_num, size)
    s.pool.size = size
    s.pool.min_size = default_min_size(s.config, size)


def _set_min_size(s: _Setting) -> None:
    s.refuse_if(FLAG_NOSIZECHANGE, "min size", "nosizechange")
    size = s.whole()
    if not 1 <= size <= s.pool.size:
        raise fail(
            errno.EINVAL,
            f"pool min_size must be between 1 and size, which is set to {s.pool.size}",
        )
    s.pool.min_size = size


def _set_pg_num(s: _Setting) -> None:
    s.refuse_if(FLAG_NOPGCHANGE, "pg_num", "nopgchange")
    pool, count = s.pool, s.whole()
    if count == pool.pg_num_target:
        return
    check_max_pg_num(s.config, count)
    if count > pool.pg_num_target:
        check_pg_num(s.osd.map, s.config, s.pool_id, count, pool.size)
    else:
        # clients of before Nautilus would not see that groups merge
        pool.last_force_op_resend_prenautilus = s.pending.epoch
    pool.last_force_op_resend_preluminous = s.pending.epoch
    pgp_num = count if pool.pg_num_target == pool.pgp_num_target else min(pool.pgp_num, count)
    pool.pg_num = pool.pg_num_pending = pool.pg_num_target = count
    pool.pgp_num = pool.pgp_num_target = pgp_num


def _set_pgp_num(s: _Setting) -> None:
    s.refuse_if(FLAG_NOPGCHANGE, "pgp_num", "nopgchange")
    count = s.whole()
    if count <= 0:
        raise fail(errno.EINVAL, f"specified pgp_num must > 0, but you set to {count}")
    if count > s.pool.pg_num_target:
        raise fail(errno.EINVAL, f"specified pgp_num {count} > pg_num {s.pool.pg_num_target}")
    s.pool.pgp_num = s.pool.pgp_num_target = count


def _set_autoscale_mode(s: _Setting) -> None:
    if s.val not in AUTOSCALE_MODES:
        raise fail(errno.EINVAL, f"specified invalid mode {s.val}")
    s.pool.pg_autoscale_mode = AUTOSCALE_MODES.index(s.val)


def _set_crush_rule(s: _Setting) -> None:
    crush = s.osd.map.client.crush
    rule = crush_build.rule_id(crush, s.val)
    if rule is None:
        raise fail(errno.ENOENT, f"crush rule {s.val} does not exist")
    crush_build.check_rule(crush, rule, s.pool.type, s.pool.size)
    s.pool.crush_rule = rule


def _set_hashpspool(s: _Setting) -> None:
    if not s.sure:
        raise fail(
            errno.EPERM,
            "are you SURE?  this will remap all placement groups in this pool, this triggers "
            "large data movement, pass --yes-i-really-mean-it if you really do.",
        )
    _set_flag(s)


def _set_fast_read(s: _Setting) -> None:
    raise fail(errno.EINVAL, "fast read is not supported in replication pool")


def _set_ec_overwrites(s: _Setting) -> None:
    raise fail(errno.EINVAL, "ec overwrites can only be enabled for an erasure coded pool")


def _set_flag(s: _Setting) -> None:
    bit = FLAG_NAMES[s.var]
    s.pool.flags = s.pool.flags | bit if s.truth() else s.pool.flags & ~bit


_SETTERS: Final[dict[str, Callable[[_Setting], None]]] = {
    "size": _set_size,
    "min_size": _set_min_size,
    "pg_num": _set_pg_num,
    "pg_num_actual": _set_pg_num,
    "pgp_num": _set_pgp_num,
    "pgp_num_actual": _set_pgp_num,
    "pg_autoscale_mode": _set_autoscale_mode,
    "crush_rule": _set_crush_rule,
    "hashpspool": _set_hashpspool,
    "fast_read": _set_fast_read,
    "allow_ec_overwrites": _set_ec_overwrites,
}


# -- options of pool_opts_t -------------------------------------------------------------------


def _set_option(s: _Setting) -> None:
    desc, opts = OPTIONS[s.var], s.pool.opts.opts
    value = _option_value(s)
    if (s.val == "unset" and desc.type == "str") or (value == 0 and desc.type != "str"):
        opts.pop(desc.key, None)
    else:
        opts[desc.key] = value


def _option_value(s: _Setting) -> OptionValue:
    var, val, desc = s.var, s.val, OPTIONS[s.var]
    unset = val == "unset"
    if var == "compression_mode" and not unset and val not in COMPRESSION_MODES:
        raise fail(errno.EINVAL, f"unrecognized compression mode '{val}'")
    if var == "compression_algorithm" and not unset and val not in COMPRESSION_ALGORITHMS:
        raise fail(errno.EINVAL, f"unrecognized compression_algorithm '{val}'")
    if var == "csum_type":
        if not unset and val not in CSUM_TYPES:
            raise fail(errno.EINVAL, f"unrecognized csum_type '{val}'")
        return CSUM_TYPES.get(val, 0)
    if var == "dedup_tier":
        return _dedup_tier(s)
    if desc.type == "str":
        return val
    if desc.type == "float":
        return _float_option(s)
    if var in _IEC_VALUES:
        return s.size("unit value" if var == "target_size_bytes" else "int value")
    whole = s.whole("integer value" if var in ("recovery_op_priority", "scrub_priority")
                    else "int value")  # fmt: skip
    pg_num = s.pool.pg_num_target
    if var == "pg_num_min" and whole > pg_num:
        raise fail(errno.EINVAL, f"specified pg_num_min {whole} > pg_num {pg_num}")
    if var == "pg_num_max" and whole and whole < pg_num:
        raise fail(errno.EINVAL, f"specified pg_num_max {whole} < pg_num {pg_num}")
    if var == "recovery_priority" and not -10 <= whole <= 10:
        raise fail(errno.EINVAL, "pool recovery_priority must be between -10 and 10")
    return whole


def _float_option(s: _Setting) -> float:
    if s.var == "compression_required_ratio":
        value = s.floating("float value")
        if not 0 <= value <= 1:
            raise fail(errno.EINVAL, f"compression_required_ratio is out of range (0-1): '{s.val}'")
        return value
    value = s.floating("floating point value")
    if s.var == "pg_autoscale_bias" and not 0.0 <= value <= 1000.0:
        raise fail(errno.EINVAL, "pg_autoscale_bias must be between 0 and 1000")
    return value


def _dedup_tier(s: _Setting) -> int:
    try:
        parse_int(s.val)
    except ValueError:
        pass
    else:
        raise fail(errno.EINVAL, "expecting value 'pool name'")
    pool_id = s.osd.pool_id(s.val)
    if pool_id is None:
        raise fail(errno.ENOENT, f"unrecognized pool '{s.val}'")
    return pool_id


def _plain(key: str, value: Any) -> str:
    if key == "use_gmt_hitset":
        return f"{int(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return option_text(value)
