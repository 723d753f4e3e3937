"""Splitting directories that grow too large, and merging fragments that have become small.

What becomes of a split is journaled as a whole: the event of its beginning carries all dentries of
the new fragments, and the one that it is done follows at once. So nothing has to hold still while
the new objects are written: they are committed like other dirty fragments, and the journal keeps
what they lack. That is done right away; then the old objects are removed, and a third event says
so.

A ceph-mds that takes over replays the three as its own; those that it writes have no dentries in
them, for it writes the new objects between the first and the second. It relies on that: were it to
refragment what it has only from the journal, and to fail in the middle of that, the next one would
look for objects that nobody has written. Hence the haste.

Behaviour: ceph/ceph, src/mds/MDCache.cc (split_dir, merge_dir, dispatch_fragment_dir,
_fragment_committed, rollback_uncommitted_fragments), src/mds/MDBalancer.cc (maybe_fragment,
queue_split, queue_merge), src/mds/journal.cc (EFragment) (Pacific)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.encoding import encode
from mdsdaemon.rank.cache.fragment_replay import (
    COMMIT,
    FINISH,
    PREPARE,
    Uncommitted,
    UncommittedFragments,
)
from mdsdaemon.rank.cache.fragtree import MAX_BITS, WHOLE, get_leaves_under, is_leaf, parent
from mdsdaemon.rank.cache.refragment import adjust, dirs_under
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.waiting import MustWait, until_done
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.frag import DirFrag, Frag
from mdsdaemon.types.journal import DirfragRollback, EFragment

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment


class Fragmenter:
    """See the module.

    Attributes:
        uncommitted: splits and merges that are not finished, by what they are based on.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.uncommitted = UncommittedFragments(rank)
        self._split_pending: set[DirFrag] = set()
        self._merge_pending: set[DirFrag] = set()
        self._busy: set[CInode] = set()

    # -- when --------------------------------------------------------------------------------

    def maybe_fragment(self, directory: CDir) -> None:
        """See `CacheStore`."""
        inode, config = directory.inode, self.rank.config
        if inode.is_base or inode.is_stray_dir or inode.is_stray:
            return
        if not config.get_bool("mds_bal_fragment_dirs"):
            return
        size = directory.fnode.fragstat.size
        limit = config.get_int("mds_bal_split_size")
        if size > limit > 0:
            fast = size > limit * config.get_float("mds_bal_fragment_fast_factor")
            self.queue_split(directory, fast=fast)
        elif directory.frag != WHOLE and size < config.get_int("mds_bal_merge_size"):
            self._queue_merge(directory)

    def queue_split(self, directory: CDir, *, fast: bool) -> None:
        """Split it soon, or (`fast`) now."""
        where, interval = directory.dirfrag, self.rank.config.get_int("mds_bal_fragment_interval")
        if interval <= 0 or directory.inode in self._busy:
            return
        if where not in self._split_pending or fast:
            self._split_pending.add(where)
            delay = 0 if fast else interval
            self.rank.spawn(partial(self._split_later, where, delay), f"split {where}")

    def _queue_merge(self, directory: CDir) -> None:
        where, interval = directory.dirfrag, self.rank.config.get_int("mds_bal_fragment_interval")
        if interval > 0 and where not in self._merge_pending:
            self._merge_pending.add(where)
            self.rank.spawn(partial(self._merge_later, where, interval), f"merge {where}")

    async def _split_later(self, where: DirFrag, delay: float) -> None:
        await trio.sleep(delay)
        if where not in self._split_pending:
            return
        self._split_pending.discard(where)
        directory = self._find(where)
        if directory is not None:
            await self.split(directory, self.rank.config.get_int("mds_bal_split_bits"))

    async def _merge_later(self, where: DirFrag, delay: float) -> None:
        await trio.sleep(delay)
        self._merge_pending.discard(where)
        directory = self._find(where)
        if directory is None:
            return
        inode, frag = directory.inode, where.frag
        small = self.rank.config.get_int("mds_bal_merge_size")
        while frag.bits:
            brother = Frag(frag.enc ^ 1 << (MAX_BITS - frag.bits))
            leaves = get_leaves_under(inode.dirfragtree, brother)
            dirs = [inode.dirs.get(leaf) for leaf in leaves]
            if not dirs or not all(
                one is not None and one.fnode.version and one.fnode.fragstat.size < small
                for one in dirs
            ):
                break
            frag = parent(frag)
        if frag != where.frag:
            await self.merge(inode, frag)

    def _find(self, where: DirFrag) -> CDir | None:
        inode = self.rank.cache.get_inode(where.ino)
        return inode.dirs.get(where.frag) if inode is not None else None

    def start_split(self, directory: CDir, bits: int) -> None:
        """An administrator wants it split."""

        async def split() -> None:
            await self.split(directory, bits)

        self.rank.spawn(split, f"split {directory.dirfrag}")

    def start_merge(self, inode: CInode, frag: Frag) -> None:
        """An administrator wants it merged."""

        async def merge() -> None:
            await self.merge(inode, frag)

        self.rank.spawn(merge, f"merge {DirFrag(inode.ino, frag)}")

    # -- doing it ----------------------------------------------------------------------------

    def may_fragment(self, inode: CInode, dirs: list[CDir]) -> bool:
        """Whether these fragments of a directory may be split or merged now."""
        if self.rank.read_only or not self.rank.is_active():
            return False
        if inode.is_stray or inode.is_mdsdir or inode in self._busy:
            return False
        alive = self.rank.cache.get_inode(inode.ino) is inode
        return alive and not any(directory.damaged for directory in dirs)

    async def split(self, directory: CDir, bits: int) -> bool:
        """Split a fragment into 2**bits; whether that was done."""
        if not 0 < bits <= MAX_BITS - directory.frag.bits:
            return False
        return await self._fragment(directory.inode, [directory.frag], directory.frag, bits)

    async def merge(self, inode: CInode, frag: Frag) -> bool:
        """Make all that lies in `frag` one fragment; whether that was done."""
        if is_leaf(inode.dirfragtree, frag):
            return False
        leaves = get_leaves_under(inode.dirfragtree, frag)
        if not leaves:
            return False
        return await self._fragment(inode, leaves, frag, frag.bits - leaves[0].bits)

    async def _fragment(self, inode: CInode, leaves: list[Frag], base: Frag, bits: int) -> bool:
        if not self.may_fragment(inode, list(inode.dirs.values())):
            return False
        self.rank.counters.cache.inc("ireq_fragmentdir")
        self._busy.add(inode)
        try:
            if not await self._make_ready(inode, leaves):
                return False
            end, made = self._journal(inode, leaves, base, bits)
            self.rank.mdlog.flush()
            await self.rank.mdlog.wait_safe(end)
            for directory in made:
                await self.rank.store.commit_dir(directory)
            await self.uncommitted.purge_and_finish(DirFrag(inode.ino, base))
        except (RadosError, JournalError) as error:
            self.rank.handle_write_error(error)
            return False
        except FsError as error:
            self.rank.log.warning("%s is not fragmented: %s", inode, error)
            return False
        finally:
            self._busy.discard(inode)
        self.rank.counters.mds.inc("dir_split" if bits > 0 else "dir_merge")
        for directory in made:
            self.maybe_fragment(directory)
        return True

    async def _make_ready(self, inode: CInode, leaves: list[Frag]) -> bool:
        """All of it is in the cache, nothing is being read or stored, and none is new."""
        hashed = False
        while True:
            dirs = await until_done(lambda: self._complete(inode, leaves))
            if not dirs:
                return False
            if not hashed:
                hashed = True
                await self._hash_names(dirs)
                continue
            for directory in dirs:
                if directory.committed is not None:
                    await directory.committed.wait()
                    break
                if directory.new:
                    # were it new, and the split undone, there would be no object to come back to
                    await self.rank.store.commit_dir(directory)
                    break
                if directory.loads:
                    await until_done(lambda one=directory: self._wait_loads(one))  # type: ignore[misc]
                    break
            else:
                if all(inode.dirs.get(one.frag) is one for one in dirs):
                    return not self.rank.read_only

    def _complete(self, inode: CInode, leaves: list[Frag]) -> list[CDir]:
        """The fragments, complete; none: the directory has changed its shape or is gone, it is
        being scrubbed, or it has dentries that cannot be read: they would go with the old objects.
        """
        cache = self.rank.cache
        if cache.get_inode(inode.ino) is not inode or inode.is_stray:
            return []
        if not all(is_leaf(inode.dirfragtree, leaf) for leaf in leaves):
            return []
        dirs = [cache.add_dir(inode, leaf) for leaf in leaves]
        for directory in dirs:
            self.rank.store.need_complete(directory)
        damage = self.rank.damage
        held = any(one.pins or damage.any_dentry(inode.ino, one.frag) for one in dirs)
        return [] if held else dirs

    async def _hash_names(self, dirs: list[CDir]) -> None:
        """Others have their turn between: what follows at once need not do it."""
        for dn in [dn for directory in dirs for dn in directory.all_items()]:
            if dn.hash < 0:
                dn.hash = self.rank.store.hash_of(dn.dir.inode, dn.name)
                if not dn.hash & 0xFF:
                    await trio.lowlevel.checkpoint()

    def _wait_loads(self, directory: CDir) -> None:
        if directory.loads:
            gate = self.rank.store.fetcher.any_load(directory)
            if gate is not None:
                raise MustWait(gate)

    def _journal(
        self, inode: CInode, leaves: list[Frag], base: Frag, bits: int
    ) -> tuple[int, list[CDir]]:
        """Refragment the cache, journal that it begins and that it is done; where that ends."""
        rank = self.rank
        mut = Mutation(rank, "fragment", stamp=rank.now())
        mut.inode(inode)
        dirs = [inode.dirs[leaf] for leaf in leaves]
        rollback = b"".join(
            encode(DirfragRollback, DirfragRollback(directory.fnode), FEATURES_PACIFIC)
            for directory in dirs
        )
        made = adjust(rank.cache, inode, dirs_under(inode, base), base, bits)
        for directory in made:
            mut.whole_dir(directory)
        mut.submit(
            EFragment(
                op=PREPARE,
                ino=inode.ino,
                basefrag=base,
                bits=bits,
                orig_frags=leaves,
                rollback=rollback,
            )
        )
        where = DirFrag(inode.ino, base)
        self.uncommitted.add(where, Uncommitted(bits, leaves, mut.segment, committed=True))
        commit = EFragment(stamp=mut.stamp, op=COMMIT, ino=inode.ino, basefrag=base, bits=bits)
        return rank.mdlog.submit(commit), made

    # -- journals of others ------------------------------------------------------------------

    def replay(self, event: EFragment, segment: LogSegment) -> None:
        """See `CacheStore`."""
        self.uncommitted.replay(event, segment)

    async def finish_uncommitted(self) -> None:
        """After a replay, once the journal can be written: what was begun is undone, or ended."""
        await self.uncommitted.finish_all()


__all__ = ["COMMIT", "FINISH", "PREPARE", "Fragmenter"]
