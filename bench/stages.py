"""Where the processor time of a create and of a lookup goes in our daemon, stage by stage.

nox -s bench -- stages
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from bench.figures import OURS, Sheet
from bench.lives import clients, real_cluster
from bench.plan import Plan
from bench.stage_clock import REST, STAGES
from tests.real.cluster import Mds
from tests.real.daemons import wait_for

ROOT = Path(__file__).parent.parent
OPERATIONS = {"create": "create", "lookup": "getattr"}
"""What is measured, and how it is called: a stock client's lookup of a name it does not know."""


def counted(mds: Mds, path: Path) -> Any:
    """What the daemon's clock has counted since it was told to begin."""
    path.unlink(missing_ok=True)
    os.kill(mds.pid, signal.SIGUSR2)
    wait_for(path.exists, 10, "the clock's file is written")
    return json.loads(path.read_text())


def measure(sheet: Sheet, plan: Plan) -> None:
    """One life; as many calls of each as the plan has of all operations, five times."""
    count = 5 * plan.count
    with real_cluster(plan) as cluster:
        path = cluster.root / "stages.json"
        env = {"STAGE_CLOCK": str(path), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        mds = cluster.start_mds(OURS, "a", env=env, module="bench.stage_clock")
        mds.wait_standby(20)
        cluster.new_fs()
        mds.wait_state("up:active", 30)
        with clients(cluster, 1) as (load,):
            for step in ("create", "rename", "remount", "lookup"):
                os.kill(mds.pid, signal.SIGUSR1)
                load.begin(step, 1 if step == "remount" else count)
                load.end()
                if step not in OPERATIONS:
                    continue
                found = counted(mds, path)
                column = OPERATIONS[step]
                for stage in (*STAGES, REST):
                    seconds, passages = found["stages"][stage]
                    sheet.add(stage, OURS, 1e6 * seconds / count, "µs", quantity=column)
                    if step == "create":
                        sheet.add(stage, OURS, passages / count, "", quantity="passages")
                sheet.add("sum", OURS, 1e6 * found["total"] / count, "µs", quantity=column)
