"""mkdir, mknod, symlink, create: what they make, and what refuses them."""

from __future__ import annotations

import errno

import pytest
from tests.unit.server_kit import ServerKit, in_trio

from mdsdaemon.encoding import decode, encode
from mdsdaemon.messages.client_reply import OpencResponse
from mdsdaemon.types.client_args import OpenArgs
from mdsdaemon.types.client_caps import (
    CAP_ANY_FILE_RD,
    CAP_FILE_BUFFER,
    CAP_FILE_EXCL,
    CAP_FILE_WR,
)
from mdsdaemon.types.inode import INLINE_NONE, XAttrs
from mdsdaemon.types.mds import FilePath

O_CREAT, O_EXCL, O_TRUNC, O_WRONLY = 0o100, 0o200, 0o1000, 1


@in_trio
def test_a_directory() -> None:
    kit = ServerKit()
    client = kit.client()
    client.uid, client.gid = 10, 20
    reply = client.mkdir("/d", 0o750)
    made = reply.trace.target
    assert made is not None
    assert (made.mode, made.uid, made.gid, made.nlink) == (0o040750, 10, 20, 1)
    assert (made.rsubdirs, made.rfiles, made.dir_layout.dir_hash) == (1, 0, 2)
    assert made.ctime == made.mtime == made.atime == made.btime == kit.rank.now()
    assert made.layout.pool_id == -1, "a directory has no layout of its own"
    trace = reply.trace
    assert trace.dir is not None
    assert trace.dir.ino == 1
    assert trace.dir.nsubdirs == 1
    assert trace.dname == "d"
    assert trace.lease is not None
    assert reply.first.safe == 0, "the client need not wait for the journal"
    assert reply.last.safe == 1
    assert not reply.last.trace
    assert kit.events() == ["mkdir"]
    event = kit.mdlog.events[0][1]
    assert event.metablob.opened_ino == made.ino
    assert event.metablob.client_reqs[0][0].tid == 1
    directory = kit.find("/d").dirs[next(iter(kit.find("/d").dirs))]
    assert directory.new
    assert directory.complete


@in_trio
def test_a_new_file_is_open_with_everything() -> None:
    kit = ServerKit()
    client = kit.client()
    reply = client.create("/f", O_CREAT | O_WRONLY, 0o640)
    made = reply.trace.target
    assert made is not None
    assert made.mode == 0o100640
    assert made.rfiles == 1
    wanted = CAP_FILE_WR | CAP_FILE_BUFFER | CAP_FILE_EXCL
    assert made.cap.caps & wanted == wanted
    assert made.layout.object_size == 4 << 20
    assert made.layout.pool_id == 2
    assert made.max_size == 4 << 20
    assert made.truncate_size == 2**64 - 1
    assert made.truncate_seq == 1
    assert made.inline_version == INLINE_NONE
    extra = decode(OpencResponse, reply.first.extra)
    assert extra.created_ino == made.ino
    stored = kit.find("/f").inode
    assert stored.client_ranges[client.number].last == 4 << 20
    assert stored.backtrace_version == stored.version > 0


@in_trio
def test_numbers_are_delegated_to_clients_that_create_on_their_own() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")  # fills up the session's stock
    given = decode(OpencResponse, client.create("/f").first.extra).delegated_inos
    assert sum(given.values()) == 500
    assert not decode(OpencResponse, client.create("/g").first.extra).delegated_inos
    first = next(iter(given))
    reply = client.create("/h", ino=first)
    assert reply.ino == first


@in_trio
def test_what_is_there_is_opened_or_refused() -> None:
    kit = ServerKit()
    client = kit.client()
    made = client.create("/f").ino
    again = client.create("/f", O_CREAT)
    assert again.ino == made
    assert not again.first.extra
    assert again.first.safe == 1
    assert client.create("/f", O_CREAT | O_EXCL).errno == errno.EEXIST
    client.mkdir("/d")
    assert client.create("/d", O_CREAT).result == 0, "a directory is opened as such"
    assert client.create("/d", O_CREAT | O_TRUNC).errno == errno.EISDIR
    for ask in (client.mkdir, client.mknod):
        assert ask("/f").errno == errno.EEXIST
    assert client.symlink("x", "/d").errno == errno.EEXIST
    assert kit.events() == ["openc", "mkdir"]


@in_trio
def test_the_directory_passes_on_its_group() -> None:
    kit = ServerKit()
    client = kit.client()
    client.gid = 50
    client.mkdir("/d", 0o2775)
    client.gid = 60
    below = client.mkdir("/d/e").trace.target
    assert below is not None
    assert (below.gid, below.mode) == (50, 0o042755)
    file = client.create("/d/f").trace.target
    assert file is not None
    assert (file.gid, file.mode) == (50, 0o100644)
    beside = client.create("/f").trace.target
    assert beside is not None
    assert beside.gid == 60


@in_trio
def test_files_lie_as_the_next_directory_says() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")
    client.mkdir("/d/e")
    assert client.setxattr(kit.find("/d").ino, "ceph.dir.layout.pool", b"3").result == 0
    made = client.create("/d/e/f").trace.target
    assert made is not None
    assert made.layout.pool_id == 3
    assert kit.find("/d/e/f").inode.old_pools == [2], "where a backtrace is looked for"
    node = client.mknod("/d/e/n").trace.target
    assert node is not None
    assert node.layout.pool_id == 3
    link = client.symlink("x", "/d/e/s").trace.target
    assert link is not None
    assert link.layout.pool_id == 2


@in_trio
def test_a_client_may_ask_for_a_layout() -> None:
    kit = ServerKit()
    client = kit.client()
    args = OpenArgs(O_CREAT, 0o644, 1 << 20, 2, 2 << 20, 3)
    made = client.create("/f", args=args).trace.target
    assert made is not None
    layout = made.layout
    assert (layout.stripe_unit, layout.stripe_count, layout.object_size) == (1 << 20, 2, 2 << 20)
    assert layout.pool_id == 3
    assert client.create("/g", args=OpenArgs(O_CREAT, 0o644, 12345)).errno == errno.EINVAL
    assert client.create("/g", args=OpenArgs(O_CREAT, pool=99)).errno == errno.EINVAL
    plain = kit.client("allow rw")
    assert plain.create("/g", args=OpenArgs(O_CREAT, pool=3)).errno == errno.EACCES
    assert plain.create("/g", args=OpenArgs(O_CREAT, pool=2)).result == 0, "that is the default"


@in_trio
def test_special_files() -> None:
    kit = ServerKit()
    client = kit.client()
    fifo = client.mknod("/p", 0o010600).trace.target
    assert fifo is not None
    assert fifo.mode == 0o010600
    assert fifo.cap.caps & CAP_ANY_FILE_RD
    device = client.mknod("/c", 0o020666, rdev=0x103).trace.target
    assert device is not None
    assert device.rdev == 0x103
    plain = client.mknod("/f", 0o600).trace.target
    assert plain is not None
    assert plain.mode == 0o100600
    assert plain.cap.wanted == 0, "it is not open"
    assert client.mknod("/d", 0o040755).errno == errno.EINVAL
    assert client.mknod("/e", 0o150000).errno == errno.EINVAL


@in_trio
def test_a_symbolic_link() -> None:
    kit = ServerKit()
    client = kit.client()
    made = client.symlink("../é", "/s").trace.target
    assert made is not None
    assert (made.symlink, made.size, made.mode) == ("../é", 5, 0o120777)
    assert kit.find("/s").inode.rstat.rbytes == 5


@in_trio
def test_attributes_of_a_new_inode() -> None:
    kit = ServerKit()
    client = kit.client()
    data = encode(XAttrs, {"user.a": b"1"})
    made = client.mkdir("/d", data=data).trace.target
    assert made is not None
    assert made.xattrs() == {"user.a": b"1"}
    assert client.mkdir("/e", data=b"\xff" * 9).errno == errno.EINVAL
    assert kit.find("/e") is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (FilePath(1, ""), errno.EINVAL),
        (FilePath(1, "/x"), errno.EROFS),
        (FilePath(1, "."), errno.EEXIST),
        (FilePath(1, ".."), errno.EEXIST),
        (FilePath(1, "d/.."), errno.EEXIST),
        (FilePath(1, "no/x"), errno.ENOENT),
        (FilePath(1, "f/x"), errno.ENOTDIR),
        (FilePath(1, "d//x"), errno.EINVAL),
        (FilePath(0x100, "x"), errno.EROFS),
        (FilePath(0x600, "x"), errno.EROFS),
        (FilePath(0x12345678901, "x"), errno.ESTALE),
        (FilePath(1, "n" * 256), errno.ENAMETOOLONG),
        (FilePath(1, "é" * 128), errno.ENAMETOOLONG),
    ],
)
@in_trio
def test_places_where_nothing_can_be_made(path: FilePath, code: int) -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")
    client.create("/f")
    before = len(kit.mdlog.events)
    assert client.mkdir(path).errno == code
    assert client.create(path).errno == code
    assert client.symlink("x", path).errno == code
    assert client.mknod(path).errno == code
    assert len(kit.mdlog.events) == before


@in_trio
def test_names_of_255_bytes_and_odd_ones() -> None:
    kit = ServerKit()
    client = kit.client()
    names = ["n" * 255, "é" * 127, "\udcff", "a b", "...", "x\n"]
    for name in names:
        assert client.mkdir(FilePath(1, name)).result == 0
    assert client.names("/") == sorted(names)


@in_trio
def test_a_directory_is_full() -> None:
    kit = ServerKit(mds_bal_fragment_size_max="2")
    client = kit.client()
    assert client.mkdir("/a").result == 0
    assert client.mkdir("/b").result == 0
    for ask in (client.mkdir, client.create, client.mknod):
        assert ask("/c").errno == errno.ENOSPC
    assert client.rename("/a", "/c").errno == errno.ENOSPC
    kit.rank.config.set_val("mds_bal_fragment_size_max", 100)
    kit.rank.config.set_val("mds_dir_max_entries", 2)
    assert client.mkdir("/c").errno == errno.ENOSPC
    assert client.mkdir("/a/c").result == 0


@in_trio
def test_an_unlinked_directory_takes_nothing_in() -> None:
    kit = ServerKit()
    client = kit.client()
    ino = client.mkdir("/d").ino
    client.rmdir("/d")
    assert client.mkdir(FilePath(ino, "x")).errno == errno.ENOENT
    assert client.create(FilePath(ino, "x")).errno == errno.ENOENT
