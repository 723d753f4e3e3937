"""Where the bytes of a journal (or of a file) lie: in which objects, striped over them.

Format: ceph/ceph, src/osdc/Striper.cc (file_to_extents) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mdsdaemon.types.layout import FileLayout


@attrs.define
class Extent:
    """A part of one object.

    Attributes:
        number: of the object among those of the file.
        offset, length: bytes in the object.
        parts: (offset in the range asked for, length), in the order in which they lie here.
    """

    number: int
    offset: int
    length: int
    parts: list[tuple[int, int]]


def object_name(ino: int, number: int) -> str:
    """The name of a file's object."""
    return f"{ino:x}.{number:08x}"


def extents(layout: FileLayout, offset: int, length: int) -> list[Extent]:
    """The parts of objects that make up a range of bytes, one per object, by object number."""
    if layout.stripe_count == 1:
        number, at = divmod(offset, layout.object_size)
        if 0 < length <= layout.object_size - at:
            return [Extent(number, at, length, [(0, length)])]
    found: dict[int, Extent] = {}
    for number, at, where, size in _units(layout, offset, length):
        extent = found.get(number)
        if extent is None:
            found[number] = Extent(number, at, size, [(where, size)])
        else:
            extent.length += size
            extent.parts.append((where, size))
    return [found[number] for number in sorted(found)]


def _units(layout: FileLayout, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
    """(object, offset in it, offset in the range, length) of each stripe unit's part."""
    unit, count, per_object = layout.stripe_unit, layout.stripe_count, layout.object_size
    if count == 1:
        unit = per_object
    stripes = per_object // unit
    done = 0
    while done < length:
        block, inside = divmod(offset + done, unit)
        stripe, column = divmod(block, count)
        group, row = divmod(stripe, stripes)
        size = min(unit - inside, length - done)
        yield group * count + column, row * unit + inside, done, size
        done += size
