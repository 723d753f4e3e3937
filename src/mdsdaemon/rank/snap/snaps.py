"""Snaps: what the rest of a rank asks about snapshots.

While there are none, all answers are cheap and nothing is refused. While there are some, what is
stored of them is carried through untouched, and changes of what a snapshot sees are refused
(EROFS).

Behaviour: ceph/ceph, src/mds/SnapClient.cc, src/mds/SnapServer.cc (check_osd_map,
handle_remove_snaps), src/mds/SnapRealm.cc (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.messages.pool import MRemoveSnaps
from mdsdaemon.rank.cache.inode import MDSDIR, ROOT
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.snap.realm import FIRST_SEQ, Realm
from mdsdaemon.rank.tables.snaptable import SnapServer, dump_snap
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.snap import SnapContext

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.types.inode import Inode


class Snaps:
    """See the module.

    Attributes:
        table: the server's table; `server` is the same.
        any_snapshots: there is a snapshot somewhere, or one is being made or removed.
        agreed: transactions of the table whose metadata the journal has and whose commit it does
            not, by number, with their segment.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.table = SnapServer(rank)
        self.any_snapshots = False
        self.agreed: dict[int, LogSegment] = {}
        self._checked_version = -1
        self.table.on_change = self._changed

    @property
    def server(self) -> SnapServer:
        return self.table

    def _changed(self) -> None:
        self.any_snapshots = self.table.has_snapshots

    # -- before something changes ------------------------------------------------------------

    def before_change(self, mut: Mutation, inode: CInode) -> None:
        """An inode is about to change.

        Raises:
            FsError: EROFS: a snapshot sees it as it is.
        """
        if mut.client and self._is_seen(inode, inode.first):
            raise FsError(errno.EROFS, f"a snapshot sees {inode}")

    def before_relink(self, mut: Mutation, dn: CDentry) -> None:
        """A dentry is about to get or lose its inode.

        Raises:
            FsError: EROFS: a snapshot sees it as it is.
        """
        if mut.client and not dn.is_null and self._is_seen(dn.dir.inode, dn.first):
            raise FsError(errno.EROFS, f"a snapshot sees {dn}")

    def _is_seen(self, inode: CInode, first: int) -> bool:
        snaps = self.realm_of(inode).get_snaps()
        return bool(snaps) and snaps[-1] >= first

    # -- realms ------------------------------------------------------------------------------

    def realm_of(self, inode: CInode) -> Realm:
        """The realm that the inode is in; its own if one begins there."""
        at = inode
        while at.parent is not None and not at.snaprealm_blob:
            at = at.parent.dir.inode
        realm = at.realm
        if not isinstance(realm, Realm) or realm.blob != at.snaprealm_blob:
            realm = at.realm = Realm(self, at)
        return realm

    def realm_trace(self, inode: CInode) -> bytes:
        """`snapbl` of replies and caps messages: the realm and those around it."""
        return self.realm_of(inode).trace()

    def newest_seq(self, inode: CInode) -> int:
        """The number of the newest change of snapshots that concerns the inode."""
        return self.realm_of(inode).newest_seq()

    def snap_context(self, inode: CInode) -> SnapContext:
        """For writes and deletions of the file's objects."""
        return self.realm_of(inode).snap_context()

    def has_snapshots(self, inode: CInode) -> bool:
        """Whether the directory itself has snapshots: it cannot be removed then."""
        realm = self.realm_of(inode)
        return realm.inode is inode and bool(realm.node.snaps)

    def same_subvolume(self, one: CInode, other: CInode) -> bool:
        """Whether no subvolume's border lies between two places of the tree."""
        return self._subvolume(one) is self._subvolume(other)

    def _subvolume(self, inode: CInode) -> CInode | None:
        realm: Realm | None = self.realm_of(inode)
        found: CInode | None = None
        while realm is not None:
            if realm.node.flags & realm.node.SUBVOLUME:
                found = realm.inode
            realm = realm.parent
        return found

    def existing(self, snaps: Iterable[int]) -> list[int]:
        """Those of these snapshots that exist, in order."""
        known = self.table.state.snaps
        return sorted(snap for snap in snaps if snap in known)

    def realm_replayed(self, inode: CInode) -> None:
        """Replay has given the inode another realm, or none."""
        inode.realm = None

    # -- what a snapshot sees ----------------------------------------------------------------

    def as_of(self, inode: CInode, snapid: int) -> tuple[Inode, dict[str, bytes]]:
        """The inode_t and xattrs that a snapshot sees (NOSNAP: those of now)."""
        if snapid != NOSNAP:
            for last in sorted(inode.old_inodes):
                old = inode.old_inodes[last]
                if old.first <= snapid <= last:
                    return old.inode, old.xattrs
        return inode.inode, inode.xattrs

    def snap_info(self, inode: CInode, snapid: int) -> tuple[int, dict[str, str]]:
        """When a snapshot was made (nanoseconds), and what was noted with it."""
        info = self.table.state.snaps.get(snapid)
        return (0, {}) if info is None else (info.stamp, dict(info.metadata))

    # -- the table ---------------------------------------------------------------------------

    def replay_agree(self, tid: int, segment: LogSegment) -> None:
        """The journal has the metadata of a prepared change."""
        self.agreed[tid] = segment

    def replay_ack(self, tid: int) -> None:
        """The journal has that the change was committed."""
        self.agreed.pop(tid, None)

    def finish_recovery(self) -> None:
        """Commit what the journal has the metadata of, give up what else was prepared."""
        for tid in sorted(self.table.pending):
            if tid in self.agreed:
                self.table.commit(tid)
            else:
                self.table.rollback(tid)
        agreed, self.agreed = self.agreed, {}
        for tid, segment in agreed.items():
            segment.pending_tids.get(1, set()).discard(tid)
            if not segment.pending_tids.get(1, True):
                del segment.pending_tids[1]
            segment.done()

    def check_osd_map(self, *, force: bool) -> None:
        """Ask the monitors to have the objects of removed snapshots purged."""
        table = self.table
        if not force and table.version == self._checked_version:
            return
        self._checked_version = table.version
        need = table.state.need_to_purge
        if not need:
            return
        pools = self.rank.objecter.osd_map.pools
        gone = {pool: sorted(snaps) for pool, snaps in need.items() if pool not in pools}
        if gone:
            table.server_update(gone)
        wanted = {pool: sorted(snaps) for pool, snaps in need.items()}
        if wanted:
            self.rank.services.monc.send_mon_message(MRemoveSnaps(snaps=wanted))
        self._checked_version = table.version

    def handle_remove_snaps(self, msg: MRemoveSnaps) -> None:
        """The monitors have done so."""
        need = self.table.state.need_to_purge
        purged = {
            pool: sorted(need[pool].intersection(snaps))
            for pool, snaps in msg.snaps.items()
            if pool in need and need[pool].intersection(snaps)
        }
        if purged:
            self.table.server_update(purged)

    # -- what is shown -----------------------------------------------------------------------

    def dump_server(self) -> dict[str, Any]:
        """`dump snaps --server`."""
        return self.table.dump()

    def dump_client(self) -> dict[str, Any]:
        """`dump snaps`."""
        state = self.table.state
        return {
            "last_created": state.last_created,
            "last_destroyed": state.last_destroyed,
            "snaps": [dump_snap(state.snaps[snapid]) for snapid in sorted(state.snaps)],
        }


__all__ = ["FIRST_SEQ", "MDSDIR", "ROOT", "Snaps"]
