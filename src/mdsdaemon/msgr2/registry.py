"""Sessions by peer address, and what to answer a peer that asks for one.

`decide` only reads; `Wire.apply` carries its decision out.

In Ceph a session that takes over another connection's socket is "replacing" while two threads hand
it over; here that is one synchronous step, so that state and its answers do not occur.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc (handle_client_ident, handle_reconnect,
handle_existing_connection, reuse_connection), AsyncMessenger.cc (accept_conn) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.msgr2.endpoint import Endpoint
from mdsdaemon.msgr2.payloads import MSGR2_REQUIRED, ClientIdent, Reconnect
from mdsdaemon.msgr2.session import Session, SessionPolicy, SessionState
from mdsdaemon.records import define, field, frozen
from mdsdaemon.types.entity import CLIENT, EntityAddr, EntityAddrVec

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.msgr2.events import NeedDecision


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
    """Our own attempt to connect wins; `follow_through` makes it even with nothing to send."""

    follow_through: Session | None = None


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
    """The sessions of one messenger, by the peer addresses under which they were made."""

    endpoint: Endpoint
    _sessions: dict[EntityAddrVec, Session] = field(factory=dict, init=False, repr=False)

    def lookup(self, addrs: EntityAddrVec) -> Session | None:
        """The open session with the peer at `addrs`."""
        session = self._sessions.get(addrs)
        if session is not None and session.state is SessionState.CLOSED:
            del self._sessions[addrs]
            return None
        return session

    def connect_session(
        self, peer_type: int, addrs: EntityAddrVec, policy: SessionPolicy
    ) -> Session:
        """The session with the peer at `addrs`: the open one, or a new one in CONNECTING."""
        session = self.lookup(addrs)
        if session is None:
            session = self._sessions[addrs] = Session(peer_type, addrs, policy)
        return session

    def sessions(self) -> list[Session]:
        """All registered sessions, closed ones included until they are forgotten."""
        return list(self._sessions.values())

    def register(self, session: Session) -> None:
        """Make an accepted session known (called by `Wire.apply`)."""
        self._sessions[session.peer_addrs] = session

    def forget(self, session: Session) -> None:
        """Drop a session that is closed (no error if it is not, or no longer, registered)."""
        for addrs in (session.peer_addrs, session.key):
            if self._sessions.get(addrs) is session:
                del self._sessions[addrs]

    def decide(self, request: NeedDecision) -> Decision:
        """What to answer CLIENT_IDENT or SESSION_RECONNECT; changes nothing."""
        if isinstance(request.ident, ClientIdent):
            return self._decide_ident(request, request.ident)
        return self._decide_reconnect(request, request.ident)

    def _decide_ident(self, request: NeedDecision, ident: ClientIdent) -> Decision:
        policy = request.policy
        missing = (policy.features_required | MSGR2_REQUIRED) & ~ident.supported_features
        if missing:
            return AnswerMissingFeatures(missing)
        new = Session(request.peer_type, ident.addrs, policy)
        if policy.server and policy.lossy and not policy.register_lossy_clients:
            return Accept(new, registered=False)
        existing = self.lookup(ident.addrs)
        if existing is None:
            return Accept(new)
        if existing.peer_global_seq > ident.global_seq:
            return Refuse(
                f"global_seq {ident.global_seq} is older than {existing.peer_global_seq} of this"
                " peer's present session"
            )
        if existing.lossy or existing.peer_type != request.peer_type:
            return Accept(new, replaced=existing)
        stranger = _is_stranger(existing, request.identity)
        if existing.client_cookie == ident.cookie:
            # establishing it was interrupted between CLIENT_IDENT and SERVER_IDENT
            return Reuse(existing, reconnected=False, remote_reset=stranger)
        if existing.client_cookie and existing.server_cookie:
            # the peer has forgotten the session that we remember
            return Reuse(existing, reconnected=False, remote_reset=stranger or policy.resetcheck)
        if existing.state in (SessionState.READY, SessionState.STANDBY):
            return Reuse(existing, reconnected=False, remote_reset=stranger)
        # Both of us are connecting to each other: the one with the higher address goes on.
        theirs, mine = _race_key(ident.addrs), _race_key(self.endpoint.addrs)
        if theirs < mine or existing.policy.server:
            return Reuse(existing, reconnected=False, remote_reset=stranger)
        if theirs == mine:
            return Refuse("the peer calls itself by our own address")
        return AnswerWait(follow_through=existing)

    def _decide_reconnect(self, request: NeedDecision, reconnect: Reconnect) -> Decision:
        existing = self.lookup(reconnect.addrs)
        if (
            existing is None
            or existing.peer_type != request.peer_type
            or _is_stranger(existing, request.identity)
        ):
            return AnswerReset(full=True)
        if existing.client_cookie != reconnect.client_cookie:
            return AnswerReset(full=request.policy.resetcheck)
        if existing.server_cookie == 0:
            # We connected, and the SERVER_IDENT that the peer sent was lost.
            return AnswerReset(full=False)
        if existing.peer_global_seq > reconnect.global_seq:
            return AnswerRetryGlobal(existing.peer_global_seq)
        if existing.connect_seq > reconnect.connect_seq:
            return AnswerRetry(existing.connect_seq)
        race = existing.connect_seq == reconnect.connect_seq and not existing.policy.server
        if race and _race_key(existing.peer_addrs) > _race_key(self.endpoint.addrs):
            return AnswerWait()
        return Reuse(existing, reconnected=True)


def _race_key(addrs: EntityAddrVec) -> bytes:
    """What the two ends of a race compare: the msgr2 address as Ceph's memcmp sees it."""
    for addr in addrs.addrs:
        if addr.type == EntityAddr.TYPE_MSGR2:
            return addr.sort_key()
    return EntityAddr().sort_key()


def _is_stranger(session: Session, identity: PeerIdentity) -> bool:
    """Has somebody else authenticated at the address of a session?

    Ceph does not look; here nobody inherits another one's session or its messages. Daemons keep
    their name under a new global_id, clients may share a name.
    """
    known = session.identity
    if known is None:
        return False
    if known.entity_name != identity.entity_name:
        return True
    return session.peer_type == CLIENT and known.global_id != identity.global_id
