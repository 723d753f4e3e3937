"""The OSDMap: OSDs, pools, blocklist."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class OSDMonitor(Service):
    """The OSDMap: OSDs, pools, blocklist."""

    name: ClassVar[str] = "osd"
