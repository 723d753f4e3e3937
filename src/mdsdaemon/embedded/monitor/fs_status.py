"""`ceph fs status`, which the manager's module ``status`` answers in a real cluster.

The figures of daemons come from whoever sets `MDSMonitor.counter_source`; without it they are 0.

Behaviour: ceph/ceph, src/pybind/mgr/status/module.py (Pacific 16.2.15)
"""

from __future__ import annotations

import errno
import json
from typing import Any

from attrs import define, field

from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command
from mdsdaemon.embedded.monitor.fs_tables import (
    GREEN,
    YELLOW,
    bold,
    colorize,
    format_bytes,
    format_dimless,
    table,
)
from mdsdaemon.embedded.monitor.mds_print import ended_lines
from mdsdaemon.maps.fs_map import Filesystem
from mdsdaemon.maps.mds_info import MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name

_RANKS = ("RANK", "STATE", "MDS", "ACTIVITY", "DNS", "INOS", "DIRS", "CAPS")
_COUNTERS = {
    "dns": "mds_mem.dn",
    "inos": "mds_mem.ino",
    "dirs": "mds_mem.dir",
    "caps": "mds_mem.cap",
}
_CLIENTS = "mds_sessions.session_count"


@define
class _Status:
    """What is shown, in both forms."""

    text: str = ""
    mdsmap: list[dict[str, Any]] = field(factory=list)
    pools: list[dict[str, Any]] = field(factory=list)
    clients: list[dict[str, Any]] = field(factory=list)
    versions: dict[str, list[str]] = field(factory=dict)


class FSStatus(FSRoom):
    """See the module."""

    @command(
        "fs status name=fs,type=CephString,req=false",
        module="mgr",
        perm="r",
        about="ranks, daemons and pools of file systems",
    )
    def fs_status(self, ctx: CommandContext, args: Args) -> CommandResult:
        wanted = args.get_str("fs")
        view = self.view(ctx)
        status = _Status()
        for fs in view.map.filesystems:
            if not wanted or fs.mds_map.fs_name == wanted:
                self._filesystem(status, fs)
        if wanted is not None and not status.clients:
            raise fail(errno.EINVAL, f"Invalid filesystem: {wanted}")
        standbys = [info for _, info in sorted(view.map.standby_daemons.items())]
        for info in standbys:
            self._version(status, info)
            status.mdsmap.append({"name": info.name, "state": "standby"})
        if ctx.structured:
            return _json(ctx, status)
        text = status.text + "\n" + table(("STANDBY MDS",), [(i.name,) for i in standbys]) + "\n"
        if len(status.versions) == 1:
            text += f"MDS version: {next(iter(status.versions))}"
        else:
            rows = [(version, ", ".join(names)) for version, names in status.versions.items()]
            text += table(("VERSION", "DAEMONS"), rows) + "\n"
        return CommandResult(0, "", ended_lines(text.encode(errors="surrogateescape")))

    def _version(self, status: _Status, info: MDSInfo) -> None:
        metadata = self.mds.state.metadata.get(info.global_id, {})
        status.versions.setdefault(metadata.get("ceph_version", "unknown"), []).append(info.name)

    def _figures(self, info: MDSInfo) -> dict[str, int]:
        return {name: self.mds.counter(info.name, path) for name, path in _COUNTERS.items()}

    def _filesystem(self, status: _Status, fs: Filesystem) -> None:
        mds_map = fs.mds_map
        rows: list[tuple[str, ...]] = []
        clients = 0
        for rank in sorted(mds_map.in_):
            info = mds_map.get_info(rank)
            if info is None:
                status.mdsmap.append({"rank": rank, "state": "failed"})
                rows.append((str(rank), "failed", "", "", "", "", "", ""))
                continue
            clients = clients or self.mds.counter(info.name, _CLIENTS)
            self._version(status, info)
            rows.append(self._rank(status, rank, info))
        for _, info in sorted(mds_map.mds_info.items()):
            if info.state == State.STANDBY_REPLAY:
                self._version(status, info)
                rows.append(self._follower(status, mds_map, info))
        pools = self._pools(status, mds_map)
        name = mds_map.fs_name
        status.clients.append({"fs": name, "clients": clients})
        status.text += f"{name} - {clients} clients\n{'=' * len(name)}\n"
        status.text += table(_RANKS, rows) + "\n" + pools + "\n"

    def _rank(self, status: _Status, rank: int, info: MDSInfo) -> tuple[str, ...]:
        state = state_name(info.state).partition(":")[2] + ("(laggy)" if info.laggy else "")
        active = state == "active"
        rate = self.mds.counter(info.name, "mds_server.handle_client_request.rate")
        figures = self._figures(info)
        status.mdsmap.append(
            {"rank": rank, "name": info.name, "state": state, "rate": rate if active else "0"}
            | figures
        )
        return (
            bold(str(rank)),
            colorize(state, GREEN if active else YELLOW),
            info.name,
            f"Reqs: {format_dimless(rate)}/s" if active else "",
            *(format_dimless(value) for value in figures.values()),
        )

    def _follower(self, status: _Status, mds_map: MDSMap, info: MDSInfo) -> tuple[str, ...]:
        events = self.mds.counter(info.name, "mds_log.replayed.rate")
        # the module shows the last rank and 5 for every figure here
        shown = {"rank": max(mds_map.in_, default=info.rank), "name": info.name}
        status.mdsmap.append(
            shown | {"state": "standby-replay", "events": events} | dict.fromkeys(_COUNTERS, 5)
        )
        return (
            f"{info.rank}-s",
            "standby-replay",
            info.name,
            f"Evts: {format_dimless(events)}/s",
            *(format_dimless(value) for value in self._figures(info).values()),
        )

    def _pools(self, status: _Status, mds_map: MDSMap) -> str:
        rows: list[tuple[str, ...]] = []
        for pool in (mds_map.metadata_pool, *mds_map.data_pools):
            kind = "metadata" if pool == mds_map.metadata_pool else "data"
            name = self.pools.name(pool)
            used, avail = self.pools.used(pool), self.pools.available(pool)
            status.pools.append(
                {"id": pool, "name": name, "type": kind, "used": used, "avail": avail}
            )
            rows.append((name, kind, format_bytes(used), format_bytes(avail)))
        return table(("POOL", "TYPE", "USED", "AVAIL"), rows)


def _json(ctx: CommandContext, status: _Status) -> CommandResult:
    data: dict[str, Any] = {}
    for name in ("mdsmap", "pools", "clients"):
        if getattr(status, name):
            data[name] = getattr(status, name)
    if len(status.versions) == 1:
        data["mds_version"] = next(iter(status.versions))
    elif status.versions:
        data["mds_version"] = [
            {"version": version, "daemons": names} for version, names in status.versions.items()
        ]
    if ctx.format == "json":
        text = json.dumps(data, sort_keys=True)
    elif ctx.format == "json-pretty":
        text = json.dumps(data, sort_keys=True, indent=4)
    else:
        return ctx.reply(data)
    return CommandResult(0, "", ended_lines(text.encode(errors="surrogateescape")))
