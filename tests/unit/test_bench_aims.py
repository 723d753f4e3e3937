"""What the bench aims at: each aim finds its figure under the names that the parts give."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import aims, standby
from bench.aims import AIMS, Aim, table
from bench.figures import OURS, REAL, Better, Sheet
from bench.parts import PARTS
from bench.results import Run

BENCH = Path(standby.__file__).parent


def run(sheet: Sheet) -> dict[str, Run]:
    return {sheet.part: Run({}, sheet.summaries())}


def shown(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if name in line]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_operations_are_weighted_equally() -> None:
    sheet = Sheet("operations")
    for step, ours in (("create", 100.0), ("lookup", 400.0)):
        for kind, rate in ((OURS, ours), (REAL, 400.0)):
            sheet.add(step, kind, rate, "/s", better="higher", table="1 client", quantity="rate")
    text = table(run(sheet))
    assert shown(text, "operations a second, one client") == ["≥ 0.70", "0.50", "**no**"]
    assert shown(text, "four clients") == ["≥ 0.60", "–", "not measured"]
    assert len(text.splitlines()) == len(AIMS) + 2


def test_reached_and_not() -> None:
    sheet = Sheet("standby")
    for name, ours in (("exec to up:standby in the map", 3.0), ("SIGTERM to exit", 0.5)):
        sheet.add(name, OURS, ours, "s")
        sheet.add(name, REAL, 1.0, "s")
    text = table(run(sheet))
    assert shown(text, "exec to standby") == ["≤ 1.50", "3.00", "**no**"]
    assert shown(text, "SIGTERM") == ["≤ 0.50", "0.50", "yes"]


def test_the_worst_growth_counts() -> None:
    sheet = Sheet("structures")
    for size in (10, 1_000, 10_000, 100_000):
        sheet.add("flat", OURS, 5.0, "µs", table="a directory of", size=size)
        sheet.add("steep", OURS, 0.1 * size**0.5, "µs", table="a directory of", size=size)
    assert shown(table(run(sheet)), "within one process") == ["≤ 1.20", "1.50", "**no**"]


@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: aim.name)
def test_every_aim_is_of_a_part_that_gives_its_figure(aim: Aim) -> None:
    assert aim.part in PARTS
    source = (BENCH / f"{aim.part}.py").read_text()
    closure = getattr(aim.value, "__closure__", None) or ()
    for cell in closure:
        if isinstance(cell.cell_contents, str) and cell.cell_contents != "4 clients":
            words = cell.cell_contents.removeprefix("more, ")
            assert words in source or words == "p50", words


@pytest.mark.parametrize(("better", "enough"), [("higher", 2.0), ("lower", 0.5)])
def test_which_way_counts(better: Better, enough: float) -> None:
    aim = aims.Aim("x", "standby", lambda figures: None, better, 1.0)
    assert aim.reached(enough)
    assert aim.reached(1.0)
    assert not aim.reached(1 / enough)
