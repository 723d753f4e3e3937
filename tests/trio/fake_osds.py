"""OSDs of the objecter's tests, on a memory network: they append, and do what a script says.

All OSDs share the objects and the log of requests, as the members of a placement group do. An OSD
executes a request only while the cluster's map says that it serves the object; a request whose id
it knows is answered without being executed again.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define, field
from tests.trio.netkit import StubAuthenticator
from tests.unit.objecter_world import FSID, POOL, Maps

from mdsdaemon.clients.objecter import Objecter
from mdsdaemon.config import Config
from mdsdaemon.host import Host
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.osd import MOSDBackoff, MOSDMap, MOSDOp, MOSDOpReply, OpResults
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.memory_network import LinkSettings, MemoryNetwork
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.perf import PerfRegistry
from mdsdaemon.types.entity import MDS, MON, OSD, EntityAddr, EntityName, PeerName
from mdsdaemon.types.osd import PG, HObject, ShardedPG
from mdsdaemon.types.osd_op import OSDOp

CLIENT = "10.0.2.1"


class FakeOSD(Dispatcher):
    """One of them."""

    def __init__(self, cluster: Cluster, osd: int) -> None:
        self.cluster = cluster
        self.osd = osd
        self.silent = False
        self.backoffs: dict[int, tuple[Connection, MOSDBackoff]] = {}
        self.seen: list[MOSDOp] = []
        self.messenger = Messenger(
            PeerName(OSD, osd),
            nonce=1,
            host=Host.seeded(osd),
            transport=cluster.network.transport(f"10.0.1.{osd + 1}"),
            log=logging.getLogger(f"test.osd.{osd}"),
        )
        self.messenger.set_authenticator(StubAuthenticator(EntityName(OSD, str(osd))))
        self.messenger.set_default_policy(Policy.stateless_registered_server())
        self.messenger.add_dispatcher_tail(self)

    def ms_dispatch(self, msg: Message) -> bool:
        if isinstance(msg, MOSDOp):
            self.seen.append(msg)
            self._request(msg)
        return True

    def _request(self, msg: MOSDOp) -> None:
        cluster, pgid, con = self.cluster, msg.pgid, msg.connection
        serving = cluster.maps.current.client.pg_temp.get(pgid.pgid, [])
        if serving[:1] != [self.osd] or not con.is_open:
            return  # the client will hear of the new map, and send again
        if any(b.pgid == pgid for _, b in self.backoffs.values()):
            return
        key = (str(msg.source), msg.client_inc, msg.tid)
        if key not in cluster.log:
            cluster.log[key] = len(cluster.log) + 1
            cluster.objects.setdefault(msg.oid, []).extend(op.indata for op in msg.split_ops())
        if self.silent or cluster.reply_is_lost():
            return
        ops = [OSDOp(op.op) for op in msg.ops]
        reply = MOSDOpReply(
            oid=msg.oid,
            pgid=pgid.pgid,
            results=OpResults(ops, msg.retry_attempt),
            user_version=cluster.log[key],
            osdmap_epoch=cluster.maps.epoch,
        )
        reply.tid = msg.tid
        con.send_message(reply)

    def back_off(self, seed: int) -> None:
        """Tell every client to hold back requests to a group."""
        pgid = ShardedPG(PG(POOL, seed))
        for con in self.messenger.connections:
            self.cluster.last_backoff += 1
            msg = MOSDBackoff(
                pgid=pgid,
                op=1,
                id=self.cluster.last_backoff,
                begin=HObject(pool=POOL),
                end=HObject(max=True),
            )
            self.backoffs[msg.id] = (con, msg)
            con.send_message(msg)

    def go_on(self) -> None:
        """End all backoffs."""
        backoffs, self.backoffs = self.backoffs, {}
        for con, msg in backoffs.values():
            con.send_message(
                MOSDBackoff(pgid=msg.pgid, op=3, id=msg.id, begin=msg.begin, end=msg.end)
            )


class _MonCon:
    """What a map's connection has to look like."""

    peer_type = MON
    session = None


class FakeMonClient:
    """Gives the cluster's maps to an objecter, some time after it asked."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.fsid: uuid.UUID = FSID
        self.deliver: Callable[[Message], object] = lambda _: None
        self.start: int | None = None
        self.onetime = False

    def sub_want(self, what: str, start: int, flags: int = 0) -> bool:
        if (self.start, self.onetime) == (start, bool(flags)):
            return False
        self.start, self.onetime = start, bool(flags)
        return True

    def renew_subs(self) -> None:
        self.cluster.nursery.start_soon(self._answer)

    def sub_got(self, what: str, epoch: int) -> None:
        if self.start is not None and self.start <= epoch:
            self.start = None if self.onetime else epoch + 1

    async def get_version(self, what: str) -> tuple[int, int]:
        await trio.sleep(self.cluster.rng.uniform(0, 0.05))
        return self.cluster.maps.epoch, 1

    async def _answer(self) -> None:
        await trio.sleep(self.cluster.rng.uniform(0, 0.05))
        if self.start is not None and self.cluster.maps.epoch >= self.start:
            self.give(self.cluster.maps.since(self.start))

    def give(self, msg: MOSDMap) -> None:
        """Deliver a map."""
        msg.connection = _MonCon()
        self.deliver(msg)


@define(eq=False)
class Cluster:
    """All of it."""

    network: MemoryNetwork
    rng: random.Random
    nursery: trio.Nursery
    maps: Maps = field(factory=Maps)
    log: dict[tuple[str, int, int], int] = field(factory=dict)
    objects: dict[str, list[bytes]] = field(factory=dict)
    osds: list[FakeOSD] = field(factory=list)
    perf: PerfRegistry = field(factory=PerfRegistry)
    last_backoff: int = 0
    loss: float = 0.0
    monc: FakeMonClient = field(init=False)
    messenger: Messenger = field(init=False)
    objecter: Objecter = field(init=False)

    def reply_is_lost(self) -> bool:
        return self.rng.random() < self.loss

    def publish(self) -> None:
        """Tell the objecter of new maps if it waits for them."""
        self.monc.renew_subs()

    def count(self, name: str) -> int:
        return self.perf.group("objecter").get(name)

    def attempts(self, osd: int) -> list[tuple[int, int]]:
        """(tid, attempt) of what an OSD received."""
        return [(m.tid, m.retry_attempt) for m in self.osds[osd].seen]


@asynccontextmanager
async def a_cluster(
    seed: int = 1, settings: LinkSettings | None = None, **options: str
) -> AsyncIterator[Cluster]:
    """Three OSDs and an objecter with its first map."""
    network = MemoryNetwork(seed, settings)
    async with trio.open_nursery() as nursery:
        cluster = Cluster(network, random.Random(seed), nursery)
        for osd in range(cluster.maps.osds):
            one = FakeOSD(cluster, osd)
            cluster.osds.append(one)
            bind = EntityAddr.parse(f"v2:10.0.1.{osd + 1}:6801")
            await nursery.start(one.messenger.run, [bind])
        messenger = cluster.messenger = Messenger(
            PeerName(MDS, 0),
            nonce=77,
            host=Host.seeded(seed),
            transport=network.transport(CLIENT),
            log=logging.getLogger("test.client"),
        )
        messenger.set_authenticator(StubAuthenticator(EntityName(MDS, "0")))
        messenger.set_default_policy(Policy.lossy_client())
        await nursery.start(messenger.run, [EntityAddr.parse(f"v2:{CLIENT}:6800")])
        cluster.monc = FakeMonClient(cluster)
        cluster.objecter = Objecter(
            config=Config("mds.a", options),
            messenger=messenger,
            monc=cluster.monc,
            host=Host.seeded(seed),
            perf=cluster.perf,
        )
        cluster.monc.deliver = cluster.objecter.ms_dispatch
        await nursery.start(cluster.objecter.run)
        await cluster.objecter.wait_for_map(1)
        yield cluster
        nursery.cancel_scope.cancel()
    assert not cluster.objecter.state.active
    assert cluster.objecter.op_throttle_ops.current == 0
    assert cluster.objecter.op_throttle_bytes.current == 0
