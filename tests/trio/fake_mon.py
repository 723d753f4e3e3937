"""Monitors for tests: a few hundred lines that behave as ceph-mon does towards a client.

They run on a memory network; a test decides what each of them does wrong. Keys and tickets come
from the key server of the cephx tests.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable

import trio
from attrs import define, field
from tests.unit.cephx_peers import KeyServer, MonServerAuth

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.log_client import LogClient
from mdsdaemon.clients.mgr_client import MgrClient
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import Config
from mdsdaemon.encoding import encode
from mdsdaemon.host import Host
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.messages.auth import MAuth, MAuthReply
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.config import MConfig
from mdsdaemon.messages.log import LogEntry, MLog, MLogAck
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.messages.mon import (
    MMonCommand,
    MMonCommandAck,
    MMonGetMap,
    MMonGetVersion,
    MMonGetVersionReply,
    MMonMap,
    MMonSubscribe,
)
from mdsdaemon.msgr2.auth import AuthDone, AuthMore, AuthVerdict, ClientAuth, ServerAuth
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.perf import PerfRegistry
from mdsdaemon.types.entity import MDS, MON, EntityAddr, EntityAddrVec, EntityName, PeerName

EPOCH = 1_700_000_000.0
FSID = uuid.UUID("6dd2bcd1-4b4a-4a5b-9a3a-2f7d3c7b0c11")
CLIENT_HOST = "10.0.9.1"
MDS_A = EntityName(MDS, "a")
CAPS = {"mon": "allow profile mds", "osd": "allow *", "mds": "allow", "mgr": "allow profile mds"}


async def eventually(condition: Callable[[], bool], limit: float = 10.0) -> None:
    """Wait, on virtual time, until `condition` holds; TooSlowError after `limit` seconds."""
    with trio.fail_after(limit):
        while not condition():  # noqa: ASYNC110 -- of several tasks; virtual time costs nothing
            await trio.sleep(0.01)


def virtual_host(seed: int) -> Host:
    """A host whose wall clock runs with Trio's."""
    rng = random.Random(seed)
    return Host(lambda: EPOCH + trio.current_time(), rng.randbytes, rng)


class _NotedAuth:
    """A MonServerAuth that tells who got in."""

    def __init__(self, mon: FakeMon) -> None:
        self._mon = mon
        self._auth = MonServerAuth(mon.cluster.keys, mon.allow_none)

    def request(self, method: int, modes: list[int], payload: bytes) -> AuthVerdict:
        return self._note(self._auth.request(method, modes, payload))

    def request_more(self, payload: bytes) -> AuthVerdict:
        return self._note(self._auth.request_more(payload))

    def _note(self, verdict: AuthVerdict) -> AuthVerdict:
        self._mon.attempts += not isinstance(verdict, AuthMore)
        if isinstance(verdict, AuthDone):
            self._mon.auths[verdict.global_id] = self._auth
            self._mon.note()
        return verdict


class FakeMon(Dispatcher):
    """One monitor. `answers`: command prefix text → (r, outs, outbl), or None: silence."""

    def __init__(self, cluster: FakeCluster, name: str, host: str) -> None:
        self.cluster = cluster
        self.name = name
        self.host = host
        self.addrs = EntityAddrVec.parse(f"[v2:{host}:3300/0,v1:{host}:6789/0]")
        self.attempts = 0
        self.auths: dict[int, MonServerAuth] = {}
        self.subscribed: list[dict[str, tuple[int, int]]] = []
        self.wanted: dict[Connection, dict[str, int]] = {}
        self.received: list[Message] = []
        self.log_entries: list[LogEntry] = []
        self.answers: dict[str, tuple[int, str, bytes] | None] = {}
        self.answer_auth = True
        self.auth_result = 0
        self.allow_none = False
        self.break_off = False
        self.running = False
        self.scope = trio.CancelScope()
        self._changed = trio.lowlevel.ParkingLot()
        self._messenger: Messenger | None = None

    # -- running ---------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop()`."""
        rank = self.cluster.monmap.get_rank(self.name)
        messenger = self._messenger = Messenger(
            PeerName(MON, rank),
            nonce=0,
            host=self.cluster.host,
            transport=self.cluster.network.transport(self.host),
            log=logging.getLogger(f"test.mon.{self.name}"),
        )
        messenger.set_authenticator(self)
        messenger.add_dispatcher_tail(self)
        messenger.set_default_policy(Policy.stateless_server())
        with trio.CancelScope() as self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(messenger.run, [EntityAddr.parse(f"v2:{self.host}:3300")])
                messenger.endpoint.addrs = self.addrs
                self.running = True
                task_status.started()
                await trio.sleep_forever()

    def stop(self) -> None:
        """As if the process died."""
        self.running = False
        self.scope.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that this monitor noted makes `condition` true."""
        while not condition():
            await self._changed.park()

    def note(self) -> None:
        self._changed.unpark_all()

    @property
    def sessions(self) -> list[Connection]:
        """Connections that have subscribed to something and are still open."""
        return [con for con in self.wanted if con.is_open]

    # -- the Authenticator -----------------------------------------------------------------

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        raise NotImplementedError

    def server_session(self, peer_type: int, now: float) -> ServerAuth:
        return _NotedAuth(self)

    # -- the Dispatcher --------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        self.received.append(msg)
        con: Connection = msg.connection
        if self.break_off:
            con.mark_down()
        match msg:
            case MMonGetMap():
                con.send_message(MMonMap(encode(MonMap, self.cluster.monmap)))
            case MMonSubscribe():
                self._subscribe(con, msg)
            case MAuth() if self.answer_auth:
                result, payload = self.auth_result, b""
                if not result:
                    result, payload = self.auths[con.peer_global_id].mauth(msg.auth_payload)
                con.send_message(MAuthReply(msg.protocol, result, con.peer_global_id, payload))
            case MMonCommand() | MCommand():
                self._command(con, msg)
            case MMonGetVersion():
                newest = len(self.cluster.maps.get(msg.what, []))
                con.send_message(MMonGetVersionReply(msg.handle, newest, 1))
            case MLog():
                self.log_entries += msg.entries
                con.send_message(MLogAck(msg.fsid, msg.entries[-1].seq))
        self.note()
        return True

    def _subscribe(self, con: Connection, msg: MMonSubscribe) -> None:
        self.subscribed.append({w: (i.start, i.flags) for w, i in msg.what.items()})
        wanted = self.wanted.setdefault(con, {})
        for what, item in msg.what.items():
            wanted[what] = item.start
        self.push(con)

    def push(self, con: Connection) -> None:
        """Send what the peer has subscribed to and not got."""
        cluster = self.cluster
        for what, start in self.wanted[con].items():
            if what == "monmap" and cluster.monmap.epoch >= start:
                con.send_message(MMonMap(encode(MonMap, cluster.monmap)))
                self.wanted[con][what] = cluster.monmap.epoch + 1
            elif what == "config" and cluster.config_epoch >= start:
                con.send_message(MConfig(dict(cluster.config)))
                self.wanted[con][what] = cluster.config_epoch + 1
            for epoch, make in enumerate(cluster.maps.get(what, []), 1):
                if epoch >= start:
                    con.send_message(make())
                    self.wanted[con][what] = epoch + 1

    def _command(self, con: Connection, msg: MMonCommand | MCommand) -> None:
        answer = self.answers.get(msg.cmd[0], (0, f"mon.{self.name}", msg.data))
        if answer is None:
            return
        r, outs, outbl = answer
        reply: Message = MCommandReply(r, outs)
        if isinstance(msg, MMonCommand):
            reply = MMonCommandAck(r=r, rs=outs, cmd=msg.cmd)
        reply.tid = msg.tid
        reply.data = outbl
        con.send_message(reply)


@define(eq=False)
class FakeCluster:
    """The monitors, what they all know, and the network."""

    network: MemoryNetwork
    host: Host
    keys: KeyServer
    monmap: MonMap
    mons: dict[str, FakeMon] = field(factory=dict)
    maps: dict[str, list[Callable[[], Message]]] = field(factory=dict)
    """Map name → what makes the message of each epoch, from 1 on."""
    config: dict[str, str] = field(factory=dict)
    config_epoch: int = 1

    @classmethod
    def make(
        cls,
        names: str = "abc",
        *,
        seed: int = 1,
        service_ttl: float = 3600.0,
        mon_ttl: float = 259200.0,
    ) -> FakeCluster:
        """Monitors of these names at 10.0.0.1, 10.0.0.2, …; mds.a has a key."""
        host = virtual_host(seed)
        monmap = MonMap(fsid=FSID, epoch=1)
        cluster = cls(MemoryNetwork(seed), host, KeyServer(host, service_ttl, mon_ttl), monmap)
        for n, name in enumerate(names, 1):
            mon = cluster.mons[name] = FakeMon(cluster, name, f"10.0.0.{n}")
            monmap.add(name, mon.addrs)
        cluster.keys.add(MDS_A, **CAPS)
        return cluster

    @property
    def mon_host(self) -> str:
        return ",".join(str(mon.addrs) for mon in self.mons.values())

    def publish(self) -> None:
        """Send what is new to every session."""
        for mon in self.mons.values():
            for con in mon.sessions:
                mon.push(con)

    def attempts(self) -> dict[str, int]:
        return {name: mon.attempts for name, mon in self.mons.items()}

    def session_of(self) -> FakeMon:
        """The one monitor that has a session."""
        (mon,) = [m for m in self.mons.values() if m.sessions]
        return mon


class Heard(Dispatcher):
    """Messages that nobody before took, and resets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.resets = 0
        self._changed = trio.lowlevel.ParkingLot()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.park()

    def ms_dispatch(self, msg: Message) -> bool:
        self.messages.append(msg)
        self._changed.unpark_all()
        return True

    def ms_handle_reset(self, con: Connection) -> bool:
        self.resets += 1
        self._changed.unpark_all()
        return False


@define(eq=False)
class Client:
    """A daemon's messenger with a monitor client, and a manager client if asked for."""

    monc: MonClient
    messenger: Messenger
    config: Config
    heard: Heard
    clog: LogClient
    mgrc: MgrClient | None = None


async def start_client(
    nursery: trio.Nursery,
    cluster: FakeCluster,
    *,
    name: EntityName = MDS_A,
    keyring: str = "",
    perf: PerfRegistry | None = None,
    seed: int = 9,
    **options: str,
) -> Client:
    """The client runs in `nursery`; it has not authenticated yet."""
    auth = cluster.keys.entities.get(name)
    settings = {"mon_host": cluster.mon_host, "fsid": str(FSID)}
    if keyring:
        settings["keyring"] = keyring
    elif auth is not None:
        settings["key"] = auth.key.to_base64()
    config = Config(str(name), settings | options)
    host = virtual_host(seed)
    messenger = Messenger(
        PeerName(name.type, -1),
        nonce=host.random_u32(),
        host=host,
        transport=cluster.network.transport(CLIENT_HOST),
        log=logging.getLogger("test.ms"),
    )
    messenger.set_default_policy(Policy.lossy_client())
    monc = MonClient(
        name=name,
        config=config,
        messenger=messenger,
        host=host,
        monmap=await build_initial_monmap(config),
        log=logging.getLogger("test.monc"),
        hostname="testhost",
    )
    monc.init()
    clog = LogClient(name, config, host.wall, messenger)
    monc.set_log_client(clog)
    client = Client(monc, messenger, config, Heard(), clog)
    if perf is not None:
        client.mgrc = MgrClient(
            name.id,
            config=config,
            messenger=messenger,
            counters=perf.entries,
            on_map=lambda epoch: monc.sub_got("mgrmap", epoch),
        )
        messenger.add_dispatcher_tail(client.mgrc)
    messenger.add_dispatcher_tail(client.heard)
    await nursery.start(messenger.run, [EntityAddr.parse(f"v2:{CLIENT_HOST}:6800")])
    await nursery.start(monc.run)
    if client.mgrc is not None:
        await nursery.start(client.mgrc.run)
    return client


async def start_mons(nursery: trio.Nursery, cluster: FakeCluster, names: str = "") -> None:
    """Run these monitors (all)."""
    for name in names or cluster.mons:
        await nursery.start(cluster.mons[name].run)


async def join(client: Client, limit: float = 5.0) -> None:
    """Authenticate within `limit` seconds."""
    with trio.fail_after(limit):
        await client.monc.authenticate()
