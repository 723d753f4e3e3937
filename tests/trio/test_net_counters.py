"""The messenger's counters, as `perf dump` shows them."""

from __future__ import annotations

import trio
import trio.testing
from tests.trio.netkit import MNumber, two_nodes

from mdsdaemon.net.counters import add_messenger_counters, add_throttle_counters
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.net.throttle import Throttle
from mdsdaemon.perf import PerfRegistry

WORKER = "AsyncMessenger::Worker-0"


async def test_messenger_counters(autojump_clock: trio.testing.MockClock) -> None:
    async with two_nodes(MemoryNetwork(1)) as (server, client):
        perf = PerfRegistry()
        add_messenger_counters(perf, server.messenger)
        con = client.connect(server)
        for number in range(10):
            con.send_message(MNumber(number=number, data=bytes(1000)))
        with trio.fail_after(10):
            await server.dispatcher.until_event("message", 10)
        await trio.sleep(1)
        dump = perf.dump()
        worker = dump[WORKER]
        assert worker["msgr_recv_messages"] == 10
        assert worker["msgr_send_messages"] == 0
        assert 10_000 < worker["msgr_recv_bytes"] < 20_000
        assert 100 < worker["msgr_send_bytes"] < 2000
        assert worker["msgr_active_connections"] == 1
        throttle = dump["throttle-msgr_dispatch_throttler-mds"]
        assert throttle["val"] == 0
        assert throttle["max"] == 100 << 20
        assert throttle["put"] == throttle["take"] + throttle["get"] == 10
        assert throttle["put_sum"] == throttle["take_sum"] + throttle["get_sum"] > 10_000
        perf.reset("all")
        con.send_message(MNumber(number=1))
        with trio.fail_after(10):
            await server.dispatcher.until_event("message", 11)
        assert perf.dump()[WORKER]["msgr_recv_messages"] == 1


async def test_waits_are_averaged(autojump_clock: trio.testing.MockClock) -> None:
    throttle = Throttle("test", 10)
    perf = PerfRegistry()
    add_throttle_counters(perf, throttle)
    await throttle.get(10)
    assert perf.dump()["throttle-test"]["wait"]["avgcount"] == 0
    assert not throttle.get_or_fail(1)

    async def want() -> None:
        await throttle.get(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(want)
        nursery.start_soon(want)
        await trio.sleep(5)
        throttle.put(10)
    shown = perf.dump()["throttle-test"]
    assert shown["val"] == 2
    assert shown["get_or_fail_fail"] == 1
    assert (shown["get_started"], shown["get"], shown["get_sum"]) == (3, 3, 12)
    assert shown["wait"] == {"avgcount": 2, "sum": 10.0, "avgtime": 5.0}
