"""Commands about placement groups, which a manager answers elsewhere: `pg stat|dump|ls …`,
`osd ok-to-stop`, `osd safe-to-destroy`.

Behaviour: ceph/ceph, src/mon/PGMap.cc (process_pg_map_command), src/mgr/DaemonServer.cc (Pacific),
checked against 16.2.15
"""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any, Final

from mdsdaemon.embedded.monitor import osd_pg_view as view
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_commands import osd_argument
from mdsdaemon.embedded.monitor.osd_pgs import PGRow
from mdsdaemon.embedded.monitor.osd_text import iec, parse_osd_id
from mdsdaemon.embedded.monitor.osd_view import existing
from mdsdaemon.types.object_stats import PoolStat
from mdsdaemon.types.utime import NSEC, utime_str

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor

PG_STATES: Final = (
    "stale", "creating", "active", "activating", "clean", "recovery_wait", "recovery_toofull",
    "recovering", "forced_recovery", "down", "recovery_unfound", "backfill_unfound", "undersized",
    "degraded", "remapped", "premerge", "scrubbing", "deep", "inconsistent", "peering", "repair",
    "backfill_wait", "backfilling", "forced_backfill", "backfill_toofull", "incomplete", "peered",
    "snaptrim", "snaptrim_wait", "snaptrim_error",
)  # fmt: skip

_DUMP: Final = "all|summary|sum|delta|pools|osds|pgs|pgs_brief"
_STATES: Final = "name=states,type=CephString,n=N,req=false"
_STUCK: Final = "inactive|unclean|stale|undersized|degraded"


class PGCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    # -- pg stat, pg dump -------------------------------------------------------------------

    @command("pg stat", module="pg", perm="r", about="how many PGs are in which state")
    def pg_stat(self, ctx: CommandContext, args: Args) -> CommandResult:
        facts = self._osd.pgs.summary()
        states = sorted(facts.states.items(), key=lambda item: (item[1], item[0]))
        names = ", ".join(f"{count} {name}" for name, count in states)
        text = (
            f"{facts.num_pgs} pgs: {names}; {iec(facts.data)} data, {iec(facts.used)} used, "
            f"{iec(facts.available)} / {iec(facts.total)} avail\n"
        )
        data = {
            "num_pg_by_state": [{"name": name, "num": count} for name, count in states],
            "num_pgs": facts.num_pgs,
            "num_bytes": facts.data,
            "total_bytes": facts.total,
            "total_avail_bytes": facts.available,
            "total_used_bytes": facts.used,
            "total_used_raw_bytes": facts.used,
        }
        return ctx.reply({"pg_ready": True, "pg_summary": data}, text, section="pg_info")

    @command(
        f"pg dump name=dumpcontents,type=CephChoices,strings={_DUMP},n=N,req=false",
        module="pg",
        perm="r",
        about="all that is known of PGs, pools and OSDs",
    )
    def pg_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        what = set(args.get_strs("dumpcontents")) or {"all"}
        if ctx.structured:
            return self._dump_json(ctx, what)
        parts, note = self._dump_text(what)
        text = "".join(parts) + (view.OMAP_NOTE if note else "")
        return ctx.reply(None, text, outs=f"dumped {','.join(sorted(what))}")

    @command("pg dump_pools_json", module="pg", perm="r", about="what pools hold, as JSON")
    @command(
        "pg dump_json name=dumpcontents,type=CephChoices,strings=all|summary|sum|pools|osds|pgs,"
        "n=N,req=false",
        module="pg",
        perm="r",
        about="`pg dump all` as JSON",
    )
    def pg_dump_json(self, ctx: CommandContext, args: Args) -> CommandResult:
        what = {"pools"} if ctx.prefix == "pg dump_pools_json" else {"all"}
        return self._dump_json(ctx, what)

    def _dump_json(self, ctx: CommandContext, what: set[str]) -> CommandResult:
        out: dict[str, Any] = {"pg_ready": True}
        if "all" in what:
            out["pg_map"] = self._basic() | self._parts({"pgs", "pools", "osds"})
        elif what & {"summary", "sum"}:
            out["pg_map"] = self._basic()
        else:
            out |= self._parts(what)
        return ctx.reply(out, section="pg_info", outs=f"dumped {','.join(sorted(what))}")

    def _basic(self) -> dict[str, Any]:
        osd = self._osd
        nothing = PoolStat().dump()
        return {
            "version": osd.map.epoch,
            "stamp": utime_str(osd.now()),
            "last_osdmap_epoch": osd.map.epoch,
            "last_pg_scan": 0,
            "pg_stats_sum": self._total().dump(),
            "osd_stats_sum": view.dump_osd_stat(
                osd.usage, 0, sum(self._pgs_by_osd().values()), len(existing(osd.map))
            ),
            "pg_stats_delta": {**nothing, "stamp_delta": "0.000000"},
        }

    def _parts(self, what: set[str]) -> dict[str, Any]:
        osd, now = self._osd, self._osd.now()
        out: dict[str, Any] = {}
        if "pgs" in what:
            out["pg_stats"] = [view.dump_pg(row, osd.map, now) for row in osd.pgs.rows()]
        elif "pgs_brief" in what:
            out["pg_stats"] = [view.dump_pg_brief(row) for row in osd.pgs.rows(usage=False)]
        if "pools" in what:
            out["pool_stats"] = view.dump_pool_stats(self._pools())
        if "osds" in what:
            out["osd_stats"] = [
                {
                    "osd": number,
                    **view.dump_osd_stat(osd.usage, osd.map.osd.osd_info[number].up_from, pgs, 1),
                }
                for number, pgs in self._pgs_by_osd().items()
            ]
            out["pool_statfs"] = []
        if "delta" in what:
            out["delta"] = {"pg_stats_delta": {**PoolStat().dump(), "stamp_delta": "0.000000"}}
        return out

    def _dump_text(self, what: set[str]) -> tuple[list[str], bool]:
        osd, epoch = self._osd, self._osd.map.epoch
        head = (
            f"version {epoch}\nstamp {utime_str(osd.now())}\n"
            f"last_osdmap_epoch {epoch}\nlast_pg_scan 0\n"
        )
        if "all" in what:
            return [
                head,
                view.print_pgs(osd.pgs.rows(), epoch),
                view.print_pool_stats(self._pools(), header=False),
                view.print_pg_sum(self._total(), header=False),
                view.print_osd_stats(osd.usage, self._pgs_by_osd()),
            ], True
        if what & {"summary", "sum"}:
            total = view.print_pg_sum(self._total(), header=True)
            return [head, total, view.print_osd_sum(osd.usage)], True
        parts = []
        if "pgs_brief" in what:
            parts.append(view.print_pgs_brief(osd.pgs.rows(usage=False)))
        if "pgs" in what:
            parts.append(view.print_pgs(osd.pgs.rows(), epoch))
        if "pools" in what:
            parts.append(view.print_pool_stats(self._pools(), header="pgs" not in what))
        if "osds" in what:
            parts.append(view.print_osd_stats(osd.usage, self._pgs_by_osd()))
        return parts, bool(what & {"pgs", "pools"})

    def _pools(self) -> list[tuple[int, int, PoolStat]]:
        pools = sorted(self._osd.map.pools.items(), reverse=True)
        return [(number, pool.pg_num, self._osd.pgs.pool_stat(number)) for number, pool in pools]

    def _total(self) -> PoolStat:
        total = PoolStat()
        for _, _, stat in self._pools():
            total.add(stat)
        total.stats.sum.num_objects_degraded = self._osd.pgs.summary().degraded
        return total

    def _pgs_by_osd(self) -> dict[int, int]:
        return {number: self._osd.pgs.on_osd(number) for number in existing(self._osd.map)}

    # -- pg ls ------------------------------------------------------------------------------

    @command(
        f"pg ls name=pool,type=CephInt,req=false {_STATES}",
        module="pg",
        perm="r",
        about="the PGs, or those of a pool, or in a state",
    )
    def pg_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._list(ctx, args, self._rows(args.get_int("pool")))

    @command(
        f"pg ls-by-pool name=poolstr,type=CephString {_STATES}",
        module="pg",
        perm="r",
        about="the PGs of a pool",
    )
    def pg_ls_by_pool(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("poolstr")
        number = self._osd.pool_id(name)
        if number is None:
            raise fail(errno.ENOENT, f"pool {name} does not exist")
        return self._list(ctx, args, self._rows(number))

    @command(
        f"pg ls-by-primary name=osd,type=CephOsdName name=pool,type=CephInt,req=false {_STATES}",
        module="pg",
        perm="r",
        about="the PGs that an OSD leads",
    )
    @command(
        f"pg ls-by-osd name=osd,type=CephOsdName name=pool,type=CephInt,req=false {_STATES}",
        module="pg",
        perm="r",
        about="the PGs on an OSD",
    )
    def pg_ls_by_osd(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd, rows = osd_argument(args, "osd"), self._rows(args.get_int("pool"))
        if osd is None or not self._osd.map.is_up(osd):
            raise fail(errno.EAGAIN, f"osd {osd} is not up")
        if ctx.prefix == "pg ls-by-primary":
            return self._list(ctx, args, [row for row in rows if row.acting_primary == osd])
        return self._list(ctx, args, [row for row in rows if osd in row.acting])

    def _rows(self, pool: int | None) -> list[PGRow]:
        if pool is None or pool < 0:
            return self._osd.pgs.rows()
        if pool not in self._osd.map.pools:
            raise fail(errno.ENOENT, f"pool {pool} does not exist")
        return self._osd.pgs.rows(pool)

    def _list(self, ctx: CommandContext, args: Args, rows: list[PGRow]) -> CommandResult:
        states = args.get_strs("states")
        for state in states:
            if state != "all" and state not in PG_STATES:
                raise fail(
                    errno.EINVAL,
                    f"'{state}' is not a valid pg state, available choices: {'+'.join(PG_STATES)}",
                )
        if states and "all" not in states:
            rows = [row for row in rows if set(states) & set(row.state)]
        if not rows:
            return ctx.reply({"pg_ready": True}, "", section="pg_info")
        osd_map, now = self._osd.map, self._osd.now()
        if ctx.structured:
            dumped = [view.dump_pg(row, osd_map, now) for row in rows]
            return ctx.reply({"pg_ready": True, "pg_stats": dumped}, section="pg_info")
        return ctx.reply(None, view.print_pg_list(rows, osd_map.epoch, now) + view.OMAP_NOTE)

    @command(
        f"pg dump_stuck name=stuckops,type=CephChoices,strings={_STUCK},n=N,req=false "
        "name=threshold,type=CephInt,req=false",
        module="pg",
        perm="r",
        about="the PGs that have been in a bad state for some time",
    )
    def pg_dump_stuck(self, ctx: CommandContext, args: Args) -> CommandResult:
        asked = set(args.get_strs("stuckops")) or {"unclean"}
        threshold = args.get_int("threshold")
        if threshold is None:
            threshold = self._osd.mon.config.get_int("mon_pg_stuck_threshold")
        before = self._osd.now() - threshold * NSEC
        rows = [r for r in self._osd.pgs.rows() if r.since < before and asked & _stuck(r)]
        if ctx.structured:
            dumped = [view.dump_pg(row, self._osd.map, self._osd.now()) for row in rows]
            out = {"pg_ready": True, "stuck_pg_stats": dumped}
            return ctx.reply(out, section="pg_info", outs="ok")
        return ctx.reply(None, view.print_pgs_brief(rows) if rows else "", outs="ok")

    # -- whether an OSD may go --------------------------------------------------------------

    @command(
        "osd ok-to-stop name=ids,type=CephString,n=N name=max,type=CephInt,req=false",
        module="osd",
        perm="r",
        about="whether OSDs can be stopped while all PGs go on",
    )
    def osd_ok_to_stop(self, ctx: CommandContext, args: Args) -> CommandResult:
        osds = self._osds(args)
        bad = []
        touched = 0
        for row in self._osd.pgs.rows(usage=False):
            if not osds & set(row.acting):
                continue
            touched += 1
            if len(set(row.acting) - osds) < self._osd.map.pools[row.pgid.pool].min_size:
                bad.append(f"{row.pgid}")
        out: dict[str, Any] = {
            "ok_to_stop": not bad,
            "osds": sorted(osds),
            "num_ok_pgs": touched - len(bad),
            "num_not_ok_pgs": len(bad),
        }
        if not bad:
            return CommandResult(0, "", json.dumps(out, separators=(",", ":")).encode() + b"\n")
        out["bad_become_inactive"] = bad
        return CommandResult(
            -errno.EBUSY,
            f"unsafe to stop osd(s) at this time ({len(bad)} PGs are or would become offline)",
            json.dumps(out, separators=(",", ":")).encode() + b"\n",
        )

    @command(
        "osd safe-to-destroy name=ids,type=CephString,n=N",
        module="osd",
        perm="r",
        about="whether OSDs hold nothing that is needed",
    )
    def osd_safe_to_destroy(self, ctx: CommandContext, args: Args) -> CommandResult:
        osds = self._osds(args)
        active = {osd: self._osd.pgs.on_osd(osd) for osd in sorted(osds)}
        active = {osd: count for osd, count in active.items() if count}
        safe = sorted(osds - active.keys())
        if ctx.structured:
            out = {
                "safe_to_destroy": safe,
                "active": list(active),
                "missing_stats": [],
                "stored_pgs": [],
            }
            return ctx.reply(out, section="osd_status")
        if active:
            names = ",".join(map(str, active))
            count = sum(active.values())
            raise fail(errno.EBUSY, f"OSD(s) {names} have {count} pgs currently mapped to them. ")
        names = ",".join(map(str, safe))
        return CommandResult(
            0, f"OSD(s) {names} are safe to destroy without reducing data durability."
        )

    def _osds(self, args: Args) -> set[int]:
        words = args.get_strs("ids")
        if words and words[0] in ("any", "all", "*"):
            return set(existing(self._osd.map))
        return {parse_osd_id(word) for word in words}


def _stuck(row: PGRow) -> set[str]:
    found = set()
    if "active" not in row.state:
        found.add("inactive")
    if "clean" not in row.state:
        found.add("unclean")
    return found | ({"stale", "undersized", "degraded"} & set(row.state))
