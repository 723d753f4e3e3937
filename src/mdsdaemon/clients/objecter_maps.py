"""The objecter's OSDMap: how it moves on, what it forbids, and where objects are in it.

Behaviour: ceph/ceph, src/osdc/Objecter.cc (handle_osd_map, target_should_be_paused) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

import attrs

from mdsdaemon.maps.osd_map import FLAG_FULL, FLAG_PAUSERD, FLAG_PAUSEWR, OSDMap, decode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import decode_incremental
from mdsdaemon.maps.placement import Mapping, object_to_raw_pg, pg_to_up_acting, raw_pg_to_pg
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.types.osd import NO_SHARD, PG, ShardedPG
from mdsdaemon.types.pool import FLAG_FULL as POOL_FULL
from mdsdaemon.types.pool import PGPool, PoolType

_MAX_KNOWN = 4096
"""Names whose placement hash is kept."""


def _text(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class Step(Enum):
    """What a message did to the map."""

    FULL = auto()
    INCREMENTAL = auto()
    SKIPPED = auto()
    """A whole map, and epochs before it were not to be had: anything may have happened."""


@attrs.define
class ObjecterMaps:
    """The newest map.

    Attributes:
        osd_map: epoch 0 before the first.
        honor_pool_full: writes wait while the cluster or their pool is full; otherwise they are
            sent with FULL_FORCE, as ceph-mds does.
        epoch_barrier: nothing is sent before this epoch is known.
        spoilt: the map is of no use, because an incremental did not fit: a whole one is needed.
        missing: epochs before those received are wanted.
    """

    osd_map: OSDMap = attrs.Factory(OSDMap)
    honor_pool_full: bool = True
    epoch_barrier: int = 0
    spoilt: bool = False
    missing: bool = False
    _placed: dict[PG, tuple[ShardedPG, Mapping]] = attrs.field(factory=dict, repr=False)
    _raw: dict[tuple[int, str, str, str], PG] = attrs.field(factory=dict, repr=False)
    _no_flags: bool = attrs.field(default=False, repr=False)

    @property
    def epoch(self) -> int:
        """Of the map; 0: there is none."""
        return self.osd_map.epoch

    def advance(self, msg: MOSDMap) -> Iterator[Step]:
        """Go through the epochs of a message; at every yield the map is one of them.

        Raises DecodeError: a map is malformed. Maps up to there are applied; `spoilt` says
        whether the one held is still good.
        """
        self.missing = False
        if not self.epoch or self.spoilt:
            whole = msg.maps.get(msg.last)
            if whole is None or msg.last < self.epoch:
                self.missing = True
                return
            step = Step.SKIPPED if self.spoilt else Step.FULL
            self._take(decode_osd_map(whole))
            yield step
            return
        epoch, skipped = self.epoch + 1, False
        while epoch <= msg.last:
            if epoch in msg.incremental_maps and self.epoch == epoch - 1:
                self._apply(msg.incremental_maps[epoch])
                step = Step.INCREMENTAL
            elif epoch in msg.maps:
                self._take(decode_osd_map(msg.maps[epoch]))
                step = Step.FULL
            elif epoch >= msg.oldest_map:
                self.missing = True
                return
            else:
                epoch, skipped = msg.oldest_map, True
                continue
            yield Step.SKIPPED if skipped else step
            epoch += 1

    def _apply(self, raw: bytes) -> None:
        inc = decode_incremental(raw)
        self.spoilt = True  # unless it turns out well: a map half changed is no map
        self._take(apply_incremental(self.osd_map, inc))

    def _take(self, osd_map: OSDMap) -> None:
        self.osd_map = osd_map
        self.spoilt = False
        self._placed.clear()
        self._raw.clear()
        self._no_flags = not (
            osd_map.test_flag(FLAG_PAUSERD)
            or osd_map.test_flag(FLAG_PAUSEWR)
            or osd_map.test_flag(FLAG_FULL)
            or any(pool.flags & POOL_FULL for pool in osd_map.pools.values())
        )

    # -- where objects are -------------------------------------------------------------------

    def raw_pg(self, pool: int, name: str, key: str, namespace: str) -> PG:
        """The raw placement group (its seed is the whole hash) of an object of a pool there is."""
        known = self._raw.get((pool, name, key, namespace))
        if known is None:
            known = object_to_raw_pg(self.osd_map, pool, _text(name), _text(key), _text(namespace))
            assert known is not None
            if len(self._raw) >= _MAX_KNOWN:
                self._raw.clear()
            self._raw[pool, name, key, namespace] = known
        return known

    def place(self, pool: PGPool, raw: PG) -> tuple[ShardedPG, Mapping]:
        """The group in which a raw one is, with its primary's shard, and its OSDs."""
        placed = self._placed.get(raw)
        if placed is None:
            actual = raw_pg_to_pg(pool, raw)
            mapping = pg_to_up_acting(self.osd_map, actual)
            assert mapping is not None
            shard, acting = NO_SHARD, mapping.acting
            if pool.type == PoolType.ERASURE and mapping.acting_primary in acting:
                shard = acting.index(mapping.acting_primary)
            if len(self._placed) >= _MAX_KNOWN:
                self._placed.clear()
            placed = self._placed[raw] = ShardedPG(actual, shard), mapping
        return placed

    # -- what it forbids ---------------------------------------------------------------------

    def full_flag(self) -> bool:
        """The cluster is full, and we care."""
        return self.honor_pool_full and self.osd_map.test_flag(FLAG_FULL)

    def pool_full(self, pool_id: int) -> bool:
        """The pool is full (or above its quota), and we care."""
        pool = self.osd_map.pools.get(pool_id)
        return self.honor_pool_full and pool is not None and bool(pool.flags & POOL_FULL)

    def full_pools(self) -> set[int]:
        """The pools that are full."""
        return {number for number in self.osd_map.pools if self.pool_full(number)}

    @property
    def unrestricted(self) -> bool:
        """Nothing has to wait for another map."""
        return self._no_flags and self.osd_map.epoch >= self.epoch_barrier

    def any_pause(self) -> bool:
        """Some requests have to wait for a map that allows them."""
        return (
            self.pauses_continuously() or bool(self.full_pools()) or self.epoch < self.epoch_barrier
        )

    def pauses_continuously(self) -> bool:
        """A flag of the whole cluster holds requests back: every next map is of interest."""
        paused = self.osd_map.test_flag(FLAG_PAUSERD) or self.osd_map.test_flag(FLAG_PAUSEWR)
        return paused or self.full_flag()

    def paused(self, pool_id: int, *, read: bool, write: bool, respects_full: bool) -> bool:
        """A request to this pool has to wait."""
        if self.epoch < self.epoch_barrier:
            return True
        if read and self.osd_map.test_flag(FLAG_PAUSERD):
            return True
        if not write:
            return False
        if self.osd_map.test_flag(FLAG_PAUSEWR):
            return True
        return respects_full and (self.full_flag() or self.pool_full(pool_id))
