"""The first monmap: where to look for monitors before any of them was reached.

Order, as in Ceph: `mon_host_override`; a monmap file (`monmap`); `mon_host`; `mon addr` of the
[mon.NAME] sections of ceph.conf. DNS SRV records (`mon_dns_srv_name`) are not looked up.

Source of the behaviour: ceph/ceph, src/mon/MonMap.cc, build_initial (Pacific)
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from mdsdaemon.clients.errors import MonitorsUnknownError
from mdsdaemon.clients.mon_host import HostName, parse_mon_host
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.errors import ExitStatus
from mdsdaemon.maps.mon_map import PORT_LEGACY, PORT_MSGR2, MonMap
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec

if TYPE_CHECKING:
    from mdsdaemon.config import Config

Resolver = Callable[[str], Awaitable[list[str]]]
"""Host name → IP addresses as text; OSError when the name is not known."""

RESOLVE_TIMEOUT = 30.0
MAX_MONMAP_FILE = 16 << 20
PREFIX = "noname-"


async def system_resolver(name: str) -> list[str]:
    """The addresses that the system's resolver has for `name`, each once."""
    found = await trio.socket.getaddrinfo(name, None, type=trio.socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def resolve_items(
    items: Iterable[EntityAddrVec | HostName], resolver: Resolver, source: str
) -> list[EntityAddrVec]:
    """Address vectors of all items; a name stands for each of its addresses.

    Raises:
        MonitorsUnknownError: no name could be resolved and nothing else is listed.
    """
    vectors: list[EntityAddrVec] = []
    failures: list[str] = []
    for item in items:
        if isinstance(item, EntityAddrVec):
            vectors.append(item)
            continue
        try:
            with trio.fail_after(RESOLVE_TIMEOUT):
                hosts = await resolver(item.name)
        except trio.TooSlowError:
            failures.append(f"{item.name!r}: no answer from the resolver in {RESOLVE_TIMEOUT:g} s")
        except OSError as error:
            failures.append(f"{item.name!r}: {error.strerror or error}")
        else:
            vectors += [item.with_host(host) for host in hosts]
    if not vectors and failures:
        raise MonitorsUnknownError(
            f"cannot resolve {'; '.join(failures)} (from {source})",
            "correct the name, or give the monitors' IP addresses",
        )
    return vectors


def _add_addr(monmap: MonMap, name: str, addr: EntityAddr) -> None:
    """Add a monitor known by one address, which may lack protocol and port."""
    if addr.type == EntityAddr.TYPE_ANY and addr.port == PORT_LEGACY:
        # A list from before Nautilus: its monitors have since got the msgr2 port beside it.
        monmap.add_ambiguous(name, EntityAddr(EntityAddr.TYPE_MSGR2, 0, addr.host, PORT_MSGR2))
    monmap.add_ambiguous(name, addr)


def monmap_of_addrs(vectors: Iterable[EntityAddrVec], fsid: uuid.UUID, source: str) -> MonMap:
    """A monmap of epoch 0 whose monitors are called noname-a, noname-b, …

    Raises:
        MonitorsUnknownError: the list is empty, or no address of it speaks msgr2.
    """
    monmap = MonMap(fsid=fsid)
    for n, vector in enumerate(vectors):
        name = PREFIX + (chr(ord("a") + n) if n < 26 else str(n))
        if len(vector.addrs) == 1:
            _add_addr(monmap, name, vector.addrs[0])
        elif monmap.get_name_of(vector) is None:
            monmap.add(name, vector)
    return checked(monmap, source)


def checked(monmap: MonMap, source: str) -> MonMap:
    """The monmap itself, if some monitor of it can be reached by msgr2."""
    if not monmap.mon_info:
        raise MonitorsUnknownError(
            f"{source} names no monitor", "list the monitors' addresses there, or give -m ADDRESS"
        )
    if not any(info.public_addrs.msgr2() for info in monmap.mon_info.values()):
        shown = ", ".join(str(info.public_addrs) for info in monmap.mon_info.values())
        raise MonitorsUnknownError(
            f"{source} has only addresses of the old protocol ({shown}), which is not spoken here",
            f"give the monitors' msgr2 addresses, such as v2:HOST:{PORT_MSGR2}",
        )
    return monmap


def read_monmap(path: str | Path) -> MonMap:
    """The monmap in a file, as monmaptool writes it.

    Raises:
        MonitorsUnknownError: the file cannot be read or is not a monmap.
    """
    remedy = "give a file written by `ceph mon getmap -o FILE` or monmaptool"
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_MONMAP_FILE + 1)
    except OSError as error:
        raise MonitorsUnknownError(
            f"cannot read monmap {path}: {error.strerror}", remedy, ExitStatus.BAD_FILE
        ) from None
    if len(data) > MAX_MONMAP_FILE:
        raise MonitorsUnknownError(
            f"{path} is too large to be a monmap", remedy, ExitStatus.BAD_FILE
        )
    try:
        monmap = decode(MonMap, data, partial=True)
    except DecodeError as error:
        raise MonitorsUnknownError(
            f"{path} is not a monmap ({error})", remedy, ExitStatus.BAD_FILE
        ) from None
    return checked(monmap, f"monmap {path}")


def monmap_of_sections(sections: Mapping[str, Mapping[str, str]], fsid: uuid.UUID) -> MonMap:
    """A monmap of the [mon.NAME] sections of ceph.conf: mon addr, mon priority, mon weight.

    Args:
        sections: section name → option (words joined by underscores) → text.

    Raises:
        MonitorsUnknownError: a value does not parse, or no section has an address.
    """
    monmap = MonMap(fsid=fsid)
    for section, options in sections.items():
        if not section.startswith("mon.") or len(section) == 4 or "mon_addr" not in options:
            continue
        name = section[4:]
        where = f"ceph.conf, section [{section}]"
        try:
            # `mon addr` is older than msgr2: without a prefix it means the old protocol there,
            # whose port now has msgr2's beside it
            addr = EntityAddr.parse(options["mon_addr"], EntityAddr.TYPE_ANY)
            priority = int(options.get("mon_priority", "0"))
            weight = int(options.get("mon_weight", "0"))
        except ValueError as error:
            raise MonitorsUnknownError(f"{where}: {error}", "correct the value") from None
        before = set(monmap.mon_info)
        _add_addr(monmap, name, addr)
        for added in set(monmap.mon_info) - before:
            monmap.mon_info[added].priority = priority
            monmap.mon_info[added].weight = weight
    return checked(monmap, "ceph.conf")


async def monmap_of_mon_host(text: str, fsid: uuid.UUID, resolver: Resolver, source: str) -> MonMap:
    """A monmap of a `mon_host` list, its names resolved.

    Raises:
        MonitorsUnknownError: the list does not parse, resolve, or hold a usable address.
    """
    try:
        items = parse_mon_host(text)
    except ValueError as error:
        raise MonitorsUnknownError(
            f"{source} does not parse: {error}",
            "write HOST, HOST:PORT or [v2:HOST:PORT,v1:HOST:PORT], separated by commas",
        ) from None
    return monmap_of_addrs(await resolve_items(items, resolver, source), fsid, source)


async def build_initial_monmap(config: Config, *, resolver: Resolver = system_resolver) -> MonMap:
    """The monmap to begin with, by the options mon_host_override, monmap, mon_host, or ceph.conf.

    Raises:
        MonitorsUnknownError: nothing there names a monitor that can be reached.
    """
    fsid = configured_fsid(config)
    override = config.get_str("mon_host_override")
    if override:
        return await monmap_of_mon_host(override, fsid, resolver, "mon_host_override")
    path = config.get_str("monmap")
    if path:
        return read_monmap(path)
    mon_host = config.get_str("mon_host")
    if mon_host:
        return await monmap_of_mon_host(mon_host, fsid, resolver, f"mon_host ({mon_host!r})")
    sections = _mon_sections(config)
    if sections:
        return monmap_of_sections(sections, fsid)
    raise MonitorsUnknownError(
        "no monitor is known",
        "set mon_host in the [global] section of ceph.conf, or give -m ADDRESS",
    )


def _mon_sections(config: Config) -> dict[str, dict[str, str]]:
    """The [mon.NAME] sections that give an address, with what [mon] and [global] add to them."""
    conf = config.conf_file
    if conf is None:
        return {}
    found = {}
    for name in conf.sections:
        if name.startswith("mon.") and len(name) > 4:
            options = {}
            for key in ("mon_addr", "mon_priority", "mon_weight"):
                entry = conf.read([name, "mon", "global"], key)
                if entry is not None:
                    options[key] = config.expand(entry.value)
            if "mon_addr" in options:
                found[name] = options
    return found


def configured_fsid(config: Config) -> uuid.UUID:
    """The option `fsid`, or the nil UUID where it is not set.

    Raises:
        MonitorsUnknownError: the option is no UUID.
    """
    text = config.get_str("fsid")
    try:
        return uuid.UUID(text) if text else uuid.UUID(int=0)
    except ValueError:
        raise MonitorsUnknownError(
            f"fsid is {text!r}, which is no UUID", "copy it from `ceph fsid`"
        ) from None
