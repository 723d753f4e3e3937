"""Tables as the manager's modules print them: PrettyTable without borders.

Cells are centred in their column, an odd space goes left of texts of even length and right of odd
ones, and two spaces end each cell. A table without rows is nothing, its head left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_COLOUR: Final = re.compile(r"\033\[[0-9;]*m")
_PAD: Final = "  "

GREEN: Final = 2
YELLOW: Final = 3

_UNITS: Final = (" ", "k", "M", "G", "T", "P", "E")


def colorize(text: str, colour: int) -> str:
    return f"\033[1;{30 + colour}m{text}\033[0m"


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m"


def format_units(number: float, width: int, factor: int) -> str:
    """A number in `width` characters, the last one its unit."""
    unit = 0
    while len(f"{int(number) // factor**unit}") > width - 1 and unit < len(_UNITS) - 1:
        unit += 1
    if not unit:
        return f"{int(number):{width - 1}d}{_UNITS[0]}"
    text = f"{number / float(factor) ** unit:f}"[: width - 1]
    if text.endswith("."):
        text = " " + text[:-1]
    return text + _UNITS[unit]


def format_dimless(number: float, width: int = 5) -> str:
    return format_units(number, width, 1000)


def format_bytes(number: float, width: int = 5) -> str:
    return format_units(number, width, 1024)


def _length(text: str) -> int:
    return len(_COLOUR.sub("", text))


def _centred(text: str, width: int) -> str:
    length = _length(text)
    left, odd = divmod(width - length, 2)
    right = left
    if odd:
        left, right = (left, right + 1) if length % 2 else (left + 1, right)
    return " " * left + text + " " * right


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The table, lines parted by newlines."""
    if not rows:
        return ""
    lines = [head, *rows]
    widths = [max(_length(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "".join(_centred(cell, width) + _PAD for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
