"""What the clients of a cluster raise."""

from __future__ import annotations

import errno
import os


class MonitorsUnknownError(Exception):
    """No monitor to begin with: `text` says what is wrong where, `remedy` what to do."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text, remedy)
        self.text = text
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}"


class MonClientError(Exception):
    """The monitors refused us or could not be reached in time.

    `errno` is positive (EACCES, ETIMEDOUT, …), `text` names the monitor or entity and the cause,
    `remedy` is "" where nothing can be said.
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


class CommandError(MonClientError):
    """A monitor command failed; `outs` is the monitor's text, `outbl` what it returned anyway."""

    def __init__(self, errno_: int, outs: str, outbl: bytes = b"") -> None:
        super().__init__(errno_, outs or "the monitor refused the command")
        self.outs = outs
        self.outbl = outbl
