"""What the daemon's tests share: a monitor of a few lines, and daemons on a memory network.

The monitor believes everybody (method none), keeps one map of daemons, and does only what a test
or a beacon tells it to.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field

from mdsdaemon.config import Config
from mdsdaemon.daemon.embed import MDS, open_mds
from mdsdaemon.encoding import encode
from mdsdaemon.host import Host
from mdsdaemon.maps.mds_info import MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.config import MConfig
from mdsdaemon.messages.log import MLog, MLogAck
from mdsdaemon.messages.mds import MCommand, MCommandReply, MMDSBeacon, MMDSMap
from mdsdaemon.messages.mgr import MMgrMap
from mdsdaemon.messages.mon import MMonMap, MMonSubscribe
from mdsdaemon.msgr2.auth import (
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_CRC,
    AuthBadMethod,
    AuthCapsInfo,
    AuthDone,
    AuthKeys,
    AuthRequest,
    PeerIdentity,
)
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import (
    CLIENT,
    MON,
    EntityAddr,
    EntityAddrVec,
    EntityName,
    PeerName,
)
from mdsdaemon.types.entity import MDS as MDS_TYPE

FSID = uuid.UUID("17843ff7-cab6-4512-8f9f-ba0ccc564ce6")
MON_ADDR = EntityAddr(EntityAddr.TYPE_MSGR2, 0, "10.0.0.1", 3300)


class Believer:
    """The monitor's end of an authentication: anybody may come, everybody gets a gid."""

    def __init__(self, mon: FakeMon, peer_type: int) -> None:
        self.mon = mon
        self.peer_type = peer_type

    def request(self, method: int, modes: list[int], payload: bytes) -> AuthDone | AuthBadMethod:
        if self.mon.refuses:
            return AuthBadMethod(-13, [CEPH_AUTH_NONE], modes)
        # u8 mode, EntityName, u64 global_id: who had a session before keeps its gid
        gid = int.from_bytes(payload[-8:], "little")
        if not gid or not self.mon.gives_gids_back:
            self.mon.last_gid += 1
            gid = self.mon.last_gid
        identity = PeerIdentity(
            EntityName(self.peer_type, "x"), gid, AuthCapsInfo(True), CEPH_AUTH_NONE
        )
        return AuthDone(gid, CEPH_CON_MODE_CRC, b"", AuthKeys(), identity)

    def request_more(self, payload: bytes) -> AuthDone:
        raise AssertionError


@define(eq=False)
class FakeMon(Dispatcher):
    """The monitor: `beacons` and `log` are what it heard."""

    messenger: Messenger
    mdsmap: MDSMap = field(factory=lambda: MDSMap(epoch=1))
    last_gid: int = 4100
    beacons: list[MMDSBeacon] = field(factory=list)
    cluster_log: list[str] = field(factory=list)
    subscribers: list[Connection] = field(factory=list)
    cons: dict[int, Connection] = field(factory=dict)
    answering: bool = True
    takes_standbys: bool = True
    gives_gids_back: bool = True
    refuses: bool = False
    heard: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> Any:
        raise AssertionError("the monitor connects to nobody")

    def server_session(self, peer_type: int, now: float) -> Believer:
        return Believer(self, peer_type)

    # -- what tests do ----------------------------------------------------------------------

    def publish(self) -> None:
        """Send the map as a new epoch to all subscribers."""
        self.mdsmap.epoch += 1
        for con in self.subscribers:
            self.send_map(con, self.mdsmap)

    def send_map(self, con: Connection, mdsmap: MDSMap, epoch: int | None = None) -> None:
        if epoch is not None:
            mdsmap.epoch = epoch
        con.send_message(MMDSMap(fsid=FSID, epoch=mdsmap.epoch, encoded=encode(MDSMap, mdsmap)))

    def assign(self, gid: int, state: int, rank: int = -1) -> None:
        """Put a daemon into a state, and publish."""
        info = self.mdsmap.mds_info[gid]
        if rank >= 0:
            info.rank, info.inc = rank, self.mdsmap.epoch + 1
            if state != State.STANDBY_REPLAY:
                self.mdsmap.up[rank] = gid
                self.mdsmap.in_.add(rank)
        info.state = state
        self.publish()

    def fail(self, gid: int) -> None:
        """`ceph mds fail`: the daemon is gone from the map."""
        del self.mdsmap.mds_info[gid]
        self.mdsmap.up = {r: g for r, g in self.mdsmap.up.items() if g != gid}
        self.publish()

    async def hear(self, wanted: Callable[[MMDSBeacon], bool]) -> MMDSBeacon:
        """The newest beacon that is as wanted."""
        while True:
            for beacon in reversed(self.beacons):
                if wanted(beacon):
                    return beacon
            await self.heard.park()

    async def hear_state(self, state: int, gid: int | None = None) -> MMDSBeacon:
        return await self.hear(lambda b: b.state == state and gid in (None, b.global_id))

    # -- the Dispatcher ---------------------------------------------------------------------

    def ms_handle_accept(self, con: Connection) -> None:
        monmap = MonMap(epoch=1, fsid=FSID)
        monmap.add("a", EntityAddrVec((MON_ADDR,)))
        con.send_message(MMonMap(monmapbl=encode(MonMap, monmap)))

    def ms_handle_reset(self, con: Connection) -> bool:
        if con in self.subscribers:
            self.subscribers.remove(con)
        return False

    def ms_dispatch(self, msg: Message) -> bool:
        con = msg.connection
        match msg:
            case MMonSubscribe():
                if "config" in msg.what:
                    con.send_message(MConfig(config={}))
                if "mdsmap" in msg.what and con not in self.subscribers:
                    self.subscribers.append(con)
                    self.send_map(con, self.mdsmap)
                if "mgrmap" in msg.what:
                    con.send_message(MMgrMap(map=MgrMap(epoch=1)))
            case MMDSBeacon():
                self._beacon(msg)
            case MLog():
                self.cluster_log += [entry.msg for entry in msg.entries]
                last = max(entry.seq for entry in msg.entries)
                con.send_message(MLogAck(fsid=FSID, last=last))
        self.heard.unpark_all()
        return True

    def _beacon(self, msg: MMDSBeacon) -> None:
        self.beacons.append(msg)
        self.cons[msg.global_id] = msg.connection
        if not self.answering:
            return
        known = msg.global_id in self.mdsmap.mds_info
        if msg.state == State.BOOT and not known and self.takes_standbys:
            self.mdsmap.mds_info[msg.global_id] = MDSInfo(
                global_id=msg.global_id,
                name=msg.name,
                state=State.STANDBY,
                state_seq=msg.seq,
                addrs=msg.connection.peer_addrs,
                compat=msg.compat,
            )
            self.publish()
        elif msg.state == State.DNE and known:
            self.fail(msg.global_id)
        msg.connection.send_message(
            MMDSBeacon(
                version=self.mdsmap.epoch,
                fsid=FSID,
                global_id=msg.global_id,
                state=msg.state,
                seq=msg.seq,
                name=msg.name,
            )
        )


@define(eq=False)
class Admin(Dispatcher):
    """A client that sends commands."""

    messenger: Messenger
    replies: dict[int, MCommandReply] = field(factory=dict)
    changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)
    gid: int = 9000
    on_message: Callable[[Message], None] | None = None

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> Any:
        return _NoneAuth(self.gid)

    def server_session(self, peer_type: int, now: float) -> Any:
        raise AssertionError

    def ms_dispatch(self, msg: Message) -> bool:
        if isinstance(msg, MCommandReply):
            self.replies[msg.tid] = msg
            self.changed.unpark_all()
        elif self.on_message is not None:
            self.on_message(msg)
        return True

    async def tell(self, addrs: EntityAddrVec, *cmd: str) -> MCommandReply:
        """Send one command and await its answer."""
        con = self.messenger.connect_to(MDS_TYPE, addrs)
        msg = MCommand(fsid=FSID, cmd=list(cmd))
        msg.tid = len(self.replies) + 1
        con.send_message(msg)
        while msg.tid not in self.replies:
            await self.changed.park()
        con.mark_down()
        return self.replies[msg.tid]


class _NoneAuth:
    """The client's end of method none towards a service."""

    def __init__(self, gid: int) -> None:
        self.gid = gid

    def request(self) -> AuthRequest:
        name = encode(EntityName, EntityName(CLIENT, "admin"))
        payload = b"\x01" + name + self.gid.to_bytes(8, "little")
        return AuthRequest(CEPH_AUTH_NONE, [CEPH_CON_MODE_CRC], payload)

    def bad_method(self, *args: Any) -> Any:
        raise AssertionError(args)

    def reply_more(self, payload: bytes) -> bytes:
        raise AssertionError

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        return AuthKeys()


@define(eq=False)
class Cluster:
    """One monitor, and daemons that a test adds."""

    network: MemoryNetwork
    nursery: trio.Nursery
    mon: FakeMon
    daemons: int = 0
    settings: dict[str, Any] = field(factory=dict)

    def config(self, name: str, **settings: Any) -> Config:
        return Config(
            f"mds.{name}",
            {
                "mon_host": f"v2:{MON_ADDR.host}:{MON_ADDR.port}",
                "auth_cluster_required": "none",
                "auth_service_required": "none",
                "auth_client_required": "none",
                **self.settings,
                **settings,
            },
        )

    @asynccontextmanager
    async def daemon(self, name: str = "a", **options: Any) -> AsyncIterator[MDS]:
        """A daemon, not yet running; options with an underscore in front go to open_mds."""
        self.daemons += 1
        ip = f"10.0.1.{self.daemons}"
        given = {k[1:]: v for k, v in options.items() if k.startswith("_")}
        settings = {k: v for k, v in options.items() if not k.startswith("_")}
        async with open_mds(
            self.config(name, public_addr=ip, **settings),
            host=Host.seeded(self.daemons),
            log=logging.getLogger(f"test.{name}"),
            **{"transport": self.network.transport(ip), **given},
        ) as mds:
            yield mds

    @asynccontextmanager
    async def standby(self, name: str = "a", **options: Any) -> AsyncIterator[MDS]:
        """A daemon that is up:standby."""
        async with self.daemon(name, **options) as mds:
            await self.nursery.start(mds.run)
            await mds.wait_for_state("up:standby")
            yield mds

    async def admin(self) -> Admin:
        ip = "10.0.2.1"
        messenger = Messenger(
            PeerName(CLIENT, 9000),
            nonce=77,
            host=Host.seeded(77),
            transport=self.network.transport(ip),
        )
        messenger.set_default_policy(Policy.lossy_client())
        admin = Admin(messenger)
        messenger.set_authenticator(admin)
        messenger.add_dispatcher_tail(admin)
        await self.nursery.start(messenger.run, [])
        return admin


@asynccontextmanager
async def a_cluster(seed: int = 1, **settings: Any) -> AsyncIterator[Cluster]:
    """A monitor at MON_ADDR; every test in it has 10000 s of virtual time."""
    with trio.fail_after(10000):
        network = MemoryNetwork(seed)
        messenger = Messenger(
            PeerName(MON, 0),
            nonce=0,
            host=Host.seeded(seed + 1000),
            transport=network.transport(MON_ADDR.host),
        )
        messenger.set_default_policy(Policy.stateless_server())
        mon = FakeMon(messenger)
        messenger.set_authenticator(mon)
        messenger.add_dispatcher_tail(mon)
        async with trio.open_nursery() as nursery:
            await nursery.start(messenger.run, [MON_ADDR])
            yield Cluster(network, nursery, mon, settings=settings)
            nursery.cancel_scope.cancel()
