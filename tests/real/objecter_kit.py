"""An objecter of a real cluster, on a messenger that listens as a daemon's does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio
from attrs import define
from tests.real.cluster import RealCluster
from tests.real.rados_peer import RadosPeer

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.clients.objecter import Objecter
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.config import Config
from mdsdaemon.host import Host
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.perf import PerfRegistry
from mdsdaemon.types.entity import EntityAddr, EntityName, PeerName


@define(eq=False)
class ObjecterClient:
    objecter: Objecter
    monc: MonClient
    messenger: Messenger
    perf: PerfRegistry

    def pool(self, name: str) -> int:
        """The id of a pool; -1: not in the map."""
        return self.objecter.osd_map.lookup_pool(name)

    def count(self, name: str) -> int:
        """A counter of the group `objecter`."""
        return self.perf.group("objecter").get(name)


@asynccontextmanager
async def objecter(
    cluster: RealCluster, name: str = "client.admin", **changes: str
) -> AsyncIterator[ObjecterClient]:
    """An objecter of `cluster` as `name` with its first map; `changes` replace options."""
    settings = {
        "mon_host": ",".join(cluster.mon_addrs.values()),
        "fsid": cluster.fsid,
        "keyring": str(cluster.keyring),
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
    perf = PerfRegistry()
    one = Objecter(config=config, messenger=messenger, monc=monc, host=host, perf=perf)
    async with trio.open_nursery() as nursery:
        await nursery.start(messenger.run, [EntityAddr.parse("v2:127.0.0.1:0")])
        await nursery.start(monc.run)
        with trio.fail_after(20):
            await monc.authenticate()
            messenger.set_myname(PeerName(entity.type, monc.global_id))
            await nursery.start(one.run)
            await one.wait_for_latest_map()
        yield ObjecterClient(one, monc, messenger, perf)
        nursery.cancel_scope.cancel()


def Op() -> ObjectOperation:  # noqa: N802 -- reads better in tables
    return ObjectOperation()


@contextmanager
def a_pool(cluster: RealCluster, name: str, pg_num: int = 8) -> Iterator[RadosPeer]:
    cluster.mon("osd pool create", pool=name, pg_num=pg_num)
    cluster.mon("osd pool application enable", pool=name, app="test")
    with RadosPeer(cluster.conf, name) as peer:
        yield peer
