"""Operations on snapshots: list an object's clones, go back to one.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_osd_ops, _rollback_to, _do_rollback_to)
"""

from __future__ import annotations

from errno import EBUSY
from typing import TYPE_CHECKING

from mdsdaemon.embedded.store.content import FROZEN
from mdsdaemon.embedded.store.ops.objects import delete_head
from mdsdaemon.embedded.store.ops.table import handles
from mdsdaemon.embedded.store.snaps import find_object
from mdsdaemon.encoding import encode
from mdsdaemon.types.interval_set import subtract
from mdsdaemon.types.object_list import CloneInfo, SnapList
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.osd_op import SNAP, Op, OSDOp

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext


@handles(Op.LIST_SNAPS)
def list_snaps(ctx: OpContext, op: OSDOp) -> int:
    """The clones with their snapshots, and the head unless it was deleted."""
    snapset = ctx.snapset
    made = SnapList(seq=snapset.seq)
    for clone in snapset.clones:
        snaps = sorted(snapset.snaps[clone])
        overlap = list(snapset.overlap[clone].items())
        made.clones.append(CloneInfo(clone, snaps, overlap, snapset.size[clone]))
    if not ctx.obs.whiteout:
        made.clones.append(CloneInfo(NOSNAP, [], [], ctx.oi.size))
    op.outdata = encode(SnapList, made)
    ctx.reads += 1
    return 0


@handles(Op.ROLLBACK)
def rollback(ctx: OpContext, op: OSDOp) -> int:
    """Make the head what it was at a snapshot; where it was not there, delete it."""
    (snapid,) = SNAP.unpack(op.args)
    removed = ctx.engine.removed_snaps(ctx.req.pool)
    found = find_object(ctx.pool, removed, ctx.req.key, snapid, False)
    if isinstance(found, int) or found[1] is None or found[1].whiteout:
        if ctx.obs.watchers:
            return -EBUSY
        delete_head(ctx)
        return 0
    state, info, content = found
    assert state is not None
    assert info is not None
    assert content is not None
    if info is state.info:
        ctx.modify = True  # what is wanted is the head
        return 0
    content.owner = FROZEN
    ctx.replace(content)
    snapset, oi = ctx.snapset, ctx.oi
    newer = [clone for clone in snapset.clones if clone >= snapid]
    shared = snapset.overlap[newer[0]]
    for clone in newer[1:]:
        shared = subtract(shared, subtract(shared, snapset.overlap[clone]))
    if oi.size:
        ctx.modified += subtract({0: oi.size}, shared).items()
    ctx.exists = True
    oi.whiteout = False
    oi.size = info.size
    oi.omap = info.omap
    return 0
