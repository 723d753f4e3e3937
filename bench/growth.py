"""Whether a cost grows worse than linear with the size of what it is paid for."""

from __future__ import annotations

import math
from collections.abc import Mapping

SETTLED = 1000
"""Below this size what is paid once is seen, not what is paid for each."""
WORSE = 1.2
"""An exponent above this is worse than linear: caches that overflow make up for the rest."""


def exponent(each: Mapping[int, float]) -> float | None:
    """The whole cost grows as size to the power of this, given the cost of each at some sizes.

    The slope of a line through the logarithms, from `SETTLED` on, plus one; None for fewer than
    two sizes.
    """
    settled = {n: cost for n, cost in each.items() if n >= SETTLED and cost > 0}
    points = [(math.log(n), math.log(cost)) for n, cost in settled.items()]
    if len(points) < 2:
        return None
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return 1 + slope / sum((x - middle_x) ** 2 for x, _ in points)
