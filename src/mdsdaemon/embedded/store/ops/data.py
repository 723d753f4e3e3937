"""Operations on an object's data.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_osd_ops, do_read, do_extent_cmp, do_writesame)
"""

from __future__ import annotations

from errno import EFBIG, EINVAL, ENOENT
from struct import Struct
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.store.content import Content
from mdsdaemon.embedded.store.context import nothing
from mdsdaemon.embedded.store.ops.table import extent_of, handles, set_extent
from mdsdaemon.types.osd_op import WRITESAME, Op, OSDOp

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

_PAIR: Final = Struct("<QQ")
MAX_ERRNO: Final = 4095
"""A comparison that fails at byte n returns -(MAX_ERRNO + n)."""


def check_range(ctx: OpContext, offset: int, length: int) -> int:
    """EFBIG for what lies beyond the greatest object."""
    greatest = ctx.engine.limits.osd_max_object_size
    if offset >= greatest or length > greatest or offset + length > greatest:
        return -EFBIG
    return 0


def read_stored(ctx: OpContext, offset: int, length: int) -> bytes | None:
    """What the store has of a range, short at the object's end; None where there is no object."""
    if ctx.content is None:
        return None
    size = ctx.obs.size
    if not length and not offset:
        length = size
    return ctx.content.read(offset, max(0, min(length, size - offset)))


@handles(Op.READ, Op.SYNC_READ)
def read(ctx: OpContext, op: OSDOp) -> int:
    """Read a range, or with length 0 all from `offset` on."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    size = ctx.oi.size
    if ctx.oi.truncate_seq < truncate_seq and offset + length > truncate_size:
        size = min(size, truncate_size)
    length = length or size
    trimmed = offset >= size or offset + length > size
    if trimmed:
        length = max(0, size - offset)
    result = 0
    if length or not trimmed:
        data = read_stored(ctx, offset, length)
        if data is None:
            result, length = -ENOENT, 0
        else:
            op.outdata, length = data, len(data)
    set_extent(op, offset, length, truncate_size, truncate_seq)
    if result >= 0:
        ctx.reads += 1
    return result


@handles(Op.SPARSE_READ)
def sparse_read(ctx: OpContext, op: OSDOp) -> int:
    """Read what there is within a range: the extents, then their data together."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    if truncate_seq:
        return -EINVAL
    if ctx.content is None:
        return -ENOENT
    extents = ctx.content.extents(offset, max(0, min(length, ctx.obs.size - offset)))
    parts = [ctx.content.read(start, size) for start, size in extents.items()]
    total = sum(extents.values())
    head = [len(extents).to_bytes(4, "little")]
    head += [_PAIR.pack(start, size) for start, size in extents.items()]
    op.outdata = b"".join([*head, total.to_bytes(4, "little"), *parts])
    set_extent(op, offset, total, truncate_size, truncate_seq)
    ctx.reads += 1
    return 0


@handles(Op.MAPEXT)
def map_extents(ctx: OpContext, op: OSDOp) -> int:
    """Where within a range there is data."""
    offset, length, _, _ = extent_of(op)
    if ctx.content is None:
        return -ENOENT
    extents = ctx.content.extents(offset, max(0, min(length, ctx.obs.size - offset)))
    parts = [len(extents).to_bytes(4, "little")]
    parts += [_PAIR.pack(start, size) for start, size in extents.items()]
    op.outdata = b"".join(parts)
    ctx.reads += 1
    return ctx.result


@handles(Op.CMPEXT)
def compare_extent(ctx: OpContext, op: OSDOp) -> int:
    """Compare a range with the input; missing bytes count as zeros."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    size = ctx.oi.size
    if ctx.oi.truncate_seq < truncate_seq and offset + length > truncate_size:
        size = truncate_size
    length = max(0, min(length, size - offset))
    have = b""
    if length and ctx.existed and not ctx.obs.whiteout:
        have = read_stored(ctx, offset, length) or b""
    set_extent(op, offset, length, truncate_size, truncate_seq)
    want = op.indata
    have = have[: len(want)].ljust(len(want), b"\0")
    if have == want:
        return 0
    differs = next(i for i, (a, b) in enumerate(zip(have, want, strict=True)) if a != b)
    return -MAX_ERRNO - differs


@handles(Op.WRITE)
def write(ctx: OpContext, op: OSDOp) -> int:
    """Write a range. Truncations and writes that overtook each other are put right."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    data, oi = op.indata, ctx.oi
    if length != len(data):
        return -EINVAL
    seq = oi.truncate_seq
    if seq and seq > truncate_seq and offset + length > oi.size:
        # an old write, arrived after the truncation
        length = max(0, oi.size - offset)
        data = data[:length]
        set_extent(op, offset, length, truncate_size, truncate_seq)
    if truncate_seq > seq:
        # a write that arrives before the truncation it follows
        if ctx.there:
            ctx.add(Content.truncate, truncate_size)
            if oi.size > truncate_size:
                ctx.modified.append((truncate_size, oi.size - truncate_size))
            oi.size = truncate_size
        oi.truncate_seq, oi.truncate_size = truncate_seq, truncate_size
    result = check_range(ctx, offset, length)
    if result < 0:
        return result
    ctx.create()
    if length:
        ctx.add(Content.write, offset, data)
        ctx.modified.append((offset, length))
        oi.size = max(oi.size, offset + length)
    elif offset > oi.size:
        ctx.add(nothing)
        oi.size = offset
    else:
        ctx.add(nothing)
    ctx.writes += 1
    ctx.written += length
    return 0


@handles(Op.WRITEFULL)
def write_full(ctx: OpContext, op: OSDOp) -> int:
    """Replace all data."""
    _, length, _, _ = extent_of(op)
    if length != len(op.indata):
        return -EINVAL
    result = check_range(ctx, 0, length)
    if result < 0:
        return result
    ctx.create()
    oi = ctx.oi
    if length < oi.size:
        ctx.add(Content.truncate, length)
    if length:
        ctx.add(Content.write, 0, op.indata)
    if oi.size:
        ctx.modified.append((0, oi.size))
    oi.size = length
    ctx.writes += 1
    ctx.written += length
    return 0


@handles(Op.APPEND)
def append(ctx: OpContext, op: OSDOp) -> int:
    """Write behind the end."""
    _, length, _, _ = extent_of(op)
    oi = ctx.oi
    inner = OSDOp.extent(Op.WRITE, oi.size, length, truncate_seq=oi.truncate_seq)
    inner.indata = op.indata
    return ctx.engine.do_ops(ctx, [inner])


@handles(Op.WRITESAME)
def write_same(ctx: OpContext, op: OSDOp) -> int:
    """Write the input over and over."""
    offset, length, data_length = WRITESAME.unpack(op.args)
    if not length:
        return 0
    if not data_length or length % data_length or data_length != len(op.indata):
        return -EINVAL
    result = check_range(ctx, offset, length)
    if result < 0:  # before the data is multiplied
        return result
    data = op.indata * (length // data_length)
    return ctx.engine.do_ops(ctx, [OSDOp.extent(Op.WRITE, offset, length, data)])


@handles(Op.ZERO)
def zero(ctx: OpContext, op: OSDOp) -> int:
    """Make a range zeros; one that reaches the object's end cuts the object there."""
    offset, length, _, _ = extent_of(op)
    greatest = ctx.engine.limits.osd_max_object_size
    if (
        ctx.exists
        and offset < greatest
        and 1 <= length <= greatest
        and offset + length >= ctx.oi.size
    ):
        if offset >= ctx.oi.size:
            return ctx.result
        op.op = Op.TRUNCATE
        return truncate(ctx, op)
    result = check_range(ctx, offset, length)
    if result < 0:
        return result
    if not length:
        return -EINVAL
    if ctx.there:
        ctx.add(Content.zero, offset, length)
        ctx.modified.append((offset, length))
        ctx.writes += 1
    return 0


@handles(Op.TRIMTRUNC)
def trim_truncate(ctx: OpContext, op: OSDOp) -> int:
    """Truncate to the size that the truncation's sequence goes with."""
    _, length, truncate_size, truncate_seq = extent_of(op)
    set_extent(op, truncate_size, length, truncate_size, truncate_seq)
    return truncate(ctx, op)


@handles(Op.TRUNCATE)
def truncate(ctx: OpContext, op: OSDOp) -> int:
    """Set the size; of an object that is not there it is nothing to do."""
    offset, length, truncate_size, truncate_seq = extent_of(op)
    if not ctx.there:
        return 0
    result = check_range(ctx, offset, length)
    if result < 0:
        return result
    oi = ctx.oi
    if truncate_seq:
        if offset != truncate_size:
            return -EINVAL
        if truncate_seq <= oi.truncate_seq:
            return 0  # an old one
        oi.truncate_seq, oi.truncate_size = truncate_seq, truncate_size
    ctx.add(Content.truncate, offset)
    if oi.size > offset:
        ctx.modified.append((offset, oi.size - offset))
    oi.size = offset
    ctx.writes += 1
    return 0
