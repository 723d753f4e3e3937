"""Messages of clients: to whom they go, and when they have to wait.

    ms_dispatch → handler by type → end_of_dispatch

While the monitors do not answer, or more is journaled than RADOS has taken, messages are deferred,
in order. Requests wait until the rank is active; those that are to be replayed have a queue of
their own.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, _dispatch, handle_message; src/mds/Server.cc, dispatch
(Pacific)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_caps import MClientCapRelease, MClientCaps, MClientLease
from mdsdaemon.messages.client_misc import MClientMetrics, MClientReclaim, MClientReconnect
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.types.entity import CLIENT, type_name

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank

MAX_WAITING = 65536
"""Messages that may wait at a time: deferred, until the rank is active, to be replayed, and for one
client to be sent; a client over it is cut off."""

Handler = Callable[[Any], None]


class RankDispatch:
    """Gives each message to the part of the rank that it is for."""

    def __init__(self, rank: MDSRank) -> None:
        self._rank = rank
        self._handlers: dict[type[Message], Handler] = {}
        self._deferred: deque[tuple[Handler, Message]] = deque()
        self._awaits_room = False
        self._waiting: list[MClientRequest] = []
        self._replay: deque[MClientRequest] = deque()

    def connect(self) -> None:
        """The parts exist now."""
        rank = self._rank
        self._handlers = {
            MClientSession: rank.sessions.handle_client_session,
            MClientReconnect: rank.sessions.handle_client_reconnect,
            MClientReclaim: rank.sessions.handle_client_reclaim,
            MClientRequest: self._handle_request,
            MClientCaps: rank.locker.handle_client_caps,
            MClientCapRelease: rank.locker.handle_client_cap_release,
            MClientLease: rank.locker.handle_client_lease,
            MClientMetrics: self._ignore,
        }

    def ms_dispatch(self, msg: Message) -> bool:
        """False when no part of a rank handles such a message."""
        handler = self._handlers.get(type(msg))
        if handler is None:
            return False
        rank = self._rank
        if rank.leaving:
            return True
        con = msg.connection
        if con is not None:
            if con.peer_type != CLIENT:
                rank.log.warning(
                    "filtered out %s from %s at %s: only clients may send it",
                    type(msg).__name__,
                    type_name(con.peer_type),
                    con.peer_addrs,
                )
                return True
            session = con.session
            if session is not None:
                session.last_seen = now = trio.current_time()
                rank.leisure.asked(now)
                if session.held >= MAX_WAITING:
                    self._cut_off(msg)
                    return True
        if self._deferred or self._has_to_wait():
            self._defer(handler, msg)
        else:
            rank.queue.hold()
            try:
                handler(msg)
                rank.end_of_dispatch()
            finally:
                rank.queue.release()
        return True

    # -- deferred ----------------------------------------------------------------------------

    def _has_to_wait(self) -> bool:
        rank = self._rank
        return rank.services.beacon.is_laggy() or not rank.mdlog.has_room

    def _defer(self, handler: Handler, msg: Message) -> None:
        if len(self._deferred) >= MAX_WAITING:
            self._cut_off(msg)
            return
        self._deferred.append((handler, msg))
        self.advance()

    def advance(self) -> None:
        """Handle what was deferred, as long as nothing has to wait."""
        rank = self._rank
        while self._deferred and not rank.leaving and not self._has_to_wait():
            handler, msg = self._deferred.popleft()
            handler(msg)
            rank.end_of_dispatch()
        if self._deferred and not self._awaits_room and not rank.mdlog.has_room:
            self._awaits_room = True
            rank.mdlog.when_room(self._room)

    def _room(self) -> None:
        self._awaits_room = False
        self.advance()

    # -- requests ----------------------------------------------------------------------------

    def _handle_request(self, msg: MClientRequest) -> None:
        rank = self._rank
        if rank.state == State.ACTIVE:
            rank.server.handle_client_request(msg)
        else:
            self._handle_early(msg)

    def _handle_early(self, msg: MClientRequest) -> None:
        """A request while the rank is not active: replayed, or kept until it is."""
        rank = self._rank
        if rank.state == State.RECONNECT or rank.services.beacon.want_state == State.RECONNECT:
            session = rank.sessions.session_of(msg)
            if session is None or not session.is_open():
                rank.log.info("session is closed, dropping %s", msg)
                return
            if rank.server.wants_replay(msg, session):
                if len(self._replay) >= MAX_WAITING:
                    self._cut_off(msg)
                else:
                    self._replay.append(msg)
                return
        if rank.state == State.STOPPING:
            rank.server.handle_client_request(msg)
        elif len(self._waiting) >= MAX_WAITING:
            self._cut_off(msg)
        else:
            self._waiting.append(msg)

    @property
    def num_replay(self) -> int:
        """Requests that are to be replayed."""
        return len(self._replay)

    def replay_one(self) -> bool:
        """Serve the next replayed request; False when there is none."""
        if not self._replay:
            return False
        self._rank.server.handle_client_request(self._replay.popleft(), replay=True)
        return True

    def go_active(self) -> None:
        """The rank is active: what waited for it is served."""
        rank = self._rank
        rank.active.open()
        waiting, self._waiting = self._waiting, []
        for msg in waiting:
            rank.queue.push(lambda msg=msg: rank.server.handle_client_request(msg))  # type: ignore[misc]

    def _ignore(self, msg: Message) -> None:
        """Clients tell how they fare; nothing gathers that, so `fs perf stats` shows nothing."""

    def _cut_off(self, msg: Message) -> None:
        con = msg.connection
        if con is not None:
            self._rank.log.warning(
                "%d messages wait already; the connection to %s is closed",
                MAX_WAITING,
                con.peer_addrs,
            )
            con.mark_down()
