"""What clients have yet to write back of files for snapshots.

When a file is copied for a snapshot, clients that may write it are expected to say what it was then
(FLUSHSNAP). They do so before they give back the right to write; who does that without having said
anything had nothing to say. Until then who reads the copy waits.

The head's `extra["need_snapflush"]` has, by snapshot and client, the copy; the copy's
`extra["snap_clients"]` the clients, `extra["snap_gate"]` opens when there are none left.

Behaviour: ceph/ceph, src/mds/Locker.cc (handle_client_caps, _do_snap_update, _do_null_snapflush),
src/mds/MDCache.cc (cow_inode, rebuild_need_snapflush), src/mds/CInode.cc (split_need_snapflush)
(Pacific)
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from mdsdaemon.encoding import DecodeError
from mdsdaemon.rank.blob import BlobBuilder
from mdsdaemon.rank.cache.stats import copy_nest
from mdsdaemon.rank.locks.cap_fields import decode_xattrs, update_fields
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.snap.cow import copy_of
from mdsdaemon.types.client_caps import CAP_ANY_FILE_WR, CAP_ANY_WR, CAP_XATTR_EXCL
from mdsdaemon.types.inode import OldInode
from mdsdaemon.types.journal import EOpen
from mdsdaemon.types.mds import VInodeNo
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.messages.client_caps import MClientCaps
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.locks.capability import Capability
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.snap.snaps import Snaps

Needed = dict[int, dict[int, "CInode"]]

NEED = "need_snapflush"
CLIENTS = "snap_clients"
GATE = "snap_gate"


def needed_of(head: CInode) -> Needed | None:
    """What is awaited for snapshots of a file; None: nothing."""
    return None if head.extra is None else head.extra.get(NEED)


def clients_of(copy: CInode) -> set[int] | None:
    """The clients that are awaited for a copy; None: none are."""
    return None if copy.extra is None else copy.extra.get(CLIENTS)


def journal_open(rank: RankCore, copies: list[CInode]) -> None:
    """Journal copies that clients are awaited for, unchanged: a replay has to know them."""
    segment = rank.mdlog.segment
    builder = BlobBuilder(segment, rank.mdlog.event_seq + 1)
    event = EOpen(stamp=rank.now())
    for copy in copies:
        dn = copy.parent
        if dn is None:
            continue
        builder.need_snapflush.add(copy)
        builder.add_dir_context(dn.dir)
        builder.add_dentry(dn)
        event.snap_inos.append(VInodeNo(copy.ino, copy.last))
    builder.finish()
    event.metablob = builder.blob
    rank.mdlog.submit(event)


class SnapFlushes:
    """See the module."""

    def __init__(self, snaps: Snaps) -> None:
        self.snaps = snaps
        self.rank = snaps.rank

    # -- expecting ---------------------------------------------------------------------------

    def copied(self, mut: Mutation, inode: CInode, copy: CInode) -> None:
        """A file was copied for the snapshots up to `copy.last`."""
        if inode.last != NOSNAP:
            self._split(mut, inode, copy)
            return
        if not inode.caps:
            return
        last = copy.last
        due = self._snaps_in(inode, copy.first, last)
        waits = False
        for client, cap in inode.caps.items():
            if cap.issued & CAP_ANY_WR and cap.follows < last:
                cap.follows = last
                for snap in due:
                    self._expect(inode, copy, snap, client)
                    waits = True
        if waits:
            mut.need_snapflush(copy)

    def _snaps_in(self, inode: CInode, first: int, last: int) -> list[int]:
        snaps = self.snaps.realm_of(inode).get_snaps()
        return [snap for snap in snaps[bisect_left(snaps, first) :] if snap <= last]

    def _expect(self, head: CInode, copy: CInode, snap: int, client: int) -> None:
        head.extra = head.extra if head.extra is not None else {}
        head.extra.setdefault(NEED, {}).setdefault(snap, {})[client] = copy
        if copy.extra is None or CLIENTS not in copy.extra:
            copy.extra = copy.extra if copy.extra is not None else {}
            copy.extra[CLIENTS] = set()
            copy.extra[GATE] = self.rank.queue.gate()
        copy.extra[CLIENTS].add(client)

    def _split(self, mut: Mutation, later: CInode, copy: CInode) -> None:
        """A copy that several snapshots saw became two: who is awaited for which."""
        head = self.rank.cache.get_inode(copy.ino)
        needed = None if head is None else needed_of(head)
        if head is None or needed is None:
            return
        moved, left = False, set[int]()
        for snap, clients in list(needed.items()):
            for client, held in list(clients.items()):
                if held is not later:
                    continue
                if snap <= copy.last:
                    self._expect(head, copy, snap, client)
                    moved = True
                else:
                    left.add(client)
        if moved:
            mut.need_snapflush(copy)
            for client in (clients_of(later) or set()) - left:
                self._answered(later, client)

    def reclaimed(self, head: CInode, client: int, follows: int, issued: int) -> None:
        """A client is back after a failover: it may have something to say.

        Args:
            follows: the newest snapshot before the first that it has to say something of; 0: it
                knows of none, perhaps since it has not heard of them yet.
            issued: what it may have been doing.
        """
        lasts = self.rank.cache.snap_lasts.get(head.ino)
        if lasts is None:
            return
        if follows:
            known = self.rank.cache.snap_inodes
            copies = [known[head.ino, last] for last in lasts if last > follows]
        elif issued & CAP_ANY_FILE_WR:
            waiting: set[CInode] = set()
            for segment in self.rank.mdlog.segments.values():
                waiting |= segment.open_files
            copies = [copy for copy in waiting if copy.ino == head.ino and copy is not head]
        else:
            return
        for copy in copies:
            for snap in self._snaps_in(head, max(copy.first, follows + 1), copy.last):
                self._expect(head, copy, snap, client)
                self.rank.mdlog.segment.open_files.add(copy)

    # -- clients say what it was -------------------------------------------------------------

    def handle(self, session: Session, head: CInode, cap: Capability, msg: MClientCaps) -> None:
        """A FLUSHSNAP has come."""
        client, follows = session.client, msg.snap_follows
        realm = self.snaps.realm_of(head)
        snap = realm.snap_following(follows)
        self.null_flush(head, client, snap)
        inode = head
        if snap != NOSNAP:
            inode = self.rank.cache.snap_after(head.ino, snap - 1) or head
            if inode.first > snap:
                inode = head
        needed = needed_of(head)
        if inode is head:
            cap.follows = snap if snap != NOSNAP else realm.newest_seq()
        elif needed is None or client not in needed.get(snap, ()):
            self._acknowledge(session, msg, 0)
            return
        end = 0
        if snap != NOSNAP and not self.rank.read_only:
            end = self._update(inode, snap, client, msg, session)
        self._acknowledge(session, msg, end)
        if inode is not head:
            self._got(head, inode, snap, client)

    def _acknowledge(self, session: Session, msg: MClientCaps, end: int) -> None:
        if msg.dirty:
            ack = self.rank.locker.flush_ack(msg)
            if end:
                session.send_when_safe(ack, end)
            else:
                session.send(ack)

    def null_flush(self, head: CInode, client: int, before: int = NOSNAP) -> None:
        """The client has nothing to say of snapshots before this one."""
        needed = needed_of(head)
        if needed is None:
            return
        for snap in sorted(needed):
            if snap >= before:
                break
            copy = needed.get(snap, {}).get(client)
            if copy is None:
                continue
            if not self.rank.read_only:
                self._update(copy, snap, client, None, None)
            self._got(head, copy, snap, client)

    def update_between(self, head: CInode, msg: MClientCaps, dirty: int) -> None:
        """A client has written back without knowing of the newest snapshots: those see it too."""
        follows = msg.snap_follows
        if not follows or not dirty or self.rank.read_only:
            return
        copy = self.rank.cache.snap_after(head.ino, follows)
        con = msg.connection
        while copy is not None:
            mut = Mutation(self.rank, "cap update", stamp=self.rank.now())
            stored = mut.inode(copy, follows)  # what lies before that stays as it is
            update_fields(copy, msg, dirty, 0 if con is None else con.features)
            copy_nest(stored.accounted_rstat, stored.rstat)
            mut.submit()
            copy = self.rank.cache.snap_after(head.ino, copy.last)

    def _update(
        self,
        inode: CInode,
        snap: int,
        client: int,
        msg: MClientCaps | None,
        session: Session | None,
    ) -> int:
        """Journal what the file was in a snapshot; where that ends."""
        follows = inode.first - 1 if msg is None else msg.snap_follows
        xattrs = None
        if (
            msg is not None
            and msg.dirty & CAP_XATTR_EXCL
            and msg.middle
            and msg.xattr_version > inode.inode.xattr_version
        ):
            try:
                xattrs = decode_xattrs(msg.middle)
            except DecodeError as exc:
                self.rank.log.warning("%s: %s", msg, exc)
        mut = Mutation(self.rank, "snap flush", stamp=self.rank.now())
        stored = mut.inode(inode, follows)
        old = self._old_for(inode, snap)
        if old is not None:
            stored = old.inode
        elif inode.first > snap:
            msg = None  # nothing is kept of what it was
        if msg is not None:
            con = msg.connection
            features = 0 if con is None else con.features
            update_fields(inode, msg, msg.dirty, features, stored)
            if xattrs is not None:
                stored.xattr_version = msg.xattr_version
                if old is not None:
                    old.xattrs = xattrs
                else:
                    inode.xattrs = xattrs
        held = stored.client_ranges.get(client)
        if held is not None:
            if inode.last == snap:
                del stored.client_ranges[client]
            else:
                held.follows = snap
        if inode.last != NOSNAP:
            copy_nest(stored.accounted_rstat, stored.rstat)
        if msg is not None and session is not None and msg.dirty and msg.oldest_flush_tid:
            self.rank.sessions.note_flush(mut, session, msg.tid, msg.oldest_flush_tid)
        return mut.submit()

    def _old_for(self, inode: CInode, snap: int) -> OldInode | None:
        """The old version that a snapshot sees, so that no earlier one sees the same."""
        for last in sorted(inode.old_inodes):
            if last < snap:
                continue
            old = inode.old_inodes[last]
            if old.first > snap:
                return None
            if old.first < snap:
                earlier = OldInode(old.first, copy_of(old.inode), dict(old.xattrs))
                inode.old_inodes[snap - 1] = earlier
                old.first = snap
                inode.old_inodes = dict(sorted(inode.old_inodes.items()))
            return old
        return None

    # -- answered ----------------------------------------------------------------------------

    def _got(self, head: CInode, copy: CInode, snap: int, client: int) -> None:
        """The client has said what it had to say for a snapshot."""
        needed = needed_of(head)
        if needed is not None and snap in needed:
            needed[snap].pop(client, None)
            if not needed[snap]:
                del needed[snap]
            if not needed:
                self._forget(head, NEED)
            elif any(held.get(client) is copy for held in needed.values()):
                return
        self._answered(copy, client)

    def _answered(self, copy: CInode, client: int) -> None:
        clients = clients_of(copy)
        if clients is None:
            return
        clients.discard(client)
        if clients:
            return
        assert copy.extra is not None
        gate = copy.extra[GATE]
        self._forget(copy, CLIENTS, GATE)
        for segment in self.rank.mdlog.segments.values():
            segment.open_files.discard(copy)
        gate.open()

    def _forget(self, inode: CInode, *names: str) -> None:
        if inode.extra is not None:
            for name in names:
                inode.extra.pop(name, None)
            if not inode.extra:
                inode.extra = None


__all__ = ["SnapFlushes", "clients_of", "journal_open", "needed_of"]
