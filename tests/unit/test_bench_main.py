"""The bench's command line: what it shows, keeps, compares, and that a part that fails is alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import __main__ as program
from bench import docs, parts, results
from bench.figures import OURS, REAL, Sheet
from bench.parts import Part
from bench.plan import Plan

PAGE = "<!-- bench: aims -->\n<!-- end of bench -->\n<!-- bench: one -->\n<!-- end of bench -->\n"


class Fake(Part):
    """A part that is measured at once; `seconds` of ours each time it is asked."""

    seconds: list[float] = []

    def run(self, plan: Plan) -> Sheet:
        sheet = Sheet(self.name)
        value = self.seconds.pop(0)
        sheet.add("start", OURS, value, "s")
        sheet.add("start", REAL, 1.0, "s")
        return sheet


class Broken(Part):
    def run(self, plan: Plan) -> Sheet:
        raise AssertionError("no cluster came up")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parts of ours, files of the test's own."""
    for module in (program, parts, docs):
        fakes = {"one": Fake("one", "One"), "two": Broken("two", "Two", quick=False)}
        monkeypatch.setattr(module, "PARTS", fakes)
    kept, page = tmp_path / "figures.json", tmp_path / "performance.md"
    page.write_text(PAGE)
    monkeypatch.setattr(program, "KEPT", kept)
    monkeypatch.setattr(results.Results.load.__func__, "__defaults__", (kept,))  # type: ignore[attr-defined]
    monkeypatch.setattr(results.Results.keep, "__defaults__", (kept,))
    monkeypatch.setattr(docs.check, "__defaults__", (page,))
    monkeypatch.setattr(docs.write, "__defaults__", (page, tmp_path / "plots"))
    about = {
        "day": "today", "machine": "a box", "ceph": "16", "python": "3", "built": "so",
        "loop_ns": 300.0, "load": 0.0,
    }  # fmt: skip
    monkeypatch.setattr(program, "environment", lambda python: about)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *argv: str, seconds: list[float]) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *argv])
    Fake.seconds = seconds
    program.main()
    assert Fake.seconds == []


def test_a_part_that_fails_is_told_of_and_the_others_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "two", "one", seconds=[2.0])
    out, err = capsys.readouterr()
    assert "no cluster came up" in err
    assert "FAILED, see above: two" in out
    assert "| start | s    |      2.00 |     1.00 |       **2.00** |" in out


def test_what_is_kept_is_compared_with_what_comes(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--write", "one", seconds=[2.0, 2.0])  # in full, and the reduced set
    assert "written: figures.json, performance.md, one.svg" in capsys.readouterr().out
    assert "**2.00**" in (place / "performance.md").read_text()
    assert (place / "plots" / "one.svg").exists()
    run(monkeypatch, "--quick", "one", seconds=[3.0])
    out = capsys.readouterr().out
    assert "Slower than the figures that were kept" in out
    assert "one: start" in out
    run(monkeypatch, "--quick", "one", seconds=[2.1])
    assert "1 of 1 figures are as they were" in capsys.readouterr().out


def test_the_page_can_be_drawn_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--write", "one", seconds=[2.0, 2.0])
    before = (place / "performance.md").read_text()
    (place / "performance.md").write_text(PAGE)
    run(monkeypatch, "--redraw", seconds=[])
    assert (place / "performance.md").read_text() == before


def test_a_page_without_a_place_is_seen_before_anything_is_measured(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "performance.md").write_text("nothing\n")
    with pytest.raises(ValueError, match="no place for aims, one"):
        run(monkeypatch, "--write", "one", seconds=[])


def test_a_part_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "three", seconds=[])
    assert "no such part: three" in capsys.readouterr().err


def test_options_change_the_plan() -> None:
    plan = Plan.reduced("/usr/bin/python3")
    assert plan.quick
    assert Plan.from_json(plan.to_json()).pick("full", "quick") == "quick"
    assert Plan.from_json(plan.to_json()).python == "/usr/bin/python3"
