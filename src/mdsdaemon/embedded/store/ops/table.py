"""Which function does which operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.types.osd_op import EXTENT, Op, OSDOp

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

Handler = Callable[["OpContext", OSDOp], int]
"""Works out one operation and returns 0 or more, or -errno.

`ctx.result` is what the operation before returned. A few operations of Ceph leave it as it is when
they succeed, and so do theirs here.
"""

HANDLERS: dict[int, Handler] = {}

_MINUS_ONE = (1 << 64) - 1


def handles(*codes: Op) -> Callable[[Handler], Handler]:
    """Make a function that of these operations."""

    def register(function: Handler) -> Handler:
        for code in codes:
            HANDLERS[int(code)] = function
        return function

    return register


def extent_of(op: OSDOp) -> tuple[int, int, int, int]:
    """offset, length, truncate_size, truncate_seq of an operation on data."""
    offset, length, truncate_size, truncate_seq = EXTENT.unpack(op.args)
    if truncate_seq == 1 and truncate_size == _MINUS_ONE:
        return offset, length, 0, 0
    return offset, length, truncate_size, truncate_seq


def set_extent(op: OSDOp, offset: int, length: int, size: int, seq: int) -> None:
    """The reply carries the operation as it was understood."""
    op.args = EXTENT.pack(offset, length, size, seq)
