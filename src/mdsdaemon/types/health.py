"""Health that a metadata server reports in its beacons, and health checks of the monitor.

Format: ceph/ceph, src/messages/MMDSBeacon.h, src/include/health.h, src/mon/health_check.h
(Pacific).
"""

from enum import IntEnum

from mdsdaemon.encoding import S64, U8, U16, List, Map, Str, field, wire


class HealthStatus(IntEnum):
    """How bad: the lower, the worse."""

    ERR = 0
    WARN = 1
    OK = 2

    def __str__(self) -> str:
        return f"HEALTH_{self.name}"


class MDSHealthType(IntEnum):
    """What is wrong; the numbers up to 12 are those of Pacific, later ones differ by release."""

    NULL = 0
    TRIM = 1
    CLIENT_RECALL = 2
    CLIENT_LATE_RELEASE = 3
    CLIENT_RECALL_MANY = 4
    CLIENT_LATE_RELEASE_MANY = 5
    CLIENT_OLDEST_TID = 6
    CLIENT_OLDEST_TID_MANY = 7
    DAMAGE = 8
    READ_ONLY = 9
    SLOW_REQUEST = 10
    CACHE_OVERSIZED = 11
    SLOW_METADATA_IO = 12

    def __str__(self) -> str:
        return f"MDS_{self.name}"


@wire(v=1, compat=1, ceph="MDSHealthMetric")
class MDSHealthMetric:
    """One complaint: ``type`` (MDSHealthType), ``sev`` (HealthStatus), words and details."""

    type: int = field(U16)
    sev: int = field(U8, default=HealthStatus.OK)
    message: str = field(Str, default="")
    metadata: dict[str, str] = field(Map(Str, Str), factory=dict)


@wire(v=1, compat=1, ceph="MDSHealth")
class MDSHealth:
    """All complaints of one daemon; an empty list is a healthy one."""

    metrics: list[MDSHealthMetric] = field(List(MDSHealthMetric), factory=list)


@wire(v=2, compat=1, ceph="health_check_t")
class HealthCheck:
    """One health check of the cluster."""

    severity: int = field(U8, default=HealthStatus.OK)
    summary: str = field(Str, default="")
    detail: list[str] = field(List(Str), factory=list)
    count: int = field(S64, default=0, since=2)


@wire(v=1, compat=1, ceph="health_check_map_t")
class HealthCheckMap:
    """Health checks by their code, such as ``MDS_ALL_DOWN``."""

    checks: dict[str, HealthCheck] = field(Map(Str, HealthCheck), factory=dict)
