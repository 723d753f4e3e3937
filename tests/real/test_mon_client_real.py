"""The monitor and manager clients against real monitors and a real manager."""

from __future__ import annotations

import errno
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from attrs import define
from tests.real.cluster import RealCluster
from tests.real.keys import write_keyring

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.log_client import LogClient
from mdsdaemon.clients.mgr_client import MgrClient
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import Config
from mdsdaemon.encoding import decode
from mdsdaemon.errors import ExitStatus
from mdsdaemon.host import Host
from mdsdaemon.maps.compat_set import get_compat_set_all
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.mds import MMDSBeacon, MMDSMap
from mdsdaemon.messages.mgr import MMgrMap
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.perf import PerfCounters, PerfRegistry, Prio
from mdsdaemon.types.entity import MDS, OSD, EntityAddr, EntityName, PeerName

NewCluster = Callable[[RealCluster], RealCluster]
M = TypeVar("M", bound=Message)


class Heard(Dispatcher):
    """What the clients did not take themselves."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = trio.lowlevel.ParkingLot()

    def got(self, kind: type[M]) -> list[M]:
        return [msg for msg in self.messages if isinstance(msg, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.park()

    def ms_dispatch(self, msg: Message) -> bool:
        self.messages.append(msg)
        self._changed.unpark_all()
        return True


@define(eq=False)
class Client:
    monc: MonClient
    mgrc: MgrClient
    messenger: Messenger
    config: Config
    clog: LogClient
    heard: Heard
    perf: PerfRegistry


@asynccontextmanager
async def client(
    cluster: RealCluster, name: str = "mds.a", **changes: str
) -> AsyncIterator[Client]:
    """Clients of `cluster` as `name`, running; `changes` replace options."""
    mode = cluster.mode
    settings = {
        "mon_host": ",".join(cluster.mon_addrs.values()),
        "fsid": cluster.fsid,
        "keyring": str(cluster.keyring),
        "ms_mon_cluster_mode": mode,
        "ms_mon_client_mode": mode,
        "ms_cluster_mode": mode,
    } | changes
    config = Config(name, settings)
    entity, host = EntityName.parse(name), Host.system()
    messenger = Messenger(
        PeerName(entity.type, -1),
        nonce=host.random_u32(),
        host=host,
        transport=SocketTransport(),
        log=logging.getLogger("test.ms"),
    )
    messenger.set_default_policy(Policy.lossy_client())
    monc = MonClient(
        name=entity,
        config=config,
        messenger=messenger,
        host=host,
        monmap=await build_initial_monmap(config),
        log=logging.getLogger("test.monc"),
    )
    monc.init()
    clog = LogClient(entity, config, host.wall, messenger)
    monc.set_log_client(clog)
    perf, heard = PerfRegistry(), Heard()
    mgrc = MgrClient(
        entity.id,
        config=config,
        messenger=messenger,
        counters=perf.entries,
        on_map=lambda epoch: monc.sub_got("mgrmap", epoch),
    )
    messenger.add_dispatcher_tail(heard)
    async with trio.open_nursery() as nursery:
        await nursery.start(messenger.run, [EntityAddr.parse("v2:127.0.0.1:0")])
        await nursery.start(monc.run)
        await nursery.start(mgrc.run)
        yield Client(monc, mgrc, messenger, config, clog, heard, perf)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], Any], limit: float = 10.0) -> Any:
    """Ask until the answer is true; the question may take a while and runs in a thread."""
    with trio.fail_after(limit):
        while not (answer := await trio.to_thread.run_sync(condition)):  # noqa: ASYNC110
            await trio.sleep(0.1)
        return answer


def beacon(me: Client, seq: int, state: int, epoch: int) -> MMDSBeacon:
    """As the daemon sends it."""
    return MMDSBeacon(
        version=epoch,
        fsid=me.monc.fsid,
        global_id=me.monc.global_id,
        state=state,
        seq=seq,
        name="a",
        compat=get_compat_set_all(),
        sys_info={"ceph_version": "ceph version 16.2.15", "hostname": "here"},
    )


@pytest.mark.parametrize("mode", ["crc", "secure"])
async def test_session_maps_and_commands(new_cluster: NewCluster, mode: str) -> None:
    cluster = new_cluster(RealCluster(mode=mode))
    async with client(cluster) as me:
        with trio.fail_after(20):
            await me.monc.authenticate()
            active = me.monc._hunter.active
            assert active is not None
            assert active.con.con_mode == {"crc": 1, "secure": 2}[mode]
            assert str(me.monc.fsid) == cluster.fsid
            assert me.monc.global_id > 0
            assert list(me.monc.monmap.mon_info) == ["a"]
            assert await me.monc.wait_auth_rotating(10)
            assert me.monc.auth is not None
            assert me.monc.auth.build_authorizer(OSD).payload

            for what in ("mdsmap", "osdmap", "mgrmap"):
                me.monc.sub_want(what, 0)
            me.monc.renew_subs()
            await me.heard.until(
                lambda: all(me.heard.got(kind) for kind in (MMDSMap, MOSDMap, MMgrMap))
            )
            (mdsmap,) = me.heard.got(MMDSMap)
            assert decode(MDSMap, mdsmap.encoded).epoch == mdsmap.epoch
            assert me.heard.got(MOSDMap)[0].newest_map >= 1

            newest, oldest = await me.monc.get_version("osdmap")
            assert newest >= oldest >= 1
            reply = await me.monc.mon_command({"prefix": "fsid", "format": "json"})
            assert (reply.r, json.loads(reply.outbl)) == (0, {"fsid": cluster.fsid})
            reply = await me.monc.mon_command({"prefix": "no such command"})
            assert reply.r == -errno.EINVAL
            reply = await me.monc.mon_command({"prefix": "osd down", "ids": ["0"]})
            assert (reply.r, reply.outs) == (-errno.EACCES, "access denied")


async def test_an_administrators_commands_and_tells(cluster: RealCluster) -> None:
    async with client(cluster, "client.admin") as me:
        with trio.fail_after(20):
            await me.monc.authenticate()
            reply = await me.monc.mon_command({"prefix": "status", "format": "json"})
            assert json.loads(reply.outbl)["fsid"] == cluster.fsid
            key = {"prefix": "config-key set", "key": "test/input"}
            assert (await me.monc.mon_command(key, b"the value")).r == 0
            reply = await me.monc.mon_command({"prefix": "config-key get", "key": "test/input"})
            assert reply.outbl == b"the value"
            for target in ("a", 0, "0"):
                reply = await me.monc.mon_command({"prefix": "version"}, target=target)
                assert reply.r == 0
                assert b"16.2" in reply.outbl


async def test_configuration_comes_live(cluster: RealCluster) -> None:
    async with client(cluster) as me:
        with trio.fail_after(20):
            await me.monc.authenticate()
            cluster.mon("config set", who="mds.a", name="mds_beacon_grace", value="33")
            await until(lambda: me.config.get_float("mds_beacon_grace") == 33.0)
            cluster.mon("config rm", who="mds.a", name="mds_beacon_grace")
            await until(lambda: me.config.get_float("mds_beacon_grace") == 15.0)


async def test_cluster_log(cluster: RealCluster) -> None:
    line = f"hello from {uuid.uuid4()}"
    async with client(cluster) as me:
        channel = me.clog.create_channel()
        channel.warn(line)
        with trio.fail_after(20):
            await me.monc.authenticate()

        def logged() -> list[dict[str, Any]]:
            lines: list[dict[str, Any]] = cluster.mon("log last", num=50, level="warn")
            return [entry for entry in lines if entry["message"] == line]

        (entry,) = await until(logged)
        assert (entry["name"], entry["priority"]) == ("mds.a", "[WRN]")
        await until(lambda: not me.clog._queue)  # acknowledged, so never sent again


async def test_three_monitors_one_after_the_other_killed(new_cluster: NewCluster) -> None:
    options = {"mon_lease": "2", "mon_election_timeout": "2"}
    cluster = new_cluster(RealCluster(mons=3, options=options))
    async with client(cluster, mon_client_hunt_interval="1") as me:
        with trio.fail_after(60):
            await me.monc.authenticate()
            gid = me.monc.global_id
            for _ in range(2):
                active = me.monc._hunter.active
                assert active is not None
                name = me.monc.monmap.get_name_of(active.con.peer_addrs)
                assert name is not None
                await trio.to_thread.run_sync(cluster.kill_mon, name)
                reply = await me.monc.mon_command({"prefix": "fsid"})
                assert reply.r == 0
                assert name not in me.monc.session_mon.partition(" at ")[0].split(".")
                assert me.monc.global_id == gid
                await trio.to_thread.run_sync(cluster.start_mon, name)
                await trio.to_thread.run_sync(cluster.wait_quorum, 3)


async def test_restart_of_the_only_monitor(new_cluster: NewCluster) -> None:
    cluster = new_cluster(RealCluster())
    async with client(cluster) as me:
        with trio.fail_after(60):
            await me.monc.authenticate()
            gid = me.monc.global_id
            await trio.to_thread.run_sync(cluster.kill_mon, "a")
            await until(lambda: not me.monc.is_connected)
            await trio.to_thread.run_sync(cluster.start_mon, "a")
            assert (await me.monc.mon_command({"prefix": "fsid"})).r == 0
            assert me.monc.global_id == gid


async def test_tickets_of_a_few_seconds(new_cluster: NewCluster) -> None:
    """The monitor's keys live for 3 s; our tickets and secrets never run out."""
    options = {"auth_service_ticket_ttl": "3", "mon_tick_interval": "1"}
    cluster = new_cluster(RealCluster(options=options))
    async with client(cluster, auth_service_ticket_ttl="3") as me:
        with trio.fail_after(60):
            await me.monc.authenticate()
            assert await me.monc.wait_auth_rotating(10)
            ring = me.monc.rotating
            assert ring is not None
            first = max(ring.secrets.secrets)
            while max(ring.secrets.secrets) < first + 2:
                await trio.sleep(0.1)
                assert me.monc.auth is not None
                me.monc.auth.build_authorizer(MDS)


async def refused(cluster: RealCluster, name: str = "mds.a", **changes: str) -> MonClientError:
    async with client(cluster, name, **changes) as me:
        with trio.fail_after(20), pytest.raises(MonClientError) as raised:
            await me.monc.authenticate(3)
    return raised.value


async def test_wrong_key_and_unknown_name(cluster: RealCluster, tmp_path: Path) -> None:
    ring = tmp_path / "keyring"
    write_keyring(ring, ["mds.a"], caps=False)
    error = await refused(cluster, keyring=str(ring))
    assert error.errno == errno.EACCES
    assert "does not accept the key of mds.a" in error.text
    assert error.fatal().status == ExitStatus.NOT_PERMITTED
    ring.write_text(ring.read_text().replace("mds.a", "mds.stranger"))
    error = await refused(cluster, "mds.stranger", keyring=str(ring))
    assert error.errno == errno.EACCES
    assert "mds.stranger" in error.text


async def test_another_clusters_fsid(cluster: RealCluster) -> None:
    other = str(uuid.uuid4())
    error = await refused(cluster, fsid=other)
    assert cluster.fsid in error.text
    assert other in error.text
    assert error.fatal().status == ExitStatus.CONFIG


async def test_nobody_at_that_address(cluster: RealCluster) -> None:
    error = await refused(cluster, mon_host="v2:127.0.0.1:9")
    assert error.errno == errno.ETIMEDOUT
    assert "127.0.0.1:9" in error.text
    assert error.fatal().status == ExitStatus.UNAVAILABLE


async def test_a_mode_that_the_monitors_do_not_allow(new_cluster: NewCluster) -> None:
    cluster = new_cluster(RealCluster(mode="secure"))
    error = await refused(cluster, ms_mon_cluster_mode="crc")
    assert error.errno in (errno.EACCES, errno.EOPNOTSUPP)


async def test_the_manager_knows_the_daemon(new_cluster: NewCluster) -> None:
    cluster = new_cluster(RealCluster(mgr=True))
    async with client(cluster) as me:
        counters = PerfCounters("mds")
        counters.add_u64("inodes", "Inodes", "ino", Prio.CRITICAL).set(42)
        me.perf.add(counters)
        me.messenger.add_dispatcher_head(me.mgrc)
        with trio.fail_after(60):
            await me.monc.authenticate()
            me.monc.sub_want("mdsmap", 0)
            me.monc.sub_want("mgrmap", 0)
            me.monc.renew_subs()
            # the manager asks the monitors who mds.a is: without a beacon there is no answer
            await me.heard.until(lambda: bool(me.heard.got(MMDSMap)))
            me.monc.send_mon_message(beacon(me, 1, -4, me.heard.got(MMDSMap)[-1].epoch))
            await until(lambda: "a" in cluster.names())

            def shown() -> dict[str, str]:
                done = cluster.ceph_result("config", "show", "mds.a", "-f", "json")
                rows = json.loads(done.stdout.strip() or "[]")
                return {row["name"]: row["value"] for row in rows}

            values = await until(shown, 30)
            assert values["mon_host"] == ",".join(cluster.mon_addrs.values())
            me.config.set_val("mds_beacon_grace", "21")
            await until(lambda: shown().get("mds_beacon_grace") == "21.000000", 30)
            assert me.mgrc.is_connected
            await me.mgrc.shutdown()
            await until(lambda: not shown(), 10)
