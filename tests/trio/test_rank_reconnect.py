"""Clients that come back after a failover, and those that do not; takeovers; recalls."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.unit.tables_kit import Client, TablesKit, in_trio, tables_rank

from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_misc import (
    RECLAIM_FINISH,
    RECLAIM_RESET,
    MClientReclaim,
    MClientReclaimReply,
    MClientReconnect,
    SnapRealmReconnect,
)
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.sessions import reconnect
from mdsdaemon.types.caps import CapReconnect, CapReconnectBody
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.entity import EntityInst
from mdsdaemon.types.journal import ESession


def loaded(kit: TablesKit, **metadata: str) -> Client:
    """A client whose session was read from the table; it has not connected yet."""
    client = kit.client(**metadata)
    known = kit.rank.sessionmap.get_or_add_session(
        EntityInst(client.session.name, client.session.addr)
    )
    kit.rank.sessionmap.set_state(known, SessionState.OPEN)
    known.info.client_metadata.kv_map = dict(client.metadata)
    known.info.client_metadata.features = client.features
    known.info.auth_name = client.session.info.auth_name
    return client


def claim(client: Client, inos: dict[int, int], *, more: bool = False) -> None:
    msg = MClientReconnect(more=more)
    msg.caps = {ino: CapReconnect("", CapReconnectBody(cap_id=cap)) for ino, cap in inos.items()}
    msg.realms = [SnapRealmReconnect(1, 1, 0)]
    client.tell(msg, client.kit.rank.sessions.handle_client_reconnect)


class Window:
    """The reconnect state of a rank: how long it takes."""

    def __init__(self, kit: TablesKit) -> None:
        self.kit = kit
        self.took: float | None = None

    def begin(self) -> None:
        kit = self.kit
        kit.rank.state = State.RECONNECT
        kit.rank.sessions.reconnect_start()

        async def wait() -> None:
            began = trio.current_time()
            await kit.rank.sessions.reconnect_wait()
            self.took = trio.current_time() - began

        kit.rank.nursery.start_soon(wait)


@in_trio
async def test_nobody_is_awaited() -> None:
    async with tables_rank() as kit:
        window = Window(kit)
        window.begin()
        await kit.settle()
        assert window.took == 0


@in_trio
async def test_all_come_back() -> None:
    async with tables_rank() as kit:
        one, two = loaded(kit), loaded(kit)
        window = Window(kit)
        window.begin()
        session = kit.rank.sessionmap.get_session(one.number)
        assert session.reconnecting
        assert kit.rank.sessions.reconnect_status()["client_reconnect_gather"] == [
            one.number,
            two.number,
        ]
        await trio.sleep(3)
        claim(one, {0x10000000000: 5}, more=True)
        assert session.reconnecting
        claim(one, {0x10000000001: 9})
        # the connection has got the session that was known
        assert (one.session, one.session.reconnecting) == (session, False)
        assert one.got(SessionOp.OPEN)
        await kit.settle()
        assert window.took is None
        claim(two, {0x10000000001: 4})
        await kit.settle()
        assert window.took == pytest.approx(3)
        assert kit.rank.sessions.reconnect.realms == {one.number: {1: 1}, two.number: {1: 1}}
        assert set(kit.rank.sessions.reconnect.claims) == {0x10000000000, 0x10000000001}


@in_trio
async def test_claims_are_given_to_the_locker() -> None:
    async with tables_rank() as kit:
        client = loaded(kit)
        window = Window(kit)
        window.begin()
        claim(client, {1: 5, 0x10000000001: 9})

        class Progress:
            total = done = 0

        progress: Any = Progress()
        await kit.rank.sessions.rejoin_caps(progress)
        # the second inode is nowhere; the locker decides what becomes of the claim
        assert sorted(kit.locker.claims) == [(client.number, 1), (client.number, 0x10000000001)]
        assert (progress.total, progress.done) == (2, 2)


@in_trio
async def test_who_does_not_come_is_evicted() -> None:
    async with tables_rank() as kit:
        gone, here = loaded(kit), loaded(kit)
        window = Window(kit)
        window.begin()
        known = kit.rank.sessionmap.get_session(gone.number)
        known.replay_add_prealloc({1 << 40: 10})
        await trio.sleep(1)
        claim(here, {})
        kit.monc.delay = 2
        await trio.sleep(60)
        assert window.took is not None
        assert 45 <= window.took <= 53
        assert [s.client for s in kit.rank.sessionmap] == [here.number]
        assert kit.monc.commands[0]["addr"] == f"v1:127.0.0.1:0/{gone.number}"
        assert any("during MDS startup" in text for _, text in kit.clog)
        (event,) = [e for _, e in kit.mdlog.events if isinstance(e, ESession)]
        # what it may have written to with its numbers is purged
        assert event.inos_to_purge == {1 << 40: 10}
        assert not event.inos_to_free


@in_trio
async def test_the_window_stays_open_while_they_talk() -> None:
    async with tables_rank() as kit:
        client = loaded(kit)
        window = Window(kit)
        window.begin()
        session = kit.rank.sessionmap.get_session(client.number)
        for _ in range(8):
            await trio.sleep(10)
            session.last_seen = trio.current_time()
        assert window.took is None
        await trio.sleep(30)
        assert window.took is not None


@in_trio
async def test_an_eviction_ends_the_wait() -> None:
    async with tables_rank() as kit:
        client = loaded(kit)
        window = Window(kit)
        window.begin()
        await trio.sleep(2)
        await kit.rank.sessions.evictor.kill_client(str(client.number))
        await kit.settle()
        assert window.took == pytest.approx(2)


@in_trio
async def test_denying_all() -> None:
    async with tables_rank(mds_deny_all_reconnect="true") as kit:
        client = loaded(kit)
        window = Window(kit)
        window.begin()
        claim(client, {})
        await trio.sleep(6)
        assert window.took is not None
        assert client.got(SessionOp.CLOSE)
        assert any("denied reconnect attempt (mds is up:reconnect)" in t for _, t in kit.clog)
        assert len(kit.rank.sessionmap) == 0


@in_trio
async def test_who_claims_too_much_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "MAX_CLAIMS", 8)
    async with tables_rank() as kit:
        client, other = loaded(kit), loaded(kit)
        Window(kit).begin()
        for _ in range(3):  # each with a realm
            claim(client, {0x10000000000: 5}, more=True)
        assert not client.con.sent
        claim(other, {0x10000000000: 5, 0x10000000001: 6}, more=True)
        assert other.got(SessionOp.CLOSE)
        claim(client, {0x10000000002: 7})
        assert client.got(SessionOp.OPEN)
        assert any("too many capabilities are claimed" in text for _, text in kit.clog)


@in_trio
async def test_too_late_and_without_a_session() -> None:
    async with tables_rank() as kit:
        late, stranger, gone = loaded(kit), kit.client(), kit.client()
        kit.rank.state = State.ACTIVE
        claim(late, {})
        assert late.got(SessionOp.CLOSE)
        claim(stranger, {})
        assert stranger.got(SessionOp.CLOSE)
        gone.con.session = None
        msg = MClientReconnect()
        msg.connection = gone.con
        kit.rank.sessions.handle_client_reconnect(msg)
        assert gone.got(SessionOp.REJECT)


@in_trio
async def test_too_early() -> None:
    async with tables_rank() as kit:
        client = loaded(kit)
        kit.rank.state = State.REPLAY
        claim(client, {})
        assert not client.con.sent
        window = Window(kit)
        window.begin()
        kit.rank.end_of_dispatch()
        await kit.settle()
        assert window.took == 0


@in_trio
async def test_a_session_with_a_timeout_waits_for_its_successor() -> None:
    async with tables_rank() as kit:
        dead = loaded(kit, timeout="600", uuid="nfs-1")
        window = Window(kit)
        window.begin()
        await trio.sleep(60)
        assert window.took is not None
        assert kit.rank.sessions.num_pending_reclaim() == 1
        kit.rank.state = State.CLIENTREPLAY
        kit.rank.sessions.state_changed()
        reclaimed = trio.Event()

        async def wait() -> None:
            await kit.rank.sessions.wait_reclaimed()
            reclaimed.set()

        kit.rank.nursery.start_soon(wait)
        await kit.settle()
        assert not reclaimed.is_set()
        heir = kit.client()
        heir.open()
        heir.tell(
            MClientReclaim(uuid="nfs-1", flags=RECLAIM_RESET),
            kit.rank.sessions.handle_client_reclaim,
        )
        await kit.settle()
        assert reclaimed.is_set()
        (reply,) = [m for m in heir.con.sent if isinstance(m, MClientReclaimReply)]
        assert reply.result == 0
        assert reply.epoch == 1
        assert str(reply.addrs.addrs[0]).endswith(f"/{dead.number}")
        assert kit.rank.sessionmap.get_session(dead.number) is None


@pytest.mark.parametrize(
    ("uuid", "flags", "name", "result"),
    [
        ("", RECLAIM_RESET, "admin", -22),
        ("x", 0, "admin", -95),
        ("nobody", RECLAIM_RESET, "admin", 0),
        ("u", RECLAIM_RESET, "other", -1),
    ],
)
@in_trio
async def test_reclaims_that_come_to_nothing(uuid: str, flags: int, name: str, result: int) -> None:
    async with tables_rank() as kit:
        kit.client(uuid="u").open()
        heir = kit.client(name=name)
        heir.open()
        msg = MClientReclaim(uuid=uuid, flags=flags)
        heir.tell(msg, kit.rank.sessions.handle_client_reclaim)
        (reply,) = [m for m in heir.con.sent if isinstance(m, MClientReclaimReply)]
        assert reply.result == result
        heir.tell(MClientReclaim(flags=RECLAIM_FINISH), kit.rank.sessions.handle_client_reclaim)
        assert len(kit.rank.sessionmap) == 2


# -- recall ----------------------------------------------------------------------------------


def with_caps(kit: TablesKit, count: int) -> Session:
    client = kit.client()
    client.open()
    client.session.caps = {ino: object() for ino in range(count)}
    return client.session


def limits(session: Session) -> list[int]:
    con: Any = session.connection
    return [m.max_caps for m in con.sent if getattr(m, "op", -1) == SessionOp.RECALL_STATE]


@in_trio
async def test_recall_asks_those_with_the_most_first() -> None:
    async with tables_rank(mds_recall_max_caps="1000", mds_min_caps_per_client="100") as kit:
        small, big, tiny = with_caps(kit, 500), with_caps(kit, 5000), with_caps(kit, 50)
        throttled, count = kit.rank.sessions.recall_client_state(trim=True)
        assert (throttled, count) == (False, 1000 + 400)
        assert limits(big) == [4000]
        assert limits(small) == [100]
        assert limits(tiny) == []
        # asked again with the same limit: nothing new
        throttled, count = kit.rank.sessions.recall_client_state(trim=True)
        assert (throttled, count) == (False, 0)
        throttled, count = kit.rank.sessions.recall_client_state(trim=True)
        assert throttled  # the second-order throttle of the big one
        await trio.sleep(10)
        assert not kit.rank.sessions.recall_client_state(trim=True)[0]


@in_trio
async def test_recall_spares_those_who_cannot_keep_up() -> None:
    async with tables_rank(
        mds_recall_max_caps="1000", mds_recall_max_decay_threshold="1200"
    ) as kit:
        session = with_caps(kit, 5000)
        kit.rank.sessions.recall_client_state(trim=True)
        await trio.sleep(20)
        kit.rank.sessions.recall_client_state(trim=True, steady=True)
        assert len(limits(session)) == 1
        session.notify_cap_release(1000)
        kit.rank.sessions.recall_client_state(trim=True, steady=True)
        assert len(limits(session)) == 2


@in_trio
async def test_recall_enforces_the_most_that_a_client_may_have() -> None:
    async with tables_rank(mds_max_caps_per_client="1000", mds_recall_max_caps="300") as kit:
        greedy, modest = with_caps(kit, 1100), with_caps(kit, 900)
        kit.rank.sessions.recall_client_state(enforce_max=True)
        assert limits(greedy) == [800]
        assert limits(modest) == []


@in_trio
async def test_recall_of_those_who_do_not_use_what_they_have() -> None:
    async with tables_rank() as kit:
        idle, lively = with_caps(kit, 100_000), with_caps(kit, 100_000)
        lively.loads.cache_liveness.hit(200)
        kit.rank.sessions.recall_client_state(enforce_liveness=True)
        assert limits(idle)
        assert not limits(lively)


@in_trio
async def test_when_all_have_got_a_recall() -> None:
    async with tables_rank(mds_min_caps_per_client="10") as kit:
        clients = [kit.client() for _ in range(3)]
        for client, count in zip(clients, (100, 100, 5), strict=True):
            client.open()
            client.session.caps = {ino: object() for ino in range(count)}
        done: list[int] = []
        recall = kit.rank.sessions.recall_client_state
        recall(trim=True, flushed=lambda: done.append(1))
        assert [len(client.got(SessionOp.FLUSHMSG)) for client in clients] == [1, 1, 0]
        clients[0].say(SessionOp.FLUSHMSG_ACK, 0)
        assert not done
        kit.rank.sessions.closing.kill(clients[1].session)  # it will not answer any more
        kit.rank.end_of_dispatch()
        assert done == [1]


@in_trio
async def test_flushing_a_session() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        done: list[int] = []
        client.session.cap_push_seq += 1
        assert kit.rank.sessions.flush_session(client.session, lambda: done.append(1))
        (msg,) = client.got(SessionOp.FLUSHMSG)
        assert msg.seq == 1
        client.say(SessionOp.FLUSHMSG_ACK, 0)
        assert not done
        client.say(SessionOp.FLUSHMSG_ACK, 1)
        assert done == [1]
