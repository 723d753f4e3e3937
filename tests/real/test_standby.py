"""A daemon joins a real cluster as a standby, and the monitor knows of it what it must know."""

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import started
from tests.real.daemons import wait_for

from mdsdaemon.types.features import FEATURES_ADVERTISED

# What two daemons of one machine cannot share.
_OWN = {"addr"}
# Ours says its own version beside the release that it is compatible with.
_VERSIONED = {"ceph_version", "ceph_version_short"}


@pytest.fixture
def beside(mds: Mds) -> Mds:
    """A ceph-mds in the same cluster as the daemon under test, both up:standby."""
    other = mds.cluster.start_real_mds("real")
    other.wait_standby()
    return other


def test_standby_within_three_seconds_of_exec(
    new_cluster: Callable[[RealCluster], RealCluster],
    mds_kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    """With every interval of the monitor at its default."""
    cluster = new_cluster(RealCluster())
    mds = cluster.start_mds(mds_kind, "a")
    info = mds.wait_standby(timeout=3)
    seconds = time.monotonic() - mds.started
    record_property("figures", f"{mds_kind}: {seconds:.2f} s from exec to up:standby")
    assert seconds < 3
    assert info["rank"] == -1
    assert mds.gid() == info["gid"]


def test_metadata_has_the_keys_of_ceph_mds(mds: Mds, beside: Mds) -> None:
    mine = mds.cluster.ceph("mds", "metadata", mds.name)
    real = mds.cluster.ceph("mds", "metadata", beside.name)
    assert mine.keys() == real.keys()
    same = real.keys() - _OWN - _VERSIONED
    assert {key: mine[key] for key in same} == {key: real[key] for key in same}
    assert mine["ceph_version_short"]
    (info,) = (info for info in mds.cluster.mds_infos() if info["name"] == mds.name)
    assert {entry["addr"] for entry in info["addrs"]["addrvec"]} == {
        part.partition(":")[2].partition("/")[0] for part in mine["addr"].strip("[]").split(",")
    }


def test_map_entry_is_that_of_ceph_mds(mds: Mds, beside: Mds) -> None:
    infos = {info["name"]: info for info in mds.cluster.mds_infos()}
    mine, real = infos[mds.name], infos[beside.name]
    assert mine.keys() == real.keys()
    unequal = {key for key in real if mine[key] != real[key]}
    assert unequal <= {"gid", "name", "addr", "addrs", "state_seq", "epoch", "features"}
    if mds.kind == "ours":
        assert mine["features"] == FEATURES_ADVERTISED
        # What bit 31 meant once is of no use, and to newer releases it says Reef.
        assert real["features"] & ~mine["features"] == 1 << 31
        assert mine["features"] & ~real["features"] == 0


def test_mds_versions_counts_the_daemon(mds: Mds) -> None:
    version = mds.cluster.ceph("mds", "metadata", mds.name)["ceph_version"]
    assert mds.cluster.ceph("mds", "versions") == {version: 1}


def test_stays_standby_past_the_grace(mds: Mds) -> None:
    """Beacons arrive: after more than mds_beacon_grace the same gid stands in the map."""
    gid = mds.gid()
    grace = float(mds.asok("config get", var="mds_beacon_grace")["mds_beacon_grace"])
    end = time.monotonic() + grace + 2

    def over() -> bool:
        (info,) = mds.cluster.mds_infos()
        assert info["gid"] == gid
        assert "laggy_since" not in info
        return time.monotonic() > end

    wait_for(over, grace + 10, "the grace is over", every=0.2)


@pytest.fixture(scope="module")
def mgr_cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(mgr=True, options={"debug_mgr": "10"})) as cluster:
        yield cluster


def test_manager_knows_the_daemon(mgr_cluster: RealCluster, mds_kind: str) -> None:
    """Opened and reporting with its configuration: `ceph config show` and `fs status` say so."""
    mgr = mgr_cluster.daemons["mgr.x"]
    mds = mgr_cluster.start_mds(mds_kind, "a", "--mds-tick-interval", "7")
    mds.wait_standby()
    wait_for(lambda: "handle_open from mds.a" in mgr.logged(), 30, "the manager sees it open")
    wait_for(lambda: re.search(r"handle_report .* mds\.a", mgr.logged()), 30, "and report")

    def shown() -> dict[str, str]:
        done = mgr_cluster.ceph_result("config", "show", "mds.a", "-f", "json")
        return {o["name"]: o["value"] for o in json.loads(done.stdout)} if done.stdout else {}

    config = wait_for(shown, 30, "`ceph config show mds.a` answers", every=0.2)
    assert config["mds_tick_interval"].rstrip("0").rstrip(".") == "7"
    assert "a" in mgr_cluster.ceph("fs", "status", json=False).split()
