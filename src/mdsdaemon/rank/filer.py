"""The data of files: finding out how long a file is, and cutting it off, in its objects.

Behaviour: ceph/ceph, src/osdc/Filer.cc (probe, truncate) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdsdaemon.clients.journaler_extents import extents, object_name
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank.waiting import side_by_side
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.osd_op import Flag
from mdsdaemon.types.snap import SnapContext

if TYPE_CHECKING:
    from mdsdaemon.clients.objecter import Objecter

PROBES = 16
"""Objects that are looked at together, for one file."""


def file_offset(layout: FileLayout, number: int, offset: int) -> int:
    """Which byte of a file is byte `offset` of its object `number`."""
    unit, count, per_object = layout.stripe_unit, layout.stripe_count, layout.object_size
    if count == 1:
        return number * per_object + offset
    group, column = divmod(number, count)
    row, inside = divmod(offset, unit)
    stripe = group * (per_object // unit) + row
    return (stripe * count + column) * unit + inside


def objects_below(layout: FileLayout, size: int) -> int:
    """How many objects a file of `size` bytes may have, holes and all."""
    if not size:
        return 0
    groups, rest = divmod(size, layout.period)
    return groups * layout.stripe_count + min(-(-rest // layout.stripe_unit), layout.stripe_count)


async def probe(
    objecter: Objecter, ino: int, layout: FileLayout, below: int, snapid: int = NOSNAP
) -> tuple[int, int]:
    """The size of a file of which nothing lies behind `below`, and its newest mtime (ns, or 0).

    All its objects are looked at: any of them may have been written last.

    Raises:
        RadosError: an object cannot be looked at.
    """
    size = mtime = 0

    async def look(number: int) -> None:
        nonlocal size, mtime
        op = ObjectOperation()
        stat = op.stat()
        try:
            result = await objecter.operate(
                layout.pool_id,
                object_name(ino, number),
                op,
                namespace=layout.pool_ns,
                snapid=snapid,
                flags=Flag.RWORDERED,
            )
        except RadosError as exc:
            if exc.errno != errno.ENOENT:
                raise
            return
        found = result[stat]
        mtime = max(mtime, found.mtime)
        if found.size:
            size = max(size, file_offset(layout, number, found.size - 1) + 1)

    for numbers in _batches(objects_below(layout, below), PROBES):
        await side_by_side(look, numbers)
    return size, mtime


async def truncate(
    objecter: Objecter,
    ino: int,
    layout: FileLayout,
    snapc: SnapContext,
    size: int,
    old_size: int,
    seq: int,
    *,
    at_once: int = 128,
) -> None:
    """Cut off what lies from `size` on in a file that was `old_size` bytes long.

    Args:
        seq: number of the truncation: objects that know of it are left alone.
        at_once: requests under way at a time.

    Raises:
        RadosError: an object cannot be cut off.
    """
    period = layout.period
    # the period in which the new end lies is cut somewhere inside its objects, the others at 0
    first = size // period * period
    cut: dict[int, int] = {}
    if size % period:
        cut = {part.number: part.offset for part in extents(layout, size, period - (size - first))}
    start = first // period * layout.stripe_count + (layout.stripe_count if cut else 0)
    count = max(-(-old_size // period) * layout.stripe_count, start)

    async def trim(number: int) -> None:
        op = ObjectOperation().trimtrunc(cut.get(number, 0), seq)
        try:
            await objecter.operate(
                layout.pool_id,
                object_name(ino, number),
                op,
                namespace=layout.pool_ns,
                snapc=snapc,
            )
        except RadosError as exc:
            if exc.errno != errno.ENOENT:
                raise

    for numbers in _batches(count, at_once, start):
        await side_by_side(trim, numbers)
    await side_by_side(trim, cut)


def _batches(stop: int, at_once: int, start: int = 0) -> Iterator[range]:
    """Numbers from the last down to `start`, some at a time."""
    while stop > start:
        begin = max(start, stop - max(at_once, 1))
        yield range(begin, stop)
        stop = begin
