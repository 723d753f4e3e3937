"""What a journal that cannot be read, or written on, ends with."""

from __future__ import annotations

import errno
import os


class JournalError(OSError):
    """A journal's header or bytes are missing or not what they have to be, or writing failed.

    Attributes:
        errno: positive. ENOENT: the header, or an object that should be there, is missing; EINVAL:
            what was read is corrupt; EAGAIN: the journaler was shut down; ESHUTDOWN
            (EBLOCKLISTED), EIO and others: what the OSD answered.
        what: the journal, and the object or the position in it.
    """

    def __init__(self, errno_: int, what: str, why: str = "") -> None:
        super().__init__(errno_, why or os.strerror(errno_))
        self.what = what

    def __str__(self) -> str:
        code = self.errno or 0
        return f"{self.what}: {self.strerror} ({errno.errorcode.get(code, code)})"
