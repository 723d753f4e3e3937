"""A large tree of a stock ceph-mds in our hands, and back: nothing of it changes."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.rank_world import cluster_log, give, journal, leave, new_fs, scrub

PROGRAM = Path(__file__).with_name("big_tree_program.py")


@contextmanager
def filled(cluster: RealCluster, files: int) -> Iterator[subprocess.Popen[str]]:
    """A client that has made the tree, and keeps unlinked files open."""
    argv = [SYSTEM_PYTHON, str(PROGRAM), str(cluster.conf), "fill", str(files)]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.env,
    ) as client:  # fmt: skip
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "filled\n"
            yield client
        finally:
            client.kill()


def listed(cluster: RealCluster, folder: Path, numbers: Iterator[int]) -> list[str]:
    """What a new client sees of every path, once it sees the same twice and the sums are up."""
    last: list[list[str]] = [[]]

    def settled() -> list[str]:
        where = folder / f"list{next(numbers)}"
        argv = [SYSTEM_PYTHON, str(PROGRAM), str(cluster.conf), "list", str(where)]
        done = subprocess.run(argv, env=cluster.env, capture_output=True, text=True, check=True)
        assert done.stdout == "listed\n"
        before, last[0] = last[0], where.read_text().splitlines()
        entries = [json.loads(line) for line in last[0]]
        inodes = {entry["ino"] for entry in entries if "/.snap/" not in entry["path"]}
        whole = int(entries[0]["rentries"]) == len(inodes)
        return last[0] if whole and before == last[0] else []

    return wait_for(settled, 400, "the tree looks the same twice", every=1.0)


def differences(before: list[str], after: list[str]) -> list[str]:
    """The first entries that are not the same."""
    pairs = zip(before, after, strict=False)
    wrong = [f"{one}\n  now {other}" for one, other in pairs if one != other]
    return wrong[:5] + ([] if len(before) == len(after) else [f"{len(before)} {len(after)}"])


def test_there_and_back(
    osd_cluster: RealCluster,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    cluster, numbers = osd_cluster, count()
    files: int = pytestconfig.getoption("--tree-files")
    patience = 30 + files / 100
    stock = cluster.start_real_mds("a")
    stock.wait_standby()
    new_fs(cluster)
    stock.wait_state("up:active", 20)
    cluster.mon("fs set", fs_name="cephfs", var="allow_new_snaps", val="true")
    with filled(cluster, files) as client:
        cluster.ceph("tell", "mds.cephfs:0", "dirfrag", "split", "/wide", "0/0", "2", json=False)
        wait_for(lambda: len(stock.asok("dirfrag ls", path="/wide")) == 4, 60, "/wide is split")
        before = listed(cluster, tmp_path, numbers)
        leave(stock)

        begun = time.monotonic()
        ours = give(cluster, "ours", "b")
        taken = time.monotonic() - begun
        events = ours.asok("perf dump")["mds_log"]["replayed"]
        assert differences(before, listed(cluster, tmp_path, numbers)) == []
        assert len(ours.asok("dirfrag ls", path="/wide")) == 4
        ours.asok("flush journal", timeout=patience)
        ours.asok("cache drop", timeout=patience)
        assert scrub(cluster, timeout=patience) == []
        assert differences(before, listed(cluster, tmp_path, numbers)) == []
        leave(ours)
        journal(cluster)

        stock = give(cluster, "real", "c")
        assert differences(before, listed(cluster, tmp_path, numbers)) == []
        assert scrub(cluster, timeout=patience) == []
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("\n")
        client.stdin.flush()
        assert client.stdout.readline() == "held\n"
        assert client.wait(60) == 0
        leave(stock)
    assert cluster_log(cluster) == []
    record_property(
        "figures", f"{len(before)} paths, {events} events replayed, active after {taken:.1f} s"
    )
