"""What is wrong with a rank, as its beacons tell the monitors.

Behaviour: ceph/ceph, src/mds/Beacon.cc, notify_health (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import trio

from mdsdaemon.types.health import HealthStatus, MDSHealthMetric, MDSHealthType

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank
    from mdsdaemon.rank.session import Session


def collect(rank: MDSRank) -> list[MDSHealthMetric]:
    """All complaints, in ceph-mds's order."""
    return [metric for check in CHECKS for metric in check(rank)]


def _warn(kind: MDSHealthType, message: str, **metadata: object) -> MDSHealthMetric:
    details = {key: str(value) for key, value in metadata.items()}
    return MDSHealthMetric(kind, HealthStatus.WARN, message, details)


def _damage(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    if len(rank.damage):
        yield MDSHealthMetric(MDSHealthType.DAMAGE, HealthStatus.ERR, "Metadata damage detected")


def _trim(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    config = rank.config
    most = config.get_int("mds_log_max_segments")
    segments = len(rank.mdlog.segments)
    if segments > int(most * config.get_float("mds_log_warn_factor")):
        yield _warn(
            MDSHealthType.TRIM,
            f"Behind on trimming ({segments}/{most})",
            num_segments=segments,
            max_segments=most,
        )


def _late_release(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    late = rank.locker.get_late_revoking_clients(rank.mdsmap.session_timeout)
    sessions = [s for s in map(rank.sessionmap.get_session, late) if s is not None]
    yield from _summarized(
        rank,
        sessions,
        MDSHealthType.CLIENT_LATE_RELEASE,
        MDSHealthType.CLIENT_LATE_RELEASE_MANY,
        "failing to respond to capability release",
        "failing to respond to capability release",
    )


def _recall(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    config = rank.config
    working_set = config.get_int("mds_min_caps_working_set")
    threshold = config.get_int("mds_recall_warning_threshold")
    slow, behind = [], []
    for session in rank.sessionmap:
        if len(session.caps) > working_set and session.loads.recall_caps.get() > threshold:
            slow.append(session)
        if _is_behind(rank, session):
            behind.append(session)
    yield from _summarized(
        rank,
        slow,
        MDSHealthType.CLIENT_RECALL,
        MDSHealthType.CLIENT_RECALL_MANY,
        "failing to respond to cache pressure",
        "failing to respond to cache pressure",
    )
    yield from _summarized(
        rank,
        behind,
        MDSHealthType.CLIENT_OLDEST_TID,
        MDSHealthType.CLIENT_OLDEST_TID_MANY,
        "failing to advance its oldest client/flush tid. ",
        "failing to advance their oldest client/flush tid",
    )


def _is_behind(rank: MDSRank, session: Session) -> bool:
    """Whether a client was asked to let us forget finished requests, and did not."""
    config = rank.config
    requests = len(session.info.completed_requests)
    flushes = len(session.info.completed_flushes)
    return (
        session.num_trim_requests_warnings > 0
        and requests >= config.get_int("mds_max_completed_requests")
    ) or (
        session.num_trim_flushes_warnings > 0
        and flushes >= config.get_int("mds_max_completed_flushes")
    )


def _summarized(
    rank: MDSRank,
    sessions: list[Session],
    each: MDSHealthType,
    many: MDSHealthType,
    text: str,
    text_many: str,
) -> Iterable[MDSHealthMetric]:
    """One complaint for each client, or one for all when there are too many."""
    if len(sessions) <= rank.config.get_int("mds_health_summarize_threshold"):
        for session in sessions:
            yield _warn(each, f"Client {session.human_name} {text}", client_id=session.name.num)
    else:
        yield _warn(many, f"Many clients ({len(sessions)}) {text_many}", client_count=len(sessions))


def _slow_requests(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    slow = rank.optracker.num_slow
    if slow:
        limit = rank.config.get_float("mds_op_complaint_time")
        yield _warn(
            MDSHealthType.SLOW_REQUEST, f"{slow} slow requests are blocked > {limit:g} secs"
        )


MAX_COUNTED = 100
"""Slow requests to RADOS that are counted; beyond that it says 100+."""


def _slow_metadata_io(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    limit = rank.config.get_float("osd_op_complaint_time")
    ages = rank.objecter.ages(trio.current_time())
    slow = [age for age in ages if age > limit]
    if slow:
        count = str(len(slow)) if len(slow) <= MAX_COUNTED else f"{MAX_COUNTED}+"
        yield _warn(
            MDSHealthType.SLOW_METADATA_IO,
            f"{count} slow metadata IOs are blocked > {limit:g} secs, "
            f"oldest blocked for {int(max(slow))} secs",
        )


def _read_only(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    if rank.read_only:
        yield _warn(MDSHealthType.READ_ONLY, "MDS in read-only mode")


def _oversized(rank: MDSRank) -> Iterable[MDSHealthMetric]:
    config = rank.config
    limit = config.get_int("mds_cache_memory_limit")
    used = rank.store.memory_used()
    if used > limit * config.get_float("mds_health_cache_threshold"):
        yield _warn(
            MDSHealthType.CACHE_OVERSIZED,
            f"MDS cache is too large ({in_units(used)}/{in_units(limit)}); "
            f"{rank.locker.num_inodes_with_caps} inodes in use by clients, "
            f"{rank.strays.num_strays} stray files",
        )


def in_units(size: int) -> str:
    """Bytes in the largest unit of which there is at least one: 4GB, 17kB."""
    for power, unit in ((5, "PB"), (4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >> (10 * power):
            return f"{size >> (10 * power)}{unit}"
    return f"{size}B"


Check = Callable[["MDSRank"], Iterable[MDSHealthMetric]]
CHECKS: tuple[Check, ...] = (
    _damage,
    _trim,
    _late_release,
    _recall,
    _slow_requests,
    _slow_metadata_io,
    _read_only,
    _oversized,
)
