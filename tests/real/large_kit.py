"""Large directories made, read and emptied on a real cluster; what a daemon needs for it."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.real.admin import SYSTEM_PYTHON, asok
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

PROGRAM = Path(__file__).with_name("large_program.py")
EVERY = 1.0
"""Seconds between two looks at the daemon."""


@dataclass
class Step:
    """One operation of all clients together.

    Attributes:
        name, calls: what was done how often.
        seconds: from its begin to its end.
        rates: calls a second in each tenth of the way.
        processor: seconds of the daemon's processor time.
        costs: microseconds of that for a request of a client, in each tenth of the requests.
        resident: the most memory that the daemon had, bytes.
        cached: the most that it took its cache to have, bytes.
        inodes, caps: the most that the cache had of them.
        segments: the most that the journal had.
    """

    name: str
    calls: int
    seconds: float = 0
    rates: list[float] = field(default_factory=list)
    processor: float = 0
    costs: list[float] = field(default_factory=list)
    resident: int = 0
    cached: int = 0
    inodes: int = 0
    caps: int = 0
    segments: int = 0


class LoadClient:
    """A process that does what it is told."""

    def __init__(self, cluster: RealCluster, cache: int = 16384) -> None:
        argv = [SYSTEM_PYTHON, str(PROGRAM), str(cluster.conf), str(cache)]
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.env,
        )  # fmt: skip
        self.end()

    def begin(self, *what: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(what) + "\n")
        self._child.stdin.flush()

    def end(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "a client has ended"
        return json.loads(line)

    def close(self) -> None:
        self._child.kill()
        with self._child:  # its pipes
            pass


class Watch:
    """Looks at a daemon every now and then; keeps the most of what it saw."""

    def __init__(self, mds: Mds, clients: Sequence[LoadClient]) -> None:
        self.mds, self._clients = mds, clients
        self._step: Step | None = None
        self._points: list[tuple[int, float]] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            if not self.mds.running:
                for client in self._clients:
                    client.close()  # they would wait for ever
                return
            with suppress(OSError, ValueError):
                self.look()

    def begin(self, step: Step) -> None:
        """What is seen from now on is this step's."""
        with self._lock:
            self._step, self._points = step, []
        self.look()

    def end(self) -> None:
        """The step is over."""
        self.look()
        with self._lock:
            step, self._step = self._step, None
            assert step is not None
            step.costs = _tenths(self._points)

    def look(self) -> None:
        """Now."""
        with self._lock:
            step = self._step
            if step is None:
                return
            step.resident = max(step.resident, self.mds.resident())
            status = json.loads(asok(self.mds.asok_path, "cache status", format="json"))
            perf = json.loads(asok(self.mds.asok_path, "perf dump", format="json"))
            step.cached = max(step.cached, int(status["pool"]["bytes"]))
            step.inodes = max(step.inodes, int(perf["mds_mem"]["ino"]))
            step.caps = max(step.caps, int(perf["mds_mem"]["cap"]))
            step.segments = max(step.segments, int(perf["mds_log"]["seg"]))
            requests = int(perf["mds_server"]["handle_client_request"])
            self._points.append((requests, self.mds.cpu_seconds()))


def _tenths(points: Sequence[tuple[int, float]]) -> list[float]:
    """Microseconds for each of the requests, in each tenth of them as well as was looked."""
    first, last = points[0][0], points[-1][0]
    cuts = [
        next(point for point in points if point[0] >= first + part * (last - first) / 10)
        for part in range(11)
    ]
    return [
        1e6 * (after[1] - before[1]) / (after[0] - before[0])
        for before, after in pairwise(cuts)
        if after[0] > before[0]
    ]


class LargeLoad:
    """Clients of one daemon, and what is measured of their work."""

    def __init__(self, mds: Mds, clients: Sequence[LoadClient], files: int, per: int) -> None:
        self.mds, self.clients = mds, clients
        self.files, self.per = files, per
        self.watch = Watch(mds, clients)
        self.steps: list[Step] = []

    def _measure(self, name: str, calls: int, orders: Sequence[Sequence[object]]) -> list[Any]:
        step = Step(name, calls)
        self.watch.begin(step)
        spent, begun = self.mds.cpu_seconds(), time.monotonic()
        for client, order in zip(self.clients, orders, strict=False):
            client.begin(name, *order)
        answers = [client.end() for client, _ in zip(self.clients, orders, strict=False)]
        step.seconds = time.monotonic() - begun
        step.processor = self.mds.cpu_seconds() - spent
        self.watch.end()
        if calls >= 10 * len(orders) and name != "readdir":
            each = calls / len(orders) / 10
            for part in range(10):
                step.rates.append(sum(each / answer["seconds"][part] for answer in answers))
        self.steps.append(step)
        return [answer["value"] for answer in answers]

    def _shares(self) -> list[tuple[int, int, int]]:
        """Files of each client: first, count; whole folders."""
        count, unit = len(self.clients), self.per or 1
        cuts = [self.files * n // count // unit * unit for n in range(count)] + [self.files]
        return [(a, b - a, self.per) for a, b in pairwise(cuts)]

    def fill(self, how: str = "create") -> None:
        """Make the files: `create` opens and closes each, `mknod` does not."""
        self.clients[0].begin("mkdir", "/large")
        self.clients[0].end()
        if self.per:
            self._measure("mkdirs", self.files // self.per, self._shares())
        self._measure(how, self.files, self._shares())

    def remount(self) -> None:
        """The clients have nothing any more."""
        for client in self.clients:
            client.begin("remount")
        for client in self.clients:
            client.end()

    def lookup(self, many: int) -> None:
        orders = [
            (seed, many // len(self.clients), self.files, self.per)
            for seed in range(len(self.clients))
        ]
        self._measure("lookup", many, orders)

    def readdir(self) -> int:
        """By one client; how many names it saw."""
        (found,) = self._measure("readdir", self.files, [(0, self.files, self.per)])
        return int(found)

    def empty(self) -> None:
        self._measure("unlink", self.files, self._shares())
        if self.per:
            self._measure("rmdirs", self.files // self.per, self._shares())

    def close(self) -> None:
        self.watch.close()
        for client in self.clients:
            client.close()


@contextmanager
def large_load(
    mds: Mds, *, files: int, per: int, clients: int = 2, cache: int = 16384
) -> Iterator[LargeLoad]:
    """A load on an active daemon."""
    with ExitStack() as stack:
        made = []
        for _ in range(clients):
            made.append(LoadClient(mds.cluster, cache))
            stack.callback(made[-1].close)
        load = LargeLoad(mds, made, files, per)
        stack.callback(load.close)
        yield load


def fragments(mds: Mds, path: str) -> list[str]:
    return sorted(one["str"] for one in mds.asok("dirfrag ls", path=path))


def scrub(mds: Mds, timeout: float) -> float:
    """A scrub of everything finds nothing wrong; the seconds that it took."""
    begun = time.monotonic()
    asok(mds.asok_path, "scrub start", path="/", scrubops=["recursive", "force"], format="json")
    wait_for(
        lambda: "no active scrubs" in json.loads(asok(mds.asok_path, "scrub status"))["status"],
        timeout,
        "the scrub is over",
        every=0.2,
    )
    assert mds.asok("damage ls") == []
    assert [line for line in mds.logged().splitlines() if "[ERR]" in line] == []
    return time.monotonic() - begun
