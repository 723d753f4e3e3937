"""Commands about OSDs, pools and placement groups, to be asked of two clusters.

They lie in embedded_pool_script.jsonl, as they go over the wire; an empty object is the request to
wait until the placement groups are as the map wants them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.real.cluster import RealCluster
from tests.real.embedded_fs_script import Step

OPTIONS = {
    "osd_pool_default_pg_autoscale_mode": "off",
    "osd_pool_default_pg_num": "8",
    "osd_pool_default_size": "1",
    "mon_allow_pool_size_one": "true",
    "mon_warn_on_pool_no_redundancy": "false",
    "mon_allow_pool_delete": "true",
}
REAL_OPTIONS = OPTIONS | {
    "paxos_propose_interval": "0.01",
    "paxos_min_wait": "0.01",
    "mgr_stats_period": "1",
    "osd_mon_report_interval": "1",
    "mon_tick_interval": "1",
}


_NUMBERS = (
    (r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+\d{4})?", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\[v2:[^\]]*\]|\bv2:127.0.0.1:\d+/\d+", "ADDRS"),
    (r"ceph version 16.2.15 \(\S+\)", "VERSION"),
    (r"\b(epoch:? e?|osdmap e|last_change |crush_version |version |since |e)[\d.]+[smh]?", r"\1N"),
    (r"\blfor [\d/]+", "lfor N"),
    (r"\b(up_from|up_thru|down_at|up|in) \d+\b", r"\1 N"),
)
_MASKS = [(re.compile(pattern), mark) for pattern, mark in _NUMBERS]
"""What differs from cluster to cluster: times, epochs, addresses, ids."""

UNCOMPARED = {
    *("epoch", "created", "modified", "last_up_change", "last_in_change", "fsid", "uuid"),
    *("up_from", "up_thru", "down_at", "last_change", "snap_epoch", "create_time", "stamp"),
    *("crush_version", "osd_up_since", "osd_in_since", "until", "osd_fsid", "nonce", "addr"),
    *("last_force_op_resend", "last_force_op_resend_prenautilus", "down_stamp", "osdmap"),
    *("last_force_op_resend_preluminous", "public_addr", "cluster_addr", "heartbeat_back_addr"),
    *("heartbeat_front_addr", "features", "dead_epoch"),
    *("addrvec", "osd_data", "quorum_age", "mapping_epoch", "modules"),
    # what happened in between
    *("ready_epoch", "last_epoch_started", "source_pgid", "last_epoch_clean", "last_clean_begin"),
    *(
        "source_version",
        "target_version",
        "laggy_probability",
        "laggy_interval",
        "last_purged_snaps_scrub",
    ),
    *("last_clean_end", "dead_epoch"),
    # the size of the store, which a real OSD tells only by and by
    *("total_avail_bytes", "total_used_bytes", "total_used_raw_bytes", "total_used_raw_ratio"),
    *("kb", "kb_avail", "kb_used", "total_kb", "total_kb_avail", "total_kb_used", "max_avail"),
    *("bytes_used", "bytes_avail", "bytes_total", "avail_raw", "utilization"),
    *("average_utilization",),
}
"""Keys whose values are numbers of that kind: only that both have them is asked."""


def masked(text: str) -> str:
    for pattern, mark in _MASKS:
        text = pattern.sub(mark, text)
    return text


def unequal(ours: Any, real: Any, path: str = "") -> Iterator[str]:
    """Where two documents differ, in values, in keys and in the order of keys."""
    match ours, real:
        case dict(), dict():
            mine, other = [masked(key) for key in ours], [masked(key) for key in real]
            if sorted(mine) != sorted(other):
                left = [sorted(set(a) - set(b)) for a, b in ((mine, other), (other, mine))]
                yield f"{path}: keys of ours alone {left[0]}, of the real one alone {left[1]}"
            elif mine != other and not path.endswith("/blocklist"):  # a hash table of a real one
                yield f"{path}: order of keys: ours {mine}, the real one {other}"
            for key in ours.keys() & real.keys() - UNCOMPARED:
                yield from unequal(ours[key], real[key], f"{path}/{key}")
        case list(), list():
            if len(ours) != len(real):
                yield f"{path}: ours has {len(ours)}, the real one {len(real)}"
            for at, (mine, other) in enumerate(zip(ours, real, strict=False)):
                yield from unequal(mine, other, f"{path}/{at}")
        case str(), str():
            if masked(ours) != masked(real):
                yield f"{path}: ours {ours[:200]!r}, the real one {real[:200]!r}"
        case _:
            if ours != real or isinstance(ours, bool) != isinstance(real, bool):
                yield f"{path}: ours {ours!r:.200}, the real one {real!r:.200}"


def settled(cluster: RealCluster) -> bool:
    """osd.0 is up, and every placement group that the map wants is there and was heard of."""
    dump = cluster.mon("osd dump")
    if not dump["osds"][0]["up"]:
        return False
    if any(pool["pg_num"] != pool["pg_num_target"] for pool in dump["pools"]):
        return False
    summary = cluster.mon("pg stat")["pg_summary"]
    states = [each["name"] for each in summary["num_pg_by_state"]]
    moving = any(word in state for state in states for word in ("creating", "peering", "unknown"))
    wanted = sum(pool["pg_num"] for pool in dump["pools"])
    return not moving and summary["num_pgs"] == wanted


SCRIPT = [
    Step(json.loads(line)) for line in Path(__file__).with_suffix(".jsonl").read_text().splitlines()
]

ACCEPTED = [
    # (the command, the difference, why it stands)
    ("", r"^says: ours -22 \"'.* not belong to '.*the real one -", "choices are checked earlier"),
    (r'"blocklistop": "foo"', r"^says", "16.2.15 takes what it does not know for done"),
    (r'"osd require-osd-release"', r"^says: ours -1 .*the real one -1 ",
     "which of two reasons comes first"),
    ("", r"^says: ours -22 .*out of range.*the real one -34", "ranges are checked earlier"),
    ("", r"^says: ours -95", "refused in words, and listed in docs/compatibility.md"),
    (r'"pg_num": 8}$', r"missing required parameter", "16.2.15 says only the error's name"),
    (r'"osd out", "ids": \["zz"', r"^says", "16.2.15 prints -1 for what it could not parse"),
    (r'"range": "range", "bl', r"does not parse as a CIDR", "ours shows what was given"),
    (r"bl(oc|ac)klist ls", r"^prints: ", "16.2.15 lists in the order of its hash table"),
    (r"bl(oc|ac)klist ls", r"^: ours.*\[\]?\[?", "16.2.15's JSON is two documents"),
    (r'"(health|status)"', r"TARGET_SIZE_BYTES_AND_RATIO", "16.2.15's autoscaler says it later"),
    (r'"(health|status)"', r"^prints", "as before"),
    (r'"status"', r"/mgrmap/available", "the one-process cluster has no manager"),
    (r'"osd (find|metadata|dump|df|crush dump|crush show-tunables|crush rule dump)"', r"^prints",
     "addresses, figures and a last empty line; as JSON they are compared"),
    (r'"osd dump", "epoch": 3', r"^/", "the third epoch has another story"),
    (r'"osd getcrushmap"', r"", "16.2.15 counts a change more"),
    (r'"(df|osd pool get|osd pool ls)"', r"^prints", "figures; as JSON they are compared"),
    (r'"osd pool get", "pool": "\w+", "var": "all"', r"^/pgp_num", "placement moves step by step"),
    (r"", r"/pg_placement_num:", "as before"),
    (r'"osd (lost|setmaxosd|set-group|unset-group|last-stat-seq)"', "", "there is one OSD"),
    (r'"osd dump"', r"^/pools/\d/pg_", "16.2.15's autoscaler has set to work"),
    (r'"pg ls(-\w+)?", .*"states"', r"^form", "which are stale, say, is of the moment"),
    (r'"pg ', r"avail_no_missing", "which OSDs had what, while one is down"),
    (r'"osd dump"', r"^/osds/0/state", "flags of one OSD are refused: see set-group"),
]  # fmt: skip


def is_momentary(command: str) -> bool:
    """Whether only the form of the answer is compared: placement groups come and go."""
    return re.search(r'"prefix": "pg ', command) is not None


def accepted(command: str, difference: str) -> bool:
    return any(
        re.search(asked, command) and re.search(found, difference) for asked, found, _ in ACCEPTED
    )
