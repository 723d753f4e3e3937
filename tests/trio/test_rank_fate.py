"""Ends of a rank: writes that fail, fences, bugs; and read-only, which is none."""

from __future__ import annotations

import errno
import gc
import weakref

import pytest
import trio
from tests.trio.rank_cluster import ask, holder, make, names, rank_of, serving, until
from trio.testing import MockClock

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.net.dispatcher import DaemonFault
from mdsdaemon.types.health import MDSHealthType


async def test_write_errors_by_option(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        error = RadosError(errno.EIO, "object 1.00000000")
        mds.config.set_val("mds_action_on_write_error", "0")
        rank.handle_write_error(error)
        assert [m.type for m in rank.health()] == []
        mds.config.set_val("mds_action_on_write_error", "1")
        rank.handle_write_error(error)
        assert rank.read_only
        assert (await ask(mds, "flush journal"))["return_code"] == -errno.EROFS
        rank.tick()
        kinds = [m.type for m in rank.health()]
        assert kinds == [MDSHealthType.READ_ONLY]
        assert mds.lives == 1
        mds.config.set_val("mds_action_on_write_error", "2")
        rank.handle_write_error(error)
        assert rank.leaving
        await until(lambda: mds.lives == 2)
        again = await holder(cluster)
        assert not rank_of(again).read_only, "a new life writes again"


async def test_asked_to_be_read_only(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        await ask(mds, "force_readonly")
        await ask(mds, "force_readonly")
        assert rank_of(mds).read_only
        assert mds.lives == 1


@pytest.mark.parametrize("how", ["answer", "map"])
async def test_fenced(autojump_clock: MockClock, how: str) -> None:
    """By an OSD's answer to a write, or by the map before that: the daemon begins anew."""
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        await make(rank, "kept")
        gid = mds.gid
        if how == "answer":
            rank.handle_write_error(RadosError(EBLOCKLISTED, "object 200.00000001"))
            assert rank.leaving
        else:
            addr = str(mds.daemon.messenger.my_addrs.addrs[0]).removeprefix("v2:")
            await cluster.command("osd blocklist", blocklistop="add", addr=addr)
        await until(lambda: mds.lives == 2)
        again = await holder(cluster, not_gid=gid)
        assert await names(rank_of(again)) == ["kept"]


async def test_a_bug_in_a_task_ends_the_daemon(autojump_clock: MockClock) -> None:
    async def bug() -> None:
        await trio.sleep(1)
        raise ZeroDivisionError

    async def with_a_bug() -> None:
        async with serving() as (_, mds):
            rank_of(mds).spawn(bug, "a task with a bug")
            await trio.sleep(10)

    with pytest.raises(BaseExceptionGroup) as caught:
        await with_a_bug()
    assert caught.group_contains(DaemonFault, match="a task with a bug: ZeroDivisionError")


async def test_what_ends_with_the_rank_is_no_bug(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)

        async def last() -> None:
            raise RadosError(errno.ESHUTDOWN, "the objecter has stopped")

        rank.leaving = True
        rank.spawn(last, "the last one")
        await trio.sleep(1)
        assert mds.lives == 1


async def test_waiting_for_a_map(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        called: list[int] = []
        epoch = rank.mdsmap.epoch
        rank.when_mdsmap(epoch, lambda: called.append(0))
        rank.when_mdsmap(epoch + 1, lambda: called.append(1))
        rank.when_mdsmap(epoch + 100, lambda: called.append(100))
        assert called == [0]
        await cluster.command("fs set", fs_name="cephfs", var="session_timeout", val="61")
        await until(lambda: rank.mdsmap.epoch > epoch)
        await trio.sleep(0.1)
        assert called == [0, 1]


async def test_a_life_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """The rank of a life that is over, and its cache, can be collected."""
    async with serving() as (cluster, mds):
        await make(rank_of(mds), "kept")
        old = weakref.ref(rank_of(mds))
        gid = mds.gid
        await cluster.command("mds fail", role_or_gid="cephfs:0")
        await holder(cluster, not_gid=gid)
        await trio.sleep(120)
        for _ in range(3):
            gc.collect()
        assert old() is None
