"""Telling the service manager how the daemon is: systemd's notification socket.

Format: sd_notify(3): datagrams of `KEY=VALUE` lines to the Unix socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

MAX_STATUS = 512


class SdNotifier:
    """Sends notifications; does nothing when there is nobody to tell.

    A datagram is sent without waiting. One that cannot be sent is dropped: the service manager
    must not be able to hold up the daemon. `failures` counts these.

    Args:
        address: what NOTIFY_SOCKET says: a path, or `@name` of an abstract socket; "" for none.
        watchdog: seconds within which the service manager wants a sign of life, None for never.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = _encoded(address)
        self.watchdog_interval = None if watchdog is None else watchdog / 2
        """Seconds between calls of `watchdog`, None when none are wanted."""
        self.failures = 0
        self._socket: socket.socket | None = None
        if self._address:
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_UNIX, kind)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> SdNotifier:
        """What the environment asks for. WATCHDOG_PID, when set, must be this process."""
        address = environ.get("NOTIFY_SOCKET", "")
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        for_us = not pid or pid == str(os.getpid())
        wanted = bool(address) and for_us and usec.isdecimal() and len(usec) < 16 and int(usec) > 0
        return cls(address, int(usec) / 1e6 if wanted else None)

    @property
    def enabled(self) -> bool:
        """Somebody wants to be told."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """The daemon is in the map."""
        self._send("READY=1", *([_status(status)] if status else []))

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._send(_status(text))

    def stopping(self, status: str = "") -> None:
        """The daemon is leaving."""
        self._send("STOPPING=1", *([_status(status)] if status else []))

    def watchdog(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """No more notifications."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError:
            self.failures += 1


def _encoded(address: str) -> bytes:
    """The socket's address, b"" when there is none that this protocol allows."""
    raw = os.fsencode(address)
    if raw.startswith(b"@") and len(raw) > 1:
        return b"\0" + raw[1:]
    return raw if raw.startswith(b"/") else b""


def _status(text: str) -> str:
    line = " ".join(text.split())
    return f"STATUS={line[:MAX_STATUS]}"
