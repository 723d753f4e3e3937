"""Ranks: given, taken away, and followed. What a rank does with its file system is not asked."""

from typing import Any

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for


def entry(mds: Mds) -> dict[str, Any]:
    (info,) = (info for info in mds.cluster.mds_infos() if info["name"] == mds.name)
    return info


def test_new_file_system_gives_the_rank(osd_cluster: RealCluster, mds_kind: str) -> None:
    mds = osd_cluster.start_mds(mds_kind, "a")
    gid = mds.wait_standby()["gid"]
    osd_cluster.new_fs()
    info = mds.wait_state("up:active", 10)
    assert info["gid"] == gid
    assert info["rank"] == 0
    wait_for(lambda: mds.asok("status")["state"] == "up:active", 5, "status says so")
    status = mds.asok("status")
    assert status["whoami"] == 0
    assert status["fs_name"] == "cephfs"
    assert mds.cluster.ceph("tell", "mds.0", "status")["id"] == gid


@pytest.mark.parametrize("how", ["mds fail", "fs fail"])
def test_rank_taken_away_respawns(osd_cluster: RealCluster, mds_kind: str, how: str) -> None:
    mds = osd_cluster.start_mds(mds_kind, "a")
    mds.wait_standby()
    osd_cluster.new_fs()
    gid = mds.wait_state("up:active", 10)["gid"]
    if how == "fs fail":
        osd_cluster.ceph("fs", "fail", "cephfs", json=False)
    else:
        osd_cluster.ceph("fs", "set", "cephfs", "joinable", "false", json=False)
        osd_cluster.ceph("mds", "fail", "cephfs:0", json=False)
    again = mds.wait_standby(10, not_gid=gid)
    assert mds.running
    assert again["rank"] == -1
    assert mds.asok("status")["whoami"] == -1


def test_clean_exit_with_a_rank(osd_cluster: RealCluster, mds_kind: str) -> None:
    """The rank is failed at once, not left to the grace."""
    mds = osd_cluster.start_mds(mds_kind, "a")
    mds.wait_standby()
    osd_cluster.new_fs()
    gid = mds.wait_state("up:active", 10)["gid"]
    mds.terminate()
    status, seconds = mds.wait_gone(10)
    assert status == 0
    assert seconds < (1 if mds_kind == "ours" else 8)
    wait_for(
        lambda: gid not in [info["gid"] for info in osd_cluster.mds_infos()], 2, "the rank is free"
    )


def test_standby_replay_follows_and_respawns(osd_cluster: RealCluster, mds_kind: str) -> None:
    """Assigned to follow the active ceph-mds; sent back when the file system wants it no more."""
    active = osd_cluster.start_real_mds("real")
    active.wait_standby()
    osd_cluster.new_fs()
    active.wait_state("up:active", 20)
    mds = osd_cluster.start_mds(mds_kind, "a")
    mds.wait_standby()
    osd_cluster.ceph("fs", "set", "cephfs", "allow_standby_replay", "true", json=False)
    info = mds.wait_state("up:standby-replay", 10)
    assert info["rank"] == 0
    gid = info["gid"]
    wait_for(lambda: mds.asok("status")["state"] == "up:standby-replay", 5, "status says so")
    assert mds.asok("status")["whoami"] == 0
    osd_cluster.ceph("fs", "set", "cephfs", "allow_standby_replay", "false", json=False)
    again = mds.wait_standby(10, not_gid=gid)
    assert again["rank"] == -1
    assert mds.running
    assert active.asok("status")["state"] == "up:active"


def test_mds_join_fs_is_in_the_map(osd_cluster: RealCluster, mds_kind: str) -> None:
    """The beacon carries the file system that the daemon prefers."""
    other = osd_cluster.start_real_mds("real")
    other.wait_standby()
    osd_cluster.new_fs()
    other.wait_state("up:active", 20)
    mds = osd_cluster.start_mds(mds_kind, "a")
    mds.wait_standby()
    assert entry(mds)["join_fscid"] == -1
    mds.asok("config set", var="mds_join_fs", val=["cephfs"])
    fscid = osd_cluster.fs_dump()["filesystems"][0]["id"]
    wait_for(lambda: entry(mds)["join_fscid"] == fscid, 10, "the map shows the preference")
