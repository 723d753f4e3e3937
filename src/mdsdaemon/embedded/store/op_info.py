"""What a request is: a read, a write, which methods it calls; before anything is done.

Behaviour: ceph/ceph, src/osd/osd_op_util.cc (OpInfo::set_from_op)
"""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING, Final

import attrs

from mdsdaemon.embedded.store.classes import ALLOWED, METHOD_RD, METHOD_WR, find_method
from mdsdaemon.types.osd_op import (
    CLS,
    MODE_CACHE,
    MODE_RD,
    MODE_WR,
    TYPE_MASK,
    TYPE_PG,
    WATCH,
    Flag,
    Op,
    WatchOp,
)

if TYPE_CHECKING:
    from mdsdaemon.types.osd_op import OSDOp

_CALL: Final = int(Op.CALL)
_WATCH: Final = int(Op.WATCH)
_RWORDERED: Final = int(Flag.RWORDERED)


@attrs.define
class ClassInfo:
    """A method that a request calls."""

    class_name: str
    method_name: str
    read: bool
    write: bool
    allowed: bool = True


@attrs.define
class OpInfo:
    """What a request needs and does.

    Attributes:
        read, write: needs these caps.
        may_read, may_write: these, or a method that reads or writes.
        ordered: keeps its place among writes.
        pg: is about a placement group.
    """

    read: bool = False
    write: bool = False
    may_read: bool = False
    may_write: bool = False
    cache: bool = False
    ordered: bool = False
    pg: bool = False
    classes: list[ClassInfo] = attrs.Factory(list)


def call_parts(op: OSDOp) -> tuple[str, str, bytes] | None:
    """(class, method, input) of a CALL; None if its input is too short."""
    class_len, method_len, _, length = CLS.unpack(op.args)
    data, end = op.indata, class_len + method_len
    if len(data) < end + length:
        return None
    return (
        data[:class_len].decode("utf-8", "replace"),
        data[class_len:end].decode("utf-8", "replace"),
        data[end : end + length],
    )


def op_info(ops: list[OSDOp], flags: int) -> OpInfo | int:
    """What the request is; or -errno.

    EPERM: a class that no OSD loads; EOPNOTSUPP: a class or method that is not here; EINVAL.
    """
    info = OpInfo(ordered=bool(flags & _RWORDERED))
    ping = False
    for op in ops:
        code = op.op
        if code == _WATCH:
            info.read = True
            if WATCH.unpack(op.args)[2] == WatchOp.PING:
                ping = True
            else:
                info.write = True
            continue
        if code == _CALL:
            parts = call_parts(op)
            if parts is None:
                return -EINVAL
            method = find_method(parts[0], parts[1])
            if method is None:
                return -EOPNOTSUPP if parts[0] in ALLOWED else -EPERM
            reads, writes = bool(method.flags & METHOD_RD), bool(method.flags & METHOD_WR)
            info.classes.append(ClassInfo(parts[0], parts[1], reads, writes))
            info.may_read |= reads
            info.may_write |= writes
            continue
        if code & MODE_WR:
            info.write = True
        if code & MODE_RD:
            info.read = True
        if code & TYPE_MASK == TYPE_PG:
            info.pg = True
        if code & MODE_CACHE:
            info.cache = True
    info.may_read |= info.read
    info.may_write |= info.write
    if not (info.may_read or info.may_write or info.cache or info.classes):
        return -EINVAL
    info.ordered |= info.may_write or info.cache or ping
    return info
