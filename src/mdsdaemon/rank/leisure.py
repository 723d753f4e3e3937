"""Leisure: work that nobody waits for gives way to what clients ask for.

Deleting the data of what was unlinked, taking strays out of the tree, giving strays to their hard
links: all of that can be done a little later. It is done at once while clients are silent, and
little by little while they are not, the quicker the more of it there is; and at once when there is
no room: a stray fills the cache, a segment waits for what it has to delete. ceph-mds has threads of
its own for what we do here between messages.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import trio

Callback = Callable[[], None]

SILENCE = 0.005
"""Seconds without a message of a client after which clients are taken to be silent."""
PACE = 0.02
"""Seconds between two turns while clients are not silent."""
AT_A_TURN = 8
"""Pieces of work done before other tasks get their turn; each takes 0.1 or 0.2 ms."""
BACKLOG = 128
"""So many pieces that wait add one to a turn: nothing that clients cause piles up for good."""


class Leisure:
    """See the module.

    Args:
        after: called when a turn is over, for what became possible by it.
        is_urgent: whether the work must not be put off.
    """

    __slots__ = ("_after", "_asked", "_idle", "_is_urgent", "_wake", "_work")

    def __init__(self, after: Callback, is_urgent: Callable[[], bool] = lambda: False) -> None:
        self._after = after
        self._is_urgent = is_urgent
        self._work: deque[Callback] = deque()
        self._asked = -math.inf
        self._wake: Callback | None = None
        self._idle = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._work)

    def asked(self, now: float) -> None:
        """A client asks for something, at this time of Trio's clock."""
        self._asked = now

    def push(self, callback: Callback) -> None:
        """Run this, in order, when there is time."""
        self._work.append(callback)
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake()

    def turn(self) -> None:
        """Do some of it now."""
        work = self._work
        for _ in range(min(len(work), AT_A_TURN + len(work) // BACKLOG)):
            work.popleft()()
        self._after()
        if not work:
            self._idle.unpark_all()

    async def idle(self) -> None:
        """Wait until nothing is left of it."""
        while self._work:
            await self._idle.park()

    def _is_silent(self) -> bool:
        return trio.current_time() - self._asked >= SILENCE

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what was pushed, until cancelled."""
        task_status.started()
        while True:
            if not self._work:
                event = trio.Event()
                self._wake = event.set
                await event.wait()
            if self._is_silent() or self._is_urgent():
                await trio.lowlevel.checkpoint()
            else:
                await trio.sleep(PACE)
            self.turn()
