"""Sessions of clients: opening and who may not, renewing, closing, silence, eviction."""

from __future__ import annotations

import errno

import pytest
from tests.unit.tables_kit import Client, TablesKit, in_trio, tables_rank

from mdsdaemon.cephx.caps import MAY_READ, MAY_WRITE
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_caps import MClientLease
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.errors import FsError
from mdsdaemon.types.client_ops import LeaseOp, SessionOp
from mdsdaemon.types.entity import EntityAddr
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.journal import ESession

OPEN, CLOSE = SessionOp.REQUEST_OPEN, SessionOp.REQUEST_CLOSE


def rejections(client: Client) -> list[str]:
    return [m.metadata.get("error_string", "") for m in client.got(SessionOp.REJECT)]


def fence(kit: TablesKit, client: Client) -> None:
    """What `osd blocklist add` does to the map."""
    addr = client.session.addr
    any_addr = EntityAddr(EntityAddr.TYPE_ANY, addr.nonce, addr.host, addr.port)
    kit.rank.objecter.osd_map.osd.blocklist[any_addr] = 1 << 62


# -- opening ---------------------------------------------------------------------------------


@in_trio
async def test_a_session_is_open_when_the_journal_has_it() -> None:
    async with tables_rank() as kit:
        kit.mdlog.auto = False
        client = kit.client()
        client.say(OPEN)
        assert client.session.is_opening()
        assert not client.con.sent
        kit.mdlog.make_safe()
        kit.rank.end_of_dispatch()
        assert client.session.is_open()
        (reply,) = client.got(SessionOp.OPEN)
        assert reply.supported_features == CEPHFS_FEATURES_SUPPORTED
        (event,) = [e for _, e in kit.mdlog.events if isinstance(e, ESession)]
        assert event.open
        assert event.cmapv == 1
        assert event.client_inst == client.session.info.inst
        assert event.client_metadata.kv_map == {"hostname": "box"}
        client.say(OPEN)  # asked again: dropped
        assert len(client.got(SessionOp.OPEN)) == 1


@pytest.mark.parametrize(
    ("caps", "metadata", "why"),
    [
        ("allow rw path=/a", {"root": "/b"}, "non-allowable root '/b'"),
        ("allow rw path=/a", {"root": "b"}, "invalue root 'b'"),
        ("allow rw fsname=other", {}, 'client doesn\'t have caps for FS "cephfs"'),
        ("allow *", {"x": "y" * 70_000}, "too much metadata"),
    ],
)
@in_trio
async def test_who_may_not(caps: str, metadata: dict[str, str], why: str) -> None:
    async with tables_rank() as kit:
        client = kit.client(caps, **metadata)
        client.say(OPEN)
        assert rejections(client) == [why]
        assert client.session.is_closed()
        assert len(kit.rank.sessionmap) == 0
        if "root" in metadata:
            assert any(why in text and "denied" in text for _, text in kit.clog)


@in_trio
async def test_the_root_that_the_caps_allow() -> None:
    async with tables_rank() as kit:
        kit.client("allow rw path=/a", root="/a/b").open()


@in_trio
async def test_missing_features_and_fenced_clients() -> None:
    async with tables_rank() as kit:
        kit.rank.mdsmap.required_client_features = FeatureBitset.of([8, 30])
        client = kit.client()
        client.say(OPEN)
        assert rejections(client) == ["missing required features '0x0000000040000000'"]
        kit.rank.mdsmap.required_client_features = FeatureBitset()
        fence(kit, client)
        client.say(OPEN)
        assert rejections(client)[1:] == ["blocklisted (blacklisted)"]
        old = kit.client()
        fence(kit, old)
        old.features = FeatureBitset.of(range(8))
        old.say(OPEN)
        assert rejections(old) == [""]  # it would not understand a reason


@in_trio
async def test_features_of_an_old_client_are_inferred() -> None:
    async with tables_rank() as kit:
        client = kit.client(ceph_version="ceph version 12.2.1")
        client.features = FeatureBitset()
        client.open()
        assert client.session.has_feature(7)
        assert not client.session.has_feature(8)


@in_trio
async def test_a_uuid_is_only_for_one() -> None:
    async with tables_rank() as kit:
        kit.client(uuid="u").open()
        other = kit.client(uuid="u")
        other.say(OPEN)
        assert rejections(other) == ["duplicated session uuid"]


@in_trio
async def test_messages_wait_for_the_ranks_state() -> None:
    async with tables_rank() as kit:
        kit.rank.state = State.REPLAY
        client = kit.client()
        client.say(OPEN)
        assert client.session.is_closed()
        kit.rank.state = State.CLIENTREPLAY
        kit.rank.sessions.state_changed()
        kit.rank.end_of_dispatch()
        assert client.session.is_open()
        client.say(CLOSE)
        assert client.session.is_open()
        kit.rank.state = State.ACTIVE
        kit.rank.sessions.state_changed()
        kit.rank.end_of_dispatch()
        assert client.got(SessionOp.CLOSE)


@in_trio
async def test_a_message_without_a_session() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        con = client.con
        con.session = None
        msg = MClientSession(op=OPEN)
        msg.connection = con
        kit.rank.sessions.handle_client_session(msg)
        assert rejections(client) == ["sessionless"]


# -- order -----------------------------------------------------------------------------------


@in_trio
async def test_what_shows_unsafe_state_is_held_back_and_all_behind_it() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        client.con.sent.clear()
        kit.mdlog.auto = False
        kit.mdlog.write_pos += 300
        end = kit.mdlog.write_pos
        first, second, third, own = (MClientSession(op=n) for n in range(4))
        client.session.send_when_safe(own, end - 200)
        client.session.send(first)
        client.session.send(second, after=end - 100)
        client.session.send(third)
        client.session.send(first, after=end)
        assert [m.op for m in client.con.sent] == [0]
        assert client.session.held == 4
        kit.mdlog.make_safe(end - 150)
        kit.rank.end_of_dispatch()
        assert [m.op for m in client.con.sent] == [0]  # its own answer keeps its place
        assert client.session.held == 4
        kit.mdlog.make_safe(end - 100)
        kit.rank.end_of_dispatch()
        assert [m.op for m in client.con.sent] == [0, 1, 2]
        kit.mdlog.make_safe(end)
        kit.rank.end_of_dispatch()
        assert [m.op for m in client.con.sent] == [0, 1, 2, 0, 3]
        assert client.session.held == 0


@in_trio
async def test_the_acknowledgement_of_a_flush_comes_before_what_waits_with_it() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        client.con.sent.clear()
        kit.mdlog.auto = False
        kit.mdlog.write_pos += 100
        end = kit.mdlog.write_pos
        shown, ack = MClientSession(op=1), MClientSession(op=2)
        client.session.send_ahead_when_safe(ack, end)
        client.session.send(shown, after=end)
        client.session.send_when_safe(ack, end)
        assert (client.session.held, client.con.sent) == (3, [])
        kit.mdlog.make_safe(end)
        kit.rank.end_of_dispatch()
        assert [m.op for m in client.con.sent] == [2, 1, 2]
        assert client.session.held == 0


@in_trio
async def test_who_must_follow_whom() -> None:
    async with tables_rank() as kit:
        root = kit.kit.root
        follow = kit.rank.sessions.must_follow
        root.pos, root.pos_client = kit.mdlog.safe_pos + 50, 7
        assert follow(7, root) == 0
        assert follow(8, root) == root.pos
        assert follow(0, root) == root.pos
        root.pos_client = 0  # several clients' changes
        assert follow(7, root) == root.pos
        root.pos = kit.mdlog.safe_pos
        assert follow(8, root) == 0


# -- closing ---------------------------------------------------------------------------------


@in_trio
async def test_closing_needs_the_right_push_seq() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        client.session.send(MClientLease(action=LeaseOp.REVOKE))
        client.say(CLOSE, 0)
        client.say(CLOSE, 2)
        assert client.session.is_open()
        assert any("incorrect push seq 2 != 1" in text for _, text in kit.clog)
        client.say(CLOSE, 1)
        assert client.got(SessionOp.CLOSE)
        assert client.session.is_closed()
        assert client.con.disposable
        assert len(kit.rank.sessionmap) == 0
        assert ("remove", client.number) in kit.locker.calls
        assert kit.server.killed == [client.number]
        client.open()  # on the same connection
        assert len(kit.rank.sessionmap) == 1


@in_trio
async def test_a_session_that_opens_anew_while_it_closes() -> None:
    async with tables_rank() as kit:
        client = kit.client()
        client.open()
        kit.mdlog.auto = False
        client.say(CLOSE)
        client.say(OPEN)
        kit.mdlog.make_safe()
        kit.rank.end_of_dispatch()
        assert client.session.is_open()
        assert not client.got(SessionOp.CLOSE)
        assert not kit.locker.calls
        await kit.rank.sessionmap.save()
        assert list(kit.objecter.omap("mds0_sessionmap")) == [f"client.{client.number}"]


@in_trio
async def test_stopping_closes_all() -> None:
    async with tables_rank() as kit:
        clients = [kit.client() for _ in range(3)]
        for client in clients:
            client.open()
        await kit.rank.sessions.evict_all()
        assert all(c.got(SessionOp.CLOSE) for c in clients)
        assert len(kit.rank.sessionmap) == 0


# -- access ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caps", "mask", "uid", "allowed"),
    [
        ("allow *", MAY_READ | MAY_WRITE, 0, True),
        ("allow r", MAY_READ, 5, True),
        ("allow r", MAY_WRITE, 0, False),
        ("allow rw path=/a", MAY_READ, 0, False),
        ("allow rw root_squash", MAY_WRITE, 0, False),
        ("allow rw root_squash", MAY_WRITE, 7, True),
        ("allow rw network 10.0.0.0/8", MAY_READ, 0, False),
        ("allow rw network 127.0.0.0/8", MAY_READ, 0, True),
        ("allow rw uid=5 gids=6", MAY_WRITE, 6, False),
    ],
)
@in_trio
async def test_access(caps: str, mask: int, uid: int, allowed: bool) -> None:
    async with tables_rank() as kit:
        client = kit.client(caps)
        client.open()
        root = kit.kit.root
        root.inode.mode = 0o040777
        if allowed:
            client.session.check_access(root, mask, uid, uid)
        else:
            with pytest.raises(FsError) as e:
                client.session.check_access(root, mask, uid, uid)
            assert e.value.errno == errno.EACCES
