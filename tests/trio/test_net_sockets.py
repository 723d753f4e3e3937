"""The messenger over real TCP sockets on loopback, IPv4 and IPv6."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio
import trio.testing
from tests.trio.netkit import MNumber, make_node, start

from mdsdaemon.msgr2.auth import CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE
from mdsdaemon.net.bind import bind
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.net.stream import BindError, ConnectError, Listener
from mdsdaemon.types.entity import MDS, EntityAddr, EntityAddrVec

LOG = logging.getLogger("test")
ANY_PORT = MessengerOptions(ms_bind_port_max=0, ms_bind_retry_count=1)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


HOSTS = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
]


def addr_of(host: str, port: int = 0) -> EntityAddr:
    return EntityAddr(EntityAddr.TYPE_MSGR2, 0, host, port)


@pytest.fixture
def fds_stay() -> Iterator[None]:
    """Whatever a test opens, it closes."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    after = set(os.listdir("/proc/self/fd"))
    assert len(after) <= len(before)


@pytest.mark.usefixtures("fds_stay")
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("con_mode", [CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE])
async def test_echo(host: str, con_mode: int) -> None:
    server = make_node(SocketTransport(), "mds.0", con_mode=con_mode, options=ANY_PORT)
    client = make_node(SocketTransport(), "mds.1", con_mode=con_mode, options=ANY_PORT)
    server.dispatcher.on_message = lambda msg: msg.connection.send_message(
        MNumber(number=msg.number, text=msg.text, data=msg.data)
    )
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            bind_text = str(addr_of(host)).removesuffix("/0")
            await start(nursery, server, bind_text)
            await start(nursery, client, bind_text)
            assert server.addrs.addrs[0].port > 0
            con = client.connect(server)
            big = os.urandom(5 << 20)  # more than the buffers of both sockets
            con.send_message(MNumber(number=0, data=big))
            for number in range(1, 200):
                con.send_message(MNumber(number=number, text=b"x" * number))
            await client.dispatcher.until(lambda: len(client.dispatcher.numbers) == 200)
            assert client.dispatcher.numbers == list(range(200))
            assert client.dispatcher.messages[0].data == big
            assert server.dispatcher.accepted[0].peer_addrs == client.addrs
            nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("fds_stay")
async def test_bound_to_the_wildcards() -> None:
    """Both families on one port; the address is learned from whom we connect to."""
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    server = make_node(SocketTransport(), "mds.0", options=ANY_PORT)
    client = make_node(SocketTransport(), "mds.1", options=ANY_PORT)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await start(nursery, server, "v2:127.0.0.1:0")
            listener = await SocketTransport().listen(addr_of("0.0.0.0"))
            port = listener.addr.port
            (await SocketTransport().listen(addr_of("::", port))).close()
            listener.close()
            await start(nursery, client, f"v2:0.0.0.0:{port}")
            client.connect(server)
            await server.dispatcher.until_event("accept")
            assert client.addrs.addrs[0].host == "127.0.0.1"
            assert client.addrs.addrs[0].port == port
            nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("fds_stay")
async def test_refused_port() -> None:
    client = make_node(SocketTransport(), "mds.1", Policy.lossy_client())
    with trio.fail_after(20):
        listener = await SocketTransport().listen(addr_of("127.0.0.1"))
        listener.close()
        async with trio.open_nursery() as nursery:
            await start(nursery, client)
            client.messenger.connect_to(MDS, EntityAddrVec.of(listener.addr))
            await client.dispatcher.until_event("refused")
            nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("fds_stay")
async def test_errors_name_the_address_and_the_remedy() -> None:
    transport = SocketTransport()
    taken = await transport.listen(addr_of("127.0.0.1"))
    with pytest.raises(BindError, match=f"127.0.0.1:{taken.addr.port}.*is in use.*another port"):
        await transport.listen(taken.addr)
    with pytest.raises(BindError, match=r"has no address 192.0.2.1; set public_addr"):
        await transport.listen(addr_of("192.0.2.1"))
    with pytest.raises(BindError, match=r"not a valid IP address"):
        await transport.listen(addr_of("localhost"))
    with pytest.raises(ConnectError, match=r"'localhost' is not an IP address"):
        await transport.open_stream(addr_of("localhost", 1))
    taken.close()
    taken.close()
    with pytest.raises(trio.ClosedResourceError):
        await taken.accept()
    if os.getuid() != 0:
        with pytest.raises(BindError, match="above 1023"):
            await transport.listen(addr_of("127.0.0.1", 1))


@pytest.mark.usefixtures("fds_stay")
async def test_messenger_that_cannot_bind_raises_plainly() -> None:
    taken = await SocketTransport().listen(addr_of("127.0.0.1"))
    node = make_node(SocketTransport(), "mds.0", options=ANY_PORT)
    async with trio.open_nursery() as nursery:
        with pytest.raises(BindError, match="in use"):
            await start(nursery, node, "v2:127.0.0.1:0", f"v2:127.0.0.1:{taken.addr.port}")
    taken.close()


@pytest.mark.usefixtures("fds_stay")
async def test_bind_range_and_retry(autojump_clock: trio.testing.MockClock) -> None:
    transport = SocketTransport()
    first = await transport.listen(addr_of("127.0.0.1"))
    low = first.addr.port
    options = MessengerOptions(ms_bind_port_min=low, ms_bind_port_max=low + 50)
    second = await bind(transport, addr_of("127.0.0.1"), options, LOG)
    assert low < second.addr.port <= low + 50
    none_left = MessengerOptions(ms_bind_port_min=low, ms_bind_port_max=low)
    begin = trio.current_time()
    with pytest.raises(BindError, match=f"no port from {low} to {low} is free"):
        await bind(transport, addr_of("127.0.0.1"), none_left, LOG)
    assert trio.current_time() - begin == pytest.approx(10, abs=0.1)  # three attempts

    bound: list[Listener] = []

    async def binds() -> None:
        bound.append(await bind(transport, first.addr, none_left, LOG))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(binds)
        await trio.sleep(7)
        first.close()
    assert bound[0].addr.port == low
    for listener in (second, *bound):
        listener.close()


@pytest.mark.usefixtures("fds_stay")
async def test_no_descriptor_left() -> None:
    """At the limit of open files the listener waits; afterwards it serves."""
    server = make_node(SocketTransport(), "mds.0", options=ANY_PORT)
    client = make_node(SocketTransport(), "mds.1", options=ANY_PORT)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await start(nursery, server, "v2:127.0.0.1:0")
            await start(nursery, client)
            sock = socket.create_connection(("127.0.0.1", server.addrs.addrs[0].port))
            await trio.testing.wait_all_tasks_blocked(0.05)
            used = max(map(int, os.listdir("/proc/self/fd"))) + 1
            filler: list[int] = []
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
                with suppress(OSError):
                    while True:
                        filler.append(os.dup(0))
                os.close(filler.pop())
                more = socket.create_connection(("127.0.0.1", server.addrs.addrs[0].port))
                # The oldest handshake gives its descriptor to the newcomer.
                with trio.move_on_after(5):
                    while not server.messenger.gate.evicted:
                        await trio.testing.wait_all_tasks_blocked(0.05)
                assert server.messenger.gate.evicted
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for fd in filler:
                    os.close(fd)
            client.connect(server).send_message(MNumber(number=1))
            await server.dispatcher.until_event("message")
            sock.close()
            more.close()
            nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("fds_stay")
async def test_stream_closed_under_a_reader() -> None:
    transport = SocketTransport()
    listener = await transport.listen(addr_of("127.0.0.1"))
    ours = await transport.open_stream(listener.addr)
    theirs = await listener.accept()
    assert ours.peer_addr == theirs.local_addr
    assert ours.local_addr == theirs.peer_addr
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await ours.receive_some()

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            ours.close()
        assert await theirs.receive_some() == b""
        with pytest.raises(trio.ClosedResourceError):
            ours.send_nowait(b"x")

        async def send() -> None:
            while True:
                await theirs.send_all(bytes(1 << 16))

        with pytest.raises(trio.BrokenResourceError):
            await send()
    await ours.aclose()
    theirs.close()
    listener.close()
