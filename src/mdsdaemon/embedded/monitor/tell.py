"""`ceph tell mon.a`: commands to this daemon."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class TellService(Service):
    """`ceph tell mon.a`: commands to this daemon."""

    name: ClassVar[str] = "tell"
