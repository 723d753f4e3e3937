"""Virtual extended attributes: layouts, pins, quotas, subvolumes."""

from __future__ import annotations

import errno
import json

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.encoding import decode
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.messages.client_reply import VxattrValue, decode_snap_trace
from mdsdaemon.types.client_args import SetlayoutArgs, SetxattrArgs
from mdsdaemon.types.client_ops import SETATTR_SIZE, MdsOp, SnapOp
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.mds import FilePath


def file(kit: ServerKit, path: str = "/f") -> tuple[Client, int]:
    client = kit.client()
    return client, client.create(path).ino


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
def test_others_are_told_of_a_quota_that_the_journal_has() -> None:
    kit = ServerKit()
    client, other = kit.client(), kit.client()
    directory = client.mkdir("/d").ino
    other.getattr(directory)
    kit.mdlog.auto = False
    name = FilePath(0, "ceph.quota.max_files")
    client.send(MdsOp.SETXATTR, directory, name, SetxattrArgs(), data=b"10")
    assert not [m for m in other.con.sent if isinstance(m, MClientQuota)]
    kit.mdlog.make_safe()
    assert [m.quota.max_files for m in other.con.sent if isinstance(m, MClientQuota)] == [10]


@in_trio
def test_others_read_values_that_the_journal_has() -> None:
    kit = ServerKit()
    client, other, third = kit.client(), kit.client(), kit.client()
    directory = client.mkdir("/d").ino
    kit.mdlog.auto = False
    pin = FilePath(0, "ceph.dir.subvolume")
    client.send(MdsOp.SETXATTR, directory, pin, SetxattrArgs(), data=b"1")
    same = other.send(MdsOp.SETXATTR, directory, pin, SetxattrArgs(), data=b"1")
    pin = FilePath(0, "ceph.dir.pin")
    client.send(MdsOp.SETXATTR, directory, pin, SetxattrArgs(), data=b"3")
    seen = third.send(MdsOp.GETVXATTR, directory, pin, SetxattrArgs())
    assert not other.replies(same)
    assert not third.replies(seen)
    kit.mdlog.make_safe()
    assert [reply.result for reply in other.replies(same)] == [0]
    assert decode(VxattrValue, third.replies(seen)[0].extra).value == "3"


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
