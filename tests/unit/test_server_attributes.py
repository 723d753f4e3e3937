"""setattr, extended attributes, virtual ones."""

from __future__ import annotations

import errno
import json

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.encoding import decode
from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.messages.client_reply import VxattrValue, decode_snap_trace
from mdsdaemon.types.client_args import SetlayoutArgs, SetxattrArgs
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
    SnapOp,
)
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.mds import FilePath


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


# -- layouts ---------------------------------------------------------------------------------


def pools(kit: ServerKit) -> None:
    names = {2: "data", 3: "other", 9: "foreign"}
    osd_map = kit.rank.objecter.osd_map
    osd_map.client.pool_name.update(names)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("layout.pool", b"3", 0),
        ("layout.pool", b"other", 0),
        ("layout.pool", b"foreign", errno.EINVAL),
        ("layout.pool", b"nowhere", errno.EINVAL),
        ("layout.pool", b"99", errno.EINVAL),
        ("layout.pool_id", b"3", 0),
        ("layout.pool_id", b"x", errno.EINVAL),
        ("layout.pool_name", b"other", 0),
        ("layout.pool_name", b"nowhere", errno.EINVAL),
        ("layout.pool_namespace", b"ns", 0),
        ("layout.stripe_unit", b"65536", 0),
        ("layout.stripe_unit", b"1", errno.EINVAL),
        ("layout.stripe_unit", b"1x", errno.EINVAL),
        ("layout.stripe_unit", b"", errno.EINVAL),
        ("layout.stripe_count", b"0", errno.EINVAL),
        ("layout.object_size", b"8388608", 0),
        ("layout.object_size", b"99999999999", errno.EINVAL),
        ("layout", b"stripe_unit=65536 stripe_count=2 object_size=131072 pool=other", 0),
        ("layout", b"stripe_unit=65536 x=2", errno.ENODATA),
        ("layout", b"nonsense", errno.EINVAL),
        ("layout", b"", errno.EINVAL),
        ("layout.json", b'{"stripe_unit":65536,"stripe_count":1,"object_size":65536,'
         b'"pool_name":"other"}', 0),
        ("layout.json", b'{"stripe_unit":65536}', errno.EINVAL),
        ("layout.json", b"[", errno.EINVAL),
        ("layout.foo", b"1", errno.ENODATA),
        ("layoutx", b"1", errno.ENODATA),
    ],
)  # fmt: skip
@in_trio
def test_setting_layouts(name: str, value: bytes, code: int) -> None:
    kit = ServerKit()
    pools(kit)
    client, ino = file(kit)
    directory = client.mkdir("/d").ino
    assert client.setxattr(directory, f"ceph.dir.{name}", value).errno == code
    assert client.setxattr(ino, f"ceph.file.{name}", value).errno == code
    kinds = [e for e in kit.events() if e == "set vxattr layout"]
    assert len(kinds) == (0 if code else 2)
    if not code:
        assert kit.find("/d").inode.layout == kit.find("/f").inode.layout
        assert kit.find("/f").inode.old_pools == [2]


@in_trio
def test_layouts_of_the_wrong_things() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    directory = client.mkdir("/d").ino
    assert client.setxattr(ino, "ceph.dir.layout.pool", b"3").errno == errno.EINVAL
    assert client.setxattr(directory, "ceph.file.layout.pool", b"3").errno == errno.EINVAL
    client.setattr(ino, SETATTR_SIZE, size=1)
    assert client.setxattr(ino, "ceph.file.layout.pool", b"3").errno == errno.ENOTEMPTY
    weak = kit.client("allow rw")
    assert weak.setxattr(directory, "ceph.dir.layout.pool", b"3").errno == errno.EACCES
    assert weak.setxattr(directory, "ceph.quota.max_files", b"3").errno == errno.EACCES


@in_trio
def test_removing_a_directorys_layout() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    directory = client.mkdir("/d").ino
    assert client.rmxattr(directory, "ceph.dir.layout").errno == errno.ENODATA
    client.setxattr(directory, "ceph.dir.layout.pool", b"3")
    client.setxattr(directory, "ceph.dir.layout.pool_namespace", b"ns")
    assert client.rmxattr(directory, "ceph.dir.layout.pool_namespace").result == 0
    assert kit.find("/d").inode.layout.pool_ns == ""
    assert client.rmxattr(directory, "ceph.dir.layout").result == 0
    assert kit.find("/d").inode.layout.pool_id == -1
    assert client.rmxattr(1, "ceph.dir.layout").errno == errno.EINVAL
    assert client.rmxattr(ino, "ceph.dir.layout").errno == errno.ENODATA
    assert client.rmxattr(ino, "ceph.file.layout").errno == errno.ENODATA
    assert kit.events()[-1] == "remove dir layout vxattr"


@in_trio
def test_layout_requests() -> None:
    kit = ServerKit()
    client, ino = file(kit)
    directory = client.mkdir("/d").ino
    wish = SetlayoutArgs(FileLayout(65536, 2, 131072, 3))
    assert client.ask(MdsOp.SETLAYOUT, ino, args=wish).result == 0
    assert kit.find("/f").inode.layout.pool_id == 3
    assert client.ask(MdsOp.SETDIRLAYOUT, directory, args=wish).result == 0
    assert kit.find("/d").inode.layout.stripe_count == 2
    assert client.ask(MdsOp.SETDIRLAYOUT, ino, args=wish).errno == errno.ENOTDIR
    assert client.ask(MdsOp.SETLAYOUT, directory, args=wish).errno == errno.EINVAL
    bad = SetlayoutArgs(FileLayout(5, 2, 131072, 3))
    assert client.ask(MdsOp.SETLAYOUT, ino, args=bad).errno == errno.EINVAL


@in_trio
def test_reading_virtual_attributes() -> None:
    kit = ServerKit()
    pools(kit)
    client, ino = file(kit)
    directory = client.mkdir("/d").ino

    def get(where: int, name: str) -> str:
        reply = client.ask(MdsOp.GETVXATTR, where, FilePath(0, name), SetxattrArgs())
        return (
            decode(VxattrValue, reply.first.extra).value if not reply.result else f"E{reply.errno}"
        )

    assert json.loads(get(directory, "ceph.dir.layout.json")) == {
        "stripe_unit": 4 << 20, "stripe_count": 1, "object_size": 4 << 20, "pool_name": "data",
        "pool_id": 2, "pool_namespace": "", "inheritance": "@default",
    }  # fmt: skip
    client.setxattr(directory, "ceph.dir.layout.pool", b"3")
    assert json.loads(get(directory, "ceph.dir.layout.json"))["inheritance"] == "@set"
    below = client.mkdir("/d/e").ino
    assert json.loads(get(below, "ceph.dir.layout.json"))["inheritance"] == "@inherited"
    assert get(below, "ceph.dir.layout.pool_name") == "other"
    assert get(ino, "ceph.file.layout.pool_id") == "2"
    assert get(ino, "ceph.dir.layout.json") == f"E{errno.ENODATA}"
    assert get(directory, "ceph.file.layout.json") == f"E{errno.ENODATA}"
    assert get(directory, "ceph.dir.pin") == "-1"
    assert get(directory, "user.x") == f"E{errno.ENODATA}"


# -- pins, quotas, subvolumes ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("pin", b"2", 0), ("pin", b"-5", 0), ("pin", b"999", 0),
        ("pin", b"x", errno.EINVAL),
        ("pin.random", b"0.01", 0), ("pin.random", b"0.5", errno.EINVAL),
        ("pin.random", b"1.5", errno.EDOM), ("pin.random", b"-1", errno.EDOM),
        ("pin.random", b"y", errno.EINVAL), ("pin.distributed", b"1", 0),
        ("pin.distributed", b"01", 0), ("pin.random", b"inf", errno.EDOM),
        ("pin.distributed", b"2", errno.EINVAL), ("pin.distributed", b"true", errno.EINVAL),
    ],
)  # fmt: skip
@in_trio
def test_pins_are_kept(name: str, value: bytes, code: int) -> None:
    kit = ServerKit()
    client, ino = file(kit)
    directory = client.mkdir("/d").ino
    assert client.setxattr(directory, f"ceph.dir.{name}", value).errno == code
    assert client.setxattr(1, f"ceph.dir.{name}", value).errno == errno.EINVAL
    assert client.setxattr(ino, f"ceph.dir.{name}", value).errno == errno.EINVAL
    stored = kit.find("/d").inode
    if name == "pin" and not code:
        assert stored.export_pin == max(int(value), -1)
        assert client.getattr(directory).trace.target.dir_pin == stored.export_pin  # type: ignore[union-attr]


@in_trio
def test_a_quota_makes_a_realm_and_is_told() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    directory = client.mkdir("/d").ino
    below = client.create("/d/f").ino
    other.getattr(directory)
    assert client.setxattr(directory, "ceph.quota.max_files", b"10").result == 0
    now = other.getattr(directory).trace.target
    assert now is not None
    assert now.quota.max_files == 10
    told = [m for m in other.con.sent if isinstance(m, MClientQuota)]
    assert told
    assert (told[0].ino, told[0].quota.max_files, told[0].rfiles) == (directory, 10, 1)
    split = [m for m in client.con.sent if isinstance(m, MClientSnap)]
    assert split
    assert split[0].op == SnapOp.SPLIT
    assert split[0].split == directory
    assert sorted(split[0].split_inos) == sorted([directory, below])
    realms = decode_snap_trace(client.getattr(below).first.snapbl)
    assert [realm.ino for realm in realms] == [directory, 1]
    before = len(kit.mdlog.events)
    assert client.setxattr(directory, "ceph.quota.max_files", b"10").result == 0
    assert len(kit.mdlog.events) == before, "it is that already"
    assert client.setxattr(directory, "ceph.quota", b"max_bytes=5 max_files=0").result == 0
    assert kit.find("/d").inode.quota.max_bytes == 5
    client.create("/d/g")
    assert [m for m in client.con.sent if isinstance(m, MClientQuota)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ceph.quota.max_files", b"-1"), ("ceph.quota.max_bytes", b"1k"), ("ceph.quota.x", b"1"),
        ("ceph.quota", b"max_files=1 x=1"), ("ceph.quota", b"max_files"), ("ceph.quotas", b"1"),
        ("ceph.quota.max_bytes", b"99999999999999999999"),
    ],
)  # fmt: skip
@in_trio
def test_bad_quotas(name: str, value: bytes) -> None:
    kit = ServerKit()
    client, ino = file(kit)
    assert client.setxattr(1, name, value).errno == errno.EINVAL
    assert client.setxattr(ino, "ceph.quota.max_files", b"1").errno == errno.EINVAL


@in_trio
def test_subvolumes_keep_their_files() -> None:
    kit = ServerKit()
    client = kit.client()
    one = client.mkdir("/one").ino
    client.mkdir("/two")
    file_ino = client.create("/one/f").ino
    below = client.mkdir("/one/d").ino
    assert client.setxattr(one, "ceph.dir.subvolume", b"1").result == 0
    assert client.setxattr(one, "ceph.dir.subvolume", b"1").result == 0
    assert client.setxattr(below, "ceph.dir.subvolume", b"1").errno == errno.EINVAL
    assert client.setxattr(file_ino, "ceph.dir.subvolume", b"1").errno == errno.EINVAL
    assert client.rename("/one/f", "/two/f").errno == errno.EXDEV
    assert client.link("/one/f", "/two/f").errno == errno.EXDEV
    assert client.rename("/one/f", "/one/d/f").result == 0
    assert client.setxattr(one, "ceph.dir.subvolume", b"0").result == 0
    assert client.rename("/one/d/f", "/two/f").result == 0
