"""The health of the cluster: the checks of all services, and mutes."""

from __future__ import annotations

from typing import Any, ClassVar

from mdsdaemon.embedded.monitor.service import Service


class HealthMonitor(Service):
    """The health of the cluster: the checks of all services, and mutes."""

    name: ClassVar[str] = "health"

    def summary(self) -> dict[str, Any]:
        """`health` of the status, as JSON."""
        return {"status": "HEALTH_OK", "checks": {}, "mutes": []}
