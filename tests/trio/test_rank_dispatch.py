"""Which message goes where, and when it waits: laggy, not active yet, replayed, too many."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import evolve
from tests.trio.rank_cluster import rank_of, serving
from trio.testing import MockClock

from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_caps import MClientCapRelease, MClientCaps, MClientLease
from mdsdaemon.messages.client_misc import MClientReconnect
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.rank import dispatch as dispatch_module
from mdsdaemon.rank.dispatch import RankDispatch
from mdsdaemon.rank.leisure import Leisure
from mdsdaemon.rank.waiting import RunQueue
from mdsdaemon.types.entity import CLIENT, MDS


class Part:
    """Remembers which of its methods were called with what."""

    def __init__(self, calls: list[tuple[str, Any]]) -> None:
        self.calls = calls
        self.replay: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("handle"):
            raise AttributeError(name)

        def handle(msg: Any, **more: Any) -> None:
            self.calls.append((name, (msg, more) if more else msg))

        return handle

    def session_of(self, msg: Any) -> Any:
        return msg.connection.session

    def wants_replay(self, msg: Any, session: Any) -> bool:
        return msg.tid in self.replay


class Con:
    """A connection."""

    def __init__(self, peer_type: int = CLIENT) -> None:
        self.peer_type = peer_type
        self.peer_addrs = "v2:10.0.0.9:0/1"
        self.session = SimpleNamespace(last_seen=0.0, held=0, is_open=lambda: True)
        self.down = False

    def mark_down(self) -> None:
        self.down = True


def a_dispatch(state: int = State.ACTIVE) -> tuple[RankDispatch, Any, list[tuple[str, Any]]]:
    calls: list[tuple[str, Any]] = []
    queue = RunQueue()
    beacon = SimpleNamespace(laggy=False, want_state=state)
    beacon.is_laggy = lambda: beacon.laggy
    mdlog = SimpleNamespace(has_room=True, waiting=[])
    mdlog.when_room = mdlog.waiting.append
    rank = SimpleNamespace(
        state=state,
        mdlog=mdlog,
        leaving=False,
        log=logging.getLogger("test"),
        queue=queue,
        leisure=Leisure(queue.drain),
        active=queue.gate(),
        services=SimpleNamespace(beacon=beacon),
        sessions=Part(calls),
        locker=Part(calls),
        server=Part(calls),
        ended=0,
    )

    def end_of_dispatch() -> None:
        rank.ended += 1
        queue.drain()

    rank.end_of_dispatch = end_of_dispatch
    made = RankDispatch(cast("Any", rank))
    made.connect()
    return made, rank, calls


def of(cls: type[Any], con: Con | None = None, **fields: Any) -> Any:
    msg = object.__new__(cls)  # what is in it matters to its part only
    for name, value in fields.items():
        setattr(msg, name, value)
    msg.connection = con or Con()
    return msg


def names(calls: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in calls]


async def test_each_to_its_part(autojump_clock: MockClock) -> None:
    made, rank, calls = a_dispatch()
    for cls in (MClientSession, MClientReconnect, MClientRequest, MClientCaps, MClientCapRelease,
                MClientLease):  # fmt: skip
        assert made.ms_dispatch(of(cls))
    assert names(calls) == [
        "handle_client_session",
        "handle_client_reconnect",
        "handle_client_request",
        "handle_client_caps",
        "handle_client_cap_release",
        "handle_client_lease",
    ]
    assert rank.ended == 6
    assert not made.ms_dispatch(of(MMDSBeacon)), "not a rank's"


async def test_only_from_clients(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    made, _, calls = a_dispatch()
    assert made.ms_dispatch(of(MClientCaps, Con(MDS)))
    assert calls == []
    assert "filtered out MClientCaps from mds" in caplog.text


async def test_laggy_means_later_and_in_order(autojump_clock: MockClock) -> None:
    made, rank, calls = a_dispatch()
    beacon = rank.services.beacon
    beacon.laggy = True
    for tid in range(3):
        made.ms_dispatch(of(MClientRequest, tid=tid))
    assert calls == []
    made.advance()
    assert calls == []
    beacon.laggy = False
    made.ms_dispatch(of(MClientRequest, tid=3))  # behind those that wait
    assert [msg.tid for _, msg in calls] == [0, 1, 2, 3]


async def test_a_full_journal_means_later_and_in_order(autojump_clock: MockClock) -> None:
    made, rank, calls = a_dispatch()
    mdlog = rank.mdlog
    mdlog.has_room = False
    for tid in range(3):
        made.ms_dispatch(of(MClientRequest, tid=tid))
    assert calls == []
    (room,) = mdlog.waiting

    def fill(msg: Any) -> None:
        calls.append(("filled by", msg))
        mdlog.has_room = False

    handled, rank.server.handle_client_request = rank.server.handle_client_request, fill
    mdlog.waiting.clear()
    mdlog.has_room = True
    room()
    assert [msg.tid for _, msg in calls] == [0]
    (room,) = mdlog.waiting
    rank.server.handle_client_request = handled
    mdlog.has_room = True
    room()
    made.ms_dispatch(of(MClientRequest, tid=3))
    assert [msg.tid for _, msg in calls] == [0, 1, 2, 3]


async def test_a_journal_is_full_until_rados_has_taken_it(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        mdlog = rank_of(mds).mdlog
        journal = mdlog.journaler
        assert journal is not None
        journal.options = evolve(journal.options, max_unsafe=1)
        seen = [mdlog.has_room]
        mdlog.start_new_segment()
        seen.append(mdlog.has_room)
        mdlog.when_room(lambda: seen.append(mdlog.has_room))
        await mdlog.wait_safe()
        assert seen == [True, False, True]


async def test_requests_wait_until_active(autojump_clock: MockClock) -> None:
    made, rank, calls = a_dispatch(State.REJOIN)
    opened: list[int] = []
    rank.active.add(lambda: opened.append(1))
    for tid in range(3):
        made.ms_dispatch(of(MClientRequest, tid=tid))
    made.ms_dispatch(of(MClientSession))
    assert names(calls) == ["handle_client_session"]
    rank.state = State.ACTIVE
    made.go_active()
    rank.end_of_dispatch()
    assert [msg.tid for _, msg in calls[1:]] == [0, 1, 2]
    assert opened == [1]


async def test_replayed_requests_have_a_queue(autojump_clock: MockClock) -> None:
    made, rank, calls = a_dispatch(State.RECONNECT)
    rank.server.replay = {1, 3}
    for tid in range(4):
        made.ms_dispatch(of(MClientRequest, tid=tid))
    closed = Con()
    closed.session.is_open = lambda: False
    made.ms_dispatch(of(MClientRequest, closed, tid=9))  # dropped
    assert calls == []
    assert made.num_replay == 2
    rank.state = State.CLIENTREPLAY
    while made.replay_one():
        pass
    assert [(msg.tid, more) for _, (msg, more) in calls] == [
        (1, {"replay": True}),
        (3, {"replay": True}),
    ]
    calls.clear()
    rank.state = State.ACTIVE
    made.go_active()
    rank.end_of_dispatch()
    assert [msg.tid for _, msg in calls] == [0, 2]


async def test_who_sends_too_much_is_cut_off(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_module, "MAX_WAITING", 3)
    made, rank, calls = a_dispatch(State.REPLAY)
    con = Con()
    for tid in range(5):
        made.ms_dispatch(of(MClientRequest, con, tid=tid))
    assert con.down
    rank.services.beacon.laggy = True
    other = Con()
    for _ in range(5):
        made.ms_dispatch(of(MClientCaps, other))
    assert other.down
    assert calls == []


async def test_who_has_too_much_coming_is_cut_off(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_module, "MAX_WAITING", 3)
    made, _, calls = a_dispatch()
    con, other = Con(), Con()
    con.session.held = 3
    made.ms_dispatch(of(MClientRequest, con, tid=1))
    made.ms_dispatch(of(MClientRequest, other, tid=2))
    assert (con.down, other.down) == (True, False)
    assert [msg.tid for _, msg in calls] == [2]


async def test_who_replays_too_much_is_cut_off(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_module, "MAX_WAITING", 3)
    made, rank, calls = a_dispatch(State.RECONNECT)
    rank.server.replay = set(range(9))
    con = Con()
    down = []
    for tid in range(4):
        made.ms_dispatch(of(MClientRequest, con, tid=tid))
        down.append(con.down)
    assert down == [False, False, False, True]
    assert (made.num_replay, calls) == (3, [])


async def test_a_rank_that_leaves_takes_nothing(autojump_clock: MockClock) -> None:
    made, rank, calls = a_dispatch()
    rank.leaving = True
    assert made.ms_dispatch(of(MClientRequest))
    assert calls == []
