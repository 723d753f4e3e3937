"""Advisory locks: ranges of bytes, against a model that knows every byte; waiting, deadlocks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

from mdsdaemon.encoding import decode, encode
from mdsdaemon.rank.locks.flock import END, FileLockTable, WaitGraph, end_of, owner_of
from mdsdaemon.types.client_locks import (
    LOCK_EXCL,
    LOCK_SHARED,
    LOCK_UNLOCK,
    OWNER_IS_ALL,
    FileLock,
    LockState,
)

SIZE = 12


def lock(
    owner: int, start: int = 0, length: int = 0, kind: int = LOCK_EXCL, client: int = 1
) -> FileLock:
    return FileLock(start, length, client, owner | OWNER_IS_ALL, 77, kind)


def spans(table: FileLockTable) -> list[tuple[int, int, int]]:
    return [(one.start, one.length, one.type) for one in table.held]


def test_touching_ranges_of_one_owner_are_one() -> None:
    table = FileLockTable()
    assert table.add(lock(1, 0, 10))
    assert table.add(lock(1, 10, 10))
    assert spans(table) == [(0, 20, LOCK_EXCL)]
    assert table.add(lock(1, 30, 0))
    assert table.add(lock(1, 20, 10))
    assert spans(table) == [(0, 0, LOCK_EXCL)]


def test_another_kind_cuts() -> None:
    table = FileLockTable()
    table.add(lock(1, 0, 100))
    assert table.add(lock(1, 40, 20, LOCK_SHARED))
    assert spans(table) == [(0, 40, LOCK_EXCL), (40, 20, LOCK_SHARED), (60, 40, LOCK_EXCL)]
    assert table.add(lock(2, 45, 5, LOCK_SHARED))
    assert not table.add(lock(2, 30, 20, LOCK_SHARED))


def test_giving_back_the_middle() -> None:
    table = FileLockTable()
    table.add(lock(1))
    assert table.remove(lock(1, 10, 10))
    assert spans(table) == [(0, 10, LOCK_EXCL), (20, 0, LOCK_EXCL)]
    assert not table.remove(lock(1, 10, 10))
    assert not table.remove(lock(2, 0, 5))


def test_who_stands_in_the_way() -> None:
    table = FileLockTable()
    table.add(lock(1, 10, 10))
    assert table.look(lock(2, 0, 11)) == table.held[0]
    free = table.look(lock(2, 20, 10, LOCK_SHARED))
    assert (free.type, free.start, free.length) == (LOCK_UNLOCK, 20, 10)
    assert table.look(lock(1, 0, 0)).type == LOCK_UNLOCK


def test_old_clients_differ_by_process() -> None:
    one, other = FileLock(0, 0, 1, 5, 100, LOCK_EXCL), FileLock(0, 0, 1, 5, 101, LOCK_EXCL)
    assert owner_of(one) != owner_of(other)
    assert owner_of(lock(5)) == owner_of(FileLock(0, 0, 1, 5 | OWNER_IS_ALL, 8, LOCK_EXCL))


def test_waiting() -> None:
    table = FileLockTable(WaitGraph())
    table.add(lock(1))
    wish = lock(2, 5, 5)
    table.wait(wish)
    table.wait(wish)
    assert table.waiting == [wish]
    assert table.is_waiting(wish)
    table.remove(lock(1))
    assert table.add(wish)
    assert not table.waiting


def test_a_client_that_is_gone_neither_holds_nor_waits() -> None:
    graph = WaitGraph()
    table = FileLockTable(graph)
    table.add(lock(1, client=1))
    table.wait(lock(2, client=2))
    assert not table.drop_client(2)
    assert len(graph) == 0
    assert table.drop_client(1)
    assert not table


def test_a_circle_of_two_and_of_three() -> None:
    graph = WaitGraph()
    a, b, c = (FileLockTable(graph) for _ in range(3))
    a.add(lock(1))
    b.add(lock(2))
    c.add(lock(3))
    b.wait(lock(1))
    assert a.is_deadlock(lock(2))
    assert not a.is_deadlock(lock(3))
    c.wait(lock(2))
    assert a.is_deadlock(lock(3))
    c.stop_waiting(lock(2))
    assert not a.is_deadlock(lock(3))


def test_only_so_many_are_followed() -> None:
    graph = WaitGraph()
    tables = [FileLockTable(graph) for _ in range(12)]
    for number, table in enumerate(tables):
        table.add(lock(number))
    for number in range(11):
        tables[number + 1].wait(lock(number))
    assert not tables[0].is_deadlock(lock(11)), "ceph-mds gives up after five, too"
    assert tables[6].is_deadlock(lock(11))


def test_flock_locks_do_not_look_for_deadlocks() -> None:
    table = FileLockTable()
    table.add(lock(1))
    assert not table.is_deadlock(lock(2))


def test_encoded_as_ceph_does() -> None:
    table = FileLockTable()
    table.add(lock(1, 0, 5))
    table.add(lock(2, 5, 5, client=9))
    state = decode(LockState, encode(LockState, table.state()))
    assert state.client_held_lock_counts == {1: 1, 9: 1}
    assert [start for start, _ in state.held_locks] == [0, 5]


OPS = hst.tuples(
    hst.sampled_from([LOCK_SHARED, LOCK_EXCL, LOCK_UNLOCK]),
    hst.integers(1, 3),
    hst.integers(0, SIZE - 1),
    hst.integers(0, SIZE),
)


@settings(max_examples=200, deadline=None)
@given(hst.lists(OPS, max_size=30))
def test_against_every_byte(ops: list[tuple[int, int, int, int]]) -> None:
    table = FileLockTable()
    # byte SIZE stands for everything behind
    model: list[dict[int, int]] = [{} for _ in range(SIZE + 1)]
    for kind, owner, start, length in ops:
        end = start + length if length and start + length <= SIZE else SIZE + 1
        cells = model[start:end]
        one = lock(owner, start, length if end <= SIZE else 0, kind)
        if kind == LOCK_UNLOCK:
            table.remove(one)
            for cell in cells:
                cell.pop(owner, None)
            continue
        clash = any(
            other != owner and (kind == LOCK_EXCL or held == LOCK_EXCL)
            for cell in cells
            for other, held in cell.items()
        )
        assert table.add(one) != clash
        if not clash:
            for cell in cells:
                cell[owner] = kind
        seen: list[dict[int, int]] = [{} for _ in range(SIZE + 1)]
        for held in table.held:
            stop = SIZE + 1 if end_of(held) == END else end_of(held)
            for at in range(held.start, stop):
                assert held.owner & ~OWNER_IS_ALL not in seen[at], "one owner's ranges overlap"
                seen[at][held.owner & ~OWNER_IS_ALL] = held.type
        assert seen == model
        assert table.held == sorted(table.held, key=lambda one: one.start)


@pytest.mark.parametrize("start", [0, 2**64 - 1])
def test_the_ends_of_the_range(start: int) -> None:
    table = FileLockTable()
    assert table.add(lock(1, start, 2**64 - 1))
    assert not table.add(lock(2, 2**64 - 2, 2))
