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

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import ClientAuth, PeerIdentity, ServerAuth
    from mdsdaemon.msgr2.events import Event
    from mdsdaemon.msgr2.frames import FrameLimits
    from mdsdaemon.msgr2.message import Outgoing
    from mdsdaemon.msgr2.registry import Decision, Registry
    from mdsdaemon.msgr2.session import Session, SessionPolicy
    from mdsdaemon.types.entity import EntityAddr


class Wire:
    """See the module. Attributes to read: `session`, `identity`, `con_mode`, `is_ready`, `closed`."""

    session: Session | None
    identity: PeerIdentity | None
    con_mode: int
    peer_type: int

    @classmethod
    def client(
        cls,
        registry: Registry,
        session: Session,
        auth: ClientAuth,
        target_addr: EntityAddr,
        limits: FrameLimits | None = None,
    ) -> Wire:
        """For a socket that we opened to `target_addr` on behalf of `session`."""
        raise NotImplementedError

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
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Bytes from the socket, in any pieces."""
        raise NotImplementedError

    def next_event(self) -> Event | None:
        """The next thing the peer did; None until more bytes arrive (or a decision is applied).

        Raises:
            ProtocolError: the peer broke the protocol; the wire is closed.
            AuthError: authentication failed; the wire is closed.
        """
        raise NotImplementedError

    def apply(self, decision: Decision) -> None:
        """Carry out what `Registry.decide` answered to NeedDecision.

        With Accept and Reuse the wire is attached to the session, and `Ready` follows.

        Raises:
            ProtocolError: the decision was Refuse, or there were too many attempts.
        """
        raise NotImplementedError

    def send_message(self, message: Outgoing) -> bool:
        """Queue on the session (as `Session.send`)."""
        raise NotImplementedError

    def send_keepalive(self, now: float) -> None:
        """Ask for a sign of life with our time `now` (seconds); sent once ready."""
        raise NotImplementedError

    def data_to_send(self, max_bytes: int = 1 << 18) -> bytes:
        """What to write to the socket now; b"" if nothing.

        Frames are batched until `max_bytes` are reached (one frame may exceed that).
        """
        raise NotImplementedError

    @property
    def wants_write(self) -> bool:
        """True if `data_to_send` would have something."""
        raise NotImplementedError

    @property
    def incoming_bytes(self) -> int:
        """Front, middle and data bytes of the message whose beginning has arrived; 0 if none."""
        raise NotImplementedError

    def close(self) -> None:
        """Say and hear nothing more. The session is not told."""
        raise NotImplementedError
