"""A client's capability on an inode: what it was given, and what it was asked to give back.

Messages cross: the client may not have seen the newest grant or revocation when it sends. So every
message to it carries a sequence number, the client says up to which it has seen, and what was
pending before each revocation counts as issued until the client has seen that revocation.

Behaviour: ceph/ceph, src/mds/Capability.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.types.client_caps import CAP_ANY_WR, CAP_FILE_RD, CAP_FILE_WR, ccap_string

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.session import Session

_WRAP = 1 << 32


def seq_before(a: int, b: int) -> bool:
    """Whether sequence number `a` is earlier than `b`; they go round at 2**32."""
    return (a - b) % _WRAP >= _WRAP >> 1


class Capability:
    """See the module. Bits are CAP_* of `types.client_caps`.

    Attributes:
        cap_id: names it in messages: a capability that was dropped and issued anew differs.
        wanted: what the client wishes for. pending: what it has when it has seen all messages.
        issued: what it may have now; `pending` and what is being revoked.
        last_sent: number of the newest message. last_issue: of the newest in a reply.
        mseq: how often it has moved between servers.
        gen: the session's generation in which it was valid.
        suppress: greater than 0: grants are not sent, a reply will have them.
        new: the client does not know of it yet.
        writeable: the inode has a range for the client. safe_max: how far that went when the
            journal was last known to be safe. share_due: the client was told less than that is.
        xattr_version, inline_version: what the client knows of those.
        last_issue_stamp, revoked_at: seconds of the wall clock.
        lingering: the client has seen the newest message and is yet to give back some of it.
        reminders: warnings that it was not given back.
        quota_seen: bytes and entries below the directory, as the client was last told.
        follows: the newest snapshot that the client knew.
        flushing: what the client has written back and has no acknowledgement of, while the
            journal is not safe up to `flush_end`.
        flushed: what the inode was by that (`cap_fields.attributes`); None: not all of it was
            taken over.
    """

    __slots__ = (
        "_revokes",
        "cap_id",
        "client",
        "flush_end",
        "flushed",
        "flushing",
        "follows",
        "gen",
        "inline_version",
        "inode",
        "issued",
        "last_issue",
        "last_issue_stamp",
        "last_sent",
        "lingering",
        "mseq",
        "new",
        "pending",
        "quota_seen",
        "reminders",
        "revoked_at",
        "safe_max",
        "session",
        "share_due",
        "suppress",
        "wanted",
        "writeable",
        "xattr_version",
    )

    def __init__(self, inode: CInode, session: Session, cap_id: int) -> None:
        self.inode = inode
        self.session = session
        self.client: int = session.name.num
        self.cap_id = cap_id
        self.wanted = self.pending = self.issued = 0
        self.last_sent = self.last_issue = self.mseq = 0
        self.gen = session.cap_gen - (1 if session.is_stale() else 0)
        self.suppress = 0
        self.new = False
        self.writeable = False
        self.safe_max = 0
        self.share_due = False
        self.xattr_version = self.inline_version = 0
        self.last_issue_stamp = 0.0
        self.revoked_at = 0.0
        self.lingering = False
        self.reminders = 0
        self.quota_seen = (0, 0)
        self.follows = inode.first - 1
        self.flushing = self.flush_end = 0
        self.flushed: tuple[int, ...] | None = None
        self._revokes: list[list[int]] = []  # [pending before, last_sent, last_issue]; few if any

    @property
    def stale(self) -> bool:
        """The client is silent."""
        return self.session.is_stale()

    @property
    def valid(self) -> bool:
        """The client was not silent since it got it."""
        return self.gen == self.session.cap_gen

    @property
    def revoking(self) -> int:
        """What the client was asked to give back."""
        return self.issued & ~self.pending

    @property
    def notable(self) -> bool:
        """It has a bearing on others: it must be thought of when the client falls silent."""
        return bool(
            self.issued != self.pending
            or self.writeable
            or self.wanted & (CAP_ANY_WR | CAP_FILE_RD | CAP_FILE_WR)
        )

    # -- to the client ------------------------------------------------------------------------

    def issue(self, caps: int, *, revalidate: bool = True) -> int:
        """From now on the client has these, as the next message tells it; the message's number."""
        if revalidate:
            self.gen = self.session.cap_gen
        if self.pending & ~caps:
            self._revokes.append([self.pending, self.last_sent, self.last_issue])
            self.pending = caps
            self.issued |= caps
        elif caps & ~self.pending:
            self.pending |= caps
            self.issued |= caps
            while self._revokes and not self._revokes[-1][0] & ~self.pending:
                self._revokes.pop()
        self.last_sent = (self.last_sent + 1) % _WRAP
        return self.last_sent

    def issue_more(self, caps: int) -> int:
        """The client gets these besides what it has, as the next reply tells it."""
        self.gen = self.session.cap_gen
        self.pending |= caps
        self.issued |= caps
        self.new = False
        self.last_sent = (self.last_sent + 1) % _WRAP
        return self.last_sent

    # -- from the client ----------------------------------------------------------------------

    def confirm(self, seq: int, caps: int) -> int:
        """The client has seen messages up to `seq`, and has these; the bits that it gave back."""
        was_revoking = self.revoking
        if seq == self.last_sent:
            self._revokes.clear()
            self.issued = caps
            self.pending &= caps
        else:
            while self._revokes and self._revokes[0][1] < seq:
                del self._revokes[0]
            if self._revokes:
                if self._revokes[0][1] == seq:
                    self._revokes[0][0] = caps
                self._sum_up()
            else:
                self.issued = caps | self.pending
        return was_revoking & ~self.issued

    def forget_revokes(self, issue: int) -> None:
        """The client has dropped all that it had from before reply `issue`, crossing a newer one.

        So it ignores the revocations of that.
        """
        changed = False
        while self._revokes and self._revokes[0][2] <= issue:
            del self._revokes[0]
            changed = True
        if changed:
            self._sum_up()

    def revoke_all(self) -> int:
        """What was asked back counts as given back; the bits."""
        return self.confirm(self.last_sent, self.pending) if self.revoking else 0

    def _sum_up(self) -> None:
        self.issued = self.pending
        for before, _, _ in self._revokes:
            self.issued |= before

    def reset_seq(self) -> None:
        """Counting begins again: with a server that has taken over."""
        self.last_sent = self.last_issue = 0

    # -- dumps --------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """As `session ls cap_dump` shows it."""
        return {
            "ino": f"0x{self.inode.ino:x}",
            "last_sent": self.last_sent,
            "last_issue_stamp": self.last_issue_stamp,
            "wanted": ccap_string(self.wanted),
            "pending": ccap_string(self.pending),
            "revokes": [
                {"before": before, "seq": seq, "last_issue": last_issue}
                for before, seq, last_issue in self._revokes
            ],
        }

    def __str__(self) -> str:
        return (
            f"[cap {self.cap_id} client.{self.client} on 0x{self.inode.ino:x}"
            f" {ccap_string(self.pending)}/{ccap_string(self.issued)}"
            f" wants {ccap_string(self.wanted)} seq {self.last_sent}]"
        )
