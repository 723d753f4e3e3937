"""Files that several libcephfs clients share: capabilities, locks, what the dead leave.

What is compared with ceph-mds was recorded from one: see unit/test_locks_beside_ceph.py.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.cephfs_calls import CallError, CephFSPeer
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.rank_world import give, mounted, new_fs
from tests.unit.test_locks_beside_ceph import OTHERWISE, RECORDED, bits

from mdsdaemon.types import client_caps as cc

PROGRAMS = sorted(RECORDED)


@pytest.fixture
def ours(osd_cluster: RealCluster) -> Mds:
    """Our daemon, active on a new file system."""
    new_fs(osd_cluster)
    return give(osd_cluster, "ours", "a")


@pytest.fixture
def clients(osd_cluster: RealCluster, ours: Mds) -> Iterator[dict[str, CephFSPeer]]:
    with mounted(osd_cluster) as a, mounted(osd_cluster) as b:
        yield {"A": a, "B": b}


class Program:
    """One of the recorded programs, below a directory of its own."""

    def __init__(self, mds: Mds, clients: dict[str, CephFSPeer], name: str) -> None:
        self.mds, self.clients = mds, clients
        self.top = f"/{name}"
        self.handles: dict[tuple[str, str], int] = {}
        self.ino = 0
        self.ids = {fs.call("get_instance_id"): who for who, fs in clients.items()}
        clients["A"].call("mkdir", self.top, 0o755)

    def step(self, who: str, what: str, *args: Any) -> None:
        fs = self.clients[who]
        path = f"{self.top}/{args[0]}"
        handle = self.handles.get((who, args[0]), -1)
        if what == "open":
            self.handles[who, args[0]] = fs.call("open", path, args[1], 0o644)
        elif what == "close":
            fs.call("close", self.handles.pop((who, args[0])))
        elif what == "write":
            fs.call("write", handle, b"x" * args[1], 0)
        elif what == "read":
            fs.call("read", handle, 0, args[1])
        elif what == "setxattr":
            fs.call("setxattr", path, "user.a", args[1].encode(), 0)
        elif what == "getxattr":
            fs.call("getxattr", path, "user.a")
        elif what == "utimes":
            fs.call("utimes", path, [1000.0, 1000.0])
        elif what in ("link", "rename"):
            fs.call(what, path, f"{self.top}/{args[1]}")
        else:
            fs.call(what, path, *args[1:])
        for peer in self.clients.values():
            peer.call("sync_fs")

    def state(self) -> tuple[str, dict[str, int]]:
        """The states of the file's locks, and what each client has."""
        if not self.ino:
            self.ino = self.mds.asok("dump tree", root=f"{self.top}/f", depth=0)[0]["ino"]
        try:
            shown = self.mds.asok("dump inode", number=self.ino)
        except ValueError:
            return "gone", {}
        names = ("filelock", "authlock", "linklock", "xattrlock")
        states = " ".join(shown[name].get("state", "sync") for name in names)
        caps = {self.ids[cap["client_id"]]: bits(cap["pending"]) for cap in shown["client_caps"]}
        return states, caps


@pytest.mark.parametrize("name", PROGRAMS)
def test_clients_have_what_ceph_mds_gave_them(
    ours: Mds, clients: dict[str, CephFSPeer], name: str
) -> None:
    program = Program(ours, clients, name)
    more = 0
    for index, row in enumerate(RECORDED[name]):
        who, what = row["step"][:2]
        program.step(*row["step"])
        if what in ("link", "rename"):
            more = cc.CAP_LINK_SHARED  # the lock is left before the reply is made here
        if "->" in row["locks"] or (name, index) in OTHERWISE:
            continue
        mask = {"A": ~0, "B": ~more}
        theirs = {k: bits(cap["pending"]) & mask[k] for k, cap in row["caps"].items()}

        def same(theirs: dict[str, int] = theirs, row: Any = row, mask: Any = mask) -> bool:
            states, caps = program.state()
            if states == "gone":  # nobody has it open, and it has no name
                return name == "links"
            return states == row["locks"] and theirs == {k: v & mask[k] for k, v in caps.items()}

        wait_for(same, 4, f"{name}: after {who} {what}: {row} (now {program.state()})", every=0.1)


def test_advisory_locks_outlive_the_daemon_and_not_their_holder(
    osd_cluster: RealCluster, ours: Mds, clients: dict[str, CephFSPeer]
) -> None:
    a, b = clients["A"], clients["B"]
    handle = a.call("open", "/f", "w+", 0o644)
    a.call("write", handle, b"one", 0)
    a.call("flock", handle, fcntl.LOCK_EX, 7)
    ours.kill()
    osd_cluster.mon("mds fail", role_or_gid="cephfs:0")
    give(osd_cluster, "ours", "b")
    a.call("write", handle, b"two", 3)
    a.call("fsync", handle, 0)
    other = b.call("open", "/f", "r+", 0o644)
    assert b.call("read", other, 0, 10) == "onetwo"
    with pytest.raises(CallError):
        b.call("flock", other, fcntl.LOCK_EX | fcntl.LOCK_NB, 8)
    number = a.call("get_instance_id")
    os.kill(a.pid, signal.SIGKILL)
    osd_cluster.ceph("tell", "mds.cephfs:0", "session", "evict", f"id={number}", json=False)
    began = time.monotonic()
    b.call("flock", other, fcntl.LOCK_EX, 8)
    assert time.monotonic() - began < 10


def write_and_die(cluster: RealCluster, writer: CephFSPeer) -> int:
    """2501000 bytes of /f are in RADOS, the client has told of 1000 and dies; the file's number."""
    handle = writer.call("open", "/f", "w", 0o644)
    writer.call("write", handle, b"x" * 1000, 0)
    writer.call("fsync", handle, 0)
    writer.call("write", handle, b"y" * 2_500_000, 1000)
    ino: int = writer.call("stat", "/f")["st_ino"]
    pool = [p for p in cluster.ceph("osd", "pool", "ls") if p.endswith("data")][-1]

    def written() -> bool:
        rados = ("rados", "-c", str(cluster.conf), "-p", pool)
        return "size 2501000" in cluster.run(*rados, "stat", f"{ino:x}.00000000")

    wait_for(written, 30, "the client has written its buffers")
    os.kill(writer.pid, signal.SIGKILL)
    return ino


def test_what_a_dead_writer_wrote_is_there(
    osd_cluster: RealCluster, ours: Mds, clients: dict[str, CephFSPeer]
) -> None:
    a, b = clients["A"], clients["B"]
    number = a.call("get_instance_id")
    ino = write_and_die(osd_cluster, a)
    osd_cluster.ceph("tell", "mds.cephfs:0", "session", "evict", f"id={number}", json=False)
    assert b.call("stat", "/f")["st_size"] == 2_501_000
    assert not ours.asok("dump inode", number=ino)["client_ranges"]


def test_what_a_writer_wrote_that_died_with_the_daemon_is_there(
    osd_cluster: RealCluster, ours: Mds, clients: dict[str, CephFSPeer]
) -> None:
    """It does not come back: whoever takes over looks at its objects before others read."""
    ino = write_and_die(osd_cluster, clients["A"])
    ours.kill()
    osd_cluster.mon("mds fail", role_or_gid="cephfs:0")
    next_one = osd_cluster.start_mds("ours", "b", "--mds_reconnect_timeout=2")
    next_one.wait_state("up:active", 60)
    b = clients["B"]
    handle = b.call("open", "/f", "r", 0o644)
    assert b.call("stat", "/f")["st_size"] == 2_501_000
    assert b.call("read", handle, 2_500_990, 20) == "y" * 10
    assert not next_one.asok("dump inode", number=ino)["client_ranges"]
