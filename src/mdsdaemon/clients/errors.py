"""What the clients of a cluster raise."""

from __future__ import annotations

import errno
import os

from mdsdaemon.errors import ExitStatus, FatalError


class MonitorsUnknownError(FatalError):
    """There is no monitor to begin with: what is wrong where, and what to do."""

    def __init__(self, message: str, remedy: str, status: ExitStatus = ExitStatus.CONFIG) -> None:
        super().__init__(message, status, remedy)


_STATUS = {
    errno.ETIMEDOUT: ExitStatus.UNAVAILABLE,
    errno.ENOENT: ExitStatus.NOT_PERMITTED,
    errno.EACCES: ExitStatus.NOT_PERMITTED,
    errno.EPERM: ExitStatus.NOT_PERMITTED,
    errno.EOPNOTSUPP: ExitStatus.NOT_PERMITTED,
    errno.EINVAL: ExitStatus.CONFIG,
}


class MonClientError(Exception):
    """The monitors refused us or could not be reached in time.

    `errno` is positive (EACCES, ETIMEDOUT, …), `text` names the monitor or entity and the cause,
    `remedy` says what to do, "" where nothing can be said.
    """

    def __init__(self, errno_: int, text: str, remedy: str = "") -> None:
        super().__init__(errno_, text, remedy)
        self.errno = errno_
        self.text = text
        self.remedy = remedy

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno, str(self.errno))
        said = f"{self.text} ({name}: {os.strerror(self.errno)})"
        return f"{said}; {self.remedy}" if self.remedy else said

    def fatal(self) -> FatalError:
        """The same for a program that cannot start without a monitor session."""
        return FatalError(self.text, _STATUS.get(self.errno, ExitStatus.UNAVAILABLE), self.remedy)
