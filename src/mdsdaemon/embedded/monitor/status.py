"""`ceph -s` and what else is about the cluster as a whole."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class StatusService(Service):
    """`ceph -s` and what else is about the cluster as a whole."""

    name: ClassVar[str] = "status"
