"""The embedded monitor's file systems, as stock daemons and tools see them.

Part of these tests are those of our daemon against a real monitor, run against the embedded one
instead; with ``--mds-kind both``, stock ceph-mds and ours one after the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster, active, info_of
from tests.real.test_ranks import (
    test_clean_exit_with_a_rank,
    test_mds_join_fs_is_in_the_map,
    test_new_file_system_gives_the_rank,
    test_rank_taken_away_respawns,
    test_standby_replay_follows_and_respawns,
)
from tests.real.test_standby import test_mds_versions_counts_the_daemon

__all__ = [
    "test_clean_exit_with_a_rank",
    "test_mds_join_fs_is_in_the_map",
    "test_mds_versions_counts_the_daemon",
    "test_new_file_system_gives_the_rank",
    "test_rank_taken_away_respawns",
    "test_standby_replay_follows_and_respawns",
]

OPTIONS = {name: QUICK[name] for name in ("mds_beacon_interval", "mds_beacon_grace")} | {
    "osd_pool_default_pg_autoscale_mode": "off",
    "osd_pool_default_pg_num": "1",
}


@pytest.fixture(scope="module")
def _embedded(real_ceph: None) -> Iterator[EmbeddedCluster]:
    with started(EmbeddedCluster(options=OPTIONS)) as cluster:
        assert isinstance(cluster, EmbeddedCluster)
        yield cluster


@pytest.fixture
def cluster(_embedded: EmbeddedCluster) -> Iterator[RealCluster]:
    """The embedded cluster, without file systems and daemons."""
    _embedded.mark_logs()
    yield _embedded
    _embedded.reset()
    assert _embedded.daemons["mon.a"].running


@pytest.fixture
def osd_cluster(cluster: RealCluster) -> RealCluster:
    return cluster


def mds_map(cluster: RealCluster, name: str = "cephfs") -> dict[str, Any]:
    found: dict[str, Any] = cluster.mon("fs get", fs_name=name)["mdsmap"]
    return found


def health(cluster: RealCluster) -> dict[str, list[str]]:
    """Checks about file systems, with their details."""
    checks = cluster.mon("health", detail="detail")["checks"]
    return {
        code: [each["message"] for each in check["detail"]]
        for code, check in checks.items()
        if code.startswith(("MDS_", "FS_"))
    }


# -- standbys -----------------------------------------------------------------------------------


def test_a_daemon_joins_as_standby(mds: Mds) -> None:
    info = mds.wait_standby()
    assert info["gid"] == mds.gid()
    assert (info["rank"], info["join_fscid"]) == (-1, -1)
    assert (
        mds.cluster.mon("mds metadata", who="a")["ceph_version_short"]
        == (mds.asok("version")["version"])
    )


def test_the_newer_daemon_of_a_name_stays(cluster: RealCluster, mds_kind: str) -> None:
    old = cluster.start_mds(mds_kind, "a")
    gid = old.wait_standby()["gid"]
    new = cluster.start_mds("real" if mds_kind == "ours" else "ours", "a", label="a2")
    new.wait_standby(not_gid=gid)
    # the older one finds itself out of the map and starts anew: the two take turns from here on
    wait_for(lambda: "respawn" in old.logged(), 10, "the older one respawns")
    assert cluster.names() == ["a"]


def test_goodbye_is_seen_at_once(mds: Mds) -> None:
    mds.terminate()
    assert mds.wait_exit(5) == 0
    wait_for(lambda: mds.cluster.mds_infos() == [], 1, "it is out of the map")


def test_a_killed_standby_is_forgotten_after_the_grace(cluster: RealCluster, mds_kind: str) -> None:
    gone, stays = (cluster.start_mds(mds_kind, name) for name in "ab")
    for mds in (gone, stays):
        mds.wait_standby()
    gone.kill()
    begun = time.monotonic()
    wait_for(lambda: cluster.names() == ["b"], 12, "mds.a is forgotten")
    assert time.monotonic() - begun > 4


# -- ranks of stock daemons ---------------------------------------------------------------------


def test_failover_of_a_killed_daemon(cluster: RealCluster) -> None:
    first, second = active(cluster, "a", "b")
    assert cluster.mon("mds stat")["fsmap"]["epoch"] == cluster.fs_dump()["epoch"]
    addrs = {
        f"{addr['addr']}/{addr['nonce']}" for addr in info_of(cluster, "a")["addrs"]["addrvec"]
    }
    first.kill()
    begun = time.monotonic()
    second.wait_state("up:active", 30)
    assert 3 < time.monotonic() - begun < 20
    shown = mds_map(cluster)
    assert shown["up"] == {"mds_0": second.gid()}
    # fenced: the rank that took over waited for the OSDMap that says so
    listed = cluster.mon("osd blocklist ls")
    assert addrs <= {entry["addr"] for entry in listed}
    assert 0 < shown["last_failure_osd_epoch"] <= cluster.mon("osd dump")["epoch"]
    assert health(cluster) == {"MDS_INSUFFICIENT_STANDBY": ["have 0; want 1 more"]}


def test_failover_by_command(cluster: RealCluster) -> None:
    first, second = active(cluster, "a", "b")
    gid = first.gid()
    reply = cluster.admin.mon("mds fail", role_or_gid="cephfs:0")
    assert (reply.r, reply.err) == (0, f"failed mds gid {gid}")
    second.wait_state("up:active", 20)
    again = first.wait_standby(20, not_gid=gid)  # it starts anew, as a standby
    assert first.running
    assert again["gid"] != gid


def test_a_follower_takes_over(cluster: RealCluster) -> None:
    first, second = active(cluster, "a", "b")
    cluster.ceph("fs", "set", "cephfs", "allow_standby_replay", "true", json=False)
    followed = second.wait_state("up:standby-replay", 10)
    assert followed["rank"] == 0
    third = cluster.start_real_mds("c")
    third.wait_standby()
    first.kill()
    taken = second.wait_state("up:active", 30)
    assert taken["gid"] == followed["gid"]
    third.wait_state("up:standby-replay", 10)


def test_two_ranks_and_back(cluster: RealCluster) -> None:
    active(cluster, "a", "b")
    cluster.ceph("fs", "set", "cephfs", "max_mds", "2", json=False)
    wait_for(
        lambda: [i["state"] for i in cluster.mds_infos()] == ["up:active"] * 2, 30, "two ranks"
    )
    assert mds_map(cluster)["in"] == [0, 1]
    cluster.ceph("fs", "set", "cephfs", "max_mds", "1", json=False)
    wait_for(lambda: mds_map(cluster)["stopped"] == [1], 60, "rank 1 has stopped")
    wait_for(
        lambda: sorted(i["state"] for i in cluster.mds_infos()) == ["up:active", "up:standby"],
        20,
        "its daemon is a standby again",
    )


def test_down_and_up(cluster: RealCluster) -> None:
    (mds,) = active(cluster, "a")
    cluster.ceph("fs", "set", "cephfs", "down", "true", json=False)
    wait_for(lambda: mds_map(cluster)["up"] == {}, 30, "the file system is down")
    mds.wait_standby(20)
    cluster.ceph("fs", "set", "cephfs", "down", "false", json=False)
    mds.wait_state("up:active", 30)


def test_our_standby_beside_a_stock_daemon(cluster: RealCluster) -> None:
    (stock,) = active(cluster, "a")
    ours = cluster.start_our_mds("b")
    ours.wait_standby()
    wait_for(lambda: health(cluster) == {}, 5, "all is well")
    stock.kill()
    wait_for(lambda: info_of(cluster, "b")["rank"] == 0, 15, "ours is given the rank")
    cluster.start_real_mds("c").wait_standby()
    ours.terminate()
    assert ours.wait_exit(5) == 0
    wait_for(lambda: info_of(cluster, "c")["state"] == "up:active", 30, "mds.c takes over")


def test_a_silent_daemon_is_laggy_and_comes_back(cluster: RealCluster) -> None:
    (mds,) = active(cluster, "a")
    mds.stop()
    info = wait_for(
        lambda: "laggy_since" in info_of(cluster, "a") and info_of(cluster, "a"), 15, "it is laggy"
    )
    assert info
    assert "(laggy or crashed)" in cluster.ceph("mds", "stat", json=False)
    mds.proc.send_signal(18)  # SIGCONT
    wait_for(lambda: "laggy_since" not in info_of(cluster, "a"), 10, "it is heard again")
    assert info_of(cluster, "a")["state"] == "up:active"


def test_the_cluster_log_tells_of_it(cluster: RealCluster) -> None:
    active(cluster, "a", "b")
    cluster.mon("mds fail", role_or_gid="a")
    wait_for(lambda: info_of(cluster, "b")["state"] == "up:active", 20, "mds.b is active")
    lines = cluster.ceph("log", "last", "100", "info", "cluster", json=False)
    for text in (
        "daemon mds.a assigned to filesystem cephfs as rank 0",
        "daemon mds.a is now active in filesystem cephfs as rank 0",
        "daemon mds.a marked failed by client.admin",
        "Standby daemon mds.b assigned to filesystem cephfs as rank 0",
    ):
        assert text in lines


# -- clients ------------------------------------------------------------------------------------


def test_clients_find_the_file_system_by_name(cluster: RealCluster) -> None:
    """libcephfs mounts by fs name: fsmap.user, then mdsmap.FSCID; and writes."""
    active(cluster, "a")
    code = (
        "import cephfs, sys\n"
        "c = cephfs.LibCephFS(conffile=sys.argv[1])\n"
        "c.mount(filesystem_name=b'cephfs')\n"
        "f = c.open(b'/x', 'w', 0o644); c.write(f, b'hello', 0); c.close(f)\n"
        "f = c.open(b'/x', 'r', 0); print(c.read(f, 0, 9)); c.close(f)\n"
        "c.shutdown()\n"
    )
    assert cluster.run("/usr/bin/python3", "-c", code, str(cluster.conf)) == "b'hello'\n"


def test_fs_authorize_confines(cluster: RealCluster) -> None:
    active(cluster, "a")
    for pool in ("y.meta", "y.data"):
        cluster.mon("osd pool create", pool=pool, pg_num=1)
    cluster.mon("fs new", fs_name="y", metadata="y.meta", data="y.data", force=True)
    text = cluster.ceph("fs", "authorize", "y", "client.only", "/", "rw", json=False)
    keyring = cluster.root / "only.keyring"
    keyring.write_text(text)
    only = ("-k", str(keyring))
    seen = cluster.ceph_result(*only, "fs", "ls", "-f", "json", name="client.only")
    assert [fs["name"] for fs in json.loads(seen.stdout)] == ["y"]
    denied = cluster.ceph_result(*only, "fs", "fail", "y", name="client.only")
    assert denied.returncode == 13


# -- restarts -----------------------------------------------------------------------------------


def test_the_file_system_survives_kill_9_of_the_monitor(
    new_cluster: Callable[[RealCluster], RealCluster],
) -> None:
    cluster = new_cluster(EmbeddedCluster(data=True, options=OPTIONS))
    assert isinstance(cluster, EmbeddedCluster)
    for pool in ("m", "d"):
        cluster.mon("osd pool create", pool=pool, pg_num=1)
    cluster.mon("fs new", fs_name="cephfs", metadata="m", data="d")
    cluster.mon("fs set", fs_name="cephfs", var="session_timeout", val="77")
    before = cluster.fs_dump()
    cluster.restart()
    assert cluster.fs_dump() == before
    mds = cluster.start_real_mds("a")
    mds.wait_state("up:creating", 10)
