"""Limits on what incoming messages occupy, and what waits while they are reached."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from tests.trio.netkit import MNumber, make_node, start, two_nodes

from mdsdaemon.net.budget import Budget
from mdsdaemon.net.memory_network import WINDOW, LinkSettings, MemoryNetwork
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.throttle import Throttle


async def test_first_come_first_served(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle("test", 10)
    assert throttle.get_or_fail(8)
    order: list[int] = []

    async def want(amount: int) -> None:
        await throttle.get(amount)
        order.append(amount)

    async with trio.open_nursery() as nursery:
        for amount in (9, 1, 2):
            nursery.start_soon(want, amount)
            await trio.testing.wait_all_tasks_blocked()
        assert not throttle.get_or_fail(1)  # would fit, but others wait
        assert throttle.waiting == 3
        throttle.put(8)
        await trio.testing.wait_all_tasks_blocked()
        assert set(order) == {9, 1}
        throttle.put(9)
    assert order[2] == 2
    assert throttle.current == 3


async def test_more_than_the_maximum_passes_alone(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle("test", 10)
    await throttle.get(1000)
    assert not throttle.get_or_fail(1)
    throttle.put(1000)
    assert throttle.get_or_fail(1)
    with pytest.raises(ValueError, match="given back"):
        throttle.put(2)


async def test_cancelled_waiter_frees_the_next(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle("test", 10)
    await throttle.get(5)
    passed = trio.Event()

    async def small() -> None:
        await throttle.get(5)
        passed.set()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def large() -> None:
            with scope:
                await throttle.get(8)

        nursery.start_soon(large)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(small)
        await trio.testing.wait_all_tasks_blocked()
        assert not passed.is_set()
        scope.cancel()
        await passed.wait()
    assert throttle.current == 10
    throttle.set_maximum(0)
    assert throttle.get_or_fail(10**12)


async def test_budget_takes_all_or_nothing(autojump_clock: trio.testing.MockClock) -> None:
    messages, size, dispatch = Throttle("m", 2), Throttle("b", 100), Throttle("d", 100)
    budget = Budget(Policy.stateful_server().with_throttles(size, messages), dispatch)
    dispatch.take(90)
    with trio.move_on_after(1) as scope:
        await budget.reserve(20)
    assert scope.cancelled_caught
    assert (messages.current, size.current, dispatch.current) == (0, 0, 90)
    dispatch.put(90)
    await budget.reserve(20)
    release = budget.releaser(20)
    budget.give(20, retained=True)
    assert (messages.current, size.current, dispatch.current) == (1, 20, 0)
    release()
    release()
    assert (messages.current, size.current, dispatch.current) == (0, 0, 0)


async def test_retained_messages_hold_the_peer_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two messages at most are in the dispatcher's hands; the rest waits in the sender's queue."""
    messages = Throttle("clients", 2)
    policy = Policy.stateful_server().with_throttles(None, messages)
    async with two_nodes(MemoryNetwork(1), policy, Policy.lossless_client()) as (server, client):
        held: list[Callable[[], None]] = []
        server.dispatcher.on_message = lambda msg: held.append(msg.connection.retain())
        con = client.connect(server)
        for number in range(10):
            con.send_message(MNumber(number=number, data=bytes(100_000)))
        for count in range(2, 11):
            await trio.sleep(10)
            assert len(server.dispatcher.numbers) == count
            assert messages.current == 2
            held[count - 2]()
        held[-1]()
        await trio.sleep(1)
        assert messages.current == 0
        assert server.dispatcher.numbers == list(range(10))
        assert con.is_connected
        with pytest.raises(RuntimeError):
            server.dispatcher.accepted[0].retain()


async def test_throttled_reader_takes_no_memory(autojump_clock: trio.testing.MockClock) -> None:
    """What does not fit the budget stays in the network: the sender stalls, and is not idle."""
    size = Throttle("bytes", 1 << 20)
    policy = Policy.stateful_server().with_throttles(size, None)
    network = MemoryNetwork(2, LinkSettings(chunked=False))
    async with two_nodes(network, policy, Policy.lossless_client()) as (server, client):
        size.take(1 << 20)
        con = client.connect(server)
        con.send_message(MNumber(number=1, data=bytes(8 << 20)))
        await trio.sleep(2000)  # more than the idle timeout
        arrived = sum(stream._rx.size for stream in network.streams)
        assert arrived >= WINDOW // 2
        assert server.dispatcher.numbers == []
        assert server.dispatcher.accepted[0].is_connected
        size.put(1 << 20)
        with trio.fail_after(10):
            await server.dispatcher.until_event("message")
        assert server.dispatcher.messages[0].data == bytes(8 << 20)
        assert size.current == 0


async def test_broken_while_throttled_loses_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    messages = Throttle("clients", 1)
    policy = Policy.stateful_server().with_throttles(None, messages)
    network = MemoryNetwork(3)
    async with two_nodes(network, policy, Policy.lossless_client(), client="client.7") as (
        server,
        client,
    ):
        held: list[Callable[[], None]] = []
        server.dispatcher.on_message = lambda msg: held.append(msg.connection.retain())
        con = client.connect(server)
        for number in range(5):
            con.send_message(MNumber(number=number))
        for count in range(1, 6):
            await trio.sleep(5)
            network.cut()
            await trio.sleep(5)
            assert server.dispatcher.numbers == list(range(count))
            held[count - 1]()


async def test_one_greedy_peer_does_not_starve_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The dispatch throttle is shared; who waited gets his turn."""
    network = MemoryNetwork(4)
    async with two_nodes(network) as (server, client):
        server.messenger.dispatch_throttle.set_maximum(200_000)
        other = make_node(network.transport("10.0.0.3"), "mds.2")
        async with trio.open_nursery() as nursery:
            await start(nursery, other)
            for number in range(50):
                client.connect(server).send_message(MNumber(number=number, data=bytes(150_000)))
            other.connect(server).send_message(MNumber(number=99, data=bytes(150_000)))
            with trio.fail_after(60):
                await server.dispatcher.until(lambda: 99 in server.dispatcher.numbers)
            assert len(server.dispatcher.numbers) < 50
            nursery.cancel_scope.cancel()
