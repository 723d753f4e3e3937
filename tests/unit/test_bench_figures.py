"""Figures of the bench: ratios, spreads, what is kept of them, and how costs grow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.figures import LOOP, OURS, REAL, Figure, Key, Sheet, Summary, means, percentile, rounded
from bench.growth import WORSE, exponent
from bench.results import Results, Run, figures_from_json, with_samples

CREATE = Key("operations", "create", "1 client", "rate")


def figure(ours: list[float], real: list[float], **how: str) -> Figure:
    return Figure(CREATE, "/s", "higher", {OURS: ours, REAL: real})


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_neighbours() -> None:
    summary = figure([50.0, 10.0, 40.0], [100.0, 50.0, 100.0]).summary()
    assert summary.medians == {OURS: 40.0, REAL: 100.0}
    assert summary.ratio == 0.4
    assert summary.spread == (0.2, 0.5)
    assert summary.width == 2.5
    assert summary.runs == 3
    assert summary.rival == REAL


def test_without_a_rival_there_is_no_ratio() -> None:
    alone = Figure(CREATE, "µs", "lower", {OURS: [3.0, 1.0, 2.0]}).summary()
    assert (alone.ratio, alone.spread, alone.rival, alone.width) == (None, None, None, 1.0)
    assert alone.comparable is None
    size = Figure(CREATE, "bytes", "lower", {OURS: [3.0, 1.0, 2.0]}).summary()
    assert size.comparable == 2.0


def test_a_rival_of_zero_gives_no_ratio() -> None:
    summary = figure([1.0, 2.0], [0.0, 0.0]).summary()
    assert summary.ratio is None
    assert summary.spread is None


def test_a_life_that_one_of_them_lacks_counts_for_no_pair() -> None:
    assert figure([1.0, 2.0, 9.0], [1.0, 1.0]).summary().spread == (1.0, 2.0)


def test_a_sheet_gathers_samples_by_key() -> None:
    sheet = Sheet("operations")
    for kind, value in ((OURS, 1.0), (REAL, 2.0), (OURS, 3.0), (REAL, 4.0)):
        sheet.add("create", kind, value, "/s", better="higher", table="1 client", quantity="rate")
    sheet.add("create", REAL, 5.0, "µs", table="4 clients")  # nobody of ours was measured there
    assert [one.key for one in sheet.figures] == [CREATE]
    assert sheet.figures[0].samples == {OURS: [1.0, 3.0], REAL: [2.0, 4.0]}
    assert str(CREATE) == "1 client, create, rate"
    assert str(Key("tree", "lookup", size=100_000)) == "lookup, at 100,000"


@pytest.mark.parametrize(
    "key", [CREATE, Key("codecs", "MClientCaps"), Key("tree", "lookup", "in", size=10)]
)
@pytest.mark.parametrize("kinds", [(OURS,), (OURS, REAL), (LOOP, OURS)])
def test_summaries_survive_json(key: Key, kinds: tuple[str, ...]) -> None:
    samples = {kind: [1.5 + n, 2.25 + n, 4.125] for n, kind in enumerate(kinds)}
    before = Figure(key, "µs", "lower", samples).summary()
    plain = json.loads(json.dumps(before.to_plain()))
    after = Summary.from_plain(plain)
    assert after.key == before.key
    assert after.to_plain() == before.to_plain()
    assert after.rival == before.rival


def test_all_samples_survive_json() -> None:
    made = [
        figure([1.0, 2.0], [3.0, 4.0]),
        Figure(Key("a", "b", size=3), "s", "lower", {OURS: [1]}),
    ]
    assert figures_from_json(with_samples({"python": "3"}, made)) == made


def test_the_file_has_a_line_for_each_figure(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    summaries = [
        figure([1.0], [2.0]).summary(),
        Figure(Key("x", "y"), "s", "lower", {OURS: [1.0]}).summary(),
    ]
    about = {"python": "3.11", "loop_ns": 300.0}
    Results({"operations": Run(about, summaries)}, {}).save(path)
    text = path.read_text()
    assert sum('"unit"' in line for line in text.splitlines()) == len(summaries)
    kept = Results.load(path)
    assert kept.full["operations"].environment == about
    assert [one.to_plain() for one in kept.full["operations"].figures] == [
        one.to_plain() for one in summaries
    ]
    assert kept.quick == {}


def test_a_part_takes_the_place_of_its_earlier_run(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    kept, other = Results({}, {}), Results({}, {})
    for part, ours, quick in (
        ("a", 1.0, False),
        ("b", 2.0, False),
        ("a", 3.0, False),
        ("a", 4.0, True),
    ):
        summary = Figure(Key(part, "y"), "s", "lower", {OURS: [ours]}).summary()
        (other if part == "b" else kept).keep(part, Run({}, [summary]), quick, path)
    again = Results.load(path)
    held = [
        {name: run.figures[0].medians[OURS] for name, run in runs.items()}
        for runs in (again.full, again.quick)
    ]
    assert held == [{"a": 3.0, "b": 2.0}, {"a": 4.0}]


def test_a_file_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert Results.load(tmp_path / "none.json") == Results({}, {})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"full": {"a": {}}, "quick": {}}', '{"full": 3, "quick": {}}']
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"figures\.json holds no figures"):
        Results.load(path)


def test_numbers() -> None:
    assert rounded(1234567.0) == 1235000
    assert rounded(0.00123456) == 0.001235
    assert rounded(0.0) == 0
    assert percentile([5, 1, 4, 2, 3], 50) == 3
    assert percentile([1], 99) == 1
    assert means([figure([1.0], [4.0]).summary(), figure([1.0], [1.0]).summary()]) == 0.5
    assert means([]) is None


def test_growth() -> None:
    flat = dict.fromkeys((10, 1000, 10000, 1000000), 7.0)
    assert exponent(flat) == pytest.approx(1.0)
    square = {n: 0.5 * n for n in (1_000, 10_000, 100_000)}
    assert exponent(square) == pytest.approx(2.0)
    assert (exponent(square) or 0) > WORSE
    # What is paid once is no growth, and small sizes are not looked at.
    assert (exponent({n: 1 + 1000 / n for n in (10, 100, 1_000, 10_000, 100_000)}) or 9) < 1.0
    assert exponent({10: 1.0, 100: 5.0, 1_000: 9.0}) is None
