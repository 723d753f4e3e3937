"""Killed at any moment, a journal has every entry that was said to be safe, and nothing stale."""

from __future__ import annotations

import pytest
import trio
from tests.trio.object_world import POOL, SMALL, K, Objects, a_new_journal, objects, recovered
from trio.testing import MockClock

from mdsdaemon.clients.journaler import Journaler
from mdsdaemon.types.layout import FileLayout

LIVES = 25


async def _live(world: Objects, journal: Journaler, entries: dict[int, bytes]) -> int:
    """Append, flush, trim, until the daemon is killed; what was told to be safe then."""
    rng, told = world.rng, [journal.safe_pos]
    journal.on_safe = told.append
    with trio.move_on_after(rng.uniform(0, 0.3)):
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run)
            while True:
                for _ in range(rng.randrange(8)):
                    big = rng.random() < 0.1
                    size = rng.randrange(3 * K if big else 3000)
                    payload = rng.randbytes(8) + bytes(size)
                    entries[journal.append_entry(payload)] = payload
                match rng.randrange(8):
                    case 0 | 1 | 2:
                        journal.flush()
                    case 3:
                        await journal.room()
                    case 4 if len(safe := sorted(e for e in entries if e <= told[-1])) > 20:
                        journal.set_expire_pos(safe[-10])
                        journal.trim()
                    case 5 if rng.random() < 0.3:
                        await journal.write_head()
                await trio.sleep(rng.choice([0, 0, 0.001, 0.01]))
    world.frozen = True
    return told[-1]


@pytest.mark.parametrize("layout", [SMALL, FileLayout(K, 2, 2 * K, POOL)], ids=["plain", "striped"])
@pytest.mark.parametrize("seed", range(6))
async def test_lives_and_deaths(autojump_clock: MockClock, seed: int, layout: FileLayout) -> None:
    cut = found_unsafe = 0
    async with objects(seed, latency=(0.001, 0.03)) as world:
        journal, entries = await a_new_journal(world, layout, max_unsafe=6 * K), dict[int, bytes]()
        for _ in range(LIVES):
            safe = await _live(world, journal, entries)
            world = world.copy(world.nursery)
            journal = await recovered(world, max_unsafe=6 * K)
            assert journal.write_pos >= safe
            found = {e.end: e.payload async for e in journal.entries()}
            cut += bool(journal.cut_bytes)
            kept = {end: p for end, p in entries.items() if journal.expire_pos < end}
            last = max(found, default=journal.expire_pos)
            assert last == journal.write_pos >= safe
            assert found == {end: p for end, p in kept.items() if end <= last}
            found_unsafe += last > safe
            entries = found  # the others are lost, and were never acknowledged
            journal.set_writeable()
    assert cut
    assert found_unsafe
