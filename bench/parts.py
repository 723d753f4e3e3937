"""The parts of the bench, and how each is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from attrs import frozen
from bench.figures import REAL, Sheet
from bench.machine import run_python
from bench.markdown import NAMES
from bench.plan import Plan
from bench.results import figures_from_json
from tests.real.cluster import missing_programs

Measure = Callable[[Sheet, Plan], None]


@frozen
class Part:
    """A module of this folder with `measure(sheet, plan)`.

    Attributes:
        title: of its drawings.
        alone: measured in a process of its own, in the interpreter that is asked for: no other
            part's garbage or imports are in it.
        ceph: it needs Ceph's programs.
        quick: it has a part in the reduced set.
        names: of the contestants, in tables.
    """

    name: str
    title: str
    alone: bool = False
    ceph: bool = True
    quick: bool = True
    names: Mapping[str, str] = NAMES

    def measure(self, sheet: Sheet, plan: Plan) -> None:
        """In this process."""
        module = importlib.import_module(f"bench.{self.name}")
        cast("Measure", module.measure)(sheet, plan)

    def run(self, plan: Plan) -> Sheet:
        """Where it belongs."""
        sheet = Sheet(self.name)
        if self.alone:
            text = run_python(plan.python, "-m", "bench.alone", self.name, plan.to_json())
            sheet.take(figures_from_json(text))
        else:
            self.measure(sheet, plan)
        return sheet


PARTS = {
    part.name: part
    for part in (
        Part("codecs", "Codecs", alone=True, ceph=False),
        Part("messenger", "Messages between two messengers", alone=True, ceph=False),
        Part("journal", "Journal", alone=True, ceph=False),
        Part("cache", "Cache", alone=True, ceph=False),
        Part("requests", "Requests within a rank", alone=True, ceph=False),
        Part("structures", "Structures against their size", alone=True, ceph=False),
        Part("standby", "A standby"),
        Part("embedded", "The one-process cluster", names={**NAMES, REAL: "Ceph's own daemons"}),
        Part("operations", "Operations"),
        Part("stages", "Where the time of a request goes", quick=False),
        Part("sessions", "Sessions"),
        Part("failover", "Failover"),
        Part("tree", "A large tree"),
        Part("large", "More files than the cache holds", quick=False),
        Part("crowd", "A thousand standbys", quick=False),
    )
}
"""In the order in which they are run: what takes long comes last."""


def chosen(names: list[str], quick: bool) -> list[Part]:
    """Those asked for, or all that this machine can run.

    Raises:
        KeyError: there is none of a name.
    """
    if names:
        return [PARTS[name] for name in names]
    lacking = bool(missing_programs())
    return [
        part for part in PARTS.values() if (part.quick or not quick) and not (part.ceph and lacking)
    ]
