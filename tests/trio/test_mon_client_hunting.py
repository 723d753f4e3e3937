"""Finding a monitor: among several, mute ones, dead ones, ones that refuse; back-off."""

from __future__ import annotations

import errno
import logging
import uuid

import pytest
import trio
from tests.trio.fake_mon import (
    CLIENT_HOST,
    FSID,
    FakeCluster,
    eventually,
    join,
    start_client,
    start_mons,
)
from trio.testing import MockClock

from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.errors import ExitStatus
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.types.entity import MDS, EntityAddr, EntityName


async def test_first_monitor_that_answers_has_the_session_and_the_others_are_left(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        with trio.fail_after(5):
            await join(client)
        assert client.monc.is_authenticated
        assert client.monc.fsid == FSID
        assert client.monc.global_id in cluster.session_of().auths
        assert (
            cluster.session_of().name in client.monc.session_mon
            or "noname" in client.monc.session_mon
        )
        await trio.sleep(60)
        assert sum(len(mon.sessions) for mon in cluster.mons.values()) == 1
        nursery.cancel_scope.cancel()


async def test_the_one_living_monitor_of_five_is_found(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("abcde")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster, "e")
        client = await start_client(nursery, cluster)
        with trio.fail_after(10):  # at most two rounds of three
            await join(client)
        assert cluster.session_of().name == "e"
        nursery.cancel_scope.cancel()


async def test_authenticate_times_out_when_nobody_answers(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        client = await start_client(nursery, cluster)
        start = trio.current_time()
        with pytest.raises(MonClientError, match="no monitor session within 20 s") as raised:
            await client.monc.authenticate(20)
        assert trio.current_time() - start == pytest.approx(20, abs=0.1)
        assert raised.value.errno == errno.ETIMEDOUT
        assert raised.value.fatal().status == ExitStatus.UNAVAILABLE
        nursery.cancel_scope.cancel()


async def test_a_mute_monitor_is_given_up_after_the_hunt_interval(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = FakeCluster.make("ab")
    listener = cluster.network.listen("10.0.0.1", EntityAddr.parse("v2:10.0.0.1:3300"))
    async with trio.open_nursery() as nursery:
        client = await start_client(nursery, cluster, mon_client_hunt_parallel="1")
        with trio.move_on_after(4 * 3 + 1), caplog.at_level(logging.WARNING):
            await client.monc.authenticate()
        assert "no monitor session after round 1" in caplog.text
        await start_mons(nursery, cluster, "b")
        with trio.fail_after(6):
            await join(client)
        assert cluster.session_of().name == "b"
        listener.close()
        nursery.cancel_scope.cancel()


async def test_rounds_come_at_the_hunt_interval_and_back_off_after_a_session_was_had(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("a")
    rounds: list[float] = []
    async with trio.open_nursery() as nursery:
        client = await start_client(nursery, cluster)
        hunter = client.monc._hunter

        async def watch(seconds: float) -> list[float]:
            rounds.clear()
            last = hunter.round_end
            with trio.move_on_after(seconds):
                while True:
                    await trio.sleep_until(min(hunter.round_end, trio.current_time() + 0.25))
                    if hunter.round_end not in (last, float("inf")):
                        rounds.append(hunter.round_end - last)
                        last = hunter.round_end
            return list(rounds)

        with trio.move_on_after(0.1):
            await join(client)
        assert await watch(20) == pytest.approx([3.0] * 6, abs=0.01)
        await start_mons(nursery, cluster)
        with trio.fail_after(5):
            await join(client)
        cluster.mons["a"].stop()
        await trio.sleep(1)
        gaps = await watch(300)
        assert gaps[:4] == pytest.approx([6.75, 10.125, 15.1875, 22.78125], abs=0.01)
        assert gaps[-1] == pytest.approx(30.0, abs=0.01)
        nursery.cancel_scope.cancel()


async def test_session_moves_to_another_monitor_when_its_monitor_dies(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        await trio.sleep(15)
        gid = client.monc.global_id
        first = cluster.session_of()
        first.stop()
        others = [mon for mon in cluster.mons.values() if mon is not first]
        await eventually(lambda: any(mon.sessions for mon in others), 1)
        assert client.monc.global_id == gid  # taken up again with the old ticket
        assert client.heard.resets == 1  # the other dispatchers hear of it
        nursery.cancel_scope.cancel()


async def test_session_moves_when_the_monitor_says_nothing_any_more(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        first = cluster.session_of()
        await trio.sleep(100)
        assert first.sessions  # keepalives are answered: nothing moves
        cut_at = trio.current_time()
        others = [mon.host for mon in cluster.mons.values() if mon is not first]
        cluster.network.partition([first.host], [*others, CLIENT_HOST])
        await eventually(lambda: not client.monc.is_connected, 60)
        # mon_client_ping_timeout is 30 s, and the last answer was to a ping of up to 10 s before
        assert 20 <= trio.current_time() - cut_at <= 31
        await eventually(lambda: client.monc.is_connected, 4)
        nursery.cancel_scope.cancel()


async def test_wrong_key_is_one_plain_sentence(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("abc")
    wrong = CryptoKey.create(cluster.host.randbytes, 0).to_base64()
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, key=wrong)
        with trio.fail_after(5), pytest.raises(MonClientError, match=r"key of mds\.a") as raised:
            await join(client)
        assert raised.value.errno == errno.EACCES
        assert raised.value.fatal().status == ExitStatus.NOT_PERMITTED
        nursery.cancel_scope.cancel()


async def test_unknown_name_is_refused(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    key = CryptoKey.create(cluster.host.randbytes, 0).to_base64()
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, name=EntityName(MDS, "stranger"), key=key)
        with trio.fail_after(5), pytest.raises(MonClientError, match=r"mds\.stranger"):
            await join(client)
        nursery.cancel_scope.cancel()


async def test_a_refusal_is_told_though_other_monitors_are_dead(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("abc")
    wrong = CryptoKey.create(cluster.host.randbytes, 0).to_base64()
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster, "b")
        client = await start_client(nursery, cluster, key=wrong)
        with trio.fail_after(4), pytest.raises(MonClientError, match=r"key of mds\.a"):
            await join(client)
        nursery.cancel_scope.cancel()


async def test_wrong_fsid_names_both_clusters(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    other = uuid.UUID(int=5)
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, fsid=str(other))
        with trio.fail_after(5), pytest.raises(MonClientError) as raised:
            await join(client)
        assert str(other) in raised.value.text
        assert str(FSID) in raised.value.text
        assert raised.value.fatal().status == ExitStatus.CONFIG
        nursery.cancel_scope.cancel()


async def test_a_refusal_later_on_is_logged_and_the_hunt_goes_on(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        await trio.sleep(15)
        auth = cluster.keys.entities.popitem()
        cluster.network.cut()
        await trio.sleep(10)
        assert not client.monc.is_connected
        assert client.monc.auth_error is not None
        cluster.keys.entities[auth[0]] = auth[1]
        with trio.fail_after(60):
            await join(client)
        nursery.cancel_scope.cancel()


async def test_a_monitor_that_leaves_the_monmap_loses_its_clients(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        first = cluster.session_of()
        cluster.monmap = MonMap(fsid=FSID, epoch=2)
        for mon in cluster.mons.values():
            if mon is not first:
                cluster.monmap.add(mon.name, mon.addrs)
        cluster.publish()
        await eventually(lambda: not first.sessions and client.monc.is_connected)
        assert client.monc.monmap.epoch == 2
        assert cluster.session_of() is not first
        nursery.cancel_scope.cancel()


async def test_an_older_monmap_is_ignored(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    cluster.monmap.epoch = 7
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        cluster.monmap.epoch = 3
        con = cluster.mons["a"].sessions[0]
        cluster.mons["a"].wanted[con]["monmap"] = 0
        cluster.publish()
        await trio.sleep(1)
        assert client.monc.monmap.epoch == 7
        nursery.cancel_scope.cancel()


async def test_monitors_that_break_off_every_session_are_not_hammered(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("abc")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        for mon in cluster.mons.values():
            mon.break_off = True
        with trio.move_on_after(60):
            await client.monc.authenticate()
        assert sum(cluster.attempts().values()) < 60
        nursery.cancel_scope.cancel()
