"""Two drawings: ratios as bars with their spread, and cost against size as lines, log-log."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from bench.figures import OURS, REAL, Summary
from bench.markdown import NAMES, number
from bench.svg import COLOURS, GRID, INK, Drawing

GOOD, BAD, EVEN = "#2f9447", "#c0392b", "#555555"
_ROW, _BARS, _LABELS, _TOP = 20, 420, 330, 46


def slug(text: str) -> str:
    """As a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("µ", "u")).strip("-")


def plots(part: str, figures: Sequence[Summary], title: str) -> dict[str, str]:
    """A part's drawings by file name; of each table one with bars, one with lines, if it has both.

    Figures without a rival of Ceph's are drawn as lines only.
    """
    made = {}
    for table in dict.fromkeys(one.key.table for one in figures):
        mine = [one for one in figures if one.key.table == table]
        name = "-".join(filter(None, [part, slug(table)]))
        shown = f"{title}: {table}" if table else title
        bars = [one for one in mine if one.ratio and one.rival == REAL and one.key.size is None]
        quantities = list(dict.fromkeys(one.key.quantity for one in bars))
        if bars:
            first = [one for one in bars if one.key.quantity == quantities[0]]
            made[f"{name}.svg"] = bar_chart(first, shown)
        sized = [one for one in mine if one.key.size is not None]
        for unit in dict.fromkeys(one.unit for one in sized):
            lines = [one for one in sized if one.unit == unit]
            made[f"{name}-size-{slug(unit)}.svg"] = line_chart(lines, shown)
    return made


# -- bars --------------------------------------------------------------------------------------


def bar_chart(figures: Sequence[Summary], title: str) -> str:
    """Ratios on a logarithmic axis, from 1.0 to either side; the spread is a thin line."""
    ends = [end for one in figures for end in (one.spread or (one.ratio or 1, one.ratio or 1))]
    low = min(0.5, *(end for end in ends if end > 0))
    high = max(2.0, *ends)
    place = _log_scale(low / 1.1, high * 1.1, _LABELS, _LABELS + _BARS)
    height = _TOP + _ROW * len(figures) + 40
    page = Drawing(_LABELS + _BARS + 90, height, title)
    page.text(12, 20, title, size=14, bold=True)
    page.text(12, 37, "ratio to ceph-mds; green is better than it, red is worse", size=11)
    bottom = _TOP + _ROW * len(figures)
    for tick in _ticks(low / 1.1, high * 1.1):
        colour = INK if tick == 1 else GRID
        page.line([(place(tick), _TOP), (place(tick), bottom)], colour)
        page.text(place(tick), bottom + 16, f"{tick:g}", anchor="middle", size=11)
    for row, one in enumerate(figures):
        ratio = one.ratio or 1.0
        y = _TOP + row * _ROW
        better = ratio > 1 if one.better == "higher" else ratio < 1
        colour = EVEN if ratio == 1 else GOOD if better else BAD
        left, right = sorted((place(1.0), place(ratio)))
        page.rectangle(left, y + 4, max(right - left, 1), _ROW - 8, colour)
        if one.spread is not None and one.runs > 1:
            page.line([(place(max(end, 1e-9)), y + _ROW / 2) for end in one.spread], INK, 1.5)
        label = one.key.name if len(one.key.name) < 52 else one.key.name[:50] + "…"
        page.text(_LABELS - 8, y + 14, label, anchor="end")
        page.text(_LABELS + _BARS + 12, y + 14, number(ratio))
    return page.source()


# -- lines -------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _LEGEND = 480, 320, 70, 350


def line_chart(figures: Sequence[Summary], title: str) -> str:
    """What one costs (or one second does), at each size; ours whole, ceph-mds's dashed."""
    curves = _curves(figures)
    sizes = [n for points in curves.values() for n in points]
    values = [value for points in curves.values() for value in points.values()]
    x = _log_scale(min(sizes) / 1.2, max(sizes) * 1.2, _LEFT, _LEFT + _WIDTH)
    y = _log_scale(min(values) / 1.3, max(values) * 1.3, _TOP + _HEIGHT, _TOP)
    page = Drawing(_LEFT + _WIDTH + _LEGEND, max(_TOP + _HEIGHT + 50, 60 + 16 * len(curves)), title)
    page.text(12, 20, title, size=14, bold=True)
    page.text(12, 37, f"{figures[0].unit} for each, at a size of …; both logarithmic", size=11)
    for size in sorted(set(sizes)):
        page.line([(x(size), _TOP), (x(size), _TOP + _HEIGHT)], GRID)
        page.text(x(size), _TOP + _HEIGHT + 16, f"{size:,}", anchor="middle", size=10)
    for tick in _ticks(min(values) / 1.3, max(values) * 1.3):
        page.line([(_LEFT, y(tick)), (_LEFT + _WIDTH, y(tick))], GRID)
        page.text(_LEFT - 6, y(tick) + 4, f"{tick:g}", anchor="end", size=10)
    names = list(dict.fromkeys(name for name, _ in curves))
    for row, ((name, kind), points) in enumerate(curves.items()):
        colour = COLOURS[names.index(name) % len(COLOURS)]
        dashes = "" if kind == OURS else "5 3"
        path = [(x(size), y(value)) for size, value in sorted(points.items())]
        page.line(path, colour, 1.8, dashes)
        for at in path:
            page.dot(*at, colour)
        left, middle = _LEFT + _WIDTH + 14, _TOP + 8 + 16 * row
        page.line([(left, middle), (left + 22, middle)], colour, 1.8, dashes)
        page.text(left + 28, middle + 4, f"{name}, {NAMES[kind]}"[:46], size=11)
    return page.source()


def _curves(figures: Sequence[Summary]) -> Mapping[tuple[str, str], dict[int, float]]:
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for one in figures:
        for kind in (OURS, REAL):
            if one.key.size and one.medians.get(kind, 0) > 0:
                curves.setdefault((one.key.name, kind), {})[one.key.size] = one.medians[kind]
    return curves


def _log_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    each = (end - start) / math.log(high / low)
    return lambda value: start + each * math.log(value / low)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 of each power of ten in between; only the powers where those were too many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [step * 10.0**power for power in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]
