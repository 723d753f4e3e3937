"""One file system, ours and ceph-mds's in turn: each takes up exactly what the other left."""

from collections.abc import Iterator

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.rank_world import (
    cluster_log,
    differences,
    fill,
    give,
    journal,
    leave,
    new_fs,
    scrub,
    tree,
)

HAND_OVERS = 10


def test_a_new_file_system_with_us_alone(osd_cluster: RealCluster) -> None:
    mds = osd_cluster.start_our_mds("a")
    mds.wait_standby()
    new_fs(osd_cluster)
    mds.wait_state("up:active", 20)
    status = mds.asok("status")
    assert (status["state"], status["fs_name"], status["whoami"]) == ("up:active", "cephfs", 0)
    assert scrub(osd_cluster) == []
    assert scrub(osd_cluster, "~mdsdir") == []
    leave(mds)
    assert journal(osd_cluster)["SUBTREEMAP"] >= 1
    stock = give(osd_cluster, "real", "b")
    assert scrub(osd_cluster) == []
    assert scrub(osd_cluster, "~mdsdir") == []
    leave(stock)
    assert cluster_log(osd_cluster) == []


@pytest.fixture(params=["real", "one process"])
def any_cluster(request: pytest.FixtureRequest, real_ceph: None) -> Iterator[RealCluster]:
    """Ceph's monitor and OSD, or ours in one process."""
    if request.param == "real":
        yield request.getfixturevalue("osd_cluster")
    else:
        with started(EmbeddedCluster(options=QUICK)) as cluster:
            yield cluster


def test_ten_hand_overs(any_cluster: RealCluster) -> None:
    """Ours and ceph-mds in turns; each daemon adds to the tree, the next one lists all of it."""
    cluster = any_cluster
    new_fs(cluster)
    before: dict[str, object] = {}
    for number in range(HAND_OVERS + 1):
        kind = "real" if number % 2 else "ours"
        mds = give(cluster, kind, "a" if number % 2 else "b")
        after = tree(cluster)
        if number:
            assert differences(before, after) == [], f"{kind}, hand-over {number}"
        fill(cluster, f"by{number}{kind}")
        if number % 3 == 1:  # by either daemon in turn
            cluster.ceph("tell", "mds.cephfs:0", "flush", "journal")
        before = tree(cluster)
        assert scrub(cluster) == []
        leave(mds)
        journal(cluster)
    assert cluster_log(cluster) == []
