"""What `ceph fs status`, `perf dump` and `session ls` show under load is true, as with ceph-mds."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.fs_pair import FsClient

FILES = 150
BY_OPERATION = {
    "req_create_latency": FILES,
    "req_mkdir_latency": 5,
    "req_rename_latency": 10,
    "req_unlink_latency": 20,
    "req_setxattr_latency": 30,
    "req_link_latency": 7,
    "req_symlink_latency": 3,
}


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, mgr=True, options=QUICK)) as made:
        yield made


def work(client: FsClient) -> None:
    """Exactly the calls of BY_OPERATION."""

    def call(*words: Any) -> None:
        assert client.call(*words)[0] == 0, words

    for number in range(5):
        call("mkdir", f"/d{number}", 0o755)
    for number in range(FILES):
        call("open", "s", f"/d{number % 5}/f{number}", os.O_CREAT | os.O_WRONLY, 0o644)
        call("close", "s")
    for number in range(30):
        call("setxattr", f"/d{number % 5}/f{number}", "user.a", "1", 0)
    for number in range(7):
        call("link", f"/d{number % 5}/f{number}", f"/link{number}")
    for number in range(3):
        call("symlink", "d0", f"/sym{number}")
    for number in range(100, 120):
        call("unlink", f"/d{number % 5}/f{number}")
    for number in range(120, 130):
        call("rename", f"/d{number % 5}/f{number}", f"/r{number}")


def shown(cluster: RealCluster, mds: Mds) -> dict[str, Any] | None:
    """The daemon's line of `ceph fs status`, once it is there."""
    done = cluster.ceph_result("fs", "status", "-f", "json")
    if done.returncode:
        return None  # the manager has not begun to answer
    lines = json.loads(done.stdout)["mdsmap"]
    return next((line for line in lines if line["name"] == mds.name and "inos" in line), None)


def test_figures_are_those_of_the_work(cluster: RealCluster, mds_kind: str) -> None:
    mds = cluster.start_mds(mds_kind, "a")
    mds.wait_standby(20)
    cluster.new_fs()
    mds.wait_state("up:active", 60)
    with FsClient(cluster.conf, "cephfs") as client:
        before = mds.asok("perf dump")
        work(client)
        after = mds.asok("perf dump")
        done = {
            name: after["mds_server"][name]["avgcount"] - before["mds_server"][name]["avgcount"]
            for name in BY_OPERATION
        }
        assert done == BY_OPERATION
        for name in BY_OPERATION:
            one = after["mds_server"][name]
            assert 0 < one["sum"] / one["avgcount"] < 1, name
        requests = after["mds"]["request"] - before["mds"]["request"]
        assert requests >= sum(BY_OPERATION.values())
        assert requests == (
            after["mds_server"]["handle_client_request"]
            - before["mds_server"]["handle_client_request"]
        )
        assert after["mds"]["reply"] - before["mds"]["reply"] == requests
        entries = FILES - 20 + 5 + 7 + 3
        assert after["mds"]["inodes"] >= entries - 7
        assert after["mds_mem"]["dn"] >= entries
        assert client.call("tree", "/")[0] == 0
        (session,) = mds.asok("session ls")
        after = mds.asok("perf dump")
        assert after["mds"]["caps"] == session["num_caps"] == after["mds_mem"]["cap"]
        assert session["num_caps"] >= FILES - 20
        assert after["mds_sessions"]["session_count"] == 1

        def agrees() -> bool:
            line = shown(cluster, mds)
            now = mds.asok("perf dump")
            return line is not None and (
                line["inos"] == now["mds_mem"]["ino"]
                and line["dns"] == now["mds_mem"]["dn"]
                and line["caps"] == now["mds_mem"]["cap"]
            )

        wait_for(agrees, 60, "the manager shows the same", every=0.5)

        numbers = itertools.count()

        def busy() -> bool:
            for number in itertools.islice(numbers, 40):
                assert client.call("mkdir", f"/more{number}", 0o755)[0] == 0
            line = shown(cluster, mds)
            return line is not None and line["rate"] > 0

        wait_for(busy, 60, "requests per second are shown", every=0.1)
