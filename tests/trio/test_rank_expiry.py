"""Segments of the journal: expired, counted meanwhile, and kept when something cannot be stored."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from tests.trio.rank_cluster import ask, holder, make, names, rank_of, serving, until
from trio.testing import MockClock

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.cache.trim import DENTRY_COST, DIR_COST, DIRTY_SHARE, INODE_COST
from mdsdaemon.rank.mds_rank import MDSRank


async def some_segments(rank: MDSRank) -> dict[int, int]:
    """All but the newest: how many events each has, by its number."""
    for name in ("a", "b", "c"):
        rank.mdlog.start_new_segment()
        await make(rank, name)
    rank.mdlog.start_new_segment()
    await rank.mdlog.wait_safe()
    return {seq: one.num_events for seq, one in [*rank.mdlog.segments.items()][:-1]}


def held(work: Callable[..., Awaitable[None]], go: trio.Event) -> Any:
    """The same, once it may go."""

    async def later(*args: Any) -> None:
        await go.wait()
        await work(*args)

    return later


async def test_what_is_expired_is_counted(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        await ask(mds, "flush journal")
        segments = await some_segments(rank)
        stored, saved = trio.Event(), trio.Event()
        rank.store.commit_dir = held(rank.store.commit_dir, stored)  # type: ignore[method-assign]
        rank.openfiles.commit = held(rank.openfiles.commit, saved)  # type: ignore[method-assign]
        counters = rank.mdlog.counters.group
        before = {name: counters.get(name) for name in ("segex", "evex", "segtrm", "evtrm")}

        def now(*names: str) -> list[int]:
            return [counters.get(name) for name in names]

        mds.config.set_val("mds_log_max_segments", "1")
        rank.mdlog.trim()
        oldest = next(iter(segments))
        assert [*rank.mdlog.expiry.expiring] == [oldest], "half of mds_log_max_segments at a time"
        assert now("segexg", "evexg", "segexd", "evexd") == [1, segments[oldest], 0, 0]
        stored.set()
        done = sum(segments.values())
        await until(lambda: counters.get("segexd") == len(segments))
        assert now("segexg", "evexg", "evexd") == [0, 0, done]
        assert now("segex", "segtrm") == [before["segex"] + len(segments), before["segtrm"]]
        saved.set()
        await until(lambda: rank.mdlog.segments.keys().isdisjoint(segments))
        assert now("segexg", "evexg", "segexd", "evexd") == [0, 0, 0, 0]
        assert now("evex", "evtrm") == [before["evex"] + done, before["evtrm"] + done]


async def test_no_more_is_expired_than_the_number_of_events_asks_for(
    autojump_clock: MockClock,
) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        await ask(mds, "flush journal")
        segments = await some_segments(rank)
        saved = trio.Event()
        rank.openfiles.commit = held(rank.openfiles.commit, saved)  # type: ignore[method-assign]
        oldest, *others = segments
        most = rank.mdlog.num_events - segments[oldest]
        mds.config.set_val("mds_log_events_per_segment", str(most - 1))
        mds.config.set_val("mds_log_max_events", str(most))
        expiry = rank.mdlog.expiry
        rank.mdlog.trim()
        await until(lambda: oldest in expiry.expired)
        rank.mdlog.trim()
        assert not expiry.expiring
        mds.config.set_val("mds_log_max_events", "1")  # no less than one segment's
        rank.mdlog.trim()
        assert not expiry.expiring
        mds.config.set_val("mds_log_max_events", str(most - 1))
        mds.config.set_val("mds_log_events_per_segment", "1")
        rank.mdlog.trim()
        assert [*expiry.expiring] == others[:1]
        saved.set()


async def test_a_full_cache_has_little_that_is_not_stored(autojump_clock: MockClock) -> None:
    """What is dirty stays in the cache until its segment is expired: that is brought forward."""
    async with serving() as (_, mds):
        rank = rank_of(mds)
        mds.config.set_val("mds_log_events_per_segment", "10")
        for number in range(60):
            await make(rank, f"dir{number}")
        assert len(rank.mdlog.segments) >= 6
        await trio.sleep(60)
        assert len(rank.mdlog.segments) >= 6
        room = 30 * (INODE_COST + DENTRY_COST + DIR_COST)
        mds.config.set_val("mds_cache_memory_limit", str(room))
        await trio.sleep(10)
        assert rank.mdlog.num_events <= room * DIRTY_SHARE / (INODE_COST + DENTRY_COST)
        assert not rank.store.is_full(), "what was stored has been trimmed"
        assert len(await names(rank)) == 60


async def refused(*args: Any) -> None:
    """A store that the cluster does not take."""
    raise RadosError(errno.EROFS, "an object")


async def test_a_flush_that_fails_says_so(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        mds.config.set_val("mds_action_on_write_error", "0")
        await make(rank, "kept")
        commit = rank.store.commit_dir
        rank.store.commit_dir = refused  # type: ignore[assignment, method-assign]
        answer = await ask(mds, "flush journal")
        assert answer["return_code"] == -errno.EROFS
        assert "while flushing journal" in answer["message"]
        rank.store.commit_dir = commit  # type: ignore[method-assign]
        assert (await ask(mds, "flush journal"))["return_code"] == 0
        assert len(rank.mdlog.segments) == 1


async def test_a_rank_that_cannot_store_all_does_not_stop(autojump_clock: MockClock) -> None:
    """It would leave its journal to one that starts, and does not read it."""
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        await make(rank, "kept")
        rank.store.commit_dir = refused  # type: ignore[assignment, method-assign]
        await cluster.command("fs set", fs_name="cephfs", var="down", val="true")
        await until(lambda: rank.read_only)
        await trio.sleep(60)
        assert rank.state == State.STOPPING
        assert mds.lives == 1
        gid = mds.gid
        await cluster.command("fs set", fs_name="cephfs", var="down", val="false")
        await cluster.command("mds fail", role_or_gid="cephfs:0")
        again = await holder(cluster, not_gid=gid)
        assert await names(rank_of(again)) == ["kept"]
