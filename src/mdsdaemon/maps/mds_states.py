"""States of metadata server daemons, and which may follow which.

Format: ceph/ceph, src/include/ceph_fs.h, src/common/ceph_strings.cc, src/mds/MDSMap.cc (Pacific).
"""

from enum import IntEnum


class State(IntEnum):
    """The state of a daemon in the map, or of the rank that it holds.

    The negative ones other than STOPPED are those of daemons without a rank, and of a rank being
    made (CREATING, STARTING). Maps may carry numbers that are not known here: fields hold int.
    """

    DNE = 0
    STOPPED = -1
    BOOT = -4
    STANDBY = -5
    CREATING = -6
    STARTING = -7
    STANDBY_REPLAY = -8
    REPLAYONCE = -9
    NULL = -10
    REPLAY = 8
    RESOLVE = 9
    RECONNECT = 10
    REJOIN = 11
    CLIENTREPLAY = 12
    ACTIVE = 13
    STOPPING = 14
    DAMAGED = 15


_NAMES = {
    State.DNE: "down:dne",
    State.STOPPED: "down:stopped",
    State.DAMAGED: "down:damaged",
    State.BOOT: "up:boot",
    State.STANDBY: "up:standby",
    State.STANDBY_REPLAY: "up:standby-replay",
    State.REPLAYONCE: "up:oneshot-replay",
    State.CREATING: "up:creating",
    State.STARTING: "up:starting",
    State.REPLAY: "up:replay",
    State.RESOLVE: "up:resolve",
    State.RECONNECT: "up:reconnect",
    State.REJOIN: "up:rejoin",
    State.CLIENTREPLAY: "up:clientreplay",
    State.ACTIVE: "up:active",
    State.STOPPING: "up:stopping",
    State.NULL: "null",
}


def state_name(state: int) -> str:
    """The state as Ceph prints it ("up:standby"), "???" for an unknown number."""
    return _NAMES.get(state, "???")  # type: ignore[call-overload, no-any-return]


_NEXT: dict[int, frozenset[State]] = {
    State.BOOT: frozenset({State.STANDBY}),
    State.STANDBY: frozenset(
        {State.STANDBY_REPLAY, State.REPLAY, State.CREATING, State.STARTING},
    ),
    State.CREATING: frozenset({State.ACTIVE}),
    State.STARTING: frozenset({State.ACTIVE}),
    State.STANDBY_REPLAY: frozenset({State.REPLAY}),
    State.REPLAY: frozenset({State.RESOLVE, State.RECONNECT}),
    State.RESOLVE: frozenset({State.RECONNECT}),
    State.RECONNECT: frozenset({State.REJOIN}),
    State.REJOIN: frozenset({State.CLIENTREPLAY, State.ACTIVE, State.STOPPED}),
    State.CLIENTREPLAY: frozenset({State.ACTIVE}),
    State.ACTIVE: frozenset({State.STOPPING}),
    State.STOPPING: frozenset({State.STOPPED}),
}


def state_transition_valid(prev: int, new: int) -> bool:
    """Whether a rank may go from ``prev`` to ``new`` by what Pacific checks.

    Only recovery is held to its order: from REPLAY on, one step after the other, with the shortcuts
    REPLAY to RECONNECT and REJOIN to ACTIVE or STOPPED.
    """
    if new == prev:
        return True
    if prev == State.REPLAY or State.RESOLVE <= prev < State.ACTIVE:
        return new in _NEXT[prev]
    return True


def state_transition_valid_strict(prev: int, new: int) -> bool:
    """The same by what monitors from Reef on hold every beacon to."""
    return new in (prev, State.DAMAGED) or new in _NEXT.get(prev, ())
