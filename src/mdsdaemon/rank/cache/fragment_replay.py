"""Splits and merges that are not finished: replayed, undone, and their old objects removed.

Behaviour: ceph/ceph, src/mds/journal.cc (EFragment::replay), src/mds/MDCache.cc
(add_uncommitted_fragment, rollback_uncommitted_fragments, _fragment_committed) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError
from mdsdaemon.encoding.codec import as_codec
from mdsdaemon.rank.cache.fragtree import MAX_BITS, WHOLE, get_leaves_under
from mdsdaemon.rank.cache.refragment import adjust, dirs_under, force_dirfrag
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.frag import DirFrag, Frag
from mdsdaemon.types.journal import DirfragRollback, EFragment

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.types.stats import FNode

PREPARE, COMMIT, ROLLBACK, FINISH = 1, 2, 3, 4


@define
class Uncommitted:
    """One split or merge.

    Attributes:
        bits: by how many it splits; negative: merges.
        old_frags: whose objects are to be removed.
        segment: waits until it is finished.
        committed: it will not be undone.
        rollback: the encoded DirfragRollbacks of the old fragments.
    """

    bits: int
    old_frags: list[Frag]
    segment: LogSegment
    committed: bool = False
    rollback: bytes = b""


class UncommittedFragments:
    """All that is not finished, by what it is based on."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self._known: dict[DirFrag, Uncommitted] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, where: DirFrag, what: Uncommitted) -> None:
        """It has begun."""
        self._known[where] = what
        what.segment.uncommitted_fragments.add((where.ino, where.frag.enc))

    def _forget(self, where: DirFrag) -> None:
        what = self._known.pop(where, None)
        if what is not None:
            what.segment.uncommitted_fragments.discard((where.ino, where.frag.enc))
            what.segment.done()

    # -- replay ------------------------------------------------------------------------------

    def replay(self, event: EFragment, segment: LogSegment) -> None:
        """What an event means for the cache, before its metablob is replayed.

        Raises:
            DecodeError: it is no possible split.
        """
        where = DirFrag(event.ino, event.basefrag)
        _check(event)
        inode, cache = self.rank.cache.get_inode(event.ino), self.rank.cache
        if event.op == PREPARE:
            what = Uncommitted(event.bits, list(event.orig_frags), segment, rollback=event.rollback)
            self.add(where, what)
            if inode is not None:
                sources = dirs_under(inode, event.basefrag)
                if event.bits > 0 and [one.frag for one in sources] != [event.basefrag]:
                    sources = []
                adjust(cache, inode, sources, event.basefrag, event.bits)
        elif event.op == ROLLBACK:
            made: list[Frag] = []
            if inode is not None:
                made = get_leaves_under(inode.dirfragtree, event.basefrag)
                for frag in event.orig_frags:
                    force_dirfrag(cache, inode, frag)
            known = self._known.get(where)
            if known is not None and known.old_frags:
                known.old_frags, known.committed = made, True
            else:
                self._forget(where)
        elif event.op == COMMIT:
            known = self._known.get(where)
            if known is not None and known.old_frags:
                known.committed = True
            else:
                self._forget(where)
        elif event.op == FINISH:
            self._forget(where)

    # -- after it ----------------------------------------------------------------------------

    async def finish_all(self) -> None:
        """Undo what has only begun, remove the objects that nothing leads to any more.

        Raises:
            RadosError: an object cannot be removed.
        """
        for where, what in list(self._known.items()):
            if not what.committed:
                end = self._roll_back(where, what)
                await self.rank.mdlog.wait_safe(end)
            await self.purge_and_finish(where)

    def _roll_back(self, where: DirFrag, what: Uncommitted) -> int:
        rank = self.rank
        inode = rank.cache.get_inode(where.ino)
        assert inode is not None, f"the split of {where} was replayed without its directory"
        mut = Mutation(rank, "fragment rollback", stamp=rank.now())
        mut.inode(inode)
        made = get_leaves_under(inode.dirfragtree, where.frag)
        fnodes = _read_rollback(what.rollback, len(what.old_frags))
        for frag, fnode in zip(what.old_frags, fnodes, strict=True):
            directory = force_dirfrag(rank.cache, inode, frag)
            directory.fnode = fnode
            mut.fnode(directory)
        event = EFragment(
            op=ROLLBACK,
            ino=where.ino,
            basefrag=where.frag,
            bits=what.bits,
            orig_frags=what.old_frags,
        )
        end = mut.submit(event)
        what.old_frags, what.committed = made, True
        return end

    async def purge_and_finish(self, where: DirFrag) -> None:
        """Remove the objects of the old fragments, and journal that this is done.

        Raises:
            RadosError: one cannot be removed.
        """
        what, rank = self._known[where], self.rank
        for frag in what.old_frags:
            op = ObjectOperation()
            if frag == WHOLE:
                op.truncate(0).omap_clear()  # it also has the directory's backtrace
            else:
                op.remove()
            name = f"{where.ino:x}.{frag.enc:08x}"
            try:
                await rank.objecter.operate(rank.metadata_pool, name, op)
            except RadosError as error:
                if error.errno != errno.ENOENT:
                    raise
        rank.mdlog.submit(
            EFragment(
                stamp=rank.now(), op=FINISH, ino=where.ino, basefrag=where.frag, bits=what.bits
            )
        )
        rank.mdlog.flush()
        self._forget(where)


def _check(event: EFragment) -> None:
    """Refuse what cannot be."""
    frags = [event.basefrag, *event.orig_frags]
    bad = any(frag.bits > MAX_BITS or frag.value & ~Frag.mask_of(frag.bits) for frag in frags)
    if bad or not -MAX_BITS <= event.bits <= min(16, MAX_BITS - event.basefrag.bits):
        why = f"{event.basefrag.enc:#x} by {event.bits} bits is no possible split"
        raise DecodeError("EFragment", "bits", 0, why)


def _read_rollback(data: bytes, count: int) -> list[FNode]:
    read, offset, found = as_codec(DirfragRollback).decoder(), 0, []
    for _ in range(count):
        value, offset = read(data, offset, len(data), FEATURES_PACIFIC)
        found.append(value.fnode)
    return found
