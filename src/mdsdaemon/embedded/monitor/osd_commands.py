"""Commands that read the OSDMap: `osd dump`, `osd tree`, `osd map`, `osd metadata` and their kin.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (preprocess_command) (Pacific), checked against 16.2.15
"""

from __future__ import annotations

import errno
import math
import re
from typing import TYPE_CHECKING, Any, Final

from mdsdaemon.embedded.monitor import crush_build, osd_crush, osd_tree, osd_view
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_flags import OSD_DESTROYED
from mdsdaemon.embedded.monitor.osd_pending import ENCODE_FEATURES
from mdsdaemon.embedded.monitor.osd_text import Table, general, number, osd_list, parse_osd_id
from mdsdaemon.encoding import encode
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.formatting import dump_addrs, legacy_str, sockaddr_str
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.maps.placement import object_to_raw_pg, pg_to_up_acting, raw_pg_to_pg
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.osd import PG
from mdsdaemon.types.release import release_name
from mdsdaemon.types.utime import utime_str

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor

_PGID = re.compile(r"([0-9]{1,18})\.([0-9a-f]{1,8})")
_EPOCH: Final = "name=epoch,type=CephInt,range=0,req=false"
_STATES: Final = "name=states,type=CephChoices,strings=up|down|in|out|destroyed,n=N,req=false"


def parse_pgid(text: str) -> PG:
    """``2.1f``. Raises CommandError (EINVAL)."""
    match = _PGID.fullmatch(text)
    if match is None:
        raise fail(errno.EINVAL, f"invalid pgid '{text}'")
    return PG(int(match[1]), int(match[2], 16))


def osd_argument(args: Args, name: str = "id") -> int | None:
    """An OSD's number, given as such or as ``osd.0``."""
    value = args.get(name)
    if isinstance(value, str):
        return parse_osd_id(value)
    return args.get_int(name)


class OSDCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    def _map(self, args: Args) -> OSDMap:
        epoch = args.get_int("epoch")
        if epoch is None or epoch == self._osd.map.epoch:
            return self._osd.map
        found = self._osd.history.map(epoch)
        if found is None:
            raise fail(errno.ENOENT, f"there is no map for epoch {epoch}")
        return found

    def _existing(self, args: Args, number: int = errno.ENOENT) -> int | None:
        osd = osd_argument(args)
        if osd is not None and not self._osd.map.exists(osd):
            raise fail(number, f"osd.{osd} does not exist")
        return osd

    @command("osd stat", module="osd", perm="r", about="how many OSDs there are, up and in")
    def osd_stat(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map = self._osd.map
        text = osd_view.summary_text(osd_map, ctx.now, extra=True)
        return ctx.reply(osd_view.summary(osd_map), text, section="osdmap")

    @command(f"osd dump {_EPOCH}", module="osd", perm="r", about="the whole OSDMap")
    def osd_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map = self._map(args)
        if ctx.structured:
            return ctx.reply(osd_view.dump_osd_map(osd_map), section="osdmap")
        return ctx.reply(None, osd_view.print_osd_map(osd_map))

    @command(
        "osd info name=id,type=CephOsdName,req=false",
        module="osd",
        perm="r",
        about="one OSD of the map, or all",
    )
    def osd_info(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, osd = self._osd.map, self._existing(args, errno.EINVAL)
        if osd is not None:
            line = osd_view.osd_line(osd_map, osd) + "\n"
            return ctx.reply(osd_view.dump_osd(osd_map, osd), line, section="osd_info")
        osds = osd_view.existing(osd_map)
        return ctx.reply(
            [osd_view.dump_osd(osd_map, number) for number in osds],
            "".join(osd_view.osd_line(osd_map, number) + "\n" for number in osds),
            section="osds",
        )

    # -- the tree ---------------------------------------------------------------------------

    @command(f"osd tree {_EPOCH} {_STATES}", module="osd", perm="r", about="the tree of OSDs")
    def osd_tree(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._tree(ctx, args, self._map(args), None)

    @command(
        f"osd tree-from {_EPOCH} name=bucket,type=CephString {_STATES}",
        module="osd",
        perm="r",
        about="the tree of OSDs below a bucket",
    )
    def osd_tree_from(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, bucket = self._map(args), args.need_str("bucket")
        item = crush_build.item_id(osd_map.client.crush, bucket)
        if item is None:
            raise fail(errno.ENOENT, f"bucket '{bucket}' does not exist")
        if item >= 0:
            raise fail(errno.EINVAL, f'"{bucket}" is not a bucket')
        return self._tree(ctx, args, osd_map, item)

    def _tree(
        self, ctx: CommandContext, args: Args, osd_map: OSDMap, root: int | None
    ) -> CommandResult:
        wanted = _state_filter(osd_map, args.get_strs("states"))
        if ctx.structured:
            return ctx.reply(osd_tree.dump_tree(osd_map, wanted, root), section="tree")
        return ctx.reply(None, osd_tree.print_tree(osd_map, wanted, root))

    @command(f"osd ls {_EPOCH}", module="osd", perm="r", about="the numbers of all OSDs")
    def osd_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        return _numbers(ctx, osd_view.existing(self._map(args)))

    @command(
        f"osd ls-tree {_EPOCH} name=name,type=CephString,req=true",
        module="osd",
        perm="r",
        about="the numbers of the OSDs below a bucket",
    )
    def osd_ls_tree(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, name = self._map(args), args.need_str("name")
        item = crush_build.item_id(osd_map.client.crush, name)
        if item is None:
            raise fail(errno.ENOENT, f'"{name}" does not exist')
        below = osd_crush.devices_under(osd_map.client.crush, item)
        return _numbers(ctx, sorted(osd for osd in below if self._osd.map.exists(osd)))

    # -- maps as they are -------------------------------------------------------------------

    @command(f"osd getmap {_EPOCH}", module="osd", perm="r", about="the encoded OSDMap")
    def osd_getmap(self, ctx: CommandContext, args: Args) -> CommandResult:
        epoch = self._map(args).epoch
        data = self._osd.history.full(epoch)
        assert data is not None
        return CommandResult(0, f"got osdmap epoch {epoch}", data)

    @command(f"osd getcrushmap {_EPOCH}", module="osd", perm="r", about="the encoded CRUSH map")
    def osd_getcrushmap(self, ctx: CommandContext, args: Args) -> CommandResult:
        client = self._map(args).client
        data = encode(CrushMap, client.crush, ENCODE_FEATURES)
        return CommandResult(0, f"{client.crush_version}", data)

    @command("osd getmaxosd", module="osd", perm="r", about="the number that OSDs are below")
    def osd_getmaxosd(self, ctx: CommandContext, args: Args) -> CommandResult:
        epoch, count = self._osd.map.epoch, self._osd.map.client.max_osd
        text = f"max_osd = {count} in epoch {epoch}\n"
        return ctx.reply({"epoch": epoch, "max_osd": count}, text, section="getmaxosd")

    # -- one OSD ----------------------------------------------------------------------------

    @command(
        "osd find name=id,type=CephOsdName",
        module="osd",
        perm="r",
        about="the address of an OSD and its place in the CRUSH map",
    )
    def osd_find(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd = self._existing(args)
        if osd is None:
            raise fail(errno.EINVAL, "unable to parse osd id value ''")
        osd_map, metadata = self._osd.map, self._osd.metadata.get(osd, {})
        out: dict[str, Any] = {
            "osd": osd,
            "addrs": dump_addrs(osd_map.get_addrs(osd)),
            "osd_fsid": f"{osd_map.osd.osd_uuid[osd]}",
        }
        if "hostname" in metadata:
            out["host"] = metadata["hostname"]
        for key in ("pod_name", "pod_namespace", "container_name"):
            if key in metadata:
                out[key] = metadata[key]
        out["crush_location"] = osd_crush.full_location(osd_map.client.crush, osd)
        return ctx.reply(out, section="osd_location")

    @command(
        "osd metadata name=id,type=CephOsdName,req=false",
        module="osd",
        perm="r",
        about="what an OSD says of itself, or all of them",
    )
    def osd_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd = self._existing(args)
        if osd is not None:
            return ctx.reply({"id": osd, **self._metadata(osd)}, section="osd_metadata")
        osds = osd_view.existing(self._osd.map)
        return ctx.reply([{"id": n, **self._metadata(n)} for n in osds], section="osd_metadata")

    def _metadata(self, osd: int) -> dict[str, str]:
        return dict(sorted(self._osd.metadata.get(osd, {}).items()))

    @command("osd versions", module="osd", perm="r", about="which versions of OSDs run")
    def osd_versions(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(self._osd.count_metadata("ceph_version"), section="versions")

    @command(
        "osd count-metadata name=property,type=CephString",
        module="osd",
        perm="r",
        about="how many OSDs say what of a property",
    )
    def osd_count_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        what = args.need_str("property")
        return ctx.reply(self._osd.count_metadata(what), section=what)

    @command("osd numa-status", module="osd", perm="r", about="NUMA nodes of the OSDs")
    def osd_numa_status(self, ctx: CommandContext, args: Args) -> CommandResult:
        hosts = {
            osd: self._osd.metadata.get(osd, {}).get("hostname", "")
            for osd in osd_view.existing(self._osd.map)
        }
        table = Table("<>OSD", "<<HOST", ">>NETWORK", ">>STORAGE", ">>AFFINITY", "<<CPUS")
        for osd, host in hosts.items():
            table.row(osd, host, "-", "-", "-", "-")
        data = [{"osd": osd, "host": host} for osd, host in hosts.items()]
        return ctx.reply(data, f"{table}", section="osds")

    @command("osd utilization", module="osd", perm="r", about="how evenly PGs are spread")
    def osd_utilization(self, ctx: CommandContext, args: Args) -> CommandResult:
        osds = [o for o in osd_view.existing(self._osd.map) if osd_view.is_in(self._osd.map, o)]
        counts = dict.fromkeys(osds, 0)
        for row in self._osd.pgs.rows():
            for osd in row.up:
                if osd in counts:
                    counts[osd] += 1
        if not counts:
            return ctx.reply({}, "", section="utilization")
        mean = sum(counts.values()) / len(counts)
        deviation = math.sqrt(sum((n - mean) ** 2 for n in counts.values()) / len(counts))
        expected = math.sqrt(mean * (1.0 - 1.0 / len(counts)))
        low, high = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        text = (
            f"avg {general(mean)}\n"
            f"stddev {general(deviation)} (expected baseline {general(expected)})\n"
        )
        for word, osd in (("min", low), ("max", high)):
            share = general(counts[osd] / mean) if mean else "-nan"
            text += f"{word} osd.{osd} with {counts[osd]} pgs ({share} * mean)\n"
        data = {
            "avg_pgs": number(mean),
            "std_dev": number(deviation),
            "expected_baseline_std_dev": number(expected),
            "min_osd": low,
            "min_osd_pgs": counts[low],
            "max_osd": high,
            "max_osd_pgs": counts[high],
        }
        return ctx.reply(data, text, section="utilization")

    # -- where things lie -------------------------------------------------------------------

    @command(
        "osd map name=pool,type=CephPoolname name=object,type=CephObjectname "
        "name=nspace,type=CephString,req=false",
        module="osd",
        perm="r",
        about="where an object of that name lies",
    )
    def osd_map(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, pool = self._osd.map, args.need_str("pool")
        pool_id = self._osd.pool_id(pool)
        if pool_id is None:
            raise fail(errno.ENOENT, f"pool {pool} does not exist")
        name, nspace = args.need_str("object"), args.get_str("nspace") or ""
        raw = object_to_raw_pg(osd_map, pool_id, _raw(name), b"", _raw(nspace))
        assert raw is not None
        pg = raw_pg_to_pg(osd_map.pools[pool_id], raw)
        found = pg_to_up_acting(osd_map, pg)
        assert found is not None
        full_name = f"{nspace}/{name}" if nspace else name
        data = {
            "epoch": osd_map.epoch,
            "pool": pool,
            "pool_id": pool_id,
            "objname": full_name,
            "raw_pgid": f"{raw}",
            "pgid": f"{pg}",
            "up": list(found.up),
            "up_primary": found.up_primary,
            "acting": list(found.acting),
            "acting_primary": found.acting_primary,
        }
        text = (
            f"osdmap e{osd_map.epoch} pool '{pool}' ({pool_id}) object '{full_name}' -> "
            f"pg {raw} ({pg}) -> up ({osd_list(found.up)}, p{found.up_primary}) "
            f"acting ({osd_list(found.acting)}, p{found.acting_primary})\n"
        )
        return ctx.reply(data, text)

    @command("pg map name=pgid,type=CephPgid", module="pg", perm="r", about="where a PG lies")
    def pg_map(self, ctx: CommandContext, args: Args) -> CommandResult:
        osd_map, raw = self._osd.map, parse_pgid(args.need_str("pgid"))
        found = pg_to_up_acting(osd_map, raw)
        if found is None:
            raise fail(errno.ENOENT, f"pg '{args.need_str('pgid')}' does not exist")
        pg = raw_pg_to_pg(osd_map.pools[raw.pool], raw)
        data = {
            "epoch": osd_map.epoch,
            "raw_pgid": f"{raw}",
            "pgid": f"{pg}",
            "up": list(found.up),
            "acting": list(found.acting),
        }
        text = (
            f"osdmap e{osd_map.epoch} pg {raw} ({pg}) -> "
            f"up {osd_list(found.up)} acting {osd_list(found.acting)}\n"
        )
        return ctx.reply(data, text)

    @command("osd lspools", module="osd", perm="r", about="the pools", flags=FLAG_DEPRECATED)
    def osd_lspools(self, ctx: CommandContext, args: Args) -> CommandResult:
        names = sorted(self._osd.map.client.pool_name.items())
        data = [{"poolnum": pool_id, "poolname": name} for pool_id, name in names]
        text = "".join(f"{pool_id} {name}\n" for pool_id, name in names)
        return ctx.reply(data, text, section="pools")

    # -- fences -----------------------------------------------------------------------------

    @command("osd blocklist ls", module="osd", perm="r", about="the fenced clients")
    @command(
        "osd blacklist ls",
        module="osd",
        perm="r",
        about="the fenced clients",
        flags=FLAG_DEPRECATED,
    )
    def osd_blocklist_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        rest = self._osd.map.osd
        outs = f"listed {len(rest.blocklist) + len(rest.range_blocklist)} entries"
        if not ctx.structured:
            lines = [
                f"{addr} {utime_str(until)}\n"
                for listed in (rest.blocklist, rest.range_blocklist)
                for addr, until in listed.items()
            ]
            return ctx.reply(None, "".join(lines), outs=outs)
        single = [
            {"addr": legacy_str(EntityAddrVec.of(addr)), "until": utime_str(until)}
            for addr, until in rest.blocklist.items()
        ]
        ranges = [
            {"range": f"{sockaddr_str(addr)}/{addr.nonce}", "until": utime_str(until)}
            for addr, until in rest.range_blocklist.items()
        ]
        first = ctx.reply(single, section="blocklist", outs=outs)
        # two documents, one after the other, are what 16.2.15 writes; the second only if it is
        # not empty, because readers of the first stop at it
        if not ranges:
            return first
        second = ctx.reply(ranges, section="range_blocklist")
        return CommandResult(0, outs, first.outb + second.outb)

    @command(
        "osd get-require-min-compat-client",
        module="osd",
        perm="r",
        about="the oldest release of clients that the map is kept readable for",
    )
    def osd_get_require_min_compat_client(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = release_name(self._osd.map.osd.require_min_compat_client)
        return CommandResult(0, "", f"{name}\n".encode())


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _numbers(ctx: CommandContext, osds: list[int]) -> CommandResult:
    return ctx.reply(osds, "".join(f"{osd}\n" for osd in osds), section="osds")


def _state_filter(osd_map: OSDMap, states: list[str]) -> Callable[[int], bool] | None:
    """Which OSDs `osd tree` shows; None: all, and empty buckets too."""
    for state in states:
        if state not in ("up", "down", "in", "out", "destroyed"):
            raise fail(errno.EINVAL, f"unrecognized state '{state}'")
    asked = set(states)
    if {"in", "out"} <= asked:
        raise fail(errno.EINVAL, "cannot specify both 'in' and 'out'")
    if len(asked & {"up", "down", "destroyed"}) > 1:
        raise fail(errno.EINVAL, "can specify only one of 'up', 'down' and 'destroyed'")
    if not asked:
        return None

    def wanted(osd: int) -> bool:
        there, up = osd_map.exists(osd), osd_map.is_up(osd)
        destroyed = there and bool(osd_map.client.osd_state[osd] & OSD_DESTROYED)
        is_in = osd_view.is_in(osd_map, osd)
        facts = {
            "up": up,
            "down": there and not up,
            "in": is_in,
            "out": not is_in,
            "destroyed": destroyed,
        }
        return any(facts[state] for state in asked)

    return wanted
