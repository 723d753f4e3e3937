"""The FSMap: file systems, daemons, ranks."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class MDSMonitor(Service):
    """The FSMap: file systems, daemons, ranks."""

    name: ClassVar[str] = "mds"
