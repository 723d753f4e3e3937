"""A directory that is split and merged under the hands of its clients."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.fs_pair import FsClient

COUNT = 3000
SPLIT = "200"


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    options = {
        **QUICK,
        "mds_bal_split_size": SPLIT,
        "mds_bal_merge_size": "20",
        "mds_bal_fragment_interval": "1",
    }
    with started(RealCluster(osd=True, options=options)) as made:
        yield made


def served(cluster: RealCluster, kind: str, name: str) -> Mds:
    mds = cluster.start_mds(kind, name)
    mds.wait_state("up:active", 60)
    return mds


def expected(numbers: range) -> list[object]:
    names = sorted([".", "..", *(f"f{number}" for number in numbers)])
    text = "\0".join(names).encode()
    return [len(numbers), [len(text), hashlib.sha256(text).hexdigest()[:16]]]


def fragments(mds: Mds, path: str) -> int:
    return len(mds.asok("dirfrag ls", path=path))


def test_a_directory_that_grows_and_shrinks(cluster: RealCluster) -> None:
    mds = cluster.start_mds("ours", "a")
    mds.wait_standby()
    cluster.new_fs("big")
    mds.wait_state("up:active", 30)
    with FsClient(cluster.conf, "big") as client, FsClient(cluster.conf, "big") as other:
        assert client.call("mkdir", "/d", 0o755)[0] == 0
        for first in range(0, COUNT, 500):
            assert client.call("make_many", "/d", first, 500, timeout=120)[0] == 0
            assert other.call("names", "/d", timeout=120) == (0, expected(range(first + 500)))
        wait_for(lambda: fragments(mds, "/d") > 4, 30, "the directory is split")
        assert client.call("names", "/d", timeout=60) == (0, expected(range(COUNT)))

        # a stock ceph-mds finds everything
        mds.kill()
        stock = served(cluster, "real", "b")
        assert fragments(stock, "/d") > 4
        assert other.call("names", "/d", timeout=60) == (0, expected(range(COUNT)))
        assert other.call("unlink_many", "/d", 0, 100, timeout=60)[0] == 0
        stock.kill()

        ours = served(cluster, "ours", "c")
        left = range(100, COUNT)
        assert client.call("names", "/d", timeout=60) == (0, expected(left))
        assert client.call("unlink_many", "/d", 100, COUNT - 110, timeout=180)[0] == 0
        assert other.call("names", "/d", timeout=60) == (0, expected(range(COUNT - 10, COUNT)))

        def merged() -> bool:
            # fragments are looked at when something changes in them
            client.call("make_many", "/d", 0, 30)
            client.call("unlink_many", "/d", 0, 30)
            return fragments(ours, "/d") <= 2

        wait_for(merged, 90, "the directory is merged")
        assert client.call("unlink_many", "/d", COUNT - 10, 10)[0] == 0
        assert client.call("rmdir", "/d")[0] == 0
        assert other.call("listing", "/") == (0, [[".", 4], ["..", 4]])
