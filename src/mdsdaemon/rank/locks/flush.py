"""What clients say of their capabilities: what they have seen, want, give back and have changed.

Behaviour: ceph/ceph, src/mds/Locker.cc (handle_client_caps, _do_cap_update, _update_cap_fields,
process_request_cap_release, handle_client_cap_release, remove_client_cap) (Pacific)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.cephx.caps import MAY_WRITE
from mdsdaemon.encoding import DecodeError
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_caps import MClientCapRelease, MClientCaps
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.locks.cap_fields import (
    attributes,
    decode_xattrs,
    is_taken_over,
    update_fields,
)
from mdsdaemon.rank.locks.capability import Capability, seq_before
from mdsdaemon.rank.locks.inode_locks import KNOWN
from mdsdaemon.rank.locks.max_size import MAX_SIZE, MaxSize
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.sessions.completed import forget_flushes
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_caps import (
    CAP_ANY_FILE_WR,
    CAP_FILE_BUFFER,
    CAP_FILE_RD,
    CAP_FILE_WR,
    CAP_XATTR_EXCL,
    CLIENT_CAPS_PENDING_CAPSNAP,
    CLIENT_CAPS_SYNC,
    ccap_string,
)
from mdsdaemon.types.client_ops import CapOp
from mdsdaemon.types.inode import ClientWriteableRange

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.locks.acquire import Acquirer
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.waiting import Gate

MAX_EARLY = 65536
"""Messages kept until the rank is active; a client that sends more is cut off."""


class CapFlush(MaxSize):
    """See the module.

    Attributes:
        early: messages that wait for the rank to be active.
        reconnect_dirty: by inode, what clients have said before that they will write back.
        awaited: by inode, opens when a replayed request has made it.
    """

    def __init__(self, rank: Any) -> None:
        super().__init__(rank)
        self.early = 0
        self.reconnect_dirty: dict[int, int] = {}
        self.awaited: dict[int, Gate] = {}

    # -- a client's message about one capability ----------------------------------------------

    def handle_client_caps(self, msg: MClientCaps) -> None:
        """A client confirms, asks, gives back, writes back."""
        session = self.rank.sessions.usable_session_of(msg)
        if session is None:
            return
        rank = self.rank
        if not rank.is_serving():
            if msg.dirty and msg.tid and not session.have_completed_flush(msg.tid):
                dirty = self.reconnect_dirty
                if len(dirty) < MAX_EARLY:
                    dirty[msg.ino] = dirty.get(msg.ino, 0) | msg.dirty
            self._later(msg, lambda: self.handle_client_caps(msg))
            return
        counters = rank.counters.mds
        counters.inc("handle_client_caps")
        dirty_bits, op = msg.dirty, msg.op
        if dirty_bits:
            counters.inc("handle_client_caps_dirty")
        if msg.tid and session.have_completed_flush(msg.tid):
            session.send_when_safe(self.flush_ack(msg, msg.cap_id), rank.mdlog.write_pos)
            if op == CapOp.FLUSHSNAP:
                return
            dirty_bits = 0  # what it gives back with it still counts
        if msg.oldest_flush_tid:
            forget_flushes(rank, session, msg.oldest_flush_tid)
        inode = rank.cache.get_inode(msg.ino)
        if inode is None:
            if rank.state == State.CLIENTREPLAY:
                self._later(msg, lambda: self.handle_client_caps(msg), msg.ino)
            return
        self.note_barrier(msg.osd_epoch_barrier)
        cap: Capability | None = inode.caps.get(session.client) if inode.caps else None
        if cap is None or seq_before(msg.migrate_seq, cap.mseq):
            rank.log.debug("no such capability: %s", msg)
            return
        if op == CapOp.FLUSHSNAP:
            rank.snaps.flushes.handle(session, inode, cap, msg)
            self.eval(inode)
        elif cap.cap_id == msg.cap_id:
            self._update(session, inode, cap, msg, dirty_bits)
        if msg.flags & CLIENT_CAPS_SYNC and msg.dirty:
            rank.mdlog.hurry()

    def _later(self, msg: Any, again: Any, ino: int = 0) -> None:
        """Handle it once the rank is active, or (`ino`) the inode is made by a replayed request."""
        if self.early >= MAX_EARLY:
            con = msg.connection
            if con is not None:
                self.rank.log.warning("%d messages wait already; a client is cut off", self.early)
                con.mark_down()
            return
        self.early += 1

        def handle() -> None:
            self.early -= 1
            again()

        gate = self.rank.active
        if ino:
            gate = self.awaited.setdefault(ino, self.rank.queue.gate())
        gate.add(handle)

    def flush_ack(self, msg: MClientCaps, cap_id: int = 0) -> MClientCaps:
        """The acknowledgement that what the message has brought is stored."""
        barrier = self.rank.osd_epoch_barrier
        if msg.op == CapOp.FLUSHSNAP:
            self.rank.counters.mds.inc("ceph_cap_op_flushsnap_ack")
            ack = MClientCaps(
                CapOp.FLUSHSNAP_ACK, msg.ino, dirty=msg.dirty, osd_epoch_barrier=barrier
            )
        else:
            self.rank.counters.mds.inc("ceph_cap_op_flush_ack")
            ack = MClientCaps(
                CapOp.FLUSH_ACK,
                msg.ino,
                0,
                cap_id,
                msg.seq,
                0,
                msg.caps,
                0,
                msg.dirty,
                osd_epoch_barrier=barrier,
            )
        ack.snap_follows = msg.snap_follows if msg.op == CapOp.FLUSHSNAP else 0
        ack.tid = msg.tid
        ack.oldest_flush_tid = msg.oldest_flush_tid
        return ack

    def note_barrier(self, epoch: int) -> None:
        """A client has seen this OSD map, and others may not go on without it."""
        if epoch > self.rank.osd_epoch_barrier:
            self.rank.set_osd_epoch_barrier(epoch)

    def _update(
        self, session: Session, inode: CInode, cap: Capability, msg: MClientCaps, dirty: int
    ) -> None:
        flushes = self.rank.snaps.flushes
        flushes.update_between(inode, msg, dirty)
        lingered, newest = cap.lingering, cap.last_sent
        self.confirm(cap, msg.seq, msg.caps)
        cap.lingering = bool(cap.revoking) and msg.seq == newest
        if not cap.issued & CAP_ANY_FILE_WR and not msg.flags & CLIENT_CAPS_PENDING_CAPSNAP:
            flushes.null_flush(inode, session.client)
        if msg.wanted != cap.wanted:
            self._set_wanted(inode, cap, msg.wanted, msg.issue_seq)
        ack = self.flush_ack(msg, cap.cap_id) if dirty else None
        try:
            end = self._write_back(session, inode, cap, msg, dirty)
        except DecodeError as exc:
            self._bad_message(msg, str(exc))
            end = None
        if ack is not None:
            if end is None:
                session.send(ack)
            else:
                session.send_ahead_when_safe(ack, end)
                self._hold_until_acknowledged(
                    cap, dirty, end, believed=is_taken_over(inode.inode, msg, dirty)
                )
        self.eval(inode)
        if lingered and not cap.revoking and cap.last_sent == newest:
            # libcephfs forgets to wake its readers that wait until it has flushed its buffers
            cap.issue(cap.pending)
            self._send_caps(cap, CapOp.GRANT, cap.pending, cap.wanted)
        if end is None and not cap.last_sent and cap.pending & (CAP_FILE_WR | CAP_FILE_BUFFER):
            self.share_max_size(inode, cap)

    def _hold_until_acknowledged(
        self, cap: Capability, dirty: int, end: int, *, believed: bool
    ) -> None:
        """The client keeps what it flushes until then.

        libcephfs believes itself, not replies, in what it is flushing: were the capability taken
        and the attribute changed by a request before the acknowledgement, it would stay with the
        old value. It may also give it back of itself: so replies that tell something else than it
        has flushed wait, too (`flushing_end`).
        """
        mdlog = self.rank.mdlog
        if end <= mdlog.safe_pos:
            return
        if cap.flush_end > mdlog.safe_pos:
            cap.flushing |= dirty
            believed = believed and cap.flushed is not None
        else:
            cap.flushing = dirty
        cap.flushed = attributes(cap.inode.inode, cap.flushing) if believed else None
        cap.flush_end = end
        mdlog.when_safe(end, lambda: self._acknowledged(cap), patient=True)

    def flushing_end(self, inode: CInode, client: int) -> int:
        """Where the journal is safe, the client's flush of the inode is acknowledged.

        0: it is, or the client would miss nothing by believing itself.
        """
        cap: Capability | None = inode.caps.get(client) if inode.caps else None
        if cap is None or not cap.flushing or cap.flushed == attributes(inode.inode, cap.flushing):
            return 0
        return cap.flush_end

    def _acknowledged(self, cap: Capability) -> None:
        caps = cap.inode.caps
        if cap.flush_end <= self.rank.mdlog.safe_pos and caps and caps.get(cap.client) is cap:
            cap.flushing = 0
            self.eval(cap.inode)

    def _bad_message(self, msg: Any, why: str) -> None:
        self.rank.log.warning("%s from %s: %s", msg, msg.source, why)
        if msg.connection is not None:
            msg.connection.mark_down()

    def _set_wanted(self, inode: CInode, cap: Capability, wanted: int, issue_seq: int) -> None:
        """The client's wishes; those from before it saw the newest reply only add to them."""
        if issue_seq == cap.last_issue:
            cap.wanted = wanted
        elif wanted & ~cap.wanted:
            cap.wanted |= wanted
        else:
            return
        locks = inode.locks
        if (
            locks is not None
            and locks.recovery != KNOWN
            and cap.wanted & (CAP_FILE_RD | CAP_FILE_WR)
        ):
            self.rank.recovery.prioritize(inode)

    def _write_back(
        self, session: Session, inode: CInode, cap: Capability, msg: MClientCaps, dirty: int
    ) -> int | None:
        """Journal what the client has changed, and how far it may write; where that ends.

        None: there is nothing to do, or the client may not.
        """
        client = session.client
        stored = inode.inode
        grow = new_max = 0
        change_max = False
        if inode.is_file:
            held = stored.client_ranges.get(client)
            old_max = 0 if held is None else held.last
            if (cap.issued | cap.wanted) & CAP_ANY_FILE_WR:
                asked = msg.max_size if msg.max_size > old_max else msg.size
                new_max = max(self.new_max_size(stored, min(asked, MAX_SIZE)), old_max)
                grow = new_max > old_max
                change_max = bool(grow)
            else:
                change_max = held is not None
            if grow and not self._may_grow(inode, client):
                locks = self.locks_of(inode)
                locks.max_size = max(locks.max_size, new_max if msg.max_size > old_max else 1)
                change_max = grow = False
        if (not dirty and not change_max) or self.rank.read_only:
            return None
        try:
            session.check_access(inode, MAY_WRITE, msg.caller_uid, msg.caller_gid)
        except FsError as exc:
            self.rank.log.info("%s is dropped: %s", msg, exc)
            return None
        xattrs = None
        if dirty & CAP_XATTR_EXCL and msg.middle and msg.xattr_version > stored.xattr_version:
            xattrs = decode_xattrs(msg.middle)
        # a new range is not even for the client before it is safe
        mut = Mutation(self.rank, "cap update", stamp=self.rank.now(), client=0 if grow else client)
        was_safe = inode.pos <= self.rank.mdlog.safe_pos
        mut.inode(inode, msg.snap_follows)
        if dirty:
            con = session.connection
            update_fields(inode, msg, dirty, 0 if con is None else con.features)
        if xattrs is not None:
            inode.xattrs = xattrs
            stored.xattr_version = cap.xattr_version = msg.xattr_version
        if change_max:
            if new_max:
                if was_safe:
                    cap.safe_max = old_max
                stored.client_ranges[client] = ClientWriteableRange(0, new_max, inode.first - 1)
                cap.writeable = True
            else:
                del stored.client_ranges[client]
                cap.writeable = False
        if dirty and msg.oldest_flush_tid:
            self.rank.sessions.note_flush(mut, session, msg.tid, msg.oldest_flush_tid)
        end = mut.submit()
        if grow:
            self.share_when_safe(inode, end)
        return end

    # -- capabilities given back ---------------------------------------------------------------

    def process_releases(
        self, session: Session, releases: Iterable[Release], req: Acquirer | None = None
    ) -> None:
        """Capabilities and leases that a client gives back with a request, before that is tried.

        Args:
            req: the request: grants are withheld until it is answered.
        """
        for item in releases:
            inode = self.rank.cache.get_inode(item.ino)
            if inode is None:
                continue
            if item.dname:
                dn = self.find_dentry(inode, item.dname)
                lease = dn.leases.get(session.client) if dn is not None and dn.leases else None
                if lease is not None:
                    self.drop_lease(lease)
            cap: Capability | None = inode.caps.get(session.client) if inode.caps else None
            if cap is None or cap.cap_id != item.cap_id or seq_before(item.mseq, cap.mseq):
                continue
            self.rank.counters.mds.inc("process_request_cap_release")
            had, wished = cap.issued, cap.wanted
            self.confirm(cap, item.seq, item.caps)
            if not cap.issued & CAP_ANY_FILE_WR:
                self.rank.snaps.flushes.null_flush(inode, session.client)
            self._set_wanted(inode, cap, item.wanted, item.issue_seq)
            if cap.issued == had and cap.wanted == wished:
                continue  # it keeps what it had: no lock can move by that
            if req is None:
                self.eval(inode)
                continue
            holds = self.holds(req)
            locks = inode.locks
            if cap.revoking or (locks is not None and any(locks.queues)):
                self.eval_before_reply(cap)  # others wait for it
            else:
                # with what the request needs: the client is asked for everything at once
                holds.untidy[inode] = None
            holds.releases[cap] = cap.last_sent

    def handle_client_cap_release(self, msg: MClientCapRelease) -> None:
        """A client gives capabilities back altogether."""
        session = self.rank.sessions.usable_session_of(msg)
        if not self.rank.is_serving():
            self._later(msg, lambda: self.handle_client_cap_release(msg))
            return
        if session is None:
            return
        self.rank.counters.mds.inc("handle_client_cap_release")
        self.note_barrier(msg.osd_epoch_barrier)
        for item in msg.caps:
            inode = self.rank.cache.get_inode(item.ino)
            if inode is None:
                continue
            cap: Capability | None = inode.caps.get(session.client) if inode.caps else None
            if cap is None or cap.cap_id != item.cap_id or seq_before(item.migrate_seq, cap.mseq):
                continue
            if item.seq != cap.last_issue:
                cap.forget_revokes(item.seq)
                if not cap.revoking:
                    self._not_revoking(cap)
                self.eval(inode)
            else:
                self.remove_cap(cap)
        session.notify_cap_release(len(msg.caps))

    def remove_cap(self, cap: Capability, *, kill: bool = False) -> None:
        """The client has the capability no more.

        Args:
            kill: it did not give it back: what it has written has to be found out.
        """
        inode, client = cap.inode, cap.client
        notable = cap.notable or inode.is_dir
        self.rank.snaps.flushes.null_flush(inode, client)
        self.forget_cap(cap)
        self.drop_file_locks(inode, client)
        if notable:
            if client in inode.inode.client_ranges and (inode.inode.nlink or inode.caps):
                if kill:
                    self.needs_recovery(inode)
                elif not self.rank.read_only:
                    self.check_max_size(inode)
            self.eval(inode)
        elif inode.locks is not None:
            self.eval(inode)
        if inode.caps is None and inode.is_stray:
            self.rank.strays.eval_stray(inode)

    @abstractmethod
    def drop_file_locks(self, inode: CInode, client: int) -> None:
        """The client has the file no more: advisory locks neither."""

    def describe(self, inode: CInode) -> str:
        """What clients have of the inode, for logs."""
        parts = [
            f"client.{cap.client} {ccap_string(cap.pending)}/{ccap_string(cap.issued)}"
            f"/{ccap_string(cap.wanted)}"
            for cap in (inode.caps or {}).values()
        ]
        if inode.locks is not None:
            parts.append(str(inode.locks))
        return "; ".join(parts)
