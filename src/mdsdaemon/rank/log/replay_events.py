"""Replaying events: to each kind what it does to the cache, the tables and the sessions.

A table that is newer than an event has seen it: the event is skipped for that table. One that is
older than what the event follows is a contradiction.

Behaviour: ceph/ceph, src/mds/journal.cc (E…::replay, EMetaBlob::replay) (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mdsdaemon.encoding import S64, Map, decode, field, wire
from mdsdaemon.rank.log.replay_blob import BlobReplay, ReplayError
from mdsdaemon.types import journal
from mdsdaemon.types.entity import CLIENT, EntityInst
from mdsdaemon.types.metablob import EMetaBlob
from mdsdaemon.types.session import ClientMetadata

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.rank.session import Session

TABLE_SNAP = 1
"""The only table that a rank serves to others (MDSTableServer), or asks for."""


@wire()
class ClientMap:
    """What `EUpdate.client_map` holds: sessions that the update opened."""

    clients: dict[int, EntityInst] = field(Map(S64, EntityInst), factory=dict)
    metadata: dict[int, ClientMetadata] = field(
        Map(S64, ClientMetadata), factory=dict, if_more=True
    )


class EventReplay:
    """What replays events into a rank."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self._blobs = BlobReplay(rank)
        self._touched: set[CDir] | None = None
        self._answered: dict[Session, int] = {}
        self._by_class: dict[type[Any], Callable[[Any, LogSegment], None]] = {
            journal.ESubtreeMap: self._subtree_map,
            journal.ESubtreeMapTest: self._nothing,
            journal.EResetJournal: self._reset_journal,
            journal.ESession: self._session,
            journal.ESessions: self._sessions,
            journal.ESessionsOld: self._sessions,
            journal.EUpdate: self._update,
            journal.EOpen: self._open,
            journal.EFragment: self._fragment,
            journal.EPurged: self._purged,
            journal.ECommitted: self._nothing,
            journal.ETableServer: self._table_server,
            journal.ETableClient: self._table_client,
            journal.ENoOp: self._nothing,
            journal.ESegment: self._nothing,
            journal.ELid: self._nothing,
        }

    def replay(self, event: Any, segment: LogSegment, touched: set[CDir] | None = None) -> None:
        """Replay one event.

        Args:
            touched: gets every fragment that it makes dirty.

        Raises:
            ReplayError: it contradicts what is there, or it belongs to a rank among several.
            DecodeError: a part of it does not decode.
        """
        self._touched = touched
        how = self._by_class.get(type(event))
        if how is None:
            raise ReplayError(f"{type(event).__name__}: max_mds has to be 1")
        how(event, segment)

    def end_of_batch(self) -> None:
        """Do what is done once for all events so far.

        With each request a client tells the oldest whose answer it has not; only the last counts.
        """
        for session, oldest in self._answered.items():
            session.trim_completed_requests(oldest)
        self._answered.clear()

    def _nothing(self, event: Any, segment: LogSegment) -> None:
        pass

    # -- the tree ----------------------------------------------------------------------------

    def _blob(self, blob: EMetaBlob, segment: LogSegment) -> None:
        self._blobs.run(blob, segment, self._touched)
        if blob.inotablev or blob.sessionmapv:
            self._table_changes(blob, segment)
        if blob.truncate_start or blob.truncate_finish:
            self._truncations(blob, segment)
        if blob.client_reqs or blob.client_flushes:
            self._requests(blob, segment)
        for table, tid in blob.table_tids:
            if table == TABLE_SNAP:
                segment.pending_tids.setdefault(table, set()).add(tid)
                self.rank.snaps.replay_agree(tid, segment)
        if blob.destroyed_inodes:
            self.rank.openfiles.note_destroyed(segment.seq, blob.destroyed_inodes)

    def _subtree_map(self, event: journal.ESubtreeMap, segment: LogSegment) -> None:
        rank = self.rank
        journaler = rank.mdlog.journaler
        if journaler is not None and event.expire_pos > journaler.expire_pos:
            journaler.expire_pos = event.expire_pos
        if any(bounds for bounds in event.subtrees.values()) or event.ambiguous_subtrees:
            raise ReplayError(
                "parts of the tree belong to other ranks: only max_mds 1 is supported"
            )
        if segment is next(iter(rank.mdlog.segments.values())):
            self._blobs.run(event.metablob, segment, self._touched)

    def _reset_journal(self, event: journal.EResetJournal, segment: LogSegment) -> None:
        self.rank.sessionmap.wipe()
        self.rank.inotable.replay_reset()

    def _update(self, event: journal.EUpdate, segment: LogSegment) -> None:
        if event.had_peers:
            raise ReplayError("an update with other ranks: max_mds has to be 1")
        self._blob(event.metablob, segment)
        if event.client_map:
            opened = decode(ClientMap, event.client_map)
            self._open_sessions(event.cmapv, opened.clients, opened.metadata, segment)

    def _open(self, event: journal.EOpen, segment: LogSegment) -> None:
        self._blob(event.metablob, segment)
        for ino in event.inos:
            inode = self.rank.cache.get_inode(ino)
            if inode is None:
                raise ReplayError(f"EOpen: inode {ino:#x} is not among the metadata")
            segment.open_files.add(inode)
        for vino in event.snap_inos:
            inode = self.rank.cache.get_inode(vino.ino, vino.snapid)
            if inode is None:
                raise ReplayError(
                    f"EOpen: inode {vino.ino:#x} of snapshot {vino.snapid} is unknown"
                )
            segment.open_files.add(inode)

    def _fragment(self, event: journal.EFragment, segment: LogSegment) -> None:
        self.rank.store.replay_fragment(event, segment)
        self._blob(event.metablob, segment)

    def _truncations(self, blob: EMetaBlob, segment: LogSegment) -> None:
        cache, segments = self.rank.cache, self.rank.mdlog.segments
        for ino in blob.truncate_start:
            inode = cache.get_inode(ino)
            if inode is None:
                raise ReplayError(f"the truncation of an unknown inode {ino:#x} begins")
            segment.truncating.add(inode)
        for ino, seq in blob.truncate_finish.items():
            began, inode = segments.get(seq), cache.get_inode(ino)
            if began is not None and inode is not None:
                began.truncating.discard(inode)

    # -- numbers and sessions ----------------------------------------------------------------

    def _table_changes(self, blob: EMetaBlob, segment: LogSegment) -> None:
        rank = self.rank
        inotable, sessionmap = rank.inotable, rank.sessionmap
        if blob.inotablev:
            segment.note_table("inotable", blob.inotablev)
            if inotable.version < blob.inotablev:
                if blob.allocated_ino:
                    inotable.replay_alloc_id(blob.allocated_ino)
                if blob.preallocated_inos:
                    inotable.replay_alloc_ids(blob.preallocated_inos)
                if inotable.version < blob.inotablev:
                    rank.services.clog.error(
                        f"journal replay inotablev mismatch {inotable.version} -> {blob.inotablev}"
                    )
                    inotable.force_replay_version(blob.inotablev)
        if not blob.sessionmapv:
            return
        segment.note_table("sessionmap", blob.sessionmapv)
        if sessionmap.version >= blob.sessionmapv:
            return
        used, new = blob.used_preallocated_ino, blob.preallocated_inos
        steps = 2 if used and new else 1
        if sessionmap.version + steps != blob.sessionmapv:
            self._sessionmap_behind(blob.sessionmapv - steps)
            sessionmap.set_version(blob.sessionmapv)
            return
        session = sessionmap.get_session(blob.client_name.num)
        if session is None:
            for _ in range(bool(used) + bool(new)):
                sessionmap.replay_advance_version()
        else:
            if used:
                session.replay_take_ino(used)
                sessionmap.replay_dirty_session(session)
            if new:
                session.replay_add_prealloc(new)
                sessionmap.replay_dirty_session(session)
        if sessionmap.version != blob.sessionmapv:
            sessionmap.set_version(blob.sessionmapv)

    def _sessionmap_behind(self, needs: int) -> None:
        rank = self.rank
        text = f"replayed sessionmap v {needs} > table {rank.sessionmap.version}"
        rank.services.clog.error(text)
        if not rank.config.get_bool("mds_wipe_sessions"):
            raise ReplayError(text)
        rank.sessionmap.wipe()

    def _requests(self, blob: EMetaBlob, segment: LogSegment) -> None:
        """Requests and flushes that are done: a client may ask again after the failure."""
        created = blob.allocated_ino or blob.used_preallocated_ino
        sessionmap = self.rank.sessionmap
        for reqid, oldest in blob.client_reqs:
            session = sessionmap.get_session(reqid.name.num) if reqid.name.type == CLIENT else None
            if session is not None:
                session.add_completed_request(reqid.tid, created)
                if oldest:
                    self._answered[session] = oldest
                segment.sessions.add(reqid.name.num)
        for reqid, oldest in blob.client_flushes:
            session = sessionmap.get_session(reqid.name.num) if reqid.name.type == CLIENT else None
            if session is not None:
                session.add_completed_flush(reqid.tid)
                if oldest:
                    session.trim_completed_flushes(oldest)
                segment.sessions.add(reqid.name.num)

    def _session(self, event: journal.ESession, segment: LogSegment) -> None:
        rank = self.rank
        inotable, sessionmap = rank.inotable, rank.sessionmap
        segment.note_table("sessionmap", event.cmapv)
        segment.purging.union(event.inos_to_purge)
        if sessionmap.version < event.cmapv:
            if sessionmap.version + 1 != event.cmapv:
                self._sessionmap_behind(event.cmapv - 1)
                sessionmap.set_version(event.cmapv)
            else:
                sessionmap.replay_session(event.client_inst, event.open, event.client_metadata)
        if event.inos_to_free and event.inotablev:
            segment.note_table("inotable", event.inotablev)
            if inotable.version < event.inotablev:
                inotable.replay_release_ids(event.inos_to_free)
                if inotable.version != event.inotablev:
                    inotable.force_replay_version(event.inotablev)

    def _sessions(self, event: Any, segment: LogSegment) -> None:
        metadata = getattr(event, "client_metadata_map", {})
        self._open_sessions(event.cmapv, event.client_map, metadata, segment)

    def _open_sessions(
        self,
        version: int,
        clients: dict[int, EntityInst],
        metadata: dict[int, ClientMetadata],
        segment: LogSegment,
    ) -> None:
        segment.note_table("sessionmap", version)
        if self.rank.sessionmap.version < version:
            self.rank.sessionmap.replay_open_sessions(version, clients, metadata)

    def _purged(self, event: journal.EPurged, segment: LogSegment) -> None:
        began = self.rank.mdlog.segments.get(event.seq)
        if began is not None:
            began.purging.subtract(event.inos)
        inotable = self.rank.inotable
        if event.inos and event.inotablev:
            segment.note_table("inotable", event.inotablev)
            if inotable.version < event.inotablev:
                inotable.replay_release_ids(event.inos)

    # -- tables that are served --------------------------------------------------------------

    def _table_server(self, event: journal.ETableServer, segment: LogSegment) -> None:
        if event.table != TABLE_SNAP:
            raise ReplayError(f"an event of an unknown table {event.table}")
        segment.note_table("snaptable", event.version)
        server = self.rank.snaps.server
        if server.version >= event.version:
            return
        if server.version + 1 != event.version:
            raise ReplayError(f"snaptable v {server.version}, an event makes it v {event.version}")
        server.replay(event)

    def _table_client(self, event: journal.ETableClient, segment: LogSegment) -> None:
        if event.table == TABLE_SNAP:
            for other in self.rank.mdlog.segments.values():
                other.pending_tids.get(TABLE_SNAP, set()).discard(event.tid)
            self.rank.snaps.replay_ack(event.tid)
