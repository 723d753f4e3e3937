"""Lives of daemons on one real cluster, ours and ceph-mds in turns: A B A B."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.plan import Plan
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import Mds, RealCluster

KINDS = ("ours", "real")
OPTIONS = {
    # The monitor gathers changes for up to a second by default; here it does not, so that times are
    # those of the daemons.
    "paxos_propose_interval": "0.02",
    "mds_beacon_interval": "4",
}
PROGRAM = Path(__file__).with_name("fs_load.py")


@contextmanager
def real_cluster(
    plan: Plan, options: Mapping[str, str] | None = None, *, osd: bool = True
) -> Iterator[RealCluster]:
    """A cluster whose `ours` run in the plan's interpreter; `options` beside `OPTIONS`."""
    made = RealCluster(osd=osd, options={**OPTIONS, **(options or {})}, python=plan.python)
    with made as cluster:
        yield cluster


def in_turns(rounds: int, life: Callable[[str], None]) -> None:
    """One life of each kind after the other."""
    for _ in range(rounds):
        for kind in KINDS:
            life(kind)


def active(cluster: RealCluster, kind: str, name: str = "a") -> Mds:
    """A daemon of that kind, with a file system of its own."""
    mds = cluster.start_mds(kind, name)
    mds.wait_standby(30)
    cluster.new_fs()
    mds.wait_state("up:active", 30)
    return mds


def settled(mds: Mds, patience: float = 6.0) -> None:
    """Wait until a daemon that has come up has done what it does at leisure.

    One that has always something to do, as a ceph-mds that has respawned, is given `patience`.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = mds.cpu_seconds()
        time.sleep(0.5)
        if mds.cpu_seconds() - before < 0.03:
            return


def timed(action: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


class Client:
    """A process on stock libcephfs that makes operations when it is told to; see fs_load.py.

    With `folder` it works there, and does not make it.
    """

    def __init__(self, cluster: RealCluster, name: str, folder: str = "") -> None:
        argv = [SYSTEM_PYTHON, str(PROGRAM), str(cluster.conf), "cephfs", name, folder]
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.env,
        )  # fmt: skip

    def ready(self) -> None:
        """It is mounted."""
        assert self._read() == "ready"

    def _read(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "a client has ended"
        return json.loads(line)

    def begin(self, operation: str, count: int, **how: Any) -> None:
        """Let it make an operation so many times; `how` is for those that take more."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([operation, count, how]) + "\n")
        self._child.stdin.flush()

    def end(self) -> Mapping[str, Any]:
        """Wait until it is done: `seconds`, and `latencies` in microseconds."""
        answer: Mapping[str, Any] = self._read()
        return answer

    def do(self, operation: str, count: int = 1, **how: Any) -> Mapping[str, Any]:
        self.begin(operation, count, **how)
        return self.end()

    def close(self) -> None:
        """As if it was killed."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def clients(cluster: RealCluster, count: int, folder: str = "") -> Iterator[list[Client]]:
    """So many, all mounted; killed at the end."""
    made: list[Client] = []
    try:
        made += (Client(cluster, f"client{number}", folder) for number in range(count))
        for client in made:
            client.ready()
        yield made
    finally:
        for client in made:
            client.close()
