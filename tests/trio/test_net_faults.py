"""Broken connections: replay, races, resets, standby, by Ceph's policies; all from a seed."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.trio.netkit import (
    CLIENT_HOST,
    SERVER_HOST,
    MNumber,
    Node,
    make_node,
    run_seeded,
    start,
    two_nodes,
)

from mdsdaemon.msgr2.auth import CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE
from mdsdaemon.net.memory_network import LinkSettings, MemoryNetwork
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy

QUICK = MessengerOptions(ms_initial_backoff=0.05, ms_max_backoff=0.5)
COUNT = 60


async def send_slowly(node: Node, other: Node, start_at: int) -> None:
    """Send COUNT numbers at moments drawn from the network's seed."""
    con = node.connect(other)
    rng = node.messenger.host.rng
    for number in range(start_at, start_at + COUNT):
        con.send_message(MNumber(number=number, text=rng.randbytes(rng.randrange(3000))))
        if rng.random() < 0.5:
            await trio.sleep(rng.uniform(0, 0.05))


async def both_ways_under_cuts(seed: int, con_mode: int = CEPH_CON_MODE_CRC) -> int:
    network = MemoryNetwork(seed, LinkSettings(delay=(0.0001, 0.02), cut_probability=0.05))
    async with two_nodes(
        network, con_mode=con_mode, server_options=QUICK, client_options=QUICK, seed=seed
    ) as (one, two):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_slowly, one, two, 0)
            nursery.start_soon(send_slowly, two, one, 1000)
        await one.dispatcher.until(lambda: len(one.dispatcher.numbers) >= COUNT)
        await two.dispatcher.until(lambda: len(two.dispatcher.numbers) >= COUNT)
        await trio.sleep(10)
        assert one.dispatcher.numbers == list(range(1000, 1000 + COUNT))
        assert two.dispatcher.numbers == list(range(COUNT))
        for node in (one, two):
            assert "reset" not in node.dispatcher.events
            assert "remote_reset" not in node.dispatcher.events
            assert len(node.messenger.connections) == 1
        return one.records.count("connection.fault") + two.records.count("connection.fault")


@pytest.mark.parametrize("block", range(10))
def test_lossless_peers_deliver_in_order_exactly_once(block: int) -> None:
    """Both send, both connect at the same moment, and connections break at random places."""
    faults = []
    for seed in range(block * 10, block * 10 + 10):

        async def main(seed: int) -> None:
            mode = CEPH_CON_MODE_SECURE if seed % 3 == 0 else CEPH_CON_MODE_CRC
            faults.append(await both_ways_under_cuts(seed, mode))

        run_seeded(main, seed)
    assert sum(faults) > 10  # the network did its part


def test_a_seed_repeats_its_run() -> None:
    runs: list[list[object]] = []

    async def main(seed: int) -> None:
        network = MemoryNetwork(seed, LinkSettings(delay=(0.0001, 0.02), cut_probability=0.05))
        origin = trio.current_time()
        async with two_nodes(network, seed=seed) as (one, two):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_slowly, one, two, 0)
                nursery.start_soon(send_slowly, two, one, 1000)
            await two.dispatcher.until(lambda: len(two.dispatcher.numbers) >= COUNT)
            runs.append([one.records.entries, two.records.entries, trio.current_time() - origin])

    for _ in range(2):
        run_seeded(main, 77)
    assert runs[0][:2] == runs[1][:2]
    assert runs[0][2] == pytest.approx(runs[1][2])


@pytest.mark.parametrize("block", range(4))
def test_connection_race(block: int) -> None:
    """Two idle peers connect to each other at once: one connection each remains, and it works."""

    async def main(seed: int) -> None:
        network = MemoryNetwork(seed)
        async with two_nodes(network, seed=seed) as (one, two):
            ours, theirs = one.connect(two), two.connect(one)
            ours.send_message(MNumber(number=1))
            theirs.send_message(MNumber(number=2))
            await one.dispatcher.until(lambda: bool(one.dispatcher.numbers))
            await two.dispatcher.until(lambda: bool(two.dispatcher.numbers))
            assert (one.dispatcher.numbers, two.dispatcher.numbers) == ([2], [1])
            await trio.sleep(60)
            assert one.messenger.connections == [ours]
            assert two.messenger.connections == [theirs]
            assert ours.is_connected
            assert theirs.is_connected
            assert len(network.streams) == 2
            for node in (one, two):
                assert "remote_reset" not in node.dispatcher.events

    for seed in range(block * 25, block * 25 + 25):
        run_seeded(main, seed)


async def connected(server: Node, client: Node) -> None:
    with trio.fail_after(30):
        await server.dispatcher.until_event("accept")
        await client.dispatcher.until_event("connect")


async def test_lossy_client_is_reset(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(1)
    async with two_nodes(network, Policy.stateless_server(), Policy.lossy_client()) as (
        server,
        client,
    ):
        con = client.connect(server)
        await connected(server, client)
        assert network.cut(CLIENT_HOST, SERVER_HOST) == 1
        with trio.fail_after(5):
            await client.dispatcher.until_event("reset")
            await server.dispatcher.until_event("reset")
        assert not con.is_open
        assert not con.send_message(MNumber(number=1))
        assert client.connect(server) is not con


async def test_registered_lossy_client_has_one_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = MemoryNetwork(2)
    policy = Policy.stateless_registered_server()
    async with two_nodes(network, policy, Policy.lossy_client()) as (server, client):
        first = client.connect(server)
        await connected(server, client)
        first.mark_down()
        client.connect(server)
        with trio.fail_after(5):
            await server.dispatcher.until_event("accept", 2)
        assert server.dispatcher.events == [
            "authentication",
            "accept",
            "authentication",
            "reset",
            "accept",
        ] or server.dispatcher.events == [
            "authentication",
            "accept",
            "reset",
            "authentication",
            "accept",
        ]


async def test_stateful_server_waits_for_its_client(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The server goes to standby with its queue; the client comes back; nothing is lost."""
    network = MemoryNetwork(3)
    async with two_nodes(
        network, Policy.stateful_server(), Policy.lossless_client(), client="client.7"
    ) as (server, client):
        con = client.connect(server)
        await connected(server, client)
        there = server.dispatcher.accepted[0]
        network.partition({CLIENT_HOST}, {SERVER_HOST})
        network.cut()
        await trio.sleep(5)
        assert there.is_open
        assert not there.is_connected
        for number in range(5):
            there.send_message(MNumber(number=number))
            con.send_message(MNumber(number=number))
        await trio.sleep(30)
        network.heal()
        with trio.fail_after(60):
            await client.dispatcher.until_event("message", 5)
            await server.dispatcher.until_event("message", 5)
        assert client.dispatcher.numbers == server.dispatcher.numbers == [0, 1, 2, 3, 4]
        assert server.dispatcher.accepted == [there, there]
        assert client.dispatcher.connections == [con, con]
        assert "remote_reset" not in client.dispatcher.events


async def test_resetcheck(autojump_clock: trio.testing.MockClock) -> None:
    """The server forgets: the client hears of it, loses its queue, and goes on afresh."""
    network = MemoryNetwork(4)
    async with two_nodes(
        network, Policy.stateful_server(), Policy.lossless_client(), client="client.7"
    ) as (server, client):
        con = client.connect(server)
        await connected(server, client)
        server.dispatcher.accepted[0].mark_down()
        with trio.fail_after(30):
            await client.dispatcher.until_event("remote_reset")
            await server.dispatcher.until_event("accept", 2)
        assert con.is_open
        con.send_message(MNumber(number=9))
        with trio.fail_after(30):
            await server.dispatcher.until_event("message")
        assert server.dispatcher.numbers == [9]
        assert "reset" not in client.dispatcher.events


async def test_client_that_forgot_resets_the_server(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The client's new session replaces the old one on the server: a remote reset there."""
    network = MemoryNetwork(5)
    async with two_nodes(
        network, Policy.stateful_server(), Policy.lossless_client(), client="client.7"
    ) as (server, client):
        con = client.connect(server)
        await connected(server, client)
        there = server.dispatcher.accepted[0]
        con.mark_down()
        await trio.sleep(1)
        there.send_message(MNumber(number=1))  # for the old session: lost
        client.connect(server)
        with trio.fail_after(30):
            await server.dispatcher.until_event("remote_reset")
            await server.dispatcher.until_event("accept", 2)
        assert server.dispatcher.accepted == [there, there]
        there.send_message(MNumber(number=2))
        with trio.fail_after(30):
            await client.dispatcher.until_event("message")
        assert client.dispatcher.numbers == [2]


async def test_standby_until_there_is_something_to_say(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = MemoryNetwork(6)
    async with two_nodes(network) as (one, two):
        con = one.connect(two)
        con.send_message(MNumber(number=1))
        with trio.fail_after(10):
            await two.dispatcher.until_event("message")
        await trio.sleep(1)
        network.cut()
        await trio.sleep(100)
        assert not network.streams  # both rest
        two.dispatcher.accepted[0].send_message(MNumber(number=2))
        with trio.fail_after(10):
            await one.dispatcher.until_event("message")
        assert one.dispatcher.accepted == [con]


async def test_no_idle_limit(autojump_clock: trio.testing.MockClock) -> None:
    options = MessengerOptions(ms_connection_idle_timeout=0.0)
    network = MemoryNetwork(31)
    async with two_nodes(network, server_options=options, client_options=options) as (one, two):
        con = two.connect(one)
        with trio.fail_after(10):
            await two.dispatcher.until_event("connect")
        await trio.sleep(5000)
        assert con.is_connected
        assert two.dispatcher.events.count("connect") == 1


async def test_idle_connection_ends(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(7)
    async with two_nodes(network, Policy.stateless_server(), Policy.lossy_client()) as (
        server,
        client,
    ):
        con = client.connect(server)
        await connected(server, client)
        begin = trio.current_time()
        await trio.sleep(600)
        con.send_message(MNumber(number=1))
        with trio.fail_after(2000):
            await client.dispatcher.until_event("reset")
        assert trio.current_time() - begin == pytest.approx(900, abs=1)
        await server.dispatcher.until_event("reset")


async def test_disposable(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(8)
    async with two_nodes(network) as (one, two):
        con = one.connect(two)
        await connected(two, one)
        con.mark_disposable()
        network.cut()
        with trio.fail_after(5):
            await one.dispatcher.until_event("reset")
        assert not con.is_open


async def test_peer_crashes_and_restarts(autojump_clock: trio.testing.MockClock) -> None:
    """A new instance at the same port is somebody else; the old address answers to nobody."""
    network = MemoryNetwork(9)
    client = make_node(network.transport(CLIENT_HOST), "client.7", Policy.lossless_client())
    server = make_node(network.transport(SERVER_HOST), "mds.0", Policy.stateful_server())
    again = make_node(network.transport(SERVER_HOST), "mds.0", Policy.stateful_server(), seed=1)
    async with trio.open_nursery() as nursery:
        await start(nursery, client)
        await start(nursery, server, f"v2:{SERVER_HOST}:6800")
        con = client.connect(server)
        await connected(server, client)
        network.crash(SERVER_HOST)
        server.scope.cancel()
        con.send_message(MNumber(number=1))
        await trio.sleep(60)
        network.restart(SERVER_HOST)
        await start(nursery, again, f"v2:{SERVER_HOST}:6800")
        await trio.sleep(60)
        assert not con.is_connected
        client.messenger.mark_down_addrs(server.addrs)
        client.connect(again)
        with trio.fail_after(10):
            await again.dispatcher.until_event("accept")
        assert again.dispatcher.numbers == []
        nursery.cancel_scope.cancel()


async def test_peer_that_takes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    options = MessengerOptions(max_queued_messages=100)
    async with two_nodes(MemoryNetwork(10), client_options=options) as (server, client):
        server.scope.cancel()
        con = client.connect(server)
        sent = [con.send_message(MNumber(number=number)) for number in range(102)]
        assert sent == [True] * 100 + [False] * 2
        with trio.fail_after(1):
            await client.dispatcher.until_event("reset")


async def test_higher_priority_goes_first(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(11)) as (server, client):
        con = client.connect(server)
        for number, priority in enumerate((64, 127, 196, 127, 255)):
            con.send_message(MNumber(number=number, priority=priority))
        with trio.fail_after(10):
            await server.dispatcher.until_event("message", 5)
        assert server.dispatcher.numbers == [4, 2, 1, 3, 0]
        assert [msg.priority for msg in server.dispatcher.messages] == [255, 196, 127, 127, 64]


def test_policies_are_those_of_ceph() -> None:
    def of(policy: Policy) -> str:
        flags = (policy.lossy, policy.server, policy.standby, policy.resetcheck)
        return "".join("01"[flag] for flag in (*flags, policy.register_lossy_clients))

    assert of(Policy.stateful_server()) == "01111"
    assert of(Policy.stateless_registered_server()) == "11001"
    assert of(Policy.stateless_server()) == "11000"
    assert of(Policy.lossless_peer()) == "00101"
    assert of(Policy.lossless_peer_reuse()) == "00111"
    assert of(Policy.lossy_client()) == "10001"
    assert of(Policy.lossless_client()) == "00011"
