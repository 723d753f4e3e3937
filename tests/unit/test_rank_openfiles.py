"""The table of open files: what is tracked, how it is written, and how leniently it is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import METADATA_POOL, make_rank
from tests.unit.tables_kit import TablesKit, in_trio, tables_kit, tables_rank

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import ALL_FEATURES, U32, U64, decode, encode
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.tables.openfiles_format import (
    Anchor,
    AnchorValue,
    Header,
    JournalEntry,
    JournalState,
    decode_header,
    encode_header,
    key_of,
)
from mdsdaemon.rank.tables.openfiles_load import load_table
from mdsdaemon.rank.tables.openfiles_save import TableWriter
from mdsdaemon.types.inode import Inode

FIRST = "mds0_openfiles.0"


def anchor(ino: int, name: str = "x") -> Anchor:
    return Anchor(ino, 1, name, 8)


def add_dir(kit: TablesKit, parent: CInode, name: str, mode: int = 0o040755) -> CInode:
    rank = kit.rank
    mut = Mutation(rank, "mkdir", stamp=rank.now())
    ino = rank.inotable.take_ino(mut, None)
    inode: CInode = rank.cache.add_inode(CInode(ino, Inode(ino=ino, mode=mode, nlink=1)))
    mut.link_primary(rank.cache.add_dentry(rank.store.dir_for(parent, name), name), inode)
    mut.new_dir(rank.cache.add_dir(inode))
    mut.submit()
    return inode


async def loaded(kit: TablesKit) -> dict[int, Anchor]:
    """What another rank reads of the objects."""
    other = tables_kit(make_rank(objects=kit.objecter)).rank
    await other.openfiles.load()
    found: dict[int, Anchor] = other.openfiles.loaded
    return found


@in_trio
async def test_an_open_file_and_the_directories_above() -> None:
    async with tables_rank() as kit:
        table = kit.rank.openfiles
        root = kit.kit.root
        one = add_dir(kit, root, "one")
        two = add_dir(kit, one, "two")
        table.add_inode(two)
        table.add_inode(one)
        assert len(table) == 3
        await table.commit(7)
        assert table.committed_log_seq == 7
        assert not table.is_dirty
        found = await loaded(kit)
        assert found == {
            1: Anchor(1, 0, "", 4),
            one.ino: Anchor(one.ino, 1, "one", 4),
            two.ino: Anchor(two.ino, one.ino, "two", 4),
        }
        table.remove_inode(two)
        assert table.is_dirty
        assert len(table) == 2
        await table.commit(8)
        assert set(await loaded(kit)) == {1, one.ino}
        table.remove_inode(one)
        await table.commit(9)
        assert await loaded(kit) == {}
        counters = kit.rank.counters.oft
        assert [counters.get(f"omap_total_{what}") for what in ("objs", "kv_pairs")] == [1, 0]
        assert [counters.get(f"omap_total_{what}") for what in ("updates", "removes")] == [3, 3]
        assert decode_header(kit.objecter.header(FIRST)).version == 3


@in_trio
async def test_a_rename_moves_the_anchors() -> None:
    async with tables_rank() as kit:
        table, root = kit.rank.openfiles, kit.kit.root
        one, two = add_dir(kit, root, "one"), add_dir(kit, root, "two")
        moved = add_dir(kit, one, "m")
        table.add_inode(moved)
        assert table.is_tracked(one)
        table.notify_unlink(moved)
        assert moved.parent is not None
        kit.rank.cache.unlink(moved.parent)
        kit.rank.cache.link_primary(
            kit.rank.cache.add_dentry(kit.rank.store.dir_for(two, "m"), "m"), moved
        )
        table.notify_link(moved)
        assert not table.is_tracked(one)
        assert table.is_tracked(two)
        table.remove_inode(moved)
        assert len(table) == 0


@in_trio
async def test_what_a_predecessor_had_open_is_replaced_by_what_is() -> None:
    async with tables_rank() as kit:
        one = add_dir(kit, kit.kit.root, "one")
        kit.rank.openfiles.add_inode(one)
        await kit.rank.openfiles.commit(5)
        other = tables_kit(make_rank(objects=kit.objecter))
        await other.rank.openfiles.load()
        other.rank.openfiles.add_inode(other.kit.root)
        kit.objecter.requests.clear()
        await other.rank.openfiles.commit(2)
        assert set(await loaded(kit)) == {1}
        # the root's anchor was the same: only the other one was written
        assert decode_header(kit.objecter.header(FIRST)).version == 2


@in_trio
async def test_destroyed_inodes_are_not_looked_for() -> None:
    async with tables_rank() as kit:
        table = kit.rank.openfiles
        table.loaded = {5: anchor(5), 0x10000000009: anchor(0x10000000009)}
        table.note_destroyed(3, [0x10000000009])
        asked: list[int] = []

        def need_inode(ino: int, pool: int = -1) -> None:
            asked.append(ino)

        kit.rank.store.need_inode = need_inode
        await table.prefetch()
        assert asked == []
        table.trim_destroyed(4)
        await table.prefetch()
        assert asked == [0x10000000009]


# -- reading leniently -----------------------------------------------------------------------


def plant(kit: TablesKit, oid: str, header: bytes, values: dict[str, bytes]) -> None:
    op = ObjectOperation().omap_set_header(header)
    kit.objecter.do(METADATA_POOL, oid, op.omap_set(values) if values else op)


def value(one: Anchor) -> bytes:
    return encode(AnchorValue, AnchorValue(one), ALL_FEATURES)


GOOD = encode_header(3, 1, JournalState.NONE)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (None, {}),
        (b"", {}),
        (b"garbage that is long enough", {}),
        (encode(Header, Header(magic="other"), ALL_FEATURES), {}),
        (encode_header(3, 5000, JournalState.NONE), {}),
        (GOOD, {"zz": b""}),
        (GOOD, {"5": b"short"}),
        (GOOD, {"5": value(anchor(6))}),
        (encode_header(3, 2, JournalState.NONE), {}),
    ],
)
@in_trio
async def test_what_cannot_be_read_counts_as_nothing(header: Any, values: Any) -> None:
    async with tables_rank() as kit:
        if header is not None:
            plant(kit, FIRST, header, values)
        assert await loaded(kit) == {}
        other = tables_kit(make_rank(objects=kit.objecter)).rank
        await other.openfiles.load()
        other.openfiles.add_inode(other.cache.root)
        await other.openfiles.commit(1)
        assert set(await loaded(kit)) == {1}
        assert not other.damages


@in_trio
async def test_the_header_of_before_the_magic() -> None:
    async with tables_rank() as kit:
        old = encode(U64, 4) + encode(U32, 1) + b"\0"
        plant(kit, FIRST, old, {"5": value(anchor(5))})
        assert await loaded(kit) == {5: anchor(5)}


@pytest.mark.parametrize(
    ("state", "version", "expected"),
    [
        (JournalState.FINISH, 3, {6}),
        (JournalState.FINISH, 2, {5}),
        (JournalState.START, 3, {5}),
    ],
)
@in_trio
async def test_a_change_that_was_cut_short(state: Any, version: int, expected: set[int]) -> None:
    async with tables_rank() as kit:
        entry = JournalEntry(version, {"6": value(anchor(6))}, {"5"})
        plant(
            kit,
            FIRST,
            encode_header(3, 1, state),
            {"5": value(anchor(5)), "_journal.0": encode(JournalEntry, entry, ALL_FEATURES)},
        )
        assert set(await loaded(kit)) == expected
        # what was left of it is gone
        assert {int(key, 16) for key in kit.objecter.omap(FIRST)} == expected


# -- writing ---------------------------------------------------------------------------------


async def write_all(kit: TablesKit, writer: TableWriter, steps: Any, model: set[int]) -> None:
    for adds, removes in steps:
        changes: dict[int, Anchor | None] = {ino: anchor(ino) for ino in adds}
        changes |= dict.fromkeys(removes)
        await writer.write(changes)
        model |= set(adds)
        model -= set(removes)


numbers = st.sets(st.integers(1, 60), max_size=25)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=8), st.sampled_from(["1", "0"]))
def test_any_changes_over_any_number_of_objects(steps: Any, size: str) -> None:
    @in_trio
    async def run() -> None:
        async with tables_rank(
            osd_deep_scrub_large_omap_object_key_threshold="7", mds_dir_max_commit_size=size
        ) as kit:
            writer, model = TableWriter(kit.rank), set[int]()
            await write_all(kit, writer, steps, model)
            if steps:
                table = await load_table(kit.rank)
                assert set(table.anchors) == model
                assert table.num_objs == writer.num_objs
                assert max(table.counts, default=0) <= 7
                again = TableWriter(kit.rank)
                again.take(table)
                await write_all(kit, again, [({99}, set())], model)
                assert set((await load_table(kit.rank)).anchors) == model

    run()


@settings(max_examples=100, deadline=None)
@given(numbers, st.tuples(numbers, numbers), st.integers(0, 30))
def test_dying_while_it_is_written(first: set[int], change: Any, when: int) -> None:
    """A reader finds the state before the change, or the one after it."""

    @in_trio
    async def run() -> None:
        async with tables_rank(osd_deep_scrub_large_omap_object_key_threshold="5") as kit:
            writer, model = TableWriter(kit.rank), set[int]()
            await write_all(kit, writer, [(first, set())], model)
            before, left = set(model), when

            def fault(pool: int, oid: str, op: ObjectOperation) -> int:
                nonlocal left
                left -= 1
                return 108 if left < 0 else 0

            kit.objecter.fault = fault
            try:
                await write_all(kit, writer, [change], model)
            except RadosError:
                adds, removes = change
                model = (before | adds) - removes
            kit.objecter.fault = lambda pool, oid, op: 0
            assert set((await load_table(kit.rank)).anchors) in (before, model)

    run()


def test_keys_and_values_are_those_of_ceph() -> None:
    assert key_of(0x10000000002) == "10000000002"
    raw = bytes.fromhex(
        "02011f0000000200000000010000400300000001000002000000643104010000000000000000000000"
    )
    one = Anchor(0x10000000002, 0x10000000340, "d1", 4)
    got = decode(AnchorValue, raw).anchor
    assert (got.ino, got.dirino, got.d_name, got.d_type) == (one.ino, one.dirino, "d1", 4)
    assert len(got.frags) == 1
    assert encode(AnchorValue, AnchorValue(got), ALL_FEATURES) == raw
    header = bytes.fromhex(
        "13000000" + b"ceph fs volume v011".hex() + "01010d000000030000000000000001000000" + "00"
    )
    assert encode_header(3, 1, JournalState.NONE) == header
