"""What got slower since the figures were kept. It informs: machines and their neighbours differ.

Only ratios are compared, and sizes in memory: ours to ceph-mds's of the same minute, or to the
calibrating loop's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen
from bench.figures import REAL, Key, Summary
from bench.markdown import grid, number

FLOOR = 1.2
"""A figure is slower when it is worse by this factor at least …"""


@frozen
class Change:
    """A figure, then and now.

    Attributes:
        then, now: what is compared, a ratio or a size.
        factor: how much worse it is; below 1: better.
        allowed: the factor that the spread explains.
    """

    key: Key
    then: float
    now: float
    factor: float
    allowed: float
    against: str

    @property
    def slower(self) -> bool:
        return self.factor > self.allowed

    @property
    def faster(self) -> bool:
        return self.factor < 1 / self.allowed


def compare(then: Iterable[Summary], now: Iterable[Summary]) -> list[Change]:
    """Those that are in both and can be compared, the worst first.

    What the spread explains, in addition to `FLOOR`: the width of both runs' pairs, each from its
    middle (its root).
    """
    kept = {one.key: one for one in then}
    changes = []
    for one in now:
        old = kept.get(one.key)
        if old is None or old.unit != one.unit or old.better != one.better:
            continue
        before, after = old.comparable, one.comparable
        if not before or not after:
            continue
        factor = after / before if one.better == "lower" else before / after
        allowed = max(FLOOR, (old.width * one.width) ** 0.5)
        against = {None: "as it is", REAL: "to ceph-mds"}.get(one.rival, "to the loop")
        changes.append(Change(one.key, before, after, factor, allowed, against))
    return sorted(changes, key=lambda change: change.allowed / change.factor)


def told(changes: Sequence[Change], missing: int = 0) -> str:
    """For people."""
    lines = []
    for word, mine in (
        ("Slower", [change for change in changes if change.slower]),
        ("Faster", [change for change in reversed(changes) if change.faster]),
    ):
        if mine:
            rows = [
                [
                    f"{change.key.part}: {change.key}",
                    change.against,
                    number(change.then),
                    number(change.now),
                    f"{max(change.factor, 1 / change.factor):.2f}",
                    f"{change.allowed:.2f}",
                ]
                for change in mine
            ]
            head = ["figure", "ratio", "kept", "now", "factor", "of which spread"]
            lines.append(f"{word} than the figures that were kept:\n\n{grid(head, rows, 2)}\n")
    same = sum(not (change.slower or change.faster) for change in changes)
    lines.append(
        f"{same} of {len(changes)} figures are as they were, as far as their spread tells."
    )
    if missing:
        lines.append(f"{missing} figures were not kept before; `--write` keeps them.")
    return "\n".join(lines)


def guard(then: Sequence[Summary], now: Sequence[Summary]) -> str:
    """The whole comparison as text."""
    kept = {one.key for one in then}
    return told(compare(then, now), sum(one.key not in kept for one in now))
