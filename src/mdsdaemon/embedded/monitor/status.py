"""`ceph -s` and what else is about the cluster as a whole.

Behaviour: ceph/ceph, src/mon/Monitor.cc (get_cluster_status, handle_command) (Pacific)
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar

from mdsdaemon.embedded.monitor import mds_print, osd_pgs, osd_view
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.mon_map import ELECTION_EPOCH
from mdsdaemon.embedded.monitor.osd_text import timespan
from mdsdaemon.embedded.monitor.service import Service
from mdsdaemon.maps.fs_map import FSMap
from mdsdaemon.types.release import release_name
from mdsdaemon.version import ceph_version


class StatusService(Service):
    """See the module."""

    name: ClassVar[str] = "status"

    # -- ceph -s ------------------------------------------------------------------------------

    @command("status", module="mon", perm="r", about="the cluster in a page")
    def status(self, ctx: CommandContext, args: Args) -> CommandResult:
        if ctx.structured:
            return ctx.reply(self._status(ctx), section="status")
        return CommandResult(0, "", self._status_text(ctx).encode())

    def _fsmap(self, ctx: CommandContext) -> FSMap:
        """The FSMap as the asker may see it."""
        allowed = ctx.session.caps.allowed_fs_names() if ctx.session is not None else []
        return self.mon.mds.view(allowed).map

    def _status(self, ctx: CommandContext) -> dict[str, Any]:
        mon = self.mon
        monmap = mon.mon_map.map
        return {
            "fsid": str(mon.fsid),
            "health": mon.health.summary(),
            "election_epoch": ELECTION_EPOCH,
            "quorum": [0],
            "quorum_names": [mon.name],
            "quorum_age": mon.mon_map.quorum_age(),
            "monmap": {
                "epoch": monmap.epoch,
                "min_mon_release_name": release_name(monmap.min_mon_release),
                "num_mons": monmap.size(),
            },
            "osdmap": osd_view.summary(mon.osd.map),
            "pgmap": osd_pgs.summary_json(mon.osd.pgs.summary()),
            "fsmap": mds_print.summary(self._fsmap(ctx)),
            "mgrmap": mon.mgr.summary(),
            "servicemap": mon.mgr.service_map(),
            "progress_events": {},
        }

    def _status_text(self, ctx: CommandContext) -> str:
        mon, now = self.mon, self.mon.host.wall()
        fsmap = self._fsmap(ctx)
        indent = "\n" + " " * 12
        age = timespan(now - mon.start_time)
        out = (
            f"  cluster:\n    id:     {mon.fsid}\n"
            f"    health: {mon.health.text(first=indent, between=indent)}"
            f" \n  services:\n    mon: 1 daemons, quorum {mon.name} (age {age})\n"
            "    mgr: no daemons active\n"
        )
        if fsmap.filesystems:
            out += f"    mds: {mds_print.daemon_summary(fsmap)}\n"
        out += f"    osd: {osd_view.summary_text(mon.osd.map, now, ' ' * 9)}"
        out += " \n  data:\n" + mds_print.fs_summary(fsmap)
        return out + osd_pgs.summary_text(mon.osd.pgs.summary()) + " "

    # -- versions, features, nodes ------------------------------------------------------------

    @command("versions", module="mon", perm="r", about="how many daemons of which version")
    def versions(self, ctx: CommandContext, args: Args) -> CommandResult:
        found: dict[str, dict[str, int]] = {
            "mon": {ceph_version(): 1},
            "mgr": {},
            "osd": self._osd_versions(),
            "mds": self.mon.mds.count_metadata("ceph_version"),
        }
        overall: dict[str, int] = {}
        for versions in list(found.values()):
            for version, number in versions.items():
                overall[version] = overall.get(version, 0) + number
        return ctx.reply({**found, "overall": dict(sorted(overall.items()))})

    def _osd_versions(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for metadata in self.mon.osd.metadata.values():
            version = metadata.get("ceph_version", "unknown")
            out[version] = out.get(version, 0) + 1
        return out

    @command("features", module="mon", perm="r", about="features of all that is connected")
    def features(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(self.mon.mon_map.feature_map())

    @command(
        "node ls name=type,type=CephChoices,strings=all|osd|mon|mds|mgr,req=false",
        module="mon",
        perm="r",
        about="daemons by host",
    )
    def node_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        kind = args.get_str("type") or "all"
        hostname = self.mon.config.identity.hostname
        osds: dict[str, list[int]] = {}
        for osd, metadata in sorted(self.mon.osd.metadata.items()):
            osds.setdefault(metadata.get("hostname", "unknown"), []).append(osd)
        nodes: dict[str, Any] = {
            "mon": {hostname: [self.mon.name]},
            "osd": osds,
            "mds": self.mon.mds.nodes(),
            "mgr": {},
        }
        if kind == "all" and not nodes["mds"]:
            del nodes["mds"]
        return ctx.reply(nodes if kind == "all" else nodes[kind])

    # -- small things -------------------------------------------------------------------------

    @command("fsid", module="mon", perm="r", about="identity of the cluster")
    def fsid(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({"fsid": str(self.mon.fsid)}, f"{self.mon.fsid}\n")

    @command("time-sync-status", module="mon", perm="r", about="clocks: there is one")
    def time_sync_status(self, ctx: CommandContext, args: Args) -> CommandResult:
        checks = {"epoch": ELECTION_EPOCH, "round": 0, "round_status": "finished"}
        return ctx.reply({"timechecks": checks})

    @command(
        "tell name=target,type=CephName name=args,type=CephString,n=N",
        module="mon",
        perm="rw",
        about="send a command to one daemon (the tool does that itself)",
    )
    def tell(self, ctx: CommandContext, args: Args) -> CommandResult:
        raise fail(errno.EOPNOTSUPP, "a monitor passes no command on; ask the daemon itself")
