"""Two file systems in one cluster, one of ceph-mds and one of ours, and clients of both."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

_PROGRAM = Path(__file__).with_name("fs_program.py")
STOCK, OURS = "stock", "ours"


class Stuck(AssertionError):
    """A call does not come back."""


class FsClient:
    """A libcephfs mount in a process of its own."""

    def __init__(self, conf: Path, fs: str, auth_id: str = "admin") -> None:
        self.fs = fs
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

    def begin(self, call: list[Any]) -> None:
        """Make a call; `end` has its outcome."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(call) + "\n")
        self._child.stdin.flush()

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
            raise Stuck(f"a client of {self.fs} ended")
        number, result = json.loads(line)
        return number, result

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
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


_FORCE = {"yes_i_really_mean_it": True}


@contextmanager
def clients(cluster: RealCluster, count: int = 2) -> Iterator[list[dict[str, FsClient]]]:
    """So many clients, each of both file systems."""
    with ExitStack() as stack:
        yield [
            {fs: stack.enter_context(FsClient(cluster.conf, fs)) for fs in (STOCK, OURS)}
            for _ in range(count)
        ]
