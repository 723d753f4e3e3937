"""What lies at the beginning of a journal, and other small objects of a rank.

Format: ceph/ceph, src/osdc/Journaler.h, src/mds/JournalPointer.h, src/mds/InoTable.h,
src/mds/PurgeQueue.h and .cc (Pacific).
"""

from enum import IntEnum

from mdsdaemon.encoding import S64, U8, U64, List, Rest, Str, Time, field, wire
from mdsdaemon.types.frag import FragTree
from mdsdaemon.types.interval_set import IntervalSet
from mdsdaemon.types.layout import FileLayout, LegacyFileLayout
from mdsdaemon.types.snap import SnapContext


class StreamFormat(IntEnum):
    """How entries lie in a journal."""

    LEGACY = 0
    RESILIENT = 1


@wire(v=2, compat=2, ceph="Journaler::Header")
class JournalHeader:
    """Journaler::Header: positions are bytes from the journal's beginning."""

    magic: str = field(Str, default="")
    trimmed_pos: int = field(U64, default=0)
    expire_pos: int = field(U64, default=0)
    unused_field: int = field(U64, default=0)
    write_pos: int = field(U64, default=0)
    layout: FileLayout = field(LegacyFileLayout, factory=FileLayout)
    stream_format: int = field(U8, default=StreamFormat.LEGACY, since=2)


@wire(v=1, compat=1, ceph="JournalPointer")
class JournalPointer:
    """JournalPointer: the inode of the journal in use, and of one being rewritten (or 0)."""

    front: int = field(U64, default=0)
    back: int = field(U64, default=0)


@wire(v=2, compat=2, keep_tail=True, ceph="InoTable")
class InoTableState:
    """InoTable: the free inode numbers; in its object a u64 version precedes it."""

    free: dict[int, int] = field(IntervalSet, factory=dict)


class PurgeAction(IntEnum):
    """What is to be purged."""

    NONE = 0
    PURGE_FILE = 1
    TRUNCATE_FILE = 2
    PURGE_DIR = 3


@wire(v=2, compat=1, ceph="PurgeItem")
class PurgeItem:
    """PurgeItem: an entry of the purge queue; ``padding`` makes one as long as what it replaces.

    Items of version 1, of before 14.0, have no stamp; those of 13.2.2, which put it first, are not
    understood.
    """

    action: int = field(U8, default=PurgeAction.NONE)
    ino: int = field(U64, default=0)
    size: int = field(U64, default=0)
    layout: FileLayout = field(FileLayout, factory=FileLayout)
    old_pools: list[int] = field(List(S64), factory=list)
    snapc: SnapContext = field(SnapContext, factory=SnapContext)
    fragtree: FragTree = field(FragTree, factory=FragTree)
    stamp: int = field(Time, default=0, since=2)
    padding: bytes = field(Rest, default=b"", since=2)
