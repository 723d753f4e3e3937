"""Inode numbers of sessions that ended: what was written with them is deleted, then they are free.

A client that was given numbers for creating on its own may have written data of files that no
request has made.

Behaviour: ceph/ceph, src/mds/MDCache.cc (purge_inodes, start_recovered_purges) (Pacific)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdsdaemon.clients.journaler_extents import object_name
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank.tables.intervals import Intervals
from mdsdaemon.rank.tables.purge_items import Execution, ObjectWork
from mdsdaemon.types.journal import EPurged

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment

AT_ONCE = 10


def purge_numbers(rank: RankCore, inos: Mapping[int, int], segment: LogSegment) -> None:
    """Delete the first objects of these numbers, then free them; the segment waits for that.

    What is under way already is left out: ceph-mds dies of a journal that frees a number twice.
    """
    numbers = Intervals(inos)
    numbers.subtract(segment.purges_begun.as_dict())
    if not numbers:
        return
    free = numbers.as_dict()
    segment.purges_begun.union(free)
    pool = rank.default_data_pool
    work = (
        ObjectWork(pool, object_name(ino, 0), ObjectOperation().remove())
        for start, length in free.items()
        for ino in range(start, start + length)
    )

    def done(error: RadosError | None) -> None:
        if error is not None:
            rank.handle_write_error(error)
            return
        if rank.read_only:
            return
        version = rank.inotable.release(free)
        at = rank.mdlog.segment
        end = rank.mdlog.submit(EPurged(inos=free, inotablev=version, seq=segment.seq))
        at.note_table("inotable", version)
        rank.mdlog.when_safe(end, gone)
        rank.mdlog.flush()

    def gone() -> None:
        segment.purging.subtract(free)
        segment.purges_begun.subtract(free)
        segment.done()

    # not before the journal has that the session ended
    rank.mdlog.when_safe(rank.mdlog.write_pos, Execution(rank, work, AT_ONCE, done).start)
