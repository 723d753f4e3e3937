"""The messenger on a quiet network: messages, callbacks, names and addresses, the end."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.trio.netkit import SERVER_HOST, MNumber, Node, make_node, start, two_nodes

from mdsdaemon.msgr2.auth import CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import MDS, EntityAddr, EntityAddrVec, PeerName


def echo(node: Node) -> None:
    def reply(msg: MNumber) -> None:
        msg.connection.send_message(MNumber(number=msg.number + 1000, tid=msg.tid))

    node.dispatcher.on_message = reply


@pytest.mark.parametrize("con_mode", [CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE])
async def test_echo(autojump_clock: trio.testing.MockClock, con_mode: int) -> None:
    async with two_nodes(MemoryNetwork(1), con_mode=con_mode) as (server, client):
        echo(server)
        con = client.connect(server)
        sent = [MNumber(number=n, tid=n, text=bytes(n), data=b"d" * n) for n in range(50)]
        assert all(con.send_message(msg) for msg in sent)
        with trio.fail_after(10):
            await client.dispatcher.until(lambda: len(client.dispatcher.numbers) == 50)
        assert client.dispatcher.numbers == list(range(1000, 1050))
        got = server.dispatcher.messages
        assert [(m.number, m.tid, m.text, m.data) for m in got] == [
            (m.number, m.tid, m.text, m.data) for m in sent
        ]
        assert got[0].source == PeerName(MDS, 1)
        assert got[0].connection is server.dispatcher.accepted[0]
        assert con.con_mode == con_mode
        assert client.dispatcher.events[0] == "connect"
        assert server.dispatcher.events[:3] == ["authentication", "accept", "message"]


async def test_who_is_who(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(2)) as (server, client):
        con = client.connect(server)
        assert (con.is_open, con.is_connected) == (True, False)
        with trio.fail_after(10):
            await server.dispatcher.until_event("accept")
            await client.dispatcher.until_event("connect")
        assert con.is_connected
        assert client.connect(server) is con
        assert client.connect(server, anon=True) is not con
        there = server.dispatcher.accepted[0]
        assert con.peer_addrs == server.addrs
        assert there.peer_addrs == client.addrs
        assert there.peer_identity is not None
        assert str(there.peer_identity.entity_name) == "mds.1"
        assert there.peer_global_id == 4101
        assert (str(con.peer_name), str(there.peer_name)) == ("mds.0", "mds.1")
        assert con.features == there.features == con.policy.features_supported


async def test_keepalive_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(3)) as (server, client):
        con = client.connect(server)
        with trio.fail_after(10):
            await client.dispatcher.until_event("connect")
        await trio.sleep(100)
        asked = trio.current_time()
        con.send_keepalive()
        await trio.sleep(1)
        assert con.last_keepalive_ack == pytest.approx(asked, abs=1e-5)
        assert server.dispatcher.accepted[0].last_keepalive == pytest.approx(asked, abs=0.1)


async def test_messages_to_ourselves(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(4)) as (server, _):
        con = server.messenger.connect_to(MDS, server.addrs)
        assert con is server.messenger.loopback
        assert con.is_connected
        con.send_message(MNumber(number=7))
        assert server.dispatcher.numbers == []  # never from inside send_message
        with trio.fail_after(1):
            await server.dispatcher.until_event("message")
        assert server.dispatcher.messages[0].source == PeerName(MDS, 0)
        assert server.dispatcher.messages[0].connection is con


async def test_connect_before_run_and_after_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = make_node(MemoryNetwork(5).transport(SERVER_HOST))
    peer = EntityAddrVec.parse("v2:10.0.0.9:6800/1")
    with pytest.raises(RuntimeError):
        node.messenger.connect_to(MDS, peer)
    async with trio.open_nursery() as nursery:
        await start(nursery, node)
        with pytest.raises(ValueError, match="no msgr2"):
            node.messenger.connect_to(MDS, EntityAddrVec.parse("v1:10.0.0.9:6800/1"))
        nursery.cancel_scope.cancel()
    con = node.messenger.connect_to(MDS, peer)
    assert not con.is_open
    assert not con.send_message(MNumber(number=1))


async def test_learns_its_address_from_a_peer(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(6)
    server = make_node(network.transport(SERVER_HOST), "mds.0")
    client = make_node(network.transport("10.0.0.7"), "mds.1")
    async with trio.open_nursery() as nursery:
        await start(nursery, server, f"v2:{SERVER_HOST}:6800")
        await start(nursery, client, "v2:0.0.0.0:0")
        nonce = client.messenger.nonce
        assert str(client.addrs) == f"v2:0.0.0.0:6800/{nonce}"
        client.connect(server)
        with trio.fail_after(10):
            await server.dispatcher.until_event("accept")
        assert str(client.addrs) == f"v2:10.0.0.7:6800/{nonce}"
        assert server.dispatcher.accepted[0].peer_addrs == client.addrs
        nursery.cancel_scope.cancel()


async def test_refused(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody listens: told each time, tried again with growing pauses."""
    network = MemoryNetwork(7)
    client = make_node(network.transport("10.0.0.7"), "mds.1", Policy.lossy_client())
    async with trio.open_nursery() as nursery:
        await start(nursery, client)
        con = client.messenger.connect_to(MDS, EntityAddrVec.parse("v2:10.0.0.1:6800/5"))
        begin = trio.current_time()
        with trio.fail_after(1000):
            await client.dispatcher.until_event("refused", 12)
        # 0.2 + 0.4 + … + 12.8, then 15 each
        assert trio.current_time() - begin == pytest.approx(25.4 + 4 * 15, abs=0.5)
        assert con.is_open
        con.mark_down()
        nursery.cancel_scope.cancel()


async def test_refused_authentication(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(8)) as (server, client):
        server.auth.refuse = True
        con = client.connect(server)
        await trio.sleep(5)
        assert not con.is_connected
        assert con.is_open
        assert "authentication" not in server.dispatcher.events
        server.auth.refuse = False
        server.dispatcher.admit = False
        con.send_message(MNumber(number=1))
        with trio.fail_after(60):
            await server.dispatcher.until_event("dropped")
        assert server.dispatcher.events[:2] == ["authentication", "dropped"]
        server.dispatcher.admit = True
        with trio.fail_after(60):
            await server.dispatcher.until_event("message")


async def test_without_a_ticket(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(9)) as (server, client):
        client.auth.without_ticket = True
        con = client.connect(server)
        with trio.fail_after(1):
            await client.dispatcher.until_event("reset")
        assert not con.is_open


async def test_peer_of_another_type_or_name(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(10)) as (server, client):
        wrong_type = client.messenger.connect_to(4, server.addrs)
        other = EntityAddr.parse(f"v2:{SERVER_HOST}:6800/1")
        wrong_nonce = client.messenger.connect_to(MDS, EntityAddrVec.of(other))
        await trio.sleep(30)
        assert not wrong_type.is_connected
        assert not wrong_nonce.is_connected
        assert "accept" not in server.dispatcher.events
        wrong_type.mark_down()
        wrong_nonce.mark_down()


async def test_mark_down_drops_and_tells_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(11)) as (server, client):
        con = client.connect(server)
        with trio.fail_after(10):
            await client.dispatcher.until_event("connect")
        con.send_message(MNumber(number=1))
        con.mark_down()
        assert not con.is_open
        assert not con.send_message(MNumber(number=2))
        fresh = client.connect(server)
        assert fresh is not con
        fresh.send_message(MNumber(number=3))
        with trio.fail_after(10):
            await server.dispatcher.until_event("message")
        assert server.dispatcher.numbers == [3]
        assert "reset" not in client.dispatcher.events


async def test_mark_down_by_address_is_told_later(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(12)) as (server, client):
        con = client.connect(server)
        with trio.fail_after(10):
            await client.dispatcher.until_event("connect")
            client.messenger.mark_down_addrs(EntityAddrVec.parse("v2:10.9.9.9:1/1"))
            client.messenger.mark_down_addrs(server.addrs)
            assert not con.is_open
            assert "reset" not in client.dispatcher.events  # callbacks never come from inside
            await client.dispatcher.until_event("reset")
            client.connect(server)
            client.connect(server, anon=True)
            client.messenger.mark_down_all()
            await client.dispatcher.until_event("reset", 3)


async def test_mark_down_inside_dispatch(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing of what came with the message is dispatched after it."""
    async with two_nodes(MemoryNetwork(13)) as (server, client):
        server.dispatcher.on_message = lambda msg: msg.connection.mark_down()
        con = client.connect(server)
        for number in range(10):
            con.send_message(MNumber(number=number))
        with trio.fail_after(10):
            await server.dispatcher.until_event("message")
        await trio.sleep(1)
        assert server.dispatcher.numbers[0] == 0
        # The peer comes back with a fresh session and what it still has, one message each time.
        assert "reset" not in server.dispatcher.events


async def test_ends_with_its_scope(autojump_clock: trio.testing.MockClock) -> None:
    """No callback, no task and no socket after the end; what is told is recorded."""
    network = MemoryNetwork(14)
    async with two_nodes(network) as (server, client):
        con = client.connect(server)
        with trio.fail_after(10):
            await client.dispatcher.until_event("connect")
        assert len(network.streams) == 2
        client.scope.cancel()
        await trio.sleep(1)
        assert not con.is_open
        assert client.dispatcher.events == ["connect"]
        assert network.streams == set()
        for records in (client.records, server.records):
            assert records.count("connection.start") == 1
        assert client.records.count("connection.end") == 1
        assert client.records.count("listener.end") == 1


async def test_shutdown_closes_the_doors_first(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(15)
    async with two_nodes(network) as (server, client):
        client.connect(server)
        with trio.fail_after(10):
            await server.dispatcher.until_event("accept")
            server.messenger.shutdown()
            await trio.sleep(1)
        kinds = [kind for kind, _ in server.records.entries]
        assert kinds.index("listener.end") < kinds.index("connection.end")
        assert not server.dispatcher.accepted[0].is_open
