"""What a connection asks of authentication: the protocols, and the values they exchange.

The handshake (`handshake_client`, `handshake_server`) drives one `ClientAuth` or `ServerAuth` per
connection and knows nothing about tickets. `cephx/` and the monitor client implement them.

Format: ceph/ceph, src/include/ceph_fs.h (CEPH_AUTH_*, CEPH_CON_MODE_*),
src/auth/AuthClient.h, src/auth/AuthServer.h (Pacific)
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    from mdsdaemon.types.entity import EntityAddrVec, EntityName

CEPH_AUTH_UNKNOWN = 0
CEPH_AUTH_NONE = 1
CEPH_AUTH_CEPHX = 2

CEPH_CON_MODE_UNKNOWN = 0
CEPH_CON_MODE_CRC = 1
CEPH_CON_MODE_SECURE = 2

SECURE_CONNECTION_SECRET_LEN = 40
"""Bytes of `AuthKeys.connection_secret` that secure mode takes: a key of 16, two nonces of 12."""


class AuthError(Exception):
    """Authentication failed; the connection ends.

    `errno` is positive (EACCES, EOPNOTSUPP, ...), `text` says who was refused and why.
    """

    def __init__(self, errno_: int, text: str) -> None:
        super().__init__(errno_, text)
        self.errno = errno_
        self.text = text

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno, str(self.errno))
        return f"{self.text} ({name}: {os.strerror(self.errno)})"


@frozen
class AuthRequest:
    """Client → server: the method tried, connection modes in order of preference, its payload."""

    method: int
    modes: list[int]
    payload: bytes = field(repr=False)


@frozen
class AuthKeys:
    """What both sides hold once authentication is done; both empty under method none.

    `session_key` signs the handshake (HMAC-SHA256), `connection_secret` feeds secure mode and
    must then hold at least SECURE_CONNECTION_SECRET_LEN bytes.
    """

    session_key: bytes = field(default=b"", repr=False)
    connection_secret: bytes = field(default=b"", repr=False)


@frozen
class AuthCapsInfo:
    """Capabilities granted to a peer by its ticket: allow_all, or the encoded caps string."""

    allow_all: bool = False
    caps: bytes = b""


@frozen
class PeerIdentity:
    """Who the peer has proved to be."""

    entity_name: EntityName
    global_id: int
    caps: AuthCapsInfo
    auth_method: int


@frozen
class AuthMore:
    """Server's verdict: another round is needed, `payload` goes to the client."""

    payload: bytes = field(repr=False)


@frozen
class AuthDone:
    """Server's verdict: accepted. `con_mode` is the mode chosen among those the client offered."""

    global_id: int
    con_mode: int
    payload: bytes = field(repr=False)
    keys: AuthKeys
    identity: PeerIdentity


@frozen
class AuthBadMethod:
    """Server's verdict: refused with `result` (-errno); the client may try one of `methods`."""

    result: int
    methods: list[int]
    modes: list[int]


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
