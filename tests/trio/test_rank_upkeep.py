"""What a rank does for its sessions now and then: recalls, counters, limits of what is stored."""

from __future__ import annotations

from typing import Any

import trio
from tests.unit.tables_kit import in_trio, tables_rank

from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.client_ops import SessionOp


@in_trio
async def test_clients_over_the_limit_are_asked_every_second() -> None:
    async with tables_rank(mds_max_caps_per_client="100", mds_min_caps_per_client="10") as kit:
        client = kit.client()
        client.open()
        client.session.caps = {ino: object() for ino in range(150)}
        kit.rank.state = State.REJOIN
        kit.rank.sessions.state_changed()
        await trio.sleep(5)
        assert not client.got(SessionOp.RECALL_STATE)
        kit.rank.state = State.ACTIVE
        kit.rank.sessions.state_changed()
        kit.rank.sessions.state_changed()
        await trio.sleep(1.5)
        (msg,) = client.got(SessionOp.RECALL_STATE)
        assert msg.max_caps == 10


@in_trio
async def test_a_cache_that_cannot_be_trimmed_asks_everybody() -> None:
    async with tables_rank(mds_min_caps_per_client="10", mds_cache_memory_limit="1") as kit:
        client = kit.client()
        client.open()
        client.session.caps = {ino: object() for ino in range(50)}
        assert kit.rank.store.is_full()
        kit.rank.sessions.upkeep.once()
        assert not client.got(SessionOp.RECALL_STATE), "it may be that it can be trimmed"
        kit.rank.store.trim_to_goal()
        await kit.settle()
        kit.rank.sessions.upkeep.once()
        assert [m.max_caps for m in client.got(SessionOp.RECALL_STATE)] == [10]


@in_trio
async def test_a_cache_full_of_what_clients_hold_is_not_searched_first() -> None:
    async with tables_rank(mds_min_caps_per_client="10", mds_cache_memory_limit="1") as kit:
        client = kit.client()
        client.open()
        client.session.caps = {ino: object() for ino in range(50)}
        kit.rank.store.trimmer.num_caps = lambda: 50
        kit.rank.sessions.upkeep.once()
        assert [m.max_caps for m in client.got(SessionOp.RECALL_STATE)] == [10]


@in_trio
async def test_counters() -> None:
    async with tables_rank() as kit:
        one, two = kit.client(), kit.client()
        one.open()
        two.open()
        await trio.sleep(10)
        for _ in range(8):
            kit.rank.sessionmap.hit_session(one.session, trio.current_time())
        kit.rank.sessions.closing.kill(two.session)
        kit.rank.end_of_dispatch()
        kit.rank.sessions.upkeep.count()
        counters: Any = kit.rank.counters.sessions
        assert counters.get("session_add") == 2
        assert counters.get("session_remove") == 1
        assert counters.get("session_count") == counters.get("sessions_open") == 1
        assert counters.get("total_load") == counters.get("average_load") == 8
        assert counters.get("avg_session_uptime") == 10
        assert kit.rank.counters.server.get("handle_client_session") == 2


@in_trio
async def test_a_session_that_grows_without_end_is_evicted() -> None:
    async with tables_rank(mds_session_metadata_threshold="2000") as kit:
        good, bad = kit.client(), kit.client()
        good.open()
        bad.open()
        for tid in range(200):
            bad.session.add_completed_request(tid, 1)
        kit.rank.sessionmap.mark_dirty(bad.session)
        await kit.rank.sessionmap.save()
        await kit.settle()
        assert [s.client for s in kit.rank.sessionmap] == [good.number]
        assert kit.monc.commands
        assert kit.rank.counters.sessions.get("mdthresh_evicted") == 1


@in_trio
async def test_changed_half_lives() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        client.session.caps = {1: object()}
        kit.rank.config.set_val("mds_session_cache_liveness_decay_rate", "7")
        kit.rank.config.set_val("mds_recall_max_decay_rate", "3")
        loads = client.session.loads
        assert loads.cache_liveness.halflife == 7
        assert loads.cache_liveness.get() == 1
        assert loads.recall_caps_throttle.halflife == 3
        assert kit.rank.sessions.recall.throttle.halflife == 3
        assert loads.recall_caps.halflife == 60
