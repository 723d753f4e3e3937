"""What the bench writes: tables, drawings, places in the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench import docs
from bench.figures import LOOP, OURS, REAL, Key, Sheet, Summary
from bench.markdown import grid, number, ratio, tables
from bench.parts import PARTS
from bench.plots import bar_chart, line_chart, plots
from bench.results import Run

SVG = "{http://www.w3.org/2000/svg}"
ABOUT = {
    "day": "2026-01-02", "machine": "a box", "ceph": "ceph version 16.2.15", "python": "3.11.2",
    "built": "with optimizations", "loop_ns": 300.0, "load": 0.25,
}  # fmt: skip


def operations() -> list[Summary]:
    sheet = Sheet("operations")
    for step, ours in (("create", 400.0), ("lookup", 1500.0)):
        for life in range(3):
            for kind, rate in ((OURS, ours + life), (REAL, 1000.0)):
                sheet.add(
                    step, kind, rate, "/s", better="higher", table="1 client", quantity="rate"
                )
                sheet.add(step, kind, 1e6 / rate, "µs", table="1 client", quantity="p50")
    return sheet.summaries()


def sizes(growth: float = 1.0) -> list[Summary]:
    sheet = Sheet("tree")
    for size in (10, 1_000, 100_000):
        for kind, factor in ((OURS, 2.0), (REAL, 1.0)):
            sheet.add("lookup", kind, factor * size ** (growth - 1), "µs", table="in", size=size)
    return sheet.summaries()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_of_several_quantities() -> None:
    lines = tables(operations()).splitlines()
    assert lines[0] == "1 client:"
    head, rule, create, lookup = map(cells, lines[2:6])
    assert head == [
        "what", "rate/s: mdsdaemon / ceph-mds", "ratio (spread)",
        "p50, µs: mdsdaemon / ceph-mds", "ratio (spread)",
    ]  # fmt: skip
    assert set("".join(rule)) == {"-", ":"}
    assert create == [
        "create",
        "401 / 1,000",
        "**0.40** (0.40–0.40)",
        "2,494 / 1,000",
        "**2.49** (2.49–2.50)",
    ]
    assert lookup[0] == "lookup"
    assert len({len(line) for line in lines[2:6]}) == 1  # columns are aligned


def test_a_table_of_one_quantity_with_other_names() -> None:
    sheet = Sheet("embedded")
    sheet.add("start", OURS, 0.5, "s")
    sheet.add("start", REAL, 2.0, "s")
    sheet.add("stop", OURS, 0.25, "s")
    lines = tables(sheet.summaries(), {OURS: "ours", REAL: "Ceph"}).splitlines()
    assert [cells(line) for line in lines if "---" not in line] == [
        ["what", "unit", "ours", "Ceph", "ratio (spread)"],
        ["start", "s", "0.50", "2.00", "**0.25**"],
        ["stop", "s", "0.25", "–", "–"],
    ]


def test_the_calibrating_loop_is_not_shown() -> None:
    sheet = Sheet("codecs")
    for kind in (LOOP, OURS):
        sheet.add("MClientCaps", kind, 3.0, "/s", better="higher")
    text = tables(sheet.summaries())
    assert "loop" not in text
    assert "ratio" not in text
    assert cells(text.splitlines()[2]) == ["MClientCaps", "1/s", "3.00"]


def test_means_are_told_where_there_are_rows_enough() -> None:
    sheet = Sheet("operations")
    for n in range(5):
        for kind, value in ((OURS, 4.0), (REAL, 8.0)):
            sheet.add(f"step {n}", kind, value, "/s", better="higher", quantity="rate")
            sheet.add(f"step {n}", kind, value, "µs", quantity="p50")
    assert tables(sheet.summaries()).endswith("geometric means of the ratios: rate 0.50, p50 0.50.")


def test_costs_by_size_tell_how_the_whole_grows() -> None:
    rows = [cells(line) for line in tables(sizes()).splitlines() if line.startswith("|")]
    assert rows[0] == ["each", "unit", "daemon", "10", "1,000", "100,000", "the whole grows as"]
    assert rows[2] == ["lookup", "µs", "mdsdaemon", "2.00", "2.00", "2.00", "n^1.00"]
    assert rows[3][2] == "ceph-mds"
    assert "**n^1.50**" in tables(sizes(1.5))  # worse than linear is seen


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (123456.7, "123,457"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.012")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_one_run_has_no_spread_to_show() -> None:
    key = Key("a", "b")
    assert ratio(Summary(key, "s", "lower", {OURS: 1, REAL: 2}, 0.5, (0.5, 0.5), 1)) == "**0.50**"
    assert ratio(Summary(key, "s", "lower", {OURS: 1}, None, None, 5)) == "–"


def test_a_grid_is_aligned() -> None:
    assert grid(["a", "long head"], [["x", "1"], ["yy", "22"]]).splitlines() == [
        "| a  | long head |",
        "| -- | --------: |",
        "| x  |         1 |",
        "| yy |        22 |",
    ]


# -- drawings ----------------------------------------------------------------------------------


def elements(source: str, kind: str) -> list[ET.Element]:
    return ET.fromstring(source).findall(f"{SVG}{kind}")


def numbers(element: ET.Element, *names: str) -> Iterator[float]:
    for name in names:
        yield float(element.attrib[name])


def test_bars_point_to_the_side_of_the_better() -> None:
    rates = [one for one in operations() if one.key.quantity == "rate"]
    source = bar_chart(rates, "Operations")
    texts = [element.text for element in elements(source, "text")]
    assert {"create", "lookup", "0.40", "1.50"} <= set(texts)
    paper, slower, faster = elements(source, "rect")
    assert tuple(numbers(paper, "x", "y")) == (0, 0)
    even = next(numbers(faster, "x"))  # where 1.0 is
    assert sum(numbers(slower, "x", "width")) == pytest.approx(even, abs=0.2)
    assert slower.attrib["fill"] != faster.attrib["fill"]
    for element in (slower, faster):
        right, bottom = sum(numbers(element, "x", "width")), sum(numbers(element, "y", "height"))
        assert right < next(numbers(paper, "width"))
        assert bottom < next(numbers(paper, "height"))


def test_lines_are_straight_where_both_axes_are_logarithmic() -> None:
    source = line_chart(sizes(1.5), "Costs")
    curves = [e.attrib["points"].split() for e in elements(source, "polyline")]
    ours, real = [points for points in curves if len(points) == 3]
    for curve in (ours, real):
        (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, p.split(","))) for p in curve]
        assert (y1 - y0) / (x1 - x0) == pytest.approx((y2 - y1) / (x2 - x1), rel=0.01)
        assert x0 < x1 < x2
        assert y0 > y1 > y2  # the cost grows upwards
    assert len(elements(source, "circle")) == 6


def test_hostile_names_are_text() -> None:
    sheet = Sheet("x")
    for kind in (OURS, REAL):
        sheet.add("<script>&\"'", kind, 1.0, "s")
    source = bar_chart(sheet.summaries(), "a & b < c")
    assert elements(source, "title")[0].text == "a & b < c"
    assert "<script>" not in source


def test_each_table_has_its_drawings() -> None:
    assert set(plots("operations", operations(), "Operations")) == {"operations-1-client.svg"}
    assert set(plots("tree", sizes(), "Tree")) == {"tree-in-size-us.svg"}
    sheet = Sheet("codecs")
    for kind in (LOOP, OURS):
        sheet.add("MClientCaps", kind, 3.0, "/s", better="higher")
    assert plots("codecs", sheet.summaries(), "Codecs") == {}


# -- the page ----------------------------------------------------------------------------------

PAGE = """\
# Performance

Written by hand.

<!-- bench: aims -->
<!-- end of bench -->

<!-- bench: operations -->
old
<!-- end of bench -->

More by hand, with a | and <!-- a comment -->.

<!-- bench: tree -->
<!-- end of bench -->
The end.
"""


def test_only_what_is_between_the_markers_changes() -> None:
    text = docs.place(PAGE, {"operations": "NEW \\1"})
    assert text == PAGE.replace("old\n", "\nNEW \\1\n\n")
    assert docs.place(text, {"operations": "old"}) == PAGE.replace("old\n", "\nold\n\n")


def test_a_page_without_the_place_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="no place for codecs: write '<!-- bench: NAME -->'"):
        docs.place(PAGE, {"codecs": "x", "tree": "y"})


def test_tables_and_drawings_come_into_the_page(tmp_path: Path) -> None:
    page, folder = tmp_path / "performance.md", tmp_path / "plots"
    page.write_text(PAGE)
    runs: Mapping[str, Run] = {"operations": Run(ABOUT, operations())}
    written = docs.write(runs, page, folder)
    assert written == ["performance.md", "operations-1-client.svg"]
    text = page.read_text()
    assert "(plots/operations-1-client.svg)" in text
    assert "2026-01-02; a box; Ceph 16.2.15; Python 3.11.2, with optimizations" in text
    assert "**0.40** (0.40–0.40)" in text
    assert "\nold\n" not in text
    assert (folder / "operations-1-client.svg").read_text().startswith("<svg")
    docs.write(runs, page, folder)
    assert page.read_text() == text


def test_the_documentation_has_a_place_for_every_part() -> None:
    docs.place(docs.PAGE.read_text(), dict.fromkeys([*PARTS, "aims"], "x"))
