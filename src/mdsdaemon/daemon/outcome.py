"""How a daemon ends, and what it raises when it cannot begin."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from mdsdaemon.net.dispatcher import DaemonFault


class End(Enum):
    """What becomes of the daemon."""

    EXIT = "exit"
    """It has left; nothing more is to be done."""
    RESPAWN = "respawn"
    """It starts anew, with a new gid and a new nonce."""


@frozen
class Outcome:
    """The end and its reason. `clean` is False when a rank was cut off while it served."""

    end: End
    reason: str
    clean: bool = True


class InitError(Exception):
    """The daemon could not join the cluster.

    `errno` is positive, `text` says what failed and where, `remedy` what to do about it.
    """

    def __init__(self, errno: int, text: str, remedy: str = "") -> None:
        super().__init__(errno, text, remedy)
        self.errno = errno
        self.text = text
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class DaemonAbort(DaemonFault, AssertionError):
    """Something is as it cannot be: a bug of ours or of the monitor. Ends the daemon."""
