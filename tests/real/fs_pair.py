"""Two file systems in one cluster, one of ceph-mds and one of ours, and clients of both."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

_PROGRAM = Path(__file__).with_name("fs_program.py")
STOCK, OURS = "stock", "ours"
_START = ("setpriv", "--pdeathsig", "KILL")  # no child outlives the tests


class Stuck(AssertionError):
    """A call does not come back."""


class StockDied(Exception):
    """ceph-mds 16.2.15 has crashed over something that ours survives: nothing to compare with."""


class FsClient:
    """A libcephfs mount in a process of its own."""

    def __init__(self, conf: Path, fs: str, auth_id: str = "admin") -> None:
        self.fs = fs
        self._ended = False
        self._child = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                SYSTEM_PYTHON,
                str(_PROGRAM),
                str(conf),
                fs,
                auth_id,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        number, word = self._answer(60)
        assert (number, word) == (0, "ready"), f"{fs}: {number} {word}"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def has_ended(self) -> bool:
        """Whether libcephfs has aborted."""
        return self._ended or self._child.poll() is not None

    def begin(self, call: list[Any]) -> None:
        """Make a call; `end` has its outcome."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(call) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise Stuck(f"a client of {self.fs} ended before {call}") from None

    def end(self, timeout: float = 60) -> tuple[int, Any]:
        """(errno, result) of the call that was begun."""
        return self._answer(timeout)

    def call(self, *call: Any, timeout: float = 60) -> tuple[int, Any]:
        """One call: (errno, result)."""
        self.begin(list(call))
        return self._answer(timeout)

    def _answer(self, timeout: float) -> tuple[int, Any]:
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], timeout)
        if not ready:
            raise Stuck(f"a client of {self.fs} has no answer after {timeout} s")
        line = self._child.stdout.readline()
        if not line:
            self._ended = True
            raise Stuck(f"a client of {self.fs} ended")
        number, result = json.loads(line)
        return number, result

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def two_file_systems(
    cluster: RealCluster,
    kinds: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[RealCluster]:
    """File system "stock" on ceph-mds and "ours" on mdsdaemon, both active.

    Args:
        kinds: by file system, which daemon serves it ("real" or "ours").
        options: further arguments of both daemons; env: added to their environment.
    """
    kinds = kinds or {STOCK: "real", OURS: "ours"}
    for fs, kind in kinds.items():
        mds = cluster.start_mds(kind, "a" if fs == STOCK else "b", *options, env=env)
        mds.wait_standby()
        cluster.new_fs(fs)
        cluster.mon("osd pool application enable", pool=f"{fs}.data", app="cephfs", **_FORCE)
        mds.wait_state("up:active", 30)
    extra = "extra.data"
    cluster.mon("osd pool create", pool=extra, pg_num=1)
    wait_for(lambda: extra in json.dumps(cluster.mon("osd lspools")), 10, "the pool is there")
    yield cluster


def pending(cluster: RealCluster) -> dict[str, Any]:
    """By daemon: the requests that it has not answered."""
    for mds in cluster.mdss:
        if not mds.running:
            error = StockDied if mds.kind == "real" else AssertionError
            raise error(f"{mds.label} has ended with status {mds.proc.returncode}")
    return {mds.name: mds.asok("dump_ops_in_flight")["ops"] for mds in cluster.mdss}


def neutral(outcome: Any) -> Any:
    """Without the file system's name and the numbers of its pools."""
    text = json.dumps(outcome)
    for fs in (STOCK, OURS):
        text = text.replace(f"{fs}.data", "FS.data")
    for number in range(1, 9):
        text = text.replace(f'\\"pool_id\\": {number}', '\\"pool_id\\": N')
    return text


class Pair:
    """One client of both file systems."""

    def __init__(self, cluster: RealCluster) -> None:
        self.cluster = cluster
        self.mounts: dict[str, FsClient] = {}
        self._mount()

    def _mount(self) -> None:
        self.mounts = {fs: FsClient(self.cluster.conf, fs) for fs in (STOCK, OURS)}

    def call(self, call: list[Any], timeout: float = 10) -> tuple[Any, Any]:
        """(outcome on ceph-mds, outcome on ours) of a call that is made on both at a time."""
        for mount in self.mounts.values():
            mount.begin(call)
        outcomes: dict[str, Any] = {}
        for fs, mount in self.mounts.items():
            try:
                outcomes[fs] = mount.end(timeout)
            except Stuck as stuck:
                # libcephfs 16.2.15 waits for itself in some renames, and aborts over others
                ops = pending(self.cluster)
                if fs == OURS and outcomes[STOCK] and (call[0] != "rename" or any(ops.values())):
                    raise Stuck(f"{stuck} to {call}; servers have {ops}") from None
                outcomes[fs] = None
        if None in outcomes.values():
            self._renew()
            return None, None
        return outcomes[STOCK], outcomes[OURS]

    def _renew(self) -> None:
        """Other mounts; the sessions of those that hang are ended."""
        for mds, mount in zip(self.cluster.mdss, self.mounts.values(), strict=True):
            mount.close()
            for session in mds.asok("session ls"):
                if session["client_metadata"].get("pid") == str(mount.pid):
                    filters = [f"id={session['id']}"]
                    self.cluster.tell(mds.name, "session evict", filters=filters)
        self._mount()

    def close(self) -> None:
        for mount in self.mounts.values():
            mount.close()


_FORCE = {"yes_i_really_mean_it": True}


@contextmanager
def pairs(cluster: RealCluster, count: int = 2) -> Iterator[list[Pair]]:
    """So many clients, each of both file systems."""
    with ExitStack() as stack:
        made = [Pair(cluster) for _ in range(count)]
        for pair in made:
            stack.callback(pair.close)
        yield made
