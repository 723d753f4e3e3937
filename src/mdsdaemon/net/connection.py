"""A connection: what the rest of the program holds of a peer, over any number of sockets.

One task per connection runs `Connection.run` in the messenger's connection nursery: it waits in
standby or for a back-off, connects, shakes hands, moves messages, and decides what a fault means.
A socket that the peer opened is brought by `adopt`. Calls of other tasks (`send_message`,
`mark_down`, `adopt`) are synchronous: they change the session at once and wake or cancel what the
task waits in; callbacks to the dispatchers come from the connection's own task only.

Behaviour: ceph/ceph, src/msg/async/AsyncConnection.cc, ProtocolV2.cc (Pacific)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.encoding import DecodeError
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.msgr2.auth import AuthError
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import (
    KeepaliveAcked,
    KeepaliveReceived,
    MessageReceived,
    Ready,
    RemoteReset,
    Waited,
)
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.session import FaultKind, SessionState
from mdsdaemon.msgr2.wire import Wire
from mdsdaemon.net.budget import Budget
from mdsdaemon.net.dispatcher import DaemonFault
from mdsdaemon.net.link import Link, LinkClosed
from mdsdaemon.net.stream import ConnectError
from mdsdaemon.types.entity import EntityAddrVec, PeerName, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.messages.base import Message
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.msgr2.events import Event
    from mdsdaemon.msgr2.session import Session
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.net.policy import Policy

_NETWORK_FAULTS = (
    LinkClosed,
    ConnectError,
    ProtocolError,
    AuthError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


class _Terminal(Exception):
    """The connection ends for good, whatever its policy; the text says why."""


class Outgoing:
    """A message in a session's queue; it is encoded when the peer's features are known."""

    __slots__ = ("msg", "priority")

    def __init__(self, msg: Message) -> None:
        self.msg = msg
        self.priority = msg.priority

    def frame(self, features: int) -> MessageFrame:
        """The message as msgr2 carries it to a peer with `features`."""
        msg = self.msg
        version, compat, front = encode_message(msg, features)
        return MessageFrame(
            type=msg.TYPE,
            front=front,
            middle=msg.middle,
            data=msg.data,
            tid=msg.tid,
            priority=msg.priority,
            version=version,
            compat_version=compat,
        )


class Connection:
    """See the module. Made by `Messenger`.

    Attributes:
        peer_type, peer_addrs, peer_global_id: of the peer, as far as known.
        peer_identity: who the peer has proved to be, when it connected to us; else None.
        policy: the rules towards peers of this type.
        session: free for the dispatchers (Ceph's `priv`).
        last_keepalive, last_keepalive_ack: Trio's clock: when the peer asked last for a sign of
            life; when the latest such question of ours that it answered was asked.
    """

    is_loopback = False

    def __init__(
        self, messenger: Messenger, policy: Policy, peer_type: int, peer_addrs: EntityAddrVec
    ) -> None:
        self.messenger = messenger
        self.policy = policy
        self.peer_type = peer_type
        self.peer_addrs = peer_addrs
        self.peer_global_id = 0
        self.peer_identity: PeerIdentity | None = None
        self.session: Any = None
        self.last_keepalive = self.last_keepalive_ack = 0.0
        self.con_mode = 0
        self.serial = messenger.next_serial()
        self._session: Session | None = None
        self._closed = False
        self._reset_due = False
        self._link: Link | None = None
        self._adopted: Link | None = None
        self._resting = False
        self._delay = 0.0
        self._current_size = 0
        self._budget = Budget(policy, messenger.dispatch_throttle)
        self._scope = trio.CancelScope()
        self._changed = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self.is_connected else "connecting"
        return f"<Connection {self.serial} to {self.peer} {state}>"

    @property
    def peer(self) -> str:
        """The peer's name and addresses, for people."""
        name = self.peer_name
        who = type_name(self.peer_type) if name is None else str(name)
        return f"{who} {self.peer_addrs}"

    @property
    def peer_name(self) -> PeerName | None:
        """The peer's type and number, once known."""
        return None if self._session is None else self._session.peer_name

    @property
    def features(self) -> int:
        """What both ends understand; 0 until the first handshake is over."""
        return 0 if self._session is None else self._session.features

    @property
    def is_open(self) -> bool:
        """Messages may be sent: they go out now or after the next (re)connection."""
        return not self._closed

    @property
    def is_connected(self) -> bool:
        """Messages flow."""
        return self._session is not None and self._session.state is SessionState.READY

    @property
    def queued(self) -> int:
        """Messages that the peer has not taken yet."""
        return 0 if self._session is None else self._session.queued

    # -- called from anywhere ------------------------------------------------------------

    def send_message(self, msg: Message) -> bool:
        """Queue `msg`; it is encoded later, so leave it alone from now on.

        False: the connection is closed, the message is dropped.
        """
        session = self._session
        if self._closed or session is None:
            return False
        limit = self.messenger.options.max_queued_messages
        if session.has_queued and session.queued >= limit:
            self.finish(f"{session.queued} messages wait and the peer takes none", reset=True)
            return False
        session.send(Outgoing(msg))
        self.messenger.note_sent(self, msg)
        self._kick()
        return True

    def push(self) -> None:
        """Hand what is queued to the kernel now, if the peer can take it.

        For the middle of a dispatch: the peer goes on while the rest is done.
        """
        if self._link is not None and self.is_connected:
            self._link.push()

    def send_keepalive(self) -> None:
        """Ask the peer for a sign of life, now or as soon as the connection is up again."""
        if self._session is None or self._closed:
            return
        if self._link is not None and self.is_connected:
            self._link.send_keepalive()
        else:
            self._session.keepalive_wanted = True

    def mark_down(self) -> None:
        """Close for good and drop the queue, without telling the dispatchers."""
        self.finish("marked down", reset=False)

    def mark_disposable(self) -> None:
        """From now on a fault ends this connection, whatever its policy."""
        if self._session is not None:
            self._session.lossy = True

    def retain(self) -> Callable[[], None]:
        """Inside `ms_dispatch`: keep the message's share of the policy's throttles.

        The peer is not read beyond them until the returned function is called; once.
        """
        if self._link is None or self._link.retained:
            raise RuntimeError("retain() is for the message being dispatched, and once")
        self._link.retained = True
        return self._budget.releaser(self._current_size)

    # -- called by the messenger and the acceptor ----------------------------------------

    def attach(self, session: Session) -> None:
        """Serve `session` from now on."""
        self._session = session
        session.owner = self

    def adopt(self, link: Link, identity: PeerIdentity | None, global_id: int) -> None:
        """Go on over a socket that the peer opened; `link.wire` has the session already."""
        if self._adopted is not None:
            self._adopted.close()
        self._adopted = link
        self.peer_identity = identity
        self.peer_global_id = global_id
        self._scope.cancel()

    def finish(self, reason: str, *, reset: bool, level: int = logging.DEBUG) -> None:
        """Close for good. With `reset` the dispatchers hear of it from the connection's task."""
        if self._closed:
            return
        self._closed = True
        self._reset_due = reset
        if self._session is not None:
            self._session.close()
            self.messenger.registry.forget(self._session)
        self._log(level, "connection to %s ends: %s", self.peer, reason)
        self.messenger.record("connection.end", con=self.serial, peer=self.peer, reason=reason)
        self._scope.cancel()

    def deliver_reset(self) -> None:
        """Tell the dispatchers of a reset that is due; at most once."""
        if self._reset_due:
            self._reset_due = False
            try:
                self.messenger.deliver_handle_reset(self)
            except DaemonFault:
                raise
            except Exception:
                self.messenger.log.exception("a bug in handling the reset of %s", self.peer)

    async def run(self) -> None:
        """The connection's task; the messenger starts it."""
        self.messenger.record("connection.start", con=self.serial, peer=self.peer)
        try:
            while not self._closed:
                with trio.CancelScope() as self._scope:
                    await self._live()
            self.deliver_reset()
        finally:
            if self._adopted is not None:
                self._adopted.close()
            self.finish("the messenger stops", reset=False)
            self.messenger.connection_ended(self)

    # -- one round: wait, connect, talk ---------------------------------------------------

    async def _live(self) -> None:
        link = None
        try:
            if self._adopted is None:
                await self._wait_to_connect()
                link = await self._open_link()
            else:
                link, self._adopted = self._adopted, None
            if link is None:
                return
            self._link = link
            await self._shake_hands(link)
            await link.pump(
                self._deliver,
                self._handle,
                self._budget,
                lambda: self.messenger.options.ms_connection_idle_timeout,
            )
        except DaemonFault:
            raise
        except Exception as exc:
            if not self._closed and self._adopted is None:
                self._fault(exc, link)
        finally:
            self._link = None
            if link is not None:
                link.close()

    async def _wait_to_connect(self) -> None:
        session = self._session
        assert session is not None
        if self._resting:
            while not session.wants_connect:
                await self._changed.park()
            self._resting = False
        if self._delay:
            await trio.sleep(self._delay)
            self._delay = 0.0

    async def _open_link(self) -> Link | None:
        """Open a socket; None if meanwhile the peer's own took over or all was called off."""
        session, messenger = self._session, self.messenger
        assert session is not None
        target = self.peer_addrs.msgr2()
        assert target is not None
        try:
            auth = messenger.authenticator.client_session(self.peer_type, self.peer_addrs)
        except AuthError as exc:
            raise _Terminal(f"nothing to authenticate with: {exc}") from exc
        timeout = messenger.options.ms_connection_ready_timeout
        deadline = trio.current_time() + timeout
        with trio.move_on_at(deadline):
            stream = await messenger.transport.open_stream(target)
            if self._closed or self._adopted is not None:
                stream.close()
                return None
            wire = Wire.client(messenger.registry, session, auth, target)
            return Link(stream, wire, deadline, messenger.tally, messenger.outbox)
        raise LinkClosed(f"no connection to {target} within {timeout:g} s")

    async def _shake_hands(self, link: Link) -> None:
        with trio.move_on_at(link.deadline) as scope:
            await link.handshake(self._handle_handshake)
        if scope.cancelled_caught:
            limit = self.messenger.options.ms_connection_ready_timeout
            raise LinkClosed(f"the handshake is not finished after {limit:g} s")

    def _handle_handshake(self, event: Event) -> bool:
        match event:
            case RemoteReset():
                self.messenger.deliver_handle_remote_reset(self)
            case Waited():
                raise LinkClosed("the peer connects to us at the same moment")
            case Ready():
                self._ready(event)
                return True
        return False

    def _ready(self, event: Ready) -> None:
        session, link = self._session, self._link
        assert session is not None
        assert link is not None
        self._delay = 0.0
        self.peer_addrs = session.peer_addrs
        self.con_mode = link.wire.con_mode
        self.last_keepalive_ack = trio.current_time()
        again = "again" if event.reconnected else "now"
        self._log(logging.DEBUG, "connected %s to %s", again, self.peer)
        self.messenger.record("connection.ready", con=self.serial, peer=self.peer)
        if event.accepted:
            self.messenger.deliver_handle_accept(self)
        else:
            self.messenger.deliver_handle_connect(self)

    def _deliver(self, frame: MessageReceived, stamp: float) -> None:
        session = self._session
        assert session is not None
        msg = decode_message(
            frame.type,
            frame.version,
            frame.compat_version,
            frame.front,
            frame.middle,
            frame.data,
            session.features,
        )
        msg.tid = frame.tid
        msg.priority = frame.priority
        msg.source = session.peer_name
        msg.connection = self
        msg.recv_stamp = stamp
        self._current_size = frame.nbytes
        self.messenger.deliver(self, msg)

    def _handle(self, event: RemoteReset | KeepaliveAcked | KeepaliveReceived) -> None:
        match event:
            case KeepaliveAcked():
                self.last_keepalive_ack = event.stamp / 1e9
            case KeepaliveReceived():
                self.last_keepalive = trio.current_time()
            case RemoteReset():
                self.messenger.deliver_handle_remote_reset(self)

    # -- faults --------------------------------------------------------------------------

    def _fault(self, exc: Exception, link: Link | None) -> None:
        """The socket broke, or a message or a dispatcher did: one line, and what comes next."""
        session, options = self._session, self.messenger.options
        assert session is not None
        if isinstance(exc, _Terminal):
            self.finish(str(exc), reset=True, level=logging.WARNING)
            return
        if isinstance(exc, DecodeError):
            self.finish(f"a message does not decode: {exc}", reset=True, level=logging.WARNING)
            return
        if not isinstance(exc, _NETWORK_FAULTS):
            self.messenger.log.error("a bug in serving %s", self.peer, exc_info=exc)
            self.finish(f"a bug: {type(exc).__name__}", reset=True, level=logging.ERROR)
            return
        if isinstance(exc, ConnectError) and exc.refused:
            self._tell_refused()
            if self._closed:
                return
        fault = session.fault(options.ms_initial_backoff, options.ms_max_backoff)
        level = logging.WARNING if isinstance(exc, ProtocolError | AuthError) else logging.INFO
        match fault.kind:
            case FaultKind.RESET:
                self.finish(str(exc), reset=True, level=level)
                return
            case FaultKind.STANDBY:
                if session.policy.server and self._is_not_missed():
                    self.finish(str(exc), reset=True, level=level)
                    return
                self._resting = True
                then = "waits for a message or for the peer"
            case FaultKind.RECONNECT:
                self._delay = fault.delay
                if link is not None and link.ready_at is not None and not fault.delay:
                    # A peer that breaks off as soon as it is ready must not make us spin.
                    since = trio.current_time() - link.ready_at
                    self._delay = max(0.0, options.ms_initial_backoff - since)
                then = f"reconnects in {self._delay:.1f} s"
        self._log(level, "connection to %s broke: %s; %s", self.peer, exc, then)
        self.messenger.record(
            "connection.fault", con=self.serial, peer=self.peer, reason=str(exc), then=then
        )

    def _is_not_missed(self) -> bool:
        try:
            return self.messenger.deliver_handle_rest(self)
        except DaemonFault:
            raise
        except Exception:
            self.messenger.log.exception("a bug in judging whether %s is missed", self.peer)
            return False

    def _tell_refused(self) -> None:
        try:
            self.messenger.deliver_handle_refused(self)
        except DaemonFault:
            raise
        except Exception:
            self.messenger.log.exception("a bug in handling the refusal of %s", self.peer)

    def _kick(self) -> None:
        if self._link is not None:
            self._link.kick()
        elif self._resting:
            self._changed.unpark_all()

    def _log(self, level: int, text: str, *args: object) -> None:
        self.messenger.log.log(level, text, *args)
