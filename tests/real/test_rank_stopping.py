"""A file system taken down and up again: stopping, stopped, starting; nothing gets lost."""

import pytest
from tests.real.cluster import RealCluster
from tests.real.rank_world import (
    cluster_log,
    differences,
    fill,
    give,
    leave,
    mounted,
    new_fs,
    scrub,
    tree,
)


@pytest.mark.parametrize(
    ("down", "up"), [("real", "real"), ("ours", "real"), ("real", "ours"), ("ours", "ours")]
)
def test_down_and_up(osd_cluster: RealCluster, down: str, up: str) -> None:
    new_fs(osd_cluster)
    mds = give(osd_cluster, down, "a")
    fill(osd_cluster, "tree")
    before = tree(osd_cluster)
    with mounted(osd_cluster) as fs:  # a client that does not leave by itself
        fs.call("stat", "/tree")
        gid = mds.gid()
        osd_cluster.ceph("fs", "set", "cephfs", "down", "true", json=False)
        mds.wait_standby(60, not_gid=gid)
    (held,) = osd_cluster.fs_dump()["filesystems"]
    assert held["mdsmap"]["up"] == {}
    assert held["mdsmap"]["failed"] == []
    leave(mds)
    # who starts does not replay: what was not stored would be lost
    mds = osd_cluster.start_mds(up, "b")
    mds.wait_standby()
    osd_cluster.ceph("fs", "set", "cephfs", "down", "false", json=False)
    mds.wait_state("up:active", 40)
    assert differences(before, tree(osd_cluster)) == []
    fill(osd_cluster, "more")
    if up == "real":
        # ceph-mds may load the root before its snapshot client knows of any snapshot number, and
        # calls dentries corrupt that are not; those that it made itself, too
        for damage in mds.asok("damage ls"):
            assert (damage["damage_type"], damage["ino"]) == ("dentry", 1)
            mds.cluster.tell("b", "damage rm", damage_id=damage["id"])
    assert scrub(osd_cluster) == []
    assert cluster_log(osd_cluster) == []
