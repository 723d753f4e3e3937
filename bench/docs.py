"""Tables and drawings into docs/: between markers, so that what people wrote around them stays.

<!-- bench: operations -->
(written by the bench)
<!-- end of bench -->
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench import aims
from bench.machine import ROOT
from bench.markdown import tables
from bench.parts import PARTS
from bench.plots import plots
from bench.results import Run

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"
_PLACE = re.compile(
    r"(?P<begin><!-- bench: (?P<name>[a-z_]+) -->\n).*?(?P<end><!-- end of bench -->)", re.DOTALL
)


def place(text: str, bodies: Mapping[str, str]) -> str:
    """The page with its marked places filled; those of other names stay as they are.

    Raises:
        ValueError: the page has no place for one of them.
    """
    seen = set()

    def fill(found: re.Match[str]) -> str:
        seen.add(found["name"])
        body = bodies.get(found["name"])
        return found[0] if body is None else f"{found['begin']}\n{body}\n\n{found['end']}"

    text = _PLACE.sub(fill, text)
    if missing := sorted(set(bodies) - seen):
        raise ValueError(
            f"no place for {', '.join(missing)}: write '<!-- bench: NAME -->' and "
            "'<!-- end of bench -->' into the page, on lines of their own"
        )
    return text


def described(run: Run) -> str:
    """One line about the circumstances."""
    about = run.environment
    return (
        f"*{about['day']}; {about['machine']}; Ceph {about['ceph'].removeprefix('ceph version ')}; "
        f"Python {about['python']}, {about['built']} (a pass of the calibrating loop: "
        f"{about['loop_ns']:.0f} ns); load average when it began {about['load']:.1f}.*"
    )


def check(names: Iterable[str], page: Path = PAGE) -> None:
    """Raises ValueError: the page has no place for one of these parts."""
    place(page.read_text(), dict.fromkeys(["aims", *names], ""))


def write(runs: Mapping[str, Run], page: Path = PAGE, folder: Path = PLOTS) -> list[str]:
    """Put the tables into the page, and the drawings beside it; returns what was written."""
    bodies, written = {"aims": aims.table(runs)}, [page.name]
    folder.mkdir(exist_ok=True)
    for name, part in PARTS.items():
        if name not in runs:
            continue
        run = runs[name]
        drawings = plots(name, run.figures, part.title)
        for file, source in drawings.items():
            (folder / file).write_text(source)
        written += drawings
        shown = [f"![{part.title}]({folder.name}/{file})" for file in drawings]
        body = [described(run), tables(run.figures, part.names), *shown]
        bodies[name] = "\n\n".join(filter(None, body))
    page.write_text(place(page.read_text(), bodies))
    return written
