"""When the journal is written: at once if somebody waits for it, else soon, together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from tests.trio.rank_cluster import rank_of, serving, until
from trio.testing import MockClock

from mdsdaemon.rank.log.mdlog import BATCH, WRITE_AFTER
from mdsdaemon.rank.mds_rank import MDSRank
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.types.journal import ENoOp


class Written:
    """Counts the writes of a journal."""

    def __init__(self, rank: MDSRank, monkeypatch: pytest.MonkeyPatch) -> None:
        journal = rank.mdlog.journaler
        assert journal is not None
        self.count = 0
        self._flush: Callable[[], None] = journal.flush
        monkeypatch.setattr(journal, "flush", self._written)

    def _written(self) -> None:
        self.count += 1
        self._flush()


def submit(rank: MDSRank, count: int = 1) -> int:
    """Dispatches that journal something which was answered early; where the last one ends."""
    end = 0
    for _ in range(count):
        end = rank.mdlog.submit(ENoOp())
        rank.end_of_dispatch()
    return end


@asynccontextmanager
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[MDSRank, Written]]:
    """A rank all of whose journal is written, and what is written from now on."""
    async with serving() as (_, mds):
        rank = rank_of(mds)
        await rank.mdlog.wait_safe()
        yield rank, Written(rank, monkeypatch)


async def test_what_nobody_waits_for_is_written_together(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(monkeypatch) as (rank, written):
        heard: list[float] = []
        begun = trio.current_time()
        for _ in range(BATCH - 1):
            end = submit(rank)
            rank.mdlog.when_safe(end, lambda: heard.append(trio.current_time()), patient=True)
        rank.end_of_dispatch()
        assert written.count == 0
        await until(lambda: len(heard) == BATCH - 1)
        assert written.count == 1
        assert WRITE_AFTER <= heard[0] - begun < 2 * WRITE_AFTER
        submit(rank)  # and once more
        await until(lambda: written.count == 2)


async def test_what_somebody_waits_for_is_written_with_all_before_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(monkeypatch) as (rank, written):
        end = submit(rank, 3)
        rank.mdlog.when_safe(end, lambda: None)
        assert written.count == 0, "not within the dispatch"
        rank.end_of_dispatch()
        assert written.count == 1
        rank.mdlog.when_safe(end, lambda: None)  # under way already
        rank.end_of_dispatch()
        submit(rank)
        assert written.count == 1
        rank.mdlog.hurry()
        rank.end_of_dispatch()
        assert written.count == 2
        rank.mdlog.hurry()
        rank.end_of_dispatch()
        assert written.count == 2, "there is nothing to write"


async def test_much_is_written_within_a_dispatch(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(monkeypatch) as (rank, written):
        for _ in range(3 * BATCH):
            rank.mdlog.submit(ENoOp())
        assert written.count == 3


async def test_a_mutation_that_clients_do_not_see_keeps_nobody_waiting(
    autojump_clock: MockClock,
) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        root: Any = rank.cache.root

        def change(client: int, *, hidden: bool = False) -> None:
            mut = Mutation(rank, "setattr", stamp=rank.now(), client=client, hidden=hidden)
            mut.inode(root).ctime = rank.now()
            mut.submit()

        change(4)
        change(0, hidden=True)
        assert rank.sessions.must_follow(4, root) == 0
        assert rank.sessions.must_follow(5, root) == root.pos == rank.mdlog.write_pos
        change(0)
        assert rank.sessions.must_follow(4, root) == root.pos
