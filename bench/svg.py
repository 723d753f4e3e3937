"""A drawing: lines, rectangles, text, on a page that is white whatever the reader's theme."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

FONT = "Helvetica, Arial, sans-serif"
INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"
COLOURS = ("#1f6fb4", "#d9731a", "#2f9447", "#8857a8", "#8c564b", "#d14b8f", "#6f6f6f", "#a8a51f")


class Drawing:
    """Elements in the order in which they are drawn; coordinates in pixels from the upper left."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height = width, height
        self._root = ET.Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {height}",
            width=str(width),
            height=str(height),
        )
        ET.SubElement(self._root, "title").text = title
        self.rectangle(0, 0, width, height, PAPER)

    def rectangle(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        ET.SubElement(
            self._root, "rect", x=_n(x), y=_n(y), width=_n(width), height=_n(height), fill=fill
        )

    def line(
        self, points: Sequence[tuple[float, float]], colour: str = INK, width: float = 1,
        dashes: str = "",
    ) -> None:  # fmt: skip
        """Through all points."""
        element = ET.SubElement(
            self._root,
            "polyline",
            points=" ".join(f"{_n(x)},{_n(y)}" for x, y in points),
            fill="none",
            stroke=colour,
        )
        element.set("stroke-width", _n(width))
        if dashes:
            element.set("stroke-dasharray", dashes)

    def dot(self, x: float, y: float, colour: str, radius: float = 2.5) -> None:
        ET.SubElement(self._root, "circle", cx=_n(x), cy=_n(y), r=_n(radius), fill=colour)

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", size: int = 12,
        colour: str = INK, bold: bool = False,
    ) -> None:  # fmt: skip
        """At a baseline; `anchor` is start, middle or end."""
        element = ET.SubElement(self._root, "text", x=_n(x), y=_n(y), fill=colour)
        element.set("font-family", FONT)
        element.set("font-size", str(size))
        element.set("text-anchor", anchor)
        if bold:
            element.set("font-weight", "bold")
        element.text = text

    def source(self) -> str:
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
