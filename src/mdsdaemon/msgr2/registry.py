"""Sessions by peer address, and what to answer a peer that asks for one.

`decide` only reads; `Wire.apply` carries its decision out.

In Ceph a session that takes over another connection's socket is "replacing" while two threads hand
it over; here that is one synchronous step, so that state and its answers do not occur.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc (handle_client_ident, handle_reconnect,
handle_existing_connection, reuse_connection), AsyncMessenger.cc (accept_conn) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from mdsdaemon.msgr2.session import Session, SessionPolicy, SessionState

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.msgr2.endpoint import Endpoint
    from mdsdaemon.msgr2.events import NeedDecision
    from mdsdaemon.types.entity import EntityAddr, EntityAddrVec


@frozen
class Accept:
    """A new `session`. `replaced`: a lossy session of the same peer, closed in favour of it."""

    session: Session
    replaced: Session | None = None
    registered: bool = True


@frozen
class Reuse:
    """The known `session` takes over this socket; its wire until now, if any, is silenced.

    `reconnected`: as the same session; else a new one begins, and with `remote_reset` everything
    queued for the old one is dropped.
    """

    session: Session
    reconnected: bool
    remote_reset: bool = False


@frozen
class AnswerWait:
    """Our own attempt to connect wins. `session` follows it through even with nothing to send."""

    session: Session


@frozen
class AnswerRetry:
    """The peer's connect_seq is older than ours."""

    connect_seq: int


@frozen
class AnswerRetryGlobal:
    """The peer's global_seq is older than one we have seen."""

    global_seq: int


@frozen
class AnswerReset:
    """There is no such session here."""

    full: bool


@frozen
class AnswerMissingFeatures:
    """The peer lacks features that the policy requires (a mask)."""

    features: int


@frozen
class Refuse:
    """Close the socket without an answer."""

    reason: str


Decision = (
    Accept
    | Reuse
    | AnswerWait
    | AnswerRetry
    | AnswerRetryGlobal
    | AnswerReset
    | AnswerMissingFeatures
    | Refuse
)


@define(eq=False)
class Registry:
    """The sessions of one messenger."""

    endpoint: Endpoint
    _sessions: dict[EntityAddrVec, Session] = field(factory=dict, init=False, repr=False)

    def lookup(self, addrs: EntityAddrVec) -> Session | None:
        """The open session with the peer at `addrs`."""
        raise NotImplementedError

    def connect_session(
        self, peer_type: int, addrs: EntityAddrVec, policy: SessionPolicy
    ) -> Session:
        """The session with the peer at `addrs`: the open one, or a new one in CONNECTING."""
        raise NotImplementedError

    def sessions(self) -> list[Session]:
        """All registered sessions."""
        raise NotImplementedError

    def forget(self, session: Session) -> None:
        """Drop a session that is closed (no error if it is not, or no longer, registered)."""
        raise NotImplementedError

    def decide(self, request: NeedDecision) -> Decision:
        """What to answer CLIENT_IDENT or SESSION_RECONNECT; changes nothing."""
        raise NotImplementedError
