"""The key server: entities with their keys and caps, rotating service secrets, tickets.

A ticket for a service is sealed with one of that service's rotating secrets, of which three are
known at a time: the one before, the one in use, the next. Services of the same process (the object
store) take theirs by `ring`; others ask with CEPHX_GET_ROTATING_KEY.

Format: ceph/ceph, src/auth/cephx/CephxKeyServer.h and .cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, field

from mdsdaemon.cephx.auth import (
    AuthCapsInfo,
    AuthTicket,
    EntityAuth,
    ExpiringCryptoKey,
    RotatingSecrets,
)
from mdsdaemon.cephx.crypto import CryptoKey, put_sealed, seal
from mdsdaemon.cephx.plug import AuthError
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import AuthServer
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.cephx.wire import (
    CephXServiceTicket,
    CephXServiceTicketInfo,
    CephXTicketBlob,
)
from mdsdaemon.encoding import U32, Blob, encode
from mdsdaemon.types.entity import AUTH, MDS, MGR, MON, OSD, EntityAddrVec, EntityName, type_name
from mdsdaemon.types.utime import NSEC, from_seconds

if TYPE_CHECKING:
    from mdsdaemon.host import Host
    from mdsdaemon.msgr2.auth import ClientAuth, ServerAuth

SERVICES: Final = (AUTH, MON, OSD, MDS, MGR)
"""Entity types whose tickets are sealed with rotating secrets."""


class TicketLifetimes(Protocol):
    """The options that say how long tickets live (a `Config` has them)."""

    def get_float(self, name: str) -> float: ...


@define
class SessionAuthInfo:
    """One ticket in both its parts, and the service's secret that seals it."""

    service_id: int
    secret_id: int
    secret: CryptoKey = field(repr=False)
    session_key: CryptoKey = field(repr=False)
    ticket: AuthTicket
    validity: float

    def reply_part(self, principal: CryptoKey, old_session_key: CryptoKey | None) -> bytes:
        """The ticket for its holder; `old_session_key` covers the blob once more on a reclaim."""
        mine = CephXServiceTicket(self.session_key, round(self.validity * NSEC))
        info = CephXServiceTicketInfo(self.ticket, self.session_key)
        blob = CephXTicketBlob(self.secret_id, seal(CephXServiceTicketInfo, info, self.secret))
        raw = encode(CephXTicketBlob, blob)
        out = encode(U32, self.service_id) + b"\x01"
        out += put_sealed(CephXServiceTicket, mine, principal)
        if old_session_key is None:
            return out + b"\x00" + encode(Blob, raw)
        return out + b"\x01" + put_sealed(Blob, raw, old_session_key)


def ticket_reply(
    infos: list[SessionAuthInfo], principal: CryptoKey, old_session_key: CryptoKey | None = None
) -> bytes:
    """Tickets as a reply carries them; their holder reads them with `principal`."""
    parts = (info.reply_part(principal, old_session_key) for info in infos)
    return b"\x01" + encode(U32, len(infos)) + b"".join(parts)


@define(eq=False)
class KeyServer:
    """See the module.

    Attributes:
        entities: all but ``mon.``, whose key opens nothing here.
        rotating: secrets by service type; the objects live as long as the key server.
    """

    host: Host
    lifetimes: TicketLifetimes
    entities: dict[EntityName, EntityAuth] = field(factory=dict, repr=False)
    rotating: dict[int, RotatingSecrets] = field(repr=False)

    @rotating.default
    def _no_secrets(self) -> dict[int, RotatingSecrets]:
        return {service: RotatingSecrets() for service in SERVICES}

    # -- entities ---------------------------------------------------------------------------

    def get(self, name: EntityName) -> EntityAuth | None:
        """The entity's key and caps."""
        return self.entities.get(name)

    def create_key(self) -> CryptoKey:
        """A new secret."""
        return CryptoKey.create(self.host.randbytes, self.host.wall())

    def caps_info(self, name: EntityName, service: int) -> AuthCapsInfo:
        """The caps of an entity on a service, as tickets carry them; empty without any."""
        auth = self.entities.get(name)
        raw = auth.caps.get(type_name(service), b"") if auth is not None else b""
        return AuthCapsInfo(caps=raw)

    # -- rotating secrets -------------------------------------------------------------------

    def ttl(self, service: int) -> float:
        """Seconds that a ticket for the service lives."""
        option = "auth_mon_ticket_ttl" if service == AUTH else "auth_service_ticket_ttl"
        return self.lifetimes.get_float(option)

    def rotate(self) -> list[int]:
        """Make the secrets that are due; the services that got some."""
        return [service for service in SERVICES if self._rotate(service)]

    def _rotate(self, service: int) -> bool:
        secrets = self.rotating[service]
        now, ttl = self.host.wall(), self.ttl(service)
        added = False
        while secrets.need_new_secrets(now):
            known = sorted(secrets.secrets.items())
            expiration = now + ttl
            if known:
                expiration = max(now + ttl, known[-1][1].expiration / NSEC) + ttl
            secrets.max_ver += 1
            secrets.secrets[secrets.max_ver] = ExpiringCryptoKey(
                self.create_key(), from_seconds(expiration)
            )
            for number, _ in known[: len(known) + 1 - 3]:
                del secrets.secrets[number]
            added = True
        return added

    def service_secret(self, service: int) -> tuple[int, CryptoKey, float]:
        """(id, secret, seconds to live) for a new ticket.

        Raises AuthError (EACCES): there are no secrets for such a service.
        """
        known = sorted(self.rotating[service].secrets.items()) if service in self.rotating else []
        if not known:
            raise AuthError(errno.EACCES, f"there are no secrets for {type_name(service)} tickets")
        now = self.host.wall()
        at = min(1, len(known) - 1)
        if known[at][1].expiration < from_seconds(now) and at + 1 < len(known):
            at += 1
        ttl = min(self.ttl(service), known[-1][1].expiration / NSEC - now)
        return known[at][0], known[at][1].key, max(ttl, 0.0)

    def secret_by_id(self, service: int, secret_id: int) -> CryptoKey | None:
        """The secret that a ticket names, if it is still known."""
        secrets = self.rotating.get(service)
        found = secrets.secrets.get(secret_id) if secrets is not None else None
        return found.key if found is not None else None

    def ring(self, service: int) -> RotatingKeyRing:
        """A service's secrets, always the present ones."""
        return RotatingKeyRing(service, self.rotating[service])

    def rotating_for(self, name: EntityName) -> bytes | None:
        """The secrets of the entity's own service, sealed with its key; None: not for it."""
        auth = self.entities.get(name)
        secrets = self.rotating.get(name.type)
        if auth is None or secrets is None:
            return None
        return put_sealed(RotatingSecrets, secrets, auth.key)

    # -- tickets ----------------------------------------------------------------------------

    def auth_ticket(self, name: EntityName, global_id: int) -> SessionAuthInfo:
        """The ticket with which the others are asked for; raises AuthError."""
        return self._issue(AUTH, AuthTicket(name, global_id))

    def service_ticket(self, service: int, parent: AuthTicket) -> SessionAuthInfo:
        """A ticket for a service on the strength of an AUTH ticket.

        Raises AuthError: no such service (EACCES), or the entity is gone (EINVAL).
        """
        if service != MON and parent.name not in self.entities:
            raise AuthError(errno.EINVAL, f"{parent.name} has been removed")
        caps = AuthCapsInfo() if service == MON else self.caps_info(parent.name, service)
        return self._issue(service, AuthTicket(parent.name, parent.global_id, caps=caps))

    def _issue(self, service: int, ticket: AuthTicket) -> SessionAuthInfo:
        secret_id, secret, ttl = self.service_secret(service)
        now = self.host.wall()
        ticket.created, ticket.expires = from_seconds(now), from_seconds(now + ttl)
        return SessionAuthInfo(service, secret_id, secret, self.create_key(), ticket, ttl)

    # -- for services in this process -------------------------------------------------------

    def authenticator_for(self, service: int, registry: AuthRegistry) -> ServiceAuthenticator:
        """The Authenticator of a service of this process that only accepts connections."""
        return ServiceAuthenticator(AuthServer(registry, self.ring(service), self.host.randbytes))


@define(eq=False)
class ServiceAuthenticator:
    """An Authenticator that checks tickets and has none to show.

    `server.registry` may be replaced when the options change.
    """

    server: AuthServer

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        raise AuthError(
            errno.EACCES, f"no ticket for the {type_name(peer_type)} at {peer_addrs}: only accepts"
        )

    def server_session(self, peer_type: int, now: float) -> ServerAuth:
        return self.server.server_session(peer_type, now)
