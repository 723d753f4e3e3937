"""The purge queue: what is pushed is deleted, whatever happens in between."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import DATA_POOL, METADATA_POOL, OTHER_POOL, make_rank
from tests.unit.tables_kit import TablesKit, in_trio, tables_rank

from mdsdaemon.clients.journaler_extents import extents
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import decode
from mdsdaemon.rank.filer import objects_below
from mdsdaemon.rank.tables.purge_items import is_valid, weight
from mdsdaemon.types.frag import Frag, FragTree
from mdsdaemon.types.journal_store import JournalHeader, PurgeAction, PurgeItem
from mdsdaemon.types.layout import FileLayout

MB = 1 << 20
LAYOUT = FileLayout(4 * MB, 1, 4 * MB, DATA_POOL)


def put(kit: TablesKit, oid: str, pool: int = DATA_POOL, namespace: str = "") -> None:
    kit.objecter._execute(
        pool, oid, ObjectOperation().write_full(b"x"), namespace, "", None, 2**64 - 2
    )


def file_item(ino: int, size: int, **more: Any) -> PurgeItem:
    more.setdefault("layout", LAYOUT)
    return PurgeItem(action=PurgeAction.PURGE_FILE, ino=ino, size=size, **more)


def put_file(kit: TablesKit, item: PurgeItem) -> None:
    for extent in extents(item.layout, 0, item.size):
        put(kit, f"{item.ino:x}.{extent.number:08x}")


async def opened(kit: TablesKit) -> None:
    await kit.rank.purge_queue.create()
    kit.rank.purge_queue.activate()


# -- items -----------------------------------------------------------------------------------


@given(
    st.sampled_from([(1, 1, 1), (1, 4, 1), (1, 3, 4), (2, 5, 8)]),
    st.integers(0, 40 * 65536),
)
def test_the_number_of_objects_is_that_of_the_extents(shape: Any, size: int) -> None:
    unit, count, per = shape
    layout = FileLayout(65536 * unit, count, 65536 * unit * per, 1)
    numbers = {extent.number for extent in extents(layout, 0, size)} if size else set()
    assert objects_below(layout, size) == (max(numbers) + 1 if numbers else 0) or (
        # a short last stripe leaves holes below, which count
        set(range(objects_below(layout, size))) >= numbers
    )


def test_what_is_no_item() -> None:
    assert not is_valid(PurgeItem())
    assert not is_valid(PurgeItem(action=9))
    assert not is_valid(file_item(1, 5, layout=FileLayout()))
    assert is_valid(file_item(1, 0, layout=FileLayout()))
    assert not is_valid(PurgeItem(action=PurgeAction.TRUNCATE_FILE, layout=FileLayout()))


def test_what_an_item_counts_as() -> None:
    assert weight(file_item(1, 0), 10) == 1
    assert weight(file_item(1, 9 * MB), 10) == 3
    assert weight(file_item(1, 900 * MB, old_pools=[5]), 10) == 11
    tree = FragTree({Frag(0): 1})
    assert weight(PurgeItem(action=PurgeAction.PURGE_DIR, fragtree=tree), 10) == 3


# -- deleting --------------------------------------------------------------------------------


@in_trio
async def test_files_directories_and_what_stays() -> None:
    async with tables_rank() as kit:
        await opened(kit)
        queue = kit.rank.purge_queue
        put(kit, "1.00000000")
        item = file_item(0x10, 10 * MB, old_pools=[OTHER_POOL])
        put_file(kit, item)
        put(kit, "10.00000000", OTHER_POOL)
        spaced = file_item(0x11, 5, layout=FileLayout(4 * MB, 1, 4 * MB, DATA_POOL, "ns"))
        put(kit, "11.00000000", namespace="ns")
        put(kit, "11.00000000")
        for oid in ("12.00000000", "12.01000000", "12.01800000"):
            put(kit, oid, METADATA_POOL)
        tree = FragTree({Frag(0): 1})
        logged: list[int] = []
        for number, one in enumerate(
            [item, spaced, PurgeItem(action=PurgeAction.PURGE_DIR, ino=0x12, fragtree=tree)]
        ):
            assert queue.push(one, lambda number=number: logged.append(number))
        await queue.wait_idle()
        assert logged == [0, 1, 2]
        assert kit.objecter.names(DATA_POOL) == ["1.00000000"]
        assert not kit.objecter.names(OTHER_POOL)
        assert not [n for n in kit.objecter.names() if n.startswith("12.")]
        await kit.settle()
        header = decode(JournalHeader, kit.objecter.read("500.00000000"))
        assert header.expire_pos == header.write_pos == queue.journaler.write_pos


@in_trio
async def test_truncating_keeps_the_first_object() -> None:
    async with tables_rank() as kit:
        await opened(kit)
        item = file_item(0x10, 10 * MB)
        put_file(kit, item)
        item.action = PurgeAction.TRUNCATE_FILE
        kit.rank.purge_queue.push(item, lambda: None)
        await kit.rank.purge_queue.wait_idle()
        assert kit.objecter.names(DATA_POOL) == ["10.00000000"]
        assert kit.objecter.read("10.00000000", DATA_POOL).strip(b"\0") == b""


@in_trio
async def test_nothing_is_deleted_before_it_is_activated_or_while_paused() -> None:
    async with tables_rank(mds_max_purge_files="0") as kit:
        await kit.rank.purge_queue.create()
        queue = kit.rank.purge_queue
        put(kit, "10.00000000")
        queue.push(file_item(0x10, 1), lambda: None)
        await trio.sleep(5)
        assert kit.objecter.names(DATA_POOL)
        queue.activate()
        await trio.sleep(5)
        assert kit.objecter.names(DATA_POOL)
        kit.rank.config.set_val("mds_max_purge_files", "4")
        await queue.wait_idle()
        assert not kit.objecter.names(DATA_POOL)


@in_trio
async def test_work_is_bounded() -> None:
    async with tables_rank(mds_max_purge_files="3", mds_max_purge_ops_per_pg="10") as kit:
        await opened(kit)
        queue = kit.rank.purge_queue
        await kit.settle()
        kit.objecter.hold = True
        for ino in range(0x10, 0x20):
            queue.push(file_item(ino, 1000 * MB), lambda: None)
        for _ in range(6):
            kit.objecter.release()
            await kit.settle()
            under_way = [p for p in kit.objecter.pending if p.pool == DATA_POOL]
            assert len(under_way) <= 3 * 10
        assert queue._executing == 3
        kit.objecter.hold = False
        kit.objecter.release()
        await queue.wait_idle()
        assert queue.in_flight == {}


@in_trio
async def test_expiring_waits_for_those_before() -> None:
    async with tables_rank() as kit:
        await opened(kit)
        queue = kit.rank.purge_queue
        await kit.settle()
        begin = queue.journaler.expire_pos
        slow = file_item(0x10, 1)
        for item in (slow, file_item(0x11, 1), file_item(0x12, 1)):
            queue.push(item, lambda: None)
        kit.objecter.hold = True
        await kit.settle()
        kit.objecter.release()
        await kit.settle()
        mine = [p for p in kit.objecter.pending if p.pool == DATA_POOL]
        for pending in mine:
            if not pending.oid.startswith("10."):
                kit.objecter.pending.remove(pending)
                pending.finish(pending.outcome)
        await kit.settle()
        assert queue.journaler.expire_pos == begin
        kit.objecter.hold = False
        kit.objecter.release()
        await queue.wait_idle()
        assert queue.journaler.expire_pos == queue.journaler.write_pos


@in_trio
async def test_an_object_that_cannot_be_deleted_stops_nothing() -> None:
    async with tables_rank() as kit:
        await opened(kit)
        kit.objecter.fault = lambda pool, oid, op: 1 if oid.startswith("10.") else 0
        for ino in (0x10, 0x11):
            put(kit, f"{ino:x}.00000000")
            kit.rank.purge_queue.push(file_item(ino, 1), lambda: None)
        await kit.rank.purge_queue.wait_idle()
        assert kit.objecter.names(DATA_POOL) == ["10.00000000"]
        assert not kit.rank.write_errors


@in_trio
async def test_being_fenced_stops_everything() -> None:
    async with tables_rank() as kit:
        await opened(kit)
        kit.objecter.fault = lambda pool, oid, op: errno.ESHUTDOWN if pool == DATA_POOL else 0
        kit.rank.purge_queue.push(file_item(0x10, 1), lambda: None)
        await kit.settle()
        assert kit.rank.purge_queue.read_only
        assert kit.rank.write_errors[0].errno == errno.ESHUTDOWN
        assert not kit.rank.purge_queue.push(file_item(0x11, 1), lambda: None)
        assert kit.rank.purge_queue.is_idle()


# -- opening ---------------------------------------------------------------------------------


async def again(kit: TablesKit) -> Any:
    """Another rank opens the queue that this one has left."""
    return tables_rank(make_rank(objects=kit.objecter))


@in_trio
async def test_a_missing_queue_is_made_and_a_corrupt_one_makes_read_only() -> None:
    async with tables_rank() as kit:
        await kit.rank.purge_queue.open()
        assert "500.00000000" in kit.objecter.names()
        assert not kit.rank.write_errors
        kit.objecter.do(METADATA_POOL, "500.00000000", ObjectOperation().write_full(b"garbage"))
        async with await again(kit) as other:
            await other.rank.purge_queue.open()
            assert other.rank.write_errors
            assert other.rank.purge_queue.read_only
            assert other.objecter.read("500.00000000") == b"garbage"


@in_trio
async def test_a_corrupt_item_makes_read_only() -> None:
    async with tables_rank() as kit:
        await kit.rank.purge_queue.create()
        journal = kit.rank.purge_queue.journaler
        journal.append_entry(b"no item")
        journal.flush()
        await journal.wait_for_safe()
        async with await again(kit) as other:
            await other.rank.purge_queue.open()
            other.rank.purge_queue.activate()
            await other.settle()
            assert other.rank.purge_queue.read_only
            assert other.rank.purge_queue.journaler.expire_pos < journal.write_pos


@in_trio
async def test_more_items_than_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsdaemon.rank.tables.purge_queue.MAX_FRESH", 10)
    async with tables_rank() as kit:
        await opened(kit)
        queue = kit.rank.purge_queue
        for ino in range(0x100, 0x180):
            put(kit, f"{ino:x}.00000000")
            queue.push(file_item(ino, 1), lambda: None)
        assert len(queue._fresh) == 10
        await queue.wait_idle()
        assert not kit.objecter.names(DATA_POOL)
        put(kit, "200.00000000")
        queue.push(file_item(0x200, 1), lambda: None)
        assert len(queue._fresh) == 1
        await queue.wait_idle()
        assert not kit.objecter.names(DATA_POOL)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 400))
def test_it_survives_dying_at_any_moment(batches: list[int], when: int) -> None:
    """The rank dies after some request; whoever comes next deletes all that was acknowledged."""

    @in_trio
    async def run() -> None:
        acknowledged: set[int] = set()
        async with tables_rank() as kit:
            await opened(kit)
            ino = 0x1000
            left = when

            def fault(pool: int, oid: str, op: ObjectOperation) -> int:
                nonlocal left
                left -= 1
                if left < 0:
                    kit.objecter.lose = True
                return 0

            await kit.settle()
            kit.objecter.fault = fault
            for batch in batches:
                for _ in range(batch):
                    ino += 1
                    put(kit, f"{ino:x}.00000000")
                    kit.rank.purge_queue.push(
                        file_item(ino, 1), lambda ino=ino: acknowledged.add(ino)
                    )
                await kit.settle()
                await trio.sleep(20)
        kit.objecter.lose = False
        async with tables_rank(make_rank(objects=kit.objecter)) as other:
            await other.rank.purge_queue.open()
            other.rank.purge_queue.activate()
            await other.rank.purge_queue.wait_idle()
            assert not other.rank.write_errors
            left_over = {int(name.split(".")[0], 16) for name in other.objecter.names(DATA_POOL)}
            assert not left_over & acknowledged

    run()


@in_trio
async def test_draining_tells_its_progress() -> None:
    async with tables_rank(mds_max_purge_ops_per_pg="0.01") as kit:
        await opened(kit)
        queue = kit.rank.purge_queue
        for ino in range(0x100, 0x120):
            queue.push(file_item(ino, 1), lambda: None)
        done, total, _ = queue.drain_progress()
        assert (done, total) == (0, queue.journaler.write_pos - queue.journaler.expire_pos)
        assert queue.max_purge_ops == 0xFFFF
        await queue.drain()
        assert queue.drain_progress()[0] == total
        assert queue.is_idle()
