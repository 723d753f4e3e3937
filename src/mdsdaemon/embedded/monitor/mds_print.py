"""The FSMap as people and programs read it: dumps, summaries, tables of flags.

Format: ceph/ceph, src/mds/FSMap.cc, MDSMap.cc (print, print_summary, dump) (Pacific 16.2.15,
compared with a live monitor)
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from mdsdaemon.embedded.monitor.commands import CommandContext, CommandResult
from mdsdaemon.embedded.monitor.mds_fsmap import FSMapView, ranks_text
from mdsdaemon.maps.compat_set import CompatSet
from mdsdaemon.maps.fs_map import Filesystem, FSMap
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.formatter import NamedList
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURE_NAMES, FeatureBitset
from mdsdaemon.types.utime import utime_str

FEATURE_NAMES: Final = (
    *CEPHFS_FEATURE_NAMES[:16],
    "notify_session_state",
    "op_getvxattr",
    "32bits_retry_fwd",
)
"""CephFS features that a monitor of 16.2.15 knows, by bit number."""

SHORT_LIST: Final = 3
"""Up to so many file systems are named one by one in a summary line."""

MAX_RANKS_SHOWN: Final = 4


def respond(
    ctx: CommandContext, data: Any, text: str | None, *, section: str = "", outs: str = ""
) -> CommandResult:
    """What a monitor answers a question with."""
    result = ctx.reply(data, text, section=section, outs=outs)
    if ctx.format == "cbor":
        return result
    return CommandResult(result.r, result.outs, ended_lines(result.outb))


def ended_lines(text: bytes) -> bytes:
    """Text as daemons put it into an answer: every line ended, empty ones left out."""
    return b"".join(line + b"\n" for line in text.split(b"\n") if line)


# -- dumps ------------------------------------------------------------------------------------


def dump_filesystem(fs: Filesystem) -> dict[str, Any]:
    """As `ceph fs get` shows it."""
    shown = fs.dump()
    bits = fs.mds_map.required_client_features
    shown["mdsmap"]["required_client_features"] = {
        f"feature_{bit}": name for bit, name in enumerate(FEATURE_NAMES) if bits.test(bit)
    }
    return shown


def dump_fsmap(fsmap: FSMap) -> dict[str, Any]:
    """As `ceph fs dump` shows it."""
    shown = fsmap.dump()
    shown["standbys"] = NamedList("info", shown["standbys"])
    filesystems = sorted(fsmap.filesystems, key=lambda fs: fs.fscid)
    shown["filesystems"] = NamedList("filesystem", [dump_filesystem(fs) for fs in filesystems])
    return shown


# -- text -------------------------------------------------------------------------------------


def compat_lite(compat: CompatSet) -> str:
    """Only the masks, of which Ceph keeps the lowest bit set."""
    sets = (("c", compat.compat), ("r", compat.ro_compat), ("i", compat.incompat))
    return "{" + ",".join(f"{letter}=[{each.mask | 1:x}]" for letter, each in sets) + "}"


def info_text(info: MDSInfo) -> str:
    """One daemon in a line."""
    return f"{str(info)[:-1]} compat {compat_lite(info.compat)}]"


def features_text(features: FeatureBitset) -> str:
    """``{8=mimic}``"""
    named = [f"{bit}={name}" for bit, name in enumerate(FEATURE_NAMES) if features.test(bit)]
    return "{" + ",".join(named) + "}"


def mds_map_text(mds_map: MDSMap) -> str:
    """One file system's map, with a line for each daemon."""
    up = ",".join(f"{rank}={gid}" for rank, gid in sorted(mds_map.up.items()))
    rows = {
        "fs_name": mds_map.fs_name,
        "epoch": mds_map.epoch,
        "flags": f"{mds_map.flags:x}",
        "created": utime_str(mds_map.created),
        "modified": utime_str(mds_map.modified),
        "tableserver": mds_map.tableserver,
        "root": mds_map.root,
        "session_timeout": mds_map.session_timeout,
        "session_autoclose": mds_map.session_autoclose,
        "max_file_size": mds_map.max_file_size,
        "required_client_features": features_text(mds_map.required_client_features),
        "last_failure": mds_map.last_failure,
        "last_failure_osd_epoch": mds_map.last_failure_osd_epoch,
        "compat": mds_map.compat,
        "max_mds": mds_map.max_mds,
        "in": ranks_text(mds_map.in_),
        "up": "{" + up + "}",
        "failed": ranks_text(mds_map.failed),
        "damaged": ranks_text(mds_map.damaged),
        "stopped": ranks_text(mds_map.stopped),
        "data_pools": "[" + ",".join(map(str, mds_map.data_pools)) + "]",
        "metadata_pool": mds_map.metadata_pool,
        "inline_data": "enabled" if mds_map.inline_data_enabled else "disabled",
        "balancer": mds_map.balancer,
        "standby_count_wanted": max(0, mds_map.standby_count_wanted),
    }
    lines = [f"{name}\t{value}\n" for name, value in rows.items()]
    # Ceph compares the incarnation less one as an unsigned number: followers come last
    infos = sorted(mds_map.mds_info.values(), key=lambda i: (i.rank, (i.inc - 1) & 0xFFFFFFFF))
    lines += [f"{info_text(info)}\n" for info in infos]
    return "".join(lines)


def filesystem_text(fs: Filesystem) -> str:
    """As `ceph fs get` prints it."""
    text = f"Filesystem '{fs.mds_map.fs_name}' ({fs.fscid})\n{mds_map_text(fs.mds_map)}"
    if fs.mirror_info.mirrored:
        peers = []
        for peer in fs.mirror_info.peers:
            remote = peer.remote
            peers.append(
                f"{{uuid={peer.uuid}, remote_cluster={{client_name={remote.client_name}, "
                f"cluster_name={remote.cluster_name}, fs_name={remote.fs_name}}}}}"
            )
        text += f"[peers={','.join(peers)}]\n"
    return text


def fsmap_text(fsmap: FSMap) -> str:
    """As `ceph fs dump` prints it."""
    text = (
        f"e{fsmap.epoch}\n"
        "enable_multiple, ever_enabled_multiple: "
        f"{fsmap.enable_multiple:d},{fsmap.ever_enabled_multiple:d}\n"
        f"default compat: {fsmap.compat}\n"
        f"legacy client fscid: {fsmap.legacy_client_fscid}\n \n"
    )
    if not fsmap.filesystems:
        text += "No filesystems configured\n"
    for fs in fsmap.filesystems:
        text += filesystem_text(fs) + " \n \n"
    if fsmap.standby_daemons:
        text += "Standby daemons:\n \n"
    for _, info in sorted(fsmap.standby_daemons.items()):
        text += f"{info_text(info)}\n"
    return text


# -- summaries --------------------------------------------------------------------------------


def _status(info: MDSInfo) -> str:
    return state_name(info.state) + ("(laggy or crashed)" if info.laggy else "")


def _totals(fsmap: FSMap) -> dict[str, int]:
    maps = [fs.mds_map for fs in fsmap.filesystems]
    counts = {
        "failed": sum(len(m.failed) for m in maps),
        "damaged": sum(len(m.damaged) for m in maps),
    }
    return {name: count for name, count in counts.items() if count}


def _ranked(fsmap: FSMap) -> list[tuple[int, int, MDSInfo]]:
    """(fscid, gid, daemon) of all that serve a file system, in the order of gids."""
    view = FSMapView(fsmap)
    return [
        (fscid, gid, view.info(gid))
        for gid, fscid in sorted(fsmap.mds_roles.items())
        if fscid != FS_CLUSTER_ID_NONE
    ]


def summary(fsmap: FSMap) -> dict[str, Any]:
    """``fsmap`` of `ceph status`. Several file systems overwrite each other, as in Ceph."""
    shown: dict[str, Any] = {"epoch": fsmap.epoch}
    for fs in fsmap.filesystems:
        shown["id"] = fs.fscid
        shown["up"] = len(fs.mds_map.up)
        shown["in"] = len(fs.mds_map.in_)
        shown["max"] = fs.mds_map.max_mds
    shown["by_rank"] = NamedList(
        "mds",
        [
            {
                "filesystem_id": fscid,
                "rank": info.rank,
                "name": info.name,
                "status": _status(info),
                "gid": gid,
            }
            for fscid, gid, info in _ranked(fsmap)
        ],
    )
    shown["up:standby"] = len(fsmap.standby_daemons)
    return shown | _totals(fsmap)


def summary_text(fsmap: FSMap) -> str:
    """The line of `ceph mds stat`."""
    text = _filesystems_text(fsmap)
    states: Counter[int] = Counter({int(State.STANDBY): len(fsmap.standby_daemons)})
    roles: dict[tuple[int, int], MDSInfo] = {}
    for fscid, _, info in _ranked(fsmap):
        states[info.state] += 1
        if info.state != State.STANDBY_REPLAY:
            roles[(fscid, info.rank)] = info
    if 0 < len(roles) <= MAX_RANKS_SHOWN:
        view = FSMapView(fsmap)
        named: dict[str, str] = {}
        for (fscid, rank), info in sorted(roles.items()):
            states[info.state] -= 1
            many = len(fsmap.filesystems) > 1
            role = f"{view.fs(fscid).mds_map.fs_name}:{rank}" if many else f"{rank}"
            named[role] = f"{info.name}={_status(info)}"
        keys = sorted(named) if len(fsmap.filesystems) > 1 else list(named)
        text += " {" + ",".join(f"{key}={named[key]}" for key in keys) + "}"
    for state, count in sorted(states.items()):
        if count > 0:
            text += f" {count} {state_name(state)}"
    return text + "".join(f", {count} {name}" for name, count in _totals(fsmap).items())


def _filesystems_text(fsmap: FSMap) -> str:
    parts = []
    degraded = []
    for fs in fsmap.filesystems:
        mds_map = fs.mds_map
        part = f"{mds_map.fs_name}:{len(mds_map.in_)}"
        if mds_map.is_degraded():
            part = f"{mds_map.fs_name}:{len(mds_map.up)}/{len(mds_map.in_)}"
            degraded.append(part)
        parts.append(part)
    if len(parts) <= SHORT_LIST:
        return " ".join(parts)
    text = f"{len(parts)} fs"
    if len(degraded) > SHORT_LIST:
        text += f" (degraded: {len(degraded)} fs)"
    elif degraded:
        text += f" (degraded: {''.join(degraded)})"
    return text


def daemon_summary(fsmap: FSMap) -> str:
    """The line of metadata servers among the services of `ceph status`."""
    maps = [fs.mds_map for fs in fsmap.filesystems]
    failed = sum(len(m.failed) for m in maps)
    hot = sum(m.get_num_mds(State.STANDBY_REPLAY) for m in maps)
    text = f"{sum(len(m.up) for m in maps)}/{sum(len(m.in_) for m in maps)} daemons up"
    if failed:
        text += f" ({failed} failed)"
    if fsmap.standby_daemons:
        text += f", {len(fsmap.standby_daemons)} standby"
    if hot:
        text += f", {hot} hot standby"
    return text


def fs_summary(fsmap: FSMap) -> str:
    """The line of volumes among the data of `ceph status`, "" where there are none."""
    if not fsmap.filesystems:
        return ""
    found: Counter[str] = Counter()
    for fs in fsmap.filesystems:
        mds_map = fs.mds_map
        if mds_map.damaged:
            found["damaged"] += 1
        if mds_map.failed:
            found["failed"] += 1
        elif mds_map.is_degraded():
            found["recovering"] += 1
        elif mds_map.max_mds == 0:
            found["stopped"] += 1
        else:
            found["healthy"] += 1
    text = f"    volumes: {found['healthy']}/{len(fsmap.filesystems)} healthy"
    for name in ("recovering", "failed", "stopped"):
        if found[name]:
            text += f", {found[name]} {name}"
    if found["damaged"]:
        text += f"; {found['damaged']} damaged"
    return text + "\n"
