"""Reading the table of open files, and finishing a change of it that was cut short.

Behaviour: ceph/ceph, src/mds/OpenFileTable.cc (_load_finish) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.rank.tables.openfiles_format import (
    JOURNAL_PREFIX,
    Anchor,
    AnchorValue,
    JournalEntry,
    JournalState,
    decode_header,
    encode_header,
    object_name,
    parse_key,
)

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

PAGE = 4096
MAX_ANCHORS = 1 << 24


@define(eq=False)
class LoadedTable:
    """What was read.

    Attributes:
        anchors, index: by inode number: the anchor, and the object that it lies in.
        counts: keys per object.
    """

    version: int = 0
    num_objs: int = 0
    journal_state: int = JournalState.NONE
    anchors: dict[int, Anchor] = field(factory=dict)
    index: dict[int, int] = field(factory=dict)
    counts: list[int] = field(factory=list)
    journals: dict[int, dict[str, bytes]] = field(factory=dict)

    def put(self, index: int, key: str, value: bytes) -> None:
        """A key of an object."""
        ino = parse_key(key)
        anchor = decode(AnchorValue, value, partial=True).anchor
        if anchor.ino != ino:
            raise DecodeError("OpenFileTable", "ino", 0, f"{key} holds {anchor.ino:#x}")
        if ino not in self.anchors:
            self.counts[index] += 1
            if len(self.anchors) >= MAX_ANCHORS:
                raise DecodeError("OpenFileTable", "", 0, "too many open files")
        self.anchors[ino] = anchor
        self.index[ino] = index

    def drop(self, index: int, key: str) -> None:
        """A key that is to be removed."""
        ino = parse_key(key)
        if self.anchors.pop(ino, None) is not None:
            del self.index[ino]
            self.counts[index] -= 1


async def load_table(rank: RankCore) -> LoadedTable:
    """Read all objects; a change that was begun and is complete in its journal is finished.

    Raises:
        RadosError: an object cannot be read or written. DecodeError: what it holds is corrupt.
    """
    table = LoadedTable()
    index = 0
    while index == 0 or index < table.num_objs:
        await _read_object(rank, table, index)
        index += 1
    if table.journals:
        await _recover(rank, table)
    table.journal_state = JournalState.NONE
    return table


async def _read_object(rank: RankCore, table: LoadedTable, index: int) -> None:
    after, first, more = "", True, True
    while more:
        op = ObjectOperation()
        header = op.omap_get_header() if first else None
        page = op.omap_get_vals(after, "", PAGE)
        name = object_name(rank.whoami, index)
        result = await rank.objecter.operate(rank.metadata_pool, name, op)
        if header is not None:
            _take_header(table, result[header])
        while len(table.counts) <= index:
            table.counts.append(0)
        vals = result[page]
        for key, value in vals.vals.items():
            if key.startswith(JOURNAL_PREFIX):
                table.journals.setdefault(index, {})[key] = value
            else:
                table.put(index, key, value)
        first, more = False, vals.more and bool(vals.vals)
        if more:
            after = max(vals.vals, key=lambda key: key.encode())


def _take_header(table: LoadedTable, data: bytes) -> None:
    body = decode_header(data)
    if body.version > table.version:
        table.version, table.num_objs = body.version, body.num_objs
        table.journal_state = body.journal_state
    elif body.version == table.version:
        if body.num_objs != table.num_objs:
            raise DecodeError("OpenFileTable", "num_objs", 0, "the objects contradict each other")
        table.journal_state = max(table.journal_state, body.journal_state)


async def _recover(rank: RankCore, table: LoadedTable) -> None:
    finished = table.journal_state == JournalState.FINISH
    state = JournalState.FINISH if finished else JournalState.NONE
    for index, entries in sorted(table.journals.items()):
        name = object_name(rank.whoami, index)
        ops: list[ObjectOperation] = []
        for data in entries.values() if finished else ():
            entry = decode(JournalEntry, data, partial=True)
            if entry.version != table.version:
                continue
            for key, value in entry.update.items():
                table.put(index, key, value)
            for key in entry.remove:
                table.drop(index, key)
            op = ObjectOperation()
            if entry.update:
                op.omap_set(entry.update)
            if entry.remove:
                op.omap_rm_keys(entry.remove)
            if len(op):
                ops.append(op)
        last = ObjectOperation().omap_set_header(
            encode_header(table.version, table.num_objs, state)
        )
        ops.append(last.omap_rm_keys(entries))
        for op in ops:
            await rank.objecter.operate(rank.metadata_pool, name, op)
