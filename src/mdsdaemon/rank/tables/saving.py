"""Saves of one object, one after the other, each after the journal has what it stores."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore


class Ticket:
    """A save that is due. `error`: why it failed; `done`: it did not."""

    __slots__ = ("done", "error", "pos", "store")

    def __init__(self, store: Callable[[], Awaitable[None]], pos: int) -> None:
        self.store = store
        self.pos = pos
        self.done = False
        self.error: OSError | None = None


class SaveQueue:
    """The order of the saves is that of the calls of `add`."""

    __slots__ = ("_lock", "_tickets", "rank")

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self._lock = trio.Lock()
        self._tickets: deque[Ticket] = deque()

    def add(self, store: Callable[[], Awaitable[None]]) -> Ticket:
        """A save of the present state: after all that the journal has been given until now."""
        ticket = Ticket(store, self.rank.mdlog.write_pos)
        self._tickets.append(ticket)
        return ticket

    async def finish(self, ticket: Ticket) -> None:
        """Make this save, and those before it.

        Raises:
            OSError: the journal or the object could not be written.
        """
        while not ticket.done and ticket.error is None:
            async with self._lock:
                if self._tickets and not ticket.done and ticket.error is None:
                    await self._one(self._tickets[0])
        if ticket.error is not None:
            raise ticket.error

    async def _one(self, ticket: Ticket) -> None:
        try:
            await self.rank.mdlog.wait_safe(ticket.pos)
            await ticket.store()
        except OSError as exc:
            ticket.error = exc
        else:
            ticket.done = True
        self._tickets.popleft()

    async def run(self, store: Callable[[], Awaitable[None]]) -> None:
        """`add` and `finish`."""
        await self.finish(self.add(store))
