"""A thousand standbys in one process for a minute: what each takes, beside a ceph-mds standby.

It fails if one of them is ever late with its beacons.
"""

from __future__ import annotations

from bench.figures import OURS, REAL, Sheet
from bench.plan import Plan
from tests.real.cluster import RealCluster
from tests.real.crowd import IMPATIENT, watch

COUNT, SECONDS = 1000, 60


def measure(sheet: Sheet, plan: Plan) -> None:
    """Once; the monitor's options are its defaults."""
    with RealCluster(options=IMPATIENT, python=plan.python) as cluster:
        mds = cluster.start_real_mds("a")
        mds.wait_standby(30)
        alone = mds.resident()
        cluster.reset()
        took = watch(cluster, plan.pick(COUNT, 100), plan.pick(SECONDS, 5))
    sheet.add("resident for each", OURS, took["each"] / 1024, "KiB")
    sheet.add("resident for each", REAL, alone / 1024, "KiB")
    sheet.add("the process with one", OURS, took["first"] / (1 << 20), "MiB")
    sheet.add("from the first in the map to the last", OURS, took["join"], "s")
    sheet.add("processor while all are standbys, of one core", OURS, 100 * took["share"], "%")
