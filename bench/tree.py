"""A tree with a directory of 100,000 files: replayed, listed, changed, kept in memory.

It is filled once, by ceph-mds, and then given from daemon to daemon, ours and ceph-mds in turns:
first with everything in the journal, which each replays; then flushed, so that each begins with an
empty cache.
"""

from __future__ import annotations

import time
from itertools import pairwise

from bench.figures import Sheet
from bench.lives import Client, active, clients, in_turns, real_cluster, settled
from bench.plan import Plan
from tests.real.admin import asok
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

SIZES = (10, 100, 1_000, 10_000, 100_000)
FILLERS = 4
NAMES = "abcdefgh"
CALLS = 100
"""Of each operation in each directory."""
STEP = 7919
"""A prime: names that lie far apart."""
OPTIONS = {
    "mds_log_max_segments": "100000",  # nothing is trimmed before the journal is replayed
    "client_cache_size": "1000000",  # or the client gives capabilities back
    "mds_beacon_grace": "60",  # a machine that is busy with filling is no failure
}


def folder(size: int) -> str:
    return f"/of{size}"


class Tree:
    """The file system and whoever serves it."""

    def __init__(self, sheet: Sheet, cluster: RealCluster, plan: Plan) -> None:
        self.sheet, self.cluster = sheet, cluster
        self.sizes = [size for size in SIZES if size <= plan.pick(SIZES[-1], 1_000)]
        self.largest = self.sizes[-1]
        self._lives = 0
        self.mds: Mds

    def fill(self) -> None:
        """By ceph-mds, which keeps everything in its journal."""
        self.mds = active(self.cluster, "real", NAMES[0])
        with clients(self.cluster, FILLERS, "/") as loads:
            for size in self.sizes:
                some = loads if size >= 1000 else loads[:1]
                for number, load in enumerate(some):
                    load.do("make" if not number else "enter", path=folder(size))
                share = size // len(some)
                for number, load in enumerate(some):
                    load.begin("fill", share, first=number * share)
                for load in some:
                    load.end()
            loads[0].do("sync")
            self._leave(loads)

    def _leave(self, loads: list[Client]) -> None:
        for load in loads:
            load.do("leave")
        wait_for(lambda: not self.mds.asok("session ls"), 60, "no client is left")

    def next(self, kind: str) -> float:
        """Let another daemon take over; seconds from the failure of the last to up:active."""
        self._lives += 1
        last, self.mds = self.mds, self.cluster.start_mds(kind, NAMES[self._lives % 8])
        self.mds.wait_standby(30)
        settled(self.mds)
        gid = last.gid()
        last.kill()
        begun = time.monotonic()
        self.cluster.mon("mds fail", role_or_gid=str(gid))
        self.mds.wait_state("up:active", 300)
        return time.monotonic() - begun

    # -- what is measured --------------------------------------------------------------------

    def replay(self, kind: str) -> None:
        """A whole journal."""
        seconds = self.next(kind)
        events = self.mds.asok("perf dump")["mds_log"]["replayed"]
        assert events >= self.largest
        name = f"replay of {self.largest:,} events and more"
        self.sheet.add(f"{name}, standby to active", kind, seconds, "s")
        self.sheet.add(f"{name}, events", kind, events / seconds, "/s", better="higher")

    def look(self, kind: str) -> None:
        """An empty cache that is filled: by listings, by lookups, by changes."""
        self.next(kind)
        with clients(self.cluster, 3, "/") as loads:
            for size in self.sizes:
                self._directory(kind, size, loads)
            self._leave(loads)

    def _directory(self, kind: str, size: int, loads: list[Client]) -> None:
        def add(name: str, seconds: float, count: int) -> None:
            each = 1e6 * seconds / count
            self.sheet.add(name, kind, each, "µs", table="in a directory of", size=size)

        resident = [self.mds.resident()]
        for load, whence in zip(loads, ("RADOS", "the cache", ""), strict=True):
            load.do("enter", path=folder(size))
            if whence:
                seconds = load.do("readdir")["seconds"]
                add(f"readdir from {whence}, each entry", seconds, size)
            elif size == self.largest:
                load.do("readdir")
            resident.append(self.mds.resident())
        if size == self.largest:
            self._memory(kind, resident)
        first = loads[0]
        first.do("remount")
        seconds = first.do("look", CALLS, step=STEP, size=size)["seconds"]
        add("lookup", seconds, CALLS)
        for name, operation in (("create", "fill"), ("unlink", "drop")):
            seconds = first.do(operation, CALLS, first=SIZES[-1])["seconds"]
            add(name, seconds, CALLS)

    def _memory(self, kind: str, resident: list[int]) -> None:
        """From what the process had before the first client listed all, and after each."""
        grown = [(b - a) / self.largest for a, b in pairwise(resident)]
        capability = max(grown[2], 1.0)
        inode = max(grown[0] - capability, 1.0)
        self.sheet.add("resident for an inode", kind, inode, "bytes", table="memory")
        self.sheet.add("resident for a capability", kind, capability, "bytes", table="memory")


def measure(sheet: Sheet, plan: Plan) -> None:
    """Fill, replay in turns, flush, look in turns."""
    with real_cluster(plan, OPTIONS) as cluster:
        tree = Tree(sheet, cluster, plan)
        tree.fill()
        in_turns(plan.pick(plan.rounds, 1), tree.replay)
        asok(tree.mds.asok_path, "flush journal", timeout=300)
        in_turns(plan.pick(min(plan.rounds, 2), 1), tree.look)
