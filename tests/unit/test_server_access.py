"""What the caps of a key let a client do, operation by operation."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from tests.unit.server_kit import Client, Reply, ServerKit, in_trio

from mdsdaemon.types.client_args import ReaddirArgs
from mdsdaemon.types.client_ops import SETATTR_GID, SETATTR_MODE, SETATTR_UID, MdsOp


def tree(kit: ServerKit) -> None:
    client = kit.client()
    client.mkdir("/in")
    client.create("/in/f", 0o100)
    client.mkdir("/in/d")
    client.mkdir("/out")
    client.create("/out/f", 0o100)
    client.mkdir("/out/d")


READS: list[Callable[[Client, str], Reply]] = [
    lambda c, top: c.lookup(f"{top}/f"),
    lambda c, top: c.getattr(f"{top}/f"),
    lambda c, top: c.open(f"{top}/f", 0),
    lambda c, top: c.ask(MdsOp.READDIR, top, args=ReaddirArgs()),
    lambda c, top: c.ask(MdsOp.LSSNAP, c.kit.find(top).ino, args=ReaddirArgs()),
]
WRITES: list[Callable[[Client, str], Reply]] = [
    lambda c, top: c.mkdir(f"{top}/n1"),
    lambda c, top: c.create(f"{top}/n2"),
    lambda c, top: c.mknod(f"{top}/n3"),
    lambda c, top: c.symlink("x", f"{top}/n4"),
    lambda c, top: c.link(f"{top}/f", f"{top}/n5"),
    lambda c, top: c.rename(f"{top}/n2", f"{top}/n6") if c.kit.find(f"{top}/n2") else
    c.rename(f"{top}/f", f"{top}/n6"),
    lambda c, top: c.open(f"{top}/f", 1),
    lambda c, top: c.open(f"{top}/f", 0o1001),
    lambda c, top: c.setattr(f"{top}/f", SETATTR_MODE, mode=0o600),
    lambda c, top: c.setattr(f"{top}/f", SETATTR_UID | SETATTR_GID, uid=1, gid=1),
    lambda c, top: c.setxattr(f"{top}/f", "user.x", b"1"),
    lambda c, top: c.rmdir(f"{top}/d"),
    lambda c, top: c.unlink(f"{top}/f"),
]  # fmt: skip


def codes(client: Client, operations: list[Callable[[Client, str], Reply]], top: str) -> set[int]:
    return {operation(client, top).errno for operation in operations}


@in_trio
def test_below_a_path_only() -> None:
    kit = ServerKit()
    tree(kit)
    client = kit.client("allow rw path=/in")
    assert codes(client, READS, "/out") == {errno.EACCES}
    assert codes(client, WRITES, "/out") == {errno.EACCES}
    assert codes(client, READS, "/in") == {0}
    assert codes(client, WRITES, "/in") == {0}
    assert client.rename("/in/n6", "/out/x").errno == errno.EACCES
    assert client.lookup_ino(kit.find("/out/f").ino).errno == errno.EACCES
    assert client.lookup_ino(kit.find("/in/n1").ino).result == 0


@in_trio
def test_reading_only() -> None:
    kit = ServerKit()
    tree(kit)
    client = kit.client("allow r")
    assert codes(client, WRITES, "/in") == {errno.EACCES}
    assert codes(client, READS, "/in") == {0}


@in_trio
def test_root_squash() -> None:
    kit = ServerKit()
    tree(kit)
    client = kit.client("allow rw root_squash")
    assert codes(client, WRITES, "/in") == {errno.EACCES}
    assert codes(client, READS, "/in") == {0}
    client.uid = client.gid = 1000
    assert codes(client, WRITES, "/in") == {0}


@in_trio
def test_a_user_of_the_caps() -> None:
    kit = ServerKit()
    tree(kit)
    admin = kit.client()
    admin.setattr("/in", SETATTR_MODE | SETATTR_UID | SETATTR_GID, mode=0o700, uid=7, gid=7)
    client = kit.client("allow rw uid=7 gids=7")
    client.uid = client.gid = 7
    assert client.mkdir("/in/x").result == 0
    assert client.mkdir("/out/x").errno == errno.EACCES, "the mode of others"
    assert client.setattr("/in/x", SETATTR_UID, uid=8).errno == errno.EACCES
    client.uid = 8
    assert client.mkdir("/in/y").errno == errno.EACCES


@in_trio
def test_a_stray_is_where_it_was() -> None:
    kit = ServerKit()
    tree(kit)
    client = kit.client("allow rw path=/in")
    ino = kit.find("/in/f").ino
    client.unlink("/in/f")
    assert client.getattr(ino).result == 0
    other = kit.find("/out/f").ino
    kit.client().unlink("/out/f")
    assert client.getattr(other).errno == errno.EACCES


@pytest.mark.parametrize(
    ("name", "value"), [("ceph.dir.layout.pool", b"3"), ("ceph.quota.max_bytes", b"1"),
                        ("ceph.dir.pin", b"0"), ("ceph.dir.subvolume", b"1")],
)  # fmt: skip
@in_trio
def test_virtual_attributes_want_the_p(name: str, value: bytes) -> None:
    kit = ServerKit()
    tree(kit)
    ino = kit.find("/in").ino
    assert kit.client("allow rw").setxattr(ino, name, value).errno == errno.EACCES
    assert kit.client("allow rwp path=/out").setxattr(ino, name, value).errno == errno.EACCES
    assert kit.client("allow rwp path=/in").setxattr(ino, name, value).result == 0
