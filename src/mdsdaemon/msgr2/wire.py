"""One socket's protocol machine: `receive` bytes, take events, write `data_to_send`.

    wire = Wire.client(registry, session, auth, target_addr)       # or Wire.server(registry, …)
    await stream.send_all(wire.data_to_send())
    while True:
        wire.receive(await stream.receive_some())
        while (event := wire.next_event()) is not None:            # ProtocolError, AuthError
            if isinstance(event, NeedDecision):
                wire.apply(registry.decide(event))                 # look at the decision first
            ...
        if wire.wants_write:
            await stream.send_all(wire.data_to_send())

Frames are parsed one by one in `next_event`, so that a caller who stops taking events also stops
the peer. After an error, or once closed, a wire answers nothing: close the socket, and if the wire
has a `session`, ask `Session.fault()` what comes next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import KeepaliveAcked, KeepaliveReceived
from mdsdaemon.msgr2.frames import FrameLimits
from mdsdaemon.msgr2.handshake_client import ClientHandshake
from mdsdaemon.msgr2.handshake_server import ServerHandshake
from mdsdaemon.msgr2.message import MSG_HEADER2, MessageFrame, Outgoing
from mdsdaemon.msgr2.states import State, Tag, tag_name

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import ClientAuth, PeerIdentity, ServerAuth
    from mdsdaemon.msgr2.events import Event
    from mdsdaemon.msgr2.registry import Decision, Registry
    from mdsdaemon.msgr2.session import Session, SessionPolicy
    from mdsdaemon.types.entity import EntityAddr

_NSEC = 1_000_000_000
_UTIME = Struct("<II")
_SEQ = Struct("<Q")
_MESSAGE, _ACK = int(Tag.MESSAGE), int(Tag.ACK)
_KEEPALIVE2, _KEEPALIVE2_ACK = int(Tag.KEEPALIVE2), int(Tag.KEEPALIVE2_ACK)


class Wire:
    """One socket's protocol machine; made by `Wire.client` or `Wire.server`. See the module."""

    def __init__(self) -> None:
        self._handshake: ClientHandshake | ServerHandshake
        self._events: deque[Event]
        self._keepalive_stamp: int | None = None
        # Only the newest is answered when several came meanwhile: a peer that asks without end
        # and never reads must not fill our memory.
        self._keepalive_answer: bytes | None = None

    @classmethod
    def client(
        cls,
        registry: Registry,
        session: Session,
        auth: ClientAuth,
        target_addr: EntityAddr,
        limits: FrameLimits | None = None,
    ) -> Wire:
        """For a socket that we opened to `target_addr` on behalf of `session`.

        The session counts it as a new attempt; a wire that it had until now is silenced.
        """
        wire = cls()
        wire._adopt(
            ClientHandshake(wire, registry, limits or FrameLimits(), session, auth, target_addr)
        )
        return wire

    @classmethod
    def server(
        cls,
        registry: Registry,
        auth: Callable[[int], ServerAuth],
        policy: Callable[[int], SessionPolicy],
        socket_addr: EntityAddr,
        limits: FrameLimits | None = None,
    ) -> Wire:
        """For a socket that was accepted from `socket_addr`.

        `auth(peer_type)` and `policy(peer_type)` are called once the peer has said what it is.
        """
        wire = cls()
        wire._adopt(
            ServerHandshake(wire, registry, limits or FrameLimits(), auth, policy, socket_addr)
        )
        return wire

    def _adopt(self, handshake: ClientHandshake | ServerHandshake) -> None:
        self._handshake = handshake
        self._events = handshake.events
        self._reader = handshake.reader
        self._writer = handshake.writer

    # ---- what it has come to ----

    @property
    def state(self) -> State:
        """Where the wire stands."""
        return self._handshake.state

    @property
    def is_ready(self) -> bool:
        """Do messages flow?"""
        return self._handshake.state is State.READY

    @property
    def closed(self) -> bool:
        """Is this socket finished?"""
        return self._handshake.state is State.CLOSED

    @property
    def session(self) -> Session | None:
        """The session that this wire serves: from the start for a client, from `apply` for a
        server, and None once another wire has taken the session over.
        """
        return self._handshake.session

    @property
    def identity(self) -> PeerIdentity | None:
        """Who the peer has proved to be, on the side that accepted."""
        return self._handshake.identity

    @property
    def peer_type(self) -> int:
        """The peer's entity type; 0 until an accepted peer has said HELLO."""
        return self._handshake.peer_type

    @property
    def con_mode(self) -> int:
        """CEPH_CON_MODE_*; 0 until authentication is done."""
        return self._handshake.con_mode

    # ---- reading ----

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes from the socket, in any pieces."""
        if self._handshake.state is not State.CLOSED:
            self._reader.feed(data)

    def next_event(self) -> Event | None:
        """The next thing the peer did; None until more bytes arrive (or a decision is applied).

        Raises:
            ProtocolError: the peer broke the protocol; the wire is closed.
            AuthError: authentication failed; the wire is closed.
        """
        events = self._events
        if events:
            return events.popleft()
        handshake = self._handshake
        try:
            if handshake.state is not State.READY:
                while not events and handshake.advance():
                    pass
                if events:
                    return events.popleft()
                if not self.is_ready:
                    return None
            session = handshake.session
            assert session is not None
            while (frame := self._reader.next()) is not None:
                tag, segments = frame
                if tag == _MESSAGE:
                    message = _message(segments)
                    session.acked(message.ack_seq)
                    if session.received(message.seq):
                        return message
                elif tag == _ACK:
                    (seq,) = _fixed(_SEQ, tag, segments[0])
                    session.acked(seq)
                else:
                    return self._keepalive(tag, segments[0])
        except BaseException:
            self._silence()
            raise
        return None

    def _keepalive(self, tag: int, payload: bytes) -> Event:
        stamp = payload[: _UTIME.size]
        seconds, nanoseconds = _fixed(_UTIME, tag, stamp)
        if tag == _KEEPALIVE2:
            self._keepalive_answer = stamp
            return KeepaliveReceived(seconds * _NSEC + nanoseconds)
        return KeepaliveAcked(seconds * _NSEC + nanoseconds)

    def apply(self, decision: Decision) -> None:
        """Carry out what `Registry.decide` answered to NeedDecision.

        With Accept and Reuse the wire is attached to the session, and `Ready` follows.

        Raises:
            ProtocolError: the decision was Refuse; the wire is closed.
        """
        handshake = self._handshake
        assert isinstance(handshake, ServerHandshake)
        try:
            handshake.apply(decision)
        except ProtocolError:
            self._silence()
            raise

    # ---- writing ----

    def send_message(self, message: Outgoing) -> bool:
        """Queue on the session (as `Session.send`); only while the wire has one."""
        session = self._handshake.session
        return session is not None and session.send(message)

    def send_keepalive(self, now: float) -> None:
        """Ask for a sign of life with our time `now` (seconds); it goes out once ready."""
        self._keepalive_stamp = round(now * 1_000_000) * 1000
        session = self._handshake.session
        if session is not None:
            session.keepalive_wanted = True

    @property
    def wants_write(self) -> bool:
        """True if `data_to_send` would have something."""
        if self._writer.nbytes:
            return True
        handshake = self._handshake
        session = handshake.session
        if handshake.state is not State.READY or session is None:
            return False
        return bool(
            session.ack_left
            or session.can_write
            or self._keepalive_stamp is not None
            or self._keepalive_answer is not None
        )

    def data_to_send(self, max_bytes: int = 1 << 18) -> bytes:
        """What to write to the socket now; b"" if nothing.

        Frames are batched until `max_bytes` are reached (one frame may exceed that).
        """
        writer = self._writer
        handshake = self._handshake
        session = handshake.session
        if handshake.state is State.READY and session is not None:
            if self._keepalive_answer is not None:
                writer.write(_KEEPALIVE2_ACK, self._keepalive_answer)
                self._keepalive_answer = None
            if self._keepalive_stamp is not None:
                writer.write(_KEEPALIVE2, _UTIME.pack(*divmod(self._keepalive_stamp, _NSEC)))
                self._keepalive_stamp = None
                session.keepalive_wanted = False
            while writer.nbytes < max_bytes and (item := session.next_to_write()) is not None:
                seq, frame = item
                writer.write(
                    _MESSAGE,
                    MSG_HEADER2.pack(
                        seq,
                        frame.tid,
                        frame.type,
                        frame.priority,
                        frame.version,
                        0,
                        frame.data_off,
                        session.in_seq,
                        frame.flags,
                        frame.compat_version,
                        frame.reserved,
                    ),
                    frame.front,
                    frame.middle,
                    frame.data,
                )
                session.ack_left = 0
            if session.ack_left:
                writer.write(_ACK, _SEQ.pack(session.in_seq))
                session.ack_left = 0
        return writer.take() if writer.nbytes else b""

    @property
    def incoming_bytes(self) -> int:
        """Front, middle and data bytes of the message whose beginning has arrived; 0 if none."""
        return self._reader.incoming_bytes

    @property
    def has_input(self) -> bool:
        """Bytes were received that no event has told of yet."""
        return self._reader.buffered > 0

    # ---- the end ----

    def close(self) -> None:
        """Say and hear nothing more, and leave the session. The session is not told."""
        self._silence()
        self._handshake.session = None

    def _silence(self) -> None:
        self._handshake.enter(State.CLOSED)
        self._events.clear()
        self._reader.clear()
        self._writer.take()


def _message(segments: list[bytes]) -> MessageFrame:
    seq, tid, kind, priority, version, _, data_off, ack_seq, flags, compat, reserved = (
        MSG_HEADER2.unpack(segments[0])
    )
    count = len(segments)
    return MessageFrame(
        kind,
        segments[1] if count > 1 else b"",
        segments[2] if count > 2 else b"",
        segments[3] if count > 3 else b"",
        tid,
        priority,
        version,
        compat,
        data_off,
        flags,
        seq,
        ack_seq,
        reserved,
    )


def _fixed(layout: Struct, tag: int, payload: bytes) -> tuple[int, ...]:
    if len(payload) < layout.size:
        raise ProtocolError(f"frame {tag_name(tag)} of {len(payload)} bytes is too short")
    return layout.unpack_from(payload)
