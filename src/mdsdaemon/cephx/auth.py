"""Tickets, rotating secrets and what the monitor keeps of an entity.

Format: ceph/ceph, src/auth/Auth.h, src/auth/cephx/CephxKeyServer.h (Pacific)
"""

from typing import Final, Self

from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.encoding import U32, U64, Blob, Bool, Map, Str, Time, decode, encode, field, wire
from mdsdaemon.types.entity import EntityName
from mdsdaemon.types.features import SERVER_QUINCY
from mdsdaemon.types.utime import from_seconds

CEPH_AUTH_UID_DEFAULT: Final = 2**64 - 1
KEY_ROTATE_NUM: Final = 3
"""Rotating secrets of a service that are known at one time: previous, current, next."""


@wire(v=1, envelope="version", ceph="AuthCapsInfo", frozen=True)
class AuthCapsInfo:
    """What a ticket allows its holder on a service: everything, or an encoded caps string.

    ``caps`` is the bufferlist as it came; where there are caps, it holds an encoded string
    (u32 length, text).
    """

    allow_all: bool = field(Bool, default=False)
    caps: bytes = field(Blob, default=b"")

    @classmethod
    def from_text(cls, caps: str) -> Self:
        """For a caps string such as ``allow rw``."""
        return cls(caps=encode(Str, caps))


@wire(v=2, envelope="version", ceph="AuthTicket")
class AuthTicket:
    """Who holds a ticket, from when to when (nanoseconds since the epoch), with which caps."""

    name: EntityName = field(EntityName)
    global_id: int = field(U64, default=0)
    auid: int = field(U64, default=CEPH_AUTH_UID_DEFAULT, since=2)
    created: int = field(Time, default=0)
    expires: int = field(Time, default=0)
    caps: AuthCapsInfo = field(AuthCapsInfo, factory=AuthCapsInfo)
    flags: int = field(U32, default=0)


@wire(v=2, versions=((SERVER_QUINCY, 3, 0), (0, 2, 0)), envelope="version", ceph="EntityAuth")
class EntityAuth:
    """An entity's key, and its caps (encoded strings) by service."""

    auid: int = field(U64, default=CEPH_AUTH_UID_DEFAULT, since=2)
    key: CryptoKey = field(CryptoKey, factory=CryptoKey)
    caps: dict[str, bytes] = field(Map(Str, Blob), factory=dict)
    pending_key: CryptoKey = field(CryptoKey, factory=CryptoKey, since=3)

    def caps_text(self, service: str) -> str:
        """The caps string for a service, "" where there is none; raises DecodeError."""
        raw = self.caps.get(service)
        return decode(Str, raw) if raw is not None else ""


@wire(v=1, envelope="version", ceph="ExpiringCryptoKey", frozen=True)
class ExpiringCryptoKey:
    """A rotating secret; ``expiration`` in nanoseconds since the epoch."""

    key: CryptoKey = field(CryptoKey)
    expiration: int = field(Time, default=0)


@wire(v=1, envelope="version", ceph="RotatingSecrets")
class RotatingSecrets:
    """A service's secrets by id: the one before, the one tickets are made with, the next."""

    secrets: dict[int, ExpiringCryptoKey] = field(Map(U64, ExpiringCryptoKey), factory=dict)
    max_ver: int = field(U64, default=0)

    def need_new_secrets(self, now: float | None = None) -> bool:
        """Whether one is missing or, given ``now``, the current one has expired."""
        if len(self.secrets) < KEY_ROTATE_NUM:
            return True
        if now is None:
            return False
        return self.secrets[sorted(self.secrets)[1]].expiration <= from_seconds(now)


@wire(v=1, envelope="version", ceph="KeyServerData")
class KeyServerData:
    """All that the monitors' key server keeps: entities, and rotating secrets by service type."""

    version: int = field(U64, default=0)
    rotating_ver: int = field(U64, default=0)
    secrets: dict[EntityName, EntityAuth] = field(Map(EntityName, EntityAuth), factory=dict)
    rotating_secrets: dict[int, RotatingSecrets] = field(Map(U32, RotatingSecrets), factory=dict)
