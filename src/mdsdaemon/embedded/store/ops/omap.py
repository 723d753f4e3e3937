"""Operations on an object's key-value map.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_osd_ops)
"""

from __future__ import annotations

from errno import ECANCELED, EINVAL, ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mdsdaemon.embedded.store.content import Content
from mdsdaemon.embedded.store.ops.attributes import encode_map
from mdsdaemon.embedded.store.ops.table import handles
from mdsdaemon.encoding import S32, U64, Blob, Codec, DecodeError, List, Map, Tuple, decode
from mdsdaemon.types.osd_op import Cmp, Op, OSDOp
from mdsdaemon.types.pool import PoolType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mdsdaemon.embedded.store.context import OpContext

T = TypeVar("T")

_KEYS_ARGS: Final = Tuple(Blob, U64)
_VALS_ARGS: Final = Tuple(Blob, Tuple(U64, Blob))
_KEY_LIST: Final = List(Blob)
_VALUES: Final = Map(Blob, Blob)
_RANGE: Final = Tuple(Blob, Blob)
_ASSERTIONS: Final = Map(Blob, Tuple(Blob, S32))


def _input(codec: Codec[T], op: OSDOp) -> T | None:
    """The operation's arguments; None if they are malformed."""
    try:
        return decode(codec, op.indata, partial=True)
    except DecodeError:
        return None


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _page(
    ctx: OpContext, op: OSDOp, items: Iterator[tuple[bytes, bytes]], most: int, *, values: bool
) -> int:
    """Put as much of `items` into the output as limits allow, and whether there is more."""
    limits = ctx.engine.limits
    most = min(most, limits.osd_max_omap_entries_per_request)
    parts: list[bytes] = []
    count = size = 0
    truncated = False
    for key, value in items:
        if count >= most or size >= limits.osd_max_omap_bytes_per_request:
            truncated = True
            break
        parts += [_u32(len(key)), key]
        size += 4 + len(key)
        if values:
            parts += [_u32(len(value)), value]
            size += 4 + len(value)
        count += 1
    op.outdata = b"".join([_u32(count), *parts, b"\1" if truncated else b"\0"])
    ctx.reads += 1
    return ctx.result


def _items(ctx: OpContext, after: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    if not ctx.oi.omap or ctx.content is None:
        return iter(())
    return ctx.content.omap_items(after, prefix)


@handles(Op.OMAPGETKEYS)
def omap_get_keys(ctx: OpContext, op: OSDOp) -> int:
    """Keys above one, in order."""
    args = _input(_KEYS_ARGS, op)
    if args is None:
        return -EINVAL
    return _page(ctx, op, _items(ctx, args[0]), args[1], values=False)


@handles(Op.OMAPGETVALS)
def omap_get_vals(ctx: OpContext, op: OSDOp) -> int:
    """Keys above one that begin with a prefix, and their values, in order."""
    args = _input(_VALS_ARGS, op)
    if args is None:
        return -EINVAL
    after, (most, prefix) = args
    return _page(ctx, op, _items(ctx, after, prefix), most, values=True)


@handles(Op.OMAPGETHEADER)
def omap_get_header(ctx: OpContext, op: OSDOp) -> int:
    """The header, "" where there is none."""
    if ctx.oi.omap and ctx.content is not None:
        op.outdata = ctx.content.omap_header
        ctx.reads += 1
    return ctx.result


@handles(Op.OMAPGETVALSBYKEYS)
def omap_get_vals_by_keys(ctx: OpContext, op: OSDOp) -> int:
    """The values of those of the given keys that are there."""
    keys = _input(_KEY_LIST, op)
    if keys is None:
        return -EINVAL
    values = _values(ctx)
    op.outdata = encode_map([(key, values[key]) for key in sorted(set(keys)) if key in values])
    ctx.reads += 1
    return ctx.result


def _values(ctx: OpContext) -> dict[bytes, bytes]:
    return ctx.content.omap_values() if ctx.oi.omap and ctx.content is not None else {}


@handles(Op.OMAP_CMP)
def omap_cmp(ctx: OpContext, op: OSDOp) -> int:
    """Compare values with those given: equal, below or above them; missing ones are ""."""
    if not ctx.there:
        return -ENOENT
    assertions = _input(_ASSERTIONS, op)
    if assertions is None:
        return -EINVAL
    values = _values(ctx)
    ctx.reads += 1
    for key, (want, cmp_op) in sorted(assertions.items()):
        have = values.get(key, b"")
        if cmp_op == Cmp.EQ:
            held = have == want
        elif cmp_op == Cmp.LT:
            held = have < want
        elif cmp_op == Cmp.GT:
            held = have > want
        else:
            return -EINVAL
        if not held:
            return -ECANCELED
    return ctx.result


def _supported(ctx: OpContext) -> bool:
    return ctx.pool_info.type != PoolType.ERASURE


def _change(ctx: OpContext, step: Any, *args: Any) -> int:
    ctx.add(step, *args)
    ctx.writes += 1
    return 0


@handles(Op.OMAPSETVALS)
def omap_set_vals(ctx: OpContext, op: OSDOp) -> int:
    """Set keys."""
    if not _supported(ctx):
        return -EOPNOTSUPP
    ctx.create()
    values = _input(_VALUES, op)
    if values is None:
        return -EINVAL
    ctx.oi.omap = True
    ctx.written += len(op.indata)
    return _change(ctx, Content.omap_set, values)


@handles(Op.OMAPSETHEADER)
def omap_set_header(ctx: OpContext, op: OSDOp) -> int:
    """Set the header."""
    if not _supported(ctx):
        return -EOPNOTSUPP
    ctx.create()
    ctx.oi.omap = True
    return _change(ctx, Content.set_omap_header, op.indata)


@handles(Op.OMAPCLEAR)
def omap_clear(ctx: OpContext, op: OSDOp) -> int:
    """Remove all keys and the header."""
    if not _supported(ctx):
        return -EOPNOTSUPP
    if not ctx.there:
        return -ENOENT
    if not ctx.oi.omap:
        return 0
    ctx.oi.omap = False
    return _change(ctx, Content.omap_clear)


@handles(Op.OMAPRMKEYS)
def omap_rm_keys(ctx: OpContext, op: OSDOp) -> int:
    """Remove keys."""
    if not _supported(ctx):
        return -EOPNOTSUPP
    if not ctx.there:
        return -ENOENT
    keys = _input(_KEY_LIST, op)
    if keys is None:
        return -EINVAL
    return _change(ctx, Content.omap_remove, keys)


@handles(Op.OMAPRMKEYRANGE)
def omap_rm_key_range(ctx: OpContext, op: OSDOp) -> int:
    """Remove the keys from one up to but not including another."""
    if not _supported(ctx):
        return -EOPNOTSUPP
    if not ctx.there:
        return -ENOENT
    bounds = _input(_RANGE, op)
    if bounds is None:
        return -EINVAL
    return _change(ctx, Content.omap_remove_range, *bounds)
