"""Inode numbers: taken from sessions and from the table, replayed, given back."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import make_rank
from tests.unit.tables_kit import TablesKit, in_trio, tables_kit, tables_rank

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import U64, encode
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.tables.inotable import RANGE
from mdsdaemon.rank.tables.intervals import Intervals
from mdsdaemon.types.journal_store import InoTableState


def take(kit: TablesKit, session: Any, wanted: int = 0) -> tuple[int, Any]:
    mut = Mutation(kit.rank, "mknod", stamp=1, client=session.client if session else 0)
    ino = kit.rank.inotable.take_ino(mut, session, wanted)
    return ino, mut.blob


@in_trio
async def test_the_first_number_fills_the_sessions_stock() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        before = kit.rank.sessionmap.version
        ino, blob = take(kit, client.session)
        assert ino == RANGE == blob.allocated_ino
        assert blob.preallocated_inos == {RANGE + 1: 1000}
        assert blob.used_preallocated_ino == 0
        assert blob.inotablev == 2  # one number, then the stock
        assert blob.sessionmapv == before + 1
        assert blob.client_name == client.session.name
        assert client.session.prealloc_inos == Intervals({RANGE + 1: 1000})
        assert kit.rank.inotable.free.first == RANGE + 1001


@in_trio
async def test_later_ones_come_from_the_stock_until_it_is_half_empty() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        take(kit, client.session)
        for number in range(500):
            before = kit.rank.sessionmap.version
            ino, blob = take(kit, client.session)
            assert ino == blob.used_preallocated_ino == RANGE + 1 + number
            assert not blob.allocated_ino
            assert not blob.preallocated_inos
            assert blob.sessionmapv == before + 1
        before = kit.rank.sessionmap.version
        ino, blob = take(kit, client.session)
        assert blob.used_preallocated_ino == ino
        assert blob.preallocated_inos == {RANGE + 1001: 501}
        assert blob.sessionmapv == before + 2
        assert blob.inotablev == 3


@in_trio
async def test_a_wanted_number_is_used_if_it_is_the_clients() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        take(kit, client.session)
        given_ = client.session.delegate_inos(100)
        assert given_ == {RANGE + 1: 100}
        assert client.session.delegate_inos(100) == {}
        ino, blob = take(kit, client.session, RANGE + 7)
        assert ino == RANGE + 7 == blob.used_preallocated_ino
        assert RANGE + 7 not in client.session.prealloc_inos
        assert RANGE + 7 not in client.session.delegated_inos
        ino, blob = take(kit, client.session, RANGE + 5000)
        assert ino == RANGE + 5000 == blob.allocated_ino
        version = kit.rank.inotable.version
        with pytest.raises(FsError) as e:
            take(kit, client.session, RANGE + 5000)
        assert e.value.errno == errno.EINVAL
        assert kit.rank.inotable.version == version


@in_trio
async def test_without_a_session_and_without_numbers() -> None:
    async with tables_rank() as kit:
        ino, blob = take(kit, None)
        assert ino == RANGE
        assert (blob.inotablev, blob.sessionmapv) == (1, 0)
        kit.rank.inotable.free = Intervals()
        with pytest.raises(FsError) as e:
            take(kit, None)
        assert e.value.errno == errno.ENOSPC


@in_trio
async def test_is_stored_and_read_again() -> None:
    async with tables_rank() as kit:
        table = kit.rank.inotable
        table.alloc()
        table.release({RANGE: 1})
        table.alloc(RANGE + 10)
        await table.save()
        assert table.committed_version == 3
        other = tables_kit(make_rank(objects=kit.objecter)).rank.inotable
        await other.load()
        assert other.version == other.committed_version == 3
        assert other.free == table.free


@in_trio
async def test_is_stored_only_after_the_journal() -> None:
    async with tables_rank() as kit:
        kit.mdlog.auto = False
        kit.rank.inotable.alloc()
        kit.mdlog.write_pos += 100
        done = []

        async def save() -> None:
            await kit.rank.inotable.save()
            done.append(kit.rank.inotable.committed_version)

        kit.rank.nursery.start_soon(save)
        await kit.settle()
        assert not done
        assert "mds0_inotable" not in kit.objecter.names()
        kit.rank.inotable.alloc()  # a change after the save began is not in it
        kit.mdlog.make_safe()
        await kit.settle()
        assert done == [1]


@pytest.mark.parametrize("data", [None, b"", b"1234567", b"12345678", b"\1" * 40])
@in_trio
async def test_what_cannot_be_read_is_damage(data: bytes | None) -> None:
    async with tables_rank() as kit:
        if data is not None:
            kit.objecter.do(1, "mds0_inotable", ObjectOperation().write_full(data))
        before = kit.rank.inotable.free
        with pytest.raises(RadosError):
            await kit.rank.inotable.load()
        assert any("mds0_inotable" in what for what in kit.rank.damages)
        assert kit.rank.inotable.free is before


@in_trio
async def test_an_interval_beyond_the_last_number_is_damage() -> None:
    async with tables_rank() as kit:
        state = encode(InoTableState, InoTableState({(1 << 64) - 2: 5}))
        kit.objecter.do(1, "mds0_inotable", ObjectOperation().write_full(encode(U64, 4) + state))
        with pytest.raises(RadosError):
            await kit.rank.inotable.load()


moves = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 2)),
        st.tuples(st.just("want"), st.integers(0, 80)),
        st.tuples(st.just("delegate"), st.integers(0, 20)),
        st.tuples(st.just("close"), st.integers(0, 1)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(moves)
def test_no_number_is_used_twice_and_replay_agrees(todo: list[tuple[str, int]]) -> None:
    """Whatever clients do: numbers are unique, none is lost, and a replay finds the same tables."""

    @in_trio
    async def run() -> None:
        async with tables_rank(mds_client_prealloc_inos="10") as kit:
            rank = kit.rank
            clients = [kit.client() for _ in range(2)]
            blobs: list[Any] = []
            used: list[int] = []
            for client in clients:
                client.open()
            for what, number in todo:
                session = clients[number % 2].session
                if what == "close":
                    rank.sessions.closing.kill(session)
                    rank.end_of_dispatch()
                    clients[number % 2] = kit.client()
                    clients[number % 2].open()
                    continue
                if what == "delegate":
                    session.delegate_inos(number)
                    continue
                try:
                    ino, blob = take(kit, session, RANGE + number if what == "want" else 0)
                except FsError:
                    continue
                blobs.append(blob)
                assert ino not in used
                used.append(ino)
            await kit.settle()
            everything = Intervals({RANGE: 2000}).intersection(rank.inotable.free.as_dict())
            for session in rank.sessionmap:
                everything.union(session.prealloc_inos.as_dict())
                assert session.prealloc_inos.size == (
                    session.free_prealloc_inos.size + session.delegated_inos.size
                )
            for ino in used:
                everything.insert(ino)
            assert everything == Intervals({RANGE: 2000})

    run()


@in_trio
async def test_replay_of_blobs_gives_the_same_table() -> None:
    async with tables_rank(mds_client_prealloc_inos="10") as kit:
        client = kit.client()
        client.open()
        blobs = [take(kit, client.session)[1] for _ in range(40)]
        other = tables_kit().rank.inotable
        for blob in blobs:
            if other.version < blob.inotablev:
                if blob.allocated_ino:
                    other.replay_alloc_id(blob.allocated_ino)
                if blob.preallocated_inos:
                    other.replay_alloc_ids(blob.preallocated_inos)
            assert other.version == blob.inotablev
        assert other.free == kit.rank.inotable.free
        assert not kit.clog


@in_trio
async def test_replay_of_a_contradiction_is_told() -> None:
    async with tables_rank() as kit:
        table = kit.rank.inotable
        table.alloc()
        table.replay_alloc_id(RANGE)
        assert any("not in free" in text or "is in free" in text for _, text in kit.clog)
        table.replay_reset()
        assert table.free.first == RANGE + 1 + 10_000_000
        assert table.repair(table.free.first)
        assert not table.repair(RANGE)
