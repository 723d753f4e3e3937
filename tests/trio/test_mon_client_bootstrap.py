"""The first monmap: names that are resolved, and the options in their order."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mdsdaemon.clients.bootstrap import build_initial_monmap, resolve_items, system_resolver
from mdsdaemon.clients.errors import MonitorsUnknownError
from mdsdaemon.clients.mon_host import HostName
from mdsdaemon.config import Config, parse_conf
from mdsdaemon.encoding import encode
from mdsdaemon.errors import ExitStatus
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.types.entity import EntityAddrVec


def shown(monmap: MonMap) -> dict[str, str]:
    return {name: str(info.public_addrs) for name, info in monmap.mon_info.items()}


async def test_names_resolve_to_all_their_addresses() -> None:
    async def resolver(name: str) -> list[str]:
        return {"mon1": ["10.0.0.1", "fd00::1"]}[name]

    found = await resolve_items([HostName("mon1", 3300)], resolver, "mon_host")
    assert [str(v) for v in found] == ["10.0.0.1:3300/0", "[fd00::1]:3300/0"]


async def test_an_unknown_name_matters_only_when_nothing_else_is_listed() -> None:
    async def resolver(name: str) -> list[str]:
        raise OSError(-2, "Name or service not known")

    known = EntityAddrVec.parse("v2:10.0.0.1:3300")
    assert await resolve_items([HostName("nix"), known], resolver, "mon_host") == [known]
    with pytest.raises(MonitorsUnknownError, match="'nix': Name or service not known"):
        await resolve_items([HostName("nix")], resolver, "mon_host")


async def test_a_resolver_that_says_nothing_is_not_waited_for(autojump_clock: MockClock) -> None:
    async def resolver(name: str) -> list[str]:
        await trio.sleep(3600)
        return [name]

    with pytest.raises(MonitorsUnknownError, match="no answer from the resolver in 30 s"):
        await resolve_items([HostName("nix")], resolver, "mon_host")


async def test_the_systems_resolver_knows_this_machine() -> None:
    found = await system_resolver("localhost")
    assert set(found) <= {"127.0.0.1", "::1"}
    assert found


async def resolver(name: str) -> list[str]:
    return {"mon1": ["10.0.0.1"], "mon2": ["fd00::2"]}[name]


async def test_mon_host_with_names() -> None:
    config = Config("mds.a", {"mon_host": "mon1,mon2:3301,v2:10.0.0.3"})
    monmap = await build_initial_monmap(config, resolver=resolver)
    assert [a for a in shown(monmap).values() if a.startswith("v2")] == [
        "v2:10.0.0.1:3300/0",
        "v2:[fd00::2]:3301/0",
        "v2:10.0.0.3:3300/0",
    ]


async def test_the_order_of_the_options(tmp_path: Path) -> None:
    path = tmp_path / "monmap"
    monmap = MonMap(epoch=4)
    monmap.add("m", EntityAddrVec.parse("v2:10.0.0.9:3300"))
    path.write_bytes(encode(MonMap, monmap))
    config = Config("mds.a", {"mon_host": "10.0.0.1:3300", "monmap": str(path)})
    assert shown(await build_initial_monmap(config)) == {"m": "v2:10.0.0.9:3300/0"}
    config.set_val("mon_host_override", "10.0.0.2:3300")
    assert shown(await build_initial_monmap(config)) == {"noname-a": "v2:10.0.0.2:3300/0"}


async def test_sections_of_ceph_conf() -> None:
    text = b"[global]\nmon weight = 3\n[mon.a]\nmon addr = 10.0.0.1:6789\n[mon.b]\nhost = x\n"
    config = Config("mds.a")
    config.conf_file = parse_conf(text, "ceph.conf")
    monmap = await build_initial_monmap(config)
    assert shown(monmap)["a"] == "v2:10.0.0.1:3300/0"
    assert monmap.mon_info["a"].weight == 3
    assert "b" not in monmap.mon_info


async def test_no_monitor_anywhere() -> None:
    with pytest.raises(MonitorsUnknownError, match="set mon_host") as raised:
        await build_initial_monmap(Config("mds.a"))
    assert raised.value.status == ExitStatus.CONFIG


async def test_a_list_that_does_not_parse_is_quoted() -> None:
    with pytest.raises(MonitorsUnknownError, match=r"mon_host \('10\.0\.0'\) does not parse"):
        await build_initial_monmap(Config("mds.a", {"mon_host": "10.0.0"}))
