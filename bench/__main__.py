"""`nox -s bench` (or `python -m bench`): mdsdaemon beside ceph-mds, and within one process.

    nox -s bench                        everything, as tables
    nox -s bench -- operations sessions some parts
    nox -s bench -- --write             everything into bench/figures.json and docs/performance.md
    nox -s bench -- --quick             a reduced set; what is slower than the figures kept

Samples of our daemon and of its rival are taken in turns; a ratio is that of their medians, its
spread that of neighbouring samples.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from attrs import evolve
from bench import docs, guard
from bench.figures import Figure
from bench.machine import environment
from bench.markdown import tables
from bench.parts import PARTS, Part, chosen
from bench.plan import Plan
from bench.results import KEPT, Results, Run, with_samples


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--quick", action="store_true", help="a reduced set, compared")
    parser.add_argument("--write", action="store_true", help="keep the figures, write the docs")
    parser.add_argument("--redraw", action="store_true", help="the docs anew from what is kept")
    parser.add_argument("--python", help="interpreter of the daemon (default: this one)")
    parser.add_argument("--rounds", type=int, help="lives of each daemon")
    parser.add_argument("--idle", type=float, help="seconds to watch a standby")
    parser.add_argument("--clients", type=int, nargs="+", help="at a time")
    parser.add_argument("--count", type=int, help="calls of each operation")
    parser.add_argument("--json", type=Path, help="write all samples there")
    return parser


def say(text: str) -> None:
    pass


def measured(parts: Iterable[Part], plan: Plan) -> dict[str, list[Figure]]:
    """Run them; each part's tables are shown as soon as they are there."""
    figures = {}
    for part in parts:
        begun = time.monotonic()
        sheet = part.run(plan)
        figures[part.name] = sheet.figures
        took = time.monotonic() - begun
        say(f"## {part.title} ({part.name}{', quick' if plan.quick else ''}; {took:.0f} s)\n")
        say(tables(sheet.summaries(), part.names) + "\n")
    return figures


def runs(figures: dict[str, list[Figure]], about: dict[str, object]) -> dict[str, Run]:
    return {
        name: Run(about, [figure.summary() for figure in mine]) for name, mine in figures.items()
    }


def main() -> None:
    parser = arguments()
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    kept = Results.load()
    if asked.redraw:
        say(f"written: {', '.join(docs.write(kept.full))}")
        return
    python = asked.python or sys.executable
    changes = {
        name: getattr(asked, name)
        for name in ("rounds", "idle", "clients", "count")
        if getattr(asked, name) is not None
    }
    about = environment(python)
    full, quick = Plan(python=python), Plan.reduced(python)
    plan = evolve(quick if asked.quick else full, **changes)
    figures = measured(chosen(asked.parts, asked.quick), plan)
    if asked.json is not None:
        every = [figure for mine in figures.values() for figure in mine]
        asked.json.write_text(with_samples(about, every))
    now = runs(figures, about)
    if asked.quick and not asked.write:
        then = [one for name in now for one in kept.quick.get(name, Run({}, [])).figures]
        say(guard.guard(then, [one for run in now.values() for one in run.figures]))
    if asked.write:
        keep(kept, now, asked.quick)
        if not asked.quick:
            also = [PARTS[name] for name in figures if PARTS[name].quick]
            keep(kept, runs(measured(also, quick), about), True)
            say(f"written: {', '.join([KEPT.name, *docs.write(kept.full)])}")


def keep(kept: Results, now: dict[str, Run], quick: bool) -> None:
    """Put them into the file in the repository."""
    kept.of(quick).update(now)
    kept.save()


if __name__ == "__main__":
    main()
