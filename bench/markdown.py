"""Figures as tables, for people and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.figures import LOOP, OURS, REAL, Summary, means
from bench.growth import WORSE, exponent

NAMES = {OURS: "mdsdaemon", REAL: "ceph-mds", LOOP: "calibrating loop"}


def tables(figures: Sequence[Summary], names: Mapping[str, str] = NAMES) -> str:
    """All tables of a part, each under its heading; those of cost against size last."""
    parts = []
    for title in dict.fromkeys(one.key.table for one in figures):
        mine = [one for one in figures if one.key.table == title and one.key.size is None]
        if mine:
            parts.append(_titled(title, _table(mine, names) + _overall(mine)))
        sized = [one for one in figures if one.key.table == title and one.key.size is not None]
        if sized:
            parts.append(_titled(title, _by_size(sized, names)))
    return "\n\n".join(parts)


def _titled(title: str, body: str) -> str:
    return f"{title[0].upper()}{title[1:]}:\n\n{body}" if title else body


def _table(figures: Sequence[Summary], names: Mapping[str, str]) -> str:
    quantities = list(dict.fromkeys(one.key.quantity for one in figures))
    if len(quantities) == 1:
        return _plain_table(figures, names)
    found = {(one.key.name, one.key.quantity): one for one in figures}
    head, columns = ["what"], []
    for quantity in quantities:
        mine = [one for one in figures if one.key.quantity == quantity]
        kinds = list(dict.fromkeys(kind for one in mine for kind in shown(one)))
        unit = mine[0].unit if mine[0].unit.startswith("/") else f", {mine[0].unit}"
        who = f": {' / '.join(names[kind] for kind in kinds)}" if len(kinds) > 1 else ""
        head += [f"{quantity}{unit}{who}", *(["ratio (spread)"] if len(kinds) > 1 else [])]
        columns.append((quantity, len(kinds) > 1))
    rows = []
    for name in dict.fromkeys(one.key.name for one in figures):
        row = [name]
        for quantity, compared in columns:
            one = found.get((name, quantity))
            row.append(" / ".join(map(number, shown(one).values())) if one else "–")
            row += [ratio(one) if one else "–"] if compared else []
        rows.append(row)
    return grid(head, rows)


def _plain_table(figures: Sequence[Summary], names: Mapping[str, str]) -> str:
    kinds = list(dict.fromkeys(kind for one in figures for kind in shown(one)))
    head = ["what", "unit", *(names[kind] for kind in kinds)]
    rows = []
    for one in figures:
        values = shown(one)
        cells = [number(values[kind]) if kind in values else "–" for kind in kinds]
        rows.append([one.key.name, _per(one.unit), *cells])
        rows[-1] += [ratio(one)] if len(kinds) > 1 else []
    return grid([*head, *(["ratio (spread)"] if len(kinds) > 1 else [])], rows, text_columns=2)


def shown(summary: Summary) -> dict[str, float]:
    """The medians that say something to people: not those of the calibrating loop."""
    return {kind: value for kind, value in summary.medians.items() if kind != LOOP}


def _per(unit: str) -> str:
    return f"1{unit}" if unit.startswith("/") else unit


def _overall(figures: Iterable[Summary]) -> str:
    """The geometric mean over the rows of each quantity, where there are enough to speak of."""
    by_quantity: dict[str, list[Summary]] = {}
    for one in figures:
        if one.key.quantity and one.rival == REAL:
            by_quantity.setdefault(one.key.quantity, []).append(one)
    told = [
        f"{quantity} {mean:.2f}"
        for quantity, mine in by_quantity.items()
        if len(mine) > 4 and (mean := means(mine)) is not None
    ]
    return f"\n\nOver all rows, geometric means of the ratios: {', '.join(told)}." if told else ""


def _by_size(figures: Sequence[Summary], names: Mapping[str, str]) -> str:
    """A row for each thing and contestant, a column for each size, and how the whole cost grows."""
    sizes = sorted({one.key.size or 0 for one in figures})
    rows = []
    for name, unit in dict.fromkeys((one.key.name, one.unit) for one in figures):
        mine = {one.key.size: one for one in figures if one.key.name == name}
        kinds = [k for k in (OURS, REAL) if any(k in one.medians for one in mine.values())]
        for kind in kinds:
            points = {
                size: mine[size].medians[kind]
                for size in sizes
                if size in mine and kind in mine[size].medians
            }
            grows = exponent(points)
            power = "–" if grows is None else f"n^{grows:.2f}"
            if grows is not None and grows > WORSE:
                power = f"**{power}**"
            values = [number(points[size]) if size in points else "–" for size in sizes]
            rows.append([name, unit, names.get(kind, kind), *values, power])
    head = ["each", "unit", "daemon", *(f"{size:,}" for size in sizes), "the whole grows as"]
    return grid(head, rows, text_columns=3)


def number(value: float) -> str:
    """With as many digits as say something."""
    if value >= 100 or not value:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def ratio(summary: Summary) -> str:
    """`**0.40** (0.38–0.44)`."""
    if summary.ratio is None:
        return "–"
    text = f"**{number(summary.ratio)}**"
    if summary.spread is not None and summary.runs > 1:
        text += f" ({number(summary.spread[0])}–{number(summary.spread[1])})"
    return text


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """A Markdown table that is one for the eye too: columns are as wide as they need be."""
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    ends = ["-" if i < text_columns else ":" for i in range(len(widths))]
    rule = ["-" * (width - 1) + end for width, end in zip(widths, ends, strict=True)]
    return "\n".join([line(head), line(rule), *map(line, rows)])
