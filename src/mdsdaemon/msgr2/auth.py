"""What a connection asks of authentication: the protocols, and the values they exchange.

The handshake (`handshake_client`, `handshake_server`) drives one `ClientAuth` or `ServerAuth` per
connection and knows nothing about tickets. `cephx/` and the monitor client implement them.

Format: ceph/ceph, src/include/ceph_fs.h (CEPH_AUTH_*, CEPH_CON_MODE_*),
src/auth/AuthClient.h, src/auth/AuthServer.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mdsdaemon.cephx.plug import (
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    CEPH_AUTH_UNKNOWN,
    CEPH_CON_MODE_CRC,
    CEPH_CON_MODE_SECURE,
    CEPH_CON_MODE_UNKNOWN,
    AuthBadMethod,
    AuthCapsInfo,
    AuthDone,
    AuthError,
    AuthKeys,
    AuthMore,
    AuthRequest,
    PeerIdentity,
)

if TYPE_CHECKING:
    from mdsdaemon.types.entity import EntityAddrVec

__all__ = [
    "CEPH_AUTH_CEPHX",
    "CEPH_AUTH_NONE",
    "CEPH_AUTH_UNKNOWN",
    "CEPH_CON_MODE_CRC",
    "CEPH_CON_MODE_SECURE",
    "CEPH_CON_MODE_UNKNOWN",
    "SECURE_CONNECTION_SECRET_LEN",
    "AuthBadMethod",
    "AuthCapsInfo",
    "AuthDone",
    "AuthError",
    "AuthKeys",
    "AuthMore",
    "AuthRequest",
    "AuthVerdict",
    "Authenticator",
    "ClientAuth",
    "PeerIdentity",
    "ServerAuth",
]

SECURE_CONNECTION_SECRET_LEN = 40
"""Bytes of `AuthKeys.connection_secret` that secure mode takes: a key of 16, two nonces of 12."""

AuthVerdict = AuthMore | AuthDone | AuthBadMethod


class ClientAuth(Protocol):
    """The connecting side of one connection's authentication. Every method may raise AuthError."""

    def request(self) -> AuthRequest:
        """The first AUTH_REQUEST."""
        ...

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        """The server refused `method` with `result` (-errno): what to try next, or AuthError."""
        ...

    def reply_more(self, payload: bytes) -> bytes:
        """The payload of AUTH_REQUEST_MORE that answers AUTH_REPLY_MORE."""
        ...

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        """AUTH_DONE arrived: verify the server's proof and derive the keys.

        A `con_mode` that was not offered is refused before this is called.
        """
        ...


class ServerAuth(Protocol):
    """The accepting side of one connection's authentication."""

    def request(
        self, method: int, modes: list[int], payload: bytes
    ) -> AuthMore | AuthDone | AuthBadMethod:
        """AUTH_REQUEST arrived. AuthError ends the connection without an answer."""
        ...

    def request_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
        """AUTH_REQUEST_MORE arrived, after an AuthMore."""
        ...


class Authenticator(Protocol):
    """One per daemon: makes the per-connection halves."""

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        """For a connection we open; AuthError when there is nothing to show (no ticket, no key)."""
        ...

    def server_session(self, peer_type: int, now: float) -> ServerAuth:
        """For a connection we accept from a peer that says it is of `peer_type`."""
        ...
