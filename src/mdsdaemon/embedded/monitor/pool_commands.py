"""Commands that make, remove, rename and list pools, their quotas and snapshots.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (Pacific), checked against 16.2.15
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from mdsdaemon.embedded.monitor import pool_snaps
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_text import iec, parse_iec, parse_int, parse_si, si
from mdsdaemon.embedded.monitor.osd_view import pool_lines
from mdsdaemon.embedded.monitor.pool_build import NewPool, create_pool
from mdsdaemon.embedded.monitor.pool_options import FLAG_NODELETE
from mdsdaemon.embedded.monitor.pool_view import (
    dump_pool,
    is_tier,
    is_unmanaged_snaps_mode,
    snap_by_name,
    type_name,
)
from mdsdaemon.types.pool import PGPool

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor

_SURE: Final = (
    "name=pool2,type=CephPoolname,req=false "
    "name=yes_i_really_really_mean_it,type=CephBool,req=false "
    "name=yes_i_really_really_mean_it_not_faking,type=CephBool,req=false"
)
_SNAP: Final = "name=pool,type=CephPoolname name=snap,type=CephString"


class PoolCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    def _pool(self, name: str) -> tuple[int, PGPool]:
        number = self._osd.pool_id(name)
        if number is None:
            raise fail(errno.ENOENT, f"unrecognized pool '{name}'")
        return number, self._osd.map.pools[number]

    # -- pools ------------------------------------------------------------------------------

    @command(
        "osd pool ls name=detail,type=CephChoices,strings=detail,req=false",
        module="osd",
        perm="r",
        about="the pools",
    )
    def pool_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, detail = self._osd.map, args.get_str("detail") == "detail"
        pools = sorted(osd_map.pools.items())
        names = [self._osd.pool_name(number) for number, _ in pools]
        if not detail:
            return ctx.reply(names, "".join(f"{name}\n" for name in names), section="pools")
        text = "".join(f"{line}\n" for line in pool_lines(osd_map)) + "\n"
        data = [
            {"pool_id": number, "pool_name": name, **dump_pool(pool)}
            for (number, pool), name in zip(pools, names, strict=True)
        ]
        return ctx.reply(data, text, section="pools")

    @command(
        "osd pool create name=pool,type=CephPoolname name=pg_num,type=CephInt,range=0,req=false "
        "name=pgp_num,type=CephInt,range=0,req=false "
        "name=pool_type,type=CephChoices,strings=replicated|erasure,req=false "
        "name=erasure_code_profile,type=CephString,req=false,goodchars=[A-Za-z0-9-_.] "
        "name=rule,type=CephString,req=false "
        "name=expected_num_objects,type=CephInt,range=0,req=false "
        "name=size,type=CephInt,range=0,req=false "
        "name=pg_num_min,type=CephInt,range=0,req=false "
        "name=pg_num_max,type=CephInt,range=0,req=false "
        "name=autoscale_mode,type=CephChoices,strings=on|off|warn,req=false "
        "name=bulk,type=CephBool,req=false "
        "name=target_size_bytes,type=CephInt,range=0,req=false "
        "name=target_size_ratio,type=CephFloat,range=0.0,req=false",
        module="osd",
        perm="rw",
        about="make a pool",
    )
    def pool_create(self, ctx: CommandContext, args: Args) -> CommandResult:
        config, name = self._osd.mon.config, args.get_str("pool") or ""
        kind = args.get_str("pool_type") or config.get_str("osd_pool_default_type")
        there = self._osd.pool_by_name(name)
        if there is not None:
            if kind != type_name(there):
                raise fail(errno.EINVAL, f"pool '{name}' cannot change to type {kind}")
            return CommandResult(0, f"pool '{name}' already exists")
        if kind == "erasure":
            raise fail(
                errno.EOPNOTSUPP,
                f"pool '{name}' cannot be erasure coded: this cluster has one object store, "
                "and its pools are replicated",
            )
        if kind != "replicated":
            raise fail(errno.EINVAL, f"unknown pool type '{kind}'")
        if args.get_int("fast_read"):
            raise fail(errno.EINVAL, "'fast_read' can only apply to erasure coding pool")
        rule = args.get_str("rule") or ""
        expected = args.get_int("expected_num_objects") or 0
        first = args.get_str("erasure_code_profile") or ""
        if first:  # the tool puts a replicated pool's rule there, and the number after it
            if rule:
                expected = _whole(rule, "integer")
            rule = first
        if expected < 0:
            raise fail(errno.EINVAL, "'expected_num_objects' must be non-negative")
        asked = NewPool(
            name,
            pg_num=args.get_int("pg_num") or 0,
            pgp_num=args.get_int("pgp_num") or args.get_int("pg_num") or 0,
            size=args.get_int("size") or 0,
            rule=rule,
            expected_num_objects=expected,
            pg_num_min=args.get_int("pg_num_min") or 0,
            pg_num_max=args.get_int("pg_num_max") or 0,
            target_size_bytes=args.get_int("target_size_bytes") or 0,
            target_size_ratio=args.get_float("target_size_ratio") or 0.0,
            autoscale_mode=args.get_str("autoscale_mode") or "",
            bulk=args.get_bool("bulk"),
        )
        with self._osd.change() as pending:
            create_pool(pending, config, asked, self._osd.now())
        return CommandResult(0, f"pool '{name}' created")

    @command(f"osd pool rm name=pool,type=CephPoolname {_SURE}", module="osd", perm="rw",
             about="remove a pool and all that is in it")  # fmt: skip
    @command(f"osd pool delete name=pool,type=CephPoolname {_SURE}", module="osd", perm="rw",
             about="remove a pool and all that is in it", flags=FLAG_DEPRECATED)  # fmt: skip
    def pool_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("pool")
        number = self._osd.pool_id(name)
        if number is None:
            return CommandResult(0, f"pool '{name}' does not exist")
        sure = args.get_bool("yes_i_really_really_mean_it") or args.get_bool(
            "yes_i_really_really_mean_it_not_faking"
        )
        if args.get_str("pool2") != name or not sure:
            raise fail(
                errno.EPERM,
                "WARNING: this will *PERMANENTLY DESTROY* all data stored in pool "
                f"{name}.  If you are *ABSOLUTELY CERTAIN* that is what you want, pass the pool "
                "name *twice*, followed by --yes-i-really-really-mean-it.",
            )
        remove_pool(self._osd, number)
        return CommandResult(0, f"pool '{name}' removed")

    @command(
        "osd pool rename name=srcpool,type=CephPoolname name=destpool,type=CephPoolname",
        module="osd",
        perm="rw",
        about="give a pool another name",
    )
    def pool_rename(self, ctx: CommandContext, args: Args) -> CommandResult:
        source, target = args.need_str("srcpool"), args.need_str("destpool")
        number, taken = self._osd.pool_id(source), self._osd.pool_id(target)
        if number is None and taken is not None:
            return CommandResult(
                0,
                f"pool '{source}' does not exist; pool '{target}' does -- "
                "assuming successful rename",
            )
        if number is None:
            raise fail(errno.ENOENT, f"unrecognized pool '{source}'")
        if taken is not None:
            raise fail(errno.EEXIST, f"pool '{target}' already exists")
        if not target:
            raise fail(errno.EINVAL, "a pool needs a name")
        with self._osd.change() as pending:
            pending.inc.client.new_pool_names[number] = target
        return CommandResult(0, f"pool '{source}' renamed to '{target}'")

    # -- quotas -----------------------------------------------------------------------------

    @command(
        "osd pool set-quota name=pool,type=CephPoolname "
        "name=field,type=CephChoices,strings=max_objects|max_bytes name=val,type=CephString",
        module="osd",
        perm="rw",
        about="limit what a pool takes; 0 for no limit",
    )
    def pool_set_quota(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, what, text = args.need_str("pool"), args.need_str("field"), args.need_str("val")
        number, _ = self._pool(name)
        if what not in ("max_objects", "max_bytes"):
            raise fail(
                errno.EINVAL, f"unrecognized field '{what}'; should be 'max_bytes' or 'max_objects'"
            )
        try:
            value = (parse_si if what == "max_objects" else parse_iec)(text, "uint")
        except ValueError as error:
            raise fail(errno.EINVAL, f"error parsing value '{text}': {error}") from None
        with self._osd.change() as pending:
            setattr(pending.pool(number), f"quota_{what}", value)
        self._osd.check_usage()
        return CommandResult(0, f"set-quota {what} = {value} for pool {name}")

    @command(
        "osd pool get-quota name=pool,type=CephPoolname",
        module="osd",
        perm="r",
        about="the limits of a pool",
    )
    def pool_get_quota(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("pool")
        number, pool = self._pool(name)
        usage = self._osd.usage.pool(number)
        data: dict[str, Any] = {
            "pool_name": name,
            "pool_id": number,
            "quota_max_objects": pool.quota_max_objects,
            "current_num_objects": usage.objects,
            "quota_max_bytes": pool.quota_max_bytes,
            "current_num_bytes": usage.bytes,
        }
        objects, size = "N/A", "N/A"
        if pool.quota_max_objects:
            objects = f"{si(pool.quota_max_objects)} objects"
            objects += f"  (current num objects: {usage.objects} objects)"
        if pool.quota_max_bytes:
            size = f"{iec(pool.quota_max_bytes)}  (current num bytes: {usage.bytes} bytes)"
        text = f"quotas for pool '{name}':\n  max objects: {objects}\n  max bytes  : {size}\n"
        return ctx.reply(data, text, section="pool_quotas")

    # -- snapshots of the pool --------------------------------------------------------------

    @command(f"osd pool mksnap {_SNAP}", module="osd", perm="rw", about="make a snapshot of a pool")
    def pool_mksnap(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, snap = args.need_str("pool"), args.need_str("snap")
        number, pool = self._pool(name)
        if is_unmanaged_snaps_mode(pool):
            raise fail(errno.EINVAL, f"pool {name} is in unmanaged snaps mode")
        if snap_by_name(pool, snap):
            return CommandResult(0, f"pool {name} snap {snap} already exists")
        if is_tier(pool):
            raise fail(errno.EINVAL, f"pool {name} is a cache tier")
        with self._osd.change() as pending:
            pool_snaps.add_snap(pending, number, snap, self._osd.now())
        return CommandResult(0, f"created pool {name} snap {snap}")

    @command(
        f"osd pool rmsnap {_SNAP}", module="osd", perm="rw", about="remove a snapshot of a pool"
    )
    def pool_rmsnap(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, snap = args.need_str("pool"), args.need_str("snap")
        number, pool = self._pool(name)
        if is_unmanaged_snaps_mode(pool):
            raise fail(errno.EINVAL, f"pool {name} is in unmanaged snaps mode")
        if not snap_by_name(pool, snap):
            return CommandResult(0, f"pool {name} snap {snap} does not exist")
        with self._osd.change() as pending:
            pool_snaps.remove_snap(pending, number, snap)
        return CommandResult(0, f"removed pool {name} snap {snap}")


def remove_pool(osd: OSDMonitor, number: int) -> None:
    """Raises CommandError: EBUSY (a file system uses it), EPERM (it is protected)."""
    pool, name = osd.map.pools[number], osd.pool_name(number)
    if osd.pool_in_use(number):
        raise fail(errno.EBUSY, f"pool '{name}' is in use by CephFS")
    if not osd.mon.config.get_bool("mon_allow_pool_delete"):
        raise fail(
            errno.EPERM,
            "pool deletion is disabled; you must first set the mon_allow_pool_delete config "
            "option to true before you can destroy a pool",
        )
    if pool.flags & FLAG_NODELETE:
        raise fail(
            errno.EPERM,
            "pool deletion is disabled; you must unset nodelete flag for the pool first",
        )
    with osd.change() as pending:
        pending.inc.client.old_pools.add(number)


def _whole(text: str, kind: str) -> int:
    try:
        return parse_int(text)
    except ValueError as error:
        raise fail(errno.EINVAL, f"error parsing {kind} value '{text}': {error}") from None
