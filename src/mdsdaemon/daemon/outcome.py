"""How a daemon ends, and the plain sentences for why it cannot begin."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from mdsdaemon.cephx.keyring import KeyringError
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.net.dispatcher import DaemonFault
from mdsdaemon.net.stream import BindError
from mdsdaemon.records import frozen


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


@contextmanager
def plain_errors() -> Iterator[None]:
    """Whatever keeps a daemon from joining becomes a `FatalError` with its exit status."""
    try:
        yield
    except MonClientError as e:
        raise e.fatal() from e
    except KeyringError as e:
        status = ExitStatus.NOT_PERMITTED if e.errno == errno.ENOENT else ExitStatus.CONFIG
        where = f"{e.path} line {e.line}: " if e.line else f"{e.path}: " if e.path else ""
        raise FatalError(f"{where}{e.why}", status, e.remedy) from e
    except BindError as e:
        raise FatalError(str(e), ExitStatus.ADDRESS) from e
