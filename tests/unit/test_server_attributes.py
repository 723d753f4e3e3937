"""setattr and extended attributes."""

from __future__ import annotations

import errno

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.types.client_args import OpenArgs, SetattrArgs
from mdsdaemon.types.client_ops import (
    SETATTR_ATIME,
    SETATTR_BTIME,
    SETATTR_GID,
    SETATTR_KILL_SGUID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    CapOp,
    MdsOp,
)


def file(kit: ServerKit, path: str = "/f") -> tuple[Client, int]:
    client = kit.client()
    return client, client.create(path).ino


# -- setattr ---------------------------------------------------------------------------------


@in_trio
def test_owner_mode_and_times() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    kit.kit.clock.now += 5
    mask = SETATTR_MODE | SETATTR_UID | SETATTR_GID | SETATTR_MTIME | SETATTR_ATIME | SETATTR_BTIME
    reply = client.setattr(ino, mask, mode=0o104755, uid=5, gid=6, mtime=7, atime=8, btime=9)
    now = reply.trace.target
    assert now is not None
    assert (now.mode, now.uid, now.gid) == (0o104755, 5, 6)
    assert (now.mtime, now.atime, now.btime) == (7, 8, 9)
    assert now.time_warp_seq == 1
    assert now.change_attr == 1
    assert now.ctime == kit.rank.now()
    assert kit.find("/f").inode.rstat.rctime == kit.rank.now()
    assert kit.events()[-1] == "setattr"


@pytest.mark.parametrize("mask", [SETATTR_UID, SETATTR_GID, SETATTR_KILL_SGUID])
@in_trio
def test_a_new_owner_ends_setuid(mask: int) -> None:
    kit = ServerKit()
    client, ino = file(kit)
    client.setattr(ino, SETATTR_MODE, mode=0o6755)
    assert client.setattr(ino, mask, uid=1, gid=1).trace.target.mode == 0o100755  # type: ignore[union-attr]
    client.setattr(ino, SETATTR_MODE, mode=0o6644)
    assert client.setattr(ino, mask, uid=2, gid=2).trace.target.mode == 0o106644  # type: ignore[union-attr]


@in_trio
def test_a_file_grows_and_is_cut_off() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    grown = client.setattr(ino, SETATTR_SIZE, size=100 << 20).trace.target
    assert grown is not None
    assert grown.size == grown.rbytes == 100 << 20
    assert kit.find("/f").inode.truncate_pending == 0
    cut = client.setattr(ino, SETATTR_SIZE, size=10).trace.target
    assert cut is not None
    assert (cut.size, cut.truncate_size, cut.truncate_seq) == (10, 10, 2)
    stored = kit.find("/f").inode
    assert (stored.truncate_from, stored.truncate_pending) == (100 << 20, 1)
    assert stored.max_size_ever == 100 << 20
    assert kit.mdlog.events[-1][1].metablob.truncate_start == [ino] or any(
        event.metablob.truncate_start == [ino] for _, event in kit.mdlog.events
    )
    told = [m for m in client.con.sent if isinstance(m, MClientCaps) and m.op == CapOp.TRUNC]
    assert told
    assert told[-1].truncate_seq == 2


@in_trio
@pytest.mark.parametrize("opening", [False, True])
def test_nobody_hears_of_a_cut_before_it_is_safe(opening: bool) -> None:
    """Neither who asked: the number of a cut that a failover undoes may be that of another one."""
    kit = ServerKit()
    client, ino = file(kit)
    client.setattr(ino, SETATTR_SIZE, size=500)
    kit.mdlog.auto = False
    before = len(client.con.sent)
    if opening:
        tid = client.send(MdsOp.OPEN, ino, args=OpenArgs(0o1001))
    else:
        tid = client.send(MdsOp.SETATTR, ino, args=SetattrArgs(mask=SETATTR_SIZE, size=10))
    kit.settle()
    assert kit.find("/f").inode.truncate_seq == 2
    assert client.replies(tid) == []
    shown = [m for m in client.con.sent[before:] if isinstance(m, MClientCaps)]
    assert not any(m.truncate_seq == 2 or m.op == CapOp.TRUNC for m in shown)
    kit.mdlog.make_safe()
    kit.settle()
    assert [reply.safe for reply in client.replies(tid)] == [1]
    told = [m for m in client.con.sent if isinstance(m, MClientCaps) and m.op == CapOp.TRUNC]
    assert told[-1].truncate_seq == 2


@in_trio
def test_the_client_may_know_of_more_bytes() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    reply = client.setattr(ino, SETATTR_SIZE, size=10, old_size=500)
    assert reply.trace.target is not None
    assert reply.trace.target.truncate_seq == 2
    assert kit.find("/f").inode.truncate_from == 500


@in_trio
def test_sizes_are_of_files() -> None:
    kit = ServerKit()
    client = kit.client()
    ino = client.mkdir("/d").ino
    link = client.symlink("x", "/s").ino
    for other in (ino, link):
        size = kit.rank.cache.inodes[other].inode.size
        assert client.setattr(other, SETATTR_SIZE, size=500).result == 0, "as with ceph-mds"
        assert kit.rank.cache.inodes[other].inode.size == size, "but the sums stay right"
    assert client.setattr(0x600, SETATTR_MODE, mode=0).errno == errno.EPERM
    assert client.setattr(1, SETATTR_MODE, mode=0o700).result == 0
    assert client.setattr(0x10000ABCDEF, SETATTR_MODE).errno == errno.ESTALE


@in_trio
def test_open_with_truncation() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    client.setattr(ino, SETATTR_SIZE, size=500)
    now = client.open(ino, 0o1001).trace.target
    assert now is not None
    assert (now.size, now.truncate_seq) == (0, 2)
    assert "open_truncate" in kit.events()
    event = next(e for _, e in kit.mdlog.events if getattr(e, "type", "") == "open_truncate")
    assert event.metablob.opened_ino == ino
    assert kit.find("/f").inode.client_ranges[client.number].last >= 4 << 20


# -- extended attributes ---------------------------------------------------------------------


@in_trio
def test_extended_attributes() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    now = client.setxattr(ino, "user.a", b"\0\xff").trace.target
    assert now is not None
    assert now.xattr_version == 2
    assert now.xattrs() == {"user.a": b"\0\xff"}
    assert client.setxattr(ino, "user.a", b"2", 1).errno == errno.EEXIST
    assert client.setxattr(ino, "user.b", b"2", 2).errno == errno.ENODATA
    assert client.setxattr(ino, "user.a", b"2", 2).result == 0
    assert client.setxattr(ino, "user.b", b"").result == 0
    assert kit.find("/f").xattrs == {"user.a": b"2", "user.b": b""}
    assert client.rmxattr(ino, "user.a").result == 0
    assert client.rmxattr(ino, "user.a").errno == errno.ENODATA
    assert client.setxattr(ino, "user.b", b"", 1 << 31).result == 0
    assert kit.find("/f").xattrs == {}
    assert [e for e in kit.events() if "xattr" in e] == [
        "setxattr", "setxattr", "setxattr", "removexattr", "setxattr",
    ]  # fmt: skip


@in_trio
def test_attributes_have_a_limit() -> None:
    kit = ServerKit(mds_max_xattr_pairs_size="1000")
    client, ino = file(kit)
    assert client.setxattr(ino, "user.a", b"x" * 500).result == 0
    assert client.setxattr(ino, "user.b", b"x" * 500).errno == errno.ENOSPC
    assert client.setxattr(ino, "user.a", b"x" * 900).errno == errno.ENOSPC
    assert client.setxattr(ino, "user.a", b"x" * 900, 2).result == 0


@in_trio
def test_names_of_cephs_own() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    assert client.setxattr(ino, "ceph.foo", b"").errno == errno.EINVAL
    assert client.rmxattr(ino, "ceph.foo").errno == errno.EINVAL
    info = b"cluster_id=1c3a5f00-1111-2222-3333-444455556666 fs_id=7"
    assert client.setxattr(ino, "ceph.mirror.info", info).errno == errno.EINVAL
    assert client.setxattr(1, "ceph.mirror.info", b"x").errno == errno.EINVAL
    assert client.setxattr(1, "ceph.mirror.info", info).result == 0
    assert kit.find("/").xattrs["ceph.mirror.info.fs_id"] == b"7"
    assert client.setxattr(1, "ceph.mirror.info", info, 1).errno == errno.EEXIST
    assert client.rmxattr(1, "ceph.mirror.info").result == 0
    assert client.rmxattr(1, "ceph.mirror.info").errno == errno.ENODATA


@in_trio
def test_sizes_that_no_file_can_have() -> None:
    kit = ServerKit()
    client = kit.client()
    client.create("/f")
    assert client.setattr("/f", SETATTR_SIZE, size=1 << 62).errno == errno.EFBIG
    # what the client claims to have written is believed as far as it was allowed to write
    assert client.setattr("/f", SETATTR_SIZE, size=10, old_size=1 << 62).errno == 0
    assert kit.find("/f").inode.truncate_from <= kit.find("/f").inode.layout.period
