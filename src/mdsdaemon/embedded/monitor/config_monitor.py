"""The configuration database, and what of it each session is told."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class ConfigMonitor(Service):
    """The configuration database, and what of it each session is told."""

    name: ClassVar[str] = "config"
