"""Work for many things side by side."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from mdsdaemon.rank.waiting import side_by_side


async def test_so_many_at_a_time_in_order(autojump_clock: MockClock) -> None:
    begun: list[int] = []
    under_way = most = 0

    async def work(number: int) -> None:
        nonlocal under_way, most
        begun.append(number)
        under_way += 1
        most = max(most, under_way)
        await trio.sleep(100 if number == 0 else 1)
        under_way -= 1

    began = trio.current_time()
    await side_by_side(work, range(10), 3)
    assert begun == list(range(10))
    assert most == 3
    # who is slow holds nobody up
    assert trio.current_time() - began == pytest.approx(100)
    await side_by_side(work, [])


async def test_the_first_error_ends_the_others(autojump_clock: MockClock) -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await trio.sleep(number)
        if number == 2:
            raise OSError(5, "broken")
        done.append(number)

    with pytest.raises(OSError, match="broken"):
        await side_by_side(work, (1, 2, 3, 4))
    assert done == [1]
