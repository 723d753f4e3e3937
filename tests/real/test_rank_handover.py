"""One file system, ours and ceph-mds's in turn: each takes up exactly what the other left."""

import pytest
from tests.real.cluster import RealCluster
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

ROUNDS = 5


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


@pytest.mark.parametrize("first", ["ours", "real"])
def test_hand_overs(osd_cluster: RealCluster, first: str) -> None:
    """Ten of them in the two runs; each daemon adds to the tree, the next one lists all of it."""
    kinds = [first, "real" if first == "ours" else "ours"] * ROUNDS
    new_fs(osd_cluster)
    before: dict[str, object] = {}
    for number, kind in enumerate(kinds[: ROUNDS + 1]):
        mds = give(osd_cluster, kind, "a" if number % 2 else "b")
        after = tree(osd_cluster)
        if number:
            assert differences(before, after) == [], f"{kind} after {kinds[number - 1]}"
        fill(osd_cluster, f"by{number}{kind}")
        if number % 2:
            osd_cluster.ceph("tell", "mds.cephfs:0", "flush", "journal")
        before = tree(osd_cluster)
        assert scrub(osd_cluster) == []
        leave(mds)
        journal(osd_cluster)
    assert cluster_log(osd_cluster) == []
