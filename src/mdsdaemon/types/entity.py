"""Who and where: entity types, names and addresses.

Format: ceph/ceph, src/msg/msg_types.h and .cc, src/common/entity_name.h (Pacific).
"""

import functools
import ipaddress
from typing import Any, ClassVar, Self

from mdsdaemon import records
from mdsdaemon.encoding import REGISTRY, S64, U8, U32, Cursor, Custom, Str, field, wire
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.types.features import MSG_ADDR2, SERVER_NAUTILUS

MON = 0x01
MDS = 0x02
OSD = 0x04
CLIENT = 0x08
MGR = 0x10
AUTH = 0x20
ANY = 0xFF

TYPE_NAMES = {MON: "mon", MDS: "mds", OSD: "osd", CLIENT: "client", MGR: "mgr", AUTH: "auth"}
TYPES_BY_NAME = {name: number for number, name in TYPE_NAMES.items()}


def type_name(entity_type: int) -> str:
    """The field's word for an entity type: ``mds`` for 2."""
    return TYPE_NAMES.get(entity_type, "unknown")


@wire(ceph="entity_name_t", order=True, hash=True, frozen=True, shared=True)
class PeerName:
    """entity_name_t: a type and a number, as in ``mds.0`` or ``client.4123``."""

    type: int = field(U8, default=0)
    num: int = field(S64, default=-1)

    def __str__(self) -> str:
        return f"{type_name(self.type)}.{'?' if self.num < 0 else self.num}"


@wire(ceph="EntityName", order=True, hash=True, frozen=True)
class EntityName:
    """EntityName: the name that a key belongs to, as in ``mds.a``."""

    type: int = field(U32, default=0)
    id: str = field(Str, default="")

    @classmethod
    def parse(cls, text: str) -> Self:
        """``mds.a`` to a name.

        Raises:
            ValueError: no dot, or not one of Ceph's entity types before it.
        """
        kind, dot, ident = text.partition(".")
        if not dot or kind not in TYPES_BY_NAME or not ident:
            raise ValueError(f"{text!r} is not an entity name such as mds.a or client.admin")
        return cls(TYPES_BY_NAME[kind], ident)

    @property
    def type_name(self) -> str:
        """``mds`` of ``mds.a``."""
        return type_name(self.type)

    def __str__(self) -> str:
        return f"{type_name(self.type)}.{self.id}"


_AF_INET = 2
_AF_INET6 = 10
_ADDR = struct_of("III")
_LEN = struct_of("I")
_FAMILY = struct_of("H")
_LEGACY_STORAGE = 128  # sizeof(sockaddr_storage)
_UNSPECIFIED = bytes(28)


@functools.lru_cache(maxsize=8192)
def _from_sockaddr(raw: bytes) -> tuple[str, int, bytes]:
    """(host, port, what else the sockaddr holds) of family (little-endian) and sa_data."""
    family = int.from_bytes(raw[:2], "little")
    port = int.from_bytes(raw[2:4], "big")
    if family == _AF_INET and len(raw) == 16:
        rest = raw[8:] if any(raw[8:]) else b""
        return str(ipaddress.IPv4Address(raw[4:8])), port, rest
    if family == _AF_INET6 and len(raw) == 28:
        rest = raw[4:8] + raw[24:] if any(raw[4:8]) or any(raw[24:]) else b""
        return str(ipaddress.IPv6Address(raw[8:24])), port, rest
    return "", 0, b"" if raw == _UNSPECIFIED else raw


@functools.lru_cache(maxsize=8192)
def _to_sockaddr(host: str, port: int, rest: bytes) -> bytes:
    if not host:
        return rest or _UNSPECIFIED
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return (
            _FAMILY.pack(_AF_INET) + port.to_bytes(2, "big") + address.packed + (rest or bytes(8))
        )
    flow, scope = (rest[:4], rest[4:]) if rest else (bytes(4), bytes(4))
    return _FAMILY.pack(_AF_INET6) + port.to_bytes(2, "big") + flow + address.packed + scope


@records.frozen
class EntityAddr:
    """entity_addr_t: where an instance of an entity listens.

    Attributes:
        type: TYPE_NONE, TYPE_LEGACY (msgr1), TYPE_MSGR2 or TYPE_ANY.
        nonce: tells instances at the same address and port apart.
        host: an IPv4 or IPv6 address in text, or "".
        port: TCP port, 0 if not known.
        rest: other sockaddr bytes (scope, flow label), so that they survive a round trip.
    """

    TYPE_NONE: ClassVar[int] = 0
    TYPE_LEGACY: ClassVar[int] = 1
    TYPE_MSGR2: ClassVar[int] = 2
    TYPE_ANY: ClassVar[int] = 3
    TYPE_CIDR: ClassVar[int] = 4

    type: int = 0
    nonce: int = 0
    host: str = ""
    port: int = 0
    rest: bytes = b""

    @classmethod
    def parse(cls, text: str, default_type: int = 2) -> Self:
        """``v2:10.0.0.1:6800/123``, ``[::1]:6800``, ``any:…``, ``-``.

        Raises:
            ValueError: the text is not an address.
        """
        body = text.strip()
        if body in ("", "-"):
            return cls()
        kind = default_type
        for prefix, number in (("v1:", 1), ("v2:", 2), ("any:", 3)):
            if body.startswith(prefix):
                kind, body = number, body[len(prefix) :]
        body, slash, nonce = body.partition("/")
        host, port = body, ""
        if body.startswith("["):
            host, bracket, tail = body[1:].partition("]")
            if not bracket or (tail and not tail.startswith(":")):
                raise ValueError(f"{text!r} is not an address: [IPV6]:PORT expected")
            port = tail[1:]
        elif body.count(":") == 1:
            host, _, port = body.partition(":")
        try:
            address = str(ipaddress.ip_address(host))
            return cls(kind, int(nonce) if slash else 0, address, int(port) if port else 0)
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address: {error}") from None

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def is_blank_ip(self) -> bool:
        """Whether the host is missing or the wildcard address."""
        return self.host in ("", "0.0.0.0", "::")

    def sockaddr(self) -> bytes:
        """Family (little-endian) and sa_data, as they lie on the wire."""
        return _to_sockaddr(self.host, self.port, self.rest)

    def sort_key(self) -> bytes:
        """Compares as memcmp of Ceph's struct does: the order that decides connection races."""
        return _ADDR.pack(self.type, self.nonce, 0)[:8] + self.sockaddr()

    def __lt__(self, other: "EntityAddr") -> bool:
        return self.sort_key() < other.sort_key()

    def __str__(self) -> str:
        if self.type == self.TYPE_NONE:
            return "-"
        prefix = {1: "v1:", 2: "v2:", 3: "", 4: "cidr:"}.get(self.type, "???:")
        if not self.host:
            return f"{prefix}:/{self.nonce}"
        host = f"[{self.host}]" if self.is_ipv6 else self.host
        return f"{prefix}{host}:{self.port}/{self.nonce}"


def _read_sockaddr(c: Cursor, size: int) -> tuple[str, int, bytes]:
    if size == 0:
        return "", 0, b""
    if size < 2:
        raise c.fail(f"a sockaddr of {size} bytes has no room for its family")
    raw = c.raw(size)
    family = raw[0] | raw[1] << 8
    if size > (16 if family == _AF_INET else 28):
        raise c.fail(f"a sockaddr of family {family} has {size} bytes")
    return _from_sockaddr(raw)


def _read_addr_after_marker(c: Cursor, marker: int) -> EntityAddr:
    if marker == 0:
        # the old form: u32 erank (whose first byte we have), u32 nonce, sockaddr_storage
        c.skip(3)
        nonce = c.u32()
        raw = c.raw(_LEGACY_STORAGE)
        family = int.from_bytes(raw[:2], "big")
        size = {_AF_INET: 16, _AF_INET6: 28}.get(family, 28)
        host, port, rest = _from_sockaddr(_FAMILY.pack(family) + raw[2:size])
        kind = EntityAddr.TYPE_LEGACY if family else EntityAddr.TYPE_NONE
        return EntityAddr(kind, nonce, host, port, rest)
    if marker != 1:
        raise c.fail(f"an address begins with marker {marker}, not 0 or 1")
    c.u8()
    compat = c.u8()
    if compat > 1:
        raise c.fail(f"an address needs version {compat}, 1 is known here")
    body = c.sub(c.u32())
    kind, nonce, size = body.u32(), body.u32(), body.u32()
    return EntityAddr(kind, nonce, *_read_sockaddr(body, size))


def _decode_addr(c: Cursor) -> EntityAddr:
    return _read_addr_after_marker(c, c.u8())


def _encode_addr(addr: EntityAddr, out: bytearray, features: int) -> None:
    raw = addr.sockaddr()
    if features & MSG_ADDR2 != MSG_ADDR2:
        out += _ADDR.pack(0, addr.nonce, 0)[:8]
        # the old form carries the family in network order, like the kernel's encoding of it
        out += raw[1::-1] + raw[2:].ljust(_LEGACY_STORAGE - 2, b"\0")
        return
    kind = addr.type
    if kind == EntityAddr.TYPE_ANY and features & SERVER_NAUTILUS != SERVER_NAUTILUS:
        kind = EntityAddr.TYPE_LEGACY
    out += b"\x01\x01\x01"
    out += _LEN.pack(12 + len(raw))
    out += _ADDR.pack(kind, addr.nonce, len(raw))
    out += raw


def _plain_addr(addr: EntityAddr) -> Any:
    return [addr.type, addr.nonce, addr.sockaddr()]


def _unplain_addr(plain: Any) -> EntityAddr:
    return EntityAddr(plain[0], plain[1], *_from_sockaddr(plain[2]))


EntityAddr.__wire__ = Custom(  # type: ignore[attr-defined]
    _decode_addr, _encode_addr, 9, plain=_plain_addr, unplain=_unplain_addr, sortable=True
)
REGISTRY["entity_addr_t"] = EntityAddr


@records.frozen
class EntityAddrVec:
    """entity_addrvec_t: all addresses of one instance, best protocol first."""

    addrs: tuple[EntityAddr, ...] = ()

    @classmethod
    def of(cls, *addrs: EntityAddr) -> Self:
        """The vector of the given addresses."""
        return cls(addrs)

    @classmethod
    def parse(cls, text: str, default_type: int = 2) -> Self:
        """``[v2:1.2.3.4:6800/1,v1:1.2.3.4:6801/1]`` or one address.

        Raises:
            ValueError: the text is not a list of addresses.
        """
        body = text.strip()
        if body.startswith("["):
            try:
                return cls((EntityAddr.parse(body, default_type),))
            except ValueError:
                # not one IPv6 address, so the brackets are the list's
                if body.endswith("]"):
                    body = body[1:-1]
        parts = [part for part in body.split(",") if part.strip()]
        return cls(tuple(EntityAddr.parse(part, default_type) for part in parts))

    def msgr2(self) -> EntityAddr | None:
        """The address to speak msgr2 with, if there is one."""
        for addr in self.addrs:
            if addr.type in (EntityAddr.TYPE_MSGR2, EntityAddr.TYPE_ANY):
                return addr
        return None

    def legacy(self) -> EntityAddr | None:
        """The first address of the old protocol."""
        for addr in self.addrs:
            if addr.type in (EntityAddr.TYPE_LEGACY, EntityAddr.TYPE_ANY):
                return addr
        return None

    def __contains__(self, addr: object) -> bool:
        return addr in self.addrs

    def __bool__(self) -> bool:
        return bool(self.addrs)

    def __lt__(self, other: "EntityAddrVec") -> bool:
        return [a.sort_key() for a in self.addrs] < [a.sort_key() for a in other.addrs]

    def __str__(self) -> str:
        if not self.addrs:
            return "-"
        if len(self.addrs) == 1:
            return str(self.addrs[0])
        return "[" + ",".join(map(str, self.addrs)) + "]"


def _decode_addrvec(c: Cursor) -> EntityAddrVec:
    marker = c.u8()
    if marker in (0, 1):
        return EntityAddrVec((_read_addr_after_marker(c, marker),))
    if marker != 2:
        raise c.fail(f"an address vector begins with marker {marker}")
    return EntityAddrVec(tuple(_decode_addr(c) for _ in range(c.count(9))))


def _encode_addrvec(vec: EntityAddrVec, out: bytearray, features: int) -> None:
    if features & MSG_ADDR2 != MSG_ADDR2:
        _encode_addr(vec.legacy() or EntityAddr(), out, 0)
        return
    out.append(2)
    out += _LEN.pack(len(vec.addrs))
    for addr in vec.addrs:
        _encode_addr(addr, out, features)


def _plain_addrvec(vec: EntityAddrVec) -> Any:
    return [_plain_addr(addr) for addr in vec.addrs]


def _unplain_addrvec(plain: Any) -> EntityAddrVec:
    return EntityAddrVec(tuple(_unplain_addr(part) for part in plain))


EntityAddrVec.__wire__ = Custom(  # type: ignore[attr-defined]
    _decode_addrvec,
    _encode_addrvec,
    5,
    plain=_plain_addrvec,
    unplain=_unplain_addrvec,
    sortable=True,
)
REGISTRY["entity_addrvec_t"] = EntityAddrVec


@wire(ceph="entity_inst_t", order=True, hash=True, frozen=True)
class EntityInst:
    """entity_inst_t: one instance of an entity: its name and one address."""

    name: PeerName = field(PeerName)
    addr: EntityAddr = field(EntityAddr)

    def __str__(self) -> str:
        return f"{self.name} {self.addr}"


__all__ = [
    "ANY",
    "AUTH",
    "CLIENT",
    "MDS",
    "MGR",
    "MON",
    "OSD",
    "EntityAddr",
    "EntityAddrVec",
    "EntityInst",
    "EntityName",
    "PeerName",
    "type_name",
]
