"""What an authentication method and a connection's handshake say to each other.

These are the value types of the plug; its Protocols (``Authenticator``, ``ClientAuth``,
``ServerAuth``) stand in :mod:`mdsdaemon.msgr2.auth`, above this package. Nothing here is a wire
format: payloads are opaque bytes to the handshake.

Numbers: ceph/ceph, src/include/ceph_fs.h (CEPH_AUTH_*, CEPH_CON_MODE_*) and src/auth/Auth.h
(AUTH_MODE_*).
"""

from __future__ import annotations

import errno as errnos
import os
from typing import Final

from mdsdaemon.cephx.auth import AuthCapsInfo
from mdsdaemon.records import define, field
from mdsdaemon.types.entity import EntityName

__all__ = [
    "AUTH_METHOD_NAMES",
    "AUTH_MODE_AUTHORIZER",
    "AUTH_MODE_AUTHORIZER_MAX",
    "AUTH_MODE_MON",
    "AUTH_MODE_MON_MAX",
    "AUTH_MODE_NONE",
    "CEPH_AUTH_CEPHX",
    "CEPH_AUTH_GSS",
    "CEPH_AUTH_NONE",
    "CEPH_AUTH_UNKNOWN",
    "CEPH_CON_MODE_CRC",
    "CEPH_CON_MODE_SECURE",
    "CEPH_CON_MODE_UNKNOWN",
    "CON_MODE_NAMES",
    "AuthBadMethod",
    "AuthCapsInfo",
    "AuthDone",
    "AuthError",
    "AuthKeys",
    "AuthMore",
    "AuthRequest",
    "PeerIdentity",
]

CEPH_AUTH_UNKNOWN: Final = 0
CEPH_AUTH_NONE: Final = 1
CEPH_AUTH_CEPHX: Final = 2
CEPH_AUTH_GSS: Final = 4

CEPH_CON_MODE_UNKNOWN: Final = 0
CEPH_CON_MODE_CRC: Final = 1
CEPH_CON_MODE_SECURE: Final = 2

#: First byte of a client's first payload: 1..9 carry a service authorizer, 10..19 start a
#: session with a monitor.
AUTH_MODE_NONE: Final = 0
AUTH_MODE_AUTHORIZER: Final = 1
AUTH_MODE_AUTHORIZER_MAX: Final = 9
AUTH_MODE_MON: Final = 10
AUTH_MODE_MON_MAX: Final = 19

AUTH_METHOD_NAMES: Final = {
    CEPH_AUTH_UNKNOWN: "unknown",
    CEPH_AUTH_NONE: "none",
    CEPH_AUTH_CEPHX: "cephx",
    CEPH_AUTH_GSS: "gss",
}
CON_MODE_NAMES: Final = {
    CEPH_CON_MODE_UNKNOWN: "unknown",
    CEPH_CON_MODE_CRC: "crc",
    CEPH_CON_MODE_SECURE: "secure",
}


class AuthError(Exception):
    """Authentication failed; ``errno`` is positive, ``text`` one sentence fit for a log line."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(errno, text)
        self.errno = errno
        self.text = text

    def __str__(self) -> str:
        name = errnos.errorcode.get(self.errno, str(self.errno))
        return f"{self.text} ({name}: {os.strerror(self.errno)})"


@define(frozen=True)
class AuthKeys:
    """The secrets that a finished handshake leaves for the connection.

    ``session_key``: the AES key (16 bytes) of the frame signatures, empty with method ``none``.
    ``connection_secret``: 64 bytes in secure mode (from which the stream keys are cut), else
    empty.
    """

    session_key: bytes = field(default=b"", repr=False)
    connection_secret: bytes = field(default=b"", repr=False)


@define(frozen=True)
class PeerIdentity:
    """Who the peer has proved to be."""

    entity_name: EntityName
    global_id: int
    caps: AuthCapsInfo
    auth_method: int


@define(frozen=True)
class AuthRequest:
    """Client to server: the method tried, the connection modes wanted (best first), payload."""

    method: int
    modes: list[int]
    payload: bytes = field(repr=False)


@define(frozen=True)
class AuthMore:
    """Server to client: another round is needed."""

    payload: bytes = field(repr=False)


@define(frozen=True)
class AuthDone:
    """Server to client: accepted. ``keys`` and ``identity`` stay on this side."""

    global_id: int
    con_mode: int
    payload: bytes = field(repr=False)
    keys: AuthKeys
    identity: PeerIdentity


@define(frozen=True)
class AuthBadMethod:
    """Server to client: refused; ``result`` is ``-errno``, ``methods``/``modes`` are allowed.

    ``reason`` is for this side's log only and never sent.
    """

    result: int
    methods: list[int]
    modes: list[int]
    reason: str = ""
