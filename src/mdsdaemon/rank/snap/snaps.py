"""Snaps: what the rest of a rank asks about snapshots.

    cow.py      what is kept before something changes that a snapshot sees
    realm.py    which snapshots hold where, and by which names
    nodes.py    realms of what gets, changes or loses its names
    flushes.py  what clients have yet to write back for snapshots
    purge.py    what no snapshot sees any more
    notify.py   what clients are told

While there never was a snapshot, all answers are cheap.

Behaviour: ceph/ceph, src/mds/SnapClient.cc, src/mds/SnapServer.cc (check_osd_map,
handle_remove_snaps), src/mds/SnapRealm.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.messages.pool import MRemoveSnaps
from mdsdaemon.rank.snap.cow import Cow, is_seen_by, old_version
from mdsdaemon.rank.snap.flushes import SnapFlushes
from mdsdaemon.rank.snap.purge import Purger, purge_old_inodes
from mdsdaemon.rank.snap.realm import FIRST_SEQ, GlobalRealm, Realm
from mdsdaemon.rank.tables.snaptable import TABLE_SNAP, ServerOp, SnapServer, dump_snap
from mdsdaemon.types.journal import ETableClient
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.snap import SnapContext

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.types.inode import Inode

_COUNT_UNTIL = 1
"""The newest change of a file system that never had a snapshot."""


class Snaps:
    """See the module.

    Attributes:
        table: the server's table; `server` is the same.
        any_snapshots: there is a snapshot somewhere, or there was one.
        newest: the number of the newest snapshot, or change of snapshots.
        generation: counts the changes of the table.
        agreed: transactions of the table whose metadata the journal has and whose commit it does
            not, by number, with their segment.
        recovered: the table is as the journal says, so that what it lacks is no more.
        flushes, purger: parts.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.table = SnapServer(rank)
        self.any_snapshots = False
        self.newest = FIRST_SEQ
        self.generation = 0
        self.agreed: dict[int, LogSegment] = {}
        self.recovered = False
        self.global_realm = GlobalRealm(self)
        self.flushes = SnapFlushes(self)
        self.purger = Purger(self)
        self._cow = Cow(self)
        self._stamps = 0
        self._checked_version = -1
        self.table.on_change = self._changed

    @property
    def server(self) -> SnapServer:
        return self.table

    def _changed(self) -> None:
        state = self.table.state
        self.generation += 1
        self.newest = max(state.last_created, state.last_destroyed)
        self.any_snapshots = self.newest > _COUNT_UNTIL

    def next_stamp(self) -> int:
        """A number that no realm has had."""
        self._stamps += 1
        return self._stamps

    # -- before something changes ------------------------------------------------------------

    def before_change(self, mut: Mutation, inode: CInode, follows: int = NOSNAP) -> None:
        """An inode is about to change: what snapshots see of it is kept."""
        self._cow.before_change(mut, inode, follows)

    def before_relink(self, mut: Mutation, dn: CDentry) -> None:
        """A dentry is about to get or lose its inode: what snapshots see of it is kept."""
        self._cow.before_relink(mut, dn)

    # -- realms ------------------------------------------------------------------------------

    def realm_of(self, inode: CInode) -> Realm:
        """The realm that the inode is in; its own if one begins there."""
        at = inode
        while not at.snaprealm_blob:
            dn = at.parent
            if dn is None:
                break
            at = dn.dir.inode
        realm = at.realm
        if realm is None or realm.blob != at.snaprealm_blob:
            realm = at.realm = Realm(self, at)
        return realm  # type: ignore[no-any-return]

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
        here, there = self.realm_of(one), self.realm_of(other)
        return here is there or self.subvolume_ino(here) == self.subvolume_ino(there)

    def subvolume_ino(self, realm: Realm) -> int:
        """The outermost subvolume that a realm is in; 0: none."""
        found = 0
        at: Realm | GlobalRealm | None = realm
        while at is not None:
            if at.is_subvolume:
                found = at.ino
            at = at.parent
        return found

    def all_snaps(self) -> list[int]:
        """All snapshots of the file system, in order."""
        return sorted(self.table.state.snaps)

    def existing(self, snaps: Iterable[int]) -> list[int]:
        """Those of these snapshots that exist, in order."""
        known = self.table.state.snaps
        return sorted(snap for snap in snaps if snap in known)

    def realm_replayed(self, inode: CInode) -> None:
        """Replay has given the inode another realm, or none."""
        inode.realm = None

    # -- what a snapshot sees ----------------------------------------------------------------

    def resolve_name(self, inode: CInode, name: str) -> int:
        """The snapshot that a name in a directory's `.snap` stands for; 0: there is none."""
        return self.realm_of(inode).resolve(name, inode.ino)

    def as_of(self, inode: CInode, snapid: int) -> tuple[Inode, dict[str, bytes]]:
        """The inode_t and xattrs that a snapshot sees (NOSNAP: those of now)."""
        if snapid != NOSNAP and inode.old_inodes:
            old = old_version(inode, snapid)
            if old is not None:
                return old.inode, old.xattrs
        return inode.inode, inode.xattrs

    def snap_info(self, inode: CInode, snapid: int) -> tuple[int, dict[str, str]]:
        """When a snapshot was made (nanoseconds), and what was noted with it."""
        info = self.realm_of(inode).snap_infos(snapid, snapid).get(snapid)
        return (0, {}) if info is None else (info.stamp, dict(info.metadata))

    def find_inode(self, ino: int, snapid: int) -> CInode | None:
        """What a snapshot sees of an inode, if it is in the cache."""
        cache = self.rank.cache
        copy = cache.snap_after(ino, snapid - 1)
        if copy is not None and copy.first <= snapid:
            return copy
        inode = cache.get_inode(ino)
        if inode is None or not is_seen_by(inode, snapid):
            return None
        return None if self.rank.strays.is_purging(inode) else inode

    # -- a snapshot is made, renamed or removed ------------------------------------------------

    def commit(self, tid: int) -> None:
        """The journal has the metadata of a prepared change of the table: it is true now."""
        self.table.commit(tid)
        self.rank.mdlog.submit(
            ETableClient(stamp=self.rank.now(), table=TABLE_SNAP, op=ServerOp.ACK, tid=tid)
        )

    def removed(self, diri: CInode) -> None:
        """A snapshot of a directory is no more: so is what only that has seen."""
        purge_old_inodes(diri, self.realm_of(diri).get_snaps())
        self.rank.strays.look_again()

    # -- the table ---------------------------------------------------------------------------

    def replay_agree(self, tid: int, segment: LogSegment) -> None:
        """The journal has the metadata of a prepared change."""
        self.agreed[tid] = segment

    def replay_ack(self, tid: int) -> None:
        """The journal has that the change was committed."""
        self._done(tid, self.agreed.pop(tid, None))

    def _done(self, tid: int, segment: LogSegment | None) -> None:
        if segment is None:
            return
        segment.pending_tids.get(TABLE_SNAP, set()).discard(tid)
        if not segment.pending_tids.get(TABLE_SNAP, True):
            del segment.pending_tids[TABLE_SNAP]
        segment.done()

    def finish_recovery(self) -> None:
        """Commit what the journal has the metadata of, give up what else was prepared.

        Called once the journal can be written, before clients are back.
        """
        agreed, self.agreed = self.agreed, {}
        for tid in sorted(self.table.pending):
            if tid in agreed:
                self.commit(tid)
            else:
                self.table.rollback(tid)
        for tid, segment in agreed.items():
            self._done(tid, segment)
        self.recovered = True

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
