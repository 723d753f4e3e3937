"""Operations on an object's attributes.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_osd_ops, do_xattr_cmp_str, do_xattr_cmp_u64)
"""

from __future__ import annotations

import operator
import re
from errno import ECANCELED, EFBIG, EINVAL, ENAMETOOLONG, ENODATA, ENOENT
from typing import TYPE_CHECKING, Any, Final

from mdsdaemon.embedded.store.content import Content
from mdsdaemon.embedded.store.ops.table import handles
from mdsdaemon.types.osd_op import (
    CMPXATTR_MODE_STRING,
    CMPXATTR_MODE_U64,
    XATTR,
    Cmp,
    Op,
    OSDOp,
)

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

_COMPARE: Final = {
    Cmp.EQ: operator.eq,
    Cmp.NE: operator.ne,
    Cmp.GT: operator.gt,
    Cmp.GTE: operator.ge,
    Cmp.LT: operator.lt,
    Cmp.LTE: operator.le,
}
_NUMBER: Final = re.compile(rb"\s*([+-]?[0-9]+)")
_S64_MAX: Final = (1 << 63) - 1
_U64_END: Final = 1 << 64


def _number(text: bytes) -> int:
    """As atoll reads it, and a u64 takes it: 0 for what is no number."""
    found = _NUMBER.match(text)
    if found is None:
        return 0
    return max(-_S64_MAX - 1, min(_S64_MAX, int(found[1]))) % _U64_END


def _compare(cmp_op: int, given: Any, stored: Any) -> int:
    """1 if `given` compares so with `stored`, 0 if not, EINVAL for an unknown comparison."""
    try:
        return int(_COMPARE[Cmp(cmp_op)](given, stored))
    except ValueError:
        return -EINVAL


@handles(Op.GETXATTR)
def get_xattr(ctx: OpContext, op: OSDOp) -> int:
    """One attribute."""
    name_len, _, cmp_op, mode = XATTR.unpack(op.args)
    if name_len > len(op.indata):
        return -EINVAL
    if ctx.content is None:
        return -ENOENT
    value = ctx.content.xattrs.get(op.indata[:name_len])
    if value is None:
        return -ENODATA
    op.outdata = value
    op.args = XATTR.pack(name_len, len(value), cmp_op, mode)
    ctx.reads += 1
    return 0


@handles(Op.GETXATTRS)
def get_xattrs(ctx: OpContext, op: OSDOp) -> int:
    """All attributes, by name."""
    if ctx.content is None:
        op.outdata = bytes(4)
        return -ENOENT
    op.outdata = encode_map(sorted(ctx.content.xattrs.items()))
    ctx.reads += 1
    return 0


@handles(Op.CMPXATTR)
def compare_xattr(ctx: OpContext, op: OSDOp) -> int:
    """Compare what is given with the attribute; one that is not there is "" or 0."""
    name_len, value_len, cmp_op, mode = XATTR.unpack(op.args)
    if name_len > len(op.indata):
        return -EINVAL
    if ctx.content is None:
        return -ENOENT
    stored = ctx.content.xattrs.get(op.indata[:name_len], b"")
    ctx.reads += 1
    if mode == CMPXATTR_MODE_STRING:
        if name_len + value_len > len(op.indata):
            return -EINVAL
        given = op.indata[name_len : name_len + value_len]
        result = _compare(cmp_op, given, stored)
    elif mode == CMPXATTR_MODE_U64:
        if name_len + 8 > len(op.indata):
            return -EINVAL
        number = int.from_bytes(op.indata[name_len : name_len + 8], "little")
        result = _compare(cmp_op, number, _number(stored))
    else:
        return -EINVAL
    return result or -ECANCELED


@handles(Op.SETXATTR)
def set_xattr(ctx: OpContext, op: OSDOp) -> int:
    """Set one attribute."""
    name_len, value_len, _, _ = XATTR.unpack(op.args)
    limits = ctx.engine.limits
    if limits.osd_max_attr_size and value_len > limits.osd_max_attr_size:
        return -EFBIG
    if name_len > limits.osd_max_attr_name_len:
        return -ENAMETOOLONG
    if name_len + value_len > len(op.indata):
        return -EINVAL
    ctx.create()
    value = op.indata[name_len : name_len + value_len]
    ctx.add(Content.set_xattr, op.indata[:name_len], value)
    ctx.writes += 1
    return 0


@handles(Op.RMXATTR)
def remove_xattr(ctx: OpContext, op: OSDOp) -> int:
    """Remove one attribute; that it is not there is no error."""
    name_len, _, _, _ = XATTR.unpack(op.args)
    if name_len > len(op.indata):
        return -EINVAL
    if not ctx.there:
        return -ENOENT
    ctx.add(Content.remove_xattr, op.indata[:name_len])
    ctx.writes += 1
    return 0


def encode_map(items: list[tuple[bytes, bytes]]) -> bytes:
    """A map of strings and blobs as Ceph writes it."""
    parts = [len(items).to_bytes(4, "little")]
    for name, value in items:
        parts += [
            len(name).to_bytes(4, "little"),
            name,
            len(value).to_bytes(4, "little"),
            value,
        ]
    return b"".join(parts)
