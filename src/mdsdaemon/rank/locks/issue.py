"""Giving capabilities to clients, and asking for them back.

Behaviour: ceph/ceph, src/mds/Locker.cc (eval, issue_caps, issue_new_caps), src/mds/CInode.cc
(encode_inodestat, get_caps_liked) (Pacific)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.cap_state import CapState
from mdsdaemon.rank.locks.capability import Capability
from mdsdaemon.rank.locks.inode_locks import KNOWN, NEEDED, NOBODY, InodeLocks
from mdsdaemon.types.client_caps import (
    CAP_ANY,
    CAP_ANY_EXCL,
    CAP_ANY_SHARED,
    CAP_ANY_WR,
    CAP_FILE_BUFFER,
    CAP_FILE_EXCL,
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
from mdsdaemon.types.client_stat import ReplyCap
from mdsdaemon.types.inode import INLINE_NONE
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.session import Session

LIKED_OF_FILES = CAP_ANY & ~CAP_FILE_LAZYIO
LIKED_OF_DIRS = CAP_PIN | CAP_ANY_EXCL | CAP_ANY_SHARED
NO_CAP = ReplyCap(flags=CAP_FLAG_AUTH)
_OPEN = CAP_ANY_WR | CAP_FILE_RD | CAP_FILE_WR


class CapIssuer(CapState, ABC):
    """See the module."""

    def __init__(self, rank: RankCore) -> None:
        super().__init__(rank)
        self._kicks: dict[Capability, None] = {}
        self._orphaned: set[Capability] = set()
        self._given_up: set[Session] = set()

    # -- having and losing them ---------------------------------------------------------------

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
        session.loads.cache_liveness.hit()
        self.num_caps += 1
        self.caps_added += 1
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
            locks.loner = NOBODY

    # -- evaluating ---------------------------------------------------------------------------

    def eval(self, inode: CInode) -> int:
        """Move the inode's locks as far as they go, and tell clients; how many were told."""
        stirs = self._stirs(inode)
        if stirs or inode in self.opened:
            self._track(inode)
        if inode.locks is None and not stirs:
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

    def eval_before_reply(self, cap: Capability) -> None:
        """Evaluate, and leave it to a reply what the client of this capability gets by that."""
        cap.suppress += 1
        self.eval(cap.inode)
        cap.suppress -= 1

    def _stirs(self, inode: CInode) -> bool:
        """Whether the wishes of clients move locks that are at rest."""
        caps = inode.caps
        if not caps:
            return False
        if inode.is_dir:
            return len(caps) == 1 and not inode.is_base
        return any(cap.wanted & (CAP_ANY_WR | CAP_FILE_RD) for cap in caps.values())

    def _track(self, inode: CInode) -> None:
        """Have the open file table know whether clients have the inode open."""
        is_open = bool(inode.inode.client_ranges) or any(
            cap.wanted & _OPEN for cap in (inode.caps or {}).values()
        )
        if is_open != (inode in self.opened):
            if is_open:
                self.opened.add(inode)
                self.rank.openfiles.add_inode(inode)
            else:
                self.opened.discard(inode)
                self.rank.openfiles.remove_inode(inode)

    def _start_recovery(self, inode: CInode, locks: InodeLocks) -> None:
        locks.recover_now = False
        self.rank.recovery.enqueue(inode)

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
        else:
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

    @abstractmethod
    def _settled(self, inode: CInode, locks: InodeLocks) -> None:
        """The locks of an inode have been evaluated: what waited for that can be done."""

    # -- issuing ------------------------------------------------------------------------------

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
            elif over & cap.flushing and cap.flush_end > self.rank.mdlog.safe_pos:
                self.rank.mdlog.hurry()
                continue  # it is asked once its flush is acknowledged
            elif not cap.valid and pending & ~CAP_PIN:
                # it believes that it has nothing but the pin: what it lost comes back first
                cap.issue(pending)
                self._send_caps(cap, CapOp.GRANT, pending, wanted)
            if not over and not wanted & allowed & ~pending and cap.valid:
                if inode.inode.nlink == 0 and CAP_LINK_SHARED & allowed & ~pending:
                    self._tell_of_end_later(cap)
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

    def tell_of_end(self, inode: CInode) -> None:
        """An inode has no name any more: those who hold capabilities hear of it, to let go of it.

        They do by what comes with the link's capability. Nothing but the end of the data waits for
        that.
        """
        for cap in (inode.caps or {}).values():
            if not cap.pending & CAP_LINK_SHARED:
                self._tell_of_end_later(cap)

    def _tell_of_end_later(self, cap: Capability) -> None:
        if cap not in self._orphaned:
            self._orphaned.add(cap)
            self.rank.leisure.push(lambda: self._tell_of_end(cap))

    def _tell_of_end(self, cap: Capability) -> None:
        self._orphaned.remove(cap)
        inode = cap.inode
        if not inode.caps or inode.caps.get(cap.client) is not cap or inode.inode.nlink:
            return
        more = CAP_LINK_SHARED & self.allowed(inode, cap) & ~cap.pending
        if more and cap.valid and not (cap.stale or cap.new or cap.suppress):
            cap.issue(cap.pending | more)
            self._send_caps(cap, CapOp.GRANT, cap.pending, cap.wanted | more)

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
        if not inode.inode.version and not inode.caps:
            return self._first_cap(inode, session, want, wanted is not None)
        cap = inode.caps.get(session.client) if inode.caps else None
        if cap is None:
            cap = self.add_cap(inode, session)
            cap.wanted = want
            cap.new = True
        else:
            cap.wanted |= want
        self.eval_before_reply(cap)
        return cap

    def _first_cap(self, inode: CInode, session: Session, wanted: int, whole: bool) -> Capability:
        """The capability of the client that has just made the inode: it is alone with it.

        Args:
            whole: with the file, too, whatever it wishes for.
        """
        cap = self.add_cap(inode, session, new_inode=True)
        cap.wanted = wanted
        cap.new = True
        if whole or wanted & _OPEN or inode.is_dir:
            writes = wanted & (CAP_FILE_EXCL | CAP_FILE_WR | CAP_FILE_BUFFER)
            self.locks_of(inode).give_to(cap.client, file=whole or inode.is_dir or bool(writes))
        if wanted & _OPEN:
            self._track(inode)
        return cap

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
