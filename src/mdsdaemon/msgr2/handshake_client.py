"""The connecting side: AUTH_REQUEST to AUTH_DONE, then CLIENT_IDENT or SESSION_RECONNECT.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc, "Client Protocol Methods" (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.msgr2.auth import AuthRequest
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import Authenticated, HelloReceived, Ready, RemoteReset, Waited
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
from mdsdaemon.msgr2.session import Session, SessionState
from mdsdaemon.msgr2.states import State, Tag
from mdsdaemon.types.entity import PeerName, type_name

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import ClientAuth
    from mdsdaemon.msgr2.registry import Registry
    from mdsdaemon.msgr2.wire import Wire
    from mdsdaemon.types.entity import EntityAddr


class ClientHandshake(Handshake):
    """See the module."""

    server = False

    def __init__(
        self,
        wire: Wire,
        registry: Registry,
        limits: FrameLimits,
        session: Session,
        auth: ClientAuth,
        target_addr: EntityAddr,
    ) -> None:
        super().__init__(wire, registry, limits)
        self.peer_type = session.peer_type
        self._peer_seen_at = target_addr
        self._auth = auth
        self._modes: list[int] = []
        self._session = session
        self._target_addr = target_addr
        session.detach()
        session.begin_connect(self._endpoint)
        session.wire = wire
        self.session = session

    # ---- authentication ----

    def _on_hello(self, hello: Hello) -> None:
        if hello.entity_type != self.peer_type:
            there, wanted = type_name(hello.entity_type), type_name(self.peer_type)
            raise ProtocolError(f"the peer is of type {there}, not {wanted}")
        self._endpoint.learn_addr(hello.peer_addr)
        self.events.append(HelloReceived(hello.entity_type, hello.peer_addr))
        self.enter(State.AUTH_CONNECTING)
        self._request(self._auth.request())

    def _request(self, request: AuthRequest) -> None:
        self._modes = request.modes
        self.send(
            Tag.AUTH_REQUEST,
            AuthRequestPayload(request.method, request.modes, request.payload),
        )

    def _on_auth_bad_method(self, bad: AuthBadMethodPayload) -> None:
        self._attempt("authentication")
        self._request(
            self._auth.bad_method(bad.method, bad.result, bad.allowed_methods, bad.allowed_modes)
        )

    def _on_auth_reply_more(self, more: AuthMorePayload) -> None:
        reply = self._auth.reply_more(more.auth_payload)
        self.send(Tag.AUTH_REQUEST_MORE, AuthMorePayload(reply))

    def _on_auth_done(self, done: AuthDonePayload) -> None:
        if done.con_mode not in self._modes:
            raise ProtocolError(f"the peer chose connection mode {done.con_mode}, not offered")
        keys = self._auth.done(done.global_id, done.con_mode, done.auth_payload)
        self._global_id = done.global_id
        self._finish_auth(done.con_mode, keys)

    def _on_auth_signature(self, frame: AuthSignature) -> None:
        self._check_signature(frame.signature)
        self.events.append(Authenticated(self._global_id, self.con_mode, None))
        if self._session.server_cookie:
            self.enter(State.SESSION_RECONNECTING)
            self._send_reconnect()
        else:
            self._send_ident()

    # ---- session ----

    def _send_ident(self) -> None:
        session = self._session
        session.begin_session()
        if not session.lossy and not session.client_cookie:
            session.client_cookie = self._endpoint.new_cookie()
        self.enter(State.SESSION_CONNECTING)
        self.send(
            Tag.CLIENT_IDENT,
            ClientIdent(
                addrs=self._endpoint.addrs,
                target_addr=self._target_addr,
                gid=self._endpoint.name.num,
                global_seq=session.global_seq,
                supported_features=session.policy.features_supported,
                required_features=session.policy.features_required | MSGR2_REQUIRED,
                flags=CEPH_MSG_CONNECT_LOSSY if session.lossy else 0,
                cookie=session.client_cookie,
            ),
        )

    def _send_reconnect(self) -> None:
        session = self._session
        self._attempt("reconnecting")
        self.send(
            Tag.SESSION_RECONNECT,
            Reconnect(
                addrs=self._endpoint.addrs,
                client_cookie=session.client_cookie,
                server_cookie=session.server_cookie,
                global_seq=session.global_seq,
                connect_seq=session.connect_seq,
                msg_seq=session.in_seq,
            ),
        )

    def _on_server_ident(self, ident: ServerIdent) -> None:
        if self._target_addr not in ident.addrs:
            raise ProtocolError(f"the peer is {ident.addrs}, not {self._target_addr}")
        session = self._session
        missing = session.policy.features_required & ~ident.supported_features
        if missing:
            raise ProtocolError(f"the peer lacks features {missing:#x} that we require")
        session.server_cookie = ident.cookie
        session.peer_addrs = ident.addrs
        session.peer_name = PeerName(session.peer_type, ident.gid)
        session.features = ident.supported_features & session.policy.features_supported
        session.peer_global_seq = ident.global_seq
        session.lossy = bool(ident.flags & CEPH_MSG_CONNECT_LOSSY)
        self._ready(session)
        self.events.append(Ready(accepted=False, reconnected=False))

    def _on_ident_missing_features(self, frame: IdentMissingFeatures) -> None:
        raise ProtocolError(f"the peer requires features {frame.features:#x} that we lack")

    def _on_session_reconnect_ok(self, frame: ReconnectOk) -> None:
        self._session.resume_session(frame.msg_seq)
        self._ready(self._session)
        self.events.append(Ready(accepted=False, reconnected=True))

    def _on_session_reset(self, reset: SessionReset) -> None:
        session = self._session
        if reset.full:
            session.reset_session()
            self.events.append(RemoteReset())
        else:
            session.server_cookie = session.connect_seq = session.in_seq = 0
        self._send_ident()

    def _on_session_retry(self, retry: SessionRetry) -> None:
        if retry.connect_seq > MAX_SEQ:
            raise ProtocolError(f"the peer asks for connect_seq above {retry.connect_seq}")
        self._session.connect_seq = retry.connect_seq + 1
        self._send_reconnect()

    def _on_session_retry_global(self, retry: SessionRetryGlobal) -> None:
        if retry.global_seq > MAX_SEQ:
            raise ProtocolError(f"the peer asks for global_seq above {retry.global_seq}")
        self._session.global_seq = self._endpoint.next_global_seq(retry.global_seq)
        self._send_reconnect()

    def _on_wait(self, _: Wait) -> None:
        self._session.state = SessionState.WAIT
        self.enter(State.CLOSED)
        self.events.append(Waited())
