"""Splits and merges of ours and of a stock ceph-mds, killed on the way, taken up by the other."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.real.admin import SYSTEM_PYTHON, asok
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

CLIENT = Path(__file__).parent / "fragment_client.py"
COUNT = 400


def client(cluster: RealCluster, what: str) -> None:
    argv = [SYSTEM_PYTHON, str(CLIENT), str(cluster.conf), what, str(COUNT)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=90, env=cluster.env, check=False
    )
    assert done.returncode == 0, done.stderr


def active(cluster: RealCluster, kind: str, name: str) -> Mds:
    mds = cluster.start_mds(kind, name)
    try:
        mds.wait_state("up:active", 40)
    except AssertionError:
        # ceph-mds dies of a client that calls at once (ProtocolV2::handle_auth_request)
        if kind != "real" or mds.running or mds.proc.returncode != -signal.SIGSEGV:
            raise
        mds = cluster.start_mds(kind, name)
        mds.wait_state("up:active", 40)
    # nothing is merged by itself
    asok(mds.asok_path, "config set", var="mds_bal_merge_size", val=["0"])
    return mds


def in_cache(mds: Mds) -> None:
    wait_for(lambda: b"dirfrag" in asok(mds.asok_path, "dump tree", root="/dir"), 10, "/dir")


def fragments(mds: Mds) -> list[str]:
    return sorted(one["str"] for one in mds.asok("dirfrag ls", path="/dir"))


def scrub(mds: Mds) -> None:
    asok(mds.asok_path, "scrub start", path="/", scrubops=["recursive", "force"], format="json")
    wait_for(
        lambda: "no active scrubs" in json.loads(asok(mds.asok_path, "scrub status"))["status"],
        60,
        "the scrub is over",
    )
    assert mds.asok("damage ls") == []
    assert [line for line in mds.logged().splitlines() if "[ERR]" in line] == []


def kill(cluster: RealCluster, mds: Mds) -> None:
    mds.kill()
    cluster.mon("mds fail", role_or_gid=mds.name)


@pytest.mark.parametrize("first", ["ours", "real"])
def test_split_and_merged_by_one_taken_up_by_the_other(
    osd_cluster: RealCluster, first: str
) -> None:
    second = "real" if first == "ours" else "ours"
    osd_cluster.new_fs(f"frag{first}")
    mds = active(osd_cluster, first, "a")
    client(osd_cluster, "make")
    asok(mds.asok_path, "dirfrag split", path="/dir", frag="0/0", bits=3)
    wait_for(lambda: len(fragments(mds)) == 8, 20, "eight fragments")
    client(osd_cluster, "check")
    kill(osd_cluster, mds)
    mds = active(osd_cluster, second, "b")
    client(osd_cluster, "check")
    assert len(fragments(mds)) == 8
    scrub(mds)
    wait_for(lambda: _merged(mds), 30, "one fragment")
    client(osd_cluster, "check")
    kill(osd_cluster, mds)
    mds = active(osd_cluster, first, "c")
    client(osd_cluster, "check")
    assert fragments(mds) == ["0/0"]
    scrub(mds)


def _merged(mds: Mds) -> bool:
    asok(mds.asok_path, "dirfrag merge", path="/dir", frag="0/0")
    return fragments(mds) == ["0/0"]


@pytest.mark.parametrize("first", ["ours", "real"])
def test_killed_while_it_splits(osd_cluster: RealCluster, first: str) -> None:
    """At any moment of a split or merge: the other one finds every name, once."""
    rng = random.Random(first)
    osd_cluster.new_fs(f"killed{first}")
    mds = active(osd_cluster, first, "a")
    client(osd_cluster, "make")
    kinds = [first, "real" if first == "ours" else "ours"]
    for turn in range(6):
        shape = fragments(mds)
        if len(shape) == 1:
            asok(mds.asok_path, "dirfrag split", path="/dir", frag="0/0", bits=2)
        else:
            asok(mds.asok_path, "dirfrag merge", path="/dir", frag="0/0")
        time.sleep(rng.choice([0, 0.002, 0.01, 0.05, 0.2]))  # the moment at which it dies
        kill(osd_cluster, mds)
        mds = active(osd_cluster, kinds[(turn + 1) % 2], "abc"[(turn + 1) % 3])
        client(osd_cluster, "check")
        assert len(fragments(mds)) in (1, 4)
        assert mds.asok("damage ls") == []
        if mds.kind == "real":
            # it cannot undo a split of fragments whose objects are yet to be written
            mds.asok("flush journal")
    scrub(mds)
