"""Strangers, garbage, silence, floods, and bugs of ours: one connection ends, the rest goes on."""

from __future__ import annotations

import logging
import random
import struct

import pytest
import trio
import trio.testing
from tests.trio.netkit import SERVER_HOST, MNumber, Node, make_node, run_seeded, start, two_nodes

from mdsdaemon.messages.base import Message
from mdsdaemon.messages.ping import MPing
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import DaemonFault, Dispatcher
from mdsdaemon.net.memory_network import LinkSettings, MemoryNetwork, MemoryStream
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import EntityAddr

BANNER = b"ceph v2\n" + struct.pack("<HQQ", 16, 1, 1)
ATTACKER_HOST = "10.66.0.1"
SERVER_ADDR = EntityAddr.parse(f"v2:{SERVER_HOST}:6800")


async def stranger(network: MemoryNetwork, host: str = ATTACKER_HOST) -> MemoryStream:
    return await network.transport(host).open_stream(SERVER_ADDR)


async def until_closed(stream: MemoryStream) -> None:
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass
    stream.close()


async def still_serves(server: Node, client: Node) -> None:
    """An honest peer gets through."""
    before = len(server.dispatcher.numbers)
    client.connect(server).send_message(MNumber(number=1))
    with trio.fail_after(60):
        await server.dispatcher.until(lambda: len(server.dispatcher.numbers) == before + 1)


GARBAGE = {
    "not ceph": b"GET / HTTP/1.1\r\n\r\n",
    "old protocol": b"ceph v027" + bytes(100),
    "no common version": b"ceph v2\n" + struct.pack("<HQQ", 16, 0, 0),
    "unknown requirement": b"ceph v2\n" + struct.pack("<HQQ", 16, 1, 1 << 40),
    "huge banner": b"ceph v2\n" + struct.pack("<H", 65535) + bytes(65535),
    "too much before authentication": BANNER + struct.pack("<BBI", 1, 1, 100_000) + bytes(100_000),
    "zeros": BANNER + bytes(1000),
    "frame of 4 GiB": BANNER + struct.pack("<BB6x", 17, 4) + b"\xff" * 24,
    "noise": BANNER + random.Random(1).randbytes(5000),
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage(
    autojump_clock: trio.testing.MockClock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    network = MemoryNetwork(1)
    async with two_nodes(network) as (server, client):
        stream = await stranger(network)
        await stream.send_all(GARBAGE[kind])
        with trio.fail_after(9):  # before any timeout
            await until_closed(stream)
        assert [r for r in caplog.records if ATTACKER_HOST in r.getMessage()]
        assert "authentication" not in server.dispatcher.events
        await still_serves(server, client)


@pytest.mark.parametrize("said", [b"", BANNER[:5], BANNER, BANNER + bytes([1, 1])])
async def test_silence_ends_after_the_ready_timeout(
    autojump_clock: trio.testing.MockClock, said: bytes
) -> None:
    network = MemoryNetwork(2)
    async with two_nodes(network) as (server, _):
        stream = await stranger(network)
        begin = trio.current_time()
        if said:
            await stream.send_all(said)
        await until_closed(stream)
        assert trio.current_time() - begin == pytest.approx(10, abs=0.1)
        assert server.records.count("accept.end") == 1


async def test_silent_server(autojump_clock: trio.testing.MockClock) -> None:
    """What we connect to says nothing: given up after the timeout, tried again."""
    network = MemoryNetwork(3)
    client = make_node(network.transport("10.0.0.2"), "mds.1", Policy.lossy_client())
    listener = await network.transport(SERVER_HOST).listen(SERVER_ADDR)
    async with trio.open_nursery() as nursery:
        await start(nursery, client)
        con = client.messenger.connect_to(2, client.addrs.of(SERVER_ADDR))
        first = await listener.accept()
        begin = trio.current_time()
        await until_closed(first)
        assert trio.current_time() - begin == pytest.approx(10, abs=0.1)
        second = await listener.accept()
        con.mark_down()
        await until_closed(second)
        nursery.cancel_scope.cancel()


async def test_byte_by_byte(autojump_clock: trio.testing.MockClock) -> None:
    """A drip of valid bytes does not prolong the handshake."""
    network = MemoryNetwork(4)
    async with two_nodes(network):
        stream = await stranger(network)
        begin = trio.current_time()

        async def drip() -> None:
            for byte in BANNER * 100:
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)

        with pytest.raises(trio.BrokenResourceError):
            await drip()
        assert trio.current_time() - begin <= 12
        stream.close()


async def test_flood_of_half_open_connections(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(5, LinkSettings(delay=(0.0001, 0.0002)))
    options = MessengerOptions(max_handshakes=20)
    async with two_nodes(network, server_options=options) as (server, client):
        streams: list[MemoryStream] = []

        async def flood() -> None:
            while True:
                streams.append(await stranger(network))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await trio.sleep(0.3)
            await still_serves(server, client)
            assert len(server.messenger.gate) <= 20
            nursery.cancel_scope.cancel()
        assert len(streams) > 500
        assert server.messenger.gate.evicted > 400
        for stream in streams:
            stream.close()


async def test_keepalives_without_end(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that asks for signs of life and reads none of them costs no memory."""
    network = MemoryNetwork(13)
    async with two_nodes(network) as (server, client):
        con = client.connect(server)
        with trio.fail_after(10):
            await client.dispatcher.until_event("connect")
            await server.dispatcher.until_event("accept")
        there = server.dispatcher.accepted[0]
        assert there._link is not None
        there._link._unsent = memoryview(b"")  # the kernel takes no more
        assert con._link is not None
        for _ in range(1000):
            con._link.wire.send_keepalive(1000.0)
            con._link.kick()
            await trio.sleep(0.01)
        assert there.last_keepalive > 5
        assert there._link.wire._writer.nbytes < 1000
        there._link._unsent = None
        con.send_keepalive()
        with trio.fail_after(10):
            while not 1 < con.last_keepalive_ack < 900:
                await trio.testing.wait_all_tasks_blocked()
                await trio.sleep(0.01)


async def test_clients_that_nobody_misses(autojump_clock: trio.testing.MockClock) -> None:
    """A connection waits for its client only as long as a dispatcher would miss it."""
    network = MemoryNetwork(14)
    server = make_node(network.transport(SERVER_HOST), "mds.0", Policy.stateful_server())
    async with trio.open_nursery() as nursery:
        await start(nursery, server, f"v2:{SERVER_HOST}:6800")

        async def visit(seed: int) -> None:
            client = make_node(
                network.transport("10.0.0.3"), "client.1", Policy.lossless_client(), seed=seed
            )
            await start(nursery, client)
            client.connect(server)
            with trio.fail_after(10):
                await client.dispatcher.until_event("connect")
            client.scope.cancel()
            await trio.sleep(1)

        await visit(0)
        assert len(server.messenger.connections) == 1
        server.dispatcher.misses = False
        for seed in range(1, 20):
            await visit(seed)
        assert len(server.messenger.connections) == 1
        assert len(server.messenger.registry.sessions()) == 1
        assert server.dispatcher.events.count("reset") == 19
        nursery.cancel_scope.cancel()


async def test_eviction_takes_from_the_busiest(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(6)
    options = MessengerOptions(max_handshakes=10)
    async with two_nodes(network, server_options=options) as (server, _):
        honest = await stranger(network, "10.0.0.50")
        await trio.sleep(0.1)
        crowd = [await stranger(network) for _ in range(30)]
        await trio.sleep(1)
        assert len(server.messenger.gate) == 10
        assert honest in network.streams
        assert not honest._rx.ended
        for stream in (honest, *crowd):
            stream.close()


async def test_out_of_file_descriptors(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network = MemoryNetwork(7)
    async with two_nodes(network) as (server, client):
        listener = network.listeners[SERVER_HOST, 6800]
        listener.exhausted = True
        client.connect(server)
        await trio.sleep(5)
        complaints = [r for r in caplog.records if "ulimit" in r.getMessage()]
        assert len(complaints) == 1  # and not one for each attempt
        listener.exhausted = False
        await still_serves(server, client)


def raw(con: Connection, frame: MessageFrame) -> None:
    """Send a message frame as it stands."""
    session = con._session
    assert session is not None
    session.send(frame)
    con._kick()


@pytest.mark.parametrize(
    "frame",
    [
        MessageFrame(type=0x7FFF, front=b"who knows"),
        MessageFrame(type=MNumber.TYPE, front=b"\x01"),
        MessageFrame(type=MNumber.TYPE, front=bytes(8) + b"\xff\xff\xff\xff"),
        MessageFrame(type=MNumber.TYPE, front=bytes(12), version=99, compat_version=99),
    ],
    ids=["unknown type", "short", "length beyond", "too new"],
)
async def test_undecodable_message(
    autojump_clock: trio.testing.MockClock, frame: MessageFrame, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    network = MemoryNetwork(8)
    async with two_nodes(network, Policy.stateful_server(), Policy.lossless_client()) as (
        server,
        client,
    ):
        con = client.connect(server)
        raw(con, frame)
        with trio.fail_after(60):
            await server.dispatcher.until_event("reset")
            await client.dispatcher.until_event("remote_reset")
        assert "does not decode" in caplog.text
        assert server.dispatcher.numbers == []
        await still_serves(server, client)


async def test_bug_in_dispatch_ends_one_connection(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network = MemoryNetwork(9)
    async with two_nodes(network) as (server, client):
        other = make_node(network.transport("10.0.0.3"), "mds.2")
        async with trio.open_nursery() as nursery:
            await start(nursery, other)
            unharmed = other.connect(server)
            con = client.connect(server)
            with trio.fail_after(10):
                await server.dispatcher.until_event("accept", 2)

            def fail(msg: MNumber) -> None:
                if msg.number == 13:
                    raise LookupError("a bug of ours")

            server.dispatcher.on_message = fail
            con.send_message(MNumber(number=13))
            with trio.fail_after(10):
                await server.dispatcher.until_event("reset")
            assert "LookupError: a bug of ours" in caplog.text
            assert "Traceback" in caplog.text
            unharmed.send_message(MNumber(number=14))
            with trio.fail_after(10):
                await server.dispatcher.until(lambda: 14 in server.dispatcher.numbers)
            nursery.cancel_scope.cancel()


class Failing(Dispatcher):
    """A bug in one callback."""

    def __init__(self, callback: str) -> None:
        self.callback = callback

    def _fail(self, name: str) -> bool:
        if name == self.callback:
            raise LookupError(name)
        return name == "ms_handle_authentication"

    def ms_handle_authentication(self, con: Connection) -> bool:
        return self._fail("ms_handle_authentication")

    def ms_handle_accept(self, con: Connection) -> None:
        self._fail("ms_handle_accept")

    def ms_handle_reset(self, con: Connection) -> bool:
        return self._fail("ms_handle_reset")


@pytest.mark.parametrize(
    "callback", ["ms_handle_authentication", "ms_handle_accept", "ms_handle_reset"]
)
async def test_bug_in_a_callback(
    autojump_clock: trio.testing.MockClock, callback: str, caplog: pytest.LogCaptureFixture
) -> None:
    network = MemoryNetwork(10)
    async with two_nodes(network, Policy.stateless_server(), Policy.lossy_client()) as (
        server,
        client,
    ):
        failing = Failing(callback)
        server.messenger.add_dispatcher_head(failing)
        con = client.connect(server)
        await trio.sleep(1)
        con.mark_down()
        await trio.sleep(1)
        assert f"LookupError: {callback}" in caplog.text
        server.messenger.remove_dispatcher(failing)
        await still_serves(server, client)


async def test_bug_in_shared_state_ends_the_messenger(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Corrupt(DaemonFault, RuntimeError):
        pass

    def fail(msg: Message) -> None:
        raise Corrupt("the map contradicts itself")

    network = MemoryNetwork(11)
    with pytest.RaisesGroup(pytest.RaisesExc(Corrupt), flatten_subgroups=True):
        async with two_nodes(network) as (server, client):
            server.dispatcher.on_message = fail
            client.connect(server).send_message(MNumber(number=1))
            await trio.sleep_forever()
    assert not network.streams


async def test_nobody_handles_it(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with two_nodes(MemoryNetwork(12)) as (server, client):
        server.messenger.remove_dispatcher(server.dispatcher)
        con = client.connect(server)
        con.send_message(MPing(tid=5))
        await trio.sleep(1)
        assert con.is_connected
        assert "nobody handles MPing tid 5 from mds.1" in caplog.text


def test_random_bytes_at_random_moments() -> None:
    """Whatever a stranger says, and however it is cut: the server only ever drops him."""

    async def main(seed: int) -> None:
        network = MemoryNetwork(seed, LinkSettings(cut_probability=0.02))
        rng = random.Random(seed)
        async with two_nodes(network, seed=seed) as (server, client):
            for _ in range(20):
                stream = await stranger(network)
                try:
                    for part in (BANNER[: rng.choice((5, 30))], rng.randbytes(rng.randrange(300))):
                        await stream.send_all(part)
                        await trio.sleep(rng.uniform(0, 1))
                except trio.BrokenResourceError:
                    pass
                stream.close()
            await still_serves(server, client)
            assert "dropped" not in server.dispatcher.events

    for seed in range(20):
        run_seeded(main, seed)
