"""A segment of the journal: what must be stored elsewhere before it may be forgotten.

A segment begins with an ESubtreeMap. Each object of the cache that a change makes dirty is noted in
the segment of the first change that is not stored yet; the segment may be trimmed once all its sets
are empty.

Behaviour: ceph/ceph, src/mds/LogSegment.h (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode


@define(eq=False)
class LogSegment:
    """One segment.

    Attributes:
        seq: its number: the sequence number of its first event.
        offset, end: bytes in the journal; `end` is after the newest event.
        num_events: how many there are.
        dirty_dirs: fragments whose changes are not committed.
        dirty_bases: root and mdsdir, when their own object is behind.
        dirty_backtraces: inodes whose backtrace is not written.
        dirty_nests: directories whose sums their parents do not count yet.
        open_files: files that clients hold open with a wish to write: journaled again in a later
            segment (EOpen), since a replay must know them.
        truncating: files whose data is being cut off.
        tables: by table ("inotable", "sessionmap", "snaptable", …), the version that must be saved.
        sessions: by client, the session's version that must be saved (touched sessions).
        purging: inodes that were given to the purge queue by events of this segment: by number, the
            event's end must stay until the purge queue has them on disk.
        pending_tids: table transactions that are prepared and not committed.
        on_expired: called when the segment is expired.
    """

    seq: int
    offset: int
    end: int = 0
    num_events: int = 0
    dirty_dirs: set[CDir] = field(factory=set, repr=False)
    dirty_bases: set[CInode] = field(factory=set, repr=False)
    dirty_backtraces: set[CInode] = field(factory=set, repr=False)
    dirty_nests: set[CInode] = field(factory=set, repr=False)
    open_files: set[CInode] = field(factory=set, repr=False)
    truncating: set[CInode] = field(factory=set, repr=False)
    tables: dict[str, int] = field(factory=dict)
    sessions: dict[int, int] = field(factory=dict, repr=False)
    purging: set[int] = field(factory=set, repr=False)
    pending_tids: dict[int, set[int]] = field(factory=dict, repr=False)
    on_expired: list[Callable[[], None]] = field(factory=list, repr=False)

    def note_table(self, table: str, version: int) -> None:
        """This version of the table must be saved before the segment goes."""
        if version > self.tables.get(table, 0):
            self.tables[table] = version

    def is_clean(self) -> bool:
        """Whether all that its events changed is stored, as far as the cache knows.

        Tables and sessions are asked by the journal: it knows what version they have saved.
        """
        return not (
            self.dirty_dirs
            or self.dirty_bases
            or self.dirty_backtraces
            or self.dirty_nests
            or self.open_files
            or self.truncating
            or self.purging
            or self.pending_tids
        )
