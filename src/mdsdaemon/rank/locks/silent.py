"""Clients that fall silent, come back or are gone, and those that do not answer.

Behaviour: ceph/ceph, src/mds/Locker.cc (revoke_stale_caps, resume_stale_caps, caps_tick,
get_late_revoking_clients), src/mds/Server.cc (_session_logged) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.locks.file_locks import FileLocks
from mdsdaemon.types.client_caps import CAP_ANY_WR, ccap_string
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURE_NAMES

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.session import Session

LAZY_CAPS_WANTED = CEPHFS_FEATURE_NAMES.index("lazy_caps_wanted")
MAX_REMINDERS = 100
"""Capabilities that are looked at in one tick."""


class Silent(FileLocks):
    """See the module."""

    def mark_stale(self, session: Session) -> bool:
        """The client is silent, its session's state says so already.

        What it was asked for counts as given back; its other capabilities stay with it until
        somebody needs them.

        Returns:
            False: it may have data to write back that others wait for: it must be evicted.
        """
        session.cap_gen += 1
        moved: dict[CInode, None] = {}
        answer = True
        for cap in tuple(session.caps.values()):
            revoking = cap.revoking
            if revoking & CAP_ANY_WR:
                answer = False
                break
            if revoking:
                self.take_back(cap)
                moved[cap.inode] = None
        for inode in moved:
            self.eval(inode)
        if answer:
            self.drop_leases_of(session)
        return answer

    def resume_stale(self, session: Session) -> None:
        """The client is back; its session's state says so already. It learns what it still has."""
        lazy = session.has_feature(LAZY_CAPS_WANTED)
        for cap in tuple(session.caps.values()):
            if lazy and not cap.notable:
                continue
            inode = cap.inode
            if not self.eval(inode):
                self.issue_caps(inode, cap)

    def remove_client(self, session: Session, *, kill: bool = True) -> None:
        """The client is gone: so are its capabilities, leases and advisory locks.

        Args:
            kill: it did not leave of itself, which it does only when all that it has written is on
                its way: the sizes of what it had open have to be found out.
        """
        self.drop_leases_of(session)
        for cap in tuple(session.caps.values()):
            self.remove_cap(cap, kill=kill)
        session.revoking.clear()
        self._given_up.discard(session)

    def get_late_revoking_clients(self, timeout: float) -> set[int]:
        """Clients, by number, that have not given something back for longer than that (seconds)."""
        before = self.rank.host.wall() - timeout
        late: set[int] = set()
        for cap in self.revoking:
            if cap.revoked_at >= before:
                break
            late.add(cap.client)
        return late

    def remind(self) -> None:
        """Write of clients that do not give back what they were told to."""
        now = self.rank.host.wall()
        timeout = self.rank.mdsmap.session_timeout
        for count, cap in enumerate(self.revoking):
            age = now - cap.revoked_at
            if age <= timeout or count >= MAX_REMINDERS:
                break
            if age > timeout * (1 << cap.reminders):
                cap.reminders += 1
                self.rank.services.clog.warn(
                    f"client.{cap.client} isn't responding to mclientcaps(revoke), ino"
                    f" 0x{cap.inode.ino:x} pending {ccap_string(cap.pending)}"
                    f" issued {ccap_string(cap.issued)}, sent {age:f} seconds ago"
                )
