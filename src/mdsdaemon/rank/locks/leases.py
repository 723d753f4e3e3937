"""Leases on names: for some seconds a client may believe that a name leads where it was told.

They are given where the client does not hold the directory's entries by a capability.

Behaviour: ceph/ceph, src/mds/Locker.cc (issue_client_lease, handle_client_lease,
revoke_client_leases), src/mds/MDCache.cc (trim_client_leases) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.messages.client_caps import MClientLease
from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.inode_locks import InodeLocks, Intent
from mdsdaemon.rank.locks.issue import CapIssuer
from mdsdaemon.types.client_caps import CAP_FILE_EXCL, CAP_FILE_SHARED, LOCK_DN
from mdsdaemon.types.client_ops import LEASE_PRIMARY_LINK, LEASE_VALID, LeaseOp
from mdsdaemon.types.client_stat import INFINITE_LEASE, LeaseStat
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.waiting import Gate

LEASE_SECONDS = 30.0


class Lease:
    """One client's lease on one name.

    Attributes:
        seq: of the newest that it was given.
        expires: seconds of the wall clock: after that the client does not believe it any more.
        revoking: the client was asked to give it back.
    """

    __slots__ = ("dn", "expires", "revoking", "seq", "session")

    def __init__(self, dn: CDentry, session: Session) -> None:
        self.dn = dn
        self.session = session
        self.seq = 0
        self.expires = 0.0
        self.revoking = False


class DentryLock:
    """Requests that are about to change where a name leads.

    Attributes:
        gate: opens when one has done, and when a lease has come back.
    """

    __slots__ = ("gate", "queue")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.queue: list[Intent] = []

    def enter(self, intent: Intent) -> None:
        self.queue.append(intent)
        self.queue.sort(key=lambda one: one.ticket)

    def leave(self, intent: Intent) -> None:
        self.queue.remove(intent)

    def is_first(self, intent: Intent) -> bool:
        return self.queue[0] is intent

    def is_taken_before(self, ticket: int) -> bool:
        """Whether a request that came before this ticket is to change it."""
        return bool(self.queue) and self.queue[0].ticket < ticket


class Leases(CapIssuer):
    """See the module."""

    def __init__(self, rank: Any) -> None:
        super().__init__(rank)
        self.leases: dict[Lease, None] = {}
        """All of them, the first to expire first: all last equally long."""

    def lease(self, dn: CDentry, session: Session, snapid: int = NOSNAP) -> LeaseStat:
        """The lease that comes with a name in a reply; `mask` without LEASE_VALID: none."""
        if snapid != NOSNAP:
            return INFINITE_LEASE
        alternate = dn.alternate_name.decode("utf-8", "surrogateescape")
        if not self._may_lease(dn, session):
            return LeaseStat(0, 0, 0, alternate)
        mask = LEASE_PRIMARY_LINK if dn.is_primary else 0
        if dn.leases is None:
            dn.leases = {}
        lease: Lease | None = dn.leases.get(session.client)
        if lease is None:
            lease = dn.leases[session.client] = Lease(dn, session)
            session.leases[dn] = lease
        self._touch(lease)
        return LeaseStat(mask | LEASE_VALID, round(LEASE_SECONDS * 1000), lease.seq, alternate)

    def _may_lease(self, dn: CDentry, session: Session) -> bool:
        diri = dn.dir.inode
        if not dn.is_head or dn.lock is not None or diri.is_stray_dir or session.is_stale():
            return False
        locks: InodeLocks | None = diri.locks
        if locks is None or (locks.is_stable(st.FILE) and locks.state(st.FILE) == st.SYNC):
            return False  # the directory's own capability says it
        cap = diri.caps.get(session.client) if diri.caps else None
        return cap is None or not cap.pending & (CAP_FILE_SHARED | CAP_FILE_EXCL)

    def _touch(self, lease: Lease) -> None:
        lease.seq += 1
        lease.session.loads.cache_liveness.hit()
        lease.expires = self.rank.host.wall() + LEASE_SECONDS
        self.leases.pop(lease, None)
        self.leases[lease] = None

    def revoke_leases(self, dn: CDentry) -> None:
        """Ask all clients to give back their leases on the name."""
        inode = dn.dir.inode
        for lease in (dn.leases or {}).values():
            if lease.revoking:
                continue
            lease.revoking = True
            msg = MClientLease(
                LeaseOp.REVOKE, 1 | LOCK_DN, inode.ino, inode.first, NOSNAP, lease.seq, 0, dn.name
            )
            lease.session.send(msg)

    def drop_lease(self, lease: Lease) -> None:
        """The client does not believe it any more."""
        dn = lease.dn
        del self.leases[lease]
        lease.session.leases.pop(dn, None)
        assert dn.leases is not None
        del dn.leases[lease.session.client]
        if not dn.leases:
            dn.leases = None
            lock: DentryLock | None = dn.lock
            if lock is not None:
                lock.gate.open()

    def handle_client_lease(self, msg: MClientLease) -> None:
        """A client gives a lease back, or wants it for longer."""
        session = self.rank.sessions.usable_session_of(msg)
        if session is None:
            return
        inode = self.rank.cache.get_inode(msg.ino, msg.last)
        dn = None if inode is None else self.find_dentry(inode, msg.dname)
        lease: Lease | None = None
        if dn is not None and dn.leases:
            lease = dn.leases.get(session.client)
        if lease is None or dn is None:
            return
        if msg.action in (LeaseOp.REVOKE_ACK, LeaseOp.RELEASE):
            if lease.seq == msg.seq:
                self.drop_lease(lease)
        elif msg.action == LeaseOp.RENEW and dn.lock is None and not lease.revoking:
            self._touch(lease)
            renewed = MClientLease(
                LeaseOp.RENEW,
                msg.mask,
                msg.ino,
                msg.first,
                msg.last,
                lease.seq,
                round(LEASE_SECONDS * 1000),
                msg.dname,
            )
            session.send(renewed, after=self.rank.sessions.must_follow(session.client, dn))

    def find_dentry(self, inode: CInode, name: str) -> CDentry | None:
        """The dentry of this name if it is in the cache."""
        for directory in inode.dirs.values():
            dn = directory.items.get(name)
            if dn is not None:
                return dn
        return None

    def drop_leases_of(self, session: Session) -> None:
        """The client is silent or gone."""
        for lease in list(session.leases.values()):
            self.drop_lease(lease)

    def expire_leases(self) -> None:
        """Leases whose time is over come back by themselves."""
        now = self.rank.host.wall()
        while self.leases:
            lease = next(iter(self.leases))
            if lease.expires > now:
                return
            self.drop_lease(lease)
