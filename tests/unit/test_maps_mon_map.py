"""MonMap: made from what people write, and asked by the monitor client."""

import pytest

from mdsdaemon.encoding import ALL_FEATURES, decode, encode, wire_codec
from mdsdaemon.maps.mon_map import MonInfo, MonMap
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec


def addrs_of(mon_map: MonMap) -> dict[str, str]:
    return {name: str(info.public_addrs) for name, info in mon_map.mon_info.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v2:10.0.0.1:7000", {"noname-a": "v2:10.0.0.1:7000/0"}),
        ("v2:10.0.0.1", {"noname-a": "v2:10.0.0.1:3300/0"}),
        ("v1:10.0.0.1", {"noname-a": "v1:10.0.0.1:6789/0"}),
        ("any:10.0.0.1:3300", {"noname-a": "v2:10.0.0.1:3300/0"}),
        ("any:10.0.0.1:6789", {"noname-a-legacy": "v1:10.0.0.1:6789/0"}),
        (
            "any:10.0.0.1",
            {"noname-a": "v2:10.0.0.1:3300/0", "noname-a-legacy": "v1:10.0.0.1:6789/0"},
        ),
        (
            "any:10.0.0.1:7000",
            {"noname-a": "v2:10.0.0.1:7000/0", "noname-a-legacy": "v1:10.0.0.1:7000/0"},
        ),
        (
            "[v2:10.0.0.1:3300,v1:10.0.0.1:6789]",
            {"noname-a": "[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]"},
        ),
    ],
)
def test_monitors_of_which_only_an_address_is_known(text: str, expected: dict[str, str]) -> None:
    mon_map = MonMap()
    mon_map.init_with_addrs([EntityAddrVec.parse(text)])
    assert addrs_of(mon_map) == expected
    assert mon_map.ranks == list(expected)


def test_several_addresses_get_letters() -> None:
    mon_map = MonMap()
    mon_map.init_with_addrs([EntityAddrVec.parse(f"v2:10.0.0.{n}") for n in range(1, 31)])
    assert mon_map.ranks[:3] == ["noname-a", "noname-b", "noname-c"]
    assert mon_map.size() == 30


def test_an_address_twice() -> None:
    mon_map = MonMap()
    mon_map.add("a", EntityAddrVec.parse("v2:10.0.0.1:3300"))
    mon_map.add_ambiguous("b", EntityAddr.parse("v2:10.0.0.1:3300"))
    assert mon_map.ranks == ["a"]
    with pytest.raises(ValueError, match="same address"):
        mon_map.add("b", EntityAddrVec.parse("v2:10.0.0.1:3300"))
    with pytest.raises(ValueError, match=r"mon\.a is in the monmap twice"):
        mon_map.add("a", EntityAddrVec.parse("v2:10.0.0.2:3300"))


def test_questions() -> None:
    mon_map = MonMap()
    mon_map.add("a", EntityAddrVec.parse("[v2:10.0.0.1:3300,v1:10.0.0.1:6789]"))
    mon_map.add("b", EntityAddrVec.parse("v2:10.0.0.2:3300"), priority=3, weight=10)
    assert mon_map.get_rank("b") == 1
    assert mon_map.get_rank("z") == -1
    assert mon_map.get_name_of(EntityAddrVec.parse("v1:10.0.0.1:6789")) == "a"
    assert mon_map.get_name_of(EntityAddrVec.parse("v1:10.0.0.9:6789")) is None
    assert not mon_map.get_addrs("z")
    assert str(mon_map) == (
        "e0: 2 mons at {a=[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],b=v2:10.0.0.2:3300/0}"
    )
    again = decode(MonMap, encode(MonMap, mon_map))
    assert again == mon_map
    assert again.dump()["mons"][1]["priority"] == 3


def test_ranks_that_name_nobody() -> None:
    mon_map = MonMap(mon_info={"a": MonInfo("a")}, ranks=["ghost", "a"])
    assert [mon["name"] for mon in mon_map.dump()["mons"]] == ["a"]
    assert not mon_map.get_addrs("ghost")


def test_a_crush_location_makes_older_readers_refuse() -> None:
    plain, placed = MonInfo("a"), MonInfo("a", crush_loc={"rack": "r1"})
    assert encode(MonInfo, plain)[:2] == b"\x05\x01"
    assert encode(MonInfo, placed)[:2] == b"\x05\x04"


def test_maps_of_before_nautilus_have_one_address_for_each() -> None:
    """Version 5 (Luminous): addresses first, ranks by address."""
    addrs = {
        "b": EntityAddr(1, 0, "10.0.0.1", 6789),
        "a": EntityAddr(1, 0, "10.0.0.2", 6789),
    }
    old = MonMap(epoch=3, mon_addr=addrs)
    body = bytearray()
    wire_codec(MonMap).encode_body(5)(body, old, ALL_FEATURES)
    found = decode(MonMap, b"\x05\x03" + len(body).to_bytes(4, "little") + bytes(body))
    assert found.ranks == ["b", "a"]
    assert found.epoch == 3
