"""When replies go out, to whom, and what becomes of requests that come again."""

from __future__ import annotations

import errno

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.encoding import decode
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_reply import CreatedInode
from mdsdaemon.types.client_args import FilelockArgs, GetattrArgs, MkdirArgs, OpenArgs
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_ops import MDS_FLAG_REPLAY, MDS_FLAG_WANT_DENTRY, MdsOp
from mdsdaemon.types.mds import FilePath


def unsafe(kit: ServerKit) -> None:
    """From now on nothing becomes safe by itself."""
    kit.mdlog.auto = False


def safe_flags(client: Client, tid: int) -> list[int]:
    return [reply.safe for reply in client.replies(tid)]


@in_trio
def test_the_one_who_asked_hears_at_once_and_again() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/first")
    unsafe(kit)
    tid = client.send(MdsOp.MKDIR, "/d", args=MkdirArgs(0o755))
    assert safe_flags(client, tid) == [0]
    more = client.send(MdsOp.MKDIR, "/d/e", args=MkdirArgs(0o755))
    kit.settle()
    assert safe_flags(client, more) == [0], "on its own unsafe directory it goes on"
    kit.mdlog.make_safe()
    kit.settle()
    assert safe_flags(client, tid) == [0, 1]
    assert safe_flags(client, more) == [0, 1]


@in_trio
def test_the_one_who_asked_hears_before_the_event_is_made() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/first")
    seen: list[tuple[int, int]] = []
    kit.mdlog.on_submit.append(lambda _: seen.append((client.con.pushed, len(client.con.sent))))
    before = len(client.con.sent)
    client.send(MdsOp.MKDIR, "/d", args=MkdirArgs(0o755))
    assert seen == [(before + 1, before + 1)]


@in_trio
def test_who_has_to_leave_locks_hears_after_that() -> None:
    """Others are told of the change when they are left, so its place in the journal is known."""
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    client.mkdir("/d")
    other.getattr("/d")
    heard: list[int] = []
    kit.mdlog.on_submit.append(lambda _: heard.append(len(client.replies(client.tid))))
    assert client.rmdir("/d").result == 0
    assert heard[0] == 0


@in_trio
def test_others_hear_when_it_is_safe() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    other.getattr(1)
    unsafe(kit)
    client.send(MdsOp.MKDIR, "/d", args=MkdirArgs(0o755))
    kit.settle()
    look = other.send(MdsOp.LOOKUP, "/d", args=GetattrArgs(STAT_CAP_INODE_ALL))
    again = other.send(MdsOp.MKDIR, "/d", args=MkdirArgs(0o755))
    kit.settle()
    assert other.replies(look) == []
    assert other.replies(again) == []
    kit.mdlog.make_safe()
    kit.settle()
    assert other.replies(look)[0].result == 0
    assert other.replies(again)[0].result == -errno.EEXIST


@in_trio
def test_two_clients_in_one_directory() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    client.mkdir("/x"), other.mkdir("/y")
    unsafe(kit)
    one = client.send(MdsOp.MKDIR, "/a", args=MkdirArgs(0o755))
    two = other.send(MdsOp.MKDIR, "/b", args=MkdirArgs(0o755))
    kit.settle()
    assert safe_flags(client, one) == [0]
    assert safe_flags(other, two) == [], "it would see the other's directory in the sums"
    kit.mdlog.make_safe()
    kit.settle()
    assert safe_flags(client, one) == [0, 1]
    assert safe_flags(other, two) == [0, 1]


@pytest.mark.parametrize("why", ["option", "number", "layout", "replay"])
@in_trio
def test_when_nobody_hears_before_it_is_safe(why: str) -> None:
    kit = ServerKit(mds_early_reply="false" if why == "option" else "true")
    client = kit.client(stocked=why != "number")
    unsafe(kit)
    if why == "layout":
        args = (MdsOp.SETXATTR, 1, FilePath(0, "ceph.dir.layout.pool"))
        tid = client.send(*args, data=b"3")
    elif why == "replay":
        tid = client.send(MdsOp.MKDIR, "/d", args=MkdirArgs(0o755), flags=MDS_FLAG_REPLAY)
    else:
        tid = client.send(MdsOp.MKDIR, "/d", args=MkdirArgs(0o755))
    kit.settle()
    assert safe_flags(client, tid) == []
    kit.mdlog.make_safe()
    kit.settle()
    assert safe_flags(client, tid) == [1]
    assert bool(client.replies(tid)[0].trace) == (why != "replay")


@in_trio
def test_a_request_that_comes_again() -> None:
    kit = ServerKit()
    client = kit.client()
    made = client.mkdir("/d")
    tid = client.tid
    events = len(kit.mdlog.events)
    client.tid -= 1
    again = client.mkdir("/d", num_retry=1)
    assert (again.result, again.last.safe) == (0, 1)
    assert decode(CreatedInode, again.last.extra).ino == made.ino
    client.tid -= 1
    replayed = client.mkdir("/d", flags=MDS_FLAG_REPLAY)
    assert replayed.result == 0
    assert len(client.replies(tid)) == 4
    client.tid -= 1
    assert client.mkdir("/d").errno == errno.EEXIST, "not told to be a retry"
    client.unlink("/no")
    client.tid -= 1
    assert client.unlink("/no", num_retry=1).errno == errno.ENOENT, "it failed: tried again"
    assert len(kit.mdlog.events) == events


@in_trio
def test_a_create_that_comes_again_opens() -> None:
    kit = ServerKit()
    client = kit.client()
    made = client.create("/f", 0o301)
    client.tid -= 1
    again = client.create("/f", 0o301, num_retry=1)
    assert again.result == 0
    assert again.last.trace, "it gets its capabilities"
    assert kit.find("/f").ino == made.ino
    assert kit.events() == ["openc"]


@in_trio
def test_after_a_failover_what_was_made_is_looked_up() -> None:
    kit = ServerKit()
    client = kit.client()
    made = client.mkdir("/d")
    kit.rank.state = State.CLIENTREPLAY
    client.tid -= 1
    reply = client.mkdir("/d", num_retry=1, flags=MDS_FLAG_WANT_DENTRY)
    last = reply.last
    assert (last.result, last.is_target, last.is_dentry) == (0, 1, 1)
    assert made.ino
    assert kit.events() == ["mkdir"]


@in_trio
def test_a_replayed_request_makes_the_inode_that_the_client_knows() -> None:
    kit = ServerKit()
    client = kit.client()
    ino = client.session.free_prealloc_inos.first + 7
    made = client.mkdir("/d", ino=ino, flags=MDS_FLAG_REPLAY)
    assert made.result == 0
    assert kit.find("/d").ino == ino
    assert client.mkdir("/e", ino=ino).errno == errno.EINVAL, "the number is taken"
    assert kit.find("/e") is None


@in_trio
def test_completed_requests_are_forgotten_when_the_client_says_so() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")
    client.mkdir("/e")
    assert set(client.session.info.completed_requests) == {1, 2}
    client.mkdir("/f", oldest_client_tid=2)
    assert set(client.session.info.completed_requests) == {2, 3}
    assert client.number in kit.mdlog.segment.sessions
    blob = kit.mdlog.events[-1][1].metablob
    assert blob.client_reqs == [(blob.client_reqs[0][0], 2)]


@in_trio
def test_requests_without_an_open_session_are_dropped() -> None:
    kit = ServerKit()
    client = kit.client()
    client.session.info.completed_requests.clear()
    from mdsdaemon.rank.session import SessionState

    kit.rank.sessionmap.set_state(client.session, SessionState.CLOSING)
    tid = client.send(MdsOp.GETATTR, 1, args=GetattrArgs(0))
    kit.settle()
    assert client.replies(tid) == []
    assert kit.rank.server.num_requests() == 0


@in_trio
def test_a_request_that_waits_and_whose_session_ends() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    client.create("/f", 0o101)
    client.obedient = False
    tid = other.send(MdsOp.OPEN, "/f", args=OpenArgs(0o1001))
    kit.settle()
    assert other.replies(tid) == []
    assert kit.rank.server.num_requests() == 1
    kit.rank.server.kill_requests(other.session)
    assert kit.rank.server.num_requests() == 0
    assert not other.session.requests
    client.obedient = True
    kit.settle()
    assert other.replies(tid) == []
    assert "open_truncate" not in kit.events()


@in_trio
def test_the_same_request_twice_at_a_time() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    client.create("/f", 0o101)
    client.obedient = False
    tid = other.send(MdsOp.OPEN, "/f", args=OpenArgs(0o1001))
    other.tid -= 1
    other.send(MdsOp.OPEN, "/f", args=OpenArgs(0o1001), num_retry=1)
    client.obedient = True
    kit.settle()
    assert [reply.result for reply in other.replies(tid)] == [0, 0]


@in_trio
def test_read_only_and_full() -> None:
    kit = ServerKit()
    client = kit.client()
    client.create("/f", 0o101)
    kit.rank.server.is_full = True
    plain = kit.client("allow rw")
    assert plain.create(FilePath(1, "g")).errno == errno.ENOSPC
    assert plain.unlink(FilePath(1, "f")).result == 0
    assert client.create(FilePath(1, "g")).result == 0, "allow * has the f"
    kit.rank.server.is_full = False
    kit.rank.read_only = True
    assert client.mkdir("/d").errno == errno.EROFS
    assert client.open("/g", 1).errno == errno.EROFS
    assert client.open("/g", 0).result == 0
    assert client.lookup("/g").result == 0


@in_trio
def test_what_is_counted() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")
    client.lookup("/no")
    counters = kit.rank.counters
    assert counters.mds.get("request") == counters.mds.get("reply") == 2
    assert counters.server["req_mkdir_latency"].dump()["avgcount"] == 1
    assert counters.server["req_lookup_latency"].dump()["avgcount"] == 1
    assert client.session.loads.load_avg.get() > 1.9
    assert not len(kit.rank.optracker)


@in_trio
def test_replies_without_a_trace_for_tests_of_clients() -> None:
    kit = ServerKit(mds_inject_traceless_reply_probability="1")
    client = kit.client()
    assert not client.mkdir("/d").first.is_target
    assert client.lookup("/d").first.is_target, "only those to changes"


@in_trio
def test_a_client_with_too_many_requests_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsdaemon.rank.server.server.MAX_UNDER_WAY", 3)
    kit = ServerKit()
    holder, flooder = kit.client(), kit.client()
    ino = holder.create("/f").ino
    assert holder.setlk(ino, rule=2, type=2, owner=1 << 63, wait=0).result == 0
    args = FilelockArgs(rule=2, type=2, owner=1 << 63, wait=1)
    for _ in range(4):
        flooder.send(MdsOp.SETFILELOCK, ino, args=args)
    kit.settle()
    assert kit.rank.server.num_requests() == 3
    assert flooder.con.down
    assert not holder.con.down
