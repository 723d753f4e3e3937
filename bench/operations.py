"""Metadata operations of stock clients on ceph-mds and on mdsdaemon, in turns, on one real cluster.

Each life of a daemon has a file system of its own, made anew. One, four … clients, each a process
of its own, make every operation `count` times; all of them begin an operation together.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster

PROGRAM = Path(__file__).with_name("fs_load.py")
OPTIONS = {"paxos_propose_interval": "0.02", "mds_beacon_interval": "4"}
NAMES = {"ours": "mdsdaemon", "real": "ceph-mds"}

STEPS = (
    "mkdir", "create", "write", "chmod", "setxattr", "symlink", "link", "rename", "remount",
    "lookup", "open", "remount", "readdir", "mixed", "unlink", "rmdir",
)  # fmt: skip
"""In this order; a readdir is of all that is there then, a remount is not measured."""
ONCE = ("remount", "readdir")


@dataclass
class Samples:
    """What was measured of one operation, by daemon.

    rates: per life, operations a second of all clients together.
    latencies: microseconds of each call.
    cpu: per life, microseconds of the daemon's processor time per call.
    """

    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    latencies: dict[str, list[int]] = field(default_factory=dict)

    def rate(self, kind: str) -> float:
        return statistics.median(self.rates[kind])

    def percentile(self, kind: str, percent: float) -> float:
        values = sorted(self.latencies[kind])
        return float(values[min(len(values) - 1, int(len(values) * percent / 100))])

    @property
    def ratio(self) -> float:
        """Of the rates' medians, ours to ceph-mds's."""
        return self.rate("ours") / self.rate("real")

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest ratio of two lives that came one after the other."""
        pairs = [a / b for a, b in zip(self.rates["ours"], self.rates["real"], strict=True)]
        return min(pairs), max(pairs)


Results = dict[tuple[int, str], Samples]
"""By number of clients and operation."""


class Client:
    """A process that makes operations when it is told to."""

    def __init__(self, cluster: RealCluster, name: str) -> None:
        argv = [SYSTEM_PYTHON, str(PROGRAM), str(cluster.conf), "cephfs", name]
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.env,
        )  # fmt: skip
        self._read()

    def _read(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "a client has ended"
        return json.loads(line)

    def begin(self, operation: str, count: int) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps([operation, count]) + "\n")
        self._child.stdin.flush()

    def end(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._read()
        return answer

    def close(self) -> None:
        self._child.kill()
        self._child.wait()


def one_life(cluster: RealCluster, kind: str, clients: int, count: int, results: Results) -> None:
    """A daemon, its file system, its clients and their work."""
    mds = cluster.start_mds(kind, "a")
    mds.wait_standby(20)
    cluster.new_fs()
    mds.wait_state("up:active", 30)
    with ExitStack() as stack:
        loads = []
        for number in range(clients):
            loads.append(Client(cluster, f"client{number}"))
            stack.callback(loads[-1].close)
        for step in STEPS:
            turns = 1 if step in ONCE else count
            before = mds.cpu_seconds()
            for load in loads:
                load.begin(step, turns)
            answers = [load.end() for load in loads]
            if step == "remount":
                continue
            samples = results.setdefault((clients, step), Samples())
            seconds = max(answer["seconds"] for answer in answers)
            samples.rates.setdefault(kind, []).append(turns * clients / seconds)
            spent = 1e6 * (mds.cpu_seconds() - before) / (turns * clients)
            samples.cpu.setdefault(kind, []).append(spent)
            held = samples.latencies.setdefault(kind, [])
            for answer in answers:
                held += answer["latencies"]
    cluster.reset()


def measure(rounds: int, clients: Sequence[int] = (1, 4, 16), count: int = 300) -> Results:
    """`rounds` lives of each daemon for each number of clients, in turns: A B A B."""
    results: Results = {}
    with RealCluster(osd=True, options=OPTIONS) as cluster:
        for number in clients:
            for _ in range(rounds):
                for kind in ("ours", "real"):
                    one_life(cluster, kind, number, max(count // number, 20), results)
    return results


def overall(results: Results, clients: int) -> tuple[float, float]:
    """(rates, p50 latencies): geometric means of ours to ceph-mds's over all operations."""
    mine = [s for (number, _), s in results.items() if number == clients]
    rates = statistics.geometric_mean(s.ratio for s in mine)
    halves = (s.percentile("ours", 50) / s.percentile("real", 50) for s in mine)
    return rates, statistics.geometric_mean(halves)


def rows(results: Results) -> Iterator[list[str]]:
    """Operation by operation: rates, ratio with its spread, and latencies."""
    for (clients, step), s in results.items():
        low, high = s.spread
        yield [
            str(clients),
            step,
            *(f"{s.rate(kind):.0f}" for kind in ("ours", "real")),
            f"{s.ratio:.2f} ({low:.2f}–{high:.2f})",
            *(
                f"{s.percentile(kind, 50):.0f} / {s.percentile(kind, 99):.0f}"
                for kind in ("ours", "real")
            ),
            " / ".join(f"{statistics.median(s.cpu[kind]):.0f}" for kind in ("ours", "real")),
        ]


HEAD = ["clients", "operation", "mdsdaemon /s", "ceph-mds /s", "ratio (spread)",
        "mdsdaemon p50 / p99 µs", "ceph-mds p50 / p99 µs", "CPU µs, ours / ceph-mds"]  # fmt: skip


def table(results: Results) -> str:
    """As text in columns, with the means over all operations below."""
    lines = [HEAD, *rows(results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    text = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    for clients in sorted({number for number, _ in results}):
        rate, half = overall(results, clients)
        text.append(f"{clients} clients, all operations: rate {rate:.2f}, p50 latency {half:.2f}")
    return "\n".join(text)


def as_json(results: Results) -> dict[str, object]:
    return {
        f"{step}/{clients}": {
            kind: {
                "rates": [round(rate, 1) for rate in s.rates[kind]],
                "p50": s.percentile(kind, 50),
                "p99": s.percentile(kind, 99),
                "cpu": round(statistics.median(s.cpu[kind]), 1),
            }
            for kind in s.rates
        }
        | {"ratio": round(s.ratio, 3)}
        for (clients, step), s in results.items()
    }
