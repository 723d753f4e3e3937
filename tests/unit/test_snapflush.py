"""What clients had not written back when a snapshot was made: awaited, taken, and remembered."""

from __future__ import annotations

from typing import Any

from tests.unit.server_kit import Client, in_trio
from tests.unit.snap_kit import SnapKit

from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.rank.log.replay_events import EventReplay
from mdsdaemon.rank.snap.flushes import clients_of, needed_of
from mdsdaemon.types.client_args import GetattrArgs
from mdsdaemon.types.client_caps import (
    CAP_FILE_BUFFER,
    CAP_FILE_WR,
    CLIENT_CAPS_PENDING_CAPSNAP,
    STAT_CAP_INODE_ALL,
)
from mdsdaemon.types.client_ops import CapOp, MdsOp
from mdsdaemon.types.osd import NOSNAP

WRITING = 2
O_RDWR_CREAT = 0o102


def say(kit: SnapKit, client: Client, op: int, size: int = 0, **fields: Any) -> None:
    """A client's message about /d/f."""
    inode = kit.find("/d/f")
    cap = inode.caps[client.number]
    caps = fields.pop("caps", cap.pending)
    dirty = fields.pop("dirty", CAP_FILE_WR if size else 0)
    msg = MClientCaps(
        op, inode.ino, 1, cap.cap_id, cap.last_sent, 0, caps, cap.wanted, dirty, cap.mseq,
        size=size, mtime=kit.rank.now(), inline_version=0,
    )  # fmt: skip
    msg.tid = fields.pop("tid", 0)
    for name, value in fields.items():
        setattr(msg, name, value)
    client._say(msg, kit.rank.locker.handle_client_caps)


def two_writers() -> tuple[SnapKit, Client, Client]:
    """/d/f open for writing by two clients, then a snapshot of /d, then the second writes back."""
    kit = SnapKit()
    one, two = kit.one, kit.client()
    one.mkdir("/d")
    one.create("/d/f", O_RDWR_CREAT)
    two.open("/d/f", WRITING)
    kit.settle()
    assert kit.mksnap("/d", "s").result == 0
    say(kit, two, CapOp.UPDATE, 5000, snap_follows=kit.rank.snaps.newest, tid=5)
    return kit, one, two


def copy_in(kit: SnapKit) -> Any:
    return kit.rank.cache.snap_after(kit.find("/d/f").ino, 0)


@in_trio
def test_the_copy_waits_for_those_who_may_write() -> None:
    kit, one, two = two_writers()
    copy = copy_in(kit)
    assert copy.inode.size == 0
    assert kit.find("/d/f").inode.size == 5000
    assert clients_of(copy) == {one.number, two.number}
    say(kit, one, CapOp.FLUSHSNAP, 700, snap_follows=1, tid=9)
    assert copy.inode.size == 700
    acks = [m for m in one.con.sent if isinstance(m, MClientCaps) and m.op == CapOp.FLUSHSNAP_ACK]
    assert [(ack.tid, ack.snap_follows, ack.dirty) for ack in acks] == [(9, 1, CAP_FILE_WR)]
    assert clients_of(copy) == {two.number}
    say(kit, one, CapOp.FLUSHSNAP, 9000, snap_follows=1, tid=10)
    assert copy.inode.size == 700, "it was not awaited any more"


@in_trio
def test_who_gives_back_the_right_to_write_has_nothing_to_say() -> None:
    kit, one, two = two_writers()
    copy = copy_in(kit)
    caps = kit.find("/d/f").caps
    assert caps is not None
    without = caps[one.number].pending & ~(CAP_FILE_WR | CAP_FILE_BUFFER)
    say(kit, one, CapOp.UPDATE, caps=without, flags=CLIENT_CAPS_PENDING_CAPSNAP)
    assert one.number in (clients_of(copy) or ()), "it is about to say something"
    say(kit, one, CapOp.UPDATE, caps=without)
    assert clients_of(copy) == {two.number}
    kit.rank.locker.remove_client(two.session)
    assert clients_of(copy) is None
    assert needed_of(kit.find("/d/f")) is None


@in_trio
def test_a_reader_of_the_snapshot_has_it_written_back() -> None:
    kit, one, two = two_writers()
    one.obedient = two.obedient = False
    reader = kit.client()
    where = kit.inside("/d", "s", "f")
    tid = reader.send(MdsOp.GETATTR, where, args=GetattrArgs(STAT_CAP_INODE_ALL))
    kit.kit.settle()
    assert reader.replies(tid) == []
    say(kit, one, CapOp.FLUSHSNAP, 800, snap_follows=1, tid=9)
    one.obedient = two.obedient = True
    kit.settle()
    assert reader.replies(tid)
    assert kit.stat("/d", "s", "f").size == 800


@in_trio
def test_a_flush_of_before_the_snapshot_counts_for_it() -> None:
    kit = SnapKit()
    one = kit.one
    one.mkdir("/d")
    one.create("/d/f", O_RDWR_CREAT)
    assert kit.mksnap("/d", "s").result == 0
    say(kit, one, CapOp.UPDATE, 300, snap_follows=1, tid=7)
    assert copy_in(kit) is None
    assert kit.find("/d/f").first == 2
    say(kit, one, CapOp.UPDATE, 400, snap_follows=2, tid=8)
    assert copy_in(kit).inode.size == 300


@in_trio
def test_what_is_awaited_is_known_after_a_replay() -> None:
    kit, one, _ = two_writers()
    copy = copy_in(kit)
    old = kit.mdlog.segment
    assert copy in old.open_files
    kit.mdlog.start_new_segment()
    kit.rank.locker.rejournal_open_files(old)
    assert not old.open_files
    assert copy in kit.mdlog.segment.open_files
    other = SnapKit(objects=kit.rank.objecter)
    replay = EventReplay(other.rank)
    for _, event in kit.mdlog.events:
        replay.replay(event, other.mdlog.segment)
    again = copy_in(other)
    assert again in other.mdlog.segment.open_files
    head = other.rank.cache.get_inode(again.ino)
    other.rank.snaps.flushes.reclaimed(head, one.number, 0, CAP_FILE_WR)
    assert clients_of(again) == {one.number}
    assert again.last != NOSNAP
