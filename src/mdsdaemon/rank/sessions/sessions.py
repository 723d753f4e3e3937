"""Sessions: the life of clients' sessions in a rank.

         ┌──────────► opening ─► open ◄─► stale
      closed                      │  └─► killing ─► gone
         └──────────── closing ◄──┘

A session opens and closes by an event of the journal; what its event says is in force in memory at
once, and the client hears of it when the event is safe.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_session, _session_logged,
journal_close_session), src/mds/MDSRank.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.cephx.caps import MAY_READ
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.sessions import opening
from mdsdaemon.rank.sessions.closing import Closing
from mdsdaemon.rank.sessions.dump import dump_session
from mdsdaemon.rank.sessions.evict import Evictor
from mdsdaemon.rank.sessions.filters import SessionFilter
from mdsdaemon.rank.sessions.loads import OPTIONS as LOAD_OPTIONS
from mdsdaemon.rank.sessions.recall import Recall
from mdsdaemon.rank.sessions.reclaim import Reclaim
from mdsdaemon.rank.sessions.reconnect import Reconnect
from mdsdaemon.rank.sessions.upkeep import Upkeep
from mdsdaemon.rank.sessions.waiting import StateWaiters
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.entity import CLIENT, PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED
from mdsdaemon.types.journal import ESession
from mdsdaemon.types.session import MetaReqId

if TYPE_CHECKING:
    from mdsdaemon.messages.base import Message
    from mdsdaemon.messages.client_misc import MClientReclaim, MClientReconnect
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.mutation import Mutation

MIMIC = 8
"""CephFS feature of clients that understand the metadata of a session message."""


class Sessions:
    """See the module.

    Attributes:
        closing, evictor, reconnect, reclaim, recall, upkeep: its parts.
        terminating: all sessions are being closed; none opens.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.waiters = StateWaiters(rank)
        self.closing = Closing(self)
        self.evictor = Evictor(self)
        self.reconnect = Reconnect(self)
        self.reclaim = Reclaim(self)
        self.recall = Recall(self)
        self.upkeep = Upkeep(self)
        self.terminating = False
        self._unobserve = rank.config.observe(LOAD_OPTIONS, self._options_changed)

    def close(self) -> None:
        """The rank is gone: options are followed no longer."""
        self._unobserve()
        self.recall.close()

    def _options_changed(self, changed: Iterable[str]) -> None:
        for session in self.rank.sessionmap:
            session.loads.configure(self.rank.config, len(session.caps), changed)

    # -- who is there ------------------------------------------------------------------------

    def get_session(self, name: PeerName) -> Session | None:
        """The session that this client has opened."""
        return self.rank.sessionmap.get_session(name.num) if name.type == CLIENT else None

    def session_of(self, msg: Message) -> Session | None:
        """Whose message it is. A connection that came before its session was known gets that."""
        con = msg.connection
        session = None if con is None else con.session
        if not isinstance(session, Session):
            return None
        if session.is_closed():
            known = self.rank.sessionmap.get_session(session.client)
            if known is not None and known is not session:
                known.auth_caps = session.auth_caps
                known.last_seen = session.last_seen
                con.session = known
                waiting = list(session.preopen_out_queue)
                session.preopen_out_queue.clear()
                known.set_connection(con)
                for early in waiting:
                    con.send_message(early)
                session = known
        session.rank = self.rank
        return session

    def usable_session_of(self, msg: Message) -> Session | None:
        """Whose message it is, if the client has a session that has not begun to end."""
        session = self.session_of(msg)
        if session is None or session.is_closed() or session.is_closing() or session.is_killing():
            return None
        return session

    # -- what may be told --------------------------------------------------------------------

    def must_follow(self, client: int, *things: Any) -> int:
        """Where the journal must be safe before `client` may see these inodes, dentries, fragments.

        0: at once; what a client has changed itself it may see.
        """
        safe = self.rank.mdlog.safe_pos
        pos = 0
        for thing in things:
            at: int = thing.pos
            if at > safe and at > pos and thing.pos_client != client:
                pos = at
        return pos

    # -- messages ----------------------------------------------------------------------------

    def handle_client_session(self, msg: MClientSession) -> None:
        """A client opens, keeps or closes its session."""
        session = self._admitted(msg)
        if session is None:
            return
        op = msg.op
        self.rank.counters.server.inc("handle_client_session")
        if op == SessionOp.REQUEST_RENEWCAPS:
            self._renew(session, msg)
            return
        need = State.ACTIVE if op == SessionOp.REQUEST_CLOSE else State.CLIENTREPLAY
        if self.waiters.hold(need, msg, self.handle_client_session):
            return
        if op == SessionOp.REQUEST_OPEN:
            opening.open_session(self, session, msg)
        elif op == SessionOp.REQUEST_CLOSE:
            self.closing.request(session, msg)
        elif op == SessionOp.FLUSHMSG_ACK:
            self.finish_flush(session, msg.seq)
        elif op == SessionOp.REQUEST_FLUSH_MDLOG:
            if self.rank.state == State.ACTIVE:
                self.rank.mdlog.flush()
        else:
            self.rank.log.warning("%s sends %s, which clients do not", session.name, msg)

    def _admitted(self, msg: Message) -> Session | None:
        """The sender's session, if it may have one in this file system; else it is told."""
        session = self.session_of(msg)
        if session is None:
            self.rank.log.info("ignoring sessionless msg %s", msg)
            self._refuse(msg, "sessionless")
            return None
        fs_name = self.rank.mdsmap.fs_name
        if fs_name and not session.auth_caps.fs_name_capable(fs_name, MAY_READ):
            self.rank.log.info("dropping message not allowed for this fs_name: %s", msg)
            if isinstance(msg, MClientSession):
                self._refuse(msg, f'client doesn\'t have caps for FS "{fs_name}"')
            return None
        return session

    def _refuse(self, msg: Message, why: str) -> None:
        if msg.connection is not None:
            reject = MClientSession(op=SessionOp.REJECT, metadata={"error_string": why})
            msg.connection.send_message(reject)

    def handle_client_reconnect(self, msg: MClientReconnect) -> None:
        """A client claims what it held before a failover."""
        self.reconnect.handle(msg)

    def handle_client_reclaim(self, msg: MClientReclaim) -> None:
        """A client takes over from a dead one."""
        session = self._admitted(msg)
        if session is not None and not self.waiters.hold(
            State.CLIENTREPLAY, msg, self.handle_client_reclaim
        ):
            self.reclaim.handle(session, msg)

    def state_changed(self) -> None:
        """The rank has a new state: what waited for it is handled."""
        self.waiters.state_changed()
        self.upkeep.start()

    # -- opening and renewing ----------------------------------------------------------------

    def begin_open(self, session: Session) -> None:
        """Journal that the session opens; the client hears of it when that is safe."""
        rank = self.rank
        sessionmap = rank.sessionmap
        if sessionmap.get_session(session.client) is None:
            sessionmap.add_session(session)
        seq = sessionmap.set_state(session, SessionState.OPENING)
        sessionmap.touch_session(session)
        version = sessionmap.mark_dirty(session)
        event = ESession(
            stamp=rank.now(),
            client_inst=session.info.inst,
            open=True,
            cmapv=version,
            client_metadata=session.info.client_metadata,
        )
        end = self.submit(event)
        rank.mdlog.when_safe(end, lambda: self._opened(session, seq))
        rank.mdlog.flush()

    def submit(self, event: ESession) -> int:
        """Journal an ESession; the segment knows which tables it needs saved."""
        segment = self.rank.mdlog.segment
        end = self.rank.mdlog.submit(event)
        segment.note_table("sessionmap", event.cmapv)
        if event.inotablev:
            segment.note_table("inotable", event.inotablev)
        return end

    def _opened(self, session: Session, seq: int) -> None:
        if session.state_seq != seq:
            return  # it was killed meanwhile
        sessionmap = self.rank.sessionmap
        sessionmap.set_state(session, SessionState.OPEN)
        sessionmap.touch_session(session)
        self.send_open(session)
        self.rank.log.info(
            'New client session: addr="%s",status="ACCEPTED",root="%s"',
            session.addr,
            session.client_metadata.get("root", ""),
        )

    def send_open(self, session: Session) -> None:
        """Tell the client that its session is open."""
        reply = MClientSession(op=SessionOp.OPEN)
        if session.has_feature(MIMIC):
            reply.supported_features = CEPHFS_FEATURES_SUPPORTED
        session.send(reply)
        if self.rank.read_only:
            session.send(MClientSession(op=SessionOp.FORCE_RO))

    def _renew(self, session: Session, msg: MClientSession) -> None:
        sessionmap = self.rank.sessionmap
        if not session.is_open() and not session.is_stale():
            self.rank.log.debug("ignoring renewcaps of %s (%s)", session, session.state.name)
            return
        sessionmap.touch_session(session)
        if session.is_stale():
            sessionmap.set_state(session, SessionState.OPEN)
            self.rank.locker.resume_stale(session)
            sessionmap.touch_session(session)
        session.send(MClientSession(op=SessionOp.RENEWCAPS, seq=msg.seq))

    # -- flushing ----------------------------------------------------------------------------

    def flush_session(self, session: Session, callback: Callable[[], None]) -> bool:
        """Call back once the client has got all that it was sent; False: it has no session."""
        if not session.is_open() or session.connection is None:
            return False
        seq = session.wait_for_flush(callback)
        session.send(MClientSession(op=SessionOp.FLUSHMSG, seq=seq))
        return True

    def finish_flush(self, session: Session, seq: int) -> None:
        """The client says that it has got what was sent up to `seq`."""
        for callback in session.finish_flush(seq):
            self.rank.queue.push(callback)

    # -- the rank ----------------------------------------------------------------------------

    def note_request(self, mut: Mutation, session: Session, tid: int, created: int = 0) -> None:
        """A request is done by this mutation: remembered until the client has its reply."""
        session.add_completed_request(tid, created)
        mut.segment.sessions.add(session.client)

    def note_flush(self, mut: Mutation, session: Session, tid: int, oldest: int = 0) -> None:
        """A client's flush of capabilities is done by this mutation."""
        session.add_completed_flush(tid)
        mut.blob.client_flushes.append((MetaReqId(session.name, tid), oldest))
        mut.segment.sessions.add(session.client)

    def force_readonly(self) -> None:
        """Tell all clients that nothing can be changed any more."""
        for session in self.rank.sessionmap:
            if session.is_open() or session.is_stale():
                session.send(MClientSession(op=SessionOp.FORCE_RO))

    def handle_osd_map(self) -> None:
        """A newer OSD map: clients may be fenced."""
        if self.rank.state >= State.RECONNECT:
            self.apply_blocklist()

    def apply_blocklist(self) -> int:
        """End the sessions of clients that are fenced; how many there were."""
        return self.evictor.apply_blocklist()

    def update_required_client_features(self) -> None:
        """Sessions of clients that lack a feature that is required now are evicted."""
        self.evictor.evict_lacking_features()

    def find_idle_sessions(self) -> None:
        """Sessions that were silent for too long become stale or are ended; called by the tick."""
        self.evictor.find_idle()

    def evict_cap_revoke_non_responders(self) -> None:
        """Clients that do not give back what they were told to are evicted, if that is wished."""
        self.evictor.evict_late_revoking()

    async def evict_all(self) -> None:
        """Close all sessions: the rank stops. Returns when that is safe."""
        self.terminating = True
        try:
            for session in self.rank.sessionmap:
                if session.state not in (
                    SessionState.CLOSING,
                    SessionState.KILLING,
                    SessionState.CLOSED,
                ):
                    self.closing.journal_close(session, SessionState.CLOSING)
            await self.rank.mdlog.wait_safe()
            while self.rank.sessionmap.have_unclosed_sessions():
                await self.closing.gone.wait()
        finally:
            self.terminating = False

    def recall_client_state(
        self,
        *,
        steady: bool = False,
        enforce_max: bool = False,
        enforce_liveness: bool = False,
        trim: bool = False,
        flushed: Callable[[], None] | None = None,
    ) -> tuple[bool, int]:
        """Tell clients to give capabilities back; see `Recall.recall`."""
        return self.recall.recall(
            steady=steady,
            enforce_max=enforce_max,
            enforce_liveness=enforce_liveness,
            trim=trim,
            flushed=flushed,
        )

    # -- reconnecting, for the states of a rank ----------------------------------------------

    def reconnect_start(self) -> None:
        """Every open session has mds_reconnect_timeout from now on to come back."""
        self.reconnect.start()
        self.waiters.state_changed()

    async def reconnect_wait(self) -> None:
        """Until all have come back or were given up."""
        await self.reconnect.wait()

    def reconnect_status(self) -> dict[str, Any]:
        """For `status`."""
        return self.reconnect.status()

    async def rejoin_caps(self, progress: Any) -> None:
        """Open the inodes that clients have claimed, and give them their capabilities."""
        await self.reconnect.rejoin(progress)

    def num_pending_reclaim(self) -> int:
        """Sessions that wait to be taken over by another client."""
        return len(self.reclaim.gather)

    async def wait_reclaimed(self) -> None:
        """Until there are none."""
        self.waiters.state_changed()
        await self.reclaim.wait()

    # -- commands ----------------------------------------------------------------------------

    def dump(self, session_filter: SessionFilter, *, cap_dump: bool = False) -> list[Any]:
        """`session ls`."""
        return [
            dump_session(session, cap_dump=cap_dump)
            for session in self.rank.sessionmap
            if session.name.type == CLIENT and session_filter.match(session)
        ]
