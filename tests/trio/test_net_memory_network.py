"""The memory network itself: what its streams promise, and that a seed repeats itself."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.trio.netkit import run_seeded

from mdsdaemon.net.memory_network import WINDOW, LinkSettings, MemoryNetwork, MemoryStream
from mdsdaemon.net.stream import BindError, ConnectError
from mdsdaemon.types.entity import EntityAddr

A, B = "10.0.0.1", "10.0.0.2"
ADDR = EntityAddr.parse(f"v2:{A}:6800")


async def pair(network: MemoryNetwork) -> tuple[MemoryStream, MemoryStream]:
    listener = await network.transport(A).listen(ADDR)
    ours = await network.transport(B).open_stream(ADDR)
    theirs = await listener.accept()
    listener.close()
    return ours, theirs


async def read_all(stream: MemoryStream) -> tuple[bytes, int]:
    data, pieces = b"", 0
    while part := await stream.receive_some():
        data += part
        pieces += 1
    return data, pieces


def test_bytes_arrive_whole_in_pieces_of_the_seed() -> None:
    seen: list[tuple[int, float]] = []

    async def main(seed: int) -> None:
        network = MemoryNetwork(seed, LinkSettings(delay=(0.01, 0.1)))
        begin = trio.current_time()
        ours, theirs = await pair(network)
        sent = bytes(range(256)) * 40

        async def send() -> None:
            for start in range(0, len(sent), 1000):
                await ours.send_all(sent[start : start + 1000])
                await trio.sleep(0.05)
            ours.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            data, pieces = await read_all(theirs)
        assert data == sent
        theirs.close()
        assert not network.streams
        seen.append((pieces, round(trio.current_time() - begin, 6)))

    for seed in (1, 1, 2):
        run_seeded(main, seed)
    assert seen[0] == seen[1] != seen[2]
    assert seen[0][0] > 5


async def test_window_and_partition(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(3)
    ours, theirs = await pair(network)
    network.partition([A], [B])
    with trio.move_on_after(100) as scope:
        await ours.send_all(bytes(WINDOW + 1))
    assert scope.cancelled_caught
    with trio.move_on_after(100) as scope:
        await theirs.receive_some()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.receive_some)
        await trio.sleep(1)
        network.heal()
    ours.close()
    theirs.close()


async def test_cut_loses_a_tail(autojump_clock: trio.testing.MockClock) -> None:
    lengths = set()
    for seed in range(20):
        network = MemoryNetwork(seed, LinkSettings(chunked=False))
        ours, theirs = await pair(network)
        await ours.send_all(bytes(range(100)))
        assert network.cut(A, B) == 1
        data = b""
        try:
            while True:
                data += await theirs.receive_some()
        except trio.BrokenResourceError:
            pass
        assert data == bytes(range(100))[: len(data)]
        lengths.add(len(data))
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(b"x")
        ours.close()
        theirs.close()
    assert len(lengths) > 10


async def test_names_and_ports(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(4)
    with pytest.raises(ConnectError) as refused:
        await network.transport(B).open_stream(ADDR)
    assert refused.value.refused
    listener = await network.transport(A).listen(ADDR)
    with pytest.raises(BindError, match="in use"):
        await network.transport(A).listen(ADDR)
    with pytest.raises(BindError, match="no address"):
        await network.transport(B).listen(ADDR)
    other = await network.transport(B).listen(EntityAddr.parse("v2:0.0.0.0:0"))
    assert other.addr.port
    other.close()
    listener.close()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_crash_and_restart(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(5)
    ours, theirs = await pair(network)
    dead = await network.transport(A).listen(ADDR)
    network.crash(A)
    with pytest.raises(trio.BrokenResourceError):
        await ours.receive_some()
    with trio.move_on_after(60) as scope:
        await network.transport(B).open_stream(ADDR)
    assert scope.cancelled_caught
    network.restart(A)
    with pytest.raises(ConnectError):
        await network.transport(B).open_stream(ADDR)
    alive = await network.transport(A).listen(ADDR)
    dead.close()
    again = await network.transport(B).open_stream(ADDR)
    for thing in (ours, theirs, alive, again):
        thing.close()
    assert not network.listeners
