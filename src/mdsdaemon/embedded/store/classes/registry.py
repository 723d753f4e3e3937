"""Object classes: methods that run at the object store, inside a request.

A method reads and writes the object through the operations a client has, as part of the request it
is called in. It returns its output, or raises `MethodError`.

Behaviour: ceph/ceph, src/objclass/objclass.h, src/osd/objclass.cc
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL, EIO
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from mdsdaemon.encoding import Blob, DecodeError, Map, decode
from mdsdaemon.types.osd_op import Op, OSDOp

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

T = TypeVar("T")
MethodFunction = Callable[["OpContext", bytes], bytes]

METHOD_RD: Final = 1
METHOD_WR: Final = 2

_XATTRS: Final = Map(Blob, Blob)


class MethodError(Exception):
    """The method failed; `result` is -errno."""

    def __init__(self, result: int) -> None:
        super().__init__(result)
        self.result = result


@attrs.frozen
class Method:
    """A method: what it may do (METHOD_RD, METHOD_WR), and the function."""

    flags: int
    function: MethodFunction


_CLASSES: dict[str, dict[str, Method]] = {}

ALLOWED: Final = frozenset(
    (
        "cephfs",
        "hello",
        "journal",
        "lock",
        "log",
        "numops",
        "otp",
        "rbd",
        "refcount",
        "rgw",
        "rgw_gc",
        "timeindex",
        "user",
        "version",
        "cas",
        "cmpomap",
        "queue",
        "2pc_queue",
        "fifo",
    )
)
"""The classes that an OSD may load (osd_class_load_list); calls of others are not permitted."""


def method(
    class_name: str, method_name: str, flags: int
) -> Callable[[MethodFunction], MethodFunction]:
    """Make a function the method of an object class."""

    def register(function: MethodFunction) -> MethodFunction:
        _CLASSES.setdefault(class_name, {})[method_name] = Method(flags, function)
        return function

    return register


def find_method(class_name: str, method_name: str) -> Method | None:
    """The method, or None."""
    return _CLASSES.get(class_name, {}).get(method_name)


# -- what methods are made of ------------------------------------------------------------


def read_input(what: type[T], data: bytes) -> T:
    """The decoded input of a method; EINVAL if it is malformed."""
    try:
        return decode(what, data, partial=True)
    except DecodeError:
        raise MethodError(-EINVAL) from None


def read_stored(what: type[T], data: bytes) -> T:
    """Something decoded that a method stored; EIO if it is malformed."""
    try:
        return decode(what, data, partial=True)
    except DecodeError:
        raise MethodError(-EIO) from None


def _run(ctx: OpContext, op: OSDOp) -> OSDOp:
    result = ctx.engine.do_ops(ctx, [op])
    if result < 0:
        raise MethodError(result)
    return op


def get_xattr(ctx: OpContext, name: str) -> bytes:
    """An attribute of the object; ENODATA, ENOENT."""
    return _run(ctx, OSDOp.xattr(Op.GETXATTR, name)).outdata


def get_xattrs(ctx: OpContext) -> dict[bytes, bytes]:
    """All attributes of the object; ENOENT."""
    return decode(_XATTRS, _run(ctx, OSDOp(Op.GETXATTRS)).outdata)


def set_xattr(ctx: OpContext, name: str, value: bytes) -> None:
    """Set an attribute of the object."""
    _run(ctx, OSDOp.xattr(Op.SETXATTR, name, value))


def remove(ctx: OpContext) -> None:
    """Delete the object."""
    _run(ctx, OSDOp(Op.DELETE))
