"""Limits on what incoming messages may occupy: bytes, and number, in flight."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from mdsdaemon.records import define

if TYPE_CHECKING:
    from trio.lowlevel import Abort, RaiseCancelT, Task


@define
class ThrottleTally:
    """How a throttle has been used, under the names of Ceph's counters; `wait` in seconds."""

    get_started: int = 0
    get: int = 0
    get_sum: int = 0
    get_or_fail_fail: int = 0
    get_or_fail_success: int = 0
    take: int = 0
    take_sum: int = 0
    put: int = 0
    put_sum: int = 0
    waits: int = 0
    wait: float = 0.0


class Throttle:
    """A budget of units (bytes or messages) shared by many readers.

    First come, first served: nobody overtakes a waiter, so a large request is not starved by
    small ones. A request above the maximum passes once everything else has been given back;
    otherwise one large message could never arrive. `maximum` 0 means no limit.

    Behaviour: ceph/ceph, src/common/Throttle.cc (Pacific)
    """

    def __init__(self, name: str, maximum: int) -> None:
        self.name = name
        self.maximum = maximum
        self.current = 0
        self.tally = ThrottleTally()
        self._waiters: deque[tuple[Task, int]] = deque()

    def __repr__(self) -> str:
        return f"<Throttle {self.name} {self.current}/{self.maximum} +{len(self._waiters)}>"

    @property
    def waiting(self) -> int:
        """How many readers wait."""
        return len(self._waiters)

    def _fits(self, amount: int) -> bool:
        if not self.maximum or self.current == 0:
            return True
        return self.current + amount <= self.maximum

    def get_or_fail(self, amount: int = 1) -> bool:
        """Take `amount` if that is possible without waiting and without overtaking."""
        tally = self.tally
        if self._waiters or not self._fits(amount):
            tally.get_or_fail_fail += 1
            return False
        self.current += amount
        tally.get_or_fail_success += 1
        tally.get += 1
        tally.get_sum += amount
        return True

    async def get(self, amount: int = 1) -> None:
        """Take `amount`, waiting for it. Cancelled while waiting, it has taken nothing."""
        tally = self.tally
        tally.get_started += 1
        if not self._waiters and self._fits(amount):
            self.current += amount
        else:
            begin = trio.current_time()
            await self._wait(amount)
            tally.waits += 1
            tally.wait += trio.current_time() - begin
        tally.get += 1
        tally.get_sum += amount

    async def _wait(self, amount: int) -> None:
        entry = (trio.lowlevel.current_task(), amount)
        self._waiters.append(entry)

        def abort(_: RaiseCancelT) -> Abort:
            self._waiters.remove(entry)
            self._wake()  # the one behind may fit where this one did not
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def take(self, amount: int = 1) -> None:
        """Take `amount` at once, even beyond the maximum: what is taken is there already."""
        self.current += amount
        self.tally.take += 1
        self.tally.take_sum += amount

    @property
    def has_room(self) -> bool:
        """Nobody waits, and the maximum is not reached."""
        return not self.maximum or (self.current < self.maximum and not self._waiters)

    async def room(self) -> None:
        """Wait for `has_room`, in turn with the others."""
        await self.get(1)
        self.put(1)

    def put(self, amount: int = 1) -> None:
        """Give back what `get` took."""
        if amount > self.current:
            raise ValueError(f"throttle {self.name}: {amount} given back, {self.current} taken")
        self.current -= amount
        self.tally.put += 1
        self.tally.put_sum += amount
        if self._waiters:
            self._wake()

    def set_maximum(self, maximum: int) -> None:
        """Change the limit; readers that fit now go on."""
        self.maximum = maximum
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self._fits(self._waiters[0][1]):
            task, amount = self._waiters.popleft()
            self.current += amount
            trio.lowlevel.reschedule(task)
