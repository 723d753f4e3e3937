"""Usage and placement groups, as a manager would report them."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class MgrStatMonitor(Service):
    """Usage and placement groups, as a manager would report them."""

    name: ClassVar[str] = "mgr_stat"
