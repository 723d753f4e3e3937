"""`kill -9` at random moments, under `rados bench` and writers that check themselves.

`--kill-rounds N` says how often (6 unless told; CI keeps that).
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster

PROGRAM = str(Path(__file__).with_name("rados_writer.py"))
OBJECTS = 6
OPTIONS = {"osd_pool_default_pg_autoscale_mode": "off", "mon_allow_pool_delete": "true"}
SEED = 20_261_129


class Notes:
    """What a writer asked for, and what was acknowledged to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def read(self) -> tuple[list[int], list[int]]:
        """(asked, acknowledged), in order."""
        lines = self.path.read_bytes().decode().rpartition("\n")[0].splitlines()
        words = [line.split() for line in lines]
        asked = [int(number) for kind, number in words if kind == "i"]
        return asked, [int(number) for kind, number in words if kind == "a"]

    def acknowledged(self) -> int:
        return len(self.read()[1])


@contextmanager
def child(cluster: RealCluster, *argv: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A client that is killed at the end of the block."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv],
        env=cluster.env, text=True, stderr=subprocess.DEVNULL,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def check_steps(steps: list[int], asked: list[int], acknowledged: list[int], before: int) -> None:
    """Each object is of one step: the last acknowledged one of its own, or one asked for since."""
    for number, step in enumerate(steps):
        own = [a for a in acknowledged if a % OBJECTS == number]
        assert step >= max(own, default=-1), f"w{number}: acknowledged {own[-1]}, found {step}"
        assert step in asked or step < before, f"w{number}: nobody asked for step {step}"


def check_log(text: str, asked: list[int], acknowledged: list[int]) -> None:
    """Every acknowledged line is there, each once and in order, though requests are repeated."""
    lines = [int(line) for line in text.splitlines()]
    assert lines == list(range(len(lines)))
    assert max(acknowledged, default=-1) < len(lines) <= len(asked)


def test_nothing_acknowledged_is_lost(
    new_cluster: Callable[[RealCluster], RealCluster],
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    rounds = pytestconfig.getoption("--kill-rounds")
    rng = random.Random(SEED)
    cluster = new_cluster(EmbeddedCluster(data=True, options=OPTIONS))
    assert isinstance(cluster, EmbeddedCluster)
    for pool in ("p", "bench"):
        cluster.mon("osd pool create", pool=pool, pg_num=8)
    conf, log, writes = str(cluster.conf), Notes(cluster.root / "log.notes"), 0
    first, bench = 0, ("rados", "-c", conf, "-p", "bench", "bench", "60", "write")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        child(cluster, SYSTEM_PYTHON, PROGRAM, "log", conf, str(log.path)),
        child(cluster, SYSTEM_PYTHON, PROGRAM, "check", conf, **pipes) as checker,
    ):
        for number in range(rounds):
            notes = Notes(cluster.root / "write.notes")
            logged = log.acknowledged()
            writer = (SYSTEM_PYTHON, PROGRAM, "write", conf, str(first), str(notes.path))
            with (
                child(cluster, *bench, "-b", "4096", "-t", "8", "--no-cleanup"),
                child(cluster, *writer),
            ):
                wait_for(lambda: notes.acknowledged() > 0, 20, "writes")  # noqa: B023
                wait_for(lambda: log.acknowledged() > logged, 20, "log lines")  # noqa: B023
                time.sleep(rng.uniform(0, 0.5))
                cluster.daemons["mon.a"].kill()
            # the writer is gone too: what it has not heard of may have happened or not
            asked, acknowledged = notes.read()
            log_acknowledged = log.read()[1]
            cluster.restart()
            answer = ask(checker)
            assert isinstance(answer, list), f"round {number}: {answer}"
            check_steps(answer[0], asked, acknowledged, first)
            check_log(answer[1], log.read()[0], log_acknowledged)
            first = asked[-1] + 1
            writes += len(acknowledged)
            notes.path.unlink()
            if number % 10 == 9:
                empty(cluster, "bench")
    found = f"{rounds} kills, {writes} transactions and {log.acknowledged()} log lines acknowledged"
    record_property("figures", found)


def ask(checker: subprocess.Popen[str]) -> Any:
    assert checker.stdin is not None
    assert checker.stdout is not None
    checker.stdin.write("?\n")
    checker.stdin.flush()
    return json.loads(checker.stdout.readline())


def empty(cluster: RealCluster, pool: str) -> None:
    """Take the pool's objects away, and the pool with them."""
    cluster.mon("osd pool rm", pool=pool, pool2=pool, yes_i_really_really_mean_it=True)
    cluster.mon("osd pool create", pool=pool, pg_num=8)
