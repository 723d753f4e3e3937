"""Sessions that end without their client's wish: silence, eviction, what maps say."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
from tests.trio.test_rank_sessions import fence
from tests.unit.tables_kit import TablesKit, in_trio, tables_rank

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.sessions.filters import SessionFilter
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.feature_bitset import FeatureBitset


async def silence(kit: TablesKit, seconds: float, *, tick: float = 5) -> None:
    """Time passes, with the rank's ticks."""
    left = seconds
    while left > 0:
        await trio.sleep(tick)
        kit.rank.sessions.find_idle_sessions()
        kit.rank.sessions.evict_cap_revoke_non_responders()
        await kit.settle()
        left -= tick


# -- silence ---------------------------------------------------------------------------------


@in_trio
async def test_a_silent_client_nobody_misses_stays_open_until_autoclose() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        await silence(kit, 280)
        assert client.session.is_open()
        await silence(kit, 40)
        assert client.con.down
        assert len(kit.rank.sessionmap) == 0
        assert kit.monc.commands[0]["blocklistop"] == "add"
        assert kit.monc.commands[0]["addr"] == f"v1:127.0.0.1:0/{client.number}"
        assert any("evicting unresponsive client box (" in text for _, text in kit.clog)


@in_trio
async def test_a_silent_client_that_is_in_the_way_becomes_stale() -> None:
    async with tables_rank() as kit:
        client, lively = kit.client(), kit.client()
        client.open()
        lively.open()
        client.session.revoking.add(5)
        for _ in range(13):
            await silence(kit, 5)
            lively.say(SessionOp.REQUEST_RENEWCAPS, 3)
        assert client.session.is_stale()
        assert lively.session.is_open()
        assert client.got(SessionOp.STALE)
        assert lively.got(SessionOp.RENEWCAPS)[0].seq == 3
        assert kit.locker.calls == [("stale", client.number)]
        client.say(SessionOp.REQUEST_RENEWCAPS, 4)
        assert client.session.is_open()
        assert ("resume", client.number) in kit.locker.calls


@in_trio
async def test_a_stale_client_with_write_caps_is_evicted() -> None:
    async with tables_rank() as kit:
        kit.locker.stale_ok = False
        client = kit.client()
        client.open()
        client.session.revoking.add(5)
        await silence(kit, 65)
        assert len(kit.rank.sessionmap) == 0
        assert kit.monc.commands


@in_trio
async def test_autoclose_of_a_stale_session_without_blocklisting() -> None:
    async with tables_rank(mds_session_blocklist_on_timeout="false") as kit:
        client = kit.client()
        client.open()
        client.session.revoking.add(5)
        await silence(kit, 100)
        assert client.session.is_stale()
        await silence(kit, 205)
        assert len(kit.rank.sessionmap) == 0
        assert not kit.monc.commands


@in_trio
async def test_a_sessions_own_timeout() -> None:
    async with tables_rank(mds_defer_session_stale="false") as kit:
        patient, quick, odd = kit.client(), kit.client(), kit.client()
        for client in (patient, quick, odd):
            client.open()
        config = kit.rank.sessions.evictor.config_client
        config(patient.number, "timeout", "0")
        config(quick.number, "timeout", "0x46")
        await silence(kit, 65)
        assert patient.session.is_open()
        assert quick.session.is_open()
        assert odd.session.is_stale()
        await silence(kit, 10)
        assert {s.client for s in kit.rank.sessionmap} == {patient.number, odd.number}


@in_trio
async def test_we_were_laggy_ourselves() -> None:
    async with tables_rank(mds_defer_session_stale="false") as kit:
        client = kit.client()
        client.open()
        await trio.sleep(100)
        kit.beacon.last_laggy = trio.current_time() - 10
        kit.rank.sessions.find_idle_sessions()
        assert client.session.is_open()
        kit.beacon.last_laggy = trio.current_time() - 61
        kit.rank.sessions.find_idle_sessions()
        assert client.session.is_stale()


@in_trio
async def test_late_revokes_are_evicted_if_wished() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        kit.locker.late = {client.number}
        kit.rank.sessions.evict_cap_revoke_non_responders()
        assert client.session.is_open()
        kit.rank.config.set_val("mds_cap_revoke_eviction_timeout", "20")
        kit.monc.delay = 3
        for _ in range(2):  # the second finds it under way
            kit.rank.sessions.evict_cap_revoke_non_responders()
        await trio.sleep(4)
        await kit.settle()
        assert len(kit.rank.sessionmap) == 0
        assert len(kit.monc.commands) == 1


# -- commands --------------------------------------------------------------------------------


@in_trio
async def test_evicting_by_filter() -> None:
    async with tables_rank() as kit:
        clients = [kit.client(name=name) for name in ("a", "b", "b")]
        for client in clients:
            client.open()
        with trio.fail_after(1):
            await kit.rank.sessions.evictor.evict_clients(SessionFilter.parse(["auth_name=b"]))
        assert [s.client for s in kit.rank.sessionmap] == [clients[0].number]
        assert len(kit.monc.commands) == 2
        await kit.rank.sessions.evictor.evict_clients(SessionFilter.parse(["id=1"]))
        await kit.rank.sessions.evictor.kill_client(str(clients[0].number))
        assert len(kit.rank.sessionmap) == 0
        with pytest.raises(FsError) as e:
            await kit.rank.sessions.evictor.kill_client("77")
        assert (e.value.errno, e.value.why) == (errno.ENOENT, "session 77 not in sessionmap!")
        kit.rank.state = State.REPLAY
        with pytest.raises(FsError) as e:
            await kit.rank.sessions.evictor.evict_clients(SessionFilter())
        assert e.value.errno == errno.EAGAIN


@in_trio
async def test_configuring_a_session() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        config: Any = kit.rank.sessions.evictor.config_client
        number = client.number
        for args, code, text in (
            ((5, "timeout", "1"), errno.ENOENT, "session 5 not in sessionmap!"),
            ((number, "x", "1"), errno.EINVAL, "Invalid config option: x"),
            ((number, "timeout", None), errno.ENODATA, "Nonexistent config: timeout"),
            ((number, "timeout", "12s"), errno.EINVAL, "Invalid config for timeout: 12s"),
            ((number, "timeout", "08"), errno.EINVAL, "Invalid config for timeout: 08"),
        ):
            with pytest.raises(FsError) as e:
                config(*args)
            assert (e.value.errno, e.value.why) == (code, text)
        config(number, "timeout", "90")
        assert client.session.client_metadata["timeout"] == "90"
        config(number, "timeout", None)


@in_trio
async def test_a_fenced_client_loses_its_session() -> None:
    async with tables_rank() as kit:
        one, two = kit.client(), kit.client()
        one.open()
        two.open()
        fence(kit, one)
        kit.rank.sessions.handle_osd_map()
        kit.rank.end_of_dispatch()
        assert [s.client for s in kit.rank.sessionmap] == [two.number]
        assert one.con.down


@in_trio
async def test_features_that_are_required_from_now_on() -> None:
    async with tables_rank() as kit:
        new, old = kit.client(), kit.client()
        old.features = FeatureBitset.of(range(10))
        new.open()
        old.open()
        kit.rank.mdsmap.required_client_features = FeatureBitset.of([12])
        kit.rank.sessions.update_required_client_features()
        await kit.settle()
        assert [s.client for s in kit.rank.sessionmap] == [new.number]


@in_trio
async def test_read_only_is_told_to_all() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        kit.rank.force_readonly("test")
        kit.rank.sessions.force_readonly()
        assert client.got(SessionOp.FORCE_RO)
        late = kit.client()
        late.open()
        assert late.got(SessionOp.FORCE_RO)
