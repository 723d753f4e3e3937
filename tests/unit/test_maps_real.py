"""Maps of a real ceph-mon 16.2.15: the values that its JSON shows, and the same bytes again."""

import json
from pathlib import Path
from typing import Any

import pytest

from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.fs_map import FSMap
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.maps.osd_map import OSDMap, decode_osd_map, encode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import Incremental, decode_incremental
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.features import FEATURES_PACIFIC

REAL: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "maps_16_2_15.json").read_text(encoding="utf-8")
)
INCREMENTALS = [bytes.fromhex(text) for text in REAL["osd_incrementals"]]


def same_bytes(cls: type[Any], raw: bytes) -> Any:
    value = decode(cls, raw)
    assert encode(cls, value, FEATURES_PACIFIC) == raw
    return value


def same_json(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    # in text, so that the order of keys counts too
    assert json.dumps(ours, indent=1) == json.dumps(theirs, indent=1)


def test_monmap() -> None:
    same_json(same_bytes(MonMap, bytes.fromhex(REAL["monmap"])).dump(), REAL["mon_dump"])


@pytest.mark.parametrize("epoch", REAL["fsmaps"])
def test_fsmap(epoch: str) -> None:
    fs_map = same_bytes(FSMap, bytes.fromhex(REAL["fsmaps"][epoch]))
    same_json(fs_map.dump(), REAL["fs_dumps"][epoch])


def test_mgrmap() -> None:
    mgr_map = same_bytes(MgrMap, bytes.fromhex(REAL["mgrmap"]))
    assert mgr_map.dump()["epoch"] == mgr_map.epoch


def test_crushmap() -> None:
    crush = same_bytes(CrushMap, bytes.fromhex(REAL["crushmap"]))
    root = crush.bucket(-1)
    assert root is not None
    assert crush.type_map[root.type] == "root"
    assert crush.name_map[root.id] == "default"
    assert crush.rule_name_map == {0: "replicated_rule"}


def test_every_incremental_leads_to_the_next_map() -> None:
    osd_map = OSDMap()
    for raw, crc in zip(INCREMENTALS, REAL["osd_crcs"], strict=True):
        incremental = decode_incremental(raw)
        assert encode(Incremental, incremental, FEATURES_PACIFIC) == raw
        assert incremental.full_crc == crc
        osd_map = apply_incremental(osd_map, incremental)
        encode_osd_map(osd_map, FEATURES_PACIFIC)
        assert osd_map.crc == crc
    assert encode_osd_map(osd_map, FEATURES_PACIFIC) == bytes.fromhex(REAL["osdmap_30"])


def test_osdmap() -> None:
    raw = bytes.fromhex(REAL["osdmap_30"])
    osd_map = decode_osd_map(raw)
    assert encode(OSDMap, osd_map, FEATURES_PACIFIC) == raw
    assert osd_map.epoch == 30
    assert osd_map.lookup_pool("cephfs_meta") == 2
    assert osd_map.lookup_pool("no such pool") == -1
    assert osd_map.pools[2].pg_num == 8
    assert osd_map.is_up(0)
    assert not osd_map.exists(1)
    assert osd_map.get_addrs(0).msgr2() is not None
    assert not osd_map.get_addrs(7)


def test_blocklist() -> None:
    osd_map = OSDMap()
    for raw in INCREMENTALS[:12]:
        osd_map = apply_incremental(osd_map, decode_incremental(raw))
    for text, listed in (
        ("v2:10.1.2.3:0/123", True),
        ("v1:10.1.2.3:0/123", True),
        ("v2:10.1.2.3:0/124", False),
        ("v2:10.2.200.4:6800/5", True),  # by its network, 10.2.0.0/16
        ("v2:10.3.200.4:6800/5", False),
    ):
        assert osd_map.is_blocklisted(EntityAddrVec.parse(text)) is listed, text


def test_a_wrong_crc_is_refused() -> None:
    raw = bytearray.fromhex(REAL["osdmap_30"])
    raw[200] ^= 1
    with pytest.raises(DecodeError):
        decode_osd_map(bytes(raw))
    inc = bytearray(INCREMENTALS[4])
    inc[-1] ^= 1
    with pytest.raises(DecodeError, match="crc"):
        decode_incremental(bytes(inc))


def test_an_incremental_that_does_not_fit_is_refused() -> None:
    first = decode_incremental(INCREMENTALS[0])
    osd_map = apply_incremental(OSDMap(), first)
    with pytest.raises(DecodeError, match="leads to epoch 3"):
        apply_incremental(osd_map, decode_incremental(INCREMENTALS[2]))
    second = decode_incremental(INCREMENTALS[1])
    second.client.new_weight[77] = 0x10000
    with pytest.raises(DecodeError, match=r"osd\.77"):
        apply_incremental(osd_map, second)
