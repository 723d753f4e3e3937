"""Our daemons and the embedded monitor on virtual time: partitions, silence, goodbyes, failover.

The ranks here have no file system: each asks for its next state as soon as the map allows it.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.minimal_rank import MinimalRank
from trio.testing import MockClock as Clock

from mdsdaemon.cluster.cluster import Cluster, open_cluster
from mdsdaemon.host import Host
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.rank.interface import RankServices
from mdsdaemon.types.entity import PeerName

START = 1_800_000_000.0
MON = ["10.0.0.1", "10.0.0.2"]
"""Monitor and object store."""

NEXT = {
    State.CREATING: State.ACTIVE,
    State.STARTING: State.ACTIVE,
    State.REPLAY: State.RECONNECT,
    State.RECONNECT: State.REJOIN,
    State.REJOIN: State.ACTIVE,
    State.STOPPING: State.STOPPED,
}


def host_of(name: str) -> str:
    """Where mds.a, mds.b … are in the network."""
    return f"10.0.1.{ord(name) - ord('a') + 2}"


class WalkingRank(MinimalRank):
    """Goes from state to state by itself."""

    def __init__(self, whoami: int, services: RankServices) -> None:
        super().__init__(whoami, services)

    def init(self) -> None:
        """It serves nothing, and says nothing about it."""

    def health(self) -> list[Any]:
        return []

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        super().handle_mds_map(mdsmap, oldmap, source=source)
        state = State(mdsmap.mds_info[self.services.gid].state)
        if state in NEXT and self.state == state:
            self.services.beacon.set_want_state(mdsmap, NEXT[state])
            self.services.beacon.send()


class World:
    """A cluster on a network in memory."""

    def __init__(self, cluster: Cluster, network: MemoryNetwork) -> None:
        self.cluster, self.network = cluster, network

    async def ask(self, prefix: str, **args: Any) -> Any:
        out = (await self.cluster.command(prefix, format="json", **args)).outb
        return json.loads(out) if out.strip() else None

    async def states(self) -> dict[str, str]:
        """What each daemon is, by name: ``0:active``, ``standby``."""
        dump = await self.ask("fs dump")
        infos = [*dump["standbys"]]
        for fs in dump["filesystems"]:
            infos += fs["mdsmap"]["info"].values()
        return {
            i["name"]: (f"{i['rank']}:" if i["rank"] >= 0 else "") + i["state"].partition(":")[2]
            for i in infos
        }

    async def until(self, wanted: dict[str, str], seconds: float = 60) -> float:
        """Wait for exactly this; returns how long it took."""
        begun = trio.current_time()
        with trio.move_on_after(seconds) as scope:
            while await self.states() != wanted:  # noqa: ASYNC110
                await trio.sleep(0.05)
        assert not scope.cancelled_caught, f"{await self.states()}, not {wanted}"
        return trio.current_time() - begun

    async def active(self, *names: str) -> None:
        """These daemons, the first of them with rank 0 of a file system."""
        for name in names:
            await self.cluster.mds.add(name)
            await self.cluster.mds.wait_in_map(name)
            if name == names[0]:
                for pool in ("m", "d"):
                    await self.cluster.command("osd pool create", pool=pool)
                await self.cluster.command("fs new", fs_name="cephfs", metadata="m", data="d")
                await self.until({name: "0:active"})
        await self.until(dict.fromkeys(names, "standby") | {names[0]: "0:active"})

    def isolate(self, *names: str) -> None:
        """Cut daemons off from monitor and object store."""
        rest = [host_of(name) for name in "abcdef" if name not in names]
        self.network.partition([*MON, *rest], [host_of(name) for name in names])


@pytest.fixture
async def world(autojump_clock: Clock) -> AsyncIterator[World]:
    async with a_world(1) as made:
        yield made


@asynccontextmanager
async def a_world(seed: int) -> AsyncIterator[World]:
    network = MemoryNetwork(seed=seed)
    host = Host.seeded(seed, lambda: START + trio.current_time())
    settings = {"mds_beacon_grace": "15", "mds_beacon_interval": "4"}
    async with (
        trio.open_nursery() as nursery,
        open_cluster(
            mds=0, host=host, network=network, rank_factory=WalkingRank, settings=settings
        ) as cluster,
    ):
        await nursery.start(cluster.run)
        yield World(cluster, network)


async def test_a_silent_daemon_is_replaced_and_finds_itself_out(
    autojump_clock: Clock, world: World
) -> None:
    await world.active("a", "b")
    old = world.cluster.mds["a"].gid
    world.isolate("a")
    took = await world.until({"b": "0:active"})
    assert 11 < took < 17  # the grace, counted from its last beacon
    mds_map = (await world.ask("fs get", fs_name="cephfs"))["mdsmap"]
    osd = await world.ask("osd dump")
    assert 0 < mds_map["last_failure_osd_epoch"] <= osd["epoch"]
    assert len(osd["blocklist"]) == 1
    world.network.heal()
    await world.until({"a": "standby", "b": "0:active"})  # the same daemon, starting anew
    assert world.cluster.mds["a"].gid != old


async def test_goodbye_needs_no_grace(autojump_clock: Clock, world: World) -> None:
    await world.active("a", "b")
    await world.cluster.mds.stop("a")
    assert await world.until({"b": "0:active"}) < 1


async def test_a_crash_without_a_standby_waits_for_one(autojump_clock: Clock, world: World) -> None:
    await world.active("a")
    await world.cluster.mds.kill("a")
    await trio.sleep(30)
    # laggy, with its rank: nobody else is heard, and nobody could take it
    assert await world.states() == {"a": "0:active"}
    health = await world.ask("health", detail="detail")
    assert "MDS_UP_LESS_THAN_MAX" not in health["checks"]
    await world.cluster.mds.add("b")
    assert await world.until({"b": "0:active"}) < 10


async def test_nobody_is_removed_when_nobody_is_heard(autojump_clock: Clock, world: World) -> None:
    await world.active("a", "b", "c")
    world.isolate("a", "b", "c")
    await trio.sleep(100)
    assert await world.states() == {"a": "0:active", "b": "standby", "c": "standby"}
    world.network.heal()
    await trio.sleep(20)
    states = await world.states()
    assert sorted(states) == ["a", "b", "c"]
    assert sorted(states.values()) == ["0:active", "standby", "standby"]


async def test_the_follower_takes_over(autojump_clock: Clock, world: World) -> None:
    await world.active("a", "b", "c")
    await world.ask("fs set", fs_name="cephfs", var="allow_standby_replay", val="true")
    await world.until({"a": "0:active", "b": "standby", "c": "0:standby-replay"})
    world.isolate("a")
    await world.until({"b": "0:standby-replay", "c": "0:active"})


async def test_more_ranks_and_fewer(autojump_clock: Clock, world: World) -> None:
    await world.active("a", "b", "c")
    await world.ask("fs set", fs_name="cephfs", var="max_mds", val="3")
    await world.until({"a": "0:active", "b": "2:active", "c": "1:active"})
    await world.ask("fs set", fs_name="cephfs", var="max_mds", val="1")
    await world.until({"a": "0:active", "b": "standby", "c": "standby"})
    mds_map = (await world.ask("fs get", fs_name="cephfs"))["mdsmap"]
    assert (mds_map["in"], mds_map["stopped"]) == ([0], [1, 2])
    await world.ask("fs set", fs_name="cephfs", var="max_mds", val="2")
    await trio.sleep(1)
    assert "1:active" in (await world.states()).values()  # a stopped rank is started again


async def test_failing_and_joining_a_file_system(autojump_clock: Clock, world: World) -> None:
    await world.active("a", "b")
    await world.ask("fs fail", fs_name="cephfs")
    await world.until({"a": "standby", "b": "standby"})
    health = await world.ask("health", detail="detail")
    assert {"FS_DEGRADED", "MDS_ALL_DOWN"} <= set(health["checks"])
    await world.ask("fs set", fs_name="cephfs", var="joinable", val="true")
    await trio.sleep(1)
    assert sorted((await world.states()).values()) == ["0:active", "standby"]


async def test_restoring_a_snapshot_starts_the_ranks_anew(
    autojump_clock: Clock, world: World
) -> None:
    await world.active("a", "b")
    snapshot = await world.cluster.snapshot()
    await world.ask("fs set", fs_name="cephfs", var="max_mds", val="2")
    await world.until({"a": "0:active", "b": "1:active"})
    for _ in range(3):
        await world.cluster.restore(snapshot)
        await trio.sleep(2)
        assert sorted((await world.states()).values()) == ["0:active", "standby"]
    assert (await world.ask("fs get", fs_name="cephfs"))["mdsmap"]["max_mds"] == 1


async def test_standbys_by_the_dozen(autojump_clock: Clock, world: World) -> None:
    await world.active(*"abcdefghijklmnop")
    world.isolate("a")
    await trio.sleep(20)
    states = list((await world.states()).values())
    assert states.count("0:active") == 1
    assert states.count("standby") == 14


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_network_does_it_ends_well(autojump_clock: Clock, seed: int) -> None:
    """Random cuts, partitions, crashes and commands; then peace: one active daemon, no more."""
    rng = random.Random(seed)
    async with a_world(seed) as world:
        await world.active(*"abcd")
        for _ in range(15):
            deeds: list[Callable[[], Any]] = [
                lambda: world.isolate(*rng.sample(sorted("abcd"), rng.randint(1, 4))),
                world.network.heal,
                lambda: world.network.cut(MON[0], host_of(rng.choice("abcd"))),
            ]
            rng.choice(deeds)()
            if rng.random() < 0.3:
                await world.ask("mds fail", role_or_gid=rng.choice(["0", *"abcd"]))
            name = rng.choice("abcd")
            if rng.random() < 0.2 and name in world.cluster.mds:
                await world.cluster.mds.kill(name)
            await trio.sleep(rng.uniform(0, 12))
        world.network.heal()
        for name in sorted(set("abcd") - set(world.cluster.mds)):
            await world.cluster.mds.add(name)
        await trio.sleep(60)
        states = await world.states()
        assert sorted(states) == list("abcd")
        assert sorted(states.values()) == ["0:active", "standby", "standby", "standby"]
        mds_map = (await world.ask("fs get", fs_name="cephfs"))["mdsmap"]
        assert (mds_map["in"], mds_map["failed"], mds_map["damaged"]) == ([0], [], [])
        health = await world.ask("health")
        assert not [code for code in health["checks"] if code.startswith(("MDS_", "FS_"))]
