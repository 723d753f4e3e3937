"""The figures in a file: `bench/figures.json`, kept in the repository, and all samples if asked.

`{"full": {PART: RUN}, "quick": {PART: RUN}}`, where RUN is `{"environment": …, "figures": […]}`;
a run replaces the parts that it has, so that the whole can be taken in pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, frozen
from bench.figures import Figure, Summary

KEPT = Path(__file__).with_name("figures.json")


@frozen
class Run:
    """One part, measured once.

    Attributes:
        environment: of `machine.environment`.
    """

    environment: Mapping[str, Any]
    figures: Sequence[Summary]


@define
class Results:
    """What a file holds: the full measurements and the reduced ones, by part."""

    full: dict[str, Run]
    quick: dict[str, Run]

    def keep(self, part: str, run: Run, quick: bool, path: Path = KEPT) -> None:
        """Put a part into the file, in the place of an earlier run's.

        What another run has put there meanwhile stays, and is known here from now on.
        """
        newest = Results.load(path)
        self.full, self.quick = newest.full, newest.quick
        (self.quick if quick else self.full)[part] = run
        self.save(path)

    @classmethod
    def load(cls, path: Path = KEPT) -> Results:
        """Nothing, where there is no file. ValueError: it is something else."""
        if not path.exists():
            return cls({}, {})
        try:
            plain = json.loads(path.read_text())
            return cls(_runs(plain["full"]), _runs(plain["quick"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} holds no figures ({error!r}); write it anew") from error

    def save(self, path: Path = KEPT) -> None:
        plain = {
            kind: {
                part: {
                    "environment": dict(run.environment),
                    "figures": [summary.to_plain() for summary in run.figures],
                }
                for part, run in sorted(runs.items())
            }
            for kind, runs in (("full", self.full), ("quick", self.quick))
        }
        path.write_text(lines(plain) + "\n")


def _runs(plain: Mapping[str, Any]) -> dict[str, Run]:
    return {
        part: Run(run["environment"], [Summary.from_plain(one) for one in run["figures"]])
        for part, run in plain.items()
    }


def lines(plain: Any, depth: int = 0) -> str:
    """JSON with a line for each figure: so many lines of a change are so many figures."""
    if isinstance(plain, dict) and any(isinstance(v, dict | list) for v in plain.values()):
        if "unit" in plain:
            return json.dumps(plain, ensure_ascii=False)
        inner = [
            f"{' ' * (depth + 1)}{json.dumps(key)}: {lines(value, depth + 1)}"
            for key, value in plain.items()
        ]
        return "{\n" + ",\n".join(inner) + f"\n{' ' * depth}}}"
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):
        inner = [" " * (depth + 1) + lines(value, depth + 1) for value in plain]
        return "[\n" + ",\n".join(inner) + f"\n{' ' * depth}]"
    return json.dumps(plain, ensure_ascii=False)


def with_samples(environment: Mapping[str, Any], figures: Iterable[Figure]) -> str:
    """Everything that was measured, for other programs."""
    measured = [{**figure.summary().to_plain(), "samples": figure.samples} for figure in figures]
    return json.dumps({"environment": dict(environment), "figures": measured}, indent=1) + "\n"


def figures_from_json(text: str) -> list[Figure]:
    """The figures of `with_samples`."""
    made = []
    for one in json.loads(text)["figures"]:
        summary = Summary.from_plain(one)
        made.append(Figure(summary.key, summary.unit, summary.better, dict(one["samples"])))
    return made
