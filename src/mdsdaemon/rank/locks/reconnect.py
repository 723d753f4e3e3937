"""After a failover: clients claim what they had.

Claims are taken as they come; the states of the locks follow from all of them together. Claims on
inodes that are not found are kept until the replayed requests are done, which may make them.

Behaviour: ceph/ceph, src/mds/CInode.cc (reconnect_cap, choose_lock_states), src/mds/MDCache.cc
(try_reconnect_cap, export_remaining_imported_caps, reissue_all_caps) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_caps import CapPeer, MClientCaps
from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.capability import Capability
from mdsdaemon.rank.locks.silent import Silent
from mdsdaemon.rank.snap.notify import right_realm
from mdsdaemon.types.caps import CapReconnect
from mdsdaemon.types.client_caps import (
    CAP_ANY_EXCL,
    CAP_ANY_WR,
    CAP_GBUFFER,
    CAP_GCACHE,
    CAP_GEXCL,
    CAP_GSHARED,
    CAP_GWR,
)
from mdsdaemon.types.client_locks import FileLock, ReconnectLocks
from mdsdaemon.types.client_ops import CapOp

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.session import Session

_NO_MDS = 0xFFFFFFFF


class Reconnect(Silent):
    """See the module.

    Attributes:
        claims: by inode and client, what is claimed on inodes that were not found.
    """

    def __init__(self, rank: Any) -> None:
        super().__init__(rank)
        self.claims: dict[int, dict[Session, CapReconnect]] = {}

    def import_reconnect(self, session: Session, ino: int, claim: CapReconnect) -> bool:
        """A client claims a capability.

        Returns:
            False: the inode is not in the cache; the claim is kept. Call again when it is there.

        """
        inode = self.rank.cache.get_inode(ino)
        if inode is None:
            self.claims.setdefault(ino, {})[session] = claim
            return False
        held = self.claims.get(ino)
        if held is not None:
            held.pop(session, None)
            if not held:
                del self.claims[ino]
        self._take_claim(inode, session, claim)
        self.rank.snaps.flushes.reclaimed(
            inode, session.client, claim.snap_follows, claim.body.issued
        )
        right_realm(self.rank, session, inode, claim.body.snaprealm)
        return True

    def _take_claim(self, inode: CInode, session: Session, claim: CapReconnect) -> Capability:
        body = claim.body
        cap: Capability | None = inode.caps.get(session.client) if inode.caps else None
        if cap is not None:
            cap.issue(cap.pending | body.issued)
            cap.wanted |= body.wanted
        else:
            cap = self.add_cap(inode, session)
            cap.cap_id = body.cap_id
            self.last_cap_id = max(self.last_cap_id, body.cap_id)
            cap.wanted = body.wanted
            cap.issue_more(body.issued)
            cap.reset_seq()
            cap.writeable = session.client in inode.inode.client_ranges
        cap.last_issue_stamp = self.rank.host.wall()
        if body.flocks:
            self._restore_file_locks(inode, session, body.flocks)
        self.choose_states(inode)
        return cap

    def _restore_file_locks(self, inode: CInode, session: Session, data: bytes) -> None:
        try:
            locks = decode(ReconnectLocks, data)
        except DecodeError as exc:
            self.rank.log.warning("%s claims malformed file locks: %s", session, exc)
            return
        held = self._file_locks(inode)
        held.fcntl.restore(_of(session.client, locks.fcntl))
        held.flock.restore(_of(session.client, locks.flock))
        self._tidy(inode, held)

    def choose_states(self, inode: CInode) -> None:
        """Put the locks into the states in which clients can have what they claim."""
        issued = self.issued_to_all(inode) | self.reconnect_dirty.get(inode.ino, 0)
        if inode.locks is None and not issued & (CAP_ANY_EXCL | CAP_ANY_WR):
            return
        locks = self.locks_of(inode)
        locks.choose_loner(inode.caps or {}, read_only=self.rank.read_only)
        for lock in st.LOCKS:
            bits = issued >> st.SHIFT[lock] & st.MASK[lock]
            state = locks.state(lock)
            if state == st.SCAN:
                continue
            if bits & (CAP_GEXCL | CAP_GBUFFER):
                state = st.EXCL
            elif lock == st.FILE and bits & CAP_GWR:
                state = st.EXCL if bits & (CAP_GCACHE | CAP_GSHARED) else st.MIX
            elif state != st.MIX:
                state = st.SYNC
            locks.set_state(lock, state)
        if locks.at_rest():
            inode.locks = None

    # -- replayed requests --------------------------------------------------------------------

    def issue_new_caps(
        self, inode: CInode, session: Session, mode: int, wanted: int | None = None
    ) -> Capability | None:
        """See `CapIssuer`. Of what a replayed request makes, the client has what it claims; None:
        it claims nothing.
        """
        if self.rank.state != State.CLIENTREPLAY or inode.inode.version:
            return super().issue_new_caps(inode, session, mode, wanted)
        self.take_claims(inode)
        return inode.caps.get(session.client) if inode.caps else None

    def take_claims(self, inode: CInode) -> None:
        """A replayed request has made an inode that clients claim capabilities of."""
        for session, claim in self.claims.pop(inode.ino, {}).items():
            if self.rank.sessionmap.get_session(session.client) is session:
                self._take_claim(inode, session, claim)
        gate = self.awaited.pop(inode.ino, None)
        if gate is not None:
            gate.open()

    def note_changed(self, inode: CInode) -> None:
        """An inode was changed: those who hold capabilities are told, as far as they must be."""
        if self.claims and inode.ino in self.claims:
            self.take_claims(inode)
        if inode.caps is not None and not inode.inode.nlink:
            self.tell_of_end(inode)

    # -- the rank is active --------------------------------------------------------------------

    def reissue_all_caps(self) -> None:
        """The rank is active: clients are told what they have too much or may have besides."""
        self._refuse_claims()
        self.reconnect_dirty.clear()
        awaited, self.awaited = self.awaited, {}
        for gate in awaited.values():
            gate.open()
        for inode in list(self.rank.cache.inodes.values()):
            if inode.caps is not None:
                self.eval(inode)

    def _refuse_claims(self) -> None:
        """Nobody knows these inodes: their capabilities are void."""
        claims, self.claims = self.claims, {}
        if claims:
            inos = ", ".join(f"0x{ino:x}" for ino in list(claims)[:100])
            self.rank.services.clog.warn(f"failed to reconnect caps for missing inodes: {inos}")
        for ino, by_session in claims.items():
            for session, claim in by_session.items():
                msg = MClientCaps(
                    CapOp.EXPORT,
                    ino,
                    0,
                    claim.body.cap_id,
                    export_peer=CapPeer(0, 0, 0, _NO_MDS, 0),
                    osd_epoch_barrier=self.rank.osd_epoch_barrier,
                )
                if self.rank.sessionmap.get_session(session.client) is session:
                    session.send(msg)


def _of(client: int, locks: list[FileLock]) -> list[FileLock]:
    """A client claims for itself; it does not know its number in what it keeps of its locks."""
    return [
        FileLock(lock.start, lock.length, client, lock.owner, lock.pid, lock.type) for lock in locks
    ]
