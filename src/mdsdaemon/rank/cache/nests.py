"""Carrying sums up to the root, for the directories whose parents do not count them yet.

Behaviour: ceph/ceph, src/mds/Locker.cc (scatter_nudge), src/mds/MDCache.cc
(predirty_journal_parents) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.stats import frag_to_inode
from mdsdaemon.rank.mutation import Mutation

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore


BATCH = 256
"""Directories that are carried up in one event."""


def carry_up(rank: RankCore, pending: Iterable[CInode]) -> None:
    """Bring the sums of these directories to the root; no event if all are counted."""
    inodes = [inode for inode in pending if inode.nest_segment is not None]
    for at in range(0, len(inodes), BATCH):
        _carry_up(rank, inodes[at : at + BATCH])


def carry_up_all(rank: RankCore) -> None:
    """Bring the sums of all directories to the root: to be called every few seconds."""
    pending: dict[CInode, None] = {}
    for segment in rank.mdlog.segments.values():
        pending.update(dict.fromkeys(segment.dirty_nests))
    carry_up(rank, pending)


def _carry_up(rank: RankCore, inodes: list[CInode]) -> None:
    behind = [inode for inode in inodes if is_behind(inode)]
    if behind:
        mut = Mutation(rank, "scatter_writebehind", stamp=rank.now())
        for inode in behind:
            if inode.parent is not None:
                mut.inode(inode)
            for directory in inode.dirs.values():
                if frag_to_inode(directory, probe=True):
                    mut.fnode(directory)
        mut.submit(deep=True)
    for inode in inodes:
        if inode.nest_segment is not None:
            inode.nest_segment.dirty_nests.discard(inode)
            inode.nest_segment = None


def note_behind(rank: RankCore, inode: CInode) -> None:
    """Somebody above does not count what this directory has: carry it up later."""
    if inode.nest_segment is None and not rank.is_any_replay() and not rank.read_only:
        inode.nest_segment = rank.mdlog.segment
        inode.nest_segment.dirty_nests.add(inode)


def is_behind(inode: CInode) -> bool:
    """Whether a directory has sums that somebody above does not count."""
    stored = inode.inode
    if inode.parent is not None and stored.rstat != stored.accounted_rstat:
        return True
    return any(frag_to_inode(directory, probe=True) for directory in inode.dirs.values())
