"""Which addresses a daemon binds to: `public_addr`, else one in `public_network`, else all.

Only msgr2 is bound, whatever `ms_bind_msgr1` says.

Behaviour: ceph/ceph, src/common/pick_address.cc (Pacific)
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import re
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.types.entity import EntityAddr

if TYPE_CHECKING:
    from mdsdaemon.config import Config

Interface = tuple[str, str]
"""(name, IP address) of one address of this machine."""

_SIOCGIFCONF = 0x8912
_IFREQ = 40
_MAX_INTERFACES = 512


def local_addresses() -> list[Interface]:
    """The addresses of this machine. Raises OSError."""
    found: list[Interface] = []
    space = array.array("B", bytes(_IFREQ * _MAX_INTERFACES))
    request = bytearray(struct.pack("iP", len(space), space.buffer_info()[0]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock.fileno(), _SIOCGIFCONF, request)
    (used,) = struct.unpack_from("i", request)
    entries = space.tobytes()
    for at in range(0, used, _IFREQ):
        name = entries[at : at + 16].split(b"\0", 1)[0].decode(errors="replace")
        found.append((name, socket.inet_ntoa(entries[at + 20 : at + 24])))
    try:
        with open("/proc/net/if_inet6") as f:
            for line in f:
                words = line.split()
                found.append((words[5], str(ipaddress.IPv6Address(bytes.fromhex(words[0])))))
    except OSError:
        pass  # no IPv6 on this machine
    return found


def pick_addresses(config: Config, interfaces: Iterable[Interface]) -> list[EntityAddr]:
    """The addresses to bind, with port 0 where the range of ports is to be tried.

    Raises:
        FatalError: nothing fits the configuration.
    """
    versions = []
    if config.get_bool("ms_bind_ipv6"):
        versions.append(6)
    if config.get_bool("ms_bind_ipv4"):
        versions.insert(0 if config.get_bool("ms_bind_prefer_ipv4") else len(versions), 4)
    if not versions:
        raise FatalError(
            "neither ms_bind_ipv4 nor ms_bind_ipv6 is set",
            ExitStatus.ADDRESS,
            "set one of them to true",
        )
    text = config.get_str("public_addr")
    addr = EntityAddr.parse(text) if text not in ("", "-") else EntityAddr()
    if addr.host and not ipaddress.ip_address(addr.host).is_unspecified:
        return [EntityAddr(EntityAddr.TYPE_MSGR2, 0, addr.host, addr.port)]
    networks = _words(config.get_str("public_network"))
    names = _words(config.get_str("public_network_interface"))
    if names and not networks:
        raise FatalError(
            "public_network_interface is set without public_network",
            ExitStatus.ADDRESS,
            "set public_network to the network of that interface",
        )
    if not networks:
        anywhere = {4: "0.0.0.0", 6: "::"}
        return [EntityAddr(EntityAddr.TYPE_MSGR2, 0, anywhere[v], addr.port) for v in versions]
    everything = list(interfaces)
    return [_in_networks(version, networks, names, everything) for version in versions]


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[,;\s]+", text) if w]


def _in_networks(
    version: int, networks: list[str], names: list[str], interfaces: list[Interface]
) -> EntityAddr:
    parsed = []
    for text in networks:
        try:
            parsed.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise FatalError(
                f"unable to parse network {text!r} of public_network",
                ExitStatus.ADDRESS,
                "write it as 192.168.0.0/24",
            ) from None
    loopback: EntityAddr | None = None
    for name, text in interfaces:
        ip = ipaddress.ip_address(text)
        if ip.version != version or ip.is_link_local:
            continue
        if names and name not in names:
            continue
        if any(ip.version == net.version and ip in net for net in parsed):
            addr = EntityAddr(EntityAddr.TYPE_MSGR2, 0, text, 0)
            if not ip.is_loopback:
                return addr
            loopback = loopback or addr
    if loopback is not None:
        return loopback
    raise FatalError(
        f"unable to find any IPv{version} address in networks {' '.join(networks)!r} "
        f"interfaces {' '.join(names)!r}",
        ExitStatus.ADDRESS,
        "correct public_network, or set public_addr to an address of this machine",
    )
