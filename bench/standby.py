"""A standby from its start to its end: how fast it is there, what it takes, how fast it answers."""

from __future__ import annotations

import signal
import statistics
import time
from functools import partial

from bench.figures import Sheet
from bench.lives import in_turns, real_cluster, timed
from bench.plan import Plan
from tests.real.cluster import RealCluster

LOOK_EVERY = 0.002
"""Seconds; a start of ceph-mds takes some 60 ms."""
QUESTIONS = 30
"""One sample is the median of so many answers."""


def one_life(sheet: Sheet, cluster: RealCluster, idle: float, kind: str) -> None:
    """Start a daemon, look at it as a standby for `idle` seconds, end it."""
    mds = cluster.start_mds(kind, "a")
    mds.wait_state("up:standby", 30, every=LOOK_EVERY)
    sheet.add("exec to up:standby in the map", kind, time.monotonic() - mds.started, "s")

    def status() -> None:
        assert cluster.tell("a", "status").r == 0

    status()  # the first one connects
    for name, ask in (
        ("tell status, over an open connection", status),
        ("status by admin socket", lambda: mds.asok("status")),
    ):
        median = statistics.median(timed(ask) for _ in range(QUESTIONS))
        sheet.add(name, kind, 1000 * median, "ms")
    whole = timed(lambda: cluster.ceph("tell", "mds.a", "status"))
    sheet.add("`ceph tell mds.a status` as a whole", kind, whole, "s")
    if idle:
        before, begun = mds.cpu_seconds(), time.monotonic()
        time.sleep(idle)
        share = 100 * (mds.cpu_seconds() - before) / (time.monotonic() - begun)
        # The clock of processor time ticks a hundred times a second: nothing seen is not nothing.
        sheet.add("processor as standby, of one core", kind, max(share, 1 / idle), "%")
    sheet.add("resident as standby", kind, mds.resident() / (1 << 20), "MiB")
    mds.signal(signal.SIGTERM)
    status_code, seconds = mds.wait_gone(20)
    assert status_code == 0, f"{mds.label} exited with {status_code}"
    sheet.add("SIGTERM to exit", kind, seconds, "s")
    cluster.reset()


def measure(sheet: Sheet, plan: Plan) -> None:
    """Lives of either in turns, without an OSD."""
    with real_cluster(plan, osd=False) as cluster:
        in_turns(plan.rounds, partial(one_life, sheet, cluster, plan.idle))
