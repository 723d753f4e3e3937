"""A segment of the journal: what must be stored elsewhere before it may be forgotten.

A segment begins with an ESubtreeMap. Each object of the cache that a change makes dirty is noted in
the segment of the first change that is not stored yet; the segment may be trimmed once all its sets
are empty.

Behaviour: ceph/ceph, src/mds/LogSegment.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from mdsdaemon.rank.tables.intervals import Intervals

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.waiting import Gate


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
        open_files: snapshotted inodes that clients have yet to flush: journaled again in a later
            segment (EOpen), since a replay must know them.
        truncating: files whose data is being cut off.
        uncommitted_fragments: directories that are being split or merged, by (inode, frag).
        tables: by table ("inotable", "sessionmap", "snaptable"), the version that must be saved.
        sessions: by client, sessions whose completed requests must be saved.
        purging: inode numbers set free by events of this segment, until that is recorded.
        purges_begun: those of them whose objects are being deleted.
        pending_tids: by table, transactions that are prepared and not committed.
        progress: opens when something outside of the journal was done with one of the above.
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
    uncommitted_fragments: set[tuple[int, int]] = field(factory=set, repr=False)
    tables: dict[str, int] = field(factory=dict)
    sessions: set[int] = field(factory=set, repr=False)
    purging: Intervals = field(factory=Intervals, repr=False)
    purges_begun: Intervals = field(factory=Intervals, repr=False)
    pending_tids: dict[int, set[int]] = field(factory=dict, repr=False)
    progress: Gate | None = field(default=None, repr=False)

    def note_table(self, table: str, version: int) -> None:
        """This version of the table must be saved before the segment goes."""
        if version > self.tables.get(table, 0):
            self.tables[table] = version

    def done(self) -> None:
        """Something that the segment waits for has been done."""
        if self.progress is not None:
            self.progress.open()

    def is_clean(self) -> bool:
        """Whether all that its events changed is stored, tables and sessions aside."""
        return not (
            self.dirty_dirs
            or self.dirty_bases
            or self.dirty_backtraces
            or self.dirty_nests
            or self.open_files
            or self.truncating
            or self.uncommitted_fragments
            or self.purging
            or any(self.pending_tids.values())
        )
