"""Work that nobody waits for: at once while clients are silent, little by little otherwise."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mdsdaemon.rank.leisure import AT_A_TURN, BACKLOG, PACE, SILENCE, Leisure


class Pieces:
    """Pieces of work that note when they were done, and turns."""

    def __init__(self) -> None:
        self.done: list[tuple[int, float]] = []
        self.turns = 0
        self.urgent = False
        self.leisure = Leisure(self._turn, lambda: self.urgent)

    def _turn(self) -> None:
        self.turns += 1

    def push(self, count: int) -> None:
        for number in range(count):
            self.leisure.push(lambda number=number: self._do(number))  # type: ignore[misc]

    def _do(self, number: int) -> None:
        self.done.append((number, trio.current_time()))


async def test_all_at_once_and_in_order_while_clients_are_silent(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pieces = Pieces()
    await nursery.start(pieces.leisure.run)
    begun = trio.current_time()
    pieces.push(100)
    await wait_all_tasks_blocked()
    assert pieces.done == [(number, begun) for number in range(100)]
    assert pieces.turns == -(-100 // AT_A_TURN)
    assert not len(pieces.leisure)
    nursery.cancel_scope.cancel()


async def test_others_have_their_turn_between(nursery: trio.Nursery) -> None:
    pieces = Pieces()
    await nursery.start(pieces.leisure.run)
    seen: list[int] = []

    async def look() -> None:
        while len(pieces.done) < 10 * AT_A_TURN:
            seen.append(len(pieces.done))
            await trio.lowlevel.checkpoint()

    pieces.push(10 * AT_A_TURN)
    with trio.fail_after(10):
        await look()
    assert len(set(seen)) > 5
    nursery.cancel_scope.cancel()


async def test_little_by_little_while_clients_ask(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pieces = Pieces()
    await nursery.start(pieces.leisure.run)
    pieces.push(100)
    seconds = 0.0
    while seconds < 5 * PACE:
        pieces.leisure.asked(trio.current_time())
        await trio.sleep(SILENCE / 2)
        seconds += SILENCE / 2
    assert 3 * AT_A_TURN <= len(pieces.done) <= 6 * AT_A_TURN
    # silence
    await trio.sleep(2 * PACE)
    assert len(pieces.done) == 100
    nursery.cancel_scope.cancel()


async def test_nothing_is_put_off_that_is_urgent(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pieces = Pieces()
    await nursery.start(pieces.leisure.run)
    pieces.urgent = True
    pieces.push(100)
    pieces.leisure.asked(trio.current_time())
    await wait_all_tasks_blocked()
    assert len(pieces.done) == 100
    nursery.cancel_scope.cancel()


async def test_much_that_waits_is_done_faster_though_clients_ask(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What clients cause can never grow for good: each turn takes its share of what waits."""
    pieces = Pieces()
    await nursery.start(pieces.leisure.run)
    most = 0
    for _ in range(3000):  # 40 pieces for each PACE
        pieces.leisure.asked(trio.current_time())
        pieces.push(4)
        await trio.sleep(SILENCE / 2)
        most = max(most, len(pieces.leisure))
    assert most < 50 * BACKLOG
    assert len(pieces.done) > 12000 - 50 * BACKLOG
    nursery.cancel_scope.cancel()


async def test_a_piece_may_push_more(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    pieces = Pieces()
    await nursery.start(pieces.leisure.run)
    left = 50

    def work() -> None:
        nonlocal left
        left -= 1
        if left:
            pieces.leisure.push(work)

    pieces.leisure.push(work)
    await wait_all_tasks_blocked()
    assert left == 0
    nursery.cancel_scope.cancel()


async def test_idle_once_all_is_done(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    pieces = Pieces()
    await pieces.leisure.idle()
    await nursery.start(pieces.leisure.run)
    pieces.leisure.push(lambda: pieces.push(3 * AT_A_TURN))
    pieces.leisure.asked(trio.current_time())
    await pieces.leisure.idle()
    assert len(pieces.done) == 3 * AT_A_TURN
    nursery.cancel_scope.cancel()
