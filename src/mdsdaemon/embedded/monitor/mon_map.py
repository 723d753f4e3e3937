"""The monmap: this one monitor."""

from __future__ import annotations

from typing import Any, ClassVar

from mdsdaemon.embedded.monitor.service import Service


class MonmapMonitor(Service):
    """The monmap: this one monitor."""

    name: ClassVar[str] = "monmap"

    def mon_status(self) -> dict[str, Any]:
        """`mon_status` as JSON."""
        return {}
