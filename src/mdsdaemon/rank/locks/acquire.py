"""Taking locks for a request, and leaving them.

A request takes all locks that it needs, does its change and leaves them within one synchronous
stretch. So a lock is never held while another request runs, except by one that found its locks and
then had to wait for something else. What takes time is that clients give back what stands against
it: meanwhile the request is queued at each of its locks, by its ticket, and nobody is given what it
will need. Tickets order all requests in one way at all locks, so that they cannot wait for each
other in a circle.

Locks that no client mirrors (nest, snap, policy, flock, version) need no queue.

Behaviour: ceph/ceph, src/mds/Locker.cc (acquire_locks, rdlock_start, wrlock_start, xlock_start,
drop_locks) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.inode_locks import NOBODY, InodeLocks, Intent, is_given_back
from mdsdaemon.rank.locks.leases import DentryLock, Leases
from mdsdaemon.rank.waiting import Gate, MustWait

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode

Wanted = Iterable[tuple[Any, str]]
"""(inode or dentry, "auth", "link", "xattr", "file", "dn", …)"""


class Acquirer(Protocol):
    """Who takes locks.

    Attributes:
        client: for whom, by number; 0: for the server itself.
        locks: kept by the locker; None at first.
    """

    client: int
    locks: Any


class Holds:
    """What a request has at the locks.

    Attributes:
        ticket: its place in all queues.
        inodes: what it has entered, by (inode, lock).
        dentries: those that it takes exclusively.
        untidy: inodes whose locks should be evaluated when it has done.
        releases: capabilities that the client gave back with it → their number then.
    """

    __slots__ = ("dentries", "inodes", "releases", "ticket", "untidy")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.inodes: dict[tuple[CInode, int], Intent] = {}
        self.dentries: dict[CDentry, Intent] = {}
        self.untidy: dict[CInode, None] = {}
        self.releases: dict[Any, int] = {}


class LockTaker(Leases):
    """See the module."""

    def __init__(self, rank: Any) -> None:
        super().__init__(rank)
        self._tickets = 0

    def holds(self, req: Acquirer) -> Holds:
        """The request's holds, made if it has none."""
        holds: Holds | None = req.locks
        if holds is None:
            self._tickets += 1
            holds = req.locks = Holds(self._tickets)
        return holds

    def acquire(
        self,
        req: Acquirer,
        rd: Wanted = (),
        wr: Wanted = (),
        x: Wanted = (),
        *,
        alone: bool = False,
    ) -> None:
        """Take these locks besides those that the request has; leave them with `release`.

        Args:
            rd: to read what the lock guards. wr: to change it beside others who do, as entries of
                a directory are. x: to change it alone.
            alone: what is read must not lack what a client has in its buffers.

        Raises:
            MustWait: clients have been asked to give back what stands against it. The request
                keeps its place in the queues; it calls again when the gate has opened, or
                `release` when it gives up.
        """
        wait: Gate | None = None
        entered: list[tuple[CInode, int, Intent]] = []
        stirred: dict[CInode, None] = {}
        for mode, things in ((st.X, x), (st.WR, wr), (st.RD, rd)):
            for thing, name in things:
                lock = st.INDEX.get(name)
                if lock is not None:
                    intent = self._enter(req, thing, lock, mode, alone, stirred)
                    if intent is not None:
                        entered.append((thing, lock, intent))
                elif name == "dn":
                    gate = self._take_dentry(req, thing, mode)
                    wait = gate if wait is None else wait
        # once for all: a client is asked for everything by one message
        for inode in stirred:
            self.eval(inode)
        for inode, lock, intent in entered:
            gate = self._take(inode, lock, intent)
            wait = gate if wait is None else wait
        if wait is not None:
            if req.locks is not None:
                for (inode, _), intent in req.locks.inodes.items():
                    inode.locks.let_go(intent)
            raise MustWait(wait)

    def _enter(
        self,
        req: Acquirer,
        inode: CInode,
        lock: int,
        mode: int,
        alone: bool,
        stirred: dict[CInode, None],
    ) -> Intent | None:
        """Have the request in the lock's queue; None: it may have the lock as it is.

        Args:
            stirred: filled with the inode, if its locks may have to move for that.
        """
        holds: Holds | None = req.locks
        intent = None if holds is None else holds.inodes.get((inode, lock))
        locks: InodeLocks | None = inode.locks
        if intent is None:
            rests = locks is None or (not locks.queues[lock] and locks.is_stable(lock))
            if rests and mode == st.X and is_given_back(lock, inode.caps or {}):
                if inode.caps:
                    self.holds(req).untidy[inode] = None  # what clients wish for may have changed
                return None
            if locks is None:
                if mode == st.RD or not (inode.caps or (mode == st.WR and inode.is_base)):
                    return None
                locks = self.locks_of(inode)
            elif rests and locks.fits(lock, mode, req.client):
                if (
                    lock == st.FILE
                    and inode.is_dir
                    and locks.loner != NOBODY
                    and locks.state(lock) != st.EXCL
                ):
                    self.holds(req).untidy[inode] = None  # it may be all the loner's after that
                return None
            holds = self.holds(req)
            intent = Intent(holds.ticket, req.client, mode, alone=alone)
            holds.inodes[inode, lock] = intent
            locks.enter(lock, intent)
            stirred[inode] = None
        elif mode > intent.mode:
            intent.mode = mode
            stirred[inode] = None
        return intent

    def _take(self, inode: CInode, lock: int, intent: Intent) -> Gate | None:
        """Take one lock; what to wait for if that cannot be."""
        locks = inode.locks
        assert locks is not None
        if locks.may_have(lock, intent):
            locks.hold(intent)
            return None
        if lock == st.FILE and locks.recovery:
            self.rank.recovery.prioritize(inode)
        return self.gate(inode)

    def _take_dentry(self, req: Acquirer, dn: CDentry, mode: int) -> Gate | None:
        lock: DentryLock | None = dn.lock
        if mode != st.X:
            if lock is None:
                return None
            holds = self.holds(req)
            mine = holds.dentries.get(dn)
            return lock.gate if lock.is_taken_before(holds.ticket) and mine is None else None
        if lock is None and not dn.leases:
            return None
        holds = self.holds(req)
        intent = holds.dentries.get(dn)
        if lock is None:
            lock = dn.lock = DentryLock(self.rank.queue.gate())
        if intent is None:
            intent = holds.dentries[dn] = Intent(holds.ticket, req.client, st.X)
            lock.enter(intent)
            self.revoke_leases(dn)
        if not dn.leases and lock.is_first(intent):
            return None
        return lock.gate

    def leaves_quietly(self, req: Acquirer) -> bool:
        """Whether nobody is told when the request leaves its locks, before its reply is made."""
        holds: Holds | None = req.locks
        if holds is None:
            return True
        return not holds.dentries and all(i.mode == st.RD for i in holds.inodes.values())

    def release(self, req: Acquirer) -> None:
        """The request has done with its locks, or gives up: let others in, issue capabilities.

        Called before the reply is made: so that brings the client what it may have after the
        change. What was taken to read is left after the reply, since it is told what it has read.
        """
        holds: Holds | None = req.locks
        if holds is None:
            return
        req.locks = None
        client = req.client
        for dn, intent in holds.dentries.items():
            held: DentryLock = dn.lock
            held.leave(intent)
            held.gate.open()
            if not held.queue:
                dn.lock = None
        writes = [key for key, intent in holds.inodes.items() if intent.mode != st.RD]
        for inode in self._leave(holds, writes):
            cap = inode.caps.get(client) if inode.caps else None
            if cap is None:
                self._tidy_up(inode)
                continue
            cap.suppress += 1
            self._tidy_up(inode)
            cap.suppress -= 1
            if cap.wanted & ~cap.pending:
                self.kick_later(cap)
        if holds.inodes or holds.untidy or holds.releases:
            self.rank.queue.push(lambda: self._finish(holds))

    def _finish(self, holds: Holds) -> None:
        """The reply is made."""
        untidy = holds.untidy
        untidy.update(self._leave(holds, list(holds.inodes)))
        for inode in untidy:
            self._tidy_up(inode)
        for cap, seq in holds.releases.items():
            if cap.last_sent == seq:
                self.kick_later(cap)

    def _leave(self, holds: Holds, keys: list[tuple[CInode, int]]) -> dict[CInode, None]:
        """Leave these locks; their inodes."""
        left: dict[CInode, None] = {}
        for key in keys:
            inode, lock = key
            locks: InodeLocks = inode.locks
            locks.leave(lock, holds.inodes.pop(key))
            left[inode] = None
        return left

    def _tidy_up(self, inode: CInode) -> None:
        self.eval(inode)
        locks: InodeLocks | None = inode.locks
        if locks is not None and locks.gate is not None:
            locks.gate.open()
