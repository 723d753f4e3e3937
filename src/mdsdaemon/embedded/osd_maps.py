"""The embedded OSD's OSDMaps: the present one, who serves what, and what older clients are sent.

Behaviour: ceph/ceph, src/osd/OSD.cc (OSDService::build_incremental_map_msg, send_incremental_map),
src/osd/PG.cc (can_discard_op)
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mdsdaemon.maps.osd_map import OSDMap, encode_osd_map
from mdsdaemon.maps.placement import pg_to_up_acting, stable_mod
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.osd import PG

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.limits import Limits

KEPT: Final = 500
"""Incrementals that are kept for clients with older maps (osd_map_cache_size and more)."""


class OSDMaps:
    """See the module.

    The map's owner may change it in place before it calls `advance`: nothing is compared with the
    map before, only with what was noted of it.

    Attributes:
        current, epoch: the present map; epoch 0: there is none yet.
        split: by pool, the epoch in which its placement groups last changed in number.
    """

    def __init__(self, whoami: int, limits: Limits) -> None:
        self.whoami = whoami
        self.limits = limits
        self.current = OSDMap()
        self.epoch = 0
        self.split: dict[int, int] = {}
        self._pg_nums: dict[int, int] = {}
        self._incrementals: OrderedDict[int, bytes] = OrderedDict()
        self._full: tuple[int, bytes] = (0, b"")
        self._primary: dict[tuple[int, int], bool] = {}

    def advance(self, osd_map: OSDMap, incremental: bytes | None) -> None:
        """Take a newer map, and the step to it where it is known."""
        before, self.current, self.epoch = self.epoch, osd_map, osd_map.epoch
        self._primary.clear()
        if incremental is not None and self.epoch == before + 1:
            self._incrementals[osd_map.epoch] = incremental
            if len(self._incrementals) > KEPT:
                self._incrementals.popitem(last=False)
        else:
            self._incrementals.clear()
        pg_nums = {number: pool.pg_num for number, pool in osd_map.pools.items()}
        for number, pg_num in pg_nums.items():
            if self._pg_nums.get(number, pg_num) != pg_num:
                self.split[number] = self.epoch
        self._pg_nums = pg_nums

    def serves(self, pool: int, seed: int) -> bool:
        """Whether we are the primary of a placement group."""
        known = self._primary.get((pool, seed))
        if known is None:
            mapping = pg_to_up_acting(self.current, PG(pool, seed))
            known = mapping is not None and mapping.acting_primary == self.whoami
            self._primary[pool, seed] = known
        return known

    def seed_of(self, pool: int, hash_: int) -> int:
        """The placement group of a hash."""
        pg_num = self.current.pools[pool].pg_num
        return stable_mod(hash_, pg_num, (1 << (pg_num - 1).bit_length()) - 1)

    def is_stale(self, pool: int, epoch: int) -> bool:
        """Whether a request of that epoch is one that its client will send again by itself."""
        info, infos = self.current.pools[pool], self.current.osd.osd_info
        return (
            epoch < info.last_force_op_resend
            or epoch < self.split.get(pool, 0)
            or (self.whoami < len(infos) and epoch < infos[self.whoami].up_from)
        )

    def message(self, since: int) -> MOSDMap:
        """What brings a client from epoch `since` to the present, or closer to it."""
        to = self.epoch
        oldest = next(iter(self._incrementals), to + 1) - 1
        msg = MOSDMap(fsid=self.current.fsid, oldest_map=max(oldest, 1), newest_map=to)
        if since < oldest or not self._incrementals:
            msg.maps[to] = self._full_map()
            return msg
        since = max(since, to - self.limits.osd_map_share_max_epochs)
        last = min(to, since + self.limits.osd_map_message_max)
        for epoch in range(since + 1, last + 1):
            msg.incremental_maps[epoch] = self._incrementals[epoch]
        return msg

    def _full_map(self) -> bytes:
        if self._full[0] != self.epoch:
            self._full = (self.epoch, encode_osd_map(self.current, FEATURES_PACIFIC))
        return self._full[1]
