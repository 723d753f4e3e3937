"""The objecter on a network that fails it, with OSDs that follow a script."""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest
import trio
from tests.trio.fake_osds import CLIENT, Cluster, a_cluster
from tests.trio.netkit import run_seeded
from tests.unit.objecter_world import POOL, Maps
from trio.testing import MockClock

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result
from mdsdaemon.clients.objecter_session import Outcome
from mdsdaemon.maps.osd_map import FLAG_PAUSEWR
from mdsdaemon.net.memory_network import LinkSettings
from mdsdaemon.types.entity import EntityAddr


def append(text: str) -> ObjectOperation:
    return ObjectOperation().append(text.encode())


async def test_operate(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        result = await c.objecter.operate(POOL, "o", append("x"))
        assert result.version == 1
        assert c.objects == {"o": [b"x"]}
        assert c.attempts(0) == [(1, 0)]
        (msg,) = c.osds[0].seen
        assert (str(msg.source), msg.reqid.tid, msg.client_inc) == ("mds.0", 0, 2**32 - 1)


async def test_lost_replies_are_asked_for_with_the_same_id(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        c.osds[0].silent = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(c.objecter.operate, POOL, "o", append("a"))
            nursery.start_soon(c.objecter.operate, POOL, "o", append("b"))
            await trio.sleep(1)
            c.osds[0].silent = False
            assert c.network.cut(CLIENT, "10.0.1.1") == 1
        assert sorted(c.objects["o"]) == [b"a", b"b"]
        assert c.attempts(0) == [(1, 0), (2, 0), (1, 1), (2, 1)]
        assert c.count("op_resend") == 2


async def test_dead_connection_is_found_by_the_tick(autojump_clock: MockClock) -> None:
    """No sign of its death reaches us: only what we send over it shows it."""
    async with a_cluster() as c:
        await c.objecter.operate(POOL, "o", append("a"))
        c.osds[0].silent = True
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(c.objecter.operate, POOL, "o", append("b"))
                await trio.sleep(16)
                assert c.count("op_laggy") == 1
                assert c.count("osd_laggy") == 1
                c.osds[0].silent = False
                c.network.cut(CLIENT, "10.0.1.1")
        assert c.objects["o"] == [b"a", b"b"]


async def test_osd_that_is_not_there_yet(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        c.maps.move([])
        c.publish()
        await c.objecter.wait_for_map(2)
        with pytest.raises(RadosError, match="ETIMEDOUT"):
            await c.objecter.operate(POOL, "o", append("a"), timeout=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(c.objecter.operate, POOL, "o", append("b"))
            await trio.sleep(100)
            c.maps.move([2])
            c.publish()
        assert c.objects["o"] == [b"b"]


async def test_pause_and_backoff(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        await c.objecter.operate(POOL, "o", append("0"))
        c.maps.flags(FLAG_PAUSEWR)
        c.publish()
        await c.objecter.wait_for_map(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(c.objecter.operate, POOL, "o", append("1"))
            await trio.sleep(30)
            assert len(c.osds[0].seen) == 1
            c.maps.flags(0)
            c.publish()
        async with trio.open_nursery() as nursery:
            c.osds[0].back_off(c.maps.seed_of("o"))
            await trio.sleep(1)
            nursery.start_soon(c.objecter.operate, POOL, "o", append("2"))
            await trio.sleep(30)
            assert len(c.osds[0].seen) == 2
            c.osds[0].go_on()
        assert c.objects["o"] == [b"0", b"1", b"2"]


async def test_blocklisted_ends_everything(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        told: list[str] = []
        c.objecter.on_blocklisted = lambda: told.append("fenced")
        c.objecter.on_map.append(lambda m: told.append(f"e{m.epoch}"))
        c.osds[0].silent = True
        outcomes: list[Outcome] = []
        for n in range(3):
            c.objecter.submit(POOL, "o", append(str(n)), outcomes.append)
        await trio.sleep(1)
        fence = c.messenger.my_addrs.addrs[0]
        c.maps.blocklist(EntityAddr(EntityAddr.TYPE_ANY, fence.nonce, fence.host, fence.port))
        c.publish()
        await c.objecter.wait_for_map(2)
        assert told == ["fenced", "e2"]
        assert [o.errno for o in outcomes if isinstance(o, RadosError)] == [EBLOCKLISTED] * 3
        with pytest.raises(RadosError, match="blocklist"):
            await c.objecter.operate(POOL, "o", append("late"))


async def test_missing_pools(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        with pytest.raises(RadosError) as caught:
            await c.objecter.operate(9, "o", append("a"))
        assert caught.value.errno == errno.ENOENT
        c.maps.set_pool(number=9)
        # our map does not have it, the newest does
        with trio.fail_after(10):
            await c.objecter.operate(9, "o", append("b"))
        assert c.objects == {"o": [b"b"]}


async def test_throttles(autojump_clock: MockClock) -> None:
    options: Any = {"objecter_inflight_ops": "4", "objecter_inflight_op_bytes": "100"}
    async with a_cluster(**options) as c:
        c.osds[0].silent = True
        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(c.objecter.operate, POOL, "o", append("x"))
        assert len(c.osds[0].seen) == 4
        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(c.objecter.operate, POOL, "o", append("x" * 60))
        assert len(c.osds[0].seen) == 5
        assert c.objecter.op_throttle_bytes.current == 0
        pending = c.objecter.submit(POOL, "o", append("x" * 200), lambda _: None)
        with trio.move_on_after(1) as scope:
            await c.objecter.room()
        assert scope.cancelled_caught
        c.objecter.cancel(pending)
        await c.objecter.room()


async def test_callbacks_may_submit(autojump_clock: MockClock) -> None:
    async with a_cluster() as c:
        done = trio.Event()
        count = 0

        def again(outcome: Outcome) -> None:
            nonlocal count
            assert isinstance(outcome, Result)
            count += 1
            if count < 50:
                c.objecter.submit(POOL, "o", append(f"{count} "), again)
            else:
                done.set()

        c.objecter.submit(POOL, "o", append("0 "), again)
        await done.wait()
        assert c.objects["o"] == [b"%d " % n for n in range(50)]


async def test_stopping_ends_requests(autojump_clock: MockClock) -> None:
    outcomes: list[Outcome] = []
    async with a_cluster() as c:
        c.osds[0].silent = True
        c.objecter.submit(POOL, "o", append("x"), outcomes.append)
    (outcome,) = outcomes
    assert isinstance(outcome, RadosError)
    assert outcome.errno == errno.ESHUTDOWN


async def chaos(seed: int) -> None:
    """Whatever happens, every append is done once, and those of one object in order."""
    rng = random.Random(seed)
    settings = LinkSettings(delay=(0.0001, 0.02), cut_probability=0.02)
    async with a_cluster(seed, settings) as c:
        c.loss = 0.0
        expected: dict[str, list[bytes]] = {f"o{n}": [] for n in range(8)}
        answered: dict[str, list[bytes]] = {oid: [] for oid in expected}

        def submit(number: int) -> None:
            oid = rng.choice(list(expected))
            piece = b"%d " % number

            def finish(outcome: Outcome) -> None:
                assert isinstance(outcome, Result), outcome
                answered[oid].append(piece)

            expected[oid].append(piece)
            c.objecter.submit(POOL, oid, ObjectOperation().append(piece), finish)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(disturb, c, rng)
            for number in range(300):
                submit(number)
                await trio.sleep(rng.uniform(0, 0.02))
            while c.objecter.state.active:  # noqa: ASYNC110 -- virtual time
                await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        assert c.objects == {oid: pieces for oid, pieces in expected.items() if pieces}
        assert answered == expected
        chaos.resent += c.count("op_resend")  # type: ignore[attr-defined]


async def disturb(c: Cluster, rng: random.Random) -> None:
    maps: Maps = c.maps
    while True:
        await trio.sleep(rng.uniform(0.01, 0.3))
        pg_num = maps.current.pools[POOL].pg_num
        seed = rng.randrange(pg_num)
        match rng.randrange(8):
            case 0 | 1:
                maps.move([rng.randrange(3)], seed)
            case 2:
                maps.move([], seed)
                c.publish()
                await trio.sleep(rng.uniform(0, 0.2))
                maps.move([rng.randrange(3)], seed)
            case 3:
                maps.flags(FLAG_PAUSEWR)
                c.publish()
                await trio.sleep(rng.uniform(0, 0.2))
                maps.flags(0)
            case 4:
                maps.set_pool(rng.choice([4, 5, 8, 13]))
            case 5:
                c.network.cut(CLIENT, f"10.0.1.{rng.randrange(3) + 1}")
            case 6:
                osd = rng.choice(c.osds)
                osd.back_off(seed)
                await trio.sleep(rng.uniform(0, 0.2))
                osd.go_on()
            case 7:
                osd = rng.choice(c.osds)
                osd.silent = True
                await trio.sleep(rng.uniform(0, 0.2))
                osd.silent = False
                c.network.cut(CLIENT, f"10.0.1.{osd.osd + 1}")
        c.publish()


def test_order_and_exactly_once() -> None:
    chaos.resent = 0  # type: ignore[attr-defined]
    for seed in range(12):
        run_seeded(chaos, seed)
    assert chaos.resent > 500  # type: ignore[attr-defined]
