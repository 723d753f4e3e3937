"""Objects that cannot be read: damaged where ceph-mds is; named, and not written over."""

import pytest
from tests.real.cephfs_calls import CallError
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.rank_world import fill, give, leave, mounted, new_fs, rados, tree

TABLES = ["mds0_inotable", "mds_snaptable", "mds0_sessionmap", "1.00000000.inode",
          "100.00000000.inode", "400.00000000", "200.00000000"]  # fmt: skip


def is_damaged(cluster: RealCluster) -> bool:
    (fs,) = cluster.fs_dump()["filesystems"]
    return bool(fs["mdsmap"]["damaged"] == [0])


def spoil(cluster: RealCluster, obj: str, how: str) -> None:
    """Remove an object, cut it short, or put other bytes in its place."""
    if how == "missing":
        rados(cluster, "rm", obj)
    elif how == "short":
        rados(cluster, "truncate", obj, "3")
    elif obj == "mds0_sessionmap":
        cluster_file = cluster.root / "spoilt"
        cluster_file.write_bytes(b"\xff" * 40)
        rados(cluster, "setomapheader", obj, "\xff\xff")
    else:
        file = cluster.root / "spoilt"
        file.write_bytes(b"\xff" * 200)
        rados(cluster, "put", obj, str(file))


def outcome(cluster: RealCluster, kind: str, name: str) -> str:
    """What becomes of the rank when this daemon takes it: `active` or `damaged`."""
    mds = cluster.start_mds(kind, name)

    def ended() -> str:
        if is_damaged(cluster):
            return "damaged"
        if not mds.running:
            return f"ended with {mds.proc.returncode}"
        infos = [i for i in cluster.mds_infos() if i["name"] == name]
        return "active" if infos and infos[0]["state"] == "up:active" else ""

    result = wait_for(ended, 40, f"{kind} comes to an end")
    if result == "damaged":
        assert mds.running, "it goes on as a standby"
        mds.wait_standby(20)
    mds.kill()
    if mds.kind == "ours" and result == "damaged":
        assert "is damaged" in mds.logged()
    return result


@pytest.mark.parametrize("how", ["missing", "short", "garbage"])
@pytest.mark.parametrize("obj", TABLES)
def test_as_ceph_mds(osd_cluster: RealCluster, obj: str, how: str) -> None:
    new_fs(osd_cluster)
    first = give(osd_cluster, "real", "a")
    leave(first)
    spoil(osd_cluster, obj, how)
    before = rados(osd_cluster, "ls") if obj != "400.00000000" else ""
    ours = outcome(osd_cluster, "ours", "b")
    if before:
        assert sorted(rados(osd_cluster, "ls").split()) >= sorted(before.split())
    if ours == "damaged":
        assert osd_cluster.ceph_result("mds", "repaired", "cephfs:0").returncode == 0
    else:
        spoil(osd_cluster, obj, how)
    theirs = outcome(osd_cluster, "real", "c")
    assert ours == theirs


def test_a_spoilt_dirfrag_is_eio_and_goes_on(osd_cluster: RealCluster) -> None:
    """One directory is lost; all else is served, and `damage ls` names it."""
    new_fs(osd_cluster)
    first = give(osd_cluster, "real", "a")
    fill(osd_cluster, "good")
    fill(osd_cluster, "bad")
    before = tree(osd_cluster)
    osd_cluster.ceph("tell", "mds.cephfs:0", "flush", "journal")
    leave(first)
    ino = before["/bad/deep"]["st_ino"]
    rados(osd_cluster, "setomapheader", f"{ino:x}.00000000", "spoilt")
    ours = give(osd_cluster, "ours", "b")
    with mounted(osd_cluster) as fs:
        with pytest.raises(CallError, match="EIO"):
            fs.call("stat", "/bad/deep/hard")
        assert fs.call("stat", "/good/deep/hard")["st_nlink"] == 2
    (damage,) = ours.asok("damage ls")
    assert (damage["damage_type"], damage["ino"]) == ("dir_frag", ino)
    health = wait_for(
        lambda: "MDS_DAMAGE" in str(osd_cluster.ceph("health", "detail", json=False)), 20, "health"
    )
    assert health
    assert ours.asok("status")["state"] == "up:active"
