"""What the engine does by itself: new maps, snapshots to trim, watches and notifications to end.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (SnapTrimmer, trim_object, handle_watch_timeout,
check_blocklisted_watchers), src/osd/PeeringState.cc (last_epoch_marked_full)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from mdsdaemon.embedded.store.snaps import without_snaps
from mdsdaemon.embedded.store.state import space
from mdsdaemon.maps.osd_map import FLAG_FULL as MAP_FULL
from mdsdaemon.maps.placement import stable_mod
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.interval_set import Intervals, contains
from mdsdaemon.types.pool import FLAG_FULL

if TYPE_CHECKING:
    from mdsdaemon.embedded.storage import Change
    from mdsdaemon.embedded.store.engine import ObjectEngine
    from mdsdaemon.embedded.store.state import ObjectState, PoolStore
    from mdsdaemon.embedded.store.store import StoreSnapshot
    from mdsdaemon.embedded.store.watch import Sending, Watch
    from mdsdaemon.maps.osd_map import OSDMap

TRIM_AT_ONCE: Final = 64


@attrs.define
class Upkeep:
    """What to commit, and what to send once it is committed.

    Attributes:
        changes: None: there is nothing to commit.
        purged: snapshots, by pool, of which nothing is left.
        more: there is more to trim.
    """

    changes: list[Change] | None = None
    sequence: int = 0
    sendings: list[Sending] = attrs.Factory(list)
    purged: dict[int, Intervals] = attrs.Factory(dict)
    more: bool = False


def _finish(engine: ObjectEngine, upkeep: Upkeep) -> Upkeep:
    upkeep.changes = engine.store.take_changes()
    upkeep.sequence = engine.store.sequence
    return upkeep


# -- maps --------------------------------------------------------------------------------


def set_map(engine: ObjectEngine, osd_map: OSDMap, now: float) -> Upkeep:
    """A new OSDMap: pools come and go, their placement groups split, clients are fenced.

    The map may be the one before, changed in place.
    """
    upkeep, first = Upkeep(), not engine.osd_map_epoch
    engine.osd_map, engine.osd_map_epoch = osd_map, osd_map.epoch
    for number in [number for number in engine.pools if number not in osd_map.pools]:
        _delete_pool(engine, number, upkeep)
    all_full = osd_map.test_flag(MAP_FULL)
    for number, info in osd_map.pools.items():
        pool = engine.store.pool(number)
        if first:
            _take_up(engine, pool, info.pg_num, now)
        elif pool.pg_num not in (0, info.pg_num):
            pool.split(pool.pg_num, info.pg_num)
        pool.pg_num = info.pg_num
        full = all_full or bool(info.flags & FLAG_FULL)
        if full and not pool.full:
            engine.marked_full[number] = osd_map.epoch
        pool.full = full
    if osd_map.osd.blocklist or osd_map.osd.range_blocklist:
        for watch in engine.watches.all():
            if osd_map.is_blocklisted(EntityAddrVec((watch.addr,))):
                _end_watch(engine, watch, upkeep)
    return _finish(engine, upkeep)


def _delete_pool(engine: ObjectEngine, number: int, upkeep: Upkeep) -> None:
    pool = engine.pools[number]
    for state in list(pool.objects.values()):
        upkeep.sendings += engine.watches.forget(number, state.key, told=False)
        if engine.store.backing is not None:
            engine.store.delete(pool, state)
    del engine.pools[number]
    engine.marked_full.pop(number, None)


def _take_up(engine: ObjectEngine, pool: PoolStore, pg_num: int, now: float) -> None:
    """After a start: versions and watches of what was loaded."""
    mask = (1 << (pg_num - 1).bit_length()) - 1
    for state in pool.objects.values():
        for info in (state.info, *(clone.info for clone in state.clones.values())):
            seed = stable_mod(state.hash, pg_num, mask)
            pool.saw(seed, info.version, info.user_version)
        _take_up_watches(engine, pool, state, now)


def _take_up_watches(engine: ObjectEngine, pool: PoolStore, state: ObjectState, now: float) -> None:
    for watcher, watch in state.info.watchers.items():
        place = (pool.pool, state.key)
        engine.watches.add_silent(place, watcher, watch.timeout, watch.addr, now)


# -- watches -----------------------------------------------------------------------------


def tick(engine: ObjectEngine, now: float) -> Upkeep:
    """End watches and notifications whose time is up."""
    upkeep = Upkeep()
    for watch in engine.watches.overdue(now):
        _end_watch(engine, watch, upkeep)
    upkeep.sendings += engine.watches.expire(now)
    return _finish(engine, upkeep)


def _end_watch(engine: ObjectEngine, watch: Watch, upkeep: Upkeep) -> None:
    number, key = watch.place
    pool = engine.pools.get(number)
    state = None if pool is None else pool.objects.get(key)
    who = (watch.cookie, watch.who)
    if pool is not None and state is not None and who in state.info.watchers:
        state = engine.store.own(pool, state)
        info = state.info.copy()
        info.watchers = {k: v for k, v in info.watchers.items() if k != who}
        info.version, info.epoch = _next_version(engine, pool, state), engine.osd_map.epoch
        state.info = info
        engine.store.save(pool, state)
    upkeep.sendings += engine.watches.remove(watch)


def _next_version(engine: ObjectEngine, pool: PoolStore, state: ObjectState) -> int:
    pg_num = engine.osd_map.pools[pool.pool].pg_num
    versions = pool.versions(stable_mod(state.hash, pg_num, (1 << (pg_num - 1).bit_length()) - 1))
    versions.version += 1
    return versions.version


# -- snapshots ---------------------------------------------------------------------------


def trim(engine: ObjectEngine, most: int = TRIM_AT_ONCE) -> Upkeep:
    """Trim the clones of at most `most` objects that removed snapshots hold."""
    upkeep = Upkeep()
    for number, queue in engine.osd_map.osd.removed_snaps_queue.items():
        pool = engine.pools.get(number)
        if pool is None or not queue:
            continue
        for snap in [snap for snap in pool.snaps if contains(queue, snap)]:
            keys = pool.snaps[snap]
            while keys and most > 0:
                key = keys.pop()
                state = pool.objects.get(key)
                if state is not None:
                    _trim_object(engine, pool, state, snap)
                most -= 1
            if keys:
                upkeep.more = True
                return _finish(engine, upkeep)
            del pool.snaps[snap]
        upkeep.purged[number] = dict(queue)
    return _finish(engine, upkeep)


def _trim_object(engine: ObjectEngine, pool: PoolStore, state: ObjectState, snap: int) -> None:
    which = next((c for c in state.snapset.clones if snap in state.snapset.snaps[c]), None)
    if which is None:
        return
    store, stats, epoch = engine.store, pool.stats, engine.osd_map.epoch
    stats.subtract(space(state))
    state = store.own(pool, state)
    state.snapset = without_snaps(state.snapset, which, {snap})
    version = _next_version(engine, pool, state)
    if which in state.snapset.clones:
        info = state.clones[which].info.copy()
        info.version, info.epoch = version, epoch
        state.clones[which] = attrs.evolve(state.clones[which], info=info)
    else:
        gone = state.clones.pop(which)
        store.drop(state, [gone.content])
    info = state.info.copy()
    info.version, info.epoch = _next_version(engine, pool, state), epoch
    state.info = info
    if info.whiteout and not state.snapset.clones:
        store.delete(pool, state)
        return
    stats.add(space(state))
    store.save(pool, state)


# -- the whole ---------------------------------------------------------------------------


def restore(engine: ObjectEngine, snapshot: StoreSnapshot, now: float) -> Upkeep:
    """Make the store what it was; watches that were not there then end, others are awaited."""
    upkeep = Upkeep()
    engine.store.restore(snapshot)
    for watch in engine.watches.all():
        number, key = watch.place
        state = engine.store.pool(number).objects.get(key)
        if state is None or (watch.cookie, watch.who) not in state.info.watchers:
            upkeep.sendings += engine.watches.remove(watch)
    for pool in engine.pools.values():
        for state in pool.objects.values():
            if state.info.watchers:
                _take_up_watches(engine, pool, state, now)
    return _finish(engine, upkeep)


def clear(engine: ObjectEngine) -> Upkeep:
    """Make the store empty; pools stay."""
    upkeep = Upkeep(sendings=engine.watches.clear())
    pools = list(engine.pools)
    engine.store.clear()
    for number in pools:
        engine.store.pool(number)
    return _finish(engine, upkeep)
