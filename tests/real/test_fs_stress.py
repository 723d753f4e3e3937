"""Clients that all do random things at a time, also while daemons die: nothing hangs, what is seen
in the end is there after kill -9, and ceph-mds finds nothing wrong with it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.fs_pair import FsClient, Stuck
from tests.real.fs_script import Script

CLIENTS = 4
SECONDS = float(os.environ.get("MDSDAEMON_STRESS_SECONDS", "20"))
FS = "stress"


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    options = {**QUICK, "mds_reconnect_timeout": "10"}
    with started(RealCluster(osd=True, options=options)) as made:
        yield made


def active(cluster: RealCluster) -> Mds:
    """The daemon that serves."""

    def found() -> Mds | None:
        names = [info["name"] for info in cluster.mds_infos() if info["state"] == "up:active"]
        return next((mds for mds in cluster.mdss if mds.running and mds.name in names), None)

    mds = wait_for(found, 60, "a daemon is active")
    assert mds is not None
    return mds


class Worker:
    """A client that does what its seed says until the time is over."""

    def __init__(self, cluster: RealCluster, seed: int) -> None:
        self.cluster, self.seed = cluster, seed
        self.done = self.failed = 0
        self.error: BaseException | None = None
        self.client = FsClient(cluster.conf, FS)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        script = Script(self.seed, clients=1)
        until = time.monotonic() + SECONDS
        try:
            while time.monotonic() < until:
                call = script.next()[1]
                code = self._call(call)
                script.note(call, code)
                self.done += 1
                self.failed += code != 0
        except BaseException as error:
            self.error = error

    def _call(self, call: list[Any]) -> int:
        try:
            return self.client.call(*call, timeout=30)[0]
        except Stuck as stuck:
            ops = active(self.cluster).asok("dump_ops_in_flight")["ops"]
            if not self.client.has_ended and (ops or call[0] != "rename"):
                raise Stuck(f"{stuck}: {call}; the server has {ops}") from None
            self._renew()  # libcephfs 16.2.15 waits for itself, or aborts
            return -1

    def finish(self) -> None:
        """Everything that the client has in its buffers is on the disk."""
        try:
            assert self.client.call("remount", timeout=60)[0] == 0
        except Stuck:
            assert self.client.has_ended, "it hangs"
            self._renew()

    def _renew(self) -> None:
        self.client.close()
        mds = active(self.cluster)
        for session in mds.asok("session ls"):
            if session["client_metadata"].get("pid") == str(self.client.pid):
                self.cluster.tell(mds.name, "session evict", filters=[f"id={session['id']}"])
        self.client = FsClient(self.cluster.conf, FS)


def tree(cluster: RealCluster) -> dict[str, Any]:
    """What a new client sees of everything."""
    with FsClient(cluster.conf, FS) as client:
        code, found = client.call("tree", "/", timeout=120)
    assert code == 0
    for seen in found.values():
        del seen[0]["ino"]
    return dict(found)


def scrubbed(cluster: RealCluster, mds: Mds) -> None:
    """A scrub of everything finds nothing wrong."""
    cluster.tell(mds.name, "scrub start", path="/", scrubops=["recursive", "force"])
    idle = "no active scrubs running"
    wait_for(lambda: idle in str(mds.asok("scrub status")), 60, "the scrub is over")
    assert mds.asok("damage ls") == []


def at_work(cluster: RealCluster) -> list[Worker]:
    workers = [Worker(cluster, seed) for seed in range(CLIENTS)]
    for worker in workers:
        worker.thread.start()
    return workers


def finished(cluster: RealCluster, workers: list[Worker]) -> dict[str, Any]:
    """What everybody sees when all are done."""
    for worker in workers:
        worker.thread.join(SECONDS + 120)
        assert not worker.thread.is_alive(), "a client hangs"
        if worker.error is not None:
            raise worker.error
    assert sum(worker.done - worker.failed for worker in workers) > 5 * CLIENTS
    for worker in workers:
        worker.finish()
    seen = tree(cluster)
    for worker in workers:
        worker.client.close()
    assert active(cluster).asok("dump_ops_in_flight")["num_ops"] == 0
    return seen


def handed_over(cluster: RealCluster, kind: str, name: str) -> Mds:
    """All daemons are killed, another one takes over."""
    for mds in cluster.mdss:
        mds.kill()
    mds = cluster.start_mds(kind, name)
    mds.wait_state("up:active", 90)
    return mds


def test_everybody_at_once(cluster: RealCluster) -> None:
    mds = cluster.start_mds("ours", "a")
    mds.wait_standby()
    cluster.new_fs(FS)
    mds.wait_state("up:active", 30)
    seen = finished(cluster, at_work(cluster))
    handed_over(cluster, "ours", "b")
    assert tree(cluster) == seen
    stock = handed_over(cluster, "real", "c")
    assert tree(cluster) == seen
    scrubbed(cluster, stock)


def test_daemons_that_die_meanwhile(cluster: RealCluster) -> None:
    mds = cluster.start_mds("ours", "a")
    mds.wait_standby()
    cluster.new_fs(FS)
    mds.wait_state("up:active", 30)
    cluster.start_mds("ours", "b").wait_standby()
    workers = at_work(cluster)
    deaths = 0
    while any(worker.thread.is_alive() for worker in workers) and deaths < 4:
        time.sleep(SECONDS / 8)  # let them work; whenever that is, it is a good moment
        dying = active(cluster)
        gid = dying.gid()
        dying.kill()
        cluster.mon("mds fail", role_or_gid=str(gid))
        deaths += 1
        cluster.start_mds("ours", f"s{deaths}")
        active(cluster)
    assert deaths > 1
    seen = finished(cluster, workers)
    stock = handed_over(cluster, "real", "c")
    assert tree(cluster) == seen
    scrubbed(cluster, stock)
