"""The embedded OSD as osd.0 of a real monitor's cluster, as the program of a test.

    python osd_host.py CONF OSD_UUID [STORE]

The monitor believes in an OSD that booted: clients, stock ones among them, are sent here. With
STORE the objects lie in that SQLite file. It prints its addresses and serves until SIGTERM.
"""

import logging
import signal
import sys
import uuid
from pathlib import Path

import trio

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import load_config
from mdsdaemon.embedded.osd import EmbeddedOSD
from mdsdaemon.embedded.storage import Committer, MemoryStorage, SqliteStorage, Storage
from mdsdaemon.embedded.store.engine import ObjectEngine
from mdsdaemon.encoding import F64, S16, S32, U32, U64, Map, Str, Time, Uuid, field, wire
from mdsdaemon.host import Host
from mdsdaemon.maps.compat_set import CompatSet
from mdsdaemon.maps.osd_map import OSDMap, decode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import decode_incremental
from mdsdaemon.messages.base import Message, message
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.entity import MON, EntityAddr, EntityAddrVec, EntityName
from mdsdaemon.types.features import FEATURES_PACIFIC

NO_UUID = uuid.UUID(int=0)


@wire(v=9, compat=5)
class OSDSuperblock:
    cluster_fsid: uuid.UUID = field(Uuid, default=NO_UUID)
    whoami: int = field(S32, default=0)
    current_epoch: int = field(U32, default=0)
    oldest_map: int = field(U32, default=0)
    newest_map: int = field(U32, default=0)
    weight: float = field(F64, default=0.0)
    compat_features: CompatSet = field(CompatSet, factory=CompatSet)
    clean_thru: int = field(U32, default=0)
    mounted: int = field(U32, default=0)
    osd_fsid: uuid.UUID = field(Uuid, default=NO_UUID)
    last_epoch_marked_full: int = field(U32, default=0)
    pool_last_epoch_marked_full: int = field(U32, default=0)
    purged_snaps_last: int = field(U32, default=0)
    last_purged_snaps_scrub: int = field(Time, default=0)


@message(71, v=7, compat=7)
class MOSDBoot(Message):
    version: int = field(U64, default=0)
    deprecated_session_mon: int = field(S16, default=-1)
    deprecated_session_mon_tid: int = field(U64, default=0)
    sb: OSDSuperblock = field(OSDSuperblock, factory=OSDSuperblock)
    hb_back_addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    cluster_addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    boot_epoch: int = field(U32, default=0)
    hb_front_addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    metadata: dict[str, str] = field(Map(Str, Str), factory=dict)
    osd_features: int = field(U64, default=FEATURES_PACIFIC)


class MapFollower(Dispatcher):
    """Hands the monitor's OSDMaps on."""

    def __init__(self, osd: EmbeddedOSD, monc: MonClient) -> None:
        self.osd = osd
        self.monc = monc
        self.current = OSDMap()
        self.changed = trio.Event()

    def ms_dispatch(self, msg: Message) -> bool:
        if not isinstance(msg, MOSDMap):
            return False
        for epoch in sorted(msg.maps.keys() | msg.incremental_maps.keys()):
            if epoch == self.current.epoch + 1 and epoch in msg.incremental_maps:
                raw = msg.incremental_maps[epoch]
                self.current = apply_incremental(self.current, decode_incremental(raw))
                self.osd.handle_osd_map(self.current, raw)
            elif epoch > self.current.epoch and epoch in msg.maps:
                self.current = decode_osd_map(msg.maps[epoch])
                self.osd.handle_osd_map(self.current)
        self.monc.sub_got("osdmap", self.current.epoch)
        self.changed.set()
        self.changed = trio.Event()
        return True


async def main(conf: str, osd_uuid: str, store: str) -> None:
    logging.basicConfig(level=logging.INFO)
    config = load_config(["-n", "osd.0", "-c", conf], {})
    host = Host.system()
    storage: Storage = SqliteStorage(Path(store)) if store else MemoryStorage()
    committer = Committer(storage)
    engine = ObjectEngine(host=host, storage=storage)
    monmap = await build_initial_monmap(config)
    osd = EmbeddedOSD(
        config=config,
        host=host,
        transport=SocketTransport(),
        engine=engine,
        committer=committer,
        authenticator=None,  # type: ignore[arg-type]  # the monitor client comes in its place
    )
    osd.messenger.set_policy(MON, Policy.lossy_client())
    monc = MonClient(
        name=EntityName.parse("osd.0"),
        config=config,
        messenger=osd.messenger,
        host=host,
        monmap=monmap,
    )
    monc.init()
    follower = MapFollower(osd, monc)
    osd.messenger.add_dispatcher_head(follower)
    async with trio.open_nursery() as nursery:
        await nursery.start(committer.run)
        addrs = await nursery.start(osd.run, [EntityAddr.parse("v2:127.0.0.1:0")])
        await nursery.start(monc.run)
        await monc.authenticate(10)
        await monc.wait_auth_rotating(10)
        monc.sub_want("osdmap", 0)
        monc.renew_subs()
        while not follower.current.epoch:
            await follower.changed.wait()
        block = OSDSuperblock(
            cluster_fsid=follower.current.fsid,
            current_epoch=follower.current.epoch,
            newest_map=follower.current.epoch,
            osd_fsid=uuid.UUID(osd_uuid),
        )
        block.compat_features.incompat.insert(1, "initial feature set(~v.18)")
        boot = MOSDBoot(
            version=follower.current.epoch,
            sb=block,
            hb_back_addrs=addrs,
            cluster_addrs=addrs,
            hb_front_addrs=addrs,
            metadata={"hostname": "here", "ceph_version_short": "16.2.15"},
        )
        monc.send_mon_message(boot)
        print(addrs, flush=True)  # noqa: T201
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break
    storage.close()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
