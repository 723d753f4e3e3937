"""RecoveryQueue: how long files are whose writer has died without telling.

Its data is in the objects; all of them are looked at, up to the end of the range in which it was
allowed to write. Meanwhile the file lock stands still.

Behaviour: ceph/ceph, src/mds/RecoveryQueue.cc, src/mds/MDCache.cc (identify_files_to_recover,
start_files_to_recover) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.rank import filer
from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.inode_locks import KNOWN, NEEDED

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore


class RecoveryQueue:
    """See the module.

    Attributes:
        urgent, waiting: files to be looked at, in order. active: those that are; True: once more
            after that.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.urgent: dict[CInode, None] = {}
        self.waiting: dict[CInode, None] = {}
        self.active: dict[CInode, bool] = {}
        self._found: list[CInode] = []

    # -- after a failover ---------------------------------------------------------------------

    def identify(self) -> None:
        """All claims are known: mark files in which somebody could write who has not come back.

        Nobody may read them before their size is known.
        """
        locker = self.rank.locker
        for inode in list(self.rank.cache.inodes.values()):
            ranges = inode.inode.client_ranges
            if not ranges or not inode.is_file:
                continue
            caps = inode.caps or {}
            if all(client in caps for client in ranges):
                for client in ranges:
                    caps[client].writeable = True
            else:
                locks = locker.locks_of(inode)
                if locks.recovery == KNOWN:
                    locks.set_state(st.FILE, st.SCAN, st.LOCK)
                    locks.recovery = NEEDED
            self._found.append(inode)

    def start_queued(self) -> None:
        """Begin to look at the files that were marked."""
        found, self._found = self._found, []
        locker = self.rank.locker
        for inode in found:
            if self.rank.cache.get_inode(inode.ino) is inode:
                if inode.locks is None or inode.locks.recovery == KNOWN:
                    locker.check_max_size(inode)
                locker.eval(inode)

    # -- the queue ----------------------------------------------------------------------------

    def enqueue(self, inode: CInode) -> None:
        """Find out how long a file is; its locks wait for that."""
        if inode in self.active:
            self.active[inode] = True
        elif inode not in self.urgent and inode not in self.waiting:
            self.waiting[inode] = None
            inode.pins += 1
            self.rank.counters.cache.inc("recovery_started")
        self.rank.queue.push(self._advance)

    def prioritize(self, inode: CInode) -> None:
        """Somebody waits for this one."""
        if inode in self.waiting:
            del self.waiting[inode]
            self.urgent[inode] = None

    def _advance(self) -> None:
        most = self.rank.config.get_int("mds_max_file_recover")
        while len(self.active) < most and (self.urgent or self.waiting):
            queue = self.urgent or self.waiting
            inode = next(iter(queue))
            del queue[inode]
            self._start(inode)
        counters = self.rank.counters.cache
        counters.set("num_recovering_processing", len(self.active))
        counters.set("num_recovering_enqueued", len(self.waiting) + len(self.urgent))
        counters.set("num_recovering_prioritized", len(self.urgent))

    def _start(self, inode: CInode) -> None:
        ranges = inode.inode.client_ranges
        below = max((held.last for held in ranges.values()), default=0)
        if not below:
            if ranges:
                self.rank.services.clog.warn(f"bad client_range {ranges} on ino 0x{inode.ino:x}")
            self._done(inode, 0, 0)
            return
        self.active[inode] = False
        self.rank.spawn(lambda: self._probe(inode, below), f"recover the size of {inode.ino:#x}")

    async def _probe(self, inode: CInode, below: int) -> None:
        rank = self.rank
        try:
            size, mtime = await filer.probe(
                rank.objecter, inode.ino, inode.inode.layout, below, inode.last
            )
        except RadosError as exc:
            rank.log.error("recovering the size of %s: %s", inode, exc)
            if exc.errno == EBLOCKLISTED:
                rank.handle_write_error(exc)
                return
            why = f" OSD read error while recovering size for inode 0x{inode.ino:x}"
            rank.services.clog.error(why)
            rank.damaged(why.strip())
            return
        again = self.active.pop(inode)
        rank.counters.cache.inc("recovery_completed")
        if again:
            self._start(inode)
        else:
            self._done(inode, size, mtime)
        self._advance()
        rank.end_of_dispatch()

    def _done(self, inode: CInode, size: int, mtime: int) -> None:
        inode.pins -= 1
        locker = self.rank.locker
        locks = inode.locks
        if locks is not None:
            locks.recovery = KNOWN
        if not self.rank.read_only:
            locker.check_max_size(inode, size=size, mtime=mtime, force=True)
        locker.eval(inode)
        if locks is not None and locks.gate is not None:
            locks.gate.open()
