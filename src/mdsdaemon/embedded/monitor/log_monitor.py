"""The cluster log."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class LogMonitor(Service):
    """The cluster log."""

    name: ClassVar[str] = "log"

    def audit(self, text: str, *, writes: bool) -> None:
        """Note a command in the audit channel."""
