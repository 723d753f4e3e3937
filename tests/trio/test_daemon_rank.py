"""Ranks: given, followed, taken away; what a recording rank sees."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from tests.trio.daemon_kit import a_cluster
from trio.testing import MockClock

from mdsdaemon.daemon.outcome import DaemonAbort, End
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.messages.cmdparse import CmdMap
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.messages.pool import MRemoveSnaps
from mdsdaemon.rank.interface import Rank, RankServices
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.entity import CLIENT, MDS, PeerName

Call = tuple[Any, ...]


class RecordingRank(Rank):
    """Writes every call down and follows the map."""

    def __init__(self, calls: list[Call], whoami: int, services: RankServices) -> None:
        self.calls, self.whoami, self.services = calls, whoami, services
        self.stopped = False
        self.shutdown_takes = 0.0
        calls.append(("made", whoami))

    def init(self) -> None:
        self.calls.append(("init",))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self.calls.append(("run",))
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.calls.append(("run ends",))

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        state = mdsmap.get_state_gid(self.services.gid)
        assert mdsmap is self.services.mdsmap()
        assert oldmap.epoch < mdsmap.epoch
        self.calls.append(("map", state_name(state)))
        if state == State.DAMAGED:
            raise ZeroDivisionError("a bug of the rank")
        self.services.beacon.set_want_state(mdsmap, state)

    def ms_dispatch(self, msg: Message) -> bool:
        if not isinstance(msg, MClientSession):
            return False
        self.calls.append(("message", type(msg).__name__))
        return True

    def handle_remove_snaps(self, msg: MRemoveSnaps) -> None:
        self.calls.append(("snaps", msg.snaps))

    def tick(self) -> None:
        self.calls.append(("tick", trio.current_time()))

    def handle_asok_command(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Any:
        async def later() -> Reply:
            await trio.sleep(1)
            return Reply(section="x", data={"prefix": prefix})

        return later()

    def dump_status(self) -> dict[str, Any]:
        return {"fs_name": "cephfs", "rank_uptime": 1.5}

    def get_osd_epoch(self) -> int:
        return 12

    async def shutdown(self) -> None:
        self.calls.append(("shutdown",))
        await trio.sleep(self.shutdown_takes)

    def is_stopped(self) -> bool:
        return self.stopped


def kinds(calls: list[Call]) -> list[Any]:
    return [c[0] for c in calls if c[0] != "tick"]


async def test_creating_in_the_ranks_eyes(autojump_clock: MockClock) -> None:
    calls: list[Call] = []
    factory = partial(RecordingRank, calls)
    async with a_cluster() as cluster:
        async with cluster.standby("a", _rank_factory=factory) as mds:
            cluster.mon.assign(mds.gid, State.CREATING, 0)
            await mds.wait_for_state("up:creating")
            await cluster.mon.hear_state(State.CREATING)
            assert calls[:4] == [("made", 0), ("init",), ("map", "up:creating"), ("run",)]
            cluster.mon.publish()
            cluster.mon.assign(mds.gid, State.ACTIVE)
            await mds.wait_for_state("up:active")
            assert calls[4:6] == [("map", "up:creating"), ("map", "up:active")]
            await trio.sleep(21)
            ticks = [c[1] for c in calls if c[0] == "tick"]
            assert len(ticks) >= 4
            assert {round(b - a, 3) for a, b in pairwise(ticks)} == {5.0}
        assert kinds(calls)[-2:] == ["shutdown", "run ends"]
        assert mds.outcome is not None
        assert (mds.outcome.end, mds.outcome.clean) == (End.EXIT, False)
        assert cluster.mon.beacons[-1].state == State.DNE


async def test_rank_commands_and_status(autojump_clock: MockClock) -> None:
    calls: list[Call] = []
    async with (
        a_cluster() as cluster,
        cluster.standby("a", _rank_factory=partial(RecordingRank, calls)) as mds,
    ):
        assert (await mds.command('{"prefix": "ops"}')).r == -38
        cluster.mon.assign(mds.gid, State.CREATING, 3)
        await mds.wait_for_state("up:creating")
        reply = await mds.command('{"prefix": "ops", "format": "json"}')
        assert json.loads(reply.out) == {"prefix": "ops"}
        status = json.loads((await mds.command('{"prefix": "status"}')).out)
        assert list(status) == [
            *("cluster_fsid", "whoami", "id", "want_state", "state", "fs_name", "rank_uptime"),
            *("mdsmap_epoch", "osdmap_epoch", "osdmap_epoch_barrier", "uptime"),
        ]
        assert (status["whoami"], status["osdmap_epoch"]) == (3, 12)


async def test_rank_taken_away_respawns_without_shutdown(autojump_clock: MockClock) -> None:
    calls: list[Call] = []
    async with (
        a_cluster() as cluster,
        cluster.standby("a", _rank_factory=partial(RecordingRank, calls)) as mds,
    ):
        gid = mds.gid
        cluster.mon.assign(gid, State.CREATING, 0)
        await mds.wait_for_state("up:creating")
        cluster.mon.fail(gid)
        await mds.wait_for_life(2)
        await mds.wait_for_state("up:standby")
        assert kinds(calls) == ["made", "init", "map", "run", "run ends"]
        assert mds.rank is None


async def test_standby_replay_follows_and_takes_over(autojump_clock: MockClock) -> None:
    calls: list[Call] = []
    async with (
        a_cluster() as cluster,
        cluster.standby("b", _rank_factory=partial(RecordingRank, [])) as active,
        cluster.standby("a", _rank_factory=partial(RecordingRank, calls)) as mds,
    ):
        cluster.mon.assign(active.gid, State.ACTIVE, 0)
        cluster.mon.assign(mds.gid, State.STANDBY_REPLAY, 0)
        await mds.wait_for_state("up:standby-replay")
        assert mds.rank is not None
        assert mds.rank.whoami == 0
        await active.stop()
        cluster.mon.assign(mds.gid, State.REPLAY, 0)
        await mds.wait_for_state("up:replay")
        assert mds.lives == 1
        assert [c for c in calls if c[0] == "map"][-1] == ("map", "up:replay")
        assert [c for c in calls if c[0] == "made"] == [("made", 0)]


async def test_following_another_rank_respawns(autojump_clock: MockClock) -> None:
    async with (
        a_cluster() as cluster,
        cluster.standby("a", _rank_factory=partial(RecordingRank, [])) as mds,
    ):
        cluster.mon.assign(mds.gid, State.STANDBY_REPLAY, 0)
        await mds.wait_for_state("up:standby-replay")
        cluster.mon.assign(mds.gid, State.STANDBY_REPLAY, 1)
        await mds.wait_for_life(2)


async def test_rank_asks_for_the_end(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster:
        async with cluster.standby("a", _rank_factory=partial(RecordingRank, [])) as mds:
            cluster.mon.assign(mds.gid, State.CREATING, 0)
            await mds.wait_for_state("up:creating")
            assert isinstance(mds.rank, RecordingRank)
            mds.rank.services.respawn("the rank says so")
            await mds.wait_for_life(2)
            await mds.wait_for_state("up:standby")
            cluster.mon.assign(mds.gid, State.CREATING, 0)
            await mds.wait_for_state("up:creating")
            assert isinstance(mds.rank, RecordingRank)
            mds.rank.services.suicide("the rank says so")
            await mds.wait_ended()
        assert mds.outcome is not None
        assert (mds.outcome.end, mds.outcome.reason) == (End.EXIT, "the rank says so")


async def test_slow_shutdown_of_a_rank_is_bounded(autojump_clock: MockClock) -> None:
    async with (
        a_cluster() as cluster,
        cluster.standby("a", _rank_factory=partial(RecordingRank, [])) as mds,
    ):
        cluster.mon.assign(mds.gid, State.CREATING, 0)
        await mds.wait_for_state("up:creating")
        assert isinstance(mds.rank, RecordingRank)
        mds.rank.shutdown_takes = 1000.0
        mds.rank.stopped = True
        began = trio.current_time()
        await mds.stop()
        assert trio.current_time() - began < 6
        assert mds.outcome is not None
        assert mds.outcome.clean


async def test_a_bug_in_the_rank_ends_the_daemon(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(DaemonAbort, match="ZeroDivisionError: a bug of the rank"),
        flatten_subgroups=True,
    ):
        async with (
            a_cluster() as cluster,
            cluster.standby("a", _rank_factory=partial(RecordingRank, [])) as mds,
        ):
            cluster.mon.assign(mds.gid, State.DAMAGED, 0)
            await trio.sleep(10)


async def test_messages_only_from_those_who_may_send_them(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Call] = []
    async with (
        a_cluster() as cluster,
        cluster.standby("a", _rank_factory=partial(RecordingRank, calls)) as mds,
    ):
        con = cluster.mon.cons[mds.gid]
        con.send_message(MRemoveSnaps(snaps={1: [2]}))
        con.send_message(MClientSession(op=SessionOp.REQUEST_OPEN))
        await trio.sleep(1)
        assert calls == [], "without a rank nobody is there to take them"
        cluster.mon.assign(mds.gid, State.CREATING, 0)
        await mds.wait_for_state("up:creating")
        con.send_message(MRemoveSnaps(snaps={1: [2]}))
        con.send_message(MClientSession(op=SessionOp.REQUEST_OPEN))
        await trio.sleep(1)
        assert ("snaps", {1: [2]}) in calls
        assert ("message", "MClientSession") in calls
        admin = await cluster.admin()
        stranger = admin.messenger.connect_to(MDS, mds.daemon.messenger.my_addrs)
        calls.clear()
        stranger.send_message(MRemoveSnaps(snaps={1: [2]}))
        await trio.sleep(1)
        assert kinds(calls) == []
        assert "filtered out MRemoveSnaps from client.9000" in caplog.text


@pytest.mark.parametrize(
    ("first", "then", "lives"),
    [
        (State.REPLAY, State.RECONNECT, 1),
        (State.REPLAY, State.ACTIVE, 2),
    ],
)
async def test_the_order_of_states(
    autojump_clock: MockClock, first: int, then: int, lives: int
) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        cluster.mon.assign(mds.gid, first, 0)
        await mds.wait_for_state(first)
        cluster.mon.assign(mds.gid, then)
        await trio.sleep(2)
        assert mds.lives == lives


async def test_standby_replay_is_named_by_its_gid(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        assert mds.daemon.messenger.name == PeerName(MDS, -1)
        cluster.mon.assign(mds.gid, State.STANDBY_REPLAY, 0)
        await mds.wait_for_state("up:standby-replay")
        assert mds.daemon.messenger.name == PeerName(MDS, mds.gid)
        assert mds.rank is not None
        assert mds.rank.get_session(PeerName(CLIENT, 1)) is None
