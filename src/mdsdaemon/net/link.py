"""One socket of a connection: its stream, its wire, and the tasks that move bytes between them.

Writing: messages queue in the session. After each batch of input the reader flushes its own link,
and those that the batch gave something to send (`Outbox`): neither a reply nor what goes to others
by it costs a task switch. What is queued from elsewhere wakes the writer, which takes all
there is in one go. All write through `_flush`, which runs without interruption and does nothing
while a part of the last buffer is unsent, so that frames are encrypted in the order of sending.
A send that fails or is cancelled ends the link: what the peer has got of it is unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon.msgr2.events import KeepaliveAcked, KeepaliveReceived, MessageReceived, RemoteReset
from mdsdaemon.net.stream import RECEIVE_SIZE

if TYPE_CHECKING:
    from mdsdaemon.msgr2.events import Event
    from mdsdaemon.msgr2.wire import Wire
    from mdsdaemon.net.budget import Budget
    from mdsdaemon.net.counters import Tally
    from mdsdaemon.net.stream import Stream

HANDSHAKE_RECEIVE_SIZE: Final = 16 * 1024
MAX_RECEIVE_SIZE: Final = 1 << 20
SEND_SIZE: Final = 1 << 18
"""Frames are batched up to this many bytes for one send."""
_HANDLED: Final = (RemoteReset, KeepaliveAcked, KeepaliveReceived)
_BATCH: Final = 64
"""Events handled before other tasks get their turn."""


class LinkClosed(Exception):
    """The peer closed the stream, or said too little for too long."""


class Outbox:
    """The links of a messenger that are to be flushed when the present batch of input is done."""

    __slots__ = ("_links", "_open")

    def __init__(self) -> None:
        self._open = False
        self._links: list[Link] = []

    def open(self) -> None:
        """A batch of input begins; nothing is awaited before `close`."""
        self._open = True

    def take(self, link: Link) -> bool:
        """Flush `link` when the batch is done; False: there is none."""
        if self._open:
            self._links.append(link)
        return self._open

    def close(self, flushed: Link | None = None) -> None:
        """The batch is done: flush the links it gave something to, but for one that is flushed."""
        self._open = False
        if self._links:
            links, self._links = self._links, []
            for link in dict.fromkeys(links):
                if link is not flushed:
                    link.flush_or_fail()


class Link:
    """A stream and its wire. `deadline` (Trio's clock): when it must be ready."""

    def __init__(
        self, stream: Stream, wire: Wire, deadline: float, tally: Tally, outbox: Outbox
    ) -> None:
        self.tally = tally
        self.outbox = outbox
        self.stream = stream
        self.wire = wire
        self.deadline = deadline
        self.ready_at: float | None = None
        self.retained = False
        """Set while a message is dispatched: somebody else gives its budget back."""
        self._last_active = 0.0
        self._throttled = False
        self._unsent: memoryview | None = None
        self._unsendable: Exception | None = None
        self._writer_wakeup = trio.lowlevel.ParkingLot()
        self._failure: Exception | None = None

    def close(self) -> None:
        """Close the stream and silence the wire; idempotent."""
        self.wire.close()
        self.stream.close()

    # -- before messages -----------------------------------------------------------------

    async def handshake(self, handle: Callable[[Event], bool]) -> None:
        """Exchange frames until `handle(event)` returns True.

        Raises LinkClosed, ProtocolError, AuthError, trio.BrokenResourceError.
        """
        wire, stream = self.wire, self.stream
        while True:
            while (event := wire.next_event()) is not None:
                if handle(event):
                    return
            if wire.wants_write:
                await stream.send_all(wire.data_to_send())
            data = await stream.receive_some(HANDSHAKE_RECEIVE_SIZE)
            if not data:
                raise LinkClosed("the peer closed the connection during the handshake")
            wire.receive(data)

    # -- messages ------------------------------------------------------------------------

    async def pump(
        self,
        deliver: Callable[[MessageReceived, float], None],
        handle: Callable[[RemoteReset | KeepaliveAcked | KeepaliveReceived], None],
        budget: Budget,
        idle_limit: Callable[[], float],
    ) -> None:
        """Move messages until the link ends; `deliver` gets each with the time of its arrival.

        Raises what `deliver` and `handle` raise, LinkClosed, ProtocolError,
        trio.BrokenResourceError, trio.ClosedResourceError.
        """
        self.ready_at = self._last_active = trio.current_time()
        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            nursery.start_soon(self._guard, self._write_loop, scope)
            nursery.start_soon(self._guard, lambda: self._watch_idle(idle_limit), scope)
            await self._guard(lambda: self._read_loop(deliver, handle, budget), scope)
        if self._failure is not None:
            raise self._failure

    def kick(self) -> None:
        """Something was queued: see that it is sent."""
        if not self.outbox.take(self):
            self._writer_wakeup.unpark_all()

    def flush_or_fail(self) -> None:
        """Send what is queued, for another link's reader: a failure is this link's own."""
        try:
            self._flush()
        except Exception as exc:
            self._unsendable = exc
            self._writer_wakeup.unpark_all()

    def push(self) -> None:
        """Send what is queued now, unless more input is at hand: then with what that brings."""
        if not self.wire.has_input:
            self.flush_or_fail()

    def send_keepalive(self) -> None:
        """Ask the peer for a sign of life; its answer carries the time it was asked at."""
        self.wire.send_keepalive(trio.current_time())
        self.kick()

    async def _guard(self, run: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Keep the first failure for `pump` and end the other tasks of the link."""
        try:
            await run()
        except Exception as exc:
            if self._failure is None:
                self._failure = exc
        finally:
            scope.cancel()

    async def _read_loop(
        self,
        deliver: Callable[[MessageReceived, float], None],
        handle: Callable[[RemoteReset | KeepaliveAcked | KeepaliveReceived], None],
        budget: Budget,
    ) -> None:
        wire, stream, tally, outbox = self.wire, self.stream, self.tally, self.outbox
        clock = trio.lowlevel.current_clock().current_time
        reserved = -1  # bytes of the budget held for the message that is arriving; -1: none
        handled = 0
        try:
            while True:
                outbox.open()
                while True:
                    # A message counts as received once it is taken from the wire, so waiting
                    # (in which the link may end) comes before, and nothing after.
                    if reserved < 0 and not budget.has_room:
                        await self._wait_for(budget.room)
                    event = wire.next_event()
                    if event is None:
                        break
                    if type(event) is MessageReceived:
                        size = reserved
                        if size < 0:
                            size = event.nbytes
                            budget.take(size)
                        reserved = -1
                        self.retained = False
                        try:
                            deliver(event, self._last_active)
                        finally:
                            budget.give(size, retained=self.retained)
                    elif isinstance(event, _HANDLED):
                        handle(event)
                    if wire.closed:
                        return
                    handled += 1
                    if handled >= _BATCH:
                        handled = 0
                        self._flush_batch()
                        await trio.lowlevel.checkpoint()
                        outbox.open()
                incoming = wire.incoming_bytes
                if reserved >= 0 and reserved != incoming:
                    budget.give(reserved, retained=False)  # the sender aborted that message
                    reserved = -1
                if incoming and reserved < 0:
                    await self._wait_for(partial(budget.reserve, incoming))
                    reserved = incoming
                tally.running_recv_time += clock() - self._last_active
                self._flush_batch()
                data = await stream.receive_some(
                    RECEIVE_SIZE if incoming <= RECEIVE_SIZE else min(incoming, MAX_RECEIVE_SIZE)
                )
                if not data:
                    raise LinkClosed("the peer closed the connection")
                self._last_active = clock()
                tally.recv_bytes += len(data)
                wire.receive(data)
        finally:
            outbox.close(flushed=self)
            if reserved >= 0:
                budget.give(reserved, retained=False)

    async def _wait_for(self, budget: Callable[[], Awaitable[None]]) -> None:
        self._flush_batch()
        self._throttled = True
        try:
            await budget()
        finally:
            self._throttled = False
            self._last_active = trio.current_time()
        self.outbox.open()

    def _flush_batch(self) -> None:
        try:
            self._flush()
        finally:
            self.outbox.close(flushed=self)

    def _flush(self) -> None:
        """Hand what is queued to the kernel, as far as it takes it; the writer does the rest."""
        if self._unsent is not None:
            return
        data_to_send = self.wire.data_to_send
        while data := data_to_send(SEND_SIZE):
            sent = self.stream.send_nowait(data)
            self.tally.send_bytes += len(data)
            if sent < len(data):
                self._unsent = memoryview(data)[sent:]
                self._writer_wakeup.unpark_all()
                return
            if sent < SEND_SIZE:
                return

    async def _write_loop(self) -> None:
        while True:
            if self._unsendable is not None:
                raise self._unsendable
            if self._unsent is not None:
                await self.stream.send_all(self._unsent)
                self._unsent = None
            self._flush()
            if self._unsent is None:
                await self._writer_wakeup.park()

    async def _watch_idle(self, idle_limit: Callable[[], float]) -> None:
        while True:
            limit = idle_limit()
            if limit <= 0:  # as in Ceph: no limit
                await trio.sleep_forever()
            now = trio.current_time()
            if self._throttled:
                self._last_active = now
            if now - self._last_active >= limit:
                raise LinkClosed(f"nothing arrived for {limit:g} s")
            await trio.sleep_until(self._last_active + limit)
