"""More files than the cache holds: made, found, listed and removed; and what the cache takes.

In one directory by one client, which is what a large directory mostly has, and across many by two.
"""

from __future__ import annotations

from bench.figures import Better, Sheet
from bench.lives import active, in_turns, real_cluster
from bench.plan import Plan
from tests.real.large_kit import Step, large_load

PER_FOLDER = 100
FILES_PER_MIB = 1_000
"""So many files are there for each MiB of mds_cache_memory_limit: it holds half of them or less."""
SHAPES = {"one directory": (0, 1), f"directories of {PER_FOLDER}": (PER_FOLDER, 2)}
"""Files of each (0: all are in one), clients."""


def measure(sheet: Sheet, plan: Plan) -> None:
    """Each shape with an empty file system, in turns."""
    files = plan.files // PER_FOLDER * PER_FOLDER
    limit = max(files // FILES_PER_MIB, 4) << 20
    options = {"mds_cache_memory_limit": str(limit), "memstore_device_bytes": str(16 << 30)}
    with real_cluster(plan, options) as cluster:
        for shape in SHAPES:

            def life(kind: str, shape: str = shape) -> None:
                per, clients = SHAPES[shape]
                mds = active(cluster, kind)
                with large_load(mds, files=files, per=per, clients=clients) as load:
                    load.fill()
                    load.remount()
                    load.lookup(files // 10)
                    load.remount()
                    assert load.readdir() == files
                    load.remount()
                    load.empty()
                for step in load.steps:
                    _add(sheet, kind, f"{files:,} files, {shape}", step, limit)
                cluster.reset()

            in_turns(plan.pick(min(plan.rounds, 2), 1), life)


def _add(sheet: Sheet, kind: str, table: str, step: Step, limit: int) -> None:
    def add(quantity: str, value: float, unit: str, better: Better = "lower") -> None:
        sheet.add(step.name, kind, value, unit, better=better, table=table, quantity=quantity)

    add("rate", step.calls / step.seconds, "/s", "higher")
    add("processor", 1e6 * step.processor / step.calls, "µs")
    if len(step.rates) == 10 and step.name == "create":
        add("last fifth to first", sum(step.rates[:2]) / sum(step.rates[-2:]), "times as long")
    add("cache, of its limit", 100 * step.cached / limit, "%")
    add("resident", step.resident / (1 << 20), "MiB")
