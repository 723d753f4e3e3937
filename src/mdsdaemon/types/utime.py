"""Times as Ceph prints them. In Python a utime_t is an int of nanoseconds since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

NSEC = 1_000_000_000
RELATIVE_BELOW = 60 * 60 * 24 * 365 * 10
"""Seconds: Ceph prints what lies below as a span of time, not as a date."""


def from_seconds(seconds: float) -> int:
    """Nanoseconds of a time in float seconds, to the microsecond that a float holds."""
    return round(seconds * 1_000_000) * 1000


def _moment(time: int, zone: tzinfo | None) -> datetime:
    from datetime import UTC, datetime, timedelta  # a daemon hardly ever prints such times

    moment = datetime(1970, 1, 1, tzinfo=UTC)
    moment += timedelta(seconds=time // NSEC, microseconds=time % NSEC // 1000)
    return moment.astimezone(zone or UTC)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _relative(time: int) -> str:
    return f"{time // NSEC}.{time % NSEC // 1000:06d}"


def utime_str(time: int, zone: tzinfo | None = None) -> str:
    """As Ceph prints a time in most of its output: ``2026-01-31T12:00:00.000001+0000``.

    Times of the first ten years of the epoch are spans: ``12.500000``. The zone is UTC by default.
    """
    if time < RELATIVE_BELOW * NSEC:
        return _relative(time)
    moment = _moment(time, zone)
    return _iso(moment) + moment.strftime("%z")


def utime_gmstr(time: int) -> str:
    """As Ceph prints a time where it says so in UTC, as in a MonMap: ``…T12:00:00.000001Z``."""
    if time < RELATIVE_BELOW * NSEC:
        return _relative(time)
    return _iso(_moment(time, None)) + "Z"
