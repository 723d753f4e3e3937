"""List 1a of handle_mds_map as a table: two maps and what the daemon is, in; decisions, out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.daemon.map_handling import (
    FINAL,
    Abort,
    BecomeStandby,
    CreateRank,
    Decision,
    Discard,
    GotMap,
    MarkDown,
    NotifyBeacon,
    NotInMapYet,
    RankHandleMap,
    Respawn,
    StartMgrClient,
    StillStandby,
    Suicide,
    decide,
)
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_all, get_compat_set_default
from mdsdaemon.maps.mds_info import MDSInfo
from mdsdaemon.maps.mds_map import EPOCH_NULL_MAP, MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.entity import EntityAddrVec

ME = 4107


def info(gid: int, state: int, rank: int = -1, inc: int = 0) -> MDSInfo:
    return MDSInfo(global_id=gid, name=f"n{gid}", rank=rank, inc=inc, state=state)


def a_map(epoch: int, *infos: MDSInfo, compat: CompatSet | None = None) -> MDSMap:
    mdsmap = MDSMap(epoch=epoch, mds_info={i.global_id: i for i in infos})
    if compat is not None:
        mdsmap.compat = compat
    return mdsmap


def newer_compat(kind: str) -> CompatSet:
    compat = get_compat_set_default()
    getattr(compat, kind).insert(12, "quiesce subvolumes")
    return compat


EMPTY = a_map(0)
STANDBY = a_map(5, info(ME, State.STANDBY))
ACTIVE_0 = a_map(9, info(ME, State.ACTIVE, rank=0, inc=9))
PEER = info(77, State.ACTIVE, rank=1)

TABLE: list[tuple[str, MDSMap, MDSMap, int, int | None, list[type[Any]]]] = [
    ("the same epoch", STANDBY, a_map(5), State.STANDBY, None, [Discard]),
    ("an older epoch", STANDBY, a_map(4), State.STANDBY, None, [Discard]),
    (
        "unknown incompat feature",
        EMPTY,
        a_map(1, info(ME, State.STANDBY), compat=newer_compat("incompat")),
        State.BOOT,
        None,
        [GotMap, Suicide],
    ),
    (
        "unknown ro_compat feature",
        STANDBY,
        a_map(6, compat=newer_compat("ro_compat")),
        State.STANDBY,
        None,
        [GotMap, Suicide],
    ),
    (
        "unknown compat feature harms nobody",
        STANDBY,
        a_map(6, info(ME, State.STANDBY), compat=newer_compat("compat")),
        State.STANDBY,
        None,
        [GotMap, StillStandby, NotifyBeacon],
    ),
    (
        "everything that we know",
        STANDBY,
        a_map(6, info(ME, State.STANDBY), compat=get_compat_set_all()),
        State.STANDBY,
        None,
        [GotMap, StillStandby, NotifyBeacon],
    ),
    (
        "a map without any feature",
        EMPTY,
        a_map(1, compat=CompatSet()),
        State.BOOT,
        None,
        [GotMap, NotInMapYet, NotifyBeacon],
    ),
    ("removed while standby", STANDBY, a_map(6), State.STANDBY, None, [GotMap, Respawn]),
    ("removed while active", ACTIVE_0, a_map(10), State.ACTIVE, 0, [GotMap, Respawn]),
    (
        "removed while standby-replay",
        a_map(7, info(ME, State.STANDBY_REPLAY, rank=0)),
        a_map(8),
        State.STANDBY_REPLAY,
        0,
        [GotMap, Respawn],
    ),
    (
        "the empty map of a newer monitor",
        STANDBY,
        a_map(EPOCH_NULL_MAP, compat=CompatSet()),
        State.STANDBY,
        None,
        [GotMap, Respawn],
    ),
    (
        "first map, not in it",
        EMPTY,
        a_map(1),
        State.BOOT,
        None,
        [GotMap, NotInMapYet, NotifyBeacon],
    ),
    (
        "still not in it",
        a_map(1),
        a_map(2, PEER),
        State.BOOT,
        None,
        [GotMap, NotInMapYet, NotifyBeacon],
    ),
    (
        "first time in the map",
        a_map(1),
        a_map(2, info(ME, State.STANDBY)),
        State.BOOT,
        None,
        [GotMap, StartMgrClient, BecomeStandby, NotifyBeacon],
    ),
    (
        "first map already with a rank",
        EMPTY,
        a_map(2, info(ME, State.CREATING, rank=0, inc=2)),
        State.BOOT,
        None,
        [GotMap, StartMgrClient, CreateRank, RankHandleMap, NotifyBeacon],
    ),
    (
        "still standby",
        STANDBY,
        a_map(6, info(ME, State.STANDBY)),
        State.STANDBY,
        None,
        [GotMap, StillStandby, NotifyBeacon],
    ),
    (
        "standby is given a rank",
        STANDBY,
        a_map(6, info(ME, State.REPLAY, rank=2, inc=6)),
        State.STANDBY,
        None,
        [GotMap, CreateRank, RankHandleMap, NotifyBeacon],
    ),
    (
        "standby follows a rank",
        STANDBY,
        a_map(6, info(ME, State.STANDBY_REPLAY, rank=0), PEER),
        State.STANDBY,
        None,
        [GotMap, CreateRank, RankHandleMap, NotifyBeacon],
    ),
    (
        "the followed rank fails, its follower takes it",
        a_map(6, info(ME, State.STANDBY_REPLAY, rank=1), PEER),
        a_map(7, info(ME, State.REPLAY, rank=1, inc=7)),
        State.STANDBY_REPLAY,
        1,
        [GotMap, MarkDown, RankHandleMap, NotifyBeacon],
    ),
    (
        "following another rank is no transition",
        a_map(6, info(ME, State.STANDBY_REPLAY, rank=0)),
        a_map(7, info(ME, State.STANDBY_REPLAY, rank=1)),
        State.STANDBY_REPLAY,
        0,
        [GotMap, Respawn],
    ),
    (
        "a rank is not exchanged",
        ACTIVE_0,
        a_map(10, info(ME, State.REPLAY, rank=1)),
        State.ACTIVE,
        0,
        [GotMap, Respawn],
    ),
    (
        "the rank goes on",
        ACTIVE_0,
        a_map(10, info(ME, State.ACTIVE, rank=0, inc=9)),
        State.ACTIVE,
        0,
        [GotMap, RankHandleMap, NotifyBeacon],
    ),
    (
        "vanished peers, some of them, with us standby",
        a_map(5, info(ME, State.STANDBY), PEER, info(78, State.STANDBY), info(79, State.STANDBY)),
        a_map(6, info(ME, State.STANDBY), info(79, State.ACTIVE, rank=1)),
        State.STANDBY,
        None,
        [GotMap, MarkDown, MarkDown, StillStandby, NotifyBeacon],
    ),
    (
        "a rank taken away without removal",
        ACTIVE_0,
        a_map(10, info(ME, State.STANDBY)),
        State.ACTIVE,
        0,
        [GotMap, Respawn],
    ),
    (
        "no rank and no standby",
        STANDBY,
        a_map(6, info(ME, State.REPLAY)),
        State.STANDBY,
        None,
        [GotMap, Abort],
    ),
    (
        "not in the map although our beacons say so: our gid is another one",
        a_map(1),
        a_map(2),
        State.STANDBY,
        None,
        [GotMap, Respawn],
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "want", "held", "expected"), [t[1:] for t in TABLE], ids=[t[0] for t in TABLE]
)
def test_list_1a(
    old: MDSMap, new: MDSMap, want: int, held: int | None, expected: list[type[Decision]]
) -> None:
    done = decide(old, new, gid=ME, want_state=want, held_rank=held)
    assert [type(d) for d in done] == expected


def test_decisions_carry_what_is_needed() -> None:
    peer = info(78, State.ACTIVE, rank=1)
    peer.addrs = EntityAddrVec.parse("[v2:127.0.0.1:6800/5,v1:127.0.0.1:6801/5]")
    old = a_map(5, info(ME, State.STANDBY), peer)
    new = a_map(6, info(ME, State.CREATING, rank=1, inc=6))
    done = decide(old, new, gid=ME, want_state=State.STANDBY, held_rank=None)
    assert done == [
        GotMap(6),
        MarkDown(78, peer.addrs),
        CreateRank(1),
        RankHandleMap(1, 6, State.CREATING),
        NotifyBeacon(6),
    ]


def test_reasons_tell_what_happened() -> None:
    suicide = decide(
        EMPTY,
        a_map(3, compat=newer_compat("incompat")),
        gid=ME,
        want_state=State.BOOT,
        held_rank=None,
    )[-1]
    assert isinstance(suicide, Suicide)
    assert "quiesce subvolumes" in suicide.reason
    respawn = decide(STANDBY, a_map(6), gid=ME, want_state=State.STANDBY, held_rank=None)[-1]
    assert isinstance(respawn, Respawn)
    assert f"mds.n{ME}" in respawn.reason


def maps() -> st.SearchStrategy[MDSMap]:
    infos = st.builds(
        info,
        st.sampled_from([ME, 77, 78]),
        st.sampled_from(list(State)),
        st.integers(-1, 2),
        st.integers(0, 9),
    )
    return st.builds(
        lambda epoch, listed: a_map(epoch, *listed), st.integers(0, 9), st.lists(infos, max_size=3)
    )


@given(maps(), maps(), st.sampled_from([State.BOOT, State.STANDBY]), st.sampled_from([None, 0, 1]))
def test_final_decisions_are_last_and_maps_untouched(
    old: MDSMap, new: MDSMap, want: int, held: int | None
) -> None:
    before = repr(old), repr(new)
    done = decide(old, new, gid=ME, want_state=want, held_rank=held)
    assert done
    assert not any(isinstance(d, FINAL) for d in done[:-1])
    assert isinstance(done[-1], (*FINAL, Discard, NotifyBeacon))
    assert (repr(old), repr(new)) == before
    if held is not None and isinstance(done[-1], NotifyBeacon):
        assert not any(isinstance(d, CreateRank) for d in done)
