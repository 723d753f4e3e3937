"""Which parts of a batch of events need not be replayed: others behind them say all of it anew.

Every change in a fragment has the fragment's header in its event, and every change below a
directory the directory's own inode, for its times and sums, and that of each directory above. Of
the headers the last one counts. In a row of dentries of one directory only the values of the inode
differ, and the last one has them all: those between the first and the last are left out. Neither is
decoded then. And what a client tells of a file is journaled twice by ceph-mds, in the same bytes.

Nothing is moved, only left out. Whatever else becomes of the inode or its dentry would be another
dentry of the same fragment, which ends the row; an event that is no plain update ends all, the
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

_UPDATES = (EUpdate, EOpen)
_U32 = struct.Struct("<I").unpack_from
_ONE, _TWO = b"\1\0\0\0", b"\2\0\0\0"
_COUNT, _COUNTS = 4, 12
"""Bytes of the count of primary dentries, and of all three."""
_NAME = 14
"""Where the dentry's name begins: behind a count, an envelope and the name's length."""
_LIMITS, _VERSION, _HEAD, _INO = 16, 8, 6, 8
"""Bytes of the snapshots between which a dentry is, of its version; of an inode's envelope and
number."""


def leave_out(events: Iterable[Any]) -> None:
    """Take out of the events what later events of the batch supersede.

    Fragments go from ``lump_order``, headers become empty, of twins one is left.
    """
    rows: dict[DirFrag, tuple[DirLump, EMetaBlob, bool]] = {}
    for event in events:
        if not isinstance(event, _UPDATES):
            rows.clear()
            continue
        blob = event.metablob
        lumps = blob.lump_map
        for dirfrag in tuple(blob.lump_order):
            lump = lumps.get(dirfrag)
            if lump is None:
                rows.pop(dirfrag, None)
                continue
            if lump.nfull == 2:
                _drop_twin(lump)
            goes_on = False
            if dirfrag in rows:
                before, where, going = rows[dirfrag]
                before.fnode_bl = b""
                goes_on = goes_on_with(before, lump)
                if goes_on and going:
                    where.lump_order.remove(dirfrag)
            rows[dirfrag] = lump, blob, goes_on


def goes_on_with(before: DirLump, lump: DirLump) -> bool:
    """Whether both are one dentry of one inode, and differ in nothing but versions and values.

    The bytes may be anything: what is wrong with them is found when they are decoded.
    """
    if lump.nfull != 1 or lump.nremote or lump.nnull:
        return False
    if before.nfull != 1 or before.nremote or before.nnull or before.state != lump.state:
        return False
    old, new = before.dnbl, lump.dnbl
    size = len(new)
    if size != len(old) or size < _NAME:
        return False
    limits = _NAME + _U32(new, _NAME - 4)[0]
    if new[: limits + _LIMITS] != old[: limits + _LIMITS]:
        return False
    inode = limits + _LIMITS + _VERSION
    if inode + _HEAD + _INO > size:
        return False
    if new[inode : inode + _HEAD + _INO] != old[inode : inode + _HEAD + _INO]:
        return False
    rest = inode + _HEAD + _U32(new, inode + 2)[0]
    return new[rest:] == old[rest:]


def _drop_twin(lump: DirLump) -> None:
    """Of two primary dentries that are the same, byte for byte, keep one."""
    data = lump.dnbl
    half, odd = divmod(len(data) - _COUNTS, 2)
    second = _COUNT + half
    counted = half > 0 and not odd and data[:_COUNT] == _TWO
    if counted and data[_COUNT:second] == data[second : second + half]:
        lump.nfull, lump.dnbl = 1, _ONE + data[second:]
