"""What a measurement gives: named figures, each with the samples of one daemon and of its rival.

A part of the bench fills a `Sheet`; everything that is shown, written, drawn or compared is made
from its figures' `Summary`. A sample is one life of a daemon (or one repetition): samples of the
same number were taken next to each other, so that what disturbed one disturbed the other.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from attrs import asdict, define, field, frozen

Better = Literal["higher", "lower"]

OURS, REAL, LOOP = "ours", "real", "loop"
"""mdsdaemon; Ceph's own; the calibrating loop, for what has no counterpart in Ceph."""
SIZES = frozenset({"bytes", "KiB", "MiB"})
"""Units of what is the same on every machine, also without a rival."""


@frozen
class Key:
    """What a figure is of.

    Attributes:
        part: of the bench, `operations`.
        table: which of its tables, `4 clients`; empty where there is one.
        name: the row, `create`.
        quantity: the column, `rate`; empty where there is one.
        size: how large the thing was that it was done to, where cost against size is asked.
    """

    part: str
    name: str
    table: str = ""
    quantity: str = ""
    size: int | None = None

    def __str__(self) -> str:
        size = "" if self.size is None else f"at {self.size:,}"
        return ", ".join(word for word in (self.table, self.name, self.quantity, size) if word)


@define
class Figure:
    """A key with all samples.

    Attributes:
        unit: of every sample.
        better: which way is good.
        samples: by contestant: `OURS` and at most one rival.
    """

    key: Key
    unit: str
    better: Better
    samples: dict[str, list[float]] = field(factory=dict)

    def summary(self) -> Summary:
        """Without the samples."""
        ours, rival = self.samples[OURS], next((k for k in self.samples if k != OURS), None)
        medians = {kind: statistics.median(values) for kind, values in self.samples.items()}
        pairs = []
        if rival is not None and all(self.samples[rival]):
            pairs = [a / b for a, b in zip(ours, self.samples[rival], strict=False)]
        return Summary(
            self.key,
            self.unit,
            self.better,
            medians,
            medians[OURS] / medians[rival] if rival is not None and medians[rival] else None,
            (min(pairs), max(pairs)) if pairs else None,
            len(ours),
        )


@frozen
class Summary:
    """A figure in short.

    Attributes:
        medians: by contestant.
        ratio: of the medians, ours to the rival's; None without a rival.
        spread: the least and the greatest ratio of two samples taken next to each other.
        runs: how many samples.
    """

    key: Key
    unit: str
    better: Better
    medians: Mapping[str, float]
    ratio: float | None
    spread: tuple[float, float] | None
    runs: int

    @property
    def rival(self) -> str | None:
        return next((kind for kind in self.medians if kind != OURS), None)

    @property
    def comparable(self) -> float | None:
        """What may be held against the same figure of another day and machine."""
        if self.ratio is None and self.unit in SIZES:
            return self.medians[OURS]
        return self.ratio

    @property
    def width(self) -> float:
        """The spread as a factor: 1.5 where the greatest ratio is half as much again."""
        if self.spread is None or self.spread[0] <= 0:
            return 1.0
        return self.spread[1] / self.spread[0]

    def to_plain(self) -> dict[str, Any]:
        """For JSON; figures have four digits."""
        plain = {k: v for k, v in asdict(self.key).items() if v not in ("", None)}
        plain |= {"unit": self.unit, "better": self.better, "runs": self.runs}
        plain["medians"] = {kind: rounded(value) for kind, value in self.medians.items()}
        if self.ratio is not None:
            plain["ratio"] = rounded(self.ratio)
        if self.spread is not None:
            plain["spread"] = [rounded(one) for one in self.spread]
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The reverse. KeyError or TypeError: it is something else."""
        names = ("part", "name", "table", "quantity", "size")
        key = Key(**{name: plain[name] for name in names if name in plain})
        low_high = plain.get("spread")
        return cls(
            key,
            plain["unit"],
            plain["better"],
            dict(plain["medians"]),
            plain.get("ratio"),
            None if low_high is None else (low_high[0], low_high[1]),
            plain["runs"],
        )


class Sheet:
    """The figures of one part while they are taken.

    sheet.add("create", "real", 2444, "/s", better="higher", table="4 clients", quantity="rate")
    """

    def __init__(self, part: str) -> None:
        self.part = part
        self._figures: dict[Key, Figure] = {}

    def add(
        self,
        name: str,
        kind: str,
        value: float,
        unit: str,
        *,
        better: Better = "lower",
        table: str = "",
        quantity: str = "",
        size: int | None = None,
    ) -> None:
        """One sample more."""
        key = Key(self.part, name, table, quantity, size)
        figure = self._figures.setdefault(key, Figure(key, unit, better))
        figure.samples.setdefault(kind, []).append(value)

    def take(self, figures: Iterable[Figure]) -> None:
        """Those that were taken in another process."""
        self._figures.update((figure.key, figure) for figure in figures)

    @property
    def figures(self) -> list[Figure]:
        """As they came; those that only a rival has are left out."""
        return [figure for figure in self._figures.values() if OURS in figure.samples]

    def summaries(self) -> list[Summary]:
        return [figure.summary() for figure in self.figures]


def rounded(value: float, digits: int = 4) -> float:
    """To so many digits that count."""
    if not value or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def percentile(values: Iterable[float], percent: float) -> float:
    """The value below which so many of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def means(summaries: Iterable[Summary]) -> float | None:
    """The geometric mean of the ratios; None where there are none."""
    ratios = [s.ratio for s in summaries if s.ratio]
    return statistics.geometric_mean(ratios) if ratios else None
