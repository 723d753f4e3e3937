"""Finding an inode by its number: its backtrace tells where it was; that is looked at.

A backtrace may be old, so what it says is only believed when the tree agrees. Unless the directory
that it names is in the cache, that one is found in the same way.

Behaviour: ceph/ceph, src/mds/MDCache.cc (open_ino, open_ino_traverse_dir, open_remote_dentry)
(Pacific). Unlike it, an inode whose backtrace leads nowhere is ESTALE, not EINVAL, and all data
pools are asked.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

from attrs import define, field

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Output, Result
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.rank.cache.backtraces import backtrace_object
from mdsdaemon.rank.cache.fetch import MISSING
from mdsdaemon.rank.cache.inode import DT_DIR, MDSDIR, NUM_STRAY, STRAY, SYSTEM_END
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.waiting import Gate, MustWait
from mdsdaemon.types.backtrace import Backtrace

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore

FAILURE_KEPT = 1.0
"""Seconds for which those who waited learn that there is no such inode, without another search."""
MAX_FAILURES = 4096


@define(eq=False)
class _Search:
    """One inode that is being looked for.

    Attributes:
        pools: to ask for the backtrace, in this order.
        asked: those that were asked.
        parent: the directory that has to be found first, or 0.
    """

    ino: int
    gate: Gate
    pools: list[int]
    asked: set[int] = field(factory=set)
    trace: Backtrace | None = None
    parent: int = 0


class InoOpener:
    """See the module."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self._searches: dict[int, _Search] = {}
        self._failures: dict[int, tuple[float, int]] = {}

    def need_inode(self, ino: int, pool_hint: int = -1) -> CInode:
        """See `CacheStore`."""
        inode = self.rank.cache.get_inode(ino)
        if inode is not None:
            if inode.parent is not None:
                inode.parent.touched = True
            return inode
        if ino < SYSTEM_END:
            return self._system_inode(ino)
        self._raise_failure(ino)
        search = self._searches.get(ino)
        if search is None:
            search = self._begin(ino, pool_hint)
        raise MustWait(search.gate)

    def need_remote(self, dn: CDentry) -> CInode:
        """See `CacheStore`."""
        rank = self.rank
        found = dn.remote_inode or rank.cache.get_inode(dn.remote_ino)
        if found is None:
            if rank.damage.is_backtrace(dn.remote_ino):
                raise FsError(errno.EIO, f"the inode of {dn} cannot be found")
            hint = rank.metadata_pool if dn.remote_d_type == DT_DIR else -1
            try:
                found = self.need_inode(dn.remote_ino, hint)
            except FsError as error:
                self._bad_remote(dn, error)
        if found is not dn.remote_inode:
            rank.cache.found_remote(dn, found)
        dn.touched = True
        if found.parent is not None:
            found.parent.touched = True
        return found

    def _bad_remote(self, dn: CDentry, error: FsError) -> NoReturn:
        rank = self.rank
        path = f"{rank.cache.path_of(dn.dir.inode).rstrip('/')}/{dn.name}"
        rank.log.warning("%s is a bad remote dentry: %s", path, error)
        if rank.damage.note_backtrace(dn.remote_ino, path):
            rank.damaged(f"too much damage: {path}, a hard link, leads nowhere")
        raise FsError(errno.EIO, f"the inode of {dn} cannot be found") from error

    def _system_inode(self, ino: int) -> CInode:
        """A stray directory of this rank, which is in its mdsdir; nothing else can be found."""
        first, mydir = STRAY + NUM_STRAY * self.rank.whoami, self.rank.cache.mydir
        if mydir is None or not first <= ino < first + NUM_STRAY:
            what = "a metadata server's directory" if MDSDIR <= ino < STRAY else "a system inode"
            raise FsError(errno.ESTALE, f"0x{ino:x} is {what}")
        dn = self.rank.store.lookup(mydir, f"stray{ino - first}")
        if dn is None or dn.inode is None or dn.inode.ino != ino:
            raise FsError(errno.ESTALE, f"there is no stray directory 0x{ino:x}")
        return dn.inode

    # -- failures ----------------------------------------------------------------------------

    def _raise_failure(self, ino: int) -> None:
        known = self._failures.get(ino)
        if known is None:
            return
        until, code = known
        if self.rank.host.wall() < until:
            raise FsError(code, f"no inode 0x{ino:x}")
        del self._failures[ino]

    def _end(self, search: _Search, code: int = 0) -> None:
        self._searches.pop(search.ino, None)
        if code:
            if len(self._failures) >= MAX_FAILURES:
                self._failures.clear()
            self._failures[search.ino] = (self.rank.host.wall() + FAILURE_KEPT, code)
        search.gate.open()

    # -- reading the backtrace ---------------------------------------------------------------

    def _begin(self, ino: int, hint: int) -> _Search:
        rank = self.rank
        first = hint if hint >= 0 else rank.default_data_pool
        pools = [*dict.fromkeys([first, rank.metadata_pool, *rank.mdsmap.data_pools])]
        search = self._searches[ino] = _Search(ino, rank.queue.gate(), pools)
        self._ask(search)
        return search

    def _ask(self, search: _Search) -> None:
        pool = next((pool for pool in search.pools if pool not in search.asked), None)
        if pool is None:
            self._end(search, errno.ESTALE)
            return
        search.asked.add(pool)
        self.rank.counters.mds.inc("openino_backtrace_fetch")
        op = ObjectOperation()
        parent = op.getxattr("parent")
        self.rank.objecter.submit(
            pool,
            backtrace_object(search.ino),
            op,
            lambda outcome: self._asked(search, pool, parent, outcome),
        )

    def _asked(
        self, search: _Search, pool: int, parent: Output[bytes], outcome: Result | RadosError
    ) -> None:
        if self._searches.get(search.ino) is not search:
            return
        try:
            if isinstance(outcome, RadosError):
                raise outcome
            trace = decode(Backtrace, outcome[parent])
        except DecodeError as error:
            self.rank.log.error("corrupt backtrace of inode 0x%x: %s", search.ino, error)
            self._end(search, errno.EIO)
            return
        except RadosError as error:
            if error.errno in MISSING:
                self._ask(search)
            elif error.errno == errno.EIO:
                self._end(search, errno.EIO)
            elif error.errno == errno.ETIMEDOUT:
                self._end(search)  # who waits asks again
            else:
                self._searches.pop(search.ino, None)
                self.rank.handle_write_error(error)
            return
        if trace.pool not in (-1, pool) and trace.pool not in search.asked:
            search.pools.insert(0, trace.pool)
            self._ask(search)
            return
        if not trace.ancestors:
            self._end(search, errno.ESTALE)
            return
        search.trace = trace
        self.rank.queue.attempt(lambda: self._walk(search))

    # -- looking where it says ---------------------------------------------------------------

    def _walk(self, search: _Search) -> None:
        if self._searches.get(search.ino) is not search:
            return
        try:
            if self._find(search):
                self._end(search)
            else:
                self.rank.log.info("the backtrace of inode 0x%x is old", search.ino)
                self._end(search, errno.ESTALE)
        except FsError as error:
            self._end(search, error.errno)

    def _find(self, search: _Search) -> bool:
        """Whether the inode is in the cache now; MustWait while somebody is asked."""
        assert search.trace is not None
        cache = self.rank.cache
        steps = search.trace.ancestors
        search.parent = 0
        # from the nearest directory that is there, down as far as the backtrace is right
        start = next((i for i, step in enumerate(steps) if cache.get_inode(step.dirino)), -1)
        for i in range(start, -1, -1):
            directory = cache.get_inode(steps[i].dirino)
            if directory is None or not directory.is_dir:
                break
            wanted = steps[i - 1].dirino if i else search.ino
            dn = self._lookup(directory, steps[i].dname)
            if dn is None or dn.inode is None or dn.inode.ino != wanted:
                if i == 0:
                    return cache.get_inode(search.ino) is not None
                break
        if cache.get_inode(search.ino) is not None:
            return True
        above = steps[0].dirino
        if self._in_a_circle(search, above):
            return False
        search.parent = above
        directory = self.need_inode(above, self.rank.metadata_pool)
        search.parent = 0
        if not directory.is_dir:
            return False
        dn = self._lookup(directory, steps[0].dname)
        return dn is not None and dn.inode is not None and dn.inode.ino == search.ino

    def _lookup(self, directory: CInode, name: str) -> CDentry | None:
        try:
            return self.rank.store.lookup(directory, name)
        except MustWait:
            self.rank.counters.mds.inc("openino_dir_fetch")
            raise

    def _in_a_circle(self, search: _Search, above: int) -> bool:
        """Whether the search for `above` waits for this one: forged backtraces can say so."""
        at, seen = above, set[int]()
        while at and at not in seen:
            if at == search.ino:
                return True
            seen.add(at)
            other = self._searches.get(at)
            at = other.parent if other is not None else 0
        return False
