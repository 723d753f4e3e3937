"""The manager client: follows the map, opens, reports as asked, comes back, takes its leave."""

from __future__ import annotations

import logging
import struct
from typing import TypeVar

import pytest
import trio
from attrs import define
from tests.trio.fake_mon import Client, FakeCluster, eventually, join, start_client, start_mons
from trio.testing import MockClock

from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import AuthServer
from mdsdaemon.config import Config
from mdsdaemon.encoding import Map, Str, decode
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.mds import MCommand
from mdsdaemon.messages.mgr import (
    DaemonConfig,
    DaemonHealthMetric,
    MMgrClose,
    MMgrConfigure,
    MMgrMap,
    MMgrOpen,
    MMgrReport,
)
from mdsdaemon.msgr2.auth import ClientAuth, ServerAuth
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.perf import PerfCounters, PerfRegistry, Prio
from mdsdaemon.types.entity import CLIENT, MGR, EntityAddr, EntityAddrVec, PeerName

NONCE = 77
M = TypeVar("M", bound=Message)


class FakeMgr(Dispatcher):
    """An active manager; `period` and `threshold` are what it asks for."""

    def __init__(self, cluster: FakeCluster, host: str, period: int = 5) -> None:
        self.cluster = cluster
        self.host = host
        self.addrs = EntityAddrVec.parse(f"v2:{host}:6800/{NONCE}")
        self.period = period
        self.threshold = int(Prio.USEFUL)
        self.received: list[Message] = []
        self.report_times: list[float] = []
        self.answer_close = True
        self.break_off = False
        self.scope = trio.CancelScope()
        registry = AuthRegistry.from_config(Config("mgr.x").get_str, MGR)
        self._auth = AuthServer(registry, cluster.keys.ring(MGR), cluster.host.randbytes)

    def got(self, kind: type[M]) -> list[M]:
        return [msg for msg in self.received if isinstance(msg, kind)]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        messenger = Messenger(
            PeerName(MGR, 4099),
            nonce=NONCE,
            host=self.cluster.host,
            transport=self.cluster.network.transport(self.host),
            log=logging.getLogger("test.mgr"),
        )
        messenger.set_authenticator(self)
        messenger.add_dispatcher_tail(self)
        messenger.set_default_policy(Policy.stateless_server())
        with trio.CancelScope() as self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(messenger.run, [EntityAddr.parse(f"v2:{self.host}:6800")])
                task_status.started()

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        raise NotImplementedError

    def server_session(self, peer_type: int, now: float) -> ServerAuth:
        return self._auth.server_session(peer_type, now)

    def ms_dispatch(self, msg: Message) -> bool:
        self.received.append(msg)
        if self.break_off:
            msg.connection.mark_down()
        elif isinstance(msg, MMgrOpen):
            msg.connection.send_message(MMgrConfigure(self.period, self.threshold, bytes(5)))
        elif isinstance(msg, MMgrReport):
            self.report_times.append(trio.current_time())
        elif isinstance(msg, MMgrClose) and self.answer_close:
            msg.connection.send_message(MMgrClose(msg.daemon_name, msg.service_name))
        return True


def publish(cluster: FakeCluster, mgr: FakeMgr | None, *, name: str = "x") -> None:
    """A new mgrmap: `mgr` is active, or nobody."""
    maps = cluster.maps.setdefault("mgrmap", [])
    epoch = len(maps) + 1
    if mgr is None:
        maps.append(lambda: MMgrMap(MgrMap(epoch=epoch)))
    else:
        addrs = mgr.addrs
        maps.append(
            lambda: MMgrMap(
                MgrMap(epoch=epoch, active_addrs=addrs, active_name=name, available=True)
            )
        )
    cluster.publish()


@define
class World:
    cluster: FakeCluster
    mgr: FakeMgr
    client: Client
    counters: PerfCounters


async def start(nursery: trio.Nursery) -> World:
    """One monitor, one manager, a client that follows the mgrmap; no map is published yet."""
    cluster = FakeCluster.make("a")
    await start_mons(nursery, cluster)
    mgr = FakeMgr(cluster, "10.0.5.1")
    await nursery.start(mgr.run)
    perf = PerfRegistry()
    counters = PerfCounters("mds")
    counters.add_u64("inodes", "Inodes", "ino", Prio.CRITICAL).set(7)
    counters.add_time_avg("latency", "Latency", "lat", Prio.INTERESTING).tinc(2.0)
    counters.add_u64("detail", "of no interest")
    perf.add(counters)
    client = await start_client(nursery, cluster, perf=perf)
    await join(client)
    client.monc.sub_want("mgrmap", 0)
    client.monc.renew_subs()
    return World(cluster, mgr, client, counters)


async def test_open_then_reports_at_the_period_asked_for(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        await trio.sleep(30)
        assert not world.mgr.received
        publish(world.cluster, world.mgr)
        await trio.sleep(21)
        mgr = world.mgr
        (opened,) = mgr.got(MMgrOpen)
        assert (opened.daemon_name, opened.service_name) == ("a", "")
        assert not opened.service_daemon
        config = decode(DaemonConfig, opened.config_bl)
        assert config.values["mon_host"][4] == world.cluster.mon_host  # level 4: command line
        assert decode(Map(Str, Str), opened.config_defaults_bl)["mds_beacon_grace"] == "15.000000"
        reports = mgr.got(MMgrReport)
        assert len(reports) == 5
        gaps = [b - a for a, b in zip(mgr.report_times, mgr.report_times[1:], strict=False)]
        assert gaps == pytest.approx([5.0] * 4, abs=0.1)
        assert [d.path for d in reports[0].declare_types] == ["mds.inodes", "mds.latency"]
        assert not any(report.declare_types for report in reports[1:])
        for report in reports:
            assert struct.unpack("<4Q", report.packed.values) == (7, 2_000_000_000, 1, 1)
            assert report.daemon_name == "a"
        assert reports[0].task_status == {}
        assert reports[1].task_status is None
        nursery.cancel_scope.cancel()


class Stranger:
    """A client's connection to us."""

    peer_type = CLIENT
    peer = "client.4123 10.66.0.1"


async def test_only_a_monitor_says_who_the_manager_is(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A client with any key could else draw our session and its reports to itself."""
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: bool(world.mgr.got(MMgrReport)))
        mgrc = world.client.mgrc
        assert mgrc is not None
        before = mgrc.map
        addrs = EntityAddrVec.parse("v2:10.66.0.1:6800/1")
        forged = MMgrMap(
            MgrMap(epoch=10**6, active_addrs=addrs, active_name="evil", available=True)
        )
        forged.connection = Stranger()
        assert mgrc.ms_dispatch(forged)
        assert mgrc.map is before
        assert "filtered out a mgrmap from client.4123 10.66.0.1" in caplog.text
        goodbye = MMgrClose("a", "")
        goodbye.connection = Stranger()
        assert mgrc.ms_dispatch(goodbye)
        assert not mgrc._closed.is_set()
        nursery.cancel_scope.cancel()


async def test_no_secret_goes_to_the_manager(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: bool(world.mgr.got(MMgrReport)))
        key = world.client.config.get_str("key").encode()
        assert key
        assert key not in world.mgr.got(MMgrOpen)[0].config_bl
        nursery.cancel_scope.cancel()


async def test_changes_go_with_the_next_report_only(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        mgrc = world.client.mgrc
        assert mgrc is not None
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 1)
        world.client.config.set_val("mds_beacon_grace", "20")
        mgrc.service_daemon_update_task_status({"scrub": "idle"})
        mgrc.update_daemon_health([DaemonHealthMetric(0, 3)])
        world.counters.set("inodes", 8)
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 3, 20)
        reports = world.mgr.got(MMgrReport)
        config = decode(DaemonConfig, reports[1].config_bl)
        assert config.values["mds_beacon_grace"] == {5: "20.000000"}
        assert reports[1].task_status == {"scrub": "idle"}
        assert reports[1].daemon_health_metrics == [DaemonHealthMetric(0, 3)]
        assert struct.unpack_from("<Q", reports[1].packed.values) == (8,)
        assert (reports[2].config_bl, reports[2].task_status) == (b"", None)
        assert reports[2].daemon_health_metrics == []
        nursery.cancel_scope.cancel()


async def test_the_manager_changes_what_it_wants(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 1)
        con = world.mgr.received[0].connection
        con.send_message(MMgrConfigure(2, int(Prio.CRITICAL)))
        await trio.sleep(9.5)
        reports = world.mgr.got(MMgrReport)
        assert len(reports) == 4
        assert reports[1].undeclare_types == ["mds.latency"]
        con.send_message(MMgrConfigure(0))
        await trio.sleep(30)
        assert len(world.mgr.got(MMgrReport)) == 4
        con.send_message(MMgrConfigure(5))
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 5, 0.5)
        nursery.cancel_scope.cancel()


async def test_a_new_active_manager_gets_a_session_of_its_own(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 2)
        other = FakeMgr(world.cluster, "10.0.5.2")
        await nursery.start(other.run)
        publish(world.cluster, None)
        await trio.sleep(10)
        before = len(world.mgr.received)
        publish(world.cluster, other, name="y")
        await eventually(lambda: len(other.got(MMgrReport)) == 2)
        assert len(world.mgr.received) == before
        assert len(other.got(MMgrReport)[0].declare_types) == 2
        nursery.cancel_scope.cancel()


async def test_a_broken_session_is_reopened_not_more_than_once_a_second(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        world.mgr.break_off = True
        publish(world.cluster, world.mgr)
        await trio.sleep(20)
        assert 15 <= len(world.mgr.got(MMgrOpen)) <= 21
        world.mgr.break_off = False
        await eventually(lambda: bool(world.mgr.got(MMgrReport)))
        assert len(world.mgr.got(MMgrReport)[0].declare_types) == 2
        nursery.cancel_scope.cancel()


async def test_a_restarted_manager_is_found_again(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 1)
        world.mgr.scope.cancel()
        await trio.sleep(5)
        world.mgr.received.clear()
        await nursery.start(world.mgr.run)
        await eventually(lambda: bool(world.mgr.got(MMgrReport)), 20)
        assert world.mgr.got(MMgrOpen)
        nursery.cancel_scope.cancel()


async def test_the_subscription_moves_on_with_the_map(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, None)
        publish(world.cluster, world.mgr)
        await eventually(lambda: bool(world.mgr.got(MMgrReport)))
        mon = world.cluster.mons["a"]
        count = len(mon.subscribed)
        world.cluster.network.cut("10.0.0.1")
        await eventually(lambda: len(mon.subscribed) > count)
        assert mon.subscribed[-1]["mgrmap"] == (3, 0)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("answers", [True, False])
async def test_leave(autojump_clock: MockClock, answers: bool) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: bool(world.mgr.got(MMgrReport)))
        world.mgr.answer_close = answers
        mgrc = world.client.mgrc
        assert mgrc is not None
        began = trio.current_time()
        await mgrc.shutdown()
        assert trio.current_time() - began < (0.05 if answers else 0.25)
        assert world.mgr.got(MMgrClose) == [MMgrClose("a", "")]
        received = len(world.mgr.received)
        publish(world.cluster, world.mgr)
        await trio.sleep(20)
        assert len(world.mgr.received) == received
        nursery.cancel_scope.cancel()


async def test_leave_without_a_session(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        assert world.client.mgrc is not None
        await world.client.mgrc.shutdown()
        nursery.cancel_scope.cancel()


async def test_commands_of_the_manager_are_ignored(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        publish(world.cluster, world.mgr)
        await eventually(lambda: bool(world.mgr.got(MMgrReport)))
        con = world.mgr.received[0].connection
        con.send_message(MCommand(fsid=world.cluster.monmap.fsid, cmd=["{}"]))
        await trio.sleep(10)
        assert not any(isinstance(msg, MCommand) for msg in world.client.heard.messages)
        assert len(world.mgr.got(MMgrReport)) == 3
        nursery.cancel_scope.cancel()


async def test_a_service_daemon_brings_its_metadata(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = await start(nursery)
        mgrc = world.client.mgrc
        assert mgrc is not None
        mgrc.service_daemon_register("probe", "p1", {"hostname": "h"})
        with pytest.raises(ValueError, match=r"probe\.p1"):
            mgrc.service_daemon_register("probe", "p2", {})
        mgrc.service_daemon_update_status({"state": "fine"})
        publish(world.cluster, world.mgr)
        await eventually(lambda: len(world.mgr.got(MMgrReport)) == 2)
        (opened,) = world.mgr.got(MMgrOpen)
        assert (opened.service_name, opened.daemon_name) == ("probe", "p1")
        assert opened.daemon_metadata == {"hostname": "h"}
        first, second = world.mgr.got(MMgrReport)
        assert (first.daemon_status, second.daemon_status) == ({"state": "fine"}, None)
        nursery.cancel_scope.cancel()
