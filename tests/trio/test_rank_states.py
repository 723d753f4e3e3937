"""A rank in a whole cluster on virtual time: made, failed, followed, stopped, begun anew."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.trio.rank_cluster import (
    ask,
    holder,
    is_active,
    make,
    names,
    pool_objects,
    rank_of,
    remove_object,
    serving,
    until,
)
from trio.testing import MockClock

from mdsdaemon.maps.mds_states import State
from mdsdaemon.net.memory_network import MemoryNetwork


async def fs_map(cluster: Any) -> dict[str, Any]:
    import json

    dump = json.loads((await cluster.command("fs dump", format="json")).outb)
    (fs,) = dump["filesystems"]
    mdsmap: dict[str, Any] = fs["mdsmap"]
    return mdsmap


async def test_created_and_failed_over(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        status = await ask(mds, "status")
        assert (status["state"], status["fs_name"], status["whoami"]) == ("up:active", "cephfs", 0)
        assert status["osdmap_epoch_barrier"] > 0
        await make(rank_of(mds), "one")
        for number in range(3):
            gid = mds.gid
            await cluster.command("mds fail", role_or_gid="cephfs:0")
            mds = await holder(cluster, not_gid=gid)
            await make(rank_of(mds), f"life{number}")
        assert await names(rank_of(mds)) == ["life0", "life1", "life2", "one"]
        root = rank_of(mds).cache.root
        assert root is not None
        assert root.inode.dirstat.nsubdirs == 4


async def test_a_standby_takes_over(autojump_clock: MockClock) -> None:
    async with serving(mds=2) as (cluster, first):
        await make(rank_of(first), "kept")
        await cluster.mds.kill(first.name)
        second = await holder(cluster)
        assert second is not first
        assert await names(rank_of(second)) == ["kept"]


async def test_standby_replay_is_warm(autojump_clock: MockClock) -> None:
    async with serving(mds=2) as (cluster, first):
        await cluster.command("fs set", fs_name="cephfs", var="allow_standby_replay", val="true")
        (other,) = [cluster.mds[name] for name in cluster.mds if cluster.mds[name] is not first]
        await until(lambda: other.state == State.STANDBY_REPLAY)
        for number in range(5):
            await make(rank_of(first), f"d{number}")
        follower = rank_of(other)
        await until(lambda: follower.mdlog.num_events > 5)
        status = await ask(other, "status")
        assert status["replay_status"]["num_segments"] >= 1
        assert (await other.command('{"prefix": "session evict"}')).r == -11
        gid = first.gid
        await cluster.mds.kill(first.name)
        await cluster.command("mds fail", role_or_gid="cephfs:0")
        await until(lambda: is_active(other))
        assert rank_of(other) is follower, "the same object, with all that it had read"
        assert other.gid != gid
        assert await names(follower) == [f"d{number}" for number in range(5)]


async def test_down_and_up_again(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        await make(rank, "kept")
        gid = mds.gid
        await cluster.command("fs set", fs_name="cephfs", var="down", val="true")
        await until(lambda: mds.lives == 2)
        assert rank.is_stopped() or rank.state == State.STOPPING
        assert rank.mdlog.capped
        assert (await fs_map(cluster))["up"] == {}
        await cluster.command("fs set", fs_name="cephfs", var="down", val="false")
        again = await holder(cluster, not_gid=gid)
        work = rank_of(again).work
        assert work is not None
        assert work.before == State.STARTING
        assert await names(rank_of(again)) == ["kept"]
        await make(rank_of(again), "more")
        assert len(rank_of(again).mdlog.segments) >= 1


async def test_a_lost_table_is_damage(autojump_clock: MockClock) -> None:
    """The rank says so, nobody gets it any more; repaired (here: still lost), it says so again."""
    async with serving() as (cluster, mds):
        remove_object(cluster, "mds0_inotable")
        await cluster.command("mds fail", role_or_gid="cephfs:0")
        with_damage: dict[str, Any] = {}
        await until(lambda: mds.lives >= 3)
        with_damage = await fs_map(cluster)
        assert with_damage["damaged"] == [0]
        assert with_damage["up"] == {}
        await cluster.command("mds repaired", role="cephfs:0")
        lives = mds.lives
        await until(lambda: mds.lives > lives)
        assert (await fs_map(cluster))["damaged"] == [0]


async def test_strays_that_cannot_be_read_any_more_are_damage(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        await ask(mds, "flush journal")
        remove_object(cluster, "603.00000000")
        (directory,) = rank.cache.inodes[0x603].dirs.values()
        directory.complete = False  # it was trimmed
        rank.strays.look_again()
        await until(lambda: mds.lives == 2)
        assert (await fs_map(cluster))["damaged"] == [0]


async def test_out_of_touch_with_the_monitors(autojump_clock: MockClock) -> None:
    """No upkeep, no messages; who was replaced meanwhile begins anew and changes nothing."""
    network = MemoryNetwork(seed=3)
    async with serving(network, mds=2) as (cluster, first):
        old = rank_of(first)
        await make(old, "kept")
        mine = first.daemon.messenger.my_addrs.addrs[0].host
        monitor = cluster.mon_addrs.addrs[0].host
        network.partition([mine], [monitor])
        second = await holder(cluster, not_gid=first.gid)
        assert old.services.beacon.is_laggy()
        await make(rank_of(second), "new")
        network.heal()
        await until(lambda: first.lives == 2)
        assert await names(rank_of(second)) == ["kept", "new"]


@pytest.mark.parametrize("follower", [False, True])
async def test_a_spoilt_event_is_damage(autojump_clock: MockClock, follower: bool) -> None:
    """In the middle of the journal; at its end it would be a torn write, which is cut off."""
    async with serving(mds=2) as (cluster, first):
        rank = rank_of(first)
        for number in range(30):
            await make(rank, f"d{number}")
        if follower:
            await cluster.command(
                "fs set", fs_name="cephfs", var="allow_standby_replay", val="true"
            )
        assert rank.mdlog.write_pos > (4 << 20) + 20_000
        held = pool_objects(cluster)["200.00000001"].content
        held.write(5000, b"\xff" * 64)
        await cluster.mds.kill(first.name)
        await cluster.command("mds fail", role_or_gid="cephfs:0")
        damaged: list[int] = []
        while not damaged:
            await trio.sleep(0.5)
            damaged = (await fs_map(cluster))["damaged"]
        assert damaged == [0]


async def test_a_follower_keeps_to_its_memory(autojump_clock: MockClock) -> None:
    """What is stored leaves its cache, too; and after its takeover everything is there."""
    async with serving(mds=2) as (cluster, first):
        await cluster.command("fs set", fs_name="cephfs", var="allow_standby_replay", val="true")
        (other,) = [cluster.mds[name] for name in cluster.mds if cluster.mds[name] is not first]
        await until(lambda: other.state == State.STANDBY_REPLAY)
        other.config.set_val("mds_cache_memory_limit", "100000")
        follower = rank_of(other)
        for number in range(150):
            await make(rank_of(first), f"d{number:03d}")
        await until(lambda: len(follower.cache) > 150)
        for _ in range(5):  # a segment's dentries are let off once
            await ask(first, "flush journal")
            await trio.sleep(2)
        await until(lambda: len(follower.cache) < 100)
        await cluster.mds.kill(first.name)
        await cluster.command("mds fail", role_or_gid="cephfs:0")
        await until(lambda: is_active(other))
        assert len(await names(follower)) == 150
