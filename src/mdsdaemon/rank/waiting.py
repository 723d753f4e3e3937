"""How work in a rank waits: it is tried, and tried again when what it lacked is there.

A try is synchronous. It either does all of its work or, having changed nothing, raises `MustWait`
with the `Gate` that opens when another try has a chance. So nothing is half-changed across a wait,
and no task exists for a request that has nothing to wait for.

    queue = RunQueue()
    gate = queue.gate()
    gate.add(lambda: queue.attempt(again))      # or: await gate.wait()
    gate.open()                                 # runs what waits at the next drain()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

T = TypeVar("T")
Callback = Callable[[], None]

AT_ONCE = 64
"""What is looked for side by side, unless somebody says otherwise."""


class MustWait(Exception):
    """A try lacks something, and has changed nothing.

    Attributes:
        gate: opens when another try makes sense.
    """

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate


class RunQueue:
    """Callbacks whose time has come, in order.

    Whoever opened gates calls `drain` once its own state is whole; `run` is the task that drains
    what nobody else did.
    """

    __slots__ = ("_draining", "_held", "_queue", "_wake")

    def __init__(self) -> None:
        self._queue: deque[Callback] = deque()
        self._draining = False
        self._held = False
        self._wake: Callback | None = None

    def gate(self) -> Gate:
        """A new gate whose callbacks run from this queue."""
        return Gate(self)

    def push(self, callback: Callback) -> None:
        """Run this at the next drain."""
        self._queue.append(callback)
        if not (self._draining or self._held):
            self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake()

    def hold(self) -> None:
        """Whoever says this drains before it says `release`: `run` need not be woken until then."""
        self._held = True

    def release(self) -> None:
        """As it was; what was not drained is for `run`."""
        self._held = False
        if self._queue:
            self._wake_up()

    def add(self, callback: Callback) -> None:
        """As `push`, for a caller that drains before it awaits anything."""
        self._queue.append(callback)

    def attempt(self, work: Callback) -> None:
        """Try `work` now, and again whenever the gate that it waits for opens."""
        try:
            work()
        except MustWait as wait:
            wait.gate.add(lambda: self.attempt(work))

    def drain(self) -> None:
        """Run all that has come due, and what comes due by that. Nested calls do nothing."""
        if self._draining:
            return
        self._draining = True
        queue = self._queue
        try:
            while queue:
                queue.popleft()()
        finally:
            self._draining = False

    def __len__(self) -> int:
        return len(self._queue)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drain whenever something was pushed outside of a drain."""
        task_status.started()
        while True:
            if not self._queue:
                event = trio.Event()
                self._wake = event.set
                await event.wait()
            self.drain()
            await trio.lowlevel.checkpoint()


class Gate:
    """What several callbacks wait for; each runs once, after the gate was opened."""

    __slots__ = ("_queue", "_waiters")

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._waiters: list[Callback] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiters)

    def add(self, callback: Callback) -> None:
        """Run this once, when the gate opens."""
        self._waiters.append(callback)

    def open(self) -> None:
        """Let all that wait run at the next drain; who comes later waits for the next opening."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for callback in waiters:
                self._queue.push(callback)

    async def wait(self) -> None:
        """Wait for the next opening."""
        event = trio.Event()
        self.add(event.set)
        await event.wait()


async def until_done(work: Callable[[], T]) -> T:
    """Try `work` until it does not have to wait any more; for tasks."""
    while True:
        try:
            return work()
        except MustWait as wait:
            await wait.gate.wait()


async def side_by_side(
    work: Callable[[T], Awaitable[object]], items: Iterable[T], at_once: int = AT_ONCE
) -> None:
    """Do `work` for each, in order, so many at a time.

    The first error ends the others and is raised as it is, not in a group.
    """
    left = list(items)
    coming = iter(left)
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery:

        async def worker() -> None:
            try:
                for item in coming:
                    await work(item)
            except Exception as error:
                errors.append(error)
                nursery.cancel_scope.cancel()

        for _ in left[:at_once]:
            nursery.start_soon(worker)
    if errors:
        raise errors[0]
