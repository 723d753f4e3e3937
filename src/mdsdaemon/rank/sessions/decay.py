"""A count that fades.

Behaviour: ceph/ceph, src/common/DecayCounter.h and .cc (Pacific)
"""

from __future__ import annotations

from typing import Any

import trio

_LEAST = 0.01


class DecayCounter:
    """Half of it is forgotten in `halflife` seconds; less than 0.01 is nothing."""

    __slots__ = ("_at", "_value", "halflife")

    def __init__(self, halflife: float) -> None:
        self.halflife = halflife
        self._value = 0.0
        self._at = 0.0

    def hit(self, amount: float = 1.0, now: float | None = None) -> float:
        """Count; what the counter is now. `now`: of Trio's clock, for who has looked at it."""
        if now is None:
            now = trio.current_time()
        value = self._value
        if value:
            value = self._faded(now)
        value += amount
        if value < _LEAST:
            value = 0.0
        self._value, self._at = value, now
        return value

    def get(self) -> float:
        """What the counter is now."""
        return self._faded(trio.current_time())

    def _faded(self, now: float) -> float:
        if not self._value:
            return 0.0
        value: float = self._value * 0.5 ** ((now - self._at) / self.halflife)
        return value if value >= _LEAST else 0.0

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        return {"value": self.get(), "halflife": self.halflife}
