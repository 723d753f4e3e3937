"""Metadata operations of stock clients on ceph-mds and on mdsdaemon, in turns, on one real cluster.

Each life of a daemon has a file system of its own, made anew. One, four … clients, each a process
of its own, make every operation `count` times; all of them begin an operation together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.figures import Sheet, percentile
from bench.lives import Client, active, clients, in_turns, real_cluster
from bench.plan import Plan
from tests.real.cluster import RealCluster

STEPS = (
    "mkdir", "create", "write", "chmod", "setxattr", "symlink", "link", "rename", "remount",
    "lookup", "open", "remount", "readdir", "mixed", "unlink", "rmdir",
)  # fmt: skip
"""In this order; a readdir is of all that is there then, a remount is not measured."""
ONCE = ("remount", "readdir")
OWN = ("chmod", "open")
"""Done by clients without the server. All of their calls together take less than a millisecond, in
which a turn of the scheduler would be all that is measured: so they are made `PASSES` times."""
PASSES = 20


def one_pass(loads: list[Client], step: str, turns: int) -> list[Mapping[str, Any]]:
    """All clients begin together; what each says of it."""
    for load in loads:
        load.begin(step, turns)
    return [load.end() for load in loads]


def one_life(sheet: Sheet, cluster: RealCluster, number: int, count: int, kind: str) -> None:
    """A daemon, its file system, its clients and their work."""
    mds = active(cluster, kind)
    table = "1 client" if number == 1 else f"{number} clients"
    with clients(cluster, number) as loads:
        for step in STEPS:
            turns = 1 if step in ONCE else count
            before = mds.cpu_seconds()
            passes = [one_pass(loads, step, turns) for _ in range(PASSES if step in OWN else 1)]
            if step == "remount":
                continue
            calls = turns * number * len(passes)
            rate = calls / sum(max(answer["seconds"] for answer in answers) for answers in passes)
            spent = 1e6 * (mds.cpu_seconds() - before) / calls
            latencies = [
                each for answers in passes for answer in answers for each in answer["latencies"]
            ]
            sheet.add(step, kind, rate, "/s", better="higher", table=table, quantity="rate")
            for percent in (50, 99):
                value = max(percentile(latencies, percent), 1)
                sheet.add(step, kind, value, "µs", table=table, quantity=f"p{percent}")
            sheet.add(step, kind, spent, "µs", table=table, quantity="processor per call")
    cluster.reset()


def measure(sheet: Sheet, plan: Plan) -> None:
    """The plan's rounds for each of its numbers of clients."""
    with real_cluster(plan) as cluster:
        for number in plan.clients:
            count = max(plan.count // number, 20)
            rounds = plan.rounds
            in_turns(rounds, partial(one_life, sheet, cluster, number, count))
