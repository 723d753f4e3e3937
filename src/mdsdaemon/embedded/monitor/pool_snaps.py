"""Snapshots in the OSDMap: of whole pools, or managed by clients; a pool has one kind or the other.

Behaviour: ceph/ceph, src/osd/osd_types.cc (pg_pool_t::add_snap, add_unmanaged_snap, remove_snap),
src/mon/OSDMonitor.cc (prepare_pool_op) (Pacific)
"""

from __future__ import annotations

from mdsdaemon.embedded.monitor.osd_pending import Pending
from mdsdaemon.embedded.monitor.pool_options import FLAG_POOL_SNAPS, FLAG_SELFMANAGED_SNAPS
from mdsdaemon.embedded.monitor.pool_view import snap_by_name
from mdsdaemon.types.interval_set import union
from mdsdaemon.types.pool import PoolSnapInfo


def add_snap(pending: Pending, number: int, name: str, now: int) -> int:
    """A snapshot of the whole pool; returns its id. `now` in nanoseconds."""
    pool = pending.pool(number)
    pool.flags |= FLAG_POOL_SNAPS
    pool.snap_seq += 1
    pool.snaps[pool.snap_seq] = PoolSnapInfo(pool.snap_seq, now, name)
    pool.snap_epoch = pending.epoch
    return pool.snap_seq


def remove_snap(pending: Pending, number: int, name: str) -> None:
    """A snapshot of the whole pool goes; its objects' clones are trimmed."""
    pool = pending.pool(number)
    snap = snap_by_name(pool, name)
    del pool.snaps[snap]
    pool.snap_seq += 1
    pool.snap_epoch = pending.epoch
    _to_remove(pending, number, snap)


def add_unmanaged_snap(pending: Pending, number: int) -> int:
    """The id for a snapshot that a client manages."""
    pool = pending.pool(number)
    # 1 is never given, as before Mimic, when it stood for this kind of snapshots
    pool.snap_seq = max(pool.snap_seq, 1) + 1
    pool.flags |= FLAG_SELFMANAGED_SNAPS
    pool.snap_epoch = pending.epoch
    return pool.snap_seq


def remove_unmanaged_snap(pending: Pending, number: int, snap: int) -> int:
    """Such a snapshot goes; returns the id that is used up by that and never a snapshot's."""
    pool = pending.pool(number)
    pool.snap_seq += 1
    pool.snap_epoch = pending.epoch
    _to_remove(pending, number, snap)
    return pool.snap_seq


def note_removed_snap(pending: Pending, number: int, snap: int) -> None:
    """A metadata server has removed a snapshot, whose id it gave itself."""
    pool = pending.pool(number)
    pool.flags |= FLAG_SELFMANAGED_SNAPS
    pool.snap_seq = max(pool.snap_seq, snap)
    pool.snap_epoch = pending.epoch
    _to_remove(pending, number, snap)


def _to_remove(pending: Pending, number: int, snap: int) -> None:
    removed = pending.inc.client.new_removed_snaps
    removed[number] = union(removed.get(number, {}), {snap: 1})
