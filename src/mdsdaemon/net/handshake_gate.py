"""A bound on peers that have not yet proved who they are.

A socket costs a file descriptor, a task and buffers from the moment it is accepted, and anybody
can open one. Beyond the limit the oldest handshake of the source address that holds the most is
ended: a flood from one place spends its own share, and an honest peer, whose handshake takes a
few round trips, gets through while the silent ones time out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HANDSHAKES: Final = 256


class HandshakeGate:
    """Counts accepted connections until they are authenticated."""

    def __init__(self, limit: int = MAX_HANDSHAKES) -> None:
        self.limit = limit
        self.evicted = 0
        self._by_host: dict[str, dict[int, Callable[[], None]]] = {}
        self._hosts: dict[int, str] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def enter(self, host: str, evict: Callable[[], None]) -> int:
        """A peer at `host` was accepted; `evict` ends its handshake. Returns a ticket."""
        if len(self._hosts) >= self.limit:
            self.evict_one()
        self._serial += 1
        self._by_host.setdefault(host, {})[self._serial] = evict
        self._hosts[self._serial] = host
        return self._serial

    def leave(self, ticket: int) -> None:
        """The handshake is over, whatever its outcome; harmless when repeated."""
        host = self._hosts.pop(ticket, None)
        if host is not None:
            tickets = self._by_host[host]
            del tickets[ticket]
            if not tickets:
                del self._by_host[host]

    def evict_one(self) -> bool:
        """End the oldest handshake of the busiest host; False when there is none."""
        if not self._by_host:
            return False
        busiest = max(self._by_host.values(), key=len)
        ticket, evict = next(iter(busiest.items()))
        self.leave(ticket)
        self.evicted += 1
        evict()
        return True
