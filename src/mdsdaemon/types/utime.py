"""Times as Ceph prints them. In Python a utime_t is an int of nanoseconds since the epoch."""

from datetime import UTC, datetime, timedelta, tzinfo

NSEC = 1_000_000_000
RELATIVE_BELOW = 60 * 60 * 24 * 365 * 10
"""Seconds: Ceph prints what lies below as a span of time, not as a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_seconds(seconds: float) -> int:
    """Nanoseconds of a time in float seconds, to the microsecond that a float holds."""
    return round(seconds * 1_000_000) * 1000


def _iso(time: int, zone: tzinfo) -> str:
    moment = _EPOCH + timedelta(seconds=time // NSEC, microseconds=time % NSEC // 1000)
    return moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _relative(time: int) -> str:
    return f"{time // NSEC}.{time % NSEC // 1000:06d}"


def utime_str(time: int, zone: tzinfo = UTC) -> str:
    """As Ceph prints a time in most of its output: ``2026-01-31T12:00:00.000001+0000``.

    Times of the first ten years of the epoch are spans: ``12.500000``.
    """
    if time < RELATIVE_BELOW * NSEC:
        return _relative(time)
    moment = _EPOCH + timedelta(seconds=time // NSEC)
    return _iso(time, zone) + moment.astimezone(zone).strftime("%z")


def utime_gmstr(time: int) -> str:
    """As Ceph prints a time where it says so in UTC, as in a MonMap: ``…T12:00:00.000001Z``."""
    if time < RELATIVE_BELOW * NSEC:
        return _relative(time)
    return _iso(time, UTC) + "Z"
