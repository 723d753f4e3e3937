"""The embedded monitor on a memory network, with our own monitor client on the other side."""

from __future__ import annotations

import errno
import json
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define
from tests.trio.fake_mon import CLIENT_HOST, EPOCH, Heard, eventually
from trio.testing import MockClock

from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.log_client import LogClient
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import Config
from mdsdaemon.embedded.key_server_auth import GlobalId
from mdsdaemon.embedded.monitor.core import Monitor
from mdsdaemon.embedded.storage import Committer, MemoryStorage, SqliteStorage, Storage
from mdsdaemon.encoding import Str, decode
from mdsdaemon.errors import FatalError
from mdsdaemon.host import Host
from mdsdaemon.messages.fs_map import MFSMap
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.messages.mgr import MMgrMap
from mdsdaemon.messages.mon import MMonGetVersion
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.messages.ping import MPing
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import EntityAddr, EntityName, PeerName

FSID = uuid.UUID("6dd2bcd1-4b4a-4a5b-9a3a-2f7d3c7b0c11")
PORT = 3300


@define(eq=False)
class World:
    """A network, its clock, and where the monitor keeps its records."""

    network: MemoryNetwork
    host: Host
    storage: Storage

    @classmethod
    def make(cls, storage: Storage | None = None) -> World:
        host = Host.seeded(5, lambda: EPOCH + trio.current_time())
        return cls(MemoryNetwork(5), host, storage or MemoryStorage())

    @asynccontextmanager
    async def monitor(self, **options: str) -> AsyncIterator[Monitor]:
        """The monitor, serving within the block."""
        committer = Committer(self.storage)
        monitor = Monitor(
            config=Config("mon.a", {"mon_warn_on_too_few_osds": "false"} | options),
            host=self.host,
            transport=self.network.transport("10.0.0.1"),
            committer=committer,
            fsid=FSID,
            keyring=KeyRing(),
            bind=EntityAddr.parse(f"v2:10.0.0.1:{PORT}"),
            log=logging.getLogger("test.mon"),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(committer.run)
            await nursery.start(monitor.run)
            yield monitor
            nursery.cancel_scope.cancel()

    async def client(
        self,
        nursery: trio.Nursery,
        monitor: Monitor,
        name: str = "client.x",
        caps: str = "allow *",
        **options: str,
    ) -> Client:
        """An authenticated client."""
        client = await self.stranger(nursery, monitor, name, caps, **options)
        with trio.fail_after(5):
            await client.monc.authenticate()
        return client

    async def stranger(
        self,
        nursery: trio.Nursery,
        monitor: Monitor,
        name: str = "client.x",
        caps: str = "allow *",
        **options: str,
    ) -> Client:
        """A client that has not yet asked to be let in."""
        entity = EntityName.parse(name)
        with monitor.transactions.transaction():
            key = monitor.auth.get_or_create(entity, {"mon": caps}).key.to_base64()
        settings = {"mon_host": str(monitor.addrs), "fsid": str(FSID), "key": key} | options
        config = Config(name, settings)
        messenger = Messenger(
            PeerName(entity.type, -1),
            nonce=self.host.random_u32(),
            host=self.host,
            transport=self.network.transport(CLIENT_HOST),
            log=logging.getLogger("test.ms"),
        )
        messenger.set_default_policy(Policy.lossy_client())
        monc = MonClient(
            name=entity,
            config=config,
            messenger=messenger,
            host=self.host,
            monmap=await build_initial_monmap(config),
            log=logging.getLogger("test.monc"),
            hostname="testhost",
        )
        monc.init()
        clog = LogClient(entity, config, self.host.wall, messenger)
        monc.set_log_client(clog)
        heard = Heard()
        messenger.add_dispatcher_tail(heard)
        await nursery.start(messenger.run, [])
        await nursery.start(monc.run)
        return Client(monc, messenger, config, heard, clog)


@define(eq=False)
class Client:
    """A monitor client and what else it heard."""

    monc: MonClient
    messenger: Messenger
    config: Config
    heard: Heard
    clog: LogClient


@pytest.fixture
def world() -> World:
    return World.make()


async def test_in_and_out(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        assert client.monc.monmap.fsid == FSID
        assert client.monc.monmap.get_addrs("a") == monitor.addrs
        (session,) = monitor.sessions
        assert str(session.entity_name) == "client.x"
        assert session.global_id == client.monc.global_id
        assert session.hostname == "testhost"
        nursery.cancel_scope.cancel()
    assert not monitor.sessions or trio.current_time() < 60


async def test_who_has_no_key_is_told(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        wrong = monitor.auth.keys.create_key().to_base64()
        client = await world.stranger(nursery, monitor, key=wrong)
        with trio.fail_after(30), pytest.raises(MonClientError) as error:
            await client.monc.authenticate()
        assert error.value.errno == errno.EACCES
        assert not monitor.sessions
        nursery.cancel_scope.cancel()


async def test_commands(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        reply = await client.monc.mon_command({"prefix": "fsid"}, timeout=5)
        assert (reply.r, reply.outbl) == (0, f"{FSID}\n".encode())
        reply = await client.monc.mon_command({"prefix": "nonsense"}, timeout=5)
        assert (reply.r, reply.outs) == (-errno.EINVAL, "command not known")
        weak = await world.client(nursery, monitor, "client.weak", "allow r")
        reply = await weak.monc.mon_command({"prefix": "auth ls"}, timeout=5)
        assert (reply.r, reply.outs) == (-errno.EACCES, "access denied")
        nursery.cancel_scope.cancel()


async def test_tell_takes_all_rights(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        for name, caps, r in (("client.x", "allow *", 0), ("client.w", "allow rw", -errno.EACCES)):
            client = await world.client(nursery, monitor, name, caps)
            (con,) = client.messenger.connections
            con.send_message(MCommand(FSID, ['{"prefix": "version"}'], tid=5))
            with trio.fail_after(5):
                await client.heard.until(lambda c=client: c.heard.messages)  # type: ignore[misc]
            (reply,) = client.heard.messages
            assert isinstance(reply, MCommandReply)
            assert (reply.r, reply.tid) == (r, 5)
            assert (b"16.2.15" in reply.data) == (r == 0)
        nursery.cancel_scope.cancel()


async def test_maps_and_versions(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        for what in ("osdmap", "fsmap", "mgrmap"):
            client.monc.sub_want(what, 0)
        client.monc.renew_subs()
        kinds = (MOSDMap, MFSMap, MMgrMap)
        await eventually(
            lambda: all(any(isinstance(m, k) for m in client.heard.messages) for k in kinds)
        )
        assert await client.monc.get_version("osdmap") == (
            monitor.osd.map.epoch,
            monitor.osd.get_version("osdmap")[1],  # type: ignore[index]
        )
        assert await client.monc.get_version("monmap") == (1, 1)
        (con,) = client.messenger.connections
        con.send_message(MMonGetVersion(1, "nonsense"))
        assert (await client.monc.mon_command({"prefix": "health"}, timeout=5)).r == 0
        nursery.cancel_scope.cancel()


async def test_ping(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        first = Heard()
        client.messenger.add_dispatcher_head(first)
        (con,) = client.messenger.connections
        con.send_message(MPing())
        await eventually(lambda: any(isinstance(m, MPing) for m in first.messages))
        (pong,) = [m for m in first.messages if isinstance(m, MPing)]
        told = json.loads(decode(Str, pong.payload))
        assert told["health"]["status"] == "HEALTH_OK"
        assert told["mon_status"]["quorum"] == [0]
        nursery.cancel_scope.cancel()


async def test_who_may_not_read_gets_no_maps(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor, caps="allow command fsid")
        client.monc.sub_want("osdmap", 0)
        client.monc.renew_subs()
        assert (await client.monc.mon_command({"prefix": "fsid"}, timeout=5)).r == 0
        assert client.heard.messages == []
        (session,) = monitor.sessions
        assert set(session.subs) <= {"monmap", "config"}
        nursery.cancel_scope.cancel()


async def test_configuration_reaches_who_it_is_for(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        other = await world.client(nursery, monitor, "client.y")
        cmd = {"prefix": "config set", "who": "client.x", "name": "debug_client", "value": "7"}
        assert (await other.monc.mon_command(cmd, timeout=5)).r == 0
        await eventually(lambda: client.config.get_str("debug_client") == "7/7")
        assert other.config.get_str("debug_client") != "7/7"
        nursery.cancel_scope.cancel()


async def test_a_new_monmap_reaches_everybody(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        cmd = {"prefix": "mon set-weight", "name": "a", "weight": 3}
        await client.monc.mon_command(cmd, timeout=5)
        await eventually(lambda: client.monc.monmap.epoch == 2)
        assert client.monc.monmap.mon_info["a"].weight == 3
        nursery.cancel_scope.cancel()


async def test_the_cluster_log(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor, "mds.a", "allow profile mds")
        client.clog.create_channel().warn("look here")
        await eventually(lambda: any("look here" in line for line in cluster_log(monitor)))
        nursery.cancel_scope.cancel()


def cluster_log(monitor: Monitor) -> list[str]:
    result = monitor.command_handler.run(
        monitor.internal_session(), ['{"prefix": "log last", "num": 100}']
    )
    return result.outb.decode().splitlines()


async def test_days_of_a_session(world: World, autojump_clock: MockClock) -> None:
    """Tickets and rotating secrets are renewed on one connection."""
    ttl = {"auth_service_ticket_ttl": "60", "auth_mon_ticket_ttl": "600"}
    async with world.monitor(**ttl) as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor, "mds.a", "allow profile mds")
        global_id = client.monc.global_id
        with trio.fail_after(10):
            assert await client.monc.wait_auth_rotating(5)
        ((session,), opened) = monitor.sessions, trio.current_time()
        await trio.sleep(1200)
        assert monitor.sessions == {session}
        assert client.monc.global_id == global_id
        with trio.fail_after(10):
            assert await client.monc.wait_auth_rotating(5)
        assert monitor.auth.keys.rotating[2].max_ver > 15
        assert trio.current_time() > opened
        nursery.cancel_scope.cancel()


async def test_a_session_is_taken_up_after_a_restart(
    world: World, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        async with world.monitor() as monitor:
            client = await world.client(nursery, monitor)
            cmd = {"prefix": "config-key set", "key": "k", "val": "v"}
            assert (await client.monc.mon_command(cmd, timeout=5)).r == 0
            global_id = client.monc.global_id
        async with world.monitor() as monitor:
            reply = await client.monc.mon_command({"prefix": "config-key get", "key": "k"})
            assert (reply.r, reply.outbl) == (0, b"v")
            assert client.monc.global_id == global_id
            (session,) = monitor.sessions
            assert session.auth is not None
            assert session.auth.status == GlobalId.RECLAIM_OK
            assert monitor.mon_map.map.epoch == 1
        nursery.cancel_scope.cancel()


async def test_snapshots_with_open_sessions(world: World, autojump_clock: MockClock) -> None:
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        set_it = {"prefix": "config set", "who": "client", "name": "debug_client"}
        await client.monc.mon_command({**set_it, "value": "7"}, timeout=5)
        await eventually(lambda: client.config.get_str("debug_client") == "7/7")
        state = monitor.snapshot()
        await client.monc.mon_command({**set_it, "value": "9"}, timeout=5)
        await eventually(lambda: client.config.get_str("debug_client") == "9/9")
        for _ in range(3):
            monitor.restore(state)
        await eventually(lambda: client.config.get_str("debug_client") == "7/7")
        assert len(monitor.sessions) == 1
        assert (await client.monc.mon_command({"prefix": "health"}, timeout=5)).r == 0
        nursery.cancel_scope.cancel()


async def test_state_on_disk(tmp_path: Path) -> None:
    """On SQLite, with real threads and so on the real clock."""
    path = tmp_path / "cluster.sqlite"
    wanted = {f"k{n:02}": b"%d" % n for n in range(20)}
    world = World.make(SqliteStorage(path))
    async with world.monitor() as monitor, trio.open_nursery() as nursery:
        client = await world.client(nursery, monitor)
        for key, value in wanted.items():
            cmd = {"prefix": "config-key set", "key": key, "val": value.decode()}
            assert (await client.monc.mon_command(cmd, timeout=5)).r == 0
        nursery.cancel_scope.cancel()
    world.storage.close()
    storage = SqliteStorage(path)
    async with World.make(storage).monitor() as monitor:
        assert monitor.kv.with_prefix("k") == wanted
        assert monitor.fsid == FSID
    storage.commit([("mon_core", b"format", b"77")])
    monitor = Monitor(
        config=Config("mon.a"),
        host=world.host,
        transport=world.network.transport("10.0.0.1"),
        committer=Committer(storage),
        fsid=FSID,
        keyring=KeyRing(),
    )
    with pytest.raises(FatalError, match="format"):
        monitor.load()
    storage.close()
