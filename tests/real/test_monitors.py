"""Connection modes, and monitors that come and go under the daemon."""

import json
import time
from collections.abc import Callable

import pytest
from tests.real.admin import asok
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK
from tests.real.daemons import wait_for

NewCluster = Callable[[RealCluster], RealCluster]

# A quorum that has lost a member agrees on the next one within seconds.
_QUICK_ELECTIONS = {**QUICK, "mon_lease": "2", "mon_election_timeout": "2"}


def monitors_of(mds: Mds) -> list[str]:
    """The names of the monitors (those that run) which hold a session of the daemon."""
    cluster = mds.cluster
    holders = []
    for name in cluster.mon_names:
        if f"mon.{name}" in cluster.daemons:
            path = cluster.root / "run" / f"mon.{name}.asok"
            sessions = json.loads(asok(path, "sessions", format="json"))
            if any(s["entity_name"] == f"mds.{mds.name}" and s["open"] for s in sessions):
                holders.append(name)
    return holders


def stays(mds: Mds, gid: int, seconds: float) -> None:
    """The daemon's entry is in the map, of the same gid and not laggy, all the time."""
    end = time.monotonic() + seconds

    def over() -> bool:
        (info,) = (i for i in mds.cluster.mds_infos() if i["name"] == mds.name)
        assert info["gid"] == gid
        assert info["state"] == "up:standby"
        assert "laggy_since" not in info
        return time.monotonic() > end

    wait_for(over, seconds + 30, "the time is over", every=0.2)


@pytest.mark.parametrize("mode", ["crc", "secure"])
def test_modes(new_cluster: NewCluster, mds_kind: str, mode: str) -> None:
    """The cluster allows one mode only, to everyone; standby, tell and the monitor's commands."""
    cluster = new_cluster(RealCluster(mode=mode, options=QUICK))
    mds = cluster.start_mds(mds_kind, "a")
    mds.wait_standby(3)
    assert cluster.ceph("tell", "mds.a", "status")["state"] == "up:standby"
    assert cluster.ceph("tell", "mds.a", "config", "get", "ms_cluster_mode") == {
        "ms_cluster_mode": mode
    }
    gid = mds.gid()
    cluster.ceph("mds", "fail", "a", json=False)
    mds.wait_standby(5, not_gid=gid)


def test_ipv6(new_cluster: NewCluster, mds_kind: str) -> None:
    family = {"ms_bind_ipv4": "false", "ms_bind_ipv6": "true"}
    cluster = new_cluster(RealCluster(host="[::1]", options={**QUICK, **family}))
    mds = cluster.start_mds(mds_kind, "a")
    info = mds.wait_standby(3)
    assert "[::1]:" in info["addrs"]["addrvec"][0]["addr"]
    assert cluster.ceph("tell", "mds.a", "status")["state"] == "up:standby"


def test_one_of_three_monitors_killed(new_cluster: NewCluster, mds_kind: str) -> None:
    """The daemon loses its own monitor, goes to another, and the map never misses it."""
    cluster = new_cluster(RealCluster(mons=3, mode="secure", options=_QUICK_ELECTIONS))
    mds = cluster.start_mds(mds_kind, "a")
    gid = mds.wait_standby()["gid"]
    (lost,) = wait_for(lambda: monitors_of(mds), 5, "a monitor holds a session of mds.a")
    cluster.kill_mon(lost)
    cluster.wait_quorum(2)
    (found,) = wait_for(lambda: monitors_of(mds), 15, "another monitor holds one")
    assert found != lost
    stays(mds, gid, 8)  # more than the grace
    assert mds.gid() == gid
    assert cluster.ceph("tell", "mds.a", "status")["id"] == gid
    cluster.start_mon(lost)
    cluster.wait_quorum(3)
    stays(mds, gid, 2)


def test_the_only_monitor_restarts(new_cluster: NewCluster, mds_kind: str) -> None:
    cluster = new_cluster(RealCluster(options=QUICK))
    mds = cluster.start_mds(mds_kind, "a")
    gid = mds.wait_standby()["gid"]
    cluster.kill_mon("a")
    wait_for(lambda: mds.asok("status")["id"] == gid, 2, "it answers without a monitor")
    cluster.start_mon("a")
    cluster.wait_quorum(1)
    wait_for(lambda: monitors_of(mds), 30, "the daemon has found the monitor again")
    stays(mds, gid, 8)


def test_monitor_stops_answering_without_closing(new_cluster: NewCluster, mds_kind: str) -> None:
    """A monitor that hangs (its connections stay open) is left for another one."""
    options = {**_QUICK_ELECTIONS, "mon_client_ping_timeout": "4", "mon_client_ping_interval": "1"}
    cluster = new_cluster(RealCluster(mons=3, options=options))
    mds = cluster.start_mds(mds_kind, "a")
    gid = mds.wait_standby()["gid"]
    (lost,) = wait_for(lambda: monitors_of(mds), 5, "a monitor holds a session of mds.a")
    hung = cluster.daemons.pop(f"mon.{lost}")
    hung.stop()
    try:
        cluster.wait_quorum(2)
        wait_for(lambda: monitors_of(mds), 30, "another monitor holds a session of mds.a")
        stays(mds, gid, 8)
    finally:
        hung.kill()


@pytest.mark.parametrize("form", ["v2 only", "address without type", "several, one dead"])
def test_forms_of_mon_host(cluster: RealCluster, mds_kind: str, form: str) -> None:
    """What ceph.conf may say for the monitors besides the full vector."""
    v2 = cluster.mon_addrs["a"].strip("[]").split(",")[0]
    port = v2.rpartition(":")[2]
    text = {
        "v2 only": v2,
        "address without type": f"127.0.0.1:{port}",
        "several, one dead": f"v2:127.0.0.1:1,{v2}",
    }[form]
    conf = cluster.write_conf(cluster.root / "mon_host.conf", mon_host=text)
    mds = cluster.start_mds(mds_kind, "a", conf=conf)
    mds.wait_standby(15)


def test_monitors_from_the_command_line(cluster: RealCluster, mds_kind: str) -> None:
    v2 = cluster.mon_addrs["a"].strip("[]").split(",")[0]
    conf = cluster.write_conf(cluster.root / "mon_host.conf", mon_host="v2:127.0.0.1:1")
    mds = cluster.start_mds(mds_kind, "a", "-m", v2, conf=conf)
    mds.wait_standby(5)


def test_monitors_from_a_monmap_file(cluster: RealCluster, mds_kind: str) -> None:
    conf = cluster.write_conf(cluster.root / "mon_host.conf", mon_host="")
    monmap = str(cluster.root / "monmap")
    mds = cluster.start_mds(mds_kind, "a", "--monmap", monmap, conf=conf)
    mds.wait_standby(5)
