"""The connecting side: a session with a monitor, and authorizers shown to services.

A monitor's handshake is: our name and the global_id we had; its challenge; our proof, with the
old ticket if we had a global_id; its tickets. ``CephxClient`` keeps what outlives a connection.
Each connection attempt works on a copy, so that several monitors can be tried at once and only
the one that answers changes anything.

Format: ceph/ceph, src/auth/cephx/CephxClientHandler.cc, src/mon/MonClient.cc (Pacific)
"""

from __future__ import annotations

import errno
import os
from typing import Final, Protocol

from mdsdaemon.cephx.auth import RotatingSecrets
from mdsdaemon.cephx.crypto import CryptoKey, get_sealed, put_sealed
from mdsdaemon.cephx.plug import (
    AUTH_MODE_MON,
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_SECURE,
    AuthError,
    AuthKeys,
    AuthRequest,
)
from mdsdaemon.cephx.registry import AuthRegistry, method_names
from mdsdaemon.cephx.tickets import (
    Authorizer,
    NoneAuthorizer,
    RotatingKeyRing,
    TicketManager,
    cursor,
)
from mdsdaemon.cephx.wire import (
    CEPHX_GET_AUTH_SESSION_KEY,
    CEPHX_GET_PRINCIPAL_SESSION_KEY,
    CEPHX_GET_ROTATING_KEY,
    CephXAuthenticate,
    CephXChallengeBlob,
    CephXRequestHeader,
    CephXResponseHeader,
    CephXServerChallenge,
    CephXServiceTicketRequest,
)
from mdsdaemon.encoding import U64, Blob, Cursor, DecodeError, decode, encode
from mdsdaemon.host import Host
from mdsdaemon.records import define, evolve, field
from mdsdaemon.types.entity import AUTH, MGR, MON, EntityName, type_name

SECURE_SECRET_MIN: Final = 40
"""Bytes of connection secret that secure mode cuts its keys from."""


_SESSION_KEY_REPLY: Final = encode(
    CephXRequestHeader, CephXRequestHeader(CEPHX_GET_AUTH_SESSION_KEY)
)


def client_server_challenge(key: CryptoKey, server_challenge: int, client_challenge: int) -> int:
    """The 64-bit proof that one knows ``key``: the sealed challenges, folded by exclusive or."""
    sealed = put_sealed(
        CephXChallengeBlob, CephXChallengeBlob(server_challenge, client_challenge), key
    )
    proof = 0
    for at in range(0, len(sealed) - 7, 8):
        proof ^= int.from_bytes(sealed[at : at + 8], "little")
    return proof


class AuthClient(Protocol):
    """What a session with the monitors keeps: of method cephx or none."""

    @property
    def method(self) -> int: ...

    @property
    def global_id(self) -> int: ...

    def copy(self) -> AuthClient: ...

    def need_tickets(self) -> bool:
        """Whether a renewal (``build_request``) is due now."""
        ...

    def build_request(self) -> bytes:
        """Payload of an MAuth that renews the tickets that are due."""
        ...

    def build_rotating_request(self) -> bytes | None:
        """Payload of an MAuth that asks for rotating secrets; None where there are none."""
        ...

    def handle_response(self, result: int, payload: bytes) -> bool:
        """An MAuthReply came: whether another ``build_request`` is needed at once.

        Rotating secrets go into the ``rotating`` key ring. Raises AuthError on a refusal
        (``result`` < 0) or an answer that does not decode; the session stays as it was.
        """
        ...

    def build_authorizer(self, service_id: int) -> Authorizer:
        """For a connection to a service; raises AuthError without a ticket for it."""
        ...

    def invalidate(self, service_id: int) -> None:
        """A service refused the ticket: ask for a new one at the next renewal."""
        ...


@define
class NoneClient:
    """Method none: nothing to prove, nothing to renew."""

    name: EntityName
    global_id: int = 0
    method: int = field(default=CEPH_AUTH_NONE, init=False)

    def copy(self) -> NoneClient:
        return NoneClient(self.name, self.global_id)

    def need_tickets(self) -> bool:
        return False

    def build_request(self) -> bytes:
        return b""

    def build_rotating_request(self) -> bytes | None:
        return None

    def handle_response(self, result: int, payload: bytes) -> bool:
        if result < 0:
            raise AuthError(-result, "the monitor refused method none")
        return False

    def build_authorizer(self, service_id: int) -> Authorizer:
        return NoneAuthorizer(self.name, self.global_id)

    def invalidate(self, service_id: int) -> None:
        pass


@define
class CephxClient:
    """Method cephx.

    Attributes:
        name, key: the entity and its secret.
        want: mask of entity types whose tickets are wanted.
        host: the clock and the randomness.
        rotating: where rotating secrets go, for a process that is a service itself.
        global_id: given by a monitor, 0 before that; offered again on the next session.
    """

    name: EntityName
    key: CryptoKey
    want: int
    host: Host
    rotating: RotatingKeyRing | None = None
    global_id: int = 0
    tickets: TicketManager = field(factory=TicketManager)
    _server_challenge: int = field(default=0, repr=False)
    method: int = field(default=CEPH_AUTH_CEPHX, init=False)

    def __attrs_post_init__(self) -> None:
        self.want |= AUTH

    def copy(self) -> CephxClient:
        return evolve(self, tickets=self.tickets.copy())

    def need_tickets(self) -> bool:
        # A cluster may have no manager secrets yet: that ticket alone is not worth asking for
        # again and again.
        return self._need() not in {0, MGR}

    def _need(self) -> int:
        return self.tickets.need(self.want, self.host.wall())

    def handle_challenge(self, payload: bytes) -> None:
        """The monitor's first answer, on a new connection."""
        try:
            challenge = decode(CephXServerChallenge, payload, partial=True)
        except DecodeError as error:
            raise AuthError(
                errno.EPERM, f"the monitor's challenge is malformed: {error}"
            ) from error
        self._server_challenge = challenge.server_challenge
        self.tickets.invalidate(AUTH)

    def build_request(self) -> bytes:
        need = self._need()
        if need & AUTH:
            challenge = int.from_bytes(self.host.randbytes(8), "little")
            proof = client_server_challenge(self.key, self._server_challenge, challenge)
            request = CephXAuthenticate(
                client_challenge=challenge,
                key=proof,
                old_ticket=self.tickets.handler(AUTH).ticket,
                other_keys=need,
            )
            return encode(
                CephXRequestHeader, CephXRequestHeader(CEPHX_GET_AUTH_SESSION_KEY)
            ) + encode(CephXAuthenticate, request)
        authorizer = self.tickets.handler(AUTH).build_authorizer(
            self.global_id, self.host.randbytes
        )
        return (
            encode(CephXRequestHeader, CephXRequestHeader(CEPHX_GET_PRINCIPAL_SESSION_KEY))
            + authorizer.payload
            + encode(CephXServiceTicketRequest, CephXServiceTicketRequest(need))
        )

    def build_rotating_request(self) -> bytes | None:
        return encode(CephXRequestHeader, CephXRequestHeader(CEPHX_GET_ROTATING_KEY))

    def handle_response(self, result: int, payload: bytes) -> bool:
        if result < 0:
            raise AuthError(
                -result, f"the monitor refused to renew what {self.name} needs to authenticate"
            )
        self.handle_reply(payload)
        # Only after a renewal of the ticket for tickets: what the monitor does not have now, it
        # does not have a moment later, and the next tick asks again.
        return payload[:2] == _SESSION_KEY_REPLY and self.need_tickets()

    def handle_reply(self, payload: bytes) -> bytes:
        """Take what the monitor sent; the connection secret in it, if any. Raises AuthError."""
        c = cursor(payload, "CephXResponse")
        try:
            return self._handle_reply(c.get(CephXResponseHeader), c)
        except DecodeError as error:
            raise AuthError(
                errno.EACCES,
                f"the monitor's answer to {self.name} does not decode with its key: {error}",
            ) from error

    def _handle_reply(self, header: CephXResponseHeader, c: Cursor) -> bytes:
        now = self.host.wall()
        if header.request_type == CEPHX_GET_AUTH_SESSION_KEY:
            tickets = self.tickets.copy()
            tickets.verify_service_ticket_reply(self.key, c, now)
            session_key = tickets.handler(AUTH).session_key
            secret = b""
            if c.remaining():
                sealed, extra = c.blob(), c.blob()
                if sealed:
                    secret = get_sealed(Blob, cursor(sealed, "connection_secret"), session_key)
                if extra:
                    tickets.verify_service_ticket_reply(session_key, cursor(extra, "tickets"), now)
            self.tickets = tickets
            return secret
        if header.request_type == CEPHX_GET_PRINCIPAL_SESSION_KEY:
            if header.status < 0:
                raise AuthError(-header.status, "the monitor has no secrets of the services yet")
            self.tickets.verify_service_ticket_reply(self.tickets.handler(AUTH).session_key, c, now)
            return b""
        if header.request_type == CEPHX_GET_ROTATING_KEY:
            secrets = get_sealed(RotatingSecrets, c, self.key)
            if self.rotating is not None:
                self.rotating.set_secrets(secrets)
            return b""
        raise c.fail(f"unknown request type {header.request_type:#x}")

    def build_authorizer(self, service_id: int) -> Authorizer:
        handler = self.tickets.handler(service_id)
        if not handler.have_key(self.host.wall()):
            state = "the ticket has expired" if handler.ticket.blob else "there is no ticket"
            raise AuthError(
                errno.EACCES, f"cannot authenticate to the {type_name(service_id)}: {state}"
            )
        return handler.build_authorizer(self.global_id, self.host.randbytes)

    def invalidate(self, service_id: int) -> None:
        self.tickets.invalidate(service_id)


@define
class MonAuth:
    """A ClientAuth for one connection to a monitor.

    After ``done``, ``client`` is the session to keep. ``previous`` is that of the session before,
    whose global_id is claimed again; it is not changed. ``key`` None means no key for ``name``.
    """

    registry: AuthRegistry
    name: EntityName
    key: CryptoKey | None
    want: int
    host: Host
    rotating: RotatingKeyRing | None = None
    previous: AuthClient | None = None
    client: AuthClient | None = field(default=None, init=False)
    _tried: list[int] = field(factory=list, init=False)

    @property
    def global_id(self) -> int:
        """The one claimed, then the one given."""
        source = self.client or self.previous
        return source.global_id if source is not None else 0

    def request(self) -> AuthRequest:
        methods = self.registry.supported_methods(MON)
        if not methods:
            raise AuthError(
                errno.EACCES,
                f"no authentication method is left for {self.name} to use with a monitor; is there"
                " a keyring with its key?",
            )
        return self._request(methods[0])

    def _request(self, method: int) -> AuthRequest:
        modes = self.registry.supported_modes(MON, method)
        if not modes:
            raise AuthError(
                errno.EACCES,
                f"ms_mon_cluster_mode allows no mode that method {method_names([method])} can use",
            )
        self._tried.append(method)
        self.client = self._make_client(method)
        payload = (
            bytes([AUTH_MODE_MON])
            + encode(EntityName, self.name)
            + encode(U64, self.client.global_id)
        )
        return AuthRequest(method, list(modes), payload)

    def _make_client(self, method: int) -> AuthClient:
        global_id = self.previous.global_id if self.previous is not None else 0
        if self.previous is not None and self.previous.method == method:
            return self.previous.copy()
        if method == CEPH_AUTH_NONE:
            return NoneClient(self.name, global_id)
        if method != CEPH_AUTH_CEPHX:
            raise AuthError(errno.EOPNOTSUPP, f"method {method_names([method])} is not known here")
        if self.key is None or not self.key:
            raise AuthError(
                errno.ENOENT,
                f"no key for {self.name}; give its keyring with -k, or export one with"
                f" 'ceph auth get {self.name} -o FILE'",
            )
        return CephxClient(self.name, self.key, self.want, self.host, self.rotating, global_id)

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        ours = self.registry.supported_methods(MON)
        later = ours[ours.index(method) + 1 :] if method in ours else ()
        for candidate in later:
            if candidate in methods and candidate not in self._tried:
                return self._request(candidate)
        raise AuthError(-result if result < 0 else errno.EACCES, self._why(method, result, methods))

    def _why(self, method: int, result: int, methods: list[int]) -> str:
        if method not in methods:
            return (
                f"the monitor allows {method_names(methods)}, and {self.name} may use"
                f" {method_names(self.registry.supported_methods(MON))}; set"
                " auth_cluster_required alike on both sides"
            )
        if result == -errno.EACCES and self.global_id:
            return (
                f"the monitor does not let {self.name} take up its global_id {self.global_id}"
                " again: the ticket of the last session has expired, or the key has changed"
            )
        if result == -errno.EACCES:
            return (
                f"the monitor does not accept the key of {self.name}: it does not know the name, or"
                f" the key is another; compare with 'ceph auth get {self.name}'"
            )
        return f"the monitor refused to authenticate {self.name}: {os.strerror(abs(result))}"

    def reply_more(self, payload: bytes) -> bytes:
        if not isinstance(self.client, CephxClient):
            raise AuthError(errno.EPERM, "the monitor asks for more where method none has no more")
        self.client.handle_challenge(payload)
        return self.client.build_request()

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        if global_id == 0:
            raise AuthError(errno.EPERM, "the monitor gave the global_id 0, which is nobody's")
        if isinstance(self.client, CephxClient):
            self.client.global_id = global_id
            secret = self.client.handle_reply(payload)
            _check_secret(con_mode, secret, "monitor")
            return AuthKeys(self.client.tickets.handler(AUTH).session_key.secret, secret)
        if isinstance(self.client, NoneClient):
            self.client.global_id = global_id
        return AuthKeys()


@define
class ServiceAuth:
    """A ClientAuth for one connection to an osd, mds or mgr."""

    registry: AuthRegistry
    peer_type: int
    client: AuthClient
    _authorizer: Authorizer | None = field(default=None, init=False)

    def _shown(self) -> Authorizer:
        if self._authorizer is None:
            raise AuthError(errno.EPERM, "the peer answered an authorizer before one was sent")
        return self._authorizer

    def request(self) -> AuthRequest:
        authorizer = self.client.build_authorizer(self.peer_type)
        modes = self.registry.supported_modes(self.peer_type, authorizer.method)
        if not modes:
            raise AuthError(
                errno.EACCES,
                f"no connection mode is allowed with a {type_name(self.peer_type)}; see"
                " ms_cluster_mode",
            )
        self._authorizer = authorizer
        return AuthRequest(authorizer.method, list(modes), authorizer.payload)

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        who = type_name(self.peer_type)
        if method not in methods:
            why = f"the {who} allows {method_names(methods)}, and {method_names([method])} was used"
        else:
            why = f"the {who} refused our ticket ({os.strerror(abs(result))})"
            self.client.invalidate(self.peer_type)
        raise AuthError(errno.EACCES, why)

    def reply_more(self, payload: bytes) -> bytes:
        return self._shown().add_challenge(payload)

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        keys = self._shown().verify_reply(payload)
        _check_secret(con_mode, keys.connection_secret, type_name(self.peer_type))
        return keys


def _check_secret(con_mode: int, secret: bytes, who: str) -> None:
    if con_mode == CEPH_CON_MODE_SECURE and len(secret) < SECURE_SECRET_MIN:
        raise AuthError(errno.EPERM, f"the {who} chose secure mode and sent no secret for it")
