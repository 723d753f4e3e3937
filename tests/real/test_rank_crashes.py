"""Daemons that die at any moment, and ranks that are taken away while they write.

A client goes on through all of it; what it was told to be on disk is there afterwards.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

import pytest
from tests.real.cephfs_calls import CallError, CephFSPeer
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.rank_world import cluster_log, give, journal, leave, mounted, new_fs, scrub, write

ROUNDS = 10
"""Kills in each of five runs."""


class Writer:
    """A client in a thread of its own that makes, renames and unlinks files all the time.

    Attributes:
        synced: names that are on disk, as the client was told.
        made: how many files it has made.
    """

    def __init__(self, cluster: RealCluster) -> None:
        self.fs: CephFSPeer = mounted(cluster)
        self.fs.call("mkdir", "/w", 0o755)
        self.synced: set[str] = set()
        self.made = 0
        self.error = ""
        self._names: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
        except (CallError, AssertionError) as e:
            self.error = str(e)

    def _step(self) -> None:
        number = self.made
        name = f"f{number:05d}"
        write(self.fs, f"/w/{name}", b"x" * (number % 5))
        self.made += 1
        self._names.add(name)
        if number % 7 == 3:
            self.fs.call("rename", f"/w/{name}", f"/w/r{number:05d}")
            self._names.discard(name)
            self._names.add(f"r{number:05d}")
        if number % 10 == 9:
            self.fs.call("sync_fs")
            self.synced = set(self._names)

    def wait_for_more(self, files: int) -> None:
        """Until it has made so many more."""
        wanted = self.made + files
        wait_for(lambda: bool(self.error) or self.made >= wanted, 60, "the client goes on")
        assert not self.error, self.error

    def stop(self) -> set[str]:
        """End; everything that was made is on disk then. Its names."""
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive(), "the client hangs"
        assert not self.error, self.error
        self.fs.call("sync_fs")
        names = set(self._names)
        self.fs.call("unmount")
        self.fs.close()
        return names


def names_in(cluster: RealCluster, path: str) -> set[str]:
    with mounted(cluster) as fs:
        found = {entry[0] for entry in fs.call("listing", path)} - {".", ".."}
        fs.call("unmount")
    return found


def fail_rank(cluster: RealCluster) -> None:
    with suppress(Exception):
        cluster.ceph("mds", "fail", "cephfs:0", json=False)


@pytest.mark.parametrize(
    ("successor", "seed"), [("ours", 1), ("ours", 2), ("ours", 3), ("real", 1), ("real", 2)]
)
def test_killed_at_any_moment(osd_cluster: RealCluster, successor: str, seed: int) -> None:
    """Ours is killed again and again; whoever comes next serves the client on."""
    new_fs(osd_cluster)
    rng = random.Random(seed)
    mds: Mds = give(osd_cluster, "ours", "a")
    writer = Writer(osd_cluster)
    for number in range(ROUNDS):
        writer.wait_for_more(5)
        time.sleep(rng.random())
        mds.kill()
        fail_rank(osd_cluster)
        kind = "ours" if number % 2 else successor
        mds = give(osd_cluster, kind, "b" if number % 2 else "c")
        osd_cluster.ceph("tell", "mds.cephfs:0", "damage", "ls")
    writer.wait_for_more(5)
    synced = set(writer.synced)
    names = writer.stop()
    assert synced, "nothing was synced"
    assert names_in(osd_cluster, "/w") == names
    assert scrub(osd_cluster) == []
    leave(mds)
    journal(osd_cluster)
    stock = give(osd_cluster, "real", "d")
    assert names_in(osd_cluster, "/w") == names
    assert scrub(osd_cluster) == []
    leave(stock)
    assert cluster_log(osd_cluster) == []


def test_a_deposed_rank_changes_nothing_more(osd_cluster: RealCluster) -> None:
    """Failed by the monitors while it writes: the OSDs refuse its writes, it begins anew."""
    new_fs(osd_cluster)
    mds = give(osd_cluster, "ours", "a")
    gid = mds.gid()
    writer = Writer(osd_cluster)
    writer.wait_for_more(20)
    other = osd_cluster.start_mds("real", "b")
    other.wait_standby()
    addr = next(i["addr"] for i in osd_cluster.mds_infos() if i["name"] == "a")
    fail_rank(osd_cluster)
    other.wait_state("up:active", 40)
    blocklist = str(osd_cluster.ceph("osd", "blocklist", "ls", json=False))
    assert addr.split("/")[0] in blocklist
    mds.wait_standby(20, not_gid=gid)
    assert "respawn" in mds.logged()
    writer.wait_for_more(20)
    names = writer.stop()
    assert names_in(osd_cluster, "/w") == names
    assert scrub(osd_cluster) == []
    journal(osd_cluster)
