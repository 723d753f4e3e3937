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
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve
from bench import aims, docs, guard
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
    parser.add_argument("--files", type=int, help="of directories that the cache has no room for")
    parser.add_argument("--json", type=Path, help="write all samples there")
    return parser


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- that is what it is for


def measured(parts: Iterable[Part], plan: Plan) -> Iterator[tuple[str, list[Figure]]]:
    """Run them; each part's tables are shown as soon as they are there.

    A part that fails is told of, and the others go on: what they measured is not lost.
    """
    failed = []
    for part in parts:
        begun = time.monotonic()
        try:
            sheet = part.run(plan)
        except Exception:
            traceback.print_exc()
            failed.append(part.name)
            continue
        took = time.monotonic() - begun
        say(f"## {part.title} ({part.name}{', quick' if plan.quick else ''}; {took:.0f} s)\n")
        say(tables(sheet.summaries(), part.names) + "\n")
        yield part.name, sheet.figures
    if failed:
        say(f"FAILED, see above: {', '.join(failed)}")


def summed_up(about: dict[str, Any], figures: list[Figure]) -> Run:
    return Run(about, [figure.summary() for figure in figures])


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
        for name in ("rounds", "idle", "clients", "count", "files")
        if getattr(asked, name) is not None
    }
    if asked.write:
        docs.check(asked.parts or PARTS)  # not after half an hour
    about = environment(python)
    full, quick = Plan(python=python), Plan.reduced(python)
    plan = evolve(quick if asked.quick else full, **changes)
    parts = chosen(asked.parts, asked.quick)
    every: list[Figure] = []
    for name, figures in measured(parts, plan):
        every += figures
        if asked.write:
            kept.keep(name, summed_up(about, figures), asked.quick)
    if asked.json is not None:
        asked.json.write_text(with_samples(about, every))
    if asked.quick and not asked.write:
        then = [
            one
            for part in parts
            if part.name in kept.quick
            for one in kept.quick[part.name].figures
        ]
        say(guard.guard(then, [figure.summary() for figure in every]))
    elif asked.write and not asked.quick:
        for name, figures in measured([part for part in parts if part.quick], quick):
            kept.keep(name, summed_up(about, figures), True)
        say(f"{aims.table(kept.full)}\n")
        say(f"written: {', '.join([KEPT.name, *docs.write(kept.full)])}")


if __name__ == "__main__":
    main()
