"""What the items of the purge queue delete: which objects, in which pools.

Behaviour: ceph/ceph, src/mds/PurgeQueue.cc (_execute_item, _commit_ops, _calculate_ops),
src/osdc/Filer.cc (purge_range, zero), src/osdc/Striper.cc (get_num_objects) (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from mdsdaemon.clients.journaler_extents import extents, object_name
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result
from mdsdaemon.rank.cache import fragtree
from mdsdaemon.rank.filer import objects_below
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.journal_store import PurgeAction, PurgeItem
from mdsdaemon.types.snap import SnapContext

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

_ENOENT = 2


@attrs.frozen
class ObjectWork:
    """One operation on one object."""

    pool: int
    oid: str
    op: ObjectOperation
    namespace: str = ""
    snapc: SnapContext | None = None


def is_valid(item: PurgeItem) -> bool:
    """Whether it says what to delete."""
    if item.action == PurgeAction.PURGE_DIR:
        return True
    if item.action not in (PurgeAction.PURGE_FILE, PurgeAction.TRUNCATE_FILE):
        return False
    # a file without objects, such as a symlink, need not have a layout
    needs_layout = item.size > 0 or item.action == PurgeAction.TRUNCATE_FILE
    return item.layout.is_valid() if needs_layout else True


def weight(item: PurgeItem, at_once: int) -> int:
    """How many operations it counts as, against the limit of the queue."""
    if item.action == PurgeAction.PURGE_DIR:
        leaves = fragtree.get_leaves(item.fragtree)
        return 1 + (len(leaves) if len(leaves) > 1 else 0)
    count = min(objects_below(item.layout, item.size) if item.size else 1, at_once)
    if item.action != PurgeAction.TRUNCATE_FILE:
        count += len(item.old_pools)
    return count


def operations(item: PurgeItem, metadata_pool: int) -> Iterator[ObjectWork]:
    """What is to be done for an item that is valid."""
    if item.action == PurgeAction.PURGE_DIR:
        yield from _purge_dir(item, metadata_pool)
    elif item.action == PurgeAction.PURGE_FILE:
        yield from _purge_file(item)
    else:
        yield from _truncate(item)


def _purge_dir(item: PurgeItem, pool: int) -> Iterator[ObjectWork]:
    leaves = fragtree.get_leaves(item.fragtree)
    whole = Frag(0)
    for frag in [*(leaf for leaf in leaves if leaf != whole), whole]:
        yield ObjectWork(pool, object_name(item.ino, frag.enc), ObjectOperation().remove())


def _purge_file(item: PurgeItem) -> Iterator[ObjectWork]:
    layout, snapc = item.layout, item.snapc
    if item.size:
        yield from _range(item, 0, objects_below(layout, item.size))
    head = object_name(item.ino, 0)
    if not item.size or layout.pool_ns:
        # the backtrace is kept outside of the namespace
        yield ObjectWork(layout.pool_id, head, ObjectOperation().remove(), "", snapc)
    for pool in item.old_pools:
        yield ObjectWork(pool, head, ObjectOperation().remove(), "", snapc)


def _truncate(item: PurgeItem) -> Iterator[ObjectWork]:
    layout = item.layout
    yield from _range(item, 1, objects_below(layout, item.size))
    for extent in extents(layout, 0, layout.object_size):
        op = ObjectOperation()
        whole = extent.offset == 0 and extent.length == layout.object_size
        if whole and extent.number:
            op.remove()
        else:
            op.zero(extent.offset, extent.length)  # the first one has the backtrace
        oid = object_name(item.ino, extent.number)
        yield ObjectWork(layout.pool_id, oid, op, layout.pool_ns, item.snapc)


def _range(item: PurgeItem, start: int, end: int) -> Iterator[ObjectWork]:
    layout = item.layout
    for number in range(start, end):
        yield ObjectWork(
            layout.pool_id,
            object_name(item.ino, number),
            ObjectOperation().remove(),
            layout.pool_ns,
            item.snapc,
        )


class Execution:
    """The operations of one item under way, a few at a time, at leisure.

    Args:
        on_done: called once, with the first error (objects that do not exist are none), or None.
    """

    __slots__ = ("_at_once", "_error", "_next", "_on_done", "_rank", "_running", "_work")

    def __init__(
        self,
        rank: RankCore,
        work: Iterator[ObjectWork],
        at_once: int,
        on_done: Callable[[RadosError | None], None],
    ) -> None:
        self._rank = rank
        self._work = work
        self._at_once = max(at_once, 1)
        self._on_done = on_done
        self._error: RadosError | None = None
        self._next: ObjectWork | None = None
        self._running = 0  # operations under way, or about to be

    def start(self) -> None:
        """Begin."""
        self._next = next(self._work, None)
        if self._next is None:
            self._on_done(None)
        else:
            self._one_more()

    def _one_more(self) -> None:
        self._running += 1
        self._rank.leisure.push(self._submit)

    def _submit(self) -> None:
        one = self._next
        if one is None:
            self._one_less()
            return
        self._next = next(self._work, None)
        self._rank.objecter.submit(
            one.pool, one.oid, one.op, self._finished, namespace=one.namespace, snapc=one.snapc
        )
        if self._next is not None and self._running < self._at_once:
            self._one_more()

    def _one_less(self) -> None:
        self._running -= 1
        if not self._running:
            self._on_done(self._error)

    def _finished(self, outcome: Result | RadosError) -> None:
        if (
            isinstance(outcome, RadosError)
            and outcome.errno != _ENOENT
            and (self._error is None or outcome.errno == EBLOCKLISTED)
        ):
            self._error = outcome
            if outcome.errno == EBLOCKLISTED:
                self._next = None  # the others would be refused as well
        if self._next is None:
            self._one_less()
        else:
            self._rank.leisure.push(self._submit)
