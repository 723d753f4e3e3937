"""Where the bytes of files lie, how long they are by their objects, and cutting them off."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as hst
from tests.unit.rank_kit import DATA_POOL, FakeObjecter

from mdsdaemon.clients.journaler_extents import extents, object_name
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank import filer
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.snap import SnapContext

INO = 0x10000000000
UNIT = 65536

LAYOUTS = hst.builds(
    lambda unit, count, units: FileLayout(unit * UNIT, count, unit * UNIT * units, DATA_POOL),
    hst.integers(1, 2),
    hst.integers(1, 4),
    hst.integers(1, 3),
)


def store(layout: FileLayout, objecter: FakeObjecter, at: int, length: int) -> None:
    """Bytes written by a client, at one place of the file."""
    for part in extents(layout, at, length):
        op = ObjectOperation().write(part.offset, b"x" * part.length)
        objecter.do(DATA_POOL, object_name(INO, part.number), op)


def sizes(objecter: FakeObjecter) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in objecter.names(DATA_POOL):
        found[name] = len(objecter.read(name, DATA_POOL))
    return found


def run(work: Any, *args: Any, **options: Any) -> Any:
    async def main() -> Any:
        return await work(*args, **options)

    return trio.run(main)


@settings(max_examples=200, deadline=None)
@given(LAYOUTS, hst.integers(0, 1 << 24), hst.integers(1, 1 << 20))
def test_back_from_an_object_to_the_file(layout: FileLayout, at: int, length: int) -> None:
    for part in extents(layout, at, length):
        place = part.offset
        for where, size in part.parts:
            assert filer.file_offset(layout, part.number, place) == at + where
            place += size
    last = extents(layout, at, length)
    assert filer.objects_below(layout, at + length) > max(part.number for part in last)


@settings(max_examples=25, deadline=None)
@given(
    LAYOUTS,
    hst.lists(hst.tuples(hst.integers(0, 1 << 21), hst.integers(1, 100_000)), max_size=4),
)
def test_the_size_is_where_the_last_byte_is(
    layout: FileLayout, writes: list[tuple[int, int]]
) -> None:
    objecter = FakeObjecter()
    for at, length in writes:
        store(layout, objecter, at, length)
    size, _ = run(filer.probe, objecter, INO, layout, 1 << 22)
    assert size == max((at + length for at, length in writes), default=0)


def test_an_object_that_cannot_be_looked_at_is_an_error() -> None:
    objecter = FakeObjecter()
    objecter.fault = lambda pool, oid, op: 5
    layout = FileLayout(UNIT, 2, UNIT, DATA_POOL)
    with pytest.raises(RadosError) as caught:
        run(filer.probe, objecter, INO, layout, 10 * UNIT)
    assert caught.value.errno == 5


@settings(max_examples=25, deadline=None)
@given(LAYOUTS, hst.integers(1, 1 << 21), hst.integers(0, 1 << 21))
def test_what_was_cut_off_is_gone(layout: FileLayout, old: int, new: int) -> None:
    new = min(new, old - 1)
    objecter = FakeObjecter()
    store(layout, objecter, 0, old)
    run(filer.truncate, objecter, INO, layout, SnapContext(), new, old, 7, at_once=3)
    kept = {
        object_name(INO, part.number): part.offset + part.length
        for part in (extents(layout, 0, new) if new else [])
    }
    for name, size in sizes(objecter).items():
        assert size == kept.get(name, 0), name


def test_a_late_write_of_the_old_file_does_not_come_back() -> None:
    """The object knows of the truncation: what a client sends with the old number is cut."""
    layout = FileLayout(UNIT, 1, UNIT, DATA_POOL)
    objecter = FakeObjecter()
    store(layout, objecter, 0, UNIT)
    run(filer.truncate, objecter, INO, layout, SnapContext(), 10, UNIT, 2)
    late = ObjectOperation().write(0, b"y" * 100, truncate_size=2**64 - 1, truncate_seq=1)
    objecter.do(DATA_POOL, object_name(INO, 0), late)
    assert len(objecter.read(object_name(INO, 0), DATA_POOL)) == 10


def test_few_requests_at_a_time() -> None:
    layout = FileLayout(UNIT, 1, UNIT, DATA_POOL)
    objecter = FakeObjecter()
    most = 0
    submit = objecter.submit

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal most
        made = submit(*args, **kwargs)
        most = max(most, len(objecter.pending))
        return made

    objecter.submit = counting  # type: ignore[method-assign]
    run(filer.truncate, objecter, INO, layout, SnapContext(), 0, 100 * UNIT, 1, at_once=8)
    assert len(objecter.requests) == 100
    assert most <= 8
