"""StrayManager: inodes without a name, kept while somebody needs them, then purged.

What is unlinked goes into one of ten stray directories. It leaves them when nobody has it open and
no snapshot sees it (its data goes to the purge queue), or when one of its hard links takes it in.

Behaviour: ceph/ceph, src/mds/StrayManager.cc, src/mds/MDCache.cc (advance_stray, populate_mydir,
scan_stray_dir, purge_inodes) (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from mdsdaemon.rank.cache.inode import NUM_STRAY, STRAY, CInode
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.snap import nodes
from mdsdaemon.rank.tables.purge_inos import purge_numbers
from mdsdaemon.rank.waiting import MustWait, until_done
from mdsdaemon.types.journal_store import PurgeAction, PurgeItem
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.core import RankCore

AHEAD = 3
"""The stray directory so many places ahead is split or merged before its turn comes."""


class StrayManager:
    """See the module.

    Attributes:
        stray_index: of the directory that takes in what is unlinked now.
        started: the stray directories are open; purging may begin.
        delayed: strays that could go but for something that soon lets go of them.
        purging: strays that are on their way to the purge queue.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.stray_index = 0
        self.started = False
        self.delayed: dict[CInode, None] = {}
        self.purging: set[CInode] = set()
        self._removed = 0
        self._created_before = 0
        self._evaluating: set[CInode] = set()
        self._soon: list[CInode] = []
        self._linked: set[CInode] = set()
        self._is_delayed = False
        self._looking = self._look_due = False
        self._opened = rank.queue.gate()

    # -- the directories ---------------------------------------------------------------------

    def stray_dir_inode(self, index: int | None = None) -> CInode:
        """The directory for what is unlinked now (or one by its index).

        Raises:
            MustWait: the directories are not open yet.
        """
        number = self.stray_index if index is None else index
        inode = self.rank.cache.get_inode(STRAY + NUM_STRAY * self.rank.whoami + number)
        if inode is None:
            raise MustWait(self._opened)
        return inode

    def _stray_dirs(self) -> list[CInode]:
        base = STRAY + NUM_STRAY * self.rank.whoami
        found = (self.rank.cache.get_inode(base + number) for number in range(NUM_STRAY))
        return [inode for inode in found if inode is not None]

    def advance_stray(self) -> None:
        """A new segment begins: use the next directory, so that none grows too much."""
        self.stray_index = (self.stray_index + 1) % NUM_STRAY
        if self.started and not self.rank.read_only:
            ahead = self.stray_dir_inode((self.stray_index + AHEAD) % NUM_STRAY)
            size = self.rank.config.get_int("mds_bal_split_size")
            for directory in list(ahead.dirs.values()):
                if directory.fnode.fragstat.size > size > 0:
                    self.rank.store.fragmenter.queue_split(directory, fast=True)

    @property
    def num_strays(self) -> int:
        """How many there are, those that are not in the cache too."""
        return sum(
            directory.fnode.fragstat.size
            for inode in self._stray_dirs()
            for directory in inode.dirs.values()
        )

    async def populate_mydir(self) -> None:
        """Open the stray directories, begin to purge, and look at every stray that there is."""
        rank = self.rank
        await rank.store.load_strays()
        self._opened.open()
        if not self.started:
            self.started = True
            self._created_before = self.num_strays
            rank.purge_queue.activate()
            for segment in list(rank.mdlog.segments.values()):
                if segment.purging:
                    purge_numbers(rank, segment.purging.as_dict(), segment)
        await self._scan_all()

    async def _scan(self, inode: CInode) -> None:
        store = self.rank.store

        def complete() -> list[CDir]:
            dirs = store.all_dirs(inode)
            for directory in dirs:
                store.need_complete(directory)
            return dirs

        for directory in await until_done(complete):
            for dn in list(directory.items.values()):
                if dn.inode is not None:
                    self.eval_stray(dn.inode)
            self.rank.end_of_dispatch()
            await trio.lowlevel.checkpoint()

    # -- evaluating --------------------------------------------------------------------------

    def is_purging(self, inode: CInode) -> bool:
        """Whether the inode is about to vanish: for clients it is gone (ESTALE)."""
        return inode in self.purging

    def eval_stray(self, inode: CInode) -> bool:
        """Something that kept a stray may be gone: see whether it can go, too.

        To be called for what was just unlinked, and whenever the last capability, lease or other
        reason to keep a stray goes. Does nothing for other inodes.

        Returns:
            whether it goes.
        """
        if (
            not self.started
            or not inode.is_stray
            or inode in self.purging
            or inode in self._evaluating
            or inode.last != NOSNAP
            or self.rank.read_only
        ):
            return False
        self._evaluating.add(inode)
        self._is_delayed = False
        try:
            if inode.inode.nlink == 0:
                goes = self._eval_unlinked(inode)
            else:
                goes = False
                self._eval_linked(inode)
            if goes or not self._is_delayed:
                self.delayed.pop(inode, None)
            return goes
        finally:
            self._evaluating.discard(inode)

    def eval_remote(self, dn: CDentry) -> None:
        """A hard link was met: if its inode is a stray, the link may take it in."""
        inode = dn.remote_inode
        if inode is not None and dn.last == NOSNAP and inode.is_stray:
            self.eval_stray(inode)

    def tick(self) -> None:
        """Look again at what was delayed."""
        for inode in list(self.delayed):
            if inode.is_stray:
                self.eval_stray(inode)
            else:
                self.delayed.pop(inode, None)

    def look_again(self) -> None:
        """A snapshot is gone: strays that only it has seen may go."""
        self._look_due = True
        if self.started and not self._looking:
            self._looking = True
            self.rank.spawn(self._look, "look at strays")

    async def _look(self) -> None:
        while self._look_due:
            self._look_due = False
            await self._scan_all()
        self._looking = False

    async def _scan_all(self) -> None:
        for inode in self._stray_dirs():
            await self._scan(inode)

    def _eval_unlinked(self, inode: CInode) -> bool:
        dn = inode.parent
        assert dn is not None
        if dn.leases or inode.caps:
            return False  # whoever gives them back asks again
        if self._is_busy(inode, dn):
            self._delay(inode)
            return False
        truncate = False
        if self.rank.snaps.any_snapshots:
            seen = self.rank.snaps.existing(self.rank.snaps.realm_of(inode).node.past_parent_snaps)
            if inode.snaprealm_blob and seen:
                if inode.is_dir:
                    return False  # not until the snapshots are gone
                if inode.old_inodes:
                    if not inode.is_file or inode.inode.size == 0:
                        return False
                    truncate = True
        if inode.is_dir:
            self._close_dirs(inode)
        self._enqueue(inode, dn, truncate)
        return True

    def _delay(self, inode: CInode) -> None:
        """Look again at the end of what is being done now, and then at every tick."""
        self._is_delayed = True
        if inode not in self.delayed:
            self._soon.append(inode)
            if len(self._soon) == 1:
                self.rank.queue.push(self._retry_soon)
        self.delayed[inode] = None

    def _retry_soon(self) -> None:
        soon, self._soon = self._soon, []
        for inode in soon:
            if inode in self.delayed and inode.is_stray:
                self.eval_stray(inode)

    def _is_busy(self, inode: CInode, dn: CDentry) -> bool:
        """Whether something is under way that needs the inode for a while."""
        if inode.pins or dn.pins:
            return True
        if inode.locks is not None or dn.lock is not None:
            return True
        return any(
            directory.pins or directory.fetching or directory.committing_version
            for directory in inode.dirs.values()
        )

    def _close_dirs(self, inode: CInode) -> None:
        """An unlinked directory is empty: nothing of it has to be stored."""
        cache, store = self.rank.cache, self.rank.store
        for directory in list(inode.dirs.values()):
            for dn in directory.all_items():
                if dn.inode is not None:
                    store.drop_inode(dn.inode)
                cache.remove_dentry(dn)
            store.drop_dir(directory)
        if inode.nest_segment is not None:
            inode.nest_segment.dirty_nests.discard(inode)
            inode.nest_segment = None

    # -- purging -----------------------------------------------------------------------------

    def _enqueue(self, inode: CInode, dn: CDentry, truncate: bool) -> None:
        rank = self.rank
        self.purging.add(inode)
        inode.pins += 1
        dn.pins += 1
        if not truncate and inode.backtrace_segment is not None:
            inode.backtrace_segment.dirty_backtraces.discard(inode)
            inode.backtrace_segment = None
        item = self._item(inode, truncate)
        after: Callable[[], None] = (
            (lambda: self._truncated(inode, dn)) if truncate else (lambda: self._purged(inode, dn))
        )

        def push() -> None:
            if not rank.purge_queue.push(item, after):
                self._let_go(inode, dn)

        # nothing may be deleted before the journal has that it was unlinked
        pos = max(inode.pos, dn.pos, dn.dir.pos)
        rank.mdlog.when_safe(pos, lambda: rank.leisure.push(push), patient=True)

    def _item(self, inode: CInode, truncate: bool) -> PurgeItem:
        stored = inode.inode
        item = PurgeItem(ino=inode.ino, stamp=self.rank.now())
        if inode.is_dir:
            item.action = PurgeAction.PURGE_DIR
            item.fragtree = inode.dirfragtree
            return item
        item.action = PurgeAction.TRUNCATE_FILE if truncate else PurgeAction.PURGE_FILE
        if inode.is_file:
            ranges = [r.last for r in stored.client_ranges.values()]
            item.size = max([stored.size, stored.max_size_ever, *ranges])
        item.layout = stored.layout
        item.snapc = self.rank.snaps.snap_context(inode)
        if not truncate:
            item.old_pools = [p for p in stored.old_pools if p != stored.layout.pool_id]
        return item

    def _let_go(self, inode: CInode, dn: CDentry) -> None:
        self.purging.discard(inode)
        inode.pins -= 1
        dn.pins -= 1

    def _purged(self, inode: CInode, dn: CDentry) -> None:
        """The purge queue has the inode on disk: it leaves the tree."""
        rank = self.rank
        rank.counters.cache.inc("strays_enqueued")
        self._let_go(inode, dn)
        mut = Mutation(rank, "purge_stray", stamp=rank.now())
        mut.unlink(dn)
        mut.blob.destroyed_inodes.append(inode.ino)
        mut.submit()
        rank.openfiles.note_destroyed(mut.segment.seq, [inode.ino])
        rank.store.drop_inode(inode)
        self._removed += 1

    def _truncated(self, inode: CInode, dn: CDentry) -> None:
        """The data of now goes; what snapshots see stays."""
        rank = self.rank
        rank.counters.cache.inc("strays_enqueued")
        self._let_go(inode, dn)
        mut = Mutation(rank, "purge_stray truncate", stamp=rank.now())
        stored = mut.inode(inode, 0)
        stored.size = stored.max_size_ever = 0
        stored.truncate_size = stored.truncate_from = 0
        stored.client_ranges.clear()
        mut.submit()
        self.eval_stray(inode)

    # -- hard links --------------------------------------------------------------------------

    def _eval_linked(self, inode: CInode) -> None:
        """Give a stray that has hard links to one of them, if one is in the cache by then."""
        if inode.remote_parents and inode not in self._linked:
            self._linked.add(inode)
            self.rank.leisure.push(lambda: self._give_to_link(inode))

    def _give_to_link(self, inode: CInode) -> None:
        self._linked.discard(inode)
        stray_dn = inode.parent
        if (
            stray_dn is None
            or not inode.is_stray
            or not inode.inode.nlink
            or self.rank.read_only
            or self.rank.cache.get_inode(inode.ino) is not inode
        ):
            return
        for dn in inode.remote_parents or ():
            if dn.last == NOSNAP and dn.remote_ino == inode.ino:
                self._reintegrate(inode, stray_dn, dn)
                return

    def _reintegrate(self, inode: CInode, stray_dn: CDentry, dn: CDentry) -> None:
        rank = self.rank
        rank.log.debug("reintegrate %s to %s", stray_dn, dn)
        node = nodes.when_taken_in(rank.snaps, inode, dn)
        mut = Mutation(rank, "rename", stamp=rank.now(), hidden=True)
        mut.unlink(stray_dn)
        mut.unlink(dn)
        mut.link_primary(dn, inode)
        mut.inode(inode).stray_prior_path = ""
        nodes.set_node(inode, node)
        mut.backtrace(inode)
        mut.submit()
        self._removed += 1
        rank.counters.cache.inc("strays_reintegrated")

    # -- counters ----------------------------------------------------------------------------

    def count(self) -> None:
        """Set what `perf dump mds_cache` shows of strays; called when somebody looks."""
        counters = self.rank.counters.cache
        now = self.num_strays
        created = now + self._removed - self._created_before
        counters.set("num_strays", now)
        counters.set("num_strays_delayed", len(self.delayed))
        counters.set("num_strays_enqueuing", len(self.purging))
        missing = created - counters.get("strays_created")
        if missing > 0:
            counters.inc("strays_created", missing)
