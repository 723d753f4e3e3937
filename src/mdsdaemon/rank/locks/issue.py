"""Giving capabilities to clients, and asking for them back.

Behaviour: ceph/ceph, src/mds/Locker.cc (eval, issue_caps, issue_new_caps), src/mds/CInode.cc
(encode_cap_message, encode_inodestat, get_caps_liked) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.rank.cache.inode import ROOT
from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.capability import Capability
from mdsdaemon.rank.locks.inode_locks import KNOWN, NEEDED, InodeLocks
from mdsdaemon.types.client_caps import (
    CAP_ANY,
    CAP_ANY_DIR_OPS,
    CAP_ANY_EXCL,
    CAP_ANY_SHARED,
    CAP_ANY_WR,
    CAP_FILE_BUFFER,
    CAP_FILE_LAZYIO,
    CAP_FILE_RD,
    CAP_FILE_SHARED,
    CAP_FILE_WR,
    CAP_FLAG_AUTH,
    CAP_LINK_SHARED,
    CAP_PIN,
    CAP_XATTR_SHARED,
    caps_for_mode,
)
from mdsdaemon.types.client_ops import CapOp
from mdsdaemon.types.client_stat import ReplyCap, encode_xattrs
from mdsdaemon.types.features import FS_FILE_LAYOUT_V2, MDS_INLINE_DATA, has
from mdsdaemon.types.inode import INLINE_NONE
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.waiting import Gate

LIKED_OF_FILES = CAP_ANY & ~CAP_FILE_LAZYIO
LIKED_OF_DIRS = CAP_PIN | CAP_ANY_EXCL | CAP_ANY_SHARED
NO_CAP = ReplyCap()
COUNTERS: dict[int, str] = {
    CapOp.GRANT: "ceph_cap_op_grant",
    CapOp.IMPORT: "ceph_cap_op_grant",
    CapOp.REVOKE: "ceph_cap_op_revoke",
    CapOp.TRUNC: "ceph_cap_op_trunc",
}


class CapIssuer:
    """See the module.

    Attributes:
        num_caps, num_inodes_with_caps: how many there are.
        revoking: capabilities that clients were told to give back, the longest asked for first.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.last_cap_id = 0
        self.num_caps = 0
        self.num_inodes_with_caps = 0
        self.revoking: dict[Capability, None] = {}
        self._kicks: dict[Capability, None] = {}
        self._given_up: set[Session] = set()

    # -- capabilities and locks of an inode ---------------------------------------------------

    def locks_of(self, inode: CInode) -> InodeLocks:
        """The inode's locks, made if all were at rest."""
        locks: InodeLocks | None = inode.locks
        if locks is None:
            locks = inode.locks = InodeLocks(is_dir=inode.is_dir, delegation=inode.is_base)
        return locks

    def gate(self, inode: CInode) -> Gate:
        """Opens when the inode's locks have changed."""
        locks = self.locks_of(inode)
        if locks.gate is None:
            locks.gate = self.rank.queue.gate()
        return locks.gate

    def issued(self, inode: CInode, client: int) -> int:
        """Bits that the client may have."""
        cap = inode.caps.get(client) if inode.caps else None
        return 0 if cap is None else cap.issued

    def issued_to_all(self, inode: CInode) -> int:
        """Bits that some client may have."""
        issued = 0
        for cap in (inode.caps or {}).values():
            issued |= cap.issued
        return issued

    def is_any_wanted(self, inode: CInode) -> bool:
        """Whether some client wishes for a capability."""
        return any(cap.wanted for cap in (inode.caps or {}).values())

    def wanted_by_all(self, inode: CInode) -> int:
        """Bits that some client wishes for."""
        wanted = 0
        for cap in (inode.caps or {}).values():
            wanted |= cap.wanted
        return wanted

    def add_cap(self, inode: CInode, session: Session, *, new_inode: bool = False) -> Capability:
        """A capability without any bits for a client that has none."""
        if new_inode:
            cap_id = 1
        else:
            self.last_cap_id += 1
            cap_id = self.last_cap_id
        cap = Capability(inode, session, cap_id)
        if not inode.caps:
            inode.caps = {}
            self.num_inodes_with_caps += 1
        assert inode.caps is not None
        inode.caps[cap.client] = cap
        session.caps[inode.ino] = cap
        self.num_caps += 1
        return cap

    def forget_cap(self, cap: Capability) -> None:
        """The client has it no more. The locks are to be evaluated after that."""
        inode = cap.inode
        caps = inode.caps
        assert caps is not None
        del caps[cap.client]
        cap.session.caps.pop(inode.ino, None)
        self.num_caps -= 1
        self._not_revoking(cap)
        if not caps:
            inode.caps = None
            self.num_inodes_with_caps -= 1
        locks: InodeLocks | None = inode.locks
        if locks is not None and locks.loner == cap.client:
            locks.loner = -1

    # -- evaluating ---------------------------------------------------------------------------

    def eval(self, inode: CInode) -> int:
        """Move the inode's locks as far as they go, and tell clients; how many were told."""
        if inode.locks is None and not self._stirs(inode):
            return self.issue_caps(inode) if inode.caps else 0
        locks = self.locks_of(inode)
        told = 0
        while True:
            caps = inode.caps or {}
            changed = locks.evaluate(caps, read_only=self.rank.read_only)
            if locks.recover_now:
                self._start_recovery(inode, locks)
            silent: list[Capability] = []
            if caps:
                told += self.issue_caps(inode, silent=silent)
            if changed and locks.gate is not None:
                locks.gate.open()
            if not silent or not self._take_from_silent(inode, silent):
                break
        self._settled(inode, locks)
        if inode.locks is locks and locks.at_rest():
            if locks.gate is not None:
                locks.gate.open()
            inode.locks = None
        return told

    def _stirs(self, inode: CInode) -> bool:
        """Whether the wishes of clients move locks that are at rest."""
        caps = inode.caps
        if not caps:
            return False
        if inode.is_dir:
            return len(caps) == 1 and not inode.is_base
        return any(cap.wanted & (CAP_ANY_WR | CAP_FILE_RD) for cap in caps.values())

    def _start_recovery(self, inode: CInode, locks: InodeLocks) -> None:
        locks.recover_now = False
        recovery = self.rank.recovery
        if recovery is not None:
            recovery.enqueue(inode)
        else:
            locks.recovery = KNOWN

    def _take_from_silent(self, inode: CInode, silent: list[Capability]) -> bool:
        """Clients that are silent do not give back what others need; whether the locks may move."""
        taken = False
        for cap in silent:
            if inode.caps is None or inode.caps.get(cap.client) is not cap:
                continue
            if cap.revoking & CAP_ANY_WR:
                self._evict(cap.session)
            else:
                self.take_back(cap)
                taken = True
        return taken

    def take_back(self, cap: Capability) -> None:
        """What the client was asked for counts as given back, though it has not answered."""
        inode = cap.inode
        cap.revoke_all()
        self._not_revoking(cap)
        if cap.client in inode.inode.client_ranges:
            self.needs_recovery(inode)

    def needs_recovery(self, inode: CInode) -> None:
        """A client that could write is silent: the size has to be found out before it is told."""
        locks = self.locks_of(inode)
        if locks.recovery == KNOWN:
            locks.recovery = NEEDED
        elif self.rank.recovery is not None:
            self.rank.recovery.enqueue(inode)  # once more

    def _evict(self, session: Session) -> None:
        """A silent client has unwritten data where others want to go: it is given up."""
        if session in self._given_up:
            return
        self._given_up.add(session)
        blocklist = self.rank.config.get_bool("mds_session_blocklist_on_timeout")
        evictor = self.rank.sessions.evictor
        # not from inside of an evaluation: it takes the capabilities away
        self.rank.queue.push(lambda: evictor.start(session, blocklist))

    def _settled(self, inode: CInode, locks: InodeLocks) -> None:
        """The locks of an inode have been evaluated: what waited for that can be done."""

    # -- issuing ------------------------------------------------------------------------------

    def allowed(self, inode: CInode, cap: Capability) -> int:
        """Bits that this client may have as the locks are."""
        locks: InodeLocks | None = inode.locks
        allowed = st.ALLOWED_AT_REST if locks is None else locks.allowed_for(cap.client)
        stored = inode.inode
        if inode.is_dir:
            return allowed & ~CAP_ANY_DIR_OPS
        if stored.inline_data.version != INLINE_NONE or stored.layout.pool_ns:
            con = cap.session.connection
            features = 0 if con is None else con.features
            no_inline = stored.inline_data.version != INLINE_NONE and not has(
                features, MDS_INLINE_DATA
            )
            if no_inline or (stored.layout.pool_ns and not has(features, FS_FILE_LAYOUT_V2)):
                allowed &= ~(CAP_FILE_RD | CAP_FILE_WR)
        return allowed

    def issue_caps(
        self,
        inode: CInode,
        only: Capability | None = None,
        silent: list[Capability] | None = None,
    ) -> int:
        """Give what clients wish for and may have, ask back what they may not; how many were told.

        Args:
            only: this client's.
            silent: filled with those that were asked for something and are silent.
        """
        caps = (only,) if only is not None else tuple((inode.caps or {}).values())
        told = 0
        for cap in caps:
            allowed = self.allowed(inode, cap)
            pending, wanted = cap.pending, cap.wanted
            over = pending & ~allowed
            if not over:
                if cap.new or cap.suppress or cap.stale:
                    continue
            elif cap.stale:
                cap.issue(allowed & pending, revalidate=False)
                if silent is not None:
                    silent.append(cap)
                continue
            elif not cap.valid and pending & ~CAP_PIN:
                # it believes that it has nothing but the pin: what it lost comes back first
                cap.issue(pending)
                self._send_caps(cap, CapOp.GRANT, pending, wanted)
            if inode.inode.nlink == 0:
                wanted |= CAP_LINK_SHARED  # so that it learns that the file is gone
            if not over and not wanted & allowed & ~pending and cap.valid:
                continue
            liked = LIKED_OF_DIRS if inode.is_dir else LIKED_OF_FILES
            give = (wanted | liked) & allowed
            cap.issue(give & pending if over else give)
            told += 1
            if pending & ~cap.pending:
                self._note_revoking(cap)
                self._send_caps(cap, CapOp.REVOKE, cap.pending, wanted)
            else:
                self._send_caps(cap, CapOp.GRANT, cap.pending, wanted)
        return told

    def _note_revoking(self, cap: Capability) -> None:
        self.revoking.pop(cap, None)
        self.revoking[cap] = None
        cap.session.revoking.add(cap.inode.ino)
        cap.revoked_at = self.rank.host.wall()
        cap.reminders = 0

    def _not_revoking(self, cap: Capability) -> None:
        if self.revoking.pop(cap, True) is None:
            cap.session.revoking.discard(cap.inode.ino)

    def confirm(self, cap: Capability, seq: int, caps: int) -> int:
        """The client has seen messages up to `seq` and has `caps`; the bits that it gave back."""
        back = cap.confirm(seq, caps & cap.issued)
        if not cap.revoking:
            self._not_revoking(cap)
        return back

    def issue_new_caps(
        self, inode: CInode, session: Session, mode: int, wanted: int | None = None
    ) -> Capability | None:
        """A client opens the inode: what it may have comes with the reply (`reply_cap`).

        Args:
            mode: FILE_MODE_*: how.
            wanted: what it wishes for, if that does not follow from the mode: 0 for what it made
                and does not open.
        """
        want = caps_for_mode(mode) if wanted is None else wanted
        is_new = not inode.inode.version
        cap = inode.caps.get(session.client) if inode.caps else None
        if cap is None:
            cap = self.add_cap(inode, session, new_inode=is_new)
            cap.wanted = want
            cap.new = True
        else:
            cap.wanted |= want
        cap.suppress += 1
        self.eval(inode)
        cap.suppress -= 1
        if is_new:
            self._excl_for_maker(inode, session.client, wanted is not None)
        return cap

    def _excl_for_maker(self, inode: CInode, client: int, whole: bool) -> None:
        """Who made an inode is alone with it."""
        locks = self.locks_of(inode)
        if locks.loner == client:
            for lock in (st.AUTH, st.XATTR):
                locks.set_state(lock, st.EXCL)
            if whole:
                locks.set_state(st.FILE, st.EXCL)

    # -- replies ------------------------------------------------------------------------------

    def reply_cap(self, inode: CInode, session: Session, snapid: int = NOSNAP) -> ReplyCap:
        """The capability that comes with an inode in a reply; the client gets one if it has none.

        All that the client likes and may have is issued by it.
        """
        if snapid != NOSNAP:
            return ReplyCap(caps=st.ALLOWED_AT_REST, flags=CAP_FLAG_AUTH)
        client = session.client
        cap: Capability | None = inode.caps.get(client) if inode.caps else None
        if session.is_stale():
            if cap is None or not cap.new:
                return NO_CAP
            cap.issue_more(CAP_PIN)  # or it would never hear of it
        else:
            if cap is None:
                cap = self.add_cap(inode, session)
                if inode.is_dir and not inode.is_base:
                    locks = self.locks_of(inode)
                    locks.choose_loner(inode.caps or {}, read_only=self.rank.read_only)
                    if locks.at_rest():
                        inode.locks = None
            liked = LIKED_OF_DIRS if inode.is_dir else LIKED_OF_FILES
            cap.issue_more((cap.wanted | liked) & self.allowed(inode, cap))
        cap.last_issue = cap.last_sent
        cap.last_issue_stamp = self.rank.host.wall()
        return ReplyCap(
            cap.pending,
            cap.wanted,
            cap.cap_id,
            cap.last_sent,
            cap.mseq,
            self.realm_ino(inode),
            CAP_FLAG_AUTH,
        )

    def reply_news(self, inode: CInode, client: int, asked: int) -> tuple[int, int]:
        """Which versions of xattrs and inline data a reply should carry, after `reply_cap`.

        0: nothing is told, since the client knows, or may not. It is taken to know what is
        returned.

        Args:
            asked: CAP_*: what the request asks for.
        """
        stored = inode.inode
        xattrs, inline = stored.xattr_version, stored.inline_data.version
        cap: Capability | None = inode.caps.get(client) if inode.caps else None
        if cap is None:
            return (
                xattrs if asked & CAP_XATTR_SHARED else 0,
                inline if inline == INLINE_NONE or asked & CAP_FILE_RD else 0,
            )
        may = cap.pending | asked
        if may & CAP_XATTR_SHARED and (cap.xattr_version < xattrs or asked & CAP_XATTR_SHARED):
            cap.xattr_version = xattrs
        else:
            xattrs = 0
        if inline != INLINE_NONE:
            if may & CAP_FILE_SHARED and (cap.inline_version < inline or asked & CAP_FILE_RD):
                cap.inline_version = inline
            else:
                inline = 0
        return xattrs, inline

    # -- messages -----------------------------------------------------------------------------

    def realm_ino(self, inode: CInode) -> int:
        """The directory of the snapshot realm that the inode is in."""
        realm = self.rank.snaps.realm_of(inode)
        return ROOT if realm is None else realm.ino

    def cap_message(self, cap: Capability, op: int, caps: int, wanted: int) -> MClientCaps:
        """A message about a capability, with the attributes that go with it."""
        inode = cap.inode
        stored = inode.inode
        msg = MClientCaps(
            op,
            inode.ino,
            self.realm_ino(inode),
            cap.cap_id,
            cap.last_sent,
            0,
            caps,
            wanted,
            0,
            cap.mseq,
            uid=stored.uid,
            gid=stored.gid,
            mode=stored.mode,
            nlink=stored.nlink & 0xFFFFFFFF,
            size=stored.size,
            max_size=self.max_size_for(inode, cap.client),
            truncate_size=stored.truncate_size,
            truncate_seq=stored.truncate_seq,
            mtime=stored.mtime,
            atime=stored.atime,
            ctime=stored.ctime,
            layout=stored.layout,
            pool_ns=stored.layout.pool_ns,
            time_warp_seq=stored.time_warp_seq,
            change_attr=stored.change_attr,
            btime=stored.btime,
            nfiles=stored.dirstat.nfiles,
            nsubdirs=stored.dirstat.nsubdirs,
            inline_version=0,
            osd_epoch_barrier=self.rank.osd_epoch_barrier,
        )
        inline = stored.inline_data
        if cap.inline_version < inline.version:
            msg.inline_version = cap.inline_version = inline.version
            msg.inline_data = inline.data
        if cap.pending & CAP_XATTR_SHARED and stored.xattr_version > cap.xattr_version:
            msg.middle = encode_xattrs(inode.xattrs)
            msg.xattr_len = len(msg.middle)
            msg.xattr_version = cap.xattr_version = stored.xattr_version
        return msg

    def _send_caps(self, cap: Capability, op: int, caps: int, wanted: int) -> None:
        """Tell the client; not before what it is told of is safe."""
        session = cap.session
        msg = self.cap_message(cap, op, caps, wanted)
        self.rank.counters.mds.inc(COUNTERS[op])
        session.inc_push_seq()
        session.send(msg, after=self.rank.sessions.must_follow(cap.client, cap.inode))

    def max_size_for(self, inode: CInode, client: int) -> int:
        """Up to where the client may write: only what is safe in the journal.

        Else nobody would look for what it has written there.
        """
        held = inode.inode.client_ranges.get(client)
        if held is None:
            return 0
        cap: Capability | None = inode.caps.get(client) if inode.caps else None
        if cap is None:
            return held.last
        if inode.pos <= self.rank.mdlog.safe_pos:
            cap.safe_max = held.last
        elif cap.safe_max < held.last and not cap.share_due:
            cap.share_due = True
            self.rank.mdlog.when_safe(inode.pos, lambda: self._share_later(cap))
        return min(held.last, cap.safe_max)

    def _share_later(self, cap: Capability) -> None:
        """What the client was told too little of is safe."""
        cap.share_due = False
        caps = cap.inode.caps
        if caps is not None and caps.get(cap.client) is cap:
            self.share_max_size(cap.inode, cap)

    def share_max_size(self, inode: CInode, only: Capability | None = None) -> None:
        """Tell those who may write how far (and the size and times of the file)."""
        caps = (only,) if only is not None else tuple((inode.caps or {}).values())
        for cap in caps:
            if not cap.suppress and cap.pending & (CAP_FILE_WR | CAP_FILE_BUFFER):
                cap.issue(cap.pending, revalidate=False)
                self._send_caps(cap, CapOp.GRANT, cap.pending, cap.wanted)

    # -- grants that wait for a reply ---------------------------------------------------------

    def kick_later(self, cap: Capability) -> None:
        """Grants were withheld for a reply; what that does not bring is sent after it."""
        if not self._kicks:
            self.rank.queue.push(self._kick)
        self._kicks[cap] = None

    def _kick(self) -> None:
        kicks, self._kicks = self._kicks, {}
        for cap in kicks:
            caps = cap.inode.caps
            if caps is not None and caps.get(cap.client) is cap:
                self.issue_caps(cap.inode, cap)
