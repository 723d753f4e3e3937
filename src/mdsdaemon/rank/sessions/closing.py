"""Closing and killing sessions.

Behaviour: ceph/ceph, src/mds/Server.cc (journal_close_session, _session_logged, kill_session)
(Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.tables.purge_inos import purge_numbers
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.journal import ESession

if TYPE_CHECKING:
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.rank.sessions.sessions import Sessions


class Closing:
    """How sessions end.

    Attributes:
        gone: opens whenever one is gone.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rank = sessions.rank
        self.gone = sessions.rank.queue.gate()

    def request(self, session: Session, msg: MClientSession) -> None:
        """The client wants its session closed."""
        log = self.rank.log
        if session.state in (SessionState.CLOSED, SessionState.CLOSING, SessionState.KILLING):
            log.debug("%s is %s, dropping close", session, session.state.name)
            return
        if msg.seq < session.cap_push_seq:
            log.debug("old push seq %d < %d, dropping", msg.seq, session.cap_push_seq)
            return
        if msg.seq != session.cap_push_seq:
            self.rank.services.clog.warn(
                f"incorrect push seq {msg.seq} != {session.cap_push_seq}, dropping from client :"
                f" {session.human_name}"
            )
            return
        self.journal_close(session, SessionState.CLOSING)

    def kill(self, session: Session, on_safe: Callable[[], None] | None = None) -> None:
        """End a session without asking the client; `on_safe` is called when it is gone."""
        if session.state in (SessionState.OPENING, SessionState.OPEN, SessionState.STALE):
            self.journal_close(session, SessionState.KILLING, on_safe)
        elif on_safe is not None:
            mdlog = self.rank.mdlog
            closed = session.is_closed()
            mdlog.when_safe(mdlog.safe_pos if closed else mdlog.write_pos, on_safe)

    def journal_close(
        self,
        session: Session,
        state: SessionState,
        on_safe: Callable[[], None] | None = None,
    ) -> None:
        """Journal that the session ends; its inode numbers are free or to be purged from now on."""
        rank = self.rank
        seq = rank.sessionmap.set_state(session, state)
        version = rank.sessionmap.mark_closed(session)
        free = session.free_prealloc_inos.as_dict()
        purge = session.delegated_inos.as_dict()
        session.prealloc_inos.clear()
        session.free_prealloc_inos.clear()
        session.delegated_inos.clear()
        event = ESession(
            stamp=rank.now(),
            client_inst=session.info.inst,
            open=False,
            cmapv=version,
            inos_to_free=free,
            inotablev=rank.inotable.release(free) if free else 0,
            inos_to_purge=purge,
        )
        segment = rank.mdlog.segment
        end = self.sessions.submit(event)
        segment.purging.union(purge)

        def logged() -> None:
            self._logged(session, seq, purge, segment)
            if on_safe is not None:
                on_safe()

        rank.mdlog.when_safe(end, logged)
        rank.server.kill_requests(session)
        self.sessions.finish_flush(session, session.cap_push_seq)
        rank.mdlog.flush()

    def _logged(
        self, session: Session, seq: int, purge: dict[int, int], segment: LogSegment
    ) -> None:
        rank = self.rank
        if purge and rank.is_serving():
            purge_numbers(rank, purge, segment)
        if session.state_seq != seq:
            rank.log.debug("%s was opened anew before it was closed", session)
            return
        killing = session.is_killing()
        rank.locker.remove_client(session, kill=killing)
        self.sessions.reconnect.forget(session)
        self.sessions.reclaim.forget(session)
        session.drop_held()
        con = session.connection
        if con is not None:
            if killing:
                con.mark_down()
            else:
                # a fault ends it from now on: the client knows then that it was closed
                con.mark_disposable()
                session.send(MClientSession(op=SessionOp.CLOSE))
        if killing:
            session.connection = None
        rank.sessionmap.set_state(session, SessionState.CLOSED)
        rank.sessionmap.remove_session(session)
        session.clear()
        self.gone.open()
