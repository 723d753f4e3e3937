"""A daemon inside this process, with a rank object of the test: what it sees, in which order."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

from mdsdaemon.config import load_config
from mdsdaemon.daemon.embed import MDS, open_mds
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import state_name
from mdsdaemon.messages.base import Message
from mdsdaemon.rank.interface import Rank, RankServices
from mdsdaemon.types.entity import PeerName

Call = tuple[Any, ...]


class RecordingRank(Rank):
    """Writes down every call; follows the map, so that its beacons ask for what it shows."""

    def __init__(self, calls: list[Call], whoami: int, services: RankServices) -> None:
        self.whoami, self.services, self.calls = whoami, services, calls
        self.calls.append(("made", whoami, services.gid))

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
        info = mdsmap.mds_info[self.services.gid]
        assert mdsmap.epoch > oldmap.epoch
        self.calls.append(("map", mdsmap.fs_name, state_name(info.state), info.rank))
        self.services.beacon.set_want_state(mdsmap, info.state)

    def ms_dispatch(self, msg: Message) -> bool:
        self.calls.append(("message", type(msg).__name__))
        return False

    def tick(self) -> None:
        self.calls.append(("tick",))

    async def shutdown(self) -> None:
        self.calls.append(("shutdown",))

    def is_stopped(self) -> bool:
        return False


@asynccontextmanager
async def recorded(cluster: RealCluster, calls: list[Call]) -> AsyncIterator[MDS]:
    """mds.a in this process, up:standby, its ranks recorded in ``calls``."""
    config = load_config(["-i", "a", "-c", str(cluster.conf), "--mds-tick-interval", "0.2"], {})
    async with (
        trio.open_nursery() as nursery,
        open_mds(config, rank_factory=partial(RecordingRank, calls)) as mds,
    ):
        await nursery.start(mds.run)
        with trio.fail_after(5):
            await mds.wait_for_state("up:standby")
        assert calls == []
        yield mds
        await mds.stop()


async def reached(calls: list[Call], call: Call, after: int = 0) -> None:
    """Until ``call`` is among those recorded after the first ``after``."""
    await trio.to_thread.run_sync(wait_for, lambda: call in calls[after:], 10, f"{call} is seen")


async def test_new_file_system_in_the_rank_s_eyes(cluster: RealCluster) -> None:
    calls: list[Call] = []
    async with recorded(cluster, calls) as mds:
        gid = mds.gid
        await trio.to_thread.run_sync(cluster.new_fs)
        await reached(calls, ("tick",))
        assert calls[:4] == [
            ("made", 0, gid),
            ("init",),
            ("map", "cephfs", "up:creating", 0),
            ("run",),
        ]
        assert isinstance(mds.rank, RecordingRank)
        reply = await mds.command(json.dumps({"prefix": "status", "format": "json"}))
        status = json.loads(reply.out)
        assert (status["whoami"], status["id"], status["state"]) == (0, gid, "up:creating")
        # A change of the file system's settings is a new map with the same state.
        seen = len(calls)
        await trio.to_thread.run_sync(
            partial(cluster.mon, "fs set", fs_name="cephfs", var="session_timeout", val="61")
        )
        await reached(calls, ("map", "cephfs", "up:creating", 0), after=seen)
    rest = [call for call in calls[4:] if call[0] not in ("tick", "map")]
    assert rest == [("shutdown",), ("run ends",)]


async def test_rank_taken_away_starts_a_new_life(cluster: RealCluster) -> None:
    calls: list[Call] = []
    async with recorded(cluster, calls) as mds:
        gid = mds.gid
        await trio.to_thread.run_sync(cluster.new_fs)
        await reached(calls, ("run",))
        await trio.to_thread.run_sync(partial(cluster.mon, "fs fail", fs_name="cephfs"))
        with trio.fail_after(10):
            await mds.wait_for_life(2)
            await mds.wait_for_state("up:standby")
        assert mds.gid != gid
        assert mds.rank is None
        # Without a goodbye: a daemon that respawns calls no shutdown.
        assert [c for c in calls if c[0] not in ("tick", "map")] == [
            ("made", 0, gid),
            ("init",),
            ("run",),
            ("run ends",),
        ]


async def test_standby_replay_in_the_rank_s_eyes(osd_cluster: RealCluster) -> None:
    calls: list[Call] = []
    active = osd_cluster.start_real_mds("real")
    await trio.to_thread.run_sync(active.wait_standby)
    await trio.to_thread.run_sync(osd_cluster.new_fs)
    await trio.to_thread.run_sync(active.wait_state, "up:active")
    async with recorded(osd_cluster, calls) as mds:
        allow = partial(osd_cluster.mon, "fs set", fs_name="cephfs", var="allow_standby_replay")
        await trio.to_thread.run_sync(partial(allow, val="true"))
        await reached(calls, ("run",))
        assert calls[2] == ("map", "cephfs", "up:standby-replay", 0)
        assert mds.rank is not None
        assert mds.rank.whoami == 0
        await trio.to_thread.run_sync(partial(allow, val="false"))
        with trio.fail_after(10):
            await mds.wait_for_life(2)
            await mds.wait_for_state("up:standby")
        assert mds.rank is None


async def test_standby_replay_is_given_the_rank(osd_cluster: RealCluster) -> None:
    """The daemon that it follows dies: the same rank object sees up:replay."""
    calls: list[Call] = []
    active = osd_cluster.start_real_mds("real")
    await trio.to_thread.run_sync(active.wait_standby)
    await trio.to_thread.run_sync(osd_cluster.new_fs)
    await trio.to_thread.run_sync(active.wait_state, "up:active")
    async with recorded(osd_cluster, calls) as mds:
        gid = mds.gid
        await trio.to_thread.run_sync(
            partial(
                osd_cluster.mon,
                "fs set",
                fs_name="cephfs",
                var="allow_standby_replay",
                val="true",
            )
        )
        await reached(calls, ("map", "cephfs", "up:standby-replay", 0))
        active.kill()
        await trio.to_thread.run_sync(partial(osd_cluster.mon, "mds fail", role_or_gid="cephfs:0"))
        await reached(calls, ("map", "cephfs", "up:replay", 0))
        assert mds.gid == gid
        assert [c for c in calls if c[0] == "made"] == [("made", 0, gid)]


async def test_leaving_the_block_says_goodbye(cluster: RealCluster) -> None:
    async with recorded(cluster, []) as mds:
        gid = mds.gid
    await trio.to_thread.run_sync(
        wait_for, lambda: gid not in [i["gid"] for i in cluster.mds_infos()], 2, "gone from the map"
    )
