"""Snapshots: which clone is read, when one is made, and when it goes.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (find_object_context, make_writeable, trim_object,
filter_snapc), src/common/snap_types.cc (SnapContext::is_valid)
"""

from __future__ import annotations

from errno import ENOENT
from typing import TYPE_CHECKING

from attrs import evolve

from mdsdaemon.embedded.store.content import FROZEN
from mdsdaemon.embedded.store.state import Clone, ObjectInfo
from mdsdaemon.types.interval_set import contains, normalised, subtract
from mdsdaemon.types.osd import MAXSNAP, NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.content import Content
    from mdsdaemon.embedded.store.context import OpContext
    from mdsdaemon.embedded.store.state import ObjectKey, ObjectState, PoolStore, SnapSet
    from mdsdaemon.types.interval_set import Intervals

Found = tuple["ObjectState | None", "ObjectInfo | None", "Content | None"]


def snap_context_is_valid(seq: int, snaps: list[int]) -> bool:
    """Whether the snapshots are descending, and `seq` is not below them."""
    if seq > MAXSNAP:
        return False
    last = seq + 1
    for snap in snaps:
        if snap >= last:
            return False
        last = snap
    return True


def find_object(
    pool: PoolStore, removed: Intervals, key: ObjectKey, snapid: int, map_clone: bool
) -> Found | int:
    """The object as it is or was: (head's state, info, content), Nones where there is no head.

    With `map_clone`, `snapid` names a clone and not a snapshot. ENOENT: nothing at that snapshot.
    """
    state = pool.objects.get(key)
    if snapid == NOSNAP:
        return (state, state.info, state.content) if state is not None else (None, None, None)
    if state is None:
        return -ENOENT
    snapset = state.snapset
    if snapid > snapset.seq:
        return state, state.info, state.content
    if map_clone:
        which = snapid if snapid in state.clones else None
    else:
        which = next((clone for clone in snapset.clones if clone >= snapid), None)
        if which is not None and (snapid not in snapset.snaps[which] or contains(removed, snapid)):
            which = None
    if which is None:
        return -ENOENT
    clone = state.clones[which]
    return state, clone.info, clone.content


def make_writeable(ctx: OpContext) -> Clone | None:
    """Work out the snapset after a write; the clone that has to be made first, if any.

    Sets `ctx.snapset`. The clone's version is still that of the head.
    """
    snapset, snaps, clone = ctx.snapset, ctx.snaps, None
    if ctx.existed and not ctx.obs.whiteout and snaps and snaps[0] > snapset.seq:
        assert ctx.state is not None
        covered = tuple(snap for snap in snaps if snap > snapset.seq)
        info = ctx.obs.copy()
        info.watchers = {}
        clone = Clone(info, ctx.state.content)
        which = ctx.snap_seq
        snapset = evolve(
            snapset,
            clones=(*snapset.clones, which),
            snaps={**snapset.snaps, which: covered},
            size={**snapset.size, which: info.size},
            overlap={**snapset.overlap, which: {0: info.size} if info.size else {}},
        )
    if snapset.clones and ctx.modified:
        newest = snapset.clones[-1]
        overlap = subtract(snapset.overlap[newest], normalised(ctx.modified))
        snapset = evolve(snapset, overlap={**snapset.overlap, newest: overlap})
    if ctx.snap_seq > snapset.seq:
        snapset = evolve(snapset, seq=ctx.snap_seq)
    ctx.snapset = snapset
    return clone


def freeze(clone: Clone) -> None:
    """From now on the clone and the head share a content that neither changes."""
    clone.content.owner = FROZEN


def without_snaps(snapset: SnapSet, clone: int, gone: set[int]) -> SnapSet:
    """The snapset after some snapshots of a clone were removed; the clone goes with its last."""
    left = tuple(snap for snap in snapset.snaps[clone] if snap not in gone)
    if left:
        return evolve(snapset, snaps={**snapset.snaps, clone: left})
    at = snapset.clones.index(clone)
    overlap = snapset.overlap.copy()
    if at:
        # the older clone now shares with the next newer one what it shared with both
        older = snapset.clones[at - 1]
        mine = overlap[clone]
        overlap[older] = subtract(overlap[older], subtract(overlap[older], mine))
    del overlap[clone]
    return evolve(
        snapset,
        clones=tuple(c for c in snapset.clones if c != clone),
        snaps={c: s for c, s in snapset.snaps.items() if c != clone},
        size={c: s for c, s in snapset.size.items() if c != clone},
        overlap=overlap,
    )
