"""Every example runs against a real cluster as its docstring says, and does what it is for."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@contextmanager
def example(cluster: RealCluster, name: str, *args: str) -> Iterator["subprocess.Popen[str]"]:
    """The running example; its output ends with the block."""
    proc = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), "--conf", str(cluster.conf), "--name", "a", *args],
        env={**cluster.env, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with proc:
        try:
            yield proc
        finally:
            proc.kill()


def finish(proc: "subprocess.Popen[str]") -> str:
    """Its whole output; it must end well."""
    output, _ = proc.communicate(timeout=60)
    assert proc.returncode == 0, output
    assert "Traceback" not in output
    return output


def test_embed_one(cluster: RealCluster) -> None:
    with example(cluster, "embed_one.py") as proc:
        output = finish(proc)
    assert re.search(r"mds\.a is up:standby as gid \d+", output)
    assert '"cluster_fsid"' in output
    wait_for(lambda: not cluster.mds_infos(), 2, "it has said goodbye")


def test_hundred_standbys(new_cluster: Callable[[RealCluster], RealCluster]) -> None:
    cluster = new_cluster(RealCluster())
    with example(cluster, "hundred_standbys.py", "--count", "100", "--seconds", "3") as proc:
        wait_for(lambda: len(cluster.mds_infos()) == 100, 60, "a hundred standbys", every=0.2)
        assert {info["state"] for info in cluster.mds_infos()} == {"up:standby"}
        output = finish(proc)
    assert "100 daemons are up:standby" in output


def test_own_rank(cluster: RealCluster) -> None:
    with example(cluster, "own_rank.py", "--wait", "7") as proc:
        wait_for(lambda: cluster.names() == ["a"], 15, "mds.a is in the map")
        cluster.new_fs()
        output = finish(proc)
    assert "init: rank 0" in output
    assert "we are up:creating" in output
    assert "tick 1" in output


POOLS = ["cephfs.cephfs.meta", "cephfs.cephfs.data"]


def test_throwaway_cluster() -> None:
    """It brings its own."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "throwaway_cluster.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    conf, now, before, daemons = done.stdout.splitlines()
    assert not Path(conf.split()[2]).exists()
    assert now == f"pools now: {[*POOLS, 'scratch']}"
    assert before == f"and as before: {POOLS}"
    assert daemons == "daemons that run: b"
