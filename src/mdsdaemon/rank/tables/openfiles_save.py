"""Writing changes of the table of open files.

What concerns one object is one operation. What concerns several is first written to a journal in
each of them, so that a reader finds either the state before or the one after.

Behaviour: ceph/ceph, src/mds/OpenFileTable.cc (commit) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import ALL_FEATURES, encode
from mdsdaemon.rank.tables.openfiles_format import (
    JOURNAL_PREFIX,
    MAX_OBJECTS,
    Anchor,
    AnchorValue,
    JournalEntry,
    JournalState,
    encode_header,
    key_of,
    object_name,
)

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.tables.openfiles_load import LoadedTable


@define(eq=False)
class _Change:
    """What changes in one object."""

    update: dict[str, bytes] = field(factory=dict)
    remove: set[str] = field(factory=set)
    size: int = 0


class TableWriter:
    """Where each key lies, and what the objects have."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.version = 0
        self.num_objs = 0
        self._counts: list[int] = []
        self._index: dict[int, int] = {}
        self._new: set[int] = set()

    def reset(self) -> None:
        """What the objects have does not count: they are cleared before they are written."""
        self.num_objs = 0
        self._counts.clear()
        self._index.clear()
        self._new.clear()

    def take(self, table: LoadedTable) -> None:
        """Go on with what was read."""
        self.version, self.num_objs = table.version, table.num_objs
        self._counts = table.counts[: table.num_objs]
        self._index = dict(table.index)
        self._new.clear()

    def _limit(self) -> int:
        megabytes = self.rank.config.get_int("mds_dir_max_commit_size")
        if megabytes:
            return megabytes << 20
        return int(self.rank.config.get_int("osd_max_write_size") * 0.9 * (1 << 20))

    async def write(self, anchors: Mapping[int, Anchor | None]) -> None:
        """Write these anchors, and remove those that are None.

        Raises:
            RadosError: an object could not be written.
        """
        before = self.num_objs
        self.version += 1
        changes = self._sort(anchors)
        limit = self._limit()
        small = all(change.size <= limit for change in changes.values())
        if len(changes) <= 1 and small and (not self._new or self.num_objs == 1):
            await self._write_one(changes, before, limit)
        else:
            await self._write_journaled(changes, before, limit)
        self._count(changes.values())

    def _count(self, changes: Iterable[_Change]) -> None:
        """`perf dump oft`."""
        counters = self.rank.counters.oft
        counters.set("omap_total_objs", self.num_objs)
        counters.set("omap_total_kv_pairs", len(self._index))
        for change in changes:
            counters.inc("omap_total_updates", len(change.update))
            counters.inc("omap_total_removes", len(change.remove))

    async def _write_one(self, changes: dict[int, _Change], before: int, limit: int) -> None:
        """At most one object changes."""
        index, change = next(iter(changes.items()), (0, _Change()))
        used = self._used()
        if used != before:
            # the first object tells readers how many there are
            self.num_objs = used
            del self._counts[used:]
            if index:
                await self._apply(0, _Change(), JournalState.NONE, 0, limit)
        if index < self.num_objs:
            await self._apply(index, change, JournalState.NONE, 0, limit)

    async def _write_journaled(self, changes: dict[int, _Change], before: int, limit: int) -> None:
        """Several objects change. Their number does not fall by that: ceph-mds would not bear to
        find two different ones.

        A reader goes through the objects in order: it must not be told of an object that is not
        there, nor of one that is finished before it has been told so.
        """
        entries: dict[int, int] = {}
        for index in sorted(changes, reverse=True):
            entries[index] = await self._journal(index, changes[index], limit)
        if before != self.num_objs:
            changes.setdefault(0, _Change())
        for index in sorted(changes):
            await self._apply(
                index, changes[index], JournalState.FINISH, entries.get(index, 0), limit
            )

    # -- where -------------------------------------------------------------------------------

    def _sort(self, anchors: Mapping[int, Anchor | None]) -> dict[int, _Change]:
        if self.num_objs == 0:
            self._add_object()
        changes: dict[int, _Change] = {}
        free = 0
        most = max(self.rank.config.get_int("osd_deep_scrub_large_omap_object_key_threshold"), 1)
        for ino in sorted(anchors):
            anchor = anchors[ino]
            key = key_of(ino)
            index = self._index.get(ino)
            if anchor is None:
                if index is None:
                    continue
                del self._index[ino]
                self._counts[index] -= 1
                free = min(free, index)
                change = changes.setdefault(index, _Change())
                change.remove.add(key)
                change.size += len(key) + 4
                continue
            if index is None:
                index = free = self._room(free, most)
                self._index[ino] = index
                self._counts[index] += 1
            change = changes.setdefault(index, _Change())
            value = encode(AnchorValue, AnchorValue(anchor), ALL_FEATURES)
            change.update[key] = value
            change.size += len(value) + len(key) + 8
        return changes

    def _used(self) -> int:
        """How many objects are needed."""
        return max((at + 1 for at, count in enumerate(self._counts) if count), default=1)

    def _room(self, start: int, most: int) -> int:
        for index in range(start, self.num_objs):
            if self._counts[index] < most:
                return index
        if self.num_objs >= MAX_OBJECTS:
            return self.num_objs - 1  # better a large object than none
        return self._add_object()

    def _add_object(self) -> int:
        self.num_objs += 1
        self._counts.append(0)
        self._new.add(self.num_objs - 1)
        return self.num_objs - 1

    # -- operations --------------------------------------------------------------------------

    def _header(self, state: JournalState) -> bytes:
        return encode_header(self.version, self.num_objs, state)

    def _begin(self, index: int) -> ObjectOperation:
        op = ObjectOperation()
        if index in self._new:
            self._new.discard(index)
            op.create()
            op.omap_clear()
        return op

    async def _journal(self, index: int, change: _Change, limit: int) -> int:
        """Write the change to the object's journal; how many entries it has."""
        count = 0
        for update, remove in _pieces(change, limit):
            op = self._begin(index)
            if count == 0:
                op.omap_set_header(self._header(JournalState.START))
            entry = JournalEntry(self.version, update, remove)
            key = f"{JOURNAL_PREFIX}{count:x}"
            op.omap_set({key: encode(JournalEntry, entry, ALL_FEATURES)})
            await self._submit(index, op)
            count += 1
        return count

    async def _apply(
        self, index: int, change: _Change, state: JournalState, entries: int, limit: int
    ) -> None:
        """Make the change true, and remove the entries of its journal with the last operation."""
        pieces = _pieces(change, limit) or [({}, set())]
        for number, (update, remove) in enumerate(pieces):
            op = self._begin(index)
            if number == 0:
                op.omap_set_header(self._header(state))
            if update:
                op.omap_set(update)
            gone = set(remove)
            if number == len(pieces) - 1:
                gone |= {f"{JOURNAL_PREFIX}{entry:x}" for entry in range(entries)}
            if gone:
                op.omap_rm_keys(gone)
            await self._submit(index, op)

    async def _submit(self, index: int, op: ObjectOperation) -> None:
        rank = self.rank
        name = object_name(rank.whoami, index)
        await rank.objecter.operate(rank.metadata_pool, name, op)


def _pieces(change: _Change, limit: int) -> list[tuple[dict[str, bytes], set[str]]]:
    """The change, in parts of about `limit` bytes."""
    pieces: list[tuple[dict[str, bytes], set[str]]] = []
    update: dict[str, bytes] = {}
    remove: set[str] = set()
    size = 0

    def cut() -> None:
        nonlocal update, remove, size
        if update or remove:
            pieces.append((update, remove))
        update, remove, size = {}, set(), 0

    for key, value in sorted(change.update.items()):
        if size >= limit:
            cut()
        update[key] = value
        size += len(key) + len(value) + 8
    for key in sorted(change.remove):
        if size >= limit:
            cut()
        remove.add(key)
        size += len(key) + 4
    cut()
    return pieces
