"""What a journaler does with the objects of a journal beside reading and writing its bytes.

Behaviour: ceph/ceph, src/osdc/Filer.cc (probe, purge_range), Filer.h (zero) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

import trio

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.journaler_extents import Extent, extents, object_name
from mdsdaemon.clients.journaler_read import ObjectIO
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.clients.objecter_session import Outcome
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.osd_op import Flag

_MOST_PERIODS = 8


async def ask(io: ObjectIO, pool: int, oid: str, op: ObjectOperation, *, flags: int = 0) -> Outcome:
    """Have a request executed and wait; what it ended with. Cancelled, it is given up."""
    done, outcomes = trio.Event(), list[Outcome]()

    def finish(outcome: Outcome) -> None:
        outcomes.append(outcome)
        done.set()

    pending = io.submit(pool, oid, op, finish, flags=flags)
    try:
        await done.wait()
    except trio.Cancelled:
        io.cancel(pending)
        raise
    return outcomes[0]


async def probe_end(io: ObjectIO, pool: int, ino: int, layout: FileLayout, start: int) -> int:
    """Where the bytes that begin at or before `start` end: the first object that is not full.

    Raises:
        JournalError: EINVAL: the bytes end before `start`, or an object is longer than the layout
            says; or what the OSD answered.
    """
    period, count = layout.period, 1
    while True:
        stop = start - start % period + count * period
        sizes: dict[int, int] = {}

        async def size_of(extent: Extent, sizes: dict[int, int] = sizes) -> None:
            oid = object_name(ino, extent.number)
            op = ObjectOperation()
            size = op.stat()
            outcome = await ask(io, pool, oid, op, flags=Flag.RWORDERED)
            if not isinstance(outcome, RadosError):
                sizes[extent.number] = outcome[size].size
            elif outcome.errno == errno.ENOENT:
                sizes[extent.number] = 0
            else:
                what = f"journal {ino:#x}, object {oid}"
                raise JournalError(outcome.errno or errno.EIO, what, str(outcome)) from outcome

        found = extents(layout, start, stop - start)
        errors: list[JournalError] = []

        async def guarded(extent: Extent, errors: list[JournalError] = errors) -> None:
            try:
                await size_of(extent)
            except JournalError as exc:
                errors.append(exc)

        async with trio.open_nursery() as nursery:
            for extent in found:
                nursery.start_soon(guarded, extent)
        if errors:
            raise errors[0]
        ends = [
            start + end for e in found if (end := _missing(e, sizes[e.number], ino, layout)) >= 0
        ]
        if ends:
            return min(ends)
        start, count = stop, min(2 * count, _MOST_PERIODS)


def _missing(extent: Extent, size: int, ino: int, layout: FileLayout) -> int:
    """Where in the range the object's first missing byte is; -1: it is full."""
    what = f"journal {ino:#x}, object {object_name(ino, extent.number)}"
    if size > layout.object_size:
        raise JournalError(errno.EINVAL, what, f"has {size} bytes, more than its layout says")
    if size < extent.offset:
        why = f"has {size} bytes, but {extent.offset} of them were written"
        raise JournalError(errno.EINVAL, what, why)
    rest = size - extent.offset
    for where, length in extent.parts:
        if rest < length:
            return where + rest
        rest -= length
    return -1


class Removal:
    """Objects being deleted, a few at a time; those that do not exist are deleted already.

    Args:
        on_done: called once, with what went wrong first, or None.
    """

    def __init__(
        self,
        io: ObjectIO,
        pool: int,
        names: Iterable[str],
        at_once: int,
        on_done: Callable[[RadosError | None], None],
    ) -> None:
        self._io, self._pool = io, pool
        self._names = iter(names)
        self._at_once = max(at_once, 1)
        self._on_done = on_done
        self._under_way = 0
        self._starting = False
        self._all = False
        self._error: RadosError | None = None

    def start(self) -> None:
        """Begin."""
        self._more()

    def _more(self) -> None:
        if self._starting:
            return
        self._starting = True
        while not self._all and self._under_way < self._at_once:
            name = next(self._names, None) if self._error is None else None
            if name is None:
                self._all = True
                break
            self._under_way += 1
            self._io.submit(self._pool, name, ObjectOperation().remove(), self._removed)
        self._starting = False
        if self._all and not self._under_way:
            self._under_way = 1  # once
            self._on_done(self._error)

    def _removed(self, outcome: Outcome) -> None:
        self._under_way -= 1
        if isinstance(outcome, RadosError) and outcome.errno != errno.ENOENT:
            self._error = self._error or outcome
        self._more()
