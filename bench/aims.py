"""What is aimed at, and how far it is reached: one table from the figures that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen
from bench.figures import OURS, Better, Summary, means
from bench.growth import WORSE, exponent
from bench.markdown import grid, number
from bench.results import Run

Value = Callable[[Sequence[Summary]], float | None]
"""From a part's figures; None: what it takes was not measured."""


@frozen
class Aim:
    """One of them.

    Attributes:
        part: whose figures tell.
        value: of them.
        better: `higher`: at least `wanted`; `lower`: at most.
    """

    name: str
    part: str
    value: Value
    better: Better
    wanted: float

    def reached(self, measured: float) -> bool:
        return measured >= self.wanted if self.better == "higher" else measured <= self.wanted


def _mean(table: str, quantity: str) -> Value:
    """Of the ratios of all rows, each weighted equally."""
    return lambda figures: means(
        one for one in figures if (one.key.table, one.key.quantity) == (table, quantity)
    )


def _one(name: str, figures: Iterable[Summary]) -> Summary | None:
    return next((one for one in figures if name in one.key.name), None)


def _ratio(name: str) -> Value:
    """The ratio of the first figure with these words in its name."""
    return lambda figures: one.ratio if (one := _one(name, figures)) is not None else None


def _median(name: str) -> Value:
    """Ours as it is."""
    return lambda figures: one.medians[OURS] if (one := _one(name, figures)) is not None else None


def _growth(figures: Sequence[Summary]) -> float | None:
    """The greatest power of the size with which one of our costs grows."""
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for one in figures:
        if one.key.size is not None:
            curves.setdefault((one.key.table, one.key.name), {})[one.key.size] = one.medians[OURS]
    powers = [power for each in curves.values() if (power := exponent(each)) is not None]
    return max(powers, default=None)


TO_MDS = "ratio to ceph-mds: "
AIMS = (
    Aim(f"{TO_MDS}operations a second, one client", "operations", _mean("1 client", "rate"),
        "higher", 0.7),
    Aim(f"{TO_MDS}p50 latency, one client", "operations", _mean("1 client", "p50"), "lower", 1.5),
    Aim(f"{TO_MDS}operations a second, four clients", "operations", _mean("4 clients", "rate"),
        "higher", 0.6),
    Aim(f"{TO_MDS}exec to standby", "standby", _ratio("exec to up:standby"), "lower", 1.5),
    Aim(f"{TO_MDS}SIGTERM to exit", "standby", _ratio("SIGTERM"), "lower", 0.5),
    Aim(f"{TO_MDS}tell", "standby", _ratio("tell status"), "lower", 1.2),
    Aim(f"{TO_MDS}failover, kill -9 to active", "failover", _ratio("kill -9"), "lower", 1.2),
    Aim(f"{TO_MDS}replay, events a second", "tree", _ratio("more, events"), "higher", 0.25),
    Aim("one process: cold exec to ready, s", "embedded", _median("cold exec"), "lower", 1.0),
    Aim("… of a real cluster's time", "embedded", _ratio("cold exec"), "lower", 1 / 3),
    Aim("one process: resident when ready, MiB", "embedded", _median("resident"), "lower", 120),
    Aim("a thousand standbys: resident for each, KiB", "crowd", _median("for each"), "lower", 400),
    Aim("greatest growth, within one process", "structures", _growth, "lower", WORSE),
    Aim("greatest growth, with clients", "tree", _growth, "lower", WORSE),
)  # fmt: skip


def table(runs: Mapping[str, Run], aims: Sequence[Aim] = AIMS) -> str:
    """What was measured of each, and whether that is enough; growth is a power of the size."""
    rows = []
    for aim in aims:
        measured = aim.value(runs[aim.part].figures) if aim.part in runs else None
        sign = "≥" if aim.better == "higher" else "≤"
        shown = ["–", "not measured"]
        if measured is not None:
            shown = [number(measured), "yes" if aim.reached(measured) else "**no**"]
        rows.append([aim.name, f"{sign} {number(aim.wanted)}", *shown])
    return grid(["aim", "wanted", "measured", "reached"], rows)
