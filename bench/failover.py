"""Failover: a standby takes over from a daemon that is told to go, and from one that is killed.

In each life two daemons of a kind share a file system; the standby has had time to settle. The
active one is failed by command while nothing happens, which tells what the standby itself needs;
then its follower is killed (`kill -9`) under the load of some clients, whose longest call is their
pause. A killed daemon has to be missed first: `GRACE` seconds after its last beacon, the same for
both kinds.
"""

from __future__ import annotations

import time
from functools import partial

from bench.figures import Sheet
from bench.lives import active, clients, in_turns, real_cluster, settled
from bench.plan import Plan
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

CLIENTS = 4
BEFORE, LOAD = 2.0, 9.0
"""Seconds of load until the kill, and in all (at least: the pause is waited out)."""
GRACE = 4
OPTIONS = {
    "mds_beacon_interval": "1",
    "mds_beacon_grace": str(GRACE),
    "mon_tick_interval": "1",  # beacons' ages count only while this is shorter than the grace
    "mds_beacon_mon_down_grace": "0",  # and not in the first minute of a monitor
}


def took_over(standby: Mds) -> tuple[float, float]:
    """When the map first had it as something else than a standby, and as active."""
    states: dict[str, float] = {}

    def is_active() -> bool:
        for info in standby.cluster.mds_infos():
            if info["name"] == standby.name:
                states.setdefault(info["state"], time.monotonic())
        return "up:active" in states

    wait_for(is_active, 60, f"{standby.label} is active", every=0.01)
    return min(at for state, at in states.items() if state != "up:standby"), states["up:active"]


def one_life(sheet: Sheet, cluster: RealCluster, kind: str) -> None:
    """Two daemons: the first is failed, the second killed."""
    first = active(cluster, kind)
    second = cluster.start_mds(kind, "b")
    second.wait_standby(30)
    settled(second)
    first.asok("flush journal")
    gid = first.gid()
    begun = time.monotonic()
    cluster.mon("mds fail", role_or_gid=str(gid))
    sheet.add("mds fail to standby active, no load", kind, took_over(second)[1] - begun, "s")
    first.wait_standby(30, not_gid=gid)
    settled(first)
    with clients(cluster, CLIENTS) as loads:
        for load in loads:
            load.begin("mixed", 1, seconds=LOAD)
        time.sleep(BEFORE)
        begun = time.monotonic()
        second.kill()
        noticed, done = took_over(first)
        answers = [load.end() for load in loads]
    sheet.add("kill -9 to standby active, under load", kind, done - begun, "s")
    sheet.add("… of it, after the monitor had missed it", kind, done - noticed, "s")
    pause = max(max(answer["latencies"]) for answer in answers) / 1e6
    sheet.add("longest pause of a client", kind, pause, "s")
    cluster.reset()


def measure(sheet: Sheet, plan: Plan) -> None:
    """Lives of both kinds in turns."""
    with real_cluster(plan, OPTIONS) as cluster:
        in_turns(plan.pick(plan.rounds, 1), partial(one_life, sheet, cluster))
