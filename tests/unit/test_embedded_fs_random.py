"""The monitor's FSMap under whatever daemons say and people ask, in any order.

After every step the map is consistent as Ceph's own FSMap::sanity demands (`check_sanity`), comes
to rest, and reads back from its bytes; who holds a rank and leaves the map is fenced.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.embedded_fs_kit import Cluster, check_sanity

from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.fs_map import FSMap
from mdsdaemon.maps.mds_map import FLAG_ALLOW_STANDBY_REPLAY, FLAG_NOT_JOINABLE
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.health import MDSHealthMetric

GIDS = st.integers(1, 6)
NAMES = st.sampled_from(["one", "two"])
STEP = st.one_of(
    st.tuples(st.just("boot"), GIDS, st.sampled_from(["", "one", "two"])),
    st.tuples(st.just("say"), GIDS, st.sampled_from(list(State))),
    st.tuples(st.just("advance"), GIDS),
    st.tuples(st.just("advance"), GIDS),
    st.tuples(st.just("complain"), GIDS, st.integers(0, 14)),
    st.tuples(st.just("wait"), st.integers(1, 20), st.sets(GIDS)),
    st.tuples(st.just("fail"), GIDS),
    st.tuples(st.just("freeze"), GIDS),
    st.tuples(st.just("new"), NAMES),
    st.tuples(st.just("max_mds"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("flag"), NAMES, st.sampled_from([FLAG_ALLOW_STANDBY_REPLAY, 1])),
    st.tuples(st.just("repair"), NAMES),
    st.tuples(st.just("down"), NAMES),
    st.tuples(st.just("rm"), NAMES),
    st.tuples(st.just("reset"), NAMES),
)

NEXT = {
    State.CREATING: State.ACTIVE,
    State.STARTING: State.ACTIVE,
    State.REPLAY: State.RECONNECT,
    State.RECONNECT: State.REJOIN,
    State.REJOIN: State.ACTIVE,
    State.STOPPING: State.STOPPED,
}


def act(c: Cluster, step: tuple[object, ...], born: dict[int, int]) -> None:
    """Do one step; `born` counts the lives of each daemon: each has a gid of its own."""
    match step:
        case ("boot", int(n), str(wish)):
            born[n] = born.get(n, 0) + 1
            c.boot(n + 100 * born[n], f"m{n}", fs=wish)
            return
        case ("new", str(name)) if c.edit.by_name(name) is None:
            c.new_fs(name)
            return
        case (str(what), str(name), *rest):
            fs = c.edit.by_name(name)
            if fs is None:
                return
            mds_map = c.edit.modify_filesystem(fs)
            match what, rest:
                case "max_mds", [int(count)]:
                    mds_map.max_mds = count
                case "flag", [int(flag)]:
                    if flag == FLAG_ALLOW_STANDBY_REPLAY and mds_map.test_flag(flag):
                        for gid, info in sorted(mds_map.mds_info.items()):
                            if info.state == State.STANDBY_REPLAY:
                                c.state.fail_gid(gid, c.now)
                    mds_map.flags ^= flag
                case "repair", []:
                    for rank in sorted(mds_map.damaged):
                        c.edit.undamaged(fs, rank)
                case "down" | "rm" | "reset", []:
                    mds_map.flags |= FLAG_NOT_JOINABLE
                    for gid in sorted(mds_map.mds_info):
                        c.state.fail_gid(gid, c.now)
                    if what == "rm":
                        c.edit.erase_filesystem(fs)
                    elif what == "reset":
                        c.edit.reset_filesystem(fs, c.now)
            c.settle()
            return
        case ("wait", int(seconds), set(alive)):
            c.wait(seconds, *(n + 100 * born.get(n, 0) for n in alive), step=5.0)
            return
        case (_, int(n), *_):
            gid = n + 100 * born.get(n, 0)
        case _:
            return
    if not c.edit.gid_exists(gid):
        if step[0] == "say":
            c.say(gid, int(step[2]), f"m{gid % 100}")  # type: ignore[call-overload]
        return
    match step:
        case ("say", _, state):
            c.say(gid, int(state))  # type: ignore[call-overload]
        case ("advance", _):
            now = State(c.info(gid).state)
            c.say(gid, NEXT.get(now, now))
        case ("complain", _, int(kind)):
            c.say(gid, c.info(gid).state, health=[MDSHealthMetric(kind, 1, "!")])
        case ("fail", _):
            c.state.fail_gid(gid, c.now)
            c.settle()
        case ("freeze", _):
            c.edit.modify_daemon(gid).flags ^= 1
            c.settle()


@settings(max_examples=120)
@given(st.lists(STEP, max_size=60))
def test_the_map_stays_sane(steps: list[tuple[object, ...]]) -> None:
    c = Cluster()
    born: dict[int, int] = {}
    for step in [("boot", 1, ""), ("new", "one"), ("boot", 2, ""), ("advance", 1), *steps]:
        before = {gid: info.rank for gid, info in c.edit.infos().items()}
        states = {gid: info.state for gid, info in c.edit.infos().items()}
        epoch, fenced = c.map.epoch, len(c.fenced)
        act(c, step, born)
        assert not c.edit.dirty
        assert c.map.epoch >= epoch
        assert sorted(c.epochs) == list(range(2, c.map.epoch + 1)), "an epoch was left out"
        check_sanity(c.map)
        assert not c.state.tick(c.now), "it was not at rest"
        # who held a rank and is gone was fenced, or has stopped in peace
        gone = {
            gid
            for gid, rank in before.items()
            if rank >= 0
            and states[gid] not in (State.STANDBY_REPLAY, State.STOPPING)
            and not c.edit.gid_exists(gid)
        }
        assert gone <= set(c.fenced[fenced:])
        assert set(c.state.health) <= set(c.map.mds_roles)
        data = encode(FSMap, c.map, FEATURES_PACIFIC)
        assert decode(FSMap, data) == c.map
