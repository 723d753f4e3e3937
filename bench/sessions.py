"""Clients that come: how many a second, and what the daemon spends on each and keeps of it.

The clients are this project's own messenger in a process of its own, the same for both daemons:
a mount of libcephfs takes tens of milliseconds of the client's.
"""

from __future__ import annotations

import json
import subprocess
from functools import partial

from bench.figures import Sheet
from bench.lives import active, in_turns, real_cluster
from bench.machine import ROOT
from bench.plan import Plan
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for


def one_life(sheet: Sheet, cluster: RealCluster, plan: Plan, number: int, kind: str) -> None:
    """A daemon, and sessions that are opened, looked at, and closed."""
    mds = active(cluster, kind)
    argv = [plan.python, "-m", "bench.session_load", str(cluster.conf), str(number)]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.env, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline()) == "ready"
        resident, processor = mds.resident(), mds.cpu_seconds()
        child.stdin.write("go\n")
        child.stdin.flush()
        seconds = float(json.loads(child.stdout.readline()))
        spent = 1e6 * (mds.cpu_seconds() - processor) / number
        assert len(mds.asok("session ls")) == number
        grown = (mds.resident() - resident) / number
        child.stdin.close()
        wait_for(lambda: not mds.asok("session ls"), 60, "all sessions are closed")
    sheet.add("opened a second", kind, number / seconds, "/s", better="higher")
    sheet.add("processor for each: connection, opening, journal", kind, spent, "µs")
    sheet.add("resident for each", kind, max(grown, 1) / 1024, "KiB")
    cluster.reset()


def measure(sheet: Sheet, plan: Plan) -> None:
    """Some hundred sessions in each life."""
    with real_cluster(plan) as cluster:
        number = plan.pick(300, 100)
        in_turns(min(plan.rounds, 3), partial(one_life, sheet, cluster, plan, number))
