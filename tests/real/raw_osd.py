"""A client that sends OSDs whatever requests a test wants, one at a time, and shows the answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import trio

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import load_config
from mdsdaemon.host import Host
from mdsdaemon.maps.osd_map import OSDMap, decode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import decode_incremental
from mdsdaemon.maps.placement import hash_key, raw_pg_to_pg
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.osd import MOSDMap, MOSDOp, MOSDOpReply, MWatchNotify
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.entity import CLIENT, MON, OSD, EntityName, PeerName
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.osd import NOSNAP, PG, ObjectLocator, ShardedPG
from mdsdaemon.types.osd_op import Flag, OSDOp, join_indata

DEFAULT_FLAGS = int(Flag.ONDISK | Flag.READ | Flag.WRITE)


class RawOSDClient(Dispatcher):
    """See the module. `osd_map` is the newest map, `notifies` what watches were told."""

    def __init__(self, messenger: Messenger, monc: MonClient) -> None:
        self.messenger = messenger
        self.monc = monc
        self.osd_map = OSDMap()
        self.notifies: list[MWatchNotify] = []
        self._replies: dict[int, MOSDOpReply] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._tid = 0

    @classmethod
    @asynccontextmanager
    async def connect(cls, conf: Path, name: str = "client.admin") -> AsyncIterator[Self]:
        """A client of the cluster that `conf` is of, with its OSDMap."""
        config = load_config(["-n", name, "-c", str(conf)], {})
        host = Host.system()
        messenger = Messenger(
            PeerName(CLIENT, -1),
            nonce=host.random_u32(),
            host=host,
            transport=SocketTransport(),
            options=MessengerOptions.from_config(config),
        )
        messenger.set_default_policy(Policy.lossy_client())
        monc = MonClient(
            name=EntityName.parse(name),
            config=config,
            messenger=messenger,
            host=host,
            monmap=await build_initial_monmap(config),
            want_keys=MON | OSD,
        )
        monc.init()
        made = cls(messenger, monc)
        messenger.add_dispatcher_head(made)
        async with trio.open_nursery() as nursery:
            await nursery.start(messenger.run)
            await nursery.start(monc.run)
            await monc.authenticate(10)
            messenger.set_myname(PeerName(CLIENT, monc.global_id))
            monc.sub_want("osdmap", 0)
            monc.renew_subs()
            await made.wait(lambda: made.osd_map.epoch)
            yield made
            nursery.cancel_scope.cancel()

    def ms_dispatch(self, msg: Message) -> bool:
        if isinstance(msg, MOSDMap):
            for epoch in sorted(msg.maps.keys() | msg.incremental_maps.keys()):
                if epoch == self.osd_map.epoch + 1 and epoch in msg.incremental_maps:
                    inc = decode_incremental(msg.incremental_maps[epoch])
                    self.osd_map = apply_incremental(self.osd_map, inc)
                elif epoch > self.osd_map.epoch and epoch in msg.maps:
                    self.osd_map = decode_osd_map(msg.maps[epoch])
            self.monc.sub_got("osdmap", self.osd_map.epoch)
        elif isinstance(msg, MOSDOpReply):
            self._replies[msg.tid] = msg
        elif isinstance(msg, MWatchNotify):
            self.notifies.append(msg)
        else:
            return False
        self._changed.unpark_all()
        return True

    async def wait(self, condition: Any) -> None:
        """Until `condition()` is true."""
        while not condition():
            await self._changed.park()

    async def pool(self, name: str) -> int:
        """The id of a pool, once it is in the map and an OSD serves."""
        await self.wait(lambda: self.osd_map.lookup_pool(name) >= 0 and self.osd_map.is_up(0))
        return self.osd_map.lookup_pool(name)

    def con(self) -> Connection:
        """The connection to osd.0."""
        return self.messenger.connect_to(OSD, self.osd_map.get_addrs(0))

    def request(
        self,
        pool: int,
        name: str,
        ops: list[OSDOp],
        *,
        nspace: str = "",
        key: str = "",
        tid: int = 0,
        flags: int = DEFAULT_FLAGS,
        pg: int | None = None,
        **fields: Any,
    ) -> MOSDOp:
        """A request for osd.0; `fields` are those of MOSDOp."""
        if not tid:
            self._tid += 1
            tid = self._tid
        info = self.osd_map.pools[pool]
        hash_ = hash_key(info, (key or name).encode(), nspace.encode()) if pg is None else pg
        seed = raw_pg_to_pg(info, PG(pool, hash_))
        values: dict[str, Any] = {
            "pgid": ShardedPG(seed),
            "hash": hash_,
            "osdmap_epoch": self.osd_map.epoch,
            "flags": flags,
            "mtime": 1_600_000_000_000_000_000 + tid,
            "oloc": ObjectLocator(pool, key=key, nspace=nspace),
            "oid": name,
            "ops": ops,
            "snapid": NOSNAP,
            "retry_attempt": 0,
            "features": FEATURES_PACIFIC,
        }
        msg = MOSDOp(**{**values, **fields})
        msg.tid = tid
        msg.data = join_indata(ops)
        return msg

    async def send(self, msg: MOSDOp, patience: float = 5.0) -> MOSDOpReply:
        """The answer to a request."""
        self._replies.pop(msg.tid, None)
        self.con().send_message(msg)
        with trio.fail_after(patience):
            await self.wait(lambda: msg.tid in self._replies)
        reply = self._replies.pop(msg.tid)
        reply.split_ops()
        return reply

    async def do(self, pool: int, name: str, *ops: OSDOp, **fields: Any) -> MOSDOpReply:
        """Do operations on an object."""
        return await self.send(self.request(pool, name, list(ops), **fields))


def seen(reply: MOSDOpReply) -> tuple[Any, ...]:
    """What of an answer has to be the same from every OSD."""
    ops = [(op.op, op.rval, op.args.hex(), op.outdata) for op in reply.results.ops]
    return (
        reply.result,
        ops,
        reply.flags,
        reply.user_version,
        reply.replay_version.version,
        reply.bad_replay_version.version,
        reply.results.retry_attempt,
        reply.oid,
    )
