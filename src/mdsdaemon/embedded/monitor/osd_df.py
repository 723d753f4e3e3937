"""Usage: `df`, `osd df`, `osd perf`, `osd pool stats`, and what clients ask by MStatfs and
MGetPoolStats.

Behaviour: ceph/ceph, src/mon/PGMap.cc (dump_cluster_stats, dump_pool_stats_full), src/osd/OSDMap.cc
(OSDUtilizationDumper), src/mon/MgrStatMonitor.cc (Pacific), checked against 16.2.15
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from mdsdaemon.embedded.monitor import osd_crush
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_text import Table, general, iec, number, percent, si, weight
from mdsdaemon.embedded.monitor.osd_tree import osd_status, tree_name
from mdsdaemon.embedded.monitor.osd_usage import (
    PoolUsage,
    StoreUsage,
    pool_available,
    raw_available,
)
from mdsdaemon.messages.pool import (
    MGetPoolStats,
    MGetPoolStatsReply,
    MStatfs,
    MStatfsReply,
)
from mdsdaemon.types.pool import PGPool

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
    from mdsdaemon.embedded.monitor.session import MonSession


class UsageCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    # -- messages ---------------------------------------------------------------------------

    def handle_statfs(self, session: MonSession, msg: MStatfs) -> None:
        """The space of the cluster, or of one pool; no answer where Ceph gives none."""
        osd, usage = self._osd, self._osd.usage
        if not session.is_capable("pg", "r") or msg.fsid != osd.mon.fsid:
            return
        reply = MStatfsReply(fsid=msg.fsid, version=osd.map.epoch)
        if msg.data_pool is None:
            reply.kb, reply.kb_used = usage.total >> 10, usage.used >> 10
            reply.kb_avail = usage.available >> 10
            reply.num_objects = sum(pool.objects for pool in usage.pools.values())
        else:
            pool = osd.map.pools.get(msg.data_pool)
            if pool is None:
                return
            used = usage.pool(msg.data_pool)
            reply.kb_used = used.bytes >> 10
            reply.kb_avail = pool_available(osd.map, pool, usage) >> 10
            reply.kb = reply.kb_used + reply.kb_avail
            reply.num_objects = used.objects
        reply.tid = msg.tid
        session.send(reply)

    def handle_get_pool_stats(self, session: MonSession, msg: MGetPoolStats) -> None:
        """What the pools of these names hold; names of no pool are left out."""
        osd = self._osd
        if not session.is_capable("pg", "r") or msg.fsid != osd.mon.fsid:
            return
        numbers = {name: osd.pool_id(name) for name in msg.pools}
        reply = MGetPoolStatsReply(
            fsid=msg.fsid,
            pool_stats={
                name: osd.pgs.pool_stat(number)
                for name, number in numbers.items()
                if number is not None
            },
        )
        reply.tid = msg.tid
        session.send(reply)

    # -- df ---------------------------------------------------------------------------------

    @command(
        "df name=detail,type=CephChoices,strings=detail,req=false",
        module="mon",
        perm="r",
        about="the space of the cluster and of its pools",
    )
    def df(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, usage = self._osd.map, self._osd.usage
        detail = args.get_str("detail") == "detail"
        pools = [
            (number, self._osd.pool_name(number), pool)
            for number, pool in sorted(osd_map.pools.items())
        ]
        if ctx.structured:
            bytes_ = _store_bytes(usage)
            counts = {
                "num_osds": len(osd_map.client.osd_state),
                "num_per_pool_osds": 0,
                "num_per_pool_omap_osds": 0,
            }
            out = {
                "stats": {**bytes_, **counts},
                "stats_by_class": dict.fromkeys(self._classes(), bytes_),
                "pools": [
                    {
                        "name": name,
                        "id": number,
                        "stats": self._pool_stats(pool, usage.pool(number), usage, detail),
                    }
                    for number, name, pool in pools
                ],
            }
            return ctx.reply(out, section="stats")
        table = Table("<<CLASS", ">>SIZE", ">>AVAIL", ">>USED", ">>RAW USED", ">>%RAW USED")
        for name in [*self._classes(), "TOTAL"]:
            table.row(
                name,
                iec(usage.total),
                iec(usage.available),
                iec(usage.used),
                iec(usage.used),
                percent(usage.ratio * 100),
            )
        text = f"--- RAW STORAGE ---\n{table} \n--- POOLS ---\n"
        return ctx.reply(None, text + self._pool_table(pools, usage, detail))

    def _classes(self) -> list[str]:
        """Classes of devices whose OSD is there."""
        crush, osd_map = self._osd.map.client.crush, self._osd.map
        osds = range(osd_map.client.max_osd)
        found = {osd_crush.item_class(crush, o) for o in osds if osd_map.exists(o)}
        return sorted(name for name in found if name)

    def _pool_stats(
        self, pool: PGPool, used: PoolUsage, usage: StoreUsage, detail: bool
    ) -> dict[str, Any]:
        avail = raw_available(self._osd.map, usage)
        held = used.bytes + used.omap_bytes
        out: dict[str, Any] = {"stored": held}
        if detail:
            out |= {"stored_data": used.bytes, "stored_omap": used.omap_bytes}
        out |= {
            "objects": used.objects,
            "kb_used": -(-held >> 10),
            "bytes_used": held,
        }
        if detail:
            out |= {"data_bytes_used": used.bytes, "omap_bytes_used": used.omap_bytes}
        out |= {
            "percent_used": number(_share(held, avail)),
            "max_avail": int(avail / pool.size) if pool.size else 0,
        }
        if detail:
            out |= {
                "quota_objects": pool.quota_max_objects,
                "quota_bytes": pool.quota_max_bytes,
                "dirty": used.objects,
                "rd": used.reads,
                "rd_bytes": used.read_kb * 1024,
                "wr": used.writes,
                "wr_bytes": used.write_kb * 1024,
                "compress_bytes_used": 0,
                "compress_under_bytes": 0,
                "stored_raw": held * pool.size,
                "avail_raw": avail,
            }
        return out

    def _pool_table(
        self, pools: list[tuple[int, str, PGPool]], usage: StoreUsage, detail: bool
    ) -> str:
        parts = (">>(DATA)", ">>(OMAP)") if detail else ()
        more = (
            ">>QUOTA OBJECTS", ">>QUOTA BYTES", ">>DIRTY", ">>USED COMPR", ">>UNDER COMPR",
        ) if detail else ()  # fmt: skip
        table = Table(
            "<<POOL", ">>ID", ">>PGS", ">>STORED", *parts, ">>OBJECTS", ">>USED", *parts,
            ">>%USED", ">>MAX AVAIL", *more,
        )  # fmt: skip
        avail = raw_available(self._osd.map, usage)
        for pool_id, name, pool in pools:
            used = usage.pool(pool_id)
            held = used.bytes + used.omap_bytes
            split = (iec(used.bytes), iec(used.omap_bytes)) if detail else ()
            cells: list[object] = [pool_id, pool.pg_num, iec(held), *split]
            cells += [si(used.objects), iec(held), *split, percent(_share(held, avail) * 100)]
            cells.append(iec(int(avail / pool.size) if pool.size else 0))
            if detail:
                quota = pool.quota_max_objects, pool.quota_max_bytes
                cells += [si(quota[0]) if quota[0] else "N/A", iec(quota[1]) if quota[1] else "N/A"]
                cells += ["N/A", iec(0), iec(0)]
            table.row(name, *cells)
        return str(table)

    # -- osd df -----------------------------------------------------------------------------

    @command(
        "osd df name=output_method,type=CephChoices,strings=plain|tree,req=false "
        "name=filter_by,type=CephChoices,strings=class|name,req=false "
        "name=filter,type=CephString,req=false",
        module="osd",
        perm="r",
        about="the space of the OSDs",
    )
    def osd_df(self, ctx: CommandContext, args: Args) -> CommandResult:
        by_tree = args.get_str("output_method") == "tree"
        wanted = self._wanted(args)
        crush = self._osd.map.client.crush
        nodes = [
            node
            for node in osd_crush.walk(crush, osd_crush.roots(crush))
            if wanted & osd_crush.devices_under(crush, node.id) and (by_tree or node.id >= 0)
        ]
        if ctx.structured:
            return self._osd_df_json(ctx, nodes)
        return ctx.reply(None, self._osd_df_text(nodes, by_tree))

    def _wanted(self, args: Args) -> set[int]:
        crush, osd_map = self._osd.map.client.crush, self._osd.map
        osds = {osd for osd in range(osd_map.client.max_osd) if osd_map.exists(osd)}
        by, what = args.get_str("filter_by"), args.get_str("filter") or ""
        if by is None:
            return osds
        if by == "class":
            if what not in crush.class_name.values():
                raise fail(errno.EINVAL, f"specified class '{what}' does not exist")
            return osds & set(osd_crush.devices_by_class(crush, what))
        item = next((n for n, name in crush.name_map.items() if name == what), None)
        if item is None:
            raise fail(errno.EINVAL, f"specified name '{what}' does not exist")
        return osds & osd_crush.devices_under(crush, item)

    def _numbers(self) -> dict[str, Any]:
        usage = self._osd.usage
        data = sum(pool.bytes for pool in usage.pools.values())
        omap = sum(pool.omap_bytes for pool in usage.pools.values())
        return {
            "kb": usage.total >> 10,
            "kb_used": usage.used >> 10,
            "kb_used_data": data >> 10,
            "kb_used_omap": omap >> 10,
            "kb_used_meta": 0,
            "kb_avail": usage.available >> 10,
            "utilization": number(usage.ratio * 100),
            "var": 1,
        }

    def _osd_df_json(self, ctx: CommandContext, nodes: list[osd_crush.Node]) -> CommandResult:
        osd_map, numbers = self._osd.map, self._numbers()
        out = []
        for node in nodes:
            fields = osd_crush.node_fields(osd_map.client.crush, node, osd_map.client.pool_name)
            if node.id < 0:
                fields |= {"reweight": -1, **numbers, "pgs": 0, "children": list(node.children)}
            else:
                reweight = osd_map.client.osd_weight[node.id] / osd_crush.SCALE
                fields |= {
                    "reweight": number(reweight),
                    **numbers,
                    "pgs": self._osd.pgs.on_osd(node.id),
                    "status": osd_status(osd_map, node.id),
                }
            out.append(fields)
        total = {f"total_{key}": value for key, value in numbers.items() if key[:2] == "kb"}
        spread = {
            "average_utilization": numbers["utilization"],
            "min_var": 1,
            "max_var": 1,
            "dev": 0,
        }
        return ctx.reply({"nodes": out, "stray": [], "summary": {**total, **spread}}, section="df")

    def _osd_df_text(self, nodes: list[osd_crush.Node], by_tree: bool) -> str:
        osd_map, crush, facts = self._osd.map, self._osd.map.client.crush, self._numbers()
        table = Table(
            "<>ID", "<>CLASS", "<>WEIGHT", "<>REWEIGHT", "<>SIZE", "<>RAW USE", "<>DATA", "<>OMAP",
            "<>META", "<>AVAIL", "<>%USE", "<>VAR", "<>PGS", "<>STATUS",
            *(["<<TYPE NAME"] if by_tree else []),
        )  # fmt: skip
        sizes = [
            iec(facts[key] << 10)
            for key in ("kb", "kb_used", "kb_used_data", "kb_used_omap", "kb_used_meta", "kb_avail")
        ]
        share = f"{facts['utilization']:.2f}"
        for node in nodes:
            head = [node.id, osd_crush.item_class(crush, node.id) or "", weight(node.weight)]
            tail: list[object] = [*sizes, share, "1.00"]
            name = [tree_name(crush, node)] if by_tree else []
            if node.id < 0:
                table.row(*head, "-", *tail, "-", "", *name)
            else:
                reweight = weight(osd_map.client.osd_weight[node.id] / osd_crush.SCALE)
                pgs = self._osd.pgs.on_osd(node.id)
                table.row(*head, reweight, *tail, pgs, osd_status(osd_map, node.id), *name)
        table.row("", "", "", "TOTAL", *sizes, share)
        return f"{table}MIN/MAX VAR: 1.00/1.00  STDDEV: {general(0)}\n"

    # -- what goes on -----------------------------------------------------------------------

    @command("osd perf", module="osd", perm="r", about="how long commits take")
    def osd_perf(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, table = (
            self._osd.map,
            Table("<>osd", "<>commit_latency(ms)", "<>apply_latency(ms)"),
        )
        osds = [osd for osd in range(osd_map.client.max_osd) if osd_map.exists(osd)]
        for osd in osds:
            table.row(osd, 0, 0)
        names = "commit_latency_ms", "apply_latency_ms", "commit_latency_ns", "apply_latency_ns"
        infos = [{"id": osd, "perf_stats": dict.fromkeys(names, 0)} for osd in osds]
        data = {"pg_ready": True, "osdstats": {"osd_perf_infos": infos}}
        return ctx.reply(data, f"{table}", section="pg_info")

    @command("osd blocked-by", module="osd", perm="r", about="which OSDs others wait for")
    def osd_blocked_by(self, ctx: CommandContext, args: Args) -> CommandResult:
        data = {"pg_ready": True, "osd_blocked_by": {"osd_blocked_by_infos": []}}
        return ctx.reply(data, f"{Table('<>osd', '<>num_blocked')}", section="pg_info")

    @command(
        "osd pool stats name=pool_name,type=CephPoolname,req=false",
        module="osd",
        perm="r",
        about="what goes on in pools, or in one",
    )
    def osd_pool_stats(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("pool_name")
        names = sorted(self._osd.map.client.pool_name.items())
        if name:
            names = [item for item in names if item[1] == name]
            if not names:
                raise fail(errno.ENOENT, f"unrecognized pool '{name}'")
        data = [
            {
                "pool_name": pool,
                "pool_id": pool_id,
                "recovery": {},
                "recovery_rate": {},
                "client_io_rate": {},
            }
            for pool_id, pool in names
        ]
        text = "".join(
            f"pool {pool} id {pool_id}\n  nothing is going on\n\n" for pool_id, pool in names
        )
        return ctx.reply(data, text or "there are no pools!\n", section="pool_stats")


def _share(held: int, avail: int) -> float:
    """The part of what could be in a pool that is."""
    return held / (held + avail) if held else 0.0


def _store_bytes(usage: StoreUsage) -> dict[str, Any]:
    return {
        "total_bytes": usage.total,
        "total_avail_bytes": usage.available,
        "total_used_bytes": usage.used,
        "total_used_raw_bytes": usage.used,
        "total_used_raw_ratio": number(usage.ratio),
    }
