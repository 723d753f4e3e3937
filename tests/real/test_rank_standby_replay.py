"""standby-replay: a second daemon follows the journal, takes over warm, or begins anew."""

from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
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


def follow(cluster: RealCluster, kind: str, name: str) -> Mds:
    cluster.ceph("fs", "set", "cephfs", "allow_standby_replay", "true", json=False)
    mds = cluster.start_mds(kind, name)
    mds.wait_state("up:standby-replay", 20)
    return mds


def test_takeover(osd_cluster: RealCluster) -> None:
    """Ours follows ceph-mds, then ceph-mds follows ours; each change of hands keeps the tree."""
    new_fs(osd_cluster)
    first = give(osd_cluster, "real", "a")
    fill(osd_cluster, "before")
    ours = follow(osd_cluster, "ours", "b")
    fill(osd_cluster, "meanwhile", 60)
    end = int(first.asok("perf dump")["mds_log"]["wrpos"])

    def caught_up() -> bool:
        status = ours.asok("status")["replay_status"]
        return int(status["journal_read_pos"]) >= end

    wait_for(caught_up, 20, "all of the journal is read", every=0.2)
    before = tree(osd_cluster)
    first.kill()
    osd_cluster.ceph("mds", "fail", "cephfs:0", json=False)
    ours.wait_state("up:active", 30)
    assert "final takeover pass" in ours.logged()
    assert differences(before, tree(osd_cluster)) == []
    fill(osd_cluster, "after")
    before = tree(osd_cluster)
    assert scrub(osd_cluster) == []
    stock = follow(osd_cluster, "real", "c")
    leave(ours)
    stock.wait_state("up:active", 30)
    assert differences(before, tree(osd_cluster)) == []
    assert scrub(osd_cluster) == []
    leave(stock)
    journal(osd_cluster)
    assert cluster_log(osd_cluster) == []


def test_a_follower_that_is_left_behind_begins_anew(osd_cluster: RealCluster) -> None:
    """The journal is trimmed before it was read: a new life, which follows again."""
    new_fs(osd_cluster)
    first = give(osd_cluster, "real", "a")
    ours = follow(osd_cluster, "ours", "b")
    gid = ours.gid()
    ours.asok("config set", var="mds_replay_interval", val=["30"])
    fill(osd_cluster, "long", 200)
    for _ in range(2):
        first.asok("flush journal")
    ours.asok("config set", var="mds_replay_interval", val=["0.2"])
    # a pass of 30 s may have begun; what comes next finds its place trimmed or is there already
    ours.wait_state("up:standby-replay", 60)
    assert ours.gid() >= gid
    before = tree(osd_cluster)
    first.kill()
    osd_cluster.ceph("mds", "fail", "cephfs:0", json=False)
    wait_for(
        lambda: any(i["state"] == "up:active" for i in osd_cluster.mds_infos()), 40, "b is active"
    )
    assert differences(before, tree(osd_cluster)) == []
