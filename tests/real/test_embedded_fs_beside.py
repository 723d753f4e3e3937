"""Commands about file systems, on the embedded monitor and on a real one: the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.real.admin import Reply
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster, active, info_of
from tests.real.embedded_fs_script import SCRIPT, Step
from tests.real.shapes import Accepted, differences

BOTH = {name: QUICK[name] for name in ("mds_beacon_interval", "mds_beacon_grace")}
OPTIONS = BOTH | {"osd_pool_default_pg_autoscale_mode": "off", "osd_pool_default_pg_num": "1"}
# A real monitor that makes a map at once.
REAL_OPTIONS = QUICK | {"paxos_propose_interval": "0.01", "paxos_min_wait": "0.01"}

NewCluster = Callable[[RealCluster], RealCluster]


def pair(new_cluster: NewCluster, *, mgr: bool) -> tuple[RealCluster, RealCluster]:
    """The embedded cluster and a real one, both as new: pool and file system ids count up."""
    ours = new_cluster(EmbeddedCluster(options=OPTIONS))
    return ours, new_cluster(RealCluster(osd=True, mgr=mgr, options=REAL_OPTIONS))


_NUMBERS = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+\d{4}"), "TIME"),
    (re.compile(r"\b(epoch|modified|created)(\t| )\S+"), r"\1 N"),
    (re.compile(r"key = \S+"), "key = K"),
    (re.compile(r"\be\d+$", re.MULTILINE), "eN"),
)
ACCEPTED = [Accepted("node ls", r"/mgr/.*", "the one-process cluster has no manager")]


def masked(text: str) -> str:
    """What is left when times, epochs and keys are blanked out."""
    for pattern, mark in _NUMBERS:
        text = pattern.sub(mark, text)
    return text


def play(ask: Callable[[Step], Reply]) -> list[Reply]:
    return [ask(step) for step in SCRIPT]


def test_every_command_answers_as_a_real_monitor_does(new_cluster: NewCluster) -> None:
    """One script of commands, on both: results, texts, output."""
    cluster, real = pair(new_cluster, mgr=False)
    ours, theirs = play(lambda step: step.ask(cluster)), play(lambda step: step.ask(real))
    wrong = []
    for step, mine, other in zip(SCRIPT, ours, theirs, strict=True):
        if mine.r != other.r or (step.texts and masked(mine.err) != masked(other.err)):
            wrong.append(f"{step}\n   ours {mine.r} {mine.err!r}\n   real {other.r} {other.err!r}")
        if not step.output:
            continue
        if step.is_json and other.out.strip():
            found = differences(str(step), json.loads(mine.out), json.loads(other.out), ACCEPTED)
            if any(found):
                wrong.append(f"{step}\n   only ours {found[0]}\n   only real {found[1]}")
        elif masked(mine.out) != masked(other.out):
            wrong.append(f"{step}\n   ours {masked(mine.out)!r}\n   real {masked(other.out)!r}")
    assert not wrong, "\n".join(wrong)


def has_state(cluster: RealCluster, name: str, state: str) -> bool:
    return bool(info_of(cluster, name)["state"] == state)


def test_with_daemons_the_dumps_have_the_same_keys(new_cluster: NewCluster) -> None:
    """fs dump, mds stat, fs status …, key by key, with an active daemon, a follower, a standby."""
    cluster, real = pair(new_cluster, mgr=True)
    wait_for(
        lambda: real.ceph_result("fs", "status").returncode == 0, 60, "the manager serves", every=1
    )
    shown: list[dict[str, Any]] = []
    for each in (cluster, real):
        active(each, "a", "b")
        each.ceph("fs", "set", "cephfs", "allow_standby_replay", "true", json=False)
        wait_for(partial(has_state, each, "b", "up:standby-replay"), 20, "b follows")
        each.start_real_mds("c").wait_standby()
        answers: dict[str, Any] = {
            prefix: each.mon(prefix, **arguments)
            for prefix, arguments in {
                "fs dump": {},
                "fs ls": {},
                "fs get": {"fs_name": "cephfs"},
                "mds stat": {},
                "mds metadata": {},
                "mds versions": {},
                "node ls": {},
            }.items()
        }
        answers["status"] = each.mon("status")["fsmap"]
        answers["fs status"] = each.ceph("fs", "status")
        answers["fs volume ls"] = each.ceph("fs", "volume", "ls")
        answers["mds stat text"] = each.ceph("mds", "stat", json=False)
        answers["status text"] = re.findall("mds:.*|volumes:.*", each.ceph("status", json=False))
        shown.append(answers)
    wrong = {}
    for command, mine in shown[0].items():
        theirs = shown[1][command]
        found = differences(command, no_gids(mine), no_gids(theirs), ACCEPTED)
        if any(found) or (command in SAME and steady(mine) != steady(theirs)):
            wrong[command] = (found, steady(mine), steady(theirs))
    assert not wrong


SAME = ("fs dump", "fs get", "fs volume ls", "mds stat text", "status", "status text")
"""Commands whose answers are the same but for what `steady` leaves out."""


def steady(value: Any) -> Any:
    """What does not depend on the moment or on what has been before."""
    if isinstance(value, dict):
        moving = r"gid|mds_\d+|epoch|addrs?|created|modified|incarnation|state_seq|id|data_pools"
        moving += "|default_fscid|metadata_pool|last_failure_osd_epoch"
        left = {k: v for k, v in no_gids(value).items() if not re.fullmatch(moving, k)}
        return {key: steady(each) for key, each in left.items()}
    return [steady(each) for each in value] if isinstance(value, list) else value


def no_gids(value: Any) -> Any:
    """Keys that hold a gid, without it."""
    if isinstance(value, dict):
        return {re.sub(r"^gid_\d+$", "gid", key): no_gids(v) for key, v in value.items()}
    return [no_gids(each) for each in value] if isinstance(value, list) else value
