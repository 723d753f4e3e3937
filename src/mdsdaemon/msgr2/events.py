"""What `Wire.next_event` hands out, in the order in which the peer caused it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.records import define

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.msgr2.payloads import ClientIdent, Reconnect
    from mdsdaemon.msgr2.session import SessionPolicy
    from mdsdaemon.types.entity import EntityAddr


@define
class HelloReceived:
    """The peer's type, and the address under which it sees us (`my_addr`).

    A wire whose endpoint has no address yet has taken `my_addr` over before this event.
    """

    peer_type: int
    my_addr: EntityAddr


@define
class Authenticated:
    """Both signatures were right. `identity` is None on the side that connected."""

    global_id: int
    con_mode: int
    identity: PeerIdentity | None


@define
class AuthRefused:
    """An accepted peer was refused with `result` (-errno), and told so; it may try again.

    `reason` is for our log; the peer does not learn it.
    """

    result: int
    reason: str


@define
class NeedDecision:
    """A peer that we accepted asks for a session: `Registry.decide(event)`, `Wire.apply(decision)`.

    The wire reads nothing more until then.
    """

    ident: ClientIdent | Reconnect
    peer_type: int
    policy: SessionPolicy
    identity: PeerIdentity


@define
class RemoteReset:
    """The peer has forgotten the session; what was queued or unacked is gone on our side too."""


@define
class Ready:
    """Messages flow on `Wire.session`.

    `accepted`: the peer connected to us. `reconnected`: an earlier session goes on.
    """

    accepted: bool
    reconnected: bool


MessageReceived = MessageFrame
"""A message, in order, at most once. The event is the frame itself."""


@define
class KeepaliveReceived:
    """The peer's own time in nanoseconds; the answer is already in `data_to_send`."""

    stamp: int


@define
class KeepaliveAcked:
    """The time in nanoseconds that our `send_keepalive(now)` carried."""

    stamp: int


@define
class Waited:
    """The peer is connecting to us and wants us to wait for that: this socket is finished.

    Close it and call `Session.fault()`, which answers with a long back-off.
    """


Event = (
    HelloReceived
    | Authenticated
    | AuthRefused
    | NeedDecision
    | RemoteReset
    | Ready
    | MessageFrame
    | KeepaliveReceived
    | KeepaliveAcked
    | Waited
)
