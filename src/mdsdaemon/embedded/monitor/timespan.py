"""Spans of time as Ceph reads them: ``90``, ``5m``, ``1h 30min``.

Behaviour: ceph/ceph, src/common/ceph_time.cc (Pacific)
"""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "wk", "week", "weeks"), 7 * 86400),
    **dict.fromkeys(("mo", "month", "months"), 30 * 86400),
    **dict.fromkeys(("y", "yr", "year", "years"), 365 * 86400),
}
_PART: Final = re.compile(r"\s*(\d+)\s*([a-zA-Z]*)\s*")


def parse_timespan(text: str) -> int:
    """Seconds of ``5m`` or ``1h 30min``; a number alone is seconds.

    Raises ValueError.
    """
    at, total = 0, 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise ValueError("expected digit")
        unit = found[2] or "s"
        if unit not in _UNITS:
            raise ValueError(f"unrecognized unit '{unit}'")
        total += int(found[1]) * _UNITS[unit]
        at = found.end()
    if not total or total > 1 << 40:
        raise ValueError("zero, or beyond all measure")
    return total
