"""Snapshots with stock clients: from hand to hand between ceph-mds and us, and both alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cephfs_calls import CallError, CephFSPeer
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import started
from tests.real.daemons import wait_for

PROGRAM = os.path.join(os.path.dirname(__file__), "snap_program.py")
NAMES = "abc"
RDWR_CREAT = os.O_RDWR | os.O_CREAT

View = dict[str, list[Any]]


class Served:
    """A file system and the daemon that serves it."""

    def __init__(self, cluster: RealCluster) -> None:
        self.cluster = cluster
        self.mds: Mds | None = None
        self.count = 0
        cluster.new_fs()

    def by(self, kind: str) -> Mds:
        """From now on such a daemon serves it; the one before is killed."""
        if self.mds is not None:
            self.mds.kill()
            for info in self.cluster.mds_infos():
                self.cluster.mon("mds fail", role_or_gid=str(info["gid"]))
        name = NAMES[self.count % len(NAMES)]
        self.count += 1
        self.mds = self.cluster.start_mds(kind, name)
        self.mds.wait_state("up:active", 90)
        return self.mds

    def program(self, *args: object, timeout: float = 60) -> Any:
        argv = [SYSTEM_PYTHON, PROGRAM, str(self.cluster.conf), *map(str, args)]
        done = subprocess.run(
            argv, env=self.cluster.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def view(self, top: str) -> View:
        view: View = self.program(top, "view")
        return view

    def tell(self, *args: str) -> Any:
        assert self.mds is not None
        return self.cluster.ceph("tell", f"mds.{self.mds.name}", *args)

    def scrub(self) -> None:
        """Everything that is stored fits together."""
        assert self.tell("scrub", "start", "/", "recursive,force")["return_code"] == 0
        wait_for(lambda: "no active" in self.tell("scrub", "status")["status"], 60, "scrub ends")
        assert self.tell("damage", "ls") == []


@pytest.fixture
def served(real_ceph: None) -> Iterator[Served]:
    # a ceph-mds writes its journal for a second client's sake with its tick
    with started(RealCluster(osd=True, options={"mds_tick_interval": "0.3"})) as cluster:
        yield Served(cluster)


def below(view: View, path: str) -> View:
    return {key: what for key, what in view.items() if key.startswith(path)}


@pytest.mark.parametrize("kinds", [("real", "ours"), ("ours", "real")])
def test_snapshots_go_from_hand_to_hand(served: Served, kinds: tuple[str, str]) -> None:
    first, second = kinds
    served.by(first)
    served.program("/t", "work", 11, 70)
    with CephFSPeer(served.cluster.conf) as fs:
        fs.call("mount")
        fs.call("mkdir", "/t/.snap/keep", 0o755)
        fs.call("unmount")
    made = served.view("/t")
    kept = below(made, "/.snap/keep")
    assert len(kept) > 3
    served.by(second)
    assert served.view("/t") == made
    served.program("/t", "work", 12, 70)
    changed = served.view("/t")
    assert below(changed, "/.snap/keep") == kept
    served.scrub()
    served.by(first)
    assert served.view("/t") == changed
    served.scrub()
    served.by(second)
    assert served.view("/t") == changed


@pytest.mark.parametrize("seeds", [(21, 22, 23)])
def test_both_daemons_do_the_same(real_ceph: None, seeds: tuple[int, ...]) -> None:
    found: dict[str, list[Any]] = {}
    for kind in ("real", "ours"):
        options = {"mds_tick_interval": "0.3"}
        with started(RealCluster(osd=True, options=options)) as cluster:
            served = Served(cluster)
            served.by(kind)
            found[kind] = []
            for seed in seeds:
                worked = served.program(f"/t{seed}", "work", seed, 90)
                assert served.view(f"/t{seed}") == worked["view"]
                found[kind].append(worked)
            served.by(kind)
            for seed, worked in zip(seeds, found[kind], strict=True):
                assert served.view(f"/t{seed}") == worked["view"]
    for real, ours in zip(found["real"], found["ours"], strict=True):
        assert ours["steps"] == real["steps"]
        assert ours["view"] == real["view"]


def test_what_was_not_written_back_is_in_the_snapshot(served: Served) -> None:
    served.by("ours")
    conf = served.cluster.conf
    with CephFSPeer(conf) as writer, CephFSPeer(conf) as other:
        for fs in (writer, other):
            fs.call("mount")
        writer.call("mkdir", "/d", 0o755)
        fd = writer.call("open", "/d/f", RDWR_CREAT, 0o644)
        writer.call("write", fd, b"before" * 100, 0)
        other.call("mkdir", "/d/.snap/s1", 0o755)
        writer.call("write", fd, b"AFTER" * 300, 0)
        assert other.call("stat", "/d/.snap/s1/f")["st_size"] == 600
        seen = other.call("open", "/d/.snap/s1/f", os.O_RDONLY, 0)
        assert other.call("read", seen, 0, 4096) == "before" * 100
        other.call("chmod", "/d/f", 0o600)
        other.call("mkdir", "/d/.snap/s2", 0o755)
        writer.call("ftruncate", fd, 5)
        writer.call("close", fd)
        assert other.call("stat", "/d/.snap/s1/f")["st_size"] == 600
        assert other.call("stat", "/d/.snap/s1/f")["st_mode"] == 0o100644
        assert other.call("stat", "/d/.snap/s2/f")["st_size"] == 1500
        assert other.call("stat", "/d/f")["st_size"] == 5


def test_a_writer_that_slept_through_snapshot_and_failover(served: Served) -> None:
    first = served.by("ours")
    conf = served.cluster.conf
    with CephFSPeer(conf) as writer, CephFSPeer(conf) as other:
        for fs in (writer, other):
            fs.call("mount")
        writer.call("mkdir", "/d", 0o755)
        fd = writer.call("open", "/d/f", RDWR_CREAT, 0o644)
        beside = other.call("open", "/d/f", os.O_RDWR, 0o644)
        writer.call("write", fd, b"b" * 1600, 0)
        os.kill(writer.pid, signal.SIGSTOP)
        other.call("mkdir", "/d/.snap/s", 0o755)
        other.call("write", beside, b"c" * 10, 5000)
        other.call("fsync", beside, 0)
        first.kill()
        os.kill(writer.pid, signal.SIGCONT)
        served.by("ours")
        assert other.call("stat", "/d/.snap/s/f")["st_size"] == 1600
        assert other.call("stat", "/d/f")["st_size"] == 5010


def test_the_last_snapshot_lets_everything_go(served: Served) -> None:
    mds = served.by("ours")
    with CephFSPeer(served.cluster.conf) as fs:
        fs.call("mount")
        fs.call("mkdirs", "/d/sub", 0o755)
        for number in range(8):
            fd = fs.call("open", f"/d/sub/f{number}", RDWR_CREAT, 0o644)
            fs.call("write", fd, b"x" * 1000, 0)
            fs.call("close", fd)
        fs.call("mkdir", "/d/.snap/s", 0o755)
        for number in range(8):
            fs.call("unlink", f"/d/sub/f{number}")
        fs.call("rmdir", "/d/sub")
        fs.call("sync_fs")
        assert len(fs.call("listing", "/d/.snap/s/sub")) == 10
        fs.call("rmdir", "/d/.snap/s")

        def strays() -> int:
            return int(mds.asok("perf dump")["mds_cache"]["num_strays"])

        wait_for(lambda: strays() == 0, 30, "no stray is left")
        wait_for(
            lambda: served.tell("dump", "snaps", "--server")["need_to_purge"] == {},
            30,
            "the monitors have removed the snapshot",
        )
        fs.call("unmount")
    served.scrub()


def test_snapshots_survive_their_daemon(served: Served) -> None:
    served.by("ours")
    made: list[str] = []
    with CephFSPeer(served.cluster.conf) as fs:
        fs.call("mount")
        fs.call("mkdir", "/d", 0o755)
        fd = fs.call("open", "/d/f", RDWR_CREAT, 0o644)
        for turn in range(4):
            fs.call("write", fd, b"%d" % turn * 1000, 0)
            fs.call("mkdir", f"/d/.snap/s{turn}", 0o755)
            made.append(f"s{turn}")
            served.by("real" if turn == 2 else "ours")
            names = [entry[0] for entry in fs.call("listing", "/d/.snap")]
            assert sorted(names) == [".", "..", *made]
        fs.call("close", fd)
        for turn in range(4):
            seen = fs.call("open", f"/d/.snap/s{turn}/f", os.O_RDONLY, 0)
            assert fs.call("read", seen, 0, 4096) == f"{turn}" * 1000
            fs.call("close", seen)
        fs.call("unmount")
    served.scrub()


def test_what_is_refused(served: Served) -> None:
    served.by("ours")
    with CephFSPeer(served.cluster.conf) as fs:
        fs.call("mount")
        fs.call("mkdirs", "/v/below", 0o755)
        fs.call("mkdir", "/d", 0o755)
        fs.call("setxattr", "/v", "ceph.dir.subvolume", b"1", 0)

        def refused(name: str, *args: object) -> int:
            with pytest.raises(CallError) as caught:
                fs.call(name, *args)
            return caught.value.errno

        assert refused("mkdir", "/v/below/.snap/s", 0o755) == 1
        fs.call("mkdir", "/v/.snap/s", 0o755)
        assert refused("mkdir", "/v/.snap/s", 0o755) == 17
        assert refused("rmdir", "/d/.snap/none") == 2
        assert refused("mkdir", "/v/.snap/s/new", 0o755) == 30
        served.cluster.mon("fs set", fs_name="cephfs", var="allow_new_snaps", val="false")
        names = iter(range(1000))

        def is_refused() -> bool:
            try:
                fs.call("mkdir", f"/d/.snap/s{next(names)}", 0o755)
            except CallError as error:
                return error.errno == 1
            return False

        wait_for(is_refused, 10, "new snapshots are refused", every=0.2)
