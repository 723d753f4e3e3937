"""What all connections of one messenger share: its name, addresses, counters."""

from __future__ import annotations

from collections.abc import Callable

from mdsdaemon.records import define, field
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec, PeerName


@define(eq=False)
class Endpoint:
    """One messenger's identity on the wire. `name` and `addrs` may change while connections live.

    `randbytes(n)` is the source of cookies.
    """

    name: PeerName
    addrs: EntityAddrVec
    randbytes: Callable[[int], bytes] = field(repr=False)
    nonce: int = 0
    global_seq: int = 0

    def next_global_seq(self, at_least: int = 0) -> int:
        """Count one more connection attempt; the result is greater than `at_least`."""
        self.global_seq = max(self.global_seq, at_least) + 1
        return self.global_seq

    def new_cookie(self) -> int:
        """A random session cookie, never 0."""
        return int.from_bytes(self.randbytes(8), "little") or 1

    @property
    def needs_addr(self) -> bool:
        """True while our own IP address is unknown (bound to the wildcard, or not bound)."""
        return not self.addrs or self.addrs.addrs[0].is_blank_ip

    def learn_addr(self, seen: EntityAddr) -> bool:
        """A peer sees us as `seen`: fill its IP in where ours is blank; True if `addrs` changed.

        Types, nonces and ports stay ours. Without any address, one of type ANY, port 0, and the
        nonce given at construction is made.
        """
        if seen.is_blank_ip or not self.needs_addr:
            return False
        if not self.addrs:
            own = EntityAddr(EntityAddr.TYPE_ANY, self.nonce, seen.host, 0, seen.rest)
            self.addrs = EntityAddrVec.of(own)
            return True
        filled = tuple(
            EntityAddr(mine.type, mine.nonce, seen.host, mine.port, seen.rest)
            if mine.is_blank_ip and (not mine.host or mine.is_ipv6 == seen.is_ipv6)
            else mine
            for mine in self.addrs.addrs
        )
        changed = filled != self.addrs.addrs
        self.addrs = EntityAddrVec(filled)
        return changed
