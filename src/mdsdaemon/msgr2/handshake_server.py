"""The accepting side: authentication before anything else, then the registry's decision.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc, "Server Protocol Methods" (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.msgr2.auth import AuthBadMethod, AuthDone, AuthMore
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import (
    Authenticated,
    AuthRefused,
    HelloReceived,
    NeedDecision,
    Ready,
    RemoteReset,
)
from mdsdaemon.msgr2.frames import FrameLimits
from mdsdaemon.msgr2.handshake import MAX_SEQ, Handshake
from mdsdaemon.msgr2.payloads import (
    CEPH_MSG_CONNECT_LOSSY,
    MSGR2_REQUIRED,
    AuthBadMethodPayload,
    AuthDonePayload,
    AuthMorePayload,
    AuthRequestPayload,
    AuthSignature,
    ClientIdent,
    Hello,
    IdentMissingFeatures,
    Reconnect,
    ReconnectOk,
    ServerIdent,
    SessionReset,
    SessionRetry,
    SessionRetryGlobal,
    Wait,
)
from mdsdaemon.msgr2.registry import (
    Accept,
    AnswerMissingFeatures,
    AnswerReset,
    AnswerRetry,
    AnswerRetryGlobal,
    AnswerWait,
    Decision,
    Refuse,
    Reuse,
)
from mdsdaemon.msgr2.session import Session, SessionPolicy
from mdsdaemon.msgr2.states import State, Tag
from mdsdaemon.types.entity import EntityAddr, PeerName

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import AuthVerdict, ServerAuth
    from mdsdaemon.msgr2.registry import Registry
    from mdsdaemon.msgr2.wire import Wire


class ServerHandshake(Handshake):
    """See the module."""

    server = True

    def __init__(
        self,
        wire: Wire,
        registry: Registry,
        limits: FrameLimits,
        auth: Callable[[int], ServerAuth],
        policy: Callable[[int], SessionPolicy],
        socket_addr: EntityAddr,
    ) -> None:
        super().__init__(wire, registry, limits)
        self._peer_seen_at = socket_addr
        self._make_auth = auth
        self._make_policy = policy
        self._auth: ServerAuth
        self._policy: SessionPolicy
        self._method = 0
        self._modes: list[int] = []
        self._request: NeedDecision

    # ---- authentication ----

    def _on_hello(self, hello: Hello) -> None:
        self.peer_type = hello.entity_type
        self._policy = self._make_policy(hello.entity_type)
        self._auth = self._make_auth(hello.entity_type)
        # Ceph learns its address here too; a stranger who has proved nothing could then name it.
        # We learn it from the peers that we chose to connect to.
        self.events.append(HelloReceived(hello.entity_type, hello.peer_addr))
        self.enter(State.AUTH_ACCEPTING)

    def _on_auth_request(self, request: AuthRequestPayload) -> None:
        self._attempt("authentication")
        self._method = request.method
        self._modes = request.preferred_modes
        self._answer(
            self._auth.request(request.method, request.preferred_modes, request.auth_payload)
        )

    def _on_auth_request_more(self, more: AuthMorePayload) -> None:
        self._answer(self._auth.request_more(more.auth_payload))

    def _answer(self, verdict: AuthVerdict) -> None:
        if isinstance(verdict, AuthMore):
            self.enter(State.AUTH_ACCEPTING_MORE)
            self.send(Tag.AUTH_REPLY_MORE, AuthMorePayload(verdict.payload))
        elif isinstance(verdict, AuthDone):
            if verdict.con_mode not in self._modes:
                raise ProtocolError(f"the peer does not offer connection mode {verdict.con_mode}")
            self.identity = verdict.identity
            self._global_id = verdict.global_id
            self.send(
                Tag.AUTH_DONE,
                AuthDonePayload(verdict.global_id, verdict.con_mode, verdict.payload),
            )
            self._finish_auth(verdict.con_mode, verdict.keys)
        else:
            assert isinstance(verdict, AuthBadMethod)
            # Ceph stays in AUTH_ACCEPTING_MORE after a refused second round, and drops the
            # client's next AUTH_REQUEST; here the client may begin anew.
            self.enter(State.AUTH_ACCEPTING)
            self.send(
                Tag.AUTH_BAD_METHOD,
                AuthBadMethodPayload(self._method, verdict.result, verdict.methods, verdict.modes),
            )
            self.events.append(AuthRefused(verdict.result, verdict.reason))

    def _on_auth_signature(self, frame: AuthSignature) -> None:
        self._check_signature(frame.signature)
        self.events.append(Authenticated(self._global_id, self.con_mode, self.identity))
        self.enter(State.SESSION_ACCEPTING)

    # ---- session ----

    def _on_client_ident(self, ident: ClientIdent) -> None:
        if not ident.addrs or ident.addrs.addrs[0] == EntityAddr():
            raise ProtocolError("the peer gives no address of its own")
        if ident.target_addr not in self._endpoint.addrs:
            mine = self._endpoint.addrs
            raise ProtocolError(f"the peer looks for {ident.target_addr}; we are {mine}")
        self._need_decision(ident)

    def _on_session_reconnect(self, reconnect: Reconnect) -> None:
        if reconnect.connect_seq > MAX_SEQ:
            raise ProtocolError(f"the peer reconnects with connect_seq {reconnect.connect_seq}")
        self._need_decision(reconnect)

    def _need_decision(self, ident: ClientIdent | Reconnect) -> None:
        self._attempt("a session")
        assert self.identity is not None
        self._request = NeedDecision(ident, self.peer_type, self._policy, self.identity)
        self.events.append(self._request)
        self.enter(State.DECIDING)

    def apply(self, decision: Decision) -> None:
        """Carry out the registry's decision; see `Wire.apply`."""
        if self.state is not State.DECIDING:
            raise RuntimeError(f"no decision is wanted in state {self.state.name}")
        self.enter(State.SESSION_ACCEPTING)
        match decision:
            case Accept():
                if decision.replaced is not None:
                    decision.replaced.close()
                    self._registry.forget(decision.replaced)
                if decision.registered:
                    self._registry.register(decision.session)
                self._begin(decision.session)
            case Reuse(session=session, reconnected=True):
                self._resume(session)
            case Reuse(session=session):
                session.detach()
                if decision.remote_reset:
                    session.reset_session()
                    self.events.append(RemoteReset())
                self._begin(session)
            case AnswerWait():
                if decision.follow_through is not None:
                    decision.follow_through.keepalive_wanted = True
                self.send(Tag.WAIT, Wait())
            case AnswerRetry():
                self.send(Tag.SESSION_RETRY, SessionRetry(decision.connect_seq))
            case AnswerRetryGlobal():
                self.send(Tag.SESSION_RETRY_GLOBAL, SessionRetryGlobal(decision.global_seq))
            case AnswerReset():
                self.send(Tag.SESSION_RESET, SessionReset(decision.full))
            case AnswerMissingFeatures():
                self.send(Tag.IDENT_MISSING_FEATURES, IdentMissingFeatures(decision.features))
            case Refuse():
                raise ProtocolError(decision.reason)

    def _begin(self, session: Session) -> None:
        """A new session on `session`: SERVER_IDENT."""
        ident = self._request.ident
        assert isinstance(ident, ClientIdent)
        policy = session.policy
        session.peer_addrs = ident.addrs
        session.peer_name = PeerName(self.peer_type, ident.gid)
        session.identity = self.identity
        session.client_cookie = ident.cookie
        session.peer_global_seq = ident.global_seq
        session.features = ident.supported_features & policy.features_supported
        session.begin_session()
        if not session.lossy:
            session.server_cookie = self._endpoint.new_cookie()
        self.send(
            Tag.SERVER_IDENT,
            ServerIdent(
                addrs=self._endpoint.addrs,
                gid=self._endpoint.name.num,
                global_seq=self._endpoint.next_global_seq(),
                supported_features=policy.features_supported,
                required_features=policy.features_required | MSGR2_REQUIRED,
                flags=CEPH_MSG_CONNECT_LOSSY if session.lossy else 0,
                cookie=session.server_cookie,
            ),
        )
        self._ready(session)
        self.events.append(Ready(accepted=True, reconnected=False))

    def _resume(self, session: Session) -> None:
        """`session` goes on over this socket: SESSION_RECONNECT_OK."""
        reconnect = self._request.ident
        assert isinstance(reconnect, Reconnect)
        session.detach()
        session.identity = self.identity
        session.peer_global_seq = reconnect.global_seq
        session.connect_seq = reconnect.connect_seq
        session.resume_session(reconnect.msg_seq)
        self.send(Tag.SESSION_RECONNECT_OK, ReconnectOk(session.in_seq))
        self._ready(session)
        self.events.append(Ready(accepted=True, reconnected=True))
