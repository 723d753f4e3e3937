"""What clients say of their capabilities, and what comes of it."""

from __future__ import annotations

from tests.unit.locker_steps import cap_of, got, update
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.messages.client_caps import CapItem, MClientCapRelease, MClientCaps
from mdsdaemon.messages.client_reply import MClientReply
from mdsdaemon.rank.session import SessionState
from mdsdaemon.types import client_caps as cc
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_args import GetattrArgs, OpenArgs, SetattrArgs, SetxattrArgs
from mdsdaemon.types.client_ops import SETATTR_MODE, CapOp, MdsOp
from mdsdaemon.types.client_stat import encode_xattrs
from mdsdaemon.types.mds import FilePath

RDWR_CREATE = 0o102


def with_file() -> tuple[ServerKit, Client]:
    """A client that has made /f and has it open for writing."""
    kit = ServerKit()
    client = kit.client()
    client.create("/f", RDWR_CREATE)
    return kit, client


def flush_of_mode(kit: ServerKit, client: Client) -> None:
    """The client writes back a chmod and gives all back; the journal does not become safe."""
    kit.mdlog.auto = False
    update(
        kit, client, "/f", dirty=cc.CAP_AUTH_EXCL, caps=cc.CAP_PIN, wanted=cc.CAP_PIN, tid=7,
        oldest_flush_tid=7, mode=0o100600,
    )  # fmt: skip


@in_trio
def test_what_a_client_has_changed_is_journaled_before_it_hears_of_it() -> None:
    kit, client = with_file()
    kit.mdlog.auto = False
    before = kit.find("/f").inode
    update(
        kit, client, "/f", dirty=cc.CAP_FILE_WR | cc.CAP_AUTH_EXCL, tid=7, oldest_flush_tid=7,
        size=4096, mtime=before.mtime + 5, mode=0o100600, uid=12, gid=13, change_attr=9,
    )  # fmt: skip
    stored = kit.find("/f").inode
    assert (stored.size, stored.rstat.rbytes, stored.mode) == (4096, 4096, 0o100600)
    assert (stored.uid, stored.gid, stored.change_attr) == (12, 13, 9)
    assert kit.events()[-1] == "cap update"
    flushes = kit.mdlog.events[-1][1].metablob.client_flushes
    assert [(reqid.tid, oldest) for reqid, oldest in flushes] == [(7, 7)]
    assert not got(client, CapOp.FLUSH_ACK)
    kit.mdlog.make_safe()
    (ack,) = got(client, CapOp.FLUSH_ACK)
    assert (ack.tid, ack.dirty) == (7, cc.CAP_FILE_WR | cc.CAP_AUTH_EXCL)


@in_trio
def test_what_is_being_flushed_is_not_asked_back_before_the_acknowledgement() -> None:
    """Else the reply to a chmod comes in between, and libcephfs keeps the mode that it flushed."""
    kit, client = with_file()
    kit.mdlog.auto = False
    update(
        kit, client, "/f", dirty=cc.CAP_AUTH_EXCL, wanted=cc.CAP_PIN | cc.CAP_FILE_RD, tid=7,
        oldest_flush_tid=7, mode=0o100600,
    )  # fmt: skip
    assert not got(client, CapOp.REVOKE)
    kit.mdlog.make_safe()
    ops = [m.op for m in client.con.sent if isinstance(m, MClientCaps)]
    assert ops.index(CapOp.FLUSH_ACK) < ops.index(CapOp.REVOKE)
    assert not got(client, CapOp.REVOKE)[0].caps & cc.CAP_AUTH_EXCL


@in_trio
def test_replies_come_after_the_acknowledgement_of_what_they_tell_of() -> None:
    """The client has given back what it is flushing, and changes the mode by a request."""
    kit, client = with_file()
    flush_of_mode(kit, client)
    before = len(client.con.sent)
    client.send(MdsOp.SETATTR, "/f", args=SetattrArgs(mode=0o644, mask=SETATTR_MODE))
    assert not [m for m in client.con.sent[before:] if isinstance(m, MClientReply)]
    kit.mdlog.make_safe()
    kinds = [type(m).__name__ for m in client.con.sent[before:]]
    assert kinds.index("MClientCaps") < kinds.index("MClientReply")
    first = next(m for m in client.con.sent[before:] if isinstance(m, MClientCaps))
    assert first.op == CapOp.FLUSH_ACK


@in_trio
def test_replies_that_tell_what_was_flushed_do_not_wait() -> None:
    """A chmod of the client's own, then an extended attribute by a request."""
    kit, client = with_file()
    flush_of_mode(kit, client)
    args = SetxattrArgs(0)
    tid = client.send(MdsOp.SETXATTR, "/f", FilePath(0, "user.x"), args, data=b"1")
    assert [reply.safe for reply in client.replies(tid)] == [0]
    kit.mdlog.make_safe()
    assert [reply.safe for reply in client.replies(tid)] == [0, 1]


@in_trio
def test_replies_wait_if_what_was_flushed_was_not_believed() -> None:
    kit, client = with_file()
    kit.find("/f").inode.mtime = 4_000_000_000 * 10**9
    kit.mdlog.auto = False
    update(
        kit, client, "/f", dirty=cc.CAP_FILE_WR, caps=cc.CAP_PIN, wanted=cc.CAP_PIN, tid=7,
        oldest_flush_tid=7, mtime=1,
    )  # fmt: skip
    tid = client.send(MdsOp.GETATTR, "/f", args=GetattrArgs(cc.STAT_CAP_INODE_ALL))
    assert client.replies(tid) == []
    kit.mdlog.make_safe()
    assert len(client.replies(tid)) == 1


@in_trio
def test_the_same_flush_again_is_only_acknowledged() -> None:
    kit, client = with_file()
    for _ in range(2):
        update(kit, client, "/f", dirty=cc.CAP_FILE_WR, tid=3, oldest_flush_tid=3, size=10)
    assert kit.events().count("cap update") == 1
    assert [ack.tid for ack in got(client, CapOp.FLUSH_ACK)] == [3, 3]


@in_trio
def test_each_capability_lets_change_its_own() -> None:
    kit, client = with_file()
    mode = kit.find("/f").inode.mode
    update(kit, client, "/f", dirty=cc.CAP_FILE_WR, mode=0o100777, uid=5, atime=1, mtime=1)
    stored = kit.find("/f").inode
    assert (stored.mode, stored.uid) == (mode, 0)
    assert stored.mtime > 1
    assert stored.atime > 1
    update(kit, client, "/f", dirty=cc.CAP_FILE_EXCL, atime=10, mtime=11, time_warp_seq=4)
    assert (stored.atime, stored.mtime, stored.time_warp_seq) == (10, 11, 4)
    update(kit, client, "/f", dirty=cc.CAP_FILE_EXCL, size=0)
    update(kit, client, "/f", dirty=cc.CAP_FILE_EXCL, size=1 << 63)
    assert stored.size == 0


@in_trio
def test_no_client_makes_a_directory_of_a_file() -> None:
    kit, client = with_file()
    update(kit, client, "/f", dirty=cc.CAP_AUTH_EXCL, mode=0o040700)
    assert kit.find("/f").inode.mode == 0o100700


@in_trio
def test_xattrs_come_with_their_version() -> None:
    kit, client = with_file()
    version = kit.find("/f").inode.xattr_version
    data = encode_xattrs({"user.a": b"1"})
    update(kit, client, "/f", dirty=cc.CAP_XATTR_EXCL, middle=data, xattr_version=version)
    assert kit.find("/f").xattrs == {}
    update(kit, client, "/f", dirty=cc.CAP_XATTR_EXCL, middle=data, xattr_version=version + 1)
    assert kit.find("/f").xattrs == {"user.a": b"1"}


@in_trio
def test_malformed_xattrs_end_the_connection_and_change_nothing() -> None:
    kit, client = with_file()
    ended: list[bool] = []
    client.con.mark_down = lambda: ended.append(True)  # type: ignore[method-assign]
    events = len(kit.events())
    update(
        kit, client, "/f", dirty=cc.CAP_XATTR_EXCL | cc.CAP_FILE_WR, size=99,
        middle=b"\xff" * 9, xattr_version=99,
    )  # fmt: skip
    assert ended
    assert len(kit.events()) == events
    assert kit.find("/f").inode.size == 0


@in_trio
def test_messages_for_capabilities_that_were_never_issued_are_dropped() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    client.create("/f", RDWR_CREATE)
    events = len(kit.events())
    inode = kit.find("/f")
    for msg in (
        MClientCaps(CapOp.UPDATE, inode.ino, cap_id=99, dirty=cc.CAP_FILE_WR, size=50),
        MClientCaps(CapOp.UPDATE, 0xDEAD, cap_id=1, dirty=cc.CAP_FILE_WR, size=50),
        MClientCaps(99, inode.ino, cap_id=99),
    ):
        client._say(msg, kit.rank.locker.handle_client_caps)
        other._say(msg, kit.rank.locker.handle_client_caps)
    assert inode.inode.size == 0
    assert len(kit.events()) == events


@in_trio
def test_what_was_not_issued_cannot_be_confirmed() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    client.create("/f", RDWR_CREATE)
    other.lookup("/f")
    update(kit, other, "/f", caps=cc.CAP_ANY, seq=cap_of(kit, other, "/f").last_sent)
    assert not cap_of(kit, other, "/f").issued & cc.CAP_ANY_WR


@in_trio
def test_a_writer_asks_for_more_room_and_hears_when_it_is_safe() -> None:
    kit = ServerKit()
    client = kit.client()
    reply = client.create("/f", RDWR_CREATE)
    period = kit.find("/f").inode.layout.period
    assert reply.trace.target is not None
    assert reply.trace.target.max_size == period
    kit.mdlog.auto = False
    update(kit, client, "/f", max_size=5 * period)
    assert not got(client, CapOp.GRANT), "a range that is not safe was told"
    again = client.send(MdsOp.GETATTR, "/f", args=GetattrArgs(cc.CAP_PIN))
    assert not client.replies(again), "it would be told the new range before that is safe"
    kit.mdlog.make_safe()
    assert got(client, CapOp.GRANT)[-1].max_size >= 5 * period
    (held,) = kit.find("/f").inode.client_ranges.values()
    assert held.last >= 5 * period
    assert held.last % period == 0


@in_trio
def test_the_range_goes_with_the_last_wish_to_write() -> None:
    kit, client = with_file()
    assert kit.find("/f").inode.client_ranges
    update(kit, client, "/f", caps=cc.CAP_PIN, wanted=0)
    assert not kit.find("/f").inode.client_ranges
    assert kit.rank.openfiles.is_tracked(kit.find("/f")) is False


@in_trio
def test_wishes_from_before_the_newest_reply_only_add() -> None:
    kit, client = with_file()
    cap = cap_of(kit, client, "/f")
    wanted = cap.wanted
    update(kit, client, "/f", wanted=cc.CAP_FILE_SHARED, issue_seq=cap.last_issue + 1)
    assert cap.wanted == wanted | cc.CAP_FILE_SHARED
    update(kit, client, "/f", wanted=0, issue_seq=cap.last_issue + 1)
    assert cap.wanted == wanted | cc.CAP_FILE_SHARED
    update(kit, client, "/f", wanted=0)
    assert cap.wanted == 0


@in_trio
def test_whoever_may_not_write_changes_nothing_but_is_answered() -> None:
    kit, _ = with_file()
    reader = kit.client("allow r")
    reader.open("/f")
    update(kit, reader, "/f", dirty=cc.CAP_FILE_WR, tid=1, size=77)
    assert kit.find("/f").inode.size == 0
    assert got(reader, CapOp.FLUSH_ACK)


@in_trio
def test_who_gives_back_in_two_steps_is_told_again() -> None:
    """A stock client does not wake its own readers that wait for its buffers to be flushed."""
    kit = ServerKit()
    writer, reader = kit.client(), kit.client()
    writer.create("/f", RDWR_CREATE)
    writer.obedient = False
    reader.send(MdsOp.OPEN, "/f", args=OpenArgs(0))
    cap = cap_of(kit, writer, "/f")
    told = len(got(writer, CapOp.GRANT))
    update(kit, writer, "/f", caps=cap.pending | cc.CAP_FILE_BUFFER)
    assert cap.revoking == cc.CAP_FILE_BUFFER
    assert len(got(writer, CapOp.GRANT)) == told
    update(kit, writer, "/f")
    assert not cap.revoking
    again = got(writer, CapOp.GRANT)
    assert len(again) == told + 1
    assert again[-1].caps == cap.pending
    update(kit, writer, "/f")
    assert len(got(writer, CapOp.GRANT)) == told + 1


# -- giving back -----------------------------------------------------------------------------


def release(kit: ServerKit, client: Client, path: str, seq: int | None = None) -> None:
    inode = kit.find(path)
    cap = inode.caps[client.number]
    item = CapItem(inode.ino, cap.cap_id, cap.mseq, cap.last_issue if seq is None else seq)
    client._say(MClientCapRelease([item]), kit.rank.locker.handle_client_cap_release)


@in_trio
def test_a_capability_given_back_is_gone() -> None:
    kit, client = with_file()
    inode = kit.find("/f")
    caps = kit.rank.locker.num_caps
    release(kit, client, "/f")
    assert inode.caps is None
    assert inode.locks is None
    assert inode.ino not in client.session.caps
    assert kit.rank.locker.num_caps == caps - 1
    assert not inode.inode.client_ranges


@in_trio
def test_one_that_was_issued_again_meanwhile_stays() -> None:
    kit, client = with_file()
    old = cap_of(kit, client, "/f").last_issue
    client.getattr("/f")
    release(kit, client, "/f", old)
    assert kit.find("/f").caps


@in_trio
def test_what_a_request_gives_back_is_there_for_it() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.create("/f", RDWR_CREATE)
    two.lookup("/f")
    two.obedient = one.obedient = False
    cap = cap_of(kit, one, "/f")
    given = Release(
        kit.find("/f").ino, cap.cap_id, cap.pending & ~(cc.CAP_AUTH_SHARED | cc.CAP_AUTH_EXCL),
        cap.wanted, cap.last_sent, cap.last_issue, 0,
    )  # fmt: skip
    reply = one.ask(
        MdsOp.SETATTR, "/f", args=SetattrArgs(mode=0o600, mask=SETATTR_MODE), releases=[given]
    )
    assert reply.result == 0
    assert cap.pending & cc.CAP_AUTH_EXCL, "it is alone with the file again"


# -- silence ---------------------------------------------------------------------------------


@in_trio
def test_a_silent_reader_does_not_keep_a_writer_waiting() -> None:
    kit = ServerKit()
    reader, writer = kit.client(), kit.client()
    writer.create("/f", RDWR_CREATE)
    update(kit, writer, "/f", caps=cc.CAP_PIN, wanted=0)
    reader.open("/f")
    reader.obedient = False
    kit.rank.sessionmap.set_state(reader.session, SessionState.STALE)
    assert kit.rank.locker.mark_stale(reader.session)
    writer.open("/f", 2)
    kit.settle()
    assert cap_of(kit, writer, "/f").pending & cc.CAP_FILE_EXCL
    kit.rank.sessionmap.set_state(reader.session, SessionState.OPEN)
    before = len(got(reader, CapOp.GRANT))
    kit.rank.locker.resume_stale(reader.session)
    assert len(got(reader, CapOp.GRANT)) > before


@in_trio
def test_a_silent_writer_with_what_others_need_has_to_go() -> None:
    kit = ServerKit()
    writer, other = kit.client(), kit.client()
    writer.create("/f", RDWR_CREATE)
    writer.obedient = False
    other.send(MdsOp.OPEN, "/f")
    assert writer.session.revoking == {kit.find("/f").ino}
    kit.rank.sessionmap.set_state(writer.session, SessionState.STALE)
    assert not kit.rank.locker.mark_stale(writer.session)


@in_trio
def test_who_does_not_give_back_is_late() -> None:
    kit = ServerKit()
    writer, other = kit.client(), kit.client()
    writer.create("/f", RDWR_CREATE)
    writer.obedient = False
    other.send(MdsOp.OPEN, "/f")
    locker = kit.rank.locker
    assert locker.get_late_revoking_clients(60) == set()
    kit.kit.clock.now += 61
    assert locker.get_late_revoking_clients(60) == {writer.number}
    locker.tick()
    writer.obedient = True
    kit.settle()
    assert locker.get_late_revoking_clients(0) == set()
    assert not writer.session.revoking
