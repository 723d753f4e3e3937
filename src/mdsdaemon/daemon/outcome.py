"""How a daemon ends."""

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


class DaemonAbort(DaemonFault, AssertionError):
    """Something is as it cannot be: a bug of ours or of the monitor. Ends the daemon."""
