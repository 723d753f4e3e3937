"""The table of sessions: its object, its versions, its replay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import make_rank
from tests.unit.tables_kit import TablesKit, in_trio, tables_kit, tables_rank

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import U32, U64, decode, encode
from mdsdaemon.rank.log.replay_blob import ReplayError
from mdsdaemon.rank.session import SessionState
from mdsdaemon.rank.tables.sessionmap_format import SessionMapHeader, decode_legacy
from mdsdaemon.types.entity import CLIENT, EntityAddr, EntityInst, PeerName
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.journal import ESession
from mdsdaemon.types.session import ClientMetadata, SessionInfo

OBJECT = "mds0_sessionmap"


def inst(client: int) -> EntityInst:
    return EntityInst(PeerName(CLIENT, client), EntityAddr.parse(f"v1:10.0.0.1:0/{client}"))


async def reload(kit: TablesKit) -> Any:
    """Another rank's table, read from the objects of this one."""
    other = tables_kit(make_rank(objects=kit.objecter)).rank.sessionmap
    await other.load()
    return other


@in_trio
async def test_sessions_are_stored_and_read_again() -> None:
    async with tables_rank() as kit:
        one, two = kit.client(root="/a"), kit.client()
        for client in (one, two):
            client.open()
        one.session.add_completed_request(7, 0x10000000001)
        one.session.add_completed_flush(3)
        kit.rank.sessionmap.mark_dirty(one.session)
        await kit.rank.sessionmap.save()
        assert sorted(kit.objecter.omap(OBJECT)) == [f"client.{one.number}", f"client.{two.number}"]
        assert decode(SessionMapHeader, kit.objecter.header(OBJECT)).version == 3
        other = await reload(kit)
        assert other.version == other.committed_version == 3
        session = other.get_session(one.number)
        assert session.is_open()
        assert session.info.completed_requests == {7: 0x10000000001}
        assert session.info.completed_flushes == {3}
        assert session.client_metadata["root"] == "/a"
        assert session.info.auth_name.id == "admin"
        assert session.addr == one.session.addr
        assert len(other) == 2


@in_trio
async def test_a_closed_session_leaves_the_object() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        await kit.rank.sessionmap.save()
        kit.mdlog.auto = False
        kit.rank.sessions.closing.kill(client.session)
        # the close is not safe yet, but belongs to the version that is saved
        saving = kit.rank.sessionmap
        kit.rank.nursery.start_soon(saving.save)
        await kit.settle()
        assert list(kit.objecter.omap(OBJECT)) == [f"client.{client.number}"]
        kit.mdlog.make_safe()
        await kit.settle()
        assert not kit.objecter.omap(OBJECT)
        assert decode(SessionMapHeader, kit.objecter.header(OBJECT)).version == 2
        assert len(saving) == 0


@in_trio
async def test_many_changes_are_saved_in_batches() -> None:
    async with tables_rank(mds_sessionmap_keys_per_op="4") as kit:
        for _ in range(11):
            kit.client().open()
        await kit.settle()
        saves = [ops for _, oid, ops in kit.objecter.requests if oid == OBJECT]
        assert len(saves) == 2  # each when the next change would be the fifth
        assert len(kit.objecter.omap(OBJECT)) == 8
        assert decode(SessionMapHeader, kit.objecter.header(OBJECT)).version == 8
        await kit.rank.sessionmap.save()
        other = await reload(kit)
        assert len(other) == 11
        assert other.version == 11


@in_trio
async def test_saves_keep_their_order() -> None:
    async with tables_rank(mds_sessionmap_keys_per_op="2") as kit:
        kit.mdlog.auto = False
        for _ in range(5):
            kit.client().say(0)
        kit.rank.nursery.start_soon(kit.rank.sessionmap.save)
        await kit.settle()
        assert OBJECT not in kit.objecter.names()
        kit.mdlog.make_safe()
        await kit.settle()
        assert decode(SessionMapHeader, kit.objecter.header(OBJECT)).version == 5
        assert kit.rank.sessionmap.committed_version == 5
        assert len(kit.objecter.omap(OBJECT)) == 5


@in_trio
async def test_a_save_that_fails_is_made_up_for_by_the_next() -> None:
    async with tables_rank() as kit:
        one, two = kit.client(), kit.client()
        one.open()
        two.open()
        await kit.rank.sessionmap.save()
        one.session.add_completed_request(1, 0)
        kit.rank.sessionmap.mark_dirty(one.session)
        kit.rank.sessions.closing.kill(two.session)
        kit.rank.end_of_dispatch()
        kit.objecter.fault = lambda pool, oid, op: 5
        with pytest.raises(RadosError):
            await kit.rank.sessionmap.save()
        kit.objecter.fault = lambda pool, oid, op: 0
        await kit.rank.sessionmap.save()
        other = await reload(kit)
        assert [s.client for s in other] == [one.number]
        assert other.get_session(one.number).info.completed_requests == {1: 0}


@in_trio
async def test_completed_requests_are_saved_beside_the_version() -> None:
    async with tables_rank(mds_sessionmap_keys_per_op="2") as kit:
        clients = [kit.client() for _ in range(5)]
        for client in clients:
            client.open()
        await kit.rank.sessionmap.save()
        for client in clients[1:]:
            client.session.add_completed_request(9, 1)
        await kit.rank.sessionmap.save_sessions({client.number for client in clients} | {99})
        other = await reload(kit)
        assert other.version == 5
        done = [bool(s.info.completed_requests) for s in sorted(other, key=lambda s: s.client)]
        assert done == [False, True, True, True, True]
        kit.objecter.requests.clear()
        await kit.rank.sessionmap.save_sessions({client.number for client in clients})
        assert not kit.objecter.requests
        clients[0].session.add_completed_flush(4)
        await kit.rank.sessionmap.save_sessions({clients[0].number})
        other = await reload(kit)
        assert other.get_session(clients[0].number).have_completed_flush(4)


LEGACY_NEW = encode(U64, 2**64 - 1)


@in_trio
async def test_the_format_of_before_the_omap_is_read_and_replaced() -> None:
    async with tables_rank() as kit:
        info = SessionInfo(inst=inst(4200), completed_requests={5: 0}, prealloc_inos={1 << 40: 3})
        body = encode(U64, 9) + encode(PeerName, info.inst.name)
        body += encode(SessionInfo, info, FEATURES_PACIFIC)
        data = LEGACY_NEW + bytes([3, 3]) + encode(U32, len(body)) + body
        kit.objecter.do(1, OBJECT, ObjectOperation().write_full(data))
        other = await reload(kit)
        assert other.version == 9
        session = other.get_session(4200)
        assert session.is_open()
        assert session.prealloc_inos.as_dict() == {1 << 40: 3}
        await other.save()
        assert kit.objecter.read(OBJECT) == b""
        assert list(kit.objecter.omap(OBJECT)) == ["client.4200"]
        assert (await reload(kit)).version == 9


def test_the_oldest_format_is_read() -> None:
    info = SessionInfo(inst=inst(4200))
    data = encode(U64, 9) + encode(U32, 1) + encode(SessionInfo, info, FEATURES_PACIFIC)
    version, sessions = decode_legacy(data)
    assert version == 9
    assert [name.num for name, _ in sessions] == [4200]


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (b"\1\1\4\0\0\0abcd", {}),
        (None, {"nobody": b""}),
        (None, {"client.x": b""}),
        (None, {"client.5": b"garbage"}),
        (None, {"client.99999999999999999999": b""}),
    ],
)
@in_trio
async def test_what_cannot_be_read_is_damage(header: bytes | None, values: Any) -> None:
    async with tables_rank() as kit:
        whole = encode(SessionMapHeader, SessionMapHeader(4))
        op = ObjectOperation().omap_set_header(whole if header is None else header)
        kit.objecter.do(1, OBJECT, op.omap_set(values))
        other = tables_kit(make_rank(objects=kit.objecter))
        with pytest.raises(RadosError):
            await other.rank.sessionmap.load()
        assert any("sessionmap" in what for what in other.rank.damages)


@in_trio
async def test_a_missing_object_is_damage() -> None:
    async with tables_rank() as kit:
        with pytest.raises(RadosError):
            await kit.rank.sessionmap.load()
        assert kit.rank.damages


# -- replay ----------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.sampled_from(["open", "close", "save", "request", "die"]), st.integers(0, 3)),
    max_size=40,
)


def replay(table: Any, events: list[Any]) -> None:
    """As the journal's replay does."""
    for event in events:
        if table.version >= event.cmapv:
            continue
        assert table.version + 1 == event.cmapv
        table.replay_session(event.client_inst, event.open, event.client_metadata)
        assert table.version == event.cmapv


@settings(max_examples=80, deadline=None)
@given(steps)
def test_any_save_and_the_journal_behind_it_give_the_sessions(todo: list[tuple[str, int]]) -> None:
    """Whenever the rank dies: what was saved plus the events in the journal is what was."""

    @in_trio
    async def run() -> None:
        async with tables_rank(mds_sessionmap_keys_per_op="2") as kit:
            await kit.rank.sessionmap.save()
            slots: list[Any] = [None] * 4
            for what, number in todo:
                client = slots[number]
                if what == "open" and client is None:
                    slots[number] = client = kit.client()
                    client.open()
                elif what == "close" and client is not None:
                    kit.rank.sessions.closing.kill(client.session)
                    kit.rank.end_of_dispatch()
                    slots[number] = None
                elif what == "save":
                    await kit.rank.sessionmap.save()
                elif what == "request" and client is not None:
                    client.session.add_completed_request(number, 0)
                elif what == "die":
                    await kit.settle()
                    other = await reload(kit)
                    replay(other, [e for _, e in kit.mdlog.events if isinstance(e, ESession)])
                    assert {s.client for s in other} == {s.client for s in kit.rank.sessionmap}
                    assert other.version == kit.rank.sessionmap.version
                    assert all(s.is_open() for s in other)

    run()


@in_trio
async def test_replay_of_a_close_that_nobody_opened() -> None:
    async with tables_rank() as kit:
        table = kit.rank.sessionmap
        table.replay_session(inst(5), False, ClientMetadata())
        assert table.version == 1
        assert any("stray Session close" in text for _, text in kit.clog)


@in_trio
async def test_replay_of_several_openings() -> None:
    async with tables_rank() as kit:
        table = kit.rank.sessionmap
        clients = {number: inst(number) for number in (1, 2, 3)}
        with pytest.raises(ReplayError):
            table.replay_open_sessions(9, clients, {})
        # one of them was saved before the rank died
        table.replay_session(inst(1), True, ClientMetadata())
        table.replay_open_sessions(3, clients, {2: ClientMetadata({"root": "/x"})})
        assert table.version == 3
        assert {s.client for s in table} == {1, 2, 3}
        assert table.get_session(2).client_metadata == {"root": "/x"}
        assert all(s.state == SessionState.OPEN for s in table)


@in_trio
async def test_wiping() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        table = kit.rank.sessionmap
        await table.save()
        client.session.replay_add_prealloc({1 << 40: 5})
        table.wipe_ino_prealloc()
        assert not client.session.prealloc_inos
        table.wipe()
        await table.save()
        other = await reload(kit)
        assert len(other) == 0
        assert other.version == 3
