"""Truncator: what was cut off from files goes from their objects.

    setattr is journaled: truncate_pending, truncate_seq, truncate_from → truncate_size
    once that is safe, the objects are cut off
    "truncate finish" is journaled; until then the segment of the first event stays

Behaviour: ceph/ceph, src/mds/MDCache.cc (truncate_inode, truncate_inode_finish,
start_recovered_truncates) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.rank import filer
from mdsdaemon.rank.mutation import Mutation

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.rank.waiting import Gate


class Truncator:
    """See the module.

    Attributes:
        active: files whose objects are being cut off, with the segment in which that began.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.active: dict[CInode, LogSegment] = {}
        self._gates: dict[CInode, Gate] = {}

    def gate(self, inode: CInode) -> Gate:
        """Opens when the file is cut off, or will not be."""
        gate = self._gates.get(inode)
        if gate is None:
            gate = self._gates[inode] = self.rank.queue.gate()
        return gate

    def start(self, inode: CInode, segment: LogSegment) -> None:
        """The file was cut off by an event of this segment, which is submitted."""
        segment.truncating.add(inode)
        self._begin(inode, segment)

    def start_recovered(self) -> None:
        """Go on with those that the journal says were under way."""
        for segment in list(self.rank.mdlog.segments.values()):
            for inode in list(segment.truncating):
                self._begin(inode, segment)

    def _begin(self, inode: CInode, segment: LogSegment) -> None:
        if inode in self.active:
            return
        self.active[inode] = segment
        inode.pins += 1
        rank = self.rank
        # the clients are not to find a file cut off that the journal has whole
        rank.mdlog.when_safe(
            inode.pos, lambda: rank.spawn(lambda: self._cut(inode), f"truncate {inode.ino:#x}")
        )

    async def _cut(self, inode: CInode) -> None:
        rank, stored = self.rank, inode.inode
        try:
            await filer.truncate(
                rank.objecter,
                inode.ino,
                stored.layout,
                rank.snaps.snap_context(inode),
                stored.truncate_size,
                stored.truncate_from,
                stored.truncate_seq,
                at_once=rank.config.get_int("filer_max_truncate_ops"),
            )
        except RadosError as exc:
            rank.log.error("cutting off %s: %s", inode, exc)
            rank.handle_write_error(exc)
        else:
            self._finish(inode)
        gate = self._gates.pop(inode, None)
        if gate is not None:
            gate.open()  # in a rank that is read-only by now, who waits is told so
        rank.end_of_dispatch()

    def _finish(self, inode: CInode) -> None:
        rank = self.rank
        segment = self.active.pop(inode)
        inode.pins -= 1
        if rank.read_only:
            return  # the segment stays: whoever comes next does it again
        mut = Mutation(rank, "truncate finish", stamp=rank.now())
        stored = mut.inode(inode, 0)
        stored.truncate_from = 0
        stored.truncate_pending = max(stored.truncate_pending - 1, 0)
        mut.blob.truncate_finish[inode.ino] = segment.seq
        mut.submit()
        segment.truncating.discard(inode)
        if inode.is_stray:
            rank.strays.eval_stray(inode)
