"""What all connections of one messenger share: its name, addresses, counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from mdsdaemon.types.entity import EntityAddr, EntityAddrVec, PeerName


@define(eq=False)
class Endpoint:
    """One messenger's identity on the wire. `name` and `addrs` may change while connections live.

    `randbytes(n)` is the source of cookies.
    """

    name: PeerName
    addrs: EntityAddrVec
    randbytes: Callable[[int], bytes] = field(repr=False)
    global_seq: int = 0

    def next_global_seq(self, at_least: int = 0) -> int:
        """Count one more connection attempt; the result is greater than `at_least` (32 bits)."""
        self.global_seq = (max(self.global_seq, at_least) + 1) & 0xFFFFFFFF
        return self.global_seq

    def new_cookie(self) -> int:
        """A random session cookie, never 0."""
        return int.from_bytes(self.randbytes(8), "little") or 1

    @property
    def needs_addr(self) -> bool:
        """True while our own IP address is unknown (bound to the wildcard, or not bound)."""
        raise NotImplementedError

    def learn_addr(self, seen: EntityAddr) -> bool:
        """A peer sees us as `seen`: fill it in where our own IP is blank; True if used."""
        raise NotImplementedError
