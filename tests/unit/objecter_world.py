"""OSD maps for the objecter's tests, where every placement group's OSDs are named in pg_temp."""

from __future__ import annotations

import struct
import uuid
from typing import Any

from attrs import define, field

from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.osd_map import OSD_EXISTS, OSD_UP, OSDMap, checked_crc, encode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import Incremental, IncrementalClientData, IncrementalOSDData
from mdsdaemon.maps.placement import object_to_raw_pg, raw_pg_to_pg
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.osd import PG
from mdsdaemon.types.pool import PGPool

FSID = uuid.UUID("6dd2bcd1-4b4a-4a5b-9a3a-2f7d3c7b0c11")
POOL = 1


def osd_addrs(osd: int, life: int = 1) -> EntityAddrVec:
    """Where an OSD listens in its n-th life."""
    return EntityAddrVec((EntityAddr.parse(f"v2:10.0.1.{osd + 1}:{6800 + life}/{life}"),))


@define
class Maps:
    """A cluster's maps, epoch by epoch; one pool, and all its groups on osd.0 at first."""

    osds: int = 3
    pg_num: int = 4
    history: dict[int, bytes] = field(factory=dict)
    current: OSDMap = field(factory=OSDMap)

    def __attrs_post_init__(self) -> None:
        client = self.current.client
        client.fsid, client.epoch = FSID, 1
        self.current.set_max_osd(self.osds)
        for osd in range(self.osds):
            client.osd_state[osd] = OSD_EXISTS | OSD_UP
            client.client_addrs[osd] = osd_addrs(osd)
        client.pools[POOL] = self.pool(self.pg_num)
        client.pool_name[POOL] = "data"
        for seed in range(self.pg_num):
            client.pg_temp[PG(POOL, seed)] = [0]

    @property
    def epoch(self) -> int:
        return self.current.epoch

    @staticmethod
    def pool(pg_num: int, flags: int = 0) -> PGPool:
        """A pool that no CRUSH rule places: only pg_temp does."""
        return PGPool(
            size=1,
            min_size=1,
            crush_rule=9,
            object_hash=2,
            pg_num=pg_num,
            pgp_num=pg_num,
            flags=flags | 1,
        )

    def whole(self) -> MOSDMap:
        """The newest map, whole."""
        raw = encode_osd_map(self.current, FEATURES_PACIFIC)
        return self._message(maps={self.epoch: raw})

    def _message(self, **maps: Any) -> MOSDMap:
        return MOSDMap(fsid=FSID, oldest_map=1, newest_map=self.epoch, **maps)

    def change(self, *, osd: dict[str, Any] | None = None, **client: Any) -> MOSDMap:
        """The next epoch, as an incremental; kept for `since`."""
        inc = Incremental(
            IncrementalClientData(fsid=FSID, epoch=self.epoch + 1, **client),
            IncrementalOSDData(**(osd or {})),
        )
        raw = bytearray(encode(Incremental, inc, FEATURES_PACIFIC))
        crc, at = checked_crc(bytes(raw))
        raw[at : at + 4] = struct.pack("<I", crc)
        self.current = apply_incremental(self.current, decode(Incremental, bytes(raw)))
        self.history[self.epoch] = bytes(raw)
        return self.since(self.epoch)

    def since(self, start: int) -> MOSDMap:
        """What a monitor sends to who wants all from `start` on."""
        if start == 0 or start not in self.history:
            return self.whole()
        return self._message(
            incremental_maps={e: raw for e, raw in self.history.items() if e >= start}
        )

    # -- changes -----------------------------------------------------------------------------

    def move(self, osds: list[int], *seeds: int) -> MOSDMap:
        """These groups (all) are served by these OSDs from now on; none: by nobody."""
        pg_num = self.current.pools[POOL].pg_num
        temp = {PG(POOL, seed): osds for seed in seeds or range(pg_num)}
        return self.change(new_pg_temp=temp)

    def down(self, osd: int) -> MOSDMap:
        return self.change(new_state={osd: OSD_UP})

    def up(self, osd: int, life: int = 2) -> MOSDMap:
        return self.change(new_up_client={osd: osd_addrs(osd, life)})

    def flags(self, flags: int) -> MOSDMap:
        return self.change(new_flags=flags)

    def set_pool(self, pg_num: int = 0, flags: int = 0, number: int = POOL) -> MOSDMap:
        old = self.current.pools.get(number)
        pool = self.pool(pg_num or (old.pg_num if old else 4), flags)
        temp = {PG(number, seed): [0] for seed in range(pool.pg_num)}
        keep = self.current.client.pg_temp
        return self.change(
            new_pools={number: pool},
            new_pg_temp={pg: osds for pg, osds in temp.items() if pg not in keep},
        )

    def delete_pool(self, number: int = POOL) -> MOSDMap:
        return self.change(old_pools={number})

    def blocklist(self, addr: EntityAddr) -> MOSDMap:
        return self.change(osd={"new_blocklist": {addr: 2**31 * 10**9}})

    def seed_of(self, oid: str) -> int:
        """The group of an object."""
        raw = object_to_raw_pg(self.current, POOL, oid.encode())
        assert raw is not None
        return raw_pg_to_pg(self.current.pools[POOL], raw).seed
