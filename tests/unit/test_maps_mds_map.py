"""MDSMap: questions that the daemon asks it, and maps of other releases."""

import pytest

from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.compat_set import CompatSet, FeatureSet, get_compat_set_all
from mdsdaemon.maps.fs_map import Filesystem, FSMap
from mdsdaemon.maps.mds_info import GID_NONE, RANK_NONE, MDSInfo
from mdsdaemon.maps.mds_map import EPOCH_NULL_MAP, FLAG_ALLOW_SNAPS, MDSMap
from mdsdaemon.maps.mds_states import (
    State,
    state_name,
    state_transition_valid,
    state_transition_valid_strict,
)
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.feature_bitset import FeatureBitset

ACTIVE = MDSInfo(
    10,
    "a",
    0,
    3,
    State.ACTIVE,
    addrs=EntityAddrVec.parse("[v2:127.0.0.1:6800/7,v1:127.0.0.1:6801/7]"),
    mds_features=0b111,
)
FOLLOWER = MDSInfo(11, "b", 0, 0, State.STANDBY_REPLAY, mds_features=0b101)
STARTING = MDSInfo(12, "c", 1, 1, State.REJOIN, laggy_since=5, mds_features=0b110)


def a_map() -> MDSMap:
    return MDSMap(
        epoch=9,
        mds_info={10: ACTIVE, 11: FOLLOWER, 12: STARTING},
        in_={0, 1, 2},
        up={0: 10, 1: 12},
        failed={2},
        data_pools=[4, 5],
    )


def test_by_gid() -> None:
    m = a_map()
    assert [m.get_rank_gid(gid) for gid in (10, 11, 12, 99)] == [0, 0, 1, RANK_NONE]
    assert [m.get_state_gid(gid) for gid in (10, 11, 99)] == [
        State.ACTIVE,
        State.STANDBY_REPLAY,
        State.NULL,
    ]
    assert [m.get_inc_gid(gid) for gid in (10, 11, 99)] == [3, 0, -1]
    assert m.is_dne_gid(99)
    assert m.is_laggy_gid(12)
    assert not m.is_laggy_gid(99)
    assert m.find_mds_gid_by_name("b") == 11
    assert m.find_mds_gid_by_name("z") == GID_NONE


def test_by_rank() -> None:
    m = a_map()
    assert m.get_state(0) == State.ACTIVE
    assert m.get_state(2) == State.NULL
    assert m.get_incarnation(0) == 3
    assert m.get_incarnation(2) == GID_NONE
    assert m.get_addrs(0) == ACTIVE.addrs
    assert not m.get_addrs(2)
    assert m.get_standby_replay(0) == 11
    assert m.get_standby_replay(1) == GID_NONE
    assert m.is_up(1)
    assert not m.is_up(2)
    assert m.is_in(2)
    assert m.get_mds_set(State.ACTIVE) == {0}
    assert m.get_mds_set_lower_bound(State.REJOIN) == {0, 1}
    assert m.get_recovery_mds_set() == {0, 1, 2}
    assert m.get_up_features() == 0b110


def test_ranks_whose_daemon_the_map_forgot() -> None:
    m = MDSMap(up={0: 10}, in_={0})
    assert m.get_info(0) is None
    assert m.get_state(0) == State.NULL
    assert m.get_up_features() == 0


def test_of_the_whole() -> None:
    m = a_map()
    assert m.is_degraded()
    assert not m.is_rejoining()
    m.failed = set()
    assert m.is_rejoining()
    assert not m.is_resolving()
    assert m.test_flag(FLAG_ALLOW_SNAPS)
    assert m.get_first_data_pool() == 4
    assert m.is_data_pool(5)
    assert MDSMap().get_first_data_pool() == -1


def test_names_of_states() -> None:
    assert state_name(State.STANDBY_REPLAY) == "up:standby-replay"
    assert state_name(State.DAMAGED) == "down:damaged"
    assert state_name(77) == "???"


@pytest.mark.parametrize(
    ("prev", "new", "valid", "strict"),
    [
        (State.STANDBY, State.STANDBY, True, True),
        (State.BOOT, State.STANDBY, True, True),
        (State.STANDBY, State.ACTIVE, True, False),
        (State.REPLAY, State.RESOLVE, True, True),
        (State.REPLAY, State.RECONNECT, True, True),
        (State.REPLAY, State.REJOIN, False, False),
        (State.RESOLVE, State.REJOIN, False, False),
        (State.RECONNECT, State.REJOIN, True, True),
        (State.REJOIN, State.ACTIVE, True, True),
        (State.REJOIN, State.STOPPED, True, True),
        (State.CLIENTREPLAY, State.STOPPING, False, False),
        (State.ACTIVE, State.STOPPING, True, True),
        (State.ACTIVE, State.DAMAGED, True, True),
        (State.REPLAY, State.DAMAGED, False, True),
    ],
)
def test_transitions(prev: State, new: State, valid: bool, strict: bool) -> None:
    assert state_transition_valid(prev, new) is valid
    assert state_transition_valid_strict(prev, new) is strict


def raw_of(ev: int, late: bytes) -> bytes:
    """A map whose fields after those of Pacific are ``late``."""
    pacific = encode(MDSMap, MDSMap(epoch=2, ev=16, fs_name="x"))
    at = pacific.index((16).to_bytes(2, "little") + encode(CompatSet, MDSMap().compat))
    body = pacific[6:at] + ev.to_bytes(2, "little") + pacific[at + 2 :] + late
    return b"\x05\x04" + len(body).to_bytes(4, "little") + body


MASK = b"\x03\0\0\0" + b"0x7"
SIZE = (70000).to_bytes(8, "little")
QUIESCE = (12).to_bytes(8, "little") + b"\x01\0\0\0" + (12).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("ev", "late", "mask", "size"),
    [
        (16, b"", "-1", 65536),
        (17, MASK, "0x7", 65536),  # 18.2.0
        (17, SIZE, "-1", 70000),  # the other branch
        (18, MASK + SIZE, "0x7", 70000),
        (18, SIZE + MASK, "0x7", 70000),  # 18.2.1
        (19, MASK + SIZE + QUIESCE, "0x7", 70000),  # Squid
        (20, MASK + SIZE + QUIESCE + b"something newer", "0x7", 70000),
    ],
)
def test_fields_whose_order_releases_disagree_on(
    ev: int, late: bytes, mask: str, size: int
) -> None:
    m = decode(MDSMap, raw_of(ev, late))
    assert (m.epoch, m.fs_name, m.bal_rank_mask, m.max_xattr_size) == (2, "x", mask, size)
    assert m.qdb_cluster_leader == (12 if ev >= 19 else GID_NONE)
    if ev < 20:
        assert encode(MDSMap, m) == raw_of(ev, late)


def test_a_newer_struct_keeps_what_is_known() -> None:
    raw = bytearray(encode(MDSMap, a_map()))
    raw[0] = 9
    raw[2:6] = (len(raw) - 6 + 5).to_bytes(4, "little")
    assert decode(MDSMap, bytes(raw) + b"newer") == a_map()


def test_the_null_map() -> None:
    null = MDSMap(epoch=EPOCH_NULL_MAP, compat=CompatSet())
    again = decode(MDSMap, encode(MDSMap, null))
    assert again.epoch == EPOCH_NULL_MAP
    assert get_compat_set_all().writeable(again.compat)
    assert again.get_state_gid(10) == State.NULL


def test_an_unknown_state_and_feature_do_no_harm() -> None:
    info = MDSInfo(1, "a", state=99)
    assert decode(MDSInfo, encode(MDSInfo, info)).state == 99
    assert info.dump()["state"] == "???"
    m = MDSMap(required_client_features=FeatureBitset.of({5, 12, 63, 64}))
    assert m.dump()["required_client_features"] == {
        "feature_5": "jewel",
        "feature_12": "multi_reconnect",
    }


def test_a_daemon_in_text() -> None:
    assert str(ACTIVE) == (
        "[mds.a{0:10} state up:active seq 0 addr [v2:127.0.0.1:6800/7,v1:127.0.0.1:6801/7]]"
    )
    assert "laggy since 0.000000" in str(STARTING)


def test_fsmap_finds_daemons_and_file_systems() -> None:
    fs_map = FSMap(
        filesystems=[Filesystem(fscid=1, mds_map=a_map())],
        standby_daemons={20: MDSInfo(20, "s")},
        standby_epochs={20: 4},
    )
    assert fs_map.get_info_gid(10) is ACTIVE
    assert fs_map.get_info_gid(20) == MDSInfo(20, "s")
    assert fs_map.get_info_gid(77) is None
    found = fs_map.get_filesystem("cephfs")
    assert found is not None
    assert found.fscid == 1
    assert fs_map.get_filesystem("other") is None


def test_features_of_mask_bit_0_are_made_anew_from_the_names() -> None:
    raw = (1 | 1 << 9).to_bytes(8, "little") + encode(FeatureSet, FeatureSet(0, {2: "two"}))[8:]
    assert decode(FeatureSet, raw) == FeatureSet(1 << 2, {2: "two"})
