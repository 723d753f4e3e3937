"""The accepting side of the monitor's authentication: who a peer is, and its first tickets.

Method cephx: name and claimed global_id; our challenge; the proof, with the old ticket where a
global_id is claimed; the AUTH ticket, the connection's secret, tickets for other services. The same
requests come again in MAuth on the open session (`handle_request`).

Format: ceph/ceph, src/mon/Monitor.cc (handle_auth_request), src/auth/cephx/CephxServiceHandler.cc
(Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mdsdaemon.cephx.auth import AuthCapsInfo
from mdsdaemon.cephx.client import client_server_challenge
from mdsdaemon.cephx.crypto import CryptoKey, get_sealed, put_sealed, unseal
from mdsdaemon.cephx.plug import (
    AUTH_MODE_MON,
    AUTH_MODE_MON_MAX,
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_SECURE,
    CEPH_CON_MODE_UNKNOWN,
    AuthBadMethod,
    AuthDone,
    AuthError,
    AuthKeys,
    AuthMore,
    PeerIdentity,
)
from mdsdaemon.cephx.registry import CLUSTER_PEERS, AuthRegistry, method_names
from mdsdaemon.cephx.service import CONNECTION_SECRET_LEN
from mdsdaemon.cephx.tickets import cursor
from mdsdaemon.cephx.wire import (
    CEPHX_GET_AUTH_SESSION_KEY,
    CEPHX_GET_PRINCIPAL_SESSION_KEY,
    CEPHX_GET_ROTATING_KEY,
    CephXAuthenticate,
    CephXAuthorize,
    CephXRequestHeader,
    CephXResponseHeader,
    CephXServerChallenge,
    CephXServiceTicketInfo,
    CephXServiceTicketRequest,
    CephXTicketBlob,
)
from mdsdaemon.embedded.key_server import KeyServer, SessionAuthInfo, ticket_reply
from mdsdaemon.encoding import Blob, Cursor, DecodeError, encode
from mdsdaemon.records import define, field
from mdsdaemon.types.entity import AUTH, EntityAddrVec, EntityName

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import ClientAuth

Verdict = AuthMore | AuthDone | AuthBadMethod

MAX_ATTEMPTS: Final = 8
"""Requests on one connection: a peer may try another method, and not try for ever."""


class GlobalId:
    """How a session came to its global_id (global_id_status_t)."""

    NONE: Final = "none"
    NEW_PENDING: Final = "new_pending"
    NEW_OK: Final = "new_ok"
    NEW_NOT_EXPOSED: Final = "new_not_exposed"
    """A new one, for a client that may not show its old ticket when it comes back."""
    RECLAIM_PENDING: Final = "reclaim_pending"
    RECLAIM_OK: Final = "reclaim_ok"
    RECLAIM_INSECURE: Final = "reclaim_insecure"
    """An old one, without a proof that it was its own: allowed by option."""


@define(frozen=True)
class MonPeerIdentity(PeerIdentity):
    """With the handler that answers the MAuths of the session."""

    handler: CephxServiceHandler | None = field(default=None, eq=False, repr=False)


@define(eq=False)
class MonAuthenticator:
    """The monitor's Authenticator.

    Attributes:
        registry: methods and modes allowed; replace it when the options change.
        assign_global_id: a new one.
        allow_insecure_reclaim: option auth_allow_insecure_global_id_reclaim.
        is_ready: peers are let in; before that they are told to come again.
    """

    keys: KeyServer
    registry: AuthRegistry
    assign_global_id: Callable[[], int]
    allow_insecure_reclaim: bool = False
    is_ready: bool = True

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        raise AuthError(errno.EACCES, f"this monitor opens no connections to {peer_addrs}")

    def server_session(self, peer_type: int, now: float) -> MonServerAuth:
        return MonServerAuth(self, peer_type)


@define(eq=False)
class MonServerAuth:
    """The accepting side of one connection."""

    mon: MonAuthenticator
    peer_type: int
    _method: int = field(default=0, init=False)
    _con_mode: int = field(default=CEPH_CON_MODE_UNKNOWN, init=False)
    _handler: CephxServiceHandler | None = field(default=None, init=False)
    _attempts: int = field(default=0, init=False)

    def request(self, method: int, modes: list[int], payload: bytes) -> Verdict:
        """AUTH_REQUEST. Raises AuthError after MAX_ATTEMPTS of them."""
        self._attempts += 1
        if self._attempts > MAX_ATTEMPTS:
            raise AuthError(errno.EACCES, f"gave up after {MAX_ATTEMPTS} attempts to authenticate")
        self._handler = None
        self._method = method
        self._con_mode = self.mon.registry.pick_mode(self.peer_type, method, modes)
        if not self.mon.is_ready:
            return self._bad(errno.EBUSY, "the monitor has no state yet")
        if method not in (CEPH_AUTH_CEPHX, CEPH_AUTH_NONE):
            return self._bad(errno.EOPNOTSUPP, f"method {method_names([method])} is not known")
        if self._con_mode == CEPH_CON_MODE_UNKNOWN:
            return self._bad(errno.EOPNOTSUPP, f"none of the connection modes {modes} is allowed")
        c = cursor(payload, "AuthRequest")
        try:
            mode = c.u8()
            if not AUTH_MODE_MON <= mode <= AUTH_MODE_MON_MAX:
                return self._bad(errno.EACCES, f"authentication mode {mode} is for other servers")
            name = c.get(EntityName)
            global_id = c.u64()
        except DecodeError as error:
            return self._bad(errno.EACCES, f"a malformed request: {error}")
        return self._start(method, name, global_id)

    def _start(self, method: int, name: EntityName, global_id: int) -> Verdict:
        registry = self.mon.registry
        cluster = name.type in CLUSTER_PEERS
        allowed = registry.cluster_methods if cluster else registry.service_methods
        if method not in allowed:
            option = "auth_cluster_required" if cluster else "auth_service_required"
            return self._bad(
                errno.EOPNOTSUPP, f"{option} allows {name} only {method_names(allowed)}"
            )
        is_new = not global_id
        if is_new:
            global_id = self.mon.assign_global_id()
        if method == CEPH_AUTH_NONE:
            identity = MonPeerIdentity(name, global_id, AuthCapsInfo(allow_all=True), method)
            return AuthDone(global_id, self._con_mode, b"", AuthKeys(), identity)
        handler = self._handler = CephxServiceHandler(self.mon, name, global_id, is_new=is_new)
        return AuthMore(handler.challenge())

    def request_more(self, payload: bytes) -> Verdict:
        """AUTH_REQUEST_MORE: the proof."""
        handler = self._handler
        if handler is None:
            raise AuthError(errno.EPERM, "an answer came to a challenge that was not given")
        secure = self._con_mode == CEPH_CON_MODE_SECURE
        try:
            reply, keys = handler.authenticate(payload, CONNECTION_SECRET_LEN if secure else 0)
        except AuthError as error:
            return self._bad(error.errno, error.text)
        caps = self.mon.keys.caps_info(handler.name, 1)
        identity = MonPeerIdentity(
            handler.name, handler.global_id, caps, CEPH_AUTH_CEPHX, handler=handler
        )
        return AuthDone(handler.global_id, self._con_mode, reply, keys, identity)

    def _bad(self, number: int, reason: str) -> AuthBadMethod:
        self._handler = None
        registry = self.mon.registry
        return AuthBadMethod(
            -number,
            list(registry.supported_methods(self.peer_type)),
            list(registry.supported_modes(self.peer_type)),
            reason,
        )


@define(eq=False)
class CephxServiceHandler:
    """One peer's dealings with the key server, during the handshake and on the open session."""

    mon: MonAuthenticator
    name: EntityName
    global_id: int
    is_new: bool = field(kw_only=True)
    status: str = GlobalId.NONE
    _server_challenge: int = field(default=0, repr=False)

    @property
    def keys(self) -> KeyServer:
        return self.mon.keys

    def challenge(self) -> bytes:
        """Our first answer."""
        self.status = GlobalId.NEW_PENDING if self.is_new else GlobalId.RECLAIM_PENDING
        self._server_challenge = self.keys.host.random_u64()
        return encode(CephXServerChallenge, CephXServerChallenge(self._server_challenge))

    def authenticate(self, payload: bytes, secret_len: int) -> tuple[bytes, AuthKeys]:
        """The answer to a proof, with tickets; `secret_len` bytes of connection secret.

        Raises AuthError: EACCES for all that concerns the key, EPERM and EINVAL for malformed.
        """
        c = cursor(payload, "CephXRequestHeader")
        if _header(c) != CEPHX_GET_AUTH_SESSION_KEY:
            raise AuthError(errno.EACCES, f"{self.name} asks for something before its proof")
        return self._session_key(c, secret_len)

    def _session_key(self, c: Cursor, secret_len: int | None) -> tuple[bytes, AuthKeys]:
        try:
            request = c.get(CephXAuthenticate)
        except DecodeError as error:
            raise AuthError(errno.EPERM, f"the proof of {self.name} is malformed") from error
        auth = self.keys.get(self.name)
        if auth is None:
            raise AuthError(errno.EACCES, f"there is no {self.name} here")
        expected = client_server_challenge(
            auth.key, self._server_challenge, request.client_challenge
        )
        if not self._server_challenge or request.key != expected:
            raise AuthError(errno.EACCES, f"{self.name} has not the key that it should have")
        old_key = self._verify_old_ticket(request)
        main = self.keys.auth_ticket(self.name, self.global_id)
        if not self.keys.caps_info(self.name, 1).caps:
            raise AuthError(errno.EACCES, f"{self.name} has no mon caps")
        out = _response(CEPHX_GET_AUTH_SESSION_KEY) + ticket_reply([main], auth.key, old_key)
        secret = b""
        if request.other_keys:
            sealed = b""
            if secret_len is not None:
                secret = self.keys.host.randbytes(secret_len) if secret_len else b""
                sealed = put_sealed(Blob, secret, main.session_key)
            out += encode(Blob, sealed)
            infos = self._service_tickets(request.other_keys, main)
            out += encode(Blob, ticket_reply(infos, main.session_key) if infos else b"")
        return out, AuthKeys(main.session_key.secret, secret)

    def _verify_old_ticket(self, request: CephXAuthenticate) -> CryptoKey | None:
        """The session key of the ticket that proves a claimed global_id, None for a new one."""
        if self.status == GlobalId.NEW_PENDING:
            if request.old_ticket.blob:
                raise AuthError(errno.EINVAL, f"{self.name} shows a ticket for a new global_id")
            legacy = request.old_ticket_may_be_omitted
            self.status = GlobalId.NEW_NOT_EXPOSED if legacy else GlobalId.NEW_OK
            return None
        why = "without its old ticket"
        if request.old_ticket.blob:
            info = self._open_ticket(AUTH, request.old_ticket)
            if info is None:
                why = "with a ticket that is not ours or too old"
            elif info.ticket.global_id != self.global_id:
                why = f"with the ticket of {info.ticket.global_id}"
            else:
                self.status = GlobalId.RECLAIM_OK
                return info.session_key
        if self.mon.allow_insecure_reclaim and request.old_ticket_may_be_omitted:
            self.status = GlobalId.RECLAIM_INSECURE
            return None
        raise AuthError(errno.EACCES, f"{self.name} claims global_id {self.global_id} {why}")

    def _open_ticket(self, service: int, blob: CephXTicketBlob) -> CephXServiceTicketInfo | None:
        secret = self.keys.secret_by_id(service, blob.secret_id)
        if secret is None:
            return None
        try:
            return unseal(CephXServiceTicketInfo, blob.blob, secret)
        except DecodeError:
            return None

    def _service_tickets(self, wanted: int, main: SessionAuthInfo) -> list[SessionAuthInfo]:
        """Those of the services in the mask that there are."""
        infos: list[SessionAuthInfo] = []
        for bit in range(wanted.bit_length()):
            service = 1 << bit
            if wanted & service and service != AUTH:
                try:
                    infos.append(self.keys.service_ticket(service, main.ticket))
                except AuthError:
                    continue
        return infos

    # -- MAuth -------------------------------------------------------------------------------

    def handle_request(self, payload: bytes) -> bytes:
        """The answer to the payload of an MAuth; raises AuthError."""
        c = cursor(payload, "CephXRequestHeader")
        kind = _header(c)
        if kind == CEPHX_GET_AUTH_SESSION_KEY:
            return self._session_key(c, None)[0]
        if kind == CEPHX_GET_PRINCIPAL_SESSION_KEY:
            return self._principal_session_key(c)
        if kind == CEPHX_GET_ROTATING_KEY:
            sealed = self.keys.rotating_for(self.name)
            if sealed is None:
                raise AuthError(errno.EACCES, f"{self.name} is no service with rotating secrets")
            return _response(kind) + sealed
        raise AuthError(errno.EINVAL, f"{self.name} asks for unknown {kind:#x}")

    def _principal_session_key(self, c: Cursor) -> bytes:
        """Tickets for services, for who shows an AUTH ticket."""
        try:
            c.u8()
            global_id, service = c.u64(), c.u32()
            info = self._open_ticket(service, c.get(CephXTicketBlob))
            if info is None:
                raise AuthError(errno.EACCES, f"the ticket of {self.name} is not ours or too old")
            if info.ticket.global_id != global_id:
                raise AuthError(errno.EACCES, f"the ticket of {self.name} is of another global_id")
            get_sealed(CephXAuthorize, c, info.session_key)
            wanted = c.get(CephXServiceTicketRequest).keys
        except DecodeError as error:
            raise AuthError(errno.EPERM, f"a malformed request of {self.name}") from error
        infos: list[SessionAuthInfo] = []
        refusal: AuthError | None = None
        for bit in range(wanted.bit_length()):
            each = 1 << bit
            if wanted & each and each != AUTH:
                try:
                    infos.append(self.keys.service_ticket(each, info.ticket))
                except AuthError as error:
                    refusal = error
        if refusal is not None and not infos:
            raise refusal
        head = _response(CEPHX_GET_PRINCIPAL_SESSION_KEY)
        return head + ticket_reply(infos, info.session_key)


def _header(c: Cursor) -> int:
    try:
        return c.get(CephXRequestHeader).request_type
    except DecodeError as error:
        raise AuthError(errno.EPERM, "a malformed authentication request") from error


def _response(kind: int) -> bytes:
    return encode(CephXResponseHeader, CephXResponseHeader(kind, 0))
