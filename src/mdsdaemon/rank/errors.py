"""What a request ends with when it cannot be done."""

from __future__ import annotations

import errno as _errno
import os


class FsError(Exception):
    """An operation on the file system fails with an errno; nothing was changed.

    Attributes:
        errno: positive, as the client gets it.
        why: for the log, where the errno alone does not tell.
    """

    def __init__(self, errno: int, why: str = "") -> None:
        super().__init__(errno, why)
        self.errno = errno
        self.why = why

    def __str__(self) -> str:
        name = _errno.errorcode.get(self.errno, str(self.errno))
        return f"{os.strerror(self.errno)} ({name})" + (f": {self.why}" if self.why else "")
