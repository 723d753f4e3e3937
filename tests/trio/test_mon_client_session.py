"""What a session carries: subscriptions in order, commands, versions, configuration, the log."""

from __future__ import annotations

import errno

import pytest
import trio
from tests.trio.fake_mon import (
    Client,
    FakeCluster,
    eventually,
    join,
    start_client,
    start_mons,
)
from trio.testing import MockClock

from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.mon_session import MAX_WAITING
from mdsdaemon.config import Level
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.messages.log import MLog
from mdsdaemon.messages.mgr import MMgrMap
from mdsdaemon.messages.mon import MMonCommand, MMonCommandAck
from mdsdaemon.messages.ping import MPing


def mgr_epoch(epoch: int) -> MMgrMap:
    return MMgrMap(MgrMap(epoch=epoch))


def publish(cluster: FakeCluster, *epochs: int) -> None:
    cluster.maps.setdefault("mgrmap", []).extend(lambda e=e: mgr_epoch(e) for e in epochs)  # type: ignore[misc]
    cluster.publish()


def epochs(client: Client) -> list[int]:
    return [msg.map.epoch for msg in client.heard.messages if isinstance(msg, MMgrMap)]


def follow(client: Client) -> None:
    """Tell the client of each map that arrived, as a daemon does."""
    dispatch = client.heard.ms_dispatch

    def ms_dispatch(msg: object) -> bool:
        if isinstance(msg, MMgrMap):
            client.monc.sub_got("mgrmap", msg.map.epoch)
        return dispatch(msg)  # type: ignore[arg-type]

    client.heard.ms_dispatch = ms_dispatch  # type: ignore[method-assign]


async def test_it_subscribes_to_monmap_and_config_by_itself(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        subscribed = cluster.mons["a"].subscribed
        assert subscribed == [{"config": (0, 0), "monmap": (0, 0)}]
        cluster.mons["a"].stop()
        await trio.sleep(1)
        await start_mons(nursery, cluster)
        await join(client, 60)
        # config has no epochs: the whole of it comes with each session
        await eventually(lambda: len(subscribed) == 2)
        assert subscribed[1] == {"config": (0, 0), "monmap": (2, 0)}
        nursery.cancel_scope.cancel()


async def test_maps_come_once_each_and_in_order_over_several_sessions(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    publish(cluster, 1, 2, 3)
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        follow(client)
        await join(client)
        assert client.monc.sub_want("mgrmap", 0)
        assert not client.monc.sub_want("mgrmap", 0)
        client.monc.renew_subs()
        for epoch in range(4, 30):
            publish(cluster, epoch)
            await trio.sleep(1)
            if epoch % 5 == 0:
                await eventually(lambda: any(mon.sessions for mon in cluster.mons.values()), 60)
                cluster.session_of().stop()
                publish(cluster)
            dead = [name for name, mon in cluster.mons.items() if not mon.running]
            if len(dead) == 2:
                await start_mons(nursery, cluster, "".join(dead))
        await eventually(lambda: 29 in epochs(client), 60)
        assert epochs(client) == list(range(1, 30))
        nursery.cancel_scope.cancel()


async def test_unwanted_and_incremented_subscriptions(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    publish(cluster, 1, 2, 3, 4)
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        assert client.monc.sub_want_increment("mgrmap", 3)
        assert not client.monc.sub_want_increment("mgrmap", 2)
        client.monc.renew_subs()
        await eventually(lambda: epochs(client) == [3, 4])
        client.monc.sub_unwant("mgrmap")
        cluster.network.cut()
        await eventually(lambda: len(cluster.mons["a"].subscribed) == 3)
        assert "mgrmap" not in cluster.mons["a"].subscribed[-1]
        nursery.cancel_scope.cancel()


async def test_commands_and_their_results(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    refused = '{"prefix": "osd down"}'
    cluster.mons["a"].answers[refused] = (-errno.EACCES, "access denied", b"")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        with trio.fail_after(5):
            reply = await client.monc.mon_command({"prefix": "status"}, b"input")
            assert (reply.r, reply.outs, reply.outbl) == (0, "mon.a", b"input")
            reply = await client.monc.mon_command([refused])
            assert (reply.r, reply.outs) == (-errno.EACCES, "access denied")
            assert await client.monc.get_version("mgrmap") == (0, 1)
        assert not client.monc._requests.commands
        nursery.cancel_scope.cancel()


async def test_a_command_without_an_answer_goes_to_the_next_monitor(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    words = '{"prefix": "status"}'
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        first = cluster.session_of()
        first.answers[words] = None

        async def kill() -> None:
            await first.until(lambda: any(isinstance(m, MMonCommand) for m in first.received))
            first.stop()

        nursery.start_soon(kill)
        with trio.fail_after(10):
            reply = await client.monc.mon_command({"prefix": "status"})
        assert reply.outs in {f"mon.{name}" for name in "abc" if name != first.name}
        nursery.cancel_scope.cancel()


async def test_a_command_given_before_the_session_waits_for_it(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        client = await start_client(nursery, cluster)
        nursery.start_soon(client.monc.authenticate)
        nursery.start_soon(start_mons_later, nursery, cluster)
        with trio.fail_after(30):
            assert (await client.monc.mon_command({"prefix": "status"})).outs == "mon.a"
            assert await client.monc.get_version("osdmap") == (0, 1)
        nursery.cancel_scope.cancel()


async def start_mons_later(nursery: trio.Nursery, cluster: FakeCluster) -> None:
    await trio.sleep(7)
    await start_mons(nursery, cluster)


async def test_command_time_limits(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    cluster.mons["a"].answers['{"prefix": "x"}'] = None
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, rados_mon_op_timeout="40")
        await join(client)
        start = trio.current_time()
        with pytest.raises(MonClientError, match="within 5 s"):
            await client.monc.mon_command({"prefix": "x"}, timeout=5)
        with pytest.raises(MonClientError, match="within 40 s") as raised:
            await client.monc.mon_command({"prefix": "x"})
        assert raised.value.errno == errno.ETIMEDOUT
        assert trio.current_time() - start == pytest.approx(45, abs=0.1)
        assert not client.monc._requests.commands
        nursery.cancel_scope.cancel()


async def test_tell_reaches_the_monitor_it_is_for(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        session = cluster.session_of()
        with trio.fail_after(10):
            for rank, name in enumerate("abc"):
                for target in (name, rank, str(rank)):
                    reply = await client.monc.mon_command({"prefix": "version"}, target=target)
                    assert reply.outs == f"mon.{name}"
        assert cluster.session_of() is session
        await trio.sleep(1)
        assert len(client.messenger.connections) == 1
        with pytest.raises(MonClientError, match=r"mon\.nobody") as raised:
            await client.monc.mon_command({"prefix": "version"}, target="nobody")
        assert raised.value.errno == errno.ENOENT
        with pytest.raises(MonClientError, match="rank 3"):
            await client.monc.mon_command({"prefix": "version"}, target=3)
        nursery.cancel_scope.cancel()


async def test_tell_to_a_dead_monitor_fails_after_its_retries(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster, "ab")
        client = await start_client(nursery, cluster)
        await join(client)
        with trio.fail_after(20), pytest.raises(MonClientError, match=r"mon\.c") as raised:
            await client.monc.mon_command({"prefix": "version"}, target="c")
        assert raised.value.errno == errno.ENXIO
        nursery.cancel_scope.cancel()


async def test_callers_hear_when_the_client_stops(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    cluster.mons["a"].answers['{"prefix": "x"}'] = None
    raised: list[MonClientError] = []
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)

        async def call() -> None:
            try:
                await client.monc.mon_command({"prefix": "x"})
            except MonClientError as error:
                raised.append(error)

        nursery.start_soon(call)
        await cluster.mons["a"].until(
            lambda: any(isinstance(m, MMonCommand) for m in cluster.mons["a"].received)
        )
        client.monc.shutdown()
        await trio.testing.wait_all_tasks_blocked()
        assert [error.errno for error in raised] == [errno.ESHUTDOWN]
        with pytest.raises(MonClientError):
            await client.monc.authenticate()
        nursery.cancel_scope.cancel()


async def test_messages_wait_for_the_session_and_not_for_ever(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        client = await start_client(nursery, cluster)
        with trio.move_on_after(4):
            await client.monc.authenticate()
        for _ in range(MAX_WAITING + 50):
            client.monc.send_mon_message(MPing())
        assert len(client.monc._waiting) == MAX_WAITING
        await trio.sleep(3)  # another round: what waited is old news
        client.monc.send_mon_message(MPing())
        await start_mons(nursery, cluster)
        await join(client)
        mon = cluster.mons["a"]
        await mon.until(lambda: any(isinstance(m, MPing) for m in mon.received))
        assert sum(isinstance(m, MPing) for m in mon.received) == 1
        nursery.cancel_scope.cancel()


async def test_configuration_of_the_monitors_is_applied_live(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    cluster.config = {"mds_beacon_grace": "21", "no_such_option": "1"}
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        await eventually(lambda: client.config.get_float("mds_beacon_grace") == 21.0)
        assert client.config.level("mds_beacon_grace") == Level.MON
        cluster.config = {"mon_client_ping_interval": "2"}
        cluster.config_epoch = 2
        cluster.publish()
        await eventually(lambda: client.config.get_float("mds_beacon_grace") == 15.0)
        con = cluster.mons["a"].sessions[0]
        await eventually(lambda: con.last_keepalive > trio.current_time() - 0.5, 3)
        nursery.cancel_scope.cancel()


async def test_cluster_log_is_sent_in_batches_and_again_until_it_is_stored(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("ab")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, mon_client_max_log_entries_per_message="2")
        channel = client.clog.create_channel()
        channel.info("before the session")
        await join(client)
        first = cluster.session_of()
        await first.until(lambda: len(first.log_entries) == 1)
        for n in range(5):
            channel.warn(f"entry {n}")
        await first.until(lambda: len(first.log_entries) == 6)
        assert [len(m.entries) for m in first.received if isinstance(m, MLog)] == [1, 2, 2, 1]
        first.stop()
        await trio.lowlevel.checkpoint()
        channel.error("while hunting")
        (second,) = [mon for mon in cluster.mons.values() if mon is not first]
        await eventually(lambda: len(second.log_entries) == 1)
        assert [e.msg for e in second.log_entries] == ["while hunting"]
        channel.info("the last word")
        client.monc.flush_log()
        await eventually(lambda: len(second.log_entries) == 2, 0.1)
        nursery.cancel_scope.cancel()


async def test_messages_of_other_sessions_are_dropped(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        stray = MMonCommandAck(r=0)
        stray.connection = client.messenger.loopback
        assert client.monc.ms_dispatch(stray)
        assert not client.heard.messages
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("option", ["mon_client_ping_interval", "mon_client_log_interval"])
@pytest.mark.parametrize("value", [0, -5])
async def test_an_interval_of_nothing_is_no_flood(
    autojump_clock: MockClock, option: str, value: float
) -> None:
    """Anybody may set it live; neither we nor the monitors shall spin for it."""
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        client.monc._config.set_val(option, float(value))
        ticks = 0
        tick = client.monc._tick

        def counted() -> None:
            nonlocal ticks
            ticks += 1
            tick()

        client.monc._tick = counted  # type: ignore[method-assign]
        with trio.fail_after(70):
            await trio.sleep(60)
        assert client.monc.is_connected
        assert ticks <= 60 / 0.05 + 10
        nursery.cancel_scope.cancel()
