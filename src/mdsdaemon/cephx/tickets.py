"""Tickets of this process, the authorizers made of them, and a service's rotating secrets.

Format: ceph/ceph, src/auth/cephx/CephxProtocol.cc, src/auth/RotatingKeyRing.cc,
src/auth/none/AuthNoneProtocol.h (Pacific)
"""

from __future__ import annotations

import errno
from typing import Final, Protocol

from mdsdaemon.cephx.auth import RotatingSecrets
from mdsdaemon.cephx.crypto import CryptoKey, RandBytes, get_sealed, put_sealed, unseal
from mdsdaemon.cephx.plug import (
    AUTH_MODE_AUTHORIZER,
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    AuthError,
    AuthKeys,
)
from mdsdaemon.cephx.wire import (
    CephXAuthorize,
    CephXAuthorizeChallenge,
    CephXAuthorizeReply,
    CephXServiceTicket,
    CephXTicketBlob,
)
from mdsdaemon.encoding import ALL_FEATURES, U32, U64, Blob, Cursor, DecodeError, decode, encode
from mdsdaemon.records import define, evolve, field
from mdsdaemon.types.entity import EntityName, type_name
from mdsdaemon.types.utime import NSEC

_U64_MAX: Final = 2**64 - 1
#: A reply holds one ticket per service type.
_MAX_TICKETS: Final = 32


def cursor(payload: bytes, type_: str) -> Cursor:
    """Read an authentication payload by hand."""
    return Cursor(payload, 0, len(payload), ALL_FEATURES, (type_, ""))


class Authorizer(Protocol):
    """What is shown to one service on one connection."""

    @property
    def method(self) -> int: ...

    @property
    def payload(self) -> bytes:
        """The first payload, from AUTH_MODE_AUTHORIZER on."""
        ...

    def add_challenge(self, challenge: bytes) -> bytes:
        """The payload that answers the service's challenge; raises AuthError."""
        ...

    def verify_reply(self, reply: bytes) -> AuthKeys:
        """Check that the service could read the ticket; raises AuthError."""
        ...


@define
class NoneAuthorizer:
    """Method none: a claim of a name and a number."""

    name: EntityName
    global_id: int
    method: int = field(default=CEPH_AUTH_NONE, init=False)

    @property
    def payload(self) -> bytes:
        return (
            bytes([AUTH_MODE_AUTHORIZER])
            + encode(EntityName, self.name)
            + encode(U64, self.global_id)
        )

    def add_challenge(self, challenge: bytes) -> bytes:
        return self.payload

    def verify_reply(self, reply: bytes) -> AuthKeys:
        return AuthKeys()


@define
class CephxAuthorizer:
    """A ticket, and a nonce under the session key: made for one connection."""

    service_id: int
    base: bytes = field(repr=False)
    session_key: CryptoKey
    nonce: int = field(repr=False)
    method: int = field(default=CEPH_AUTH_CEPHX, init=False)

    @property
    def payload(self) -> bytes:
        return self.base + put_sealed(CephXAuthorize, CephXAuthorize(self.nonce), self.session_key)

    def add_challenge(self, challenge: bytes) -> bytes:
        try:
            asked = unseal(CephXAuthorizeChallenge, challenge, self.session_key)
        except DecodeError as error:
            raise AuthError(
                errno.EACCES,
                f"the {type_name(self.service_id)}'s challenge does not decrypt with our ticket's"
                f" key ({error.why})",
            ) from error
        answer = CephXAuthorize(self.nonce, True, asked.server_challenge + 1 & _U64_MAX)
        return self.base + put_sealed(CephXAuthorize, answer, self.session_key)

    def verify_reply(self, reply: bytes) -> AuthKeys:
        who = type_name(self.service_id)
        try:
            answer = get_sealed(
                CephXAuthorizeReply, cursor(reply, "CephXAuthorizeReply"), self.session_key
            )
        except DecodeError as error:
            raise AuthError(
                errno.EACCES, f"the {who} did not prove that it can read our ticket ({error.why})"
            ) from error
        if answer.nonce_plus_one != self.nonce + 1 & _U64_MAX:
            raise AuthError(errno.EACCES, f"the {who} answered an authorizer that is not ours")
        return AuthKeys(self.session_key.secret, answer.connection_secret)


@define
class TicketHandler:
    """The ticket for one service. Times are seconds since the epoch."""

    service_id: int
    session_key: CryptoKey = field(factory=CryptoKey)
    ticket: CephXTicketBlob = field(factory=CephXTicketBlob)
    renew_after: float = 0.0
    expires: float = 0.0
    valid: bool = False

    def have_key(self, now: float) -> bool:
        """Whether the ticket can be shown."""
        return self.valid and now < self.expires

    def need_key(self, now: float) -> bool:
        """Whether a new ticket should be asked for: three quarters of the time have passed."""
        return not self.have_key(now) or now >= self.renew_after

    def update(self, secret: CryptoKey, c: Cursor, now: float) -> TicketHandler:
        """The handler after one ticket of a reply; raises DecodeError."""
        c.u8()
        mine = get_sealed(CephXServiceTicket, c, secret)
        encrypted = c.u8()
        raw = get_sealed(Blob, c, self.session_key) if encrypted else c.blob()
        validity = mine.validity / NSEC
        return TicketHandler(
            self.service_id,
            mine.session_key,
            decode(CephXTicketBlob, raw, partial=True),
            renew_after=now + validity - mine.validity // NSEC / 4,
            expires=now + validity,
            valid=True,
        )

    def build_authorizer(self, global_id: int, randbytes: RandBytes) -> CephxAuthorizer:
        base = (
            bytes([AUTH_MODE_AUTHORIZER])
            + encode(U64, global_id)
            + encode(U32, self.service_id)
            + encode(CephXTicketBlob, self.ticket)
        )
        nonce = int.from_bytes(randbytes(8), "little")
        return CephxAuthorizer(self.service_id, base, self.session_key, nonce)


@define
class TicketManager:
    """All tickets of this process, by service type."""

    tickets: dict[int, TicketHandler] = field(factory=dict)

    def copy(self) -> TicketManager:
        return TicketManager({service: evolve(t) for service, t in self.tickets.items()})

    def handler(self, service_id: int) -> TicketHandler:
        """The ticket for a service, an empty one where there is none."""
        return self.tickets.get(service_id) or TicketHandler(service_id)

    def invalidate(self, service_id: int) -> None:
        """Stop showing a ticket; it still proves an old global_id to a monitor."""
        if service_id in self.tickets:
            self.tickets[service_id].valid = False

    def have(self, want: int, now: float) -> int:
        """Of the services in the mask ``want``, those whose ticket can be shown."""
        return sum(bit for bit in _bits(want) if self.handler(bit).have_key(now))

    def need(self, want: int, now: float) -> int:
        """Of the services in the mask ``want``, those whose ticket is missing or getting old."""
        return sum(bit for bit in _bits(want) if self.handler(bit).need_key(now))

    def verify_service_ticket_reply(self, secret: CryptoKey, c: Cursor, now: float) -> None:
        """Take the tickets of a monitor's reply: all, or on DecodeError none.

        ``secret`` is the entity's key for the ticket of the authentication service itself, that
        ticket's session key for the others.
        """
        c.u8()
        count = c.u32()
        if count > _MAX_TICKETS:
            raise c.fail(f"{count} tickets in one reply")
        new: dict[int, TicketHandler] = {}
        for _ in range(count):
            service = c.u32()
            new[service] = self.handler(service).update(secret, c, now)
        self.tickets.update(new)


def _bits(mask: int) -> list[int]:
    return [1 << n for n in range(mask.bit_length()) if mask >> n & 1]


@define
class RotatingKeyRing:
    """The secrets under which this service's tickets are made, as the monitor hands them out."""

    service_id: int
    secrets: RotatingSecrets = field(factory=RotatingSecrets)

    def set_secrets(self, secrets: RotatingSecrets) -> None:
        self.secrets = secrets

    def need_new_secrets(self, now: float | None = None) -> bool:
        """Whether there are too few or, given ``now`` (seconds), the current one has expired."""
        return self.secrets.need_new_secrets(now)

    def get_service_secret(self, service_id: int, secret_id: int) -> CryptoKey | None:
        """The secret of that id; None for another service's or one that is not known (any more)."""
        if service_id != self.service_id:
            return None
        found = self.secrets.secrets.get(secret_id)
        return found.key if found is not None else None
