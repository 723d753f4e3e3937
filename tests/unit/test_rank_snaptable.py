"""The table of snapshots: its transactions, its replay, its object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import make_rank
from tests.unit.tables_kit import TablesKit, in_trio, tables_kit, tables_rank

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import ALL_FEATURES, DecodeError, decode, encode
from mdsdaemon.messages.pool import MRemoveSnaps
from mdsdaemon.rank.log.replay_blob import ReplayError
from mdsdaemon.rank.tables.snaptable import (
    Prepare,
    Purged,
    ServerOp,
    SnapOp,
    SnapServer,
    parse_prepare,
)
from mdsdaemon.types.journal import ETableServer


def events(kit: TablesKit) -> list[ETableServer]:
    return [e for _, e in kit.mdlog.events if isinstance(e, ETableServer)]


def prepare(table: Any, op: SnapOp, **more: Any) -> int:
    change = Prepare(op=op, **more)
    tid: int = table.prepare(change, 1, 0, encode(Prepare, change, ALL_FEATURES))
    return tid


def create(table: Any, name: str) -> int:
    return prepare(table, SnapOp.CREATE, ino=1 << 40, name=name, stamp=5)


@in_trio
async def test_a_snapshot_from_its_making_to_its_end() -> None:
    async with tables_rank() as kit:
        table = kit.rank.snaps.table
        assert not table.has_snapshots
        tid = create(table, "one")
        assert tid == table.version == 2
        assert table.has_snapshots
        table.commit(tid)
        assert table.version == 3
        (info,) = table.state.snaps.values()
        assert (info.snapid, info.name, info.stamp) == (2, "one", 5)
        assert table.state.last_created == 2
        tid = prepare(table, SnapOp.UPDATE, ino=1 << 40, snapid=2, name="uno")
        table.commit(tid)
        assert table.state.snaps[2].name == "uno"
        assert table.state.snaps[2].stamp == 5
        tid = prepare(table, SnapOp.DESTROY, ino=1 << 40, snapid=2)
        table.commit(tid)
        assert not table.has_snapshots
        assert table.state.last_snap == table.state.last_destroyed == 3
        assert table.state.need_to_purge == {2: {2, 3}, 3: {2, 3}}


@in_trio
async def test_a_change_that_is_given_up() -> None:
    async with tables_rank() as kit:
        table = kit.rank.snaps.table
        for op, more in (
            (SnapOp.CREATE, {"ino": 5, "name": "x"}),
            (SnapOp.CREATE, {"ino": 5}),
            (SnapOp.DESTROY, {"snapid": 9}),
        ):
            tid = prepare(table, op, **more)
            table.rollback(tid)
            with pytest.raises(ReplayError):
                table._commit(tid)
        assert not table.has_snapshots
        assert not table.pending
        assert not table.state.pending_noop


steps = st.lists(
    st.tuples(st.sampled_from(["create", "noop", "destroy", "update", "save"]), st.booleans()),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(steps, st.integers(0, 4))
def test_a_save_and_the_events_behind_it_give_the_table(todo: Any, purged: int) -> None:
    @in_trio
    async def run() -> None:
        async with tables_rank() as kit:
            table = kit.rank.snaps.table
            await table.save()
            for what, commits in todo:
                newest = table.state.last_snap
                if what == "save":
                    await table.save()
                    continue
                if what == "create":
                    tid = create(table, f"s{newest}")
                elif what == "noop":
                    tid = prepare(table, SnapOp.CREATE, ino=1)
                elif what == "destroy":
                    tid = prepare(table, SnapOp.DESTROY, ino=1, snapid=newest)
                else:
                    tid = prepare(table, SnapOp.UPDATE, ino=1, snapid=newest, name="n")
                if commits:
                    table.commit(tid)
                else:
                    table.rollback(tid)
            if purged and table.state.need_to_purge:
                some = {2: sorted(table.state.need_to_purge[2])[:purged]}
                table.server_update(some)
            other = tables_kit(make_rank(objects=kit.objecter)).rank.snaps.table
            await other.load()
            for event in events(kit):
                if event.version > other.version:
                    assert event.version == other.version + 1
                    other.replay(event)
            assert other.state == table.state
            assert other.pending == table.pending
            assert other.version == table.version
            assert other.dump() == table.dump()

    run()


@in_trio
async def test_what_cannot_be_replayed() -> None:
    async with tables_rank() as kit:
        table = kit.rank.snaps.table
        for event in (
            ETableServer(op=ServerOp.COMMIT, tid=7),
            ETableServer(op=ServerOp.ROLLBACK, tid=7),
            ETableServer(op=99),
        ):
            with pytest.raises(ReplayError):
                table.replay(event)
        for mutation in (b"", b"\x09\0\0\0" + bytes(8), b"\0\0\0\0"):
            with pytest.raises(DecodeError):
                table.replay(ETableServer(op=ServerOp.PREPARE, mutation=mutation))


def test_what_is_prepared_is_ceph_s() -> None:
    # SnapClient::prepare_create, _destroy, _update
    ino, snapid = bytes.fromhex("0000000000010000"), bytes.fromhex("0700000000000000")
    name, stamp = b"\3\0\0\0abc", b"\1\0\0\0\2\0\0\0"
    made = parse_prepare(b"\0\0\0\0" + ino + name + stamp)
    assert (made.op, made.ino, made.name, made.stamp) == (0, 1 << 40, "abc", 1_000_000_002)
    assert parse_prepare(b"\0\0\0\0" + ino).name == ""
    gone = parse_prepare(b"\2\0\0\0" + ino + snapid)
    assert (gone.op, gone.snapid) == (2, 7)
    new = parse_prepare(b"\1\0\0\0" + ino + snapid + name + stamp)
    assert (new.op, new.snapid, new.name) == (1, 7, "abc")
    for raw in (b"\0\0\0\0" + ino + name + stamp, b"\2\0\0\0" + ino + snapid):
        assert encode(Prepare, decode(Prepare, raw), ALL_FEATURES) == raw


@in_trio
async def test_purging_is_asked_for_and_acknowledged() -> None:
    async with tables_rank() as kit:
        snaps = kit.rank.snaps
        table: SnapServer = snaps.table
        tid = create(table, "one")
        table.commit(tid)
        table.commit(prepare(table, SnapOp.DESTROY, ino=1, snapid=2))
        table.state.need_to_purge[77] = {2, 3}  # a pool that is gone
        snaps.check_osd_map(force=False)
        (asked,) = kit.monc.sent
        assert asked.snaps == {2: [2, 3], 3: [2, 3]}
        assert 77 not in table.state.need_to_purge
        snaps.check_osd_map(force=False)
        assert len(kit.monc.sent) == 1
        snaps.handle_remove_snaps(MRemoveSnaps(snaps={2: [2, 3, 50], 3: [2]}))
        assert table.state.need_to_purge == {3: {3}}
        (gone, some) = [
            decode(Purged, e.mutation).snaps for e in events(kit) if e.op == ServerOp.SERVER_UPDATE
        ]
        assert gone == {77: [2, 3]}
        assert some == {2: [2, 3], 3: [2]}
        snaps.handle_remove_snaps(MRemoveSnaps(snaps={2: [9]}))
        assert len(events(kit)) == 6


@pytest.mark.parametrize("data", [b"", b"12345678", b"\1" * 60])
@in_trio
async def test_what_cannot_be_read_is_damage(data: bytes) -> None:
    async with tables_rank() as kit:
        kit.objecter.do(1, "mds_snaptable", ObjectOperation().write_full(data))
        with pytest.raises(RadosError):
            await kit.rank.snaps.table.load()
        assert any("mds_snaptable" in what for what in kit.rank.damages)
