"""What operations on objects end with when they fail."""

from __future__ import annotations

import errno
import os

EBLOCKLISTED = errno.ESHUTDOWN
"""What OSDs answer to a client whose address is fenced (Ceph's EBLOCKLISTED)."""


class RadosError(OSError):
    """An operation on an object failed.

    Attributes:
        errno: positive; EBLOCKLISTED when our address is fenced, ETIMEDOUT when the time given
            to the operation has passed (it may still be executed), ESHUTDOWN also when the
            objecter stopped.
        object: pool and name of the object.
        op: the operation of the request that failed, in words, "" when none in particular did.
    """

    def __init__(self, errno_: int, object_: str, op: str = "", why: str = "") -> None:
        super().__init__(errno_, why or _reason(errno_))
        self.object = object_
        self.op = op

    def __str__(self) -> str:
        code = self.errno or 0
        name = "EBLOCKLISTED" if code == EBLOCKLISTED else errno.errorcode.get(code, str(code))
        what = f"{self.op} on {self.object}" if self.op else self.object
        return f"{what}: {self.strerror} ({name})"


def _reason(code: int) -> str:
    if code == EBLOCKLISTED:
        return "our address is on the blocklist"
    return os.strerror(code)
