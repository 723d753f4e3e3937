"""Tables as Ceph's own daemons print them: columns two blanks apart, every cell padded.

Behaviour: ceph/ceph, src/common/TextTable.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def columns(
    heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[object]], *, indent: int = 0
) -> str:
    """`heads`: (heading, alignment of the cells: "<" or ">"); headings are aligned alike."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max([len(head), *(len(row[n]) for row in cells)]) for n, (head, _) in enumerate(heads)
    ]
    lines = [[head for head, _ in heads], *cells]
    return "".join(
        " " * indent
        + "  ".join(
            f"{cell:{align}{width}}"
            for cell, (_, align), width in zip(line, heads, widths, strict=True)
        )
        + "\n"
        for line in lines
    )
