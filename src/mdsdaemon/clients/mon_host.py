"""The option `mon_host`: addresses, address vectors and host names, mixed.

Accepted, separated by commas, semicolons or blanks:

    10.0.0.1                 both usual ports of that host
    10.0.0.1:3300            one port
    v2:10.0.0.1:3300/0       with protocol and nonce
    [fd00::1]:3300           IPv6 (fd00::1 without a port)
    [v2:10.0.0.1:3300,v1:10.0.0.1:6789]
    mon1.example.com, mon1.example.com:3300, v2:mon1.example.com

Source of the format: ceph/ceph, src/common/ceph_argparse.cc (parse_ip_port_vec),
src/common/addr_parsing.c (Pacific). Unlike there, names may stand beside addresses.
"""

from __future__ import annotations

import re

from mdsdaemon.records import frozen
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec

_TYPES = {"v1": EntityAddr.TYPE_LEGACY, "v2": EntityAddr.TYPE_MSGR2, "any": EntityAddr.TYPE_ANY}
_NAME = re.compile(r"(?:(?P<type>v1|v2|any):)?(?P<name>[A-Za-z0-9_.-]+?)\.?(?::(?P<port>[0-9]+))?")
MAX_PORT = 65535


@frozen
class HostName:
    """A name that has to be resolved; `type` and `port` go to every address it has."""

    name: str
    port: int = 0
    type: int = EntityAddr.TYPE_ANY

    def with_host(self, host: str) -> EntityAddrVec:
        """The address vector for one of the name's IP addresses."""
        return EntityAddrVec.of(EntityAddr(self.type, 0, host, self.port))


def split_items(text: str) -> list[str]:
    """Split at commas, semicolons and blanks outside brackets; ValueError: unbalanced brackets."""
    items: list[str] = []
    item = ""
    depth = 0
    for ch in text:
        if ch == "[":
            depth += 1
        elif ch == "]":
            depth -= 1
            if depth < 0:
                break
        if depth == 0 and (ch in ",;" or ch.isspace()):
            items.append(item)
            item = ""
        elif not ch.isspace():
            item += ch
    if depth:
        raise ValueError("brackets do not match")
    items.append(item)
    return [item for item in items if item]


def _parse_vector(item: str) -> EntityAddrVec | None:
    """[A,B]: an address vector, or None when `item` is something else, such as [IPV6]:PORT."""
    if not (item.startswith("[") and item.endswith("]")):
        return None
    inner = item[1:-1]
    try:
        EntityAddr.parse(f"[{inner}]")
    except ValueError:
        parts = split_items(inner)
        if not parts:
            raise ValueError("an address vector without addresses") from None
        # inside a vector the default is msgr2, as Ceph's entity_addrvec_t has it
        return EntityAddrVec(tuple(EntityAddr.parse(part) for part in parts))
    return None


def parse_item(item: str) -> EntityAddrVec | HostName:
    """One item of the list. ValueError: it is neither an address nor a name."""
    vector = _parse_vector(item)
    if vector is None:
        try:
            vector = EntityAddrVec.of(EntityAddr.parse(item, EntityAddr.TYPE_ANY))
        except ValueError as error:
            match = _NAME.fullmatch(item)
            if match is None or match["name"].replace(".", "").isdigit():
                raise ValueError(str(error)) from None
            port = int(match["port"] or 0)
            _check_port(port)
            return HostName(match["name"], port, _TYPES[match["type"] or "any"])
    for addr in vector.addrs:
        if not addr.host:
            raise ValueError(f"{addr} is not the address of a monitor")
        _check_port(addr.port)
    return vector


def _check_port(port: int) -> None:
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"port {port} is beyond {MAX_PORT}")


def parse_mon_host(text: str) -> list[EntityAddrVec | HostName]:
    """The items of the list in their order.

    Raises:
        ValueError: names the item that is neither an address nor a name.
    """
    made: list[EntityAddrVec | HostName] = []
    for item in split_items(text):
        try:
            made.append(parse_item(item))
        except ValueError as error:
            text = str(error)
            raise ValueError(text if item in text else f"{item!r}: {text}") from None
    return made
