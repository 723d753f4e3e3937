"""Exit statuses of the program, and the errors that end it with one plain sentence.

Where ceph-mds exits with 1 (command line and name) so does this program; the rest take the numbers
of BSD's sysexits.h, so that a supervisor can tell a mistake in a file from a cluster that is away.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process returns."""

    OK = 0
    """Ended as asked: SIGTERM, SIGINT, `exit`, or the cluster took the daemon out on purpose."""
    USAGE = 1
    """The command line: no or a bad name, an unknown option, a bad value, an unknown user."""
    NO_CLUSTER = 64
    """Started without a cluster: there is no ceph.conf, name or monitor on the command line."""
    DATA = 65
    """The store of a cluster (`--data`) is damaged, of another version, or none of ours."""
    BAD_FILE = 66
    """A file that was named cannot be read, or is not what it should be (record show, monmap)."""
    UNAVAILABLE = 69
    """No monitor could be found or reached in the time allowed."""
    SOFTWARE = 70
    """A bug of the program; the flight record was written."""
    ADDRESS = 71
    """The machine refused: the address is in use or is not ours, or a port could not be bound."""
    CANNOT_CREATE = 73
    """A file of ours cannot be written: pid file, admin socket, log."""
    IO = 74
    """The disk refuses: it is full, or it fails."""
    TEMPORARY = 75
    """Try again later: the cluster answered, but not with all that is needed (rotating keys); or
    another process has the store (`--data`)."""
    NOT_PERMITTED = 77
    """The monitors refuse us: no key, a wrong key, an unknown name, caps that are not enough."""
    CONFIG = 78
    """ceph.conf or a keyring: missing, unreadable or malformed."""
    NOT_FOUND = 127
    """The COMMAND after `--` cannot be run, as a shell reports it."""


class FatalError(Exception):
    """The program cannot start or go on; the command line prints it as one sentence.

    Args:
        message: what failed, on which name, address or file; begins in lower case, no full stop.
        status: the exit status.
        remedy: what to do about it, "" where nothing can be said.
    """

    def __init__(
        self, message: str, status: ExitStatus = ExitStatus.SOFTWARE, remedy: str = ""
    ) -> None:
        super().__init__(message, status, remedy)
        self.message = message
        self.status = status
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class UsageError(FatalError):
    """The command line is wrong."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, ExitStatus.USAGE, remedy)


class ConfigError(FatalError):
    """A configuration file is missing, unreadable or malformed.

    Attributes:
        file: the file's name as it was given.
        line: counted from 1; 0 when the whole file is meant.
        why: what is wrong there.
    """

    def __init__(self, file: str, line: int, why: str, remedy: str = "") -> None:
        place = f"{file} line {line}" if line else file
        super().__init__(f"{place}: {why}", ExitStatus.CONFIG, remedy)
        self.file = file
        self.line = line
        self.why = why


class OptionError(Exception):
    """An option cannot be set.

    Attributes:
        errno: positive, as Ceph returns it: ENOENT, EINVAL, ERANGE, EPERM.
        text: why; "" where Ceph says no more than the errno.
    """

    def __init__(self, errno: int, text: str = "") -> None:
        super().__init__(errno, text)
        self.errno = errno
        self.text = text

    def __str__(self) -> str:
        return self.text
