"""A network in memory: every delay, cut and chunk of it is drawn from one seed.

Hosts are named by IP address, ports are per host, time is Trio's clock (a `MockClock` makes hours
cost nothing). The transports of one network see each other and nothing else. With the same seed,
the same program and Trio's deterministic scheduling, a run repeats itself byte for byte.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Final

import trio
from attrs import define

from mdsdaemon.net.stream import (
    AcceptExhausted,
    BindError,
    ConnectError,
    Listener,
    Stream,
    Transport,
)
from mdsdaemon.types.entity import EntityAddr

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW: Final = 256 * 1024
"""Bytes under way or unread in one direction before the sender waits."""

EPHEMERAL_PORTS: Final = range(32768, 61000)
_BACKLOG: Final = 512
_WILDCARDS: Final = ("0.0.0.0", "::")


@define
class LinkSettings:
    """How a link behaves. Times in seconds, probabilities per sent buffer."""

    delay: tuple[float, float] = (0.0001, 0.001)
    """One-way delay, drawn anew for each sent buffer; order is kept."""
    chunked: bool = True
    """Deliver in pieces of random size, so that frames arrive cut anywhere."""
    cut_probability: float = 0.0
    """Chance that a send breaks the connection, losing a random part of what is under way."""


class _Pipe:
    """One direction of a connection."""

    def __init__(self, network: MemoryNetwork, source: str, target: str) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.in_flight: deque[tuple[float, bytes | None]] = deque()  # None: end of stream
        self.unread = bytearray()
        self.size = 0
        self.ended = False
        self.error: str | None = None
        self.changed = trio.lowlevel.ParkingLot()

    def push(self, data: bytes | None) -> None:
        now = trio.current_time()
        due = now + self.network.draw_delay(self.source, self.target)
        if self.in_flight:
            due = max(due, self.in_flight[-1][0])
        self.in_flight.append((due, data))
        self.size += len(data or b"")
        self.changed.unpark_all()

    def arrive(self) -> float | None:
        """Move what is due into `unread`; returns when the next piece is due, None if unknown."""
        if self.network.is_partitioned(self.source, self.target):
            return None
        now = trio.current_time()
        while self.in_flight and self.in_flight[0][0] <= now:
            data = self.in_flight.popleft()[1]
            if data is None:
                self.ended = True
            else:
                self.unread += data
        return self.in_flight[0][0] if self.in_flight else None

    def break_off(self, reason: str) -> None:
        """Break: a random part of what is under way still arrives, then the reader's error."""
        if self.error is not None:
            return
        rng = self.network.rng
        pending = b"".join(data for _, data in self.in_flight if data)
        self.in_flight.clear()
        self.unread += pending[: rng.randint(0, len(pending))]
        self.error = reason
        self.changed.unpark_all()


class MemoryStream(Stream):
    """One end of a connection of a `MemoryNetwork`."""

    def __init__(
        self, network: MemoryNetwork, local: EntityAddr, peer: EntityAddr, tx: _Pipe, rx: _Pipe
    ) -> None:
        self.local_addr = local
        self.peer_addr = peer
        self._network = network
        self._tx = tx
        self._rx = rx
        self.closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Up to `max_bytes` bytes; b"" at the end of the stream."""
        await trio.lowlevel.checkpoint()
        rx = self._rx
        while True:
            if self.closed:
                raise trio.ClosedResourceError("closed by this process")
            due = rx.arrive()
            if rx.unread:
                size = len(rx.unread) if max_bytes is None else min(max_bytes, len(rx.unread))
                if self._network.link(rx.source, rx.target).chunked:
                    size = self._network.draw_chunk(size)
                data = bytes(rx.unread[:size])
                del rx.unread[:size]
                rx.size -= size
                rx.changed.unpark_all()
                return data
            if rx.error is not None:
                raise trio.BrokenResourceError(rx.error)
            if rx.ended:
                return b""
            if due is None:
                await rx.changed.park()
            else:
                with trio.move_on_at(due):
                    await rx.changed.park()

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over a prefix of `data`; 0 when `WINDOW` is full."""
        if self.closed:
            raise trio.ClosedResourceError("closed by this process")
        if self._tx.error is not None:
            raise trio.BrokenResourceError(self._tx.error)
        size = min(len(data), WINDOW - self._tx.size)
        if size <= 0:
            return 0
        self._tx.push(bytes(data[:size]))
        if self._network.draw_cut(self._tx.source, self._tx.target):
            self.break_off("connection reset by the network")
        return size

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, waiting for the reader when the window is full."""
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while True:
            view = view[self.send_nowait(view) :]
            if not view:
                return
            await self._tx.changed.park()

    def break_off(self, reason: str) -> None:
        """Break both directions, as a reset on the wire does."""
        self._tx.break_off(reason)
        self._rx.break_off(reason)
        self._network.streams.discard(self)

    def close(self) -> None:
        """Close: the peer reads what is under way, then the end of the stream."""
        if self.closed:
            return
        self.closed = True
        self._network.streams.discard(self)
        if self._tx.error is None:
            self._tx.push(None)
        # Nobody reads here any more: a sender over there learns it as from a reset.
        self._rx.error = self._rx.error or "connection reset by peer"
        self._rx.changed.unpark_all()


class MemoryListener(Listener):
    """A port of a `MemoryNetwork` host."""

    def __init__(self, network: MemoryNetwork, host: str, addr: EntityAddr) -> None:
        self.addr = addr
        self._key = (host, addr.port)
        self._network = network
        self._backlog: deque[MemoryStream] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self.closed = False
        self.exhausted = False
        """Set by a test: accept fails as it does without a free file descriptor."""

    def offer(self, stream: MemoryStream) -> bool:
        if self.closed or len(self._backlog) >= _BACKLOG:
            return False
        self._backlog.append(stream)
        self._changed.unpark_all()
        return True

    async def accept(self) -> MemoryStream:
        """The next connection."""
        await trio.lowlevel.checkpoint()
        while True:
            if self.closed:
                raise trio.ClosedResourceError("closed by this process")
            if self._backlog:
                if self.exhausted:
                    raise AcceptExhausted(self.addr, "Too many open files")
                return self._backlog.popleft()
            await self._changed.park()

    def close(self) -> None:
        """Stop listening."""
        self.vanish()
        self.closed = True
        self._changed.unpark_all()

    def vanish(self) -> None:
        """Be no longer found; who waits in the backlog is reset."""
        if self._network.listeners.get(self._key) is self:
            del self._network.listeners[self._key]
        while self._backlog:
            self._backlog.popleft().break_off("connection reset by peer")


class MemoryTransport(Transport):
    """What one host has of a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.network = network
        self.host = host

    async def open_stream(self, addr: EntityAddr) -> MemoryStream:
        """Connect; waits as long as a partition lasts."""
        return await self.network.connect(self.host, addr)

    async def listen(self, addr: EntityAddr) -> MemoryListener:
        """Bind to a port of this host."""
        await trio.lowlevel.checkpoint()
        return self.network.listen(self.host, addr)


class MemoryNetwork:
    """Hosts, links, and the faults between them. All randomness comes from `seed`."""

    def __init__(self, seed: int, defaults: LinkSettings | None = None) -> None:
        self.rng = random.Random(seed)
        self.defaults = defaults or LinkSettings()
        self.links: dict[tuple[str, str], LinkSettings] = {}
        self.listeners: dict[tuple[str, int], MemoryListener] = {}
        self.streams: set[MemoryStream] = set()
        self.crashed: set[str] = set()
        self._groups: list[frozenset[str]] = []
        self._healed = trio.lowlevel.ParkingLot()
        self._next_port: dict[str, int] = {}

    # -- what tests turn ------------------------------------------------------------------

    def transport(self, host: str) -> MemoryTransport:
        """The transport of `host` (an IP address); hosts need no declaration."""
        return MemoryTransport(self, host)

    def set_link(self, a: str, b: str, settings: LinkSettings) -> None:
        """Give the link between two hosts its own settings, both directions."""
        self.links[a, b] = self.links[b, a] = settings

    def partition(self, *groups: Iterable[str]) -> None:
        """Hosts in different groups hear nothing of each other until `heal()`.

        Hosts in no group hear everyone. Bytes sent across are kept and arrive after healing,
        as TCP's retransmission has it.
        """
        self._groups = [frozenset(group) for group in groups]

    def heal(self) -> None:
        """End the partition."""
        self._groups = []
        self._healed.unpark_all()
        for stream in list(self.streams):
            stream._rx.changed.unpark_all()

    def cut(self, a: str | None = None, b: str | None = None) -> int:
        """Break every connection between two hosts (of one host, of all); returns how many."""
        victims = [s for s in self._ordered() if self._touches(s, a, b)]
        for stream in victims:
            stream.break_off("connection reset by the network")
        return len(victims) // 2

    def crash(self, host: str) -> None:
        """The host dies: its listeners vanish, its connections break, connects to it time out."""
        self.crashed.add(host)
        for listener in [v for (where, _), v in self.listeners.items() if where == host]:
            listener.vanish()
        self.cut(host)

    def restart(self, host: str) -> None:
        """The host is back, with nothing listening."""
        self.crashed.discard(host)
        self._healed.unpark_all()

    # -- what streams ask -----------------------------------------------------------------

    def link(self, a: str, b: str) -> LinkSettings:
        return self.links.get((a, b), self.defaults)

    def draw_delay(self, a: str, b: str) -> float:
        return self.rng.uniform(*self.link(a, b).delay)

    def draw_cut(self, a: str, b: str) -> bool:
        probability = self.link(a, b).cut_probability
        return probability > 0 and self.rng.random() < probability

    def draw_chunk(self, available: int) -> int:
        """Mostly everything, sometimes any prefix, sometimes a few bytes."""
        kind = self.rng.random()
        if kind < 0.5 or available == 1:
            return available
        return self.rng.randint(1, min(available, 16) if kind < 0.7 else available)

    def is_partitioned(self, a: str, b: str) -> bool:
        if a in self.crashed or b in self.crashed:
            return True
        group_a = next((group for group in self._groups if a in group), None)
        group_b = next((group for group in self._groups if b in group), None)
        return group_a is not None and group_b is not None and group_a is not group_b

    def listen(self, host: str, addr: EntityAddr) -> MemoryListener:
        if addr.host != host and addr.host not in _WILDCARDS:
            raise BindError(addr, 99, f"this host has no address {addr.host}")
        port = addr.port or self._ephemeral(host)
        if (host, port) in self.listeners:
            raise BindError(
                addr,
                98,
                f"port {port} is in use by another process; "
                "stop that process or choose another port",
            )
        bound = EntityAddr(addr.type, addr.nonce, addr.host, port)
        listener = self.listeners[host, port] = MemoryListener(self, host, bound)
        return listener

    async def connect(self, host: str, addr: EntityAddr) -> MemoryStream:
        await trio.sleep(2 * self.draw_delay(host, addr.host))
        while self.is_partitioned(host, addr.host):
            await self._healed.park()
        listener = self.listeners.get((addr.host, addr.port))
        local = EntityAddr(EntityAddr.TYPE_MSGR2, 0, host, self._ephemeral(host))
        peer = EntityAddr(EntityAddr.TYPE_MSGR2, 0, addr.host, addr.port)
        there = _Pipe(self, host, addr.host)
        back = _Pipe(self, addr.host, host)
        ours = MemoryStream(self, local, peer, there, back)
        theirs = MemoryStream(self, peer, local, back, there)
        if listener is None or not listener.offer(theirs):
            raise ConnectError(addr, "Connection refused", refused=True)
        self.streams |= {ours, theirs}
        return ours

    # -- private --------------------------------------------------------------------------

    def _ephemeral(self, host: str) -> int:
        port = self._next_port.get(host, EPHEMERAL_PORTS.start)
        self._next_port[host] = port + 1 if port + 1 in EPHEMERAL_PORTS else EPHEMERAL_PORTS.start
        return port

    def _ordered(self) -> list[MemoryStream]:
        return sorted(self.streams, key=lambda s: (str(s.local_addr), str(s.peer_addr)))

    @staticmethod
    def _touches(stream: MemoryStream, a: str | None, b: str | None) -> bool:
        ends = (stream.local_addr.host, stream.peer_addr.host)
        return (a is None or a in ends) and (b is None or b in ends)
