"""The MgrMap: there is no manager, and clients are told so."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class MgrMonitor(Service):
    """The MgrMap: there is no manager, and clients are told so."""

    name: ClassVar[str] = "mgr"
