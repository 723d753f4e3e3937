"""The accepting side: who a peer is, by the ticket it shows (``verify_authorizer``).

A peer shows its ticket and a nonce under the ticket's session key; it is given a challenge under
that key; its second authorizer must answer the challenge. Only then the nonce is answered, with
the connection's secret in secure mode. A recorded authorizer is of no use to anyone, as every
connection has its own challenge.

Beyond what Ceph checks, a ticket must not have expired, must be written as Ceph writes tickets
(AES-CBC without a signature lets its holder alter it blindly), and a peer that says it is a
cluster daemon must hold a ticket of such a daemon's name.

Format: ceph/ceph, src/auth/cephx/CephxProtocol.cc (cephx_verify_authorizer),
src/mon/MonClient.cc (handle_auth_request), src/auth/none/AuthNoneAuthorizeHandler.cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import Final

from mdsdaemon.cephx.auth import CEPH_AUTH_UID_DEFAULT, AuthCapsInfo, AuthTicket
from mdsdaemon.cephx.crypto import CryptoKey, RandBytes, get_sealed, open_sealed, put_sealed, seal
from mdsdaemon.cephx.plug import (
    AUTH_MODE_AUTHORIZER,
    AUTH_MODE_AUTHORIZER_MAX,
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
from mdsdaemon.cephx.tickets import RotatingKeyRing, cursor
from mdsdaemon.cephx.wire import (
    CephXAuthorize,
    CephXAuthorizeChallenge,
    CephXAuthorizeReply,
    CephXServiceTicketInfo,
    CephXTicketBlob,
)
from mdsdaemon.encoding import Cursor, DecodeError, decode, encode, wire_codec
from mdsdaemon.records import define, field
from mdsdaemon.types.entity import EntityName, type_name
from mdsdaemon.types.utime import NSEC

CONNECTION_SECRET_LEN: Final = 64
"""Bytes of secret given for a secure connection."""

CLOCK_SLACK: Final = 60.0
"""Seconds for which a ticket is taken after it expired: our clock may be ahead of the monitor's."""

MAX_ATTEMPTS: Final = 8
"""Requests on one connection: a peer may try another method, and not try for ever."""

_U64_MAX: Final = 2**64 - 1
_INFO_V: Final = wire_codec(CephXServiceTicketInfo).newest
_TICKET_V: Final = wire_codec(AuthTicket).newest

Verdict = AuthMore | AuthDone | AuthBadMethod


class Refused(Exception):
    """Why an authorizer is not taken: for our log, never for the peer."""


@define
class AuthServer:
    """What all accepted connections of a service share.

    Attributes:
        registry: the methods and modes allowed; replace it when the options change.
        rotating: this service's secrets; None where only method none can work.
        randbytes: source of challenges and connection secrets.
        clock_slack: seconds, see CLOCK_SLACK.
    """

    registry: AuthRegistry
    rotating: RotatingKeyRing | None
    randbytes: RandBytes
    clock_slack: float = CLOCK_SLACK

    def server_session(self, peer_type: int, now: float) -> ServiceServerAuth:
        """A ServerAuth for one connection of a peer that says it is of ``peer_type``.

        ``now``: seconds since the epoch.
        """
        return ServiceServerAuth(self, peer_type, now)


@define
class ServiceServerAuth:
    """The accepting side of one connection's authentication."""

    server: AuthServer
    peer_type: int
    now: float
    _method: int = field(default=0, init=False)
    _con_mode: int = field(default=CEPH_CON_MODE_UNKNOWN, init=False)
    _challenge: int | None = field(default=None, init=False, repr=False)
    _attempts: int = field(default=0, init=False)

    def request(self, method: int, modes: list[int], payload: bytes) -> Verdict:
        """AUTH_REQUEST. Raises AuthError after MAX_ATTEMPTS of them."""
        self._attempts += 1
        if self._attempts > MAX_ATTEMPTS:
            raise AuthError(errno.EACCES, f"gave up after {MAX_ATTEMPTS} attempts to authenticate")
        registry = self.server.registry
        self._challenge = None
        self._method = method
        self._con_mode = registry.pick_mode(self.peer_type, method, modes)
        if not registry.accepts(self.peer_type, method):
            return self._bad(
                errno.EOPNOTSUPP,
                f"method {method_names([method])} is not allowed to a"
                f" {type_name(self.peer_type)}: {self._option()} says"
                f" {method_names(registry.supported_methods(self.peer_type))}",
            )
        if self._con_mode == CEPH_CON_MODE_UNKNOWN:
            return self._bad(errno.EOPNOTSUPP, f"none of the connection modes {modes} is allowed")
        return self._verify(payload, more=False)

    def request_more(self, payload: bytes) -> Verdict:
        """AUTH_REQUEST_MORE: the answer to our challenge."""
        if self._challenge is None:
            raise AuthError(errno.EPERM, "an answer came to a challenge that was not given")
        return self._verify(payload, more=True)

    def _option(self) -> str:
        cluster = self.peer_type in CLUSTER_PEERS
        return "auth_cluster_required" if cluster else "auth_service_required"

    def _bad(self, number: int, reason: str) -> AuthBadMethod:
        self._challenge = None
        registry = self.server.registry
        return AuthBadMethod(
            -number,
            list(registry.supported_methods(self.peer_type)),
            list(registry.supported_modes(self.peer_type)),
            reason,
        )

    def _verify(self, payload: bytes, *, more: bool) -> Verdict:
        try:
            if not payload:
                raise Refused("the peer showed no authorizer")
            if not AUTH_MODE_AUTHORIZER <= payload[0] <= AUTH_MODE_AUTHORIZER_MAX:
                raise Refused(f"the peer asks for mode {payload[0]}, which a monitor serves")
            c = cursor(payload, "CephXAuthorizer")
            if self._method == CEPH_AUTH_NONE:
                return self._verify_none(c)
            return self._verify_cephx(c, more=more)
        except DecodeError as error:
            return self._bad(errno.EACCES, f"the authorizer does not decode: {error}")
        except Refused as refused:
            return self._bad(errno.EACCES, str(refused))

    def _done(
        self, name: EntityName, global_id: int, caps: AuthCapsInfo, keys: AuthKeys, reply: bytes
    ) -> AuthDone:
        if self.peer_type in CLUSTER_PEERS and name.type != self.peer_type:
            raise Refused(
                f"the peer says it is a {type_name(self.peer_type)} and proves to be {name}"
            )
        identity = PeerIdentity(name, global_id, caps, self._method)
        return AuthDone(global_id, self._con_mode, reply, keys, identity)

    def _verify_none(self, c: Cursor) -> AuthDone:
        c.u8()
        name = c.get(EntityName)
        return self._done(name, c.u64(), AuthCapsInfo(allow_all=True), AuthKeys(), b"")

    def _verify_cephx(self, c: Cursor, *, more: bool) -> AuthDone | AuthMore:
        version = c.u8()
        global_id = c.u64()
        service_id = c.u32()
        blob = c.get(CephXTicketBlob)
        info = self._open_ticket(service_id, blob)
        if info.ticket.global_id != global_id:
            raise Refused(
                f"the peer claims global_id {global_id}, its ticket is of {info.ticket.global_id}"
            )
        request = get_sealed(CephXAuthorize, c, info.session_key)
        if version == AUTH_MODE_AUTHORIZER and c.remaining():
            raise Refused(f"{c.remaining()} bytes follow the authorizer")
        if not more:
            return self._ask(info.session_key)
        asked, self._challenge = self._challenge, None
        if (
            asked is None
            or not request.have_challenge
            or request.server_challenge_plus_one != asked + 1 & _U64_MAX
        ):
            raise Refused(f"{info.ticket.name} did not answer our challenge: a replay, perhaps")
        secret = b""
        if self._con_mode == CEPH_CON_MODE_SECURE:
            secret = self.server.randbytes(CONNECTION_SECRET_LEN)
        reply = CephXAuthorizeReply(2 if secret else 1, request.nonce + 1 & _U64_MAX, secret)
        return self._done(
            info.ticket.name,
            global_id,
            info.ticket.caps,
            AuthKeys(info.session_key.secret, secret),
            put_sealed(CephXAuthorizeReply, reply, info.session_key),
        )

    def _ask(self, session_key: CryptoKey) -> AuthMore:
        self._challenge = int.from_bytes(self.server.randbytes(8), "little")
        challenge = CephXAuthorizeChallenge(self._challenge)
        return AuthMore(seal(CephXAuthorizeChallenge, challenge, session_key))

    def _open_ticket(self, service_id: int, blob: CephXTicketBlob) -> CephXServiceTicketInfo:
        rotating = self.server.rotating
        if rotating is None or self._method != CEPH_AUTH_CEPHX:
            raise Refused("this daemon has no rotating secrets to read tickets with")
        if service_id != rotating.service_id:
            raise Refused(
                f"the ticket is for the service {type_name(service_id)}, this is a"
                f" {type_name(rotating.service_id)}"
            )
        secret = rotating.get_service_secret(service_id, blob.secret_id)
        if secret is None or not secret:
            known = ", ".join(str(number) for number in sorted(rotating.secrets.secrets)) or "none"
            raise Refused(
                f"the ticket is made with secret {blob.secret_id}, known here: {known}; it is too"
                " old, or the monitor's newest secrets have not arrived yet"
            )
        raw = open_sealed(blob.blob, secret)
        info = decode(CephXServiceTicketInfo, raw, partial=True)
        if not _as_ceph_writes(info, raw):
            raise Refused("the ticket is not as Ceph writes tickets: it has been altered")
        expired = self.now - info.ticket.expires / NSEC
        if expired > self.server.clock_slack:
            raise Refused(f"the ticket of {info.ticket.name} expired {expired:.0f} s ago")
        if not info.session_key:
            raise Refused(f"the ticket of {info.ticket.name} has no session key")
        return info


def _as_ceph_writes(info: CephXServiceTicketInfo, raw: bytes) -> bool:
    """Whether the ticket, written anew, gives the same bytes, and its texts are texts.

    Who flips bits of one cipher block makes noise of the plain block before it. Nearly every
    block holds something that can be only one way; where all of one lies in a name or in caps, the
    noise is almost never UTF-8 without control characters. The two version bytes stand in the
    first block with the magic number, where no noise is possible.
    """
    if raw[0] > _INFO_V or raw[1] > _TICKET_V:
        return True  # of a release to come, whose form is not known here
    ticket = info.ticket
    return (
        encode(CephXServiceTicketInfo, info) == raw
        and ticket.auid == CEPH_AUTH_UID_DEFAULT
        and _is_text(ticket.name.id.encode(errors="surrogateescape"))
        and _is_caps(ticket.caps.caps)
    )


def _is_caps(raw: bytes) -> bool:
    return not raw or (int.from_bytes(raw[:4], "little") == len(raw) - 4 and _is_text(raw[4:]))


def _is_text(raw: bytes) -> bool:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    return all(char >= " " or char in "\t\n\r" for char in text)
