"""The health checks of file systems and their daemons.

Behaviour: ceph/ceph, src/mds/MDSMap.cc and FSMap.cc (get_health_checks), src/mon/MDSMonitor.cc
(encode_pending), src/messages/MMDSBeacon.h (Pacific 16.2.15)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field

from mdsdaemon.embedded.monitor.mds_fsmap import FSMapView
from mdsdaemon.embedded.monitor.service import HEALTH_ERR, HEALTH_OK, HEALTH_WARN, HealthCheck
from mdsdaemon.maps.fs_map import Filesystem
from mdsdaemon.maps.mds_map import (
    FLAG_ALLOW_MULTIMDS_SNAPS,
    FLAG_ALLOW_SNAPS,
    MDSMap,
)
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.health import HealthStatus, MDSHealth

_SEVERITIES: Final[dict[int, str]] = {
    HealthStatus.ERR: HEALTH_ERR,
    HealthStatus.WARN: HEALTH_WARN,
    HealthStatus.OK: HEALTH_OK,
}

METRICS: Final = {
    1: ("MDS_TRIM", "MDSs behind on trimming"),
    2: ("MDS_CLIENT_RECALL", "clients failing to respond to cache pressure"),
    3: ("MDS_CLIENT_LATE_RELEASE", "clients failing to respond to capability release"),
    4: (
        "MDS_CLIENT_RECALL_MANY",
        "MDSs have many clients failing to respond to cache pressure",
    ),
    5: (
        "MDS_CLIENT_LATE_RELEASE_MANY",
        "MDSs have many clients failing to respond to capability release",
    ),
    6: ("MDS_CLIENT_OLDEST_TID", "clients failing to advance oldest client/flush tid"),
    7: (
        "MDS_CLIENT_OLDEST_TID_MANY",
        "MDSs have clients failing to advance oldest client/flush tid",
    ),
    8: ("MDS_DAMAGE", "MDSs report damaged metadata"),
    9: ("MDS_READ_ONLY", "MDSs are read only"),
    10: ("MDS_SLOW_REQUEST", "MDSs report slow requests"),
    11: ("MDS_CACHE_OVERSIZED", "MDSs report oversized cache"),
    12: ("MDS_SLOW_METADATA_IO", "MDSs report slow metadata IOs"),
    14: ("MDS_CLIENTS_LAGGY", "client(s) laggy due to laggy OSDs"),
}
"""What daemons complain of in beacons, by number: the check's code, and the line after a count.
13 is a placeholder that is never shown."""


@define
class _Check:
    severity: str
    summary: str
    detail: list[str] = field(factory=list)
    count: int = 0


@define
class _Checks:
    found: dict[str, _Check] = field(factory=dict)

    def add(self, code: str, severity: str, summary: str, detail: str, count: int = 1) -> None:
        check = self.found.setdefault(code, _Check(severity, summary))
        check.severity = severity
        check.count += count
        check.detail.append(detail)


def health_checks(view: FSMapView, health: Mapping[int, MDSHealth]) -> list[HealthCheck]:
    """All checks of the map and of what the daemons in it complain of, by code."""
    checks = _Checks()
    _complaints(view, health, checks)
    wanted = 0
    for fs in view.map.filesystems:
        _stuck_ranks(view, fs, checks)
        _mds_map(fs.mds_map, checks)
        have = len(view.map.standby_daemons)
        have += len(fs.mds_map.get_mds_set(State.STANDBY_REPLAY))
        wanted = max(wanted, max(0, fs.mds_map.standby_count_wanted) - have)
    if wanted:
        checks.add(
            "MDS_INSUFFICIENT_STANDBY",
            HEALTH_WARN,
            "insufficient standby MDS daemons available",
            f"have {len(view.map.standby_daemons)}; want {wanted} more",
        )
    return [
        HealthCheck(
            code,
            check.severity,
            _worded(check.summary, len(check.detail)),
            check.detail,
            check.count,
        )
        for code, check in sorted(checks.found.items())
    ]


def _worded(summary: str, count: int) -> str:
    many = count > 1
    for mark, text in (
        ("%num%", str(count)),
        ("%plurals%", "s" if many else ""),
        ("%isorare%", "are" if many else "is"),
        ("%hasorhave%", "have" if many else "has"),
    ):
        summary = summary.replace(mark, text)
    return summary


def _complaints(view: FSMapView, health: Mapping[int, MDSHealth], checks: _Checks) -> None:
    for gid, info in view.infos().items():
        for metric in health.get(gid, MDSHealth()).metrics:
            known = METRICS.get(metric.type)
            if known is None:
                continue
            code, line = known
            details = ", ".join(f"{k}: {v}" for k, v in sorted(metric.metadata.items()))
            said = f"mds.{info.name}(mds.{info.rank}): {metric.message}"
            severity = _SEVERITIES.get(metric.sev, HEALTH_WARN)
            checks.add(code, severity, f"%num% {line}", f"{said} {details}" if details else said)


def _stuck_ranks(view: FSMapView, fs: Filesystem, checks: _Checks) -> None:
    stuck = [r for r in fs.mds_map.failed if view.find_replacement_for(fs, r) is None]
    if stuck:
        checks.add(
            "FS_WITH_FAILED_MDS",
            HEALTH_WARN,
            "%num% filesystem%plurals% %hasorhave% a failed mds daemon",
            f"fs {fs.mds_map.fs_name} has {len(stuck)} failed mds{'s' if len(stuck) > 1 else ''}",
        )


def _mds_map(mds_map: MDSMap, checks: _Checks) -> None:
    name = mds_map.fs_name
    for rank in sorted(mds_map.damaged):
        checks.add(
            "MDS_DAMAGE",
            HEALTH_ERR,
            "%num% mds daemon%plurals% damaged",
            f"fs {name} mds.{rank} is damaged",
        )
    if mds_map.is_degraded():
        checks.add(
            "FS_DEGRADED",
            HEALTH_WARN,
            "%num% filesystem%plurals% %isorare% degraded",
            f"fs {name} is degraded",
        )
    if len(mds_map.in_) < mds_map.max_mds:
        checks.add(
            "MDS_UP_LESS_THAN_MAX",
            HEALTH_WARN,
            "%num% filesystem%plurals% %isorare% online with fewer MDS than max_mds",
            f"fs {name} has {len(mds_map.in_)} MDS online, but wants {mds_map.max_mds}",
        )
    if not mds_map.up and mds_map.max_mds > 0:
        checks.add(
            "MDS_ALL_DOWN",
            HEALTH_ERR,
            "%num% filesystem%plurals% %isorare% offline",
            f"fs {name} is offline because no MDS is active for it.",
        )
    if (
        mds_map.max_mds > 1
        and mds_map.ever_allowed_features & FLAG_ALLOW_SNAPS
        and not mds_map.test_flag(FLAG_ALLOW_MULTIMDS_SNAPS)
    ):
        checks.add(
            "MULTIMDS_WITH_OLDSNAPS",
            HEALTH_ERR,
            "%num% filesystem%plurals% %isorare% multi-active mds with old snapshots",
            "multi-active mds while there are snapshots possibly created by pre-mimic MDS",
        )
    if mds_map.inline_data_enabled:
        checks.add(
            "FS_INLINE_DATA_DEPRECATED",
            HEALTH_WARN,
            "%num% filesystem%plurals% with deprecated feature inline_data",
            f"fs {name} has deprecated feature inline_data enabled.",
        )
