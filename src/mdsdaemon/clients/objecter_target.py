"""Where a request goes: object → placement group → OSD, and what a new map changes in that.

Behaviour: ceph/ceph, src/osdc/Objecter.cc (_calc_target), src/osd/osd_types.cc (pg_t::is_split,
is_merge_source), src/common/hobject.cc (cmp) (Pacific)
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache

import attrs

from mdsdaemon.clients.objecter_maps import ObjecterMaps
from mdsdaemon.maps.placement import stable_mod
from mdsdaemon.types.osd import (
    NO_HASH,
    NOSNAP,
    PG,
    HObject,
    ObjectLocator,
    ShardedPG,
)
from mdsdaemon.types.osd_op import Flag

_READ, _WRITE = int(Flag.READ), int(Flag.WRITE)
_WRITES = int(Flag.WRITE | Flag.RWORDERED)
_TAKES_FULL = int(Flag.FULL_TRY | Flag.FULL_FORCE)
_IGNORE_OVERLAY = int(Flag.IGNORE_OVERLAY)
_NO_LOCATOR = ObjectLocator()
_NO_GROUP = ShardedPG()


class Recalc(Enum):
    """What a target's calculation says of its request."""

    NO_ACTION = auto()
    NEED_RESEND = auto()
    POOL_DNE = auto()


HObjectKey = tuple[bool, int, int, bytes, bytes, bytes, int]


def _text(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def hobject_key(obj: HObject) -> HObjectKey:
    """What hobject_t is ordered by: the hash from its lowest bit on."""
    key, oid = _text(obj.key), _text(obj.oid)
    bits = int(f"{obj.hash:032b}"[::-1], 2)
    return (obj.max, obj.pool, bits, _text(obj.nspace), key or oid, oid, obj.snap)


@attrs.define(eq=False)
class Target:
    """op_target_t.

    Attributes:
        oid, oloc: what was asked for; `target_oloc` may name a cache tier of the pool instead.
        flags: `Flag` bits of the request.
        pgid: the raw group: its seed is the object's whole hash; `precalc_pgid`: given by the
            caller, for an operation on a group.
        actual_pgid: the group in which it lies, with the primary's shard.
        osd: -1: nobody serves it.
        paused: it has to wait for another map.
        epoch: of the map this was calculated from.
    """

    oid: str
    oloc: ObjectLocator
    flags: int
    pgid: PG | None = None
    precalc_pgid: bool = False
    target_oloc: ObjectLocator = _NO_LOCATOR
    actual_pgid: ShardedPG = _NO_GROUP
    osd: int = -1
    acting: tuple[int, ...] = ()
    acting_primary: int = -1
    pg_num: int = 0
    paused: bool = False
    pool_ever_existed: bool = False
    last_force_resend: int = 0
    epoch: int = 0
    _hash: int = -1
    _hobject: HObject | None = None

    @property
    def is_read(self) -> bool:
        return bool(self.flags & _READ)

    @property
    def is_write(self) -> bool:
        return bool(self.flags & _WRITE)

    @property
    def respects_full(self) -> bool:
        """It waits while its pool is full."""
        return bool(self.flags & _WRITES) and not self.flags & _TAKES_FULL

    @property
    def hash(self) -> int:
        """The object's whole placement hash."""
        loc = self.target_oloc
        if loc.hash >= 0:
            return loc.hash
        return 0 if self.pgid is None else self.pgid.seed

    def hobject(self) -> HObject:
        """The object (its head) with its hash."""
        if self._hobject is None:
            loc = self.target_oloc
            self._hobject = HObject(
                loc.key, self.oid, NOSNAP, self.hash, nspace=loc.nspace, pool=loc.pool
            )
        return self._hobject

    def message_oloc(self) -> ObjectLocator:
        """The locator for the message; an operation on a group has its hash in it."""
        if self.oid:
            return self.target_oloc
        assert self.pgid is not None
        loc = self.target_oloc
        return ObjectLocator(loc.pool, loc.preferred, loc.key, loc.nspace, self.pgid.seed)

    def contained_by(self, begin: HObjectKey, end: HObjectKey) -> bool:
        """Whether the object lies in the range of a backoff."""
        own = hobject_key(self.hobject())
        return own == begin or begin < own < end

    def calc(self, maps: ObjecterMaps) -> Recalc:
        """Find the OSD in the newest map."""
        self.epoch = maps.epoch
        pools = maps.osd_map.pools
        pool = pools.get(self.oloc.pool)
        if pool is None:
            self.osd = -1
            return Recalc.POOL_DNE
        force = self._forced(maps.epoch, pool.last_force_op_resend)
        number = self.oloc.pool
        if not self.flags & _IGNORE_OVERLAY:
            if self.is_read and pool.read_tier >= 0:
                number = pool.read_tier
            if self.is_write and pool.write_tier >= 0:
                number = pool.write_tier
        same = number == self.oloc.pool
        loc = self.oloc
        if not same:
            loc = ObjectLocator(number, loc.preferred, loc.key, loc.nspace, loc.hash)
        self.target_oloc = loc
        pool = pools.get(number)
        if pool is None:
            self.osd = -1
            return Recalc.POOL_DNE
        pgid = self._raw_pg(maps, number)
        self.pool_ever_existed = True
        actual, mapping = maps.place(pool, pgid)
        unpaused = self._pause(maps)
        changed = self.pgid != pgid or _primary_changed(
            self.acting_primary, self.acting, mapping.acting_primary, mapping.acting
        )
        resized = bool(self.pg_num) and splits_or_merges(pgid, self.pg_num, pool.pg_num)
        if changed or resized or force:
            self.pgid, self._hobject = pgid, None
            self.acting, self.acting_primary = mapping.acting, mapping.acting_primary
            self.pg_num = pool.pg_num
            self.actual_pgid = actual
            self.osd = self.acting_primary
        if changed or resized or force or unpaused:
            return Recalc.NEED_RESEND
        return Recalc.NO_ACTION

    def forget(self) -> None:
        """Calculate everything anew the next time."""
        self.pgid = self.pgid if self.precalc_pgid else None
        self.acting, self.acting_primary, self.osd, self.pg_num = (), -1, -1, 0

    def _forced(self, epoch: int, last_force_op_resend: int) -> bool:
        if epoch != last_force_op_resend:
            return False
        newer = self.last_force_resend < last_force_op_resend
        self.last_force_resend = max(self.last_force_resend, last_force_op_resend)
        return newer

    def _raw_pg(self, maps: ObjecterMaps, pool: int) -> PG:
        if self.precalc_pgid:
            assert self.pgid is not None
            return self.pgid
        if self.pgid is not None and self.pgid.pool == pool:
            return self.pgid  # the hash of a name does not change
        loc = self.oloc
        if loc.hash != NO_HASH:
            return PG(pool, loc.hash)
        return maps.raw_pg(pool, self.oid, loc.key, loc.nspace)

    def _pause(self, maps: ObjecterMaps) -> bool:
        """Find out whether it has to wait; True: no more."""
        before = self.paused
        if not before and maps.unrestricted:
            return False
        self.paused = maps.paused(
            self.oloc.pool,
            read=self.is_read,
            write=self.is_write,
            respects_full=self.respects_full,
        )
        return before and not self.paused


def _primary_changed(
    old_primary: int, old: tuple[int, ...], new_primary: int, new: tuple[int, ...]
) -> bool:
    if not old and not new:
        return False
    if not old or not new or old_primary != new_primary:
        return True
    # its place among the others is part of what it is (https://tracker.ceph.com/issues/43213)
    return _role(old_primary, old) != _role(new_primary, new)


def _role(osd: int, acting: tuple[int, ...]) -> int:
    return acting.index(osd) if osd in acting else -1


@lru_cache(maxsize=4096)
def splits_or_merges(raw: PG, old_pg_num: int, pg_num: int) -> bool:
    """Whether the group of a raw one takes part in a change of the pool's pg_num."""
    if old_pg_num == pg_num:
        return False
    seed = stable_mod(raw.seed, old_pg_num, (1 << (old_pg_num - 1).bit_length()) - 1)
    few, many = sorted((old_pg_num, pg_num))
    mask = (1 << (few - 1).bit_length()) - 1
    return seed >= pg_num or any(stable_mod(n, few, mask) == seed for n in range(few, many))
