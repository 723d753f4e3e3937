"""`mon_host` and the first monmap."""

import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.clients.bootstrap import (
    monmap_of_addrs,
    monmap_of_sections,
    read_monmap,
)
from mdsdaemon.clients.errors import MonitorsUnknownError
from mdsdaemon.clients.mon_host import HostName, parse_mon_host
from mdsdaemon.encoding import encode
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec

FSID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.0.0.1", ["10.0.0.1:0/0"]),
        ("10.0.0.1:3300,10.0.0.2", ["10.0.0.1:3300/0", "10.0.0.2:0/0"]),
        ("v2:10.0.0.1:3300/5; v1:10.0.0.2:6789", ["v2:10.0.0.1:3300/5", "v1:10.0.0.2:6789/0"]),
        ("[fd00::1]:3300 fd00::2", ["[fd00::1]:3300/0", "[fd00::2]:0/0"]),
        ("[fd00::1]", ["[fd00::1]:0/0"]),
        (
            "[v2:10.0.0.1:3300,v1:10.0.0.1:6789],[v2:[fd00::1]:3300/0, v1:[fd00::1]:6789/0]",
            [
                "[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]",
                "[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0]",
            ],
        ),
    ],
)
def test_addresses(text: str, shown: list[str]) -> None:
    assert [str(item) for item in parse_mon_host(text)] == shown


def test_names_beside_addresses() -> None:
    assert parse_mon_host("mon1.example.com, v2:mon-2:3301 ,10.0.0.1:3300,mon3.") == [
        HostName("mon1.example.com"),
        HostName("mon-2", 3301, EntityAddr.TYPE_MSGR2),
        EntityAddrVec.of(EntityAddr(EntityAddr.TYPE_ANY, 0, "10.0.0.1", 3300)),
        HostName("mon3"),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("256.1.1.1", "256.1.1.1"),
        ("10.0.0.1,b:port", "b:port"),
        ("[v2:10.0.0.1:3300", "brackets"),
        ("10.0.0.1]", "brackets"),
        ("10.0.0.1:99999", "99999"),
        ("mon1:99999", "99999"),
        ("-", "- is not"),
        ("[]", "[]"),
        ("mon1/3", "mon1/3"),
    ],
)
def test_bad_items_are_named(text: str, named: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_mon_host(text)
    assert named in str(raised.value)


@given(st.text(alphabet="v12:[],;/. abz0x-", max_size=40))
def test_any_text_parses_or_raises_value_error(text: str) -> None:
    try:
        items = parse_mon_host(text)
    except ValueError:
        return
    assert all(isinstance(item, EntityAddrVec | HostName) for item in items)


def vectors(text: str) -> list[EntityAddrVec]:
    return [item for item in parse_mon_host(text) if isinstance(item, EntityAddrVec)]


def addresses(monmap: MonMap) -> dict[str, str]:
    return {name: str(info.public_addrs) for name, info in monmap.mon_info.items()}


def test_missing_protocols_and_ports_are_filled_in() -> None:
    monmap = monmap_of_addrs(vectors("10.0.0.1,10.0.0.2:3300,10.0.0.3:40000"), FSID, "mon_host")
    assert addresses(monmap) == {
        "noname-a": "v2:10.0.0.1:3300/0",
        "noname-a-legacy": "v1:10.0.0.1:6789/0",
        "noname-b": "v2:10.0.0.2:3300/0",
        "noname-c": "v2:10.0.0.3:40000/0",
        "noname-c-legacy": "v1:10.0.0.3:40000/0",
    }
    assert (monmap.fsid, monmap.epoch) == (FSID, 0)


def test_a_list_from_before_nautilus_is_tried_at_the_msgr2_port() -> None:
    monmap = monmap_of_addrs(vectors("10.0.0.1:6789"), FSID, "mon_host")
    assert addresses(monmap)["noname-a"] == "v2:10.0.0.1:3300/0"


def test_the_same_monitor_twice_is_one() -> None:
    twice = "[v2:10.0.0.1:3300,v1:10.0.0.1:6789],[v2:10.0.0.1:3300,v1:10.0.0.1:6789],10.0.0.1"
    assert len(monmap_of_addrs(vectors(twice), FSID, "mon_host").mon_info) == 1


def test_only_old_protocol_says_so() -> None:
    with pytest.raises(MonitorsUnknownError, match=r"old protocol \(v1:10\.0\.0\.1:6789/0\)"):
        monmap_of_addrs(vectors("v1:10.0.0.1"), FSID, "mon_host")


def test_empty_list_says_so() -> None:
    with pytest.raises(MonitorsUnknownError, match="mon_host names no monitor"):
        monmap_of_addrs([], FSID, "mon_host")


def test_sections() -> None:
    sections: Mapping[str, Mapping[str, str]] = {
        "global": {"mon_host": "x"},
        "mon": {},
        "mon.a": {"mon_addr": "10.0.0.1:6789", "mon_priority": "3", "mon_weight": "20"},
        "mon.b": {"mon_addr": "v2:10.0.0.2:3300"},
        "mon.c": {"host": "nowhere"},
    }
    monmap = monmap_of_sections(sections, FSID)
    assert addresses(monmap) == {
        "a": "v2:10.0.0.1:3300/0",
        "a-legacy": "v1:10.0.0.1:6789/0",
        "b": "v2:10.0.0.2:3300/0",
    }
    assert (monmap.mon_info["a"].priority, monmap.mon_info["a"].weight) == (3, 20)


@pytest.mark.parametrize(
    "bad", [{"mon_addr": "nowhere:x"}, {"mon_addr": "1.2.3.4", "mon_weight": "x"}]
)
def test_bad_section_is_named(bad: dict[str, str]) -> None:
    with pytest.raises(MonitorsUnknownError, match=r"section \[mon\.q\]"):
        monmap_of_sections({"mon.q": bad}, FSID)


def test_monmap_file(tmp_path: Path) -> None:
    monmap = monmap_of_addrs(vectors("10.0.0.1:3300"), FSID, "mon_host")
    path = tmp_path / "monmap"
    path.write_bytes(encode(MonMap, monmap))
    assert addresses(read_monmap(path)) == {"noname-a": "v2:10.0.0.1:3300/0"}
    path.write_bytes(b"not a monmap")
    with pytest.raises(MonitorsUnknownError, match="is not a monmap"):
        read_monmap(path)
    with pytest.raises(MonitorsUnknownError, match="No such file"):
        read_monmap(tmp_path / "missing")
