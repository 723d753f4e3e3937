"""unlink, rmdir, rename, link: names that come, go and move."""

from __future__ import annotations

import errno

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio
from tests.unit.server_trees import check_links, check_sums

from mdsdaemon.types.mds import FilePath

STRAY0 = 0x600


def tree(kit: ServerKit) -> Client:
    """/d/f, /d/e (empty), /x (file), /y (directory with a file)."""
    client = kit.client()
    client.mkdir("/d")
    client.create("/d/f")
    client.mkdir("/d/e")
    client.create("/x")
    client.mkdir("/y")
    client.create("/y/z")
    return client


def done(kit: ServerKit) -> None:
    check_links(kit)
    check_sums(kit)


# -- unlink and rmdir ------------------------------------------------------------------------


@in_trio
def test_an_unlinked_file_becomes_a_stray() -> None:
    kit = ServerKit()
    client = tree(kit)
    inode = kit.find("/d/f")
    kit.kit.clock.now += 5
    reply = client.unlink("/d/f")
    assert reply.result == 0
    assert reply.trace.target is None
    assert reply.trace.dname == "f"
    assert reply.trace.dir is not None
    assert reply.trace.dir.nfiles == 0
    assert reply.trace.dir.mtime == kit.rank.now()
    assert inode.is_stray
    assert inode.parent.name == f"{inode.ino:x}"
    stored = inode.inode
    assert (stored.nlink, stored.stray_prior_path) == (0, "/d/f")
    assert stored.ctime == kit.rank.now()
    assert kit.rank.strays.seen == [inode.ino]
    assert client.lookup("/d/f").errno == errno.ENOENT
    assert client.getattr(inode.ino).result == 0, "it is there for those that have it open"
    assert client.unlink("/d/f").errno == errno.ENOENT
    assert kit.events()[-1] == "unlink_local"
    done(kit)


@in_trio
def test_rmdir() -> None:
    kit = ServerKit()
    client = tree(kit)
    inode = kit.find("/d/e")
    assert client.rmdir("/d").errno == errno.ENOTEMPTY
    assert client.rmdir("/x").errno == errno.ENOTDIR
    assert client.unlink("/d/e").errno == errno.EISDIR
    assert client.rmdir("/d/e").result == 0
    assert inode.is_stray
    assert inode.inode.nlink == 0
    assert kit.mdlog.events[-1][1].metablob.renamed_dirino == inode.ino
    assert client.rmdir("/d/e").errno == errno.ENOENT
    client.unlink("/d/f")
    assert client.rmdir("/d").result == 0
    done(kit)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (FilePath(1, ""), errno.EINVAL),
        (FilePath(1, "/s"), errno.EROFS),
        (FilePath(1, "d/."), errno.ENOTEMPTY),
        (FilePath(1, ".."), errno.ENOTEMPTY),
        (FilePath(1, "x/y"), errno.ENOTDIR),
        (FilePath(0x100, "stray0"), errno.EROFS),
    ],
)
@in_trio
def test_what_cannot_be_unlinked(path: FilePath, code: int) -> None:
    kit = ServerKit()
    client = tree(kit)
    assert client.unlink(path).errno == code
    assert client.rmdir(path).errno == code


@in_trio
def test_a_directory_whose_sums_are_wrong_is_not_removed() -> None:
    kit = ServerKit()
    client = tree(kit)
    inode = kit.find("/y")
    for directory in inode.dirs.values():
        directory.fnode.fragstat.nfiles = directory.fnode.accounted_fragstat.nfiles = 0
    inode.inode.dirstat.nfiles = 0
    assert client.rmdir("/y").errno == errno.ENOTEMPTY


# -- links -----------------------------------------------------------------------------------


@in_trio
def test_a_hard_link() -> None:
    kit = ServerKit()
    client = tree(kit)
    ino = kit.find("/x").ino
    reply = client.link("/x", "/d/l")
    assert reply.ino == ino
    assert reply.trace.target is not None
    assert reply.trace.target.nlink == 2
    assert reply.trace.lease is not None
    assert not reply.trace.lease.mask & 4, "no primary link"
    dn = kit.dentry("/d/l")
    assert dn.remote_ino == ino
    assert dn.remote_d_type == 8
    assert client.lookup("/d/l").ino == ino
    assert client.link("/x", "/d/l").errno == errno.EEXIST
    assert client.link("/d", "/d2").errno == errno.EINVAL
    assert kit.events()[-1] == "link_local"
    done(kit)


@in_trio
def test_unlinking_either_name() -> None:
    kit = ServerKit()
    client = tree(kit)
    inode = kit.find("/x")
    client.link("/x", "/d/l")
    client.link("/x", "/d/m")
    assert client.unlink("/d/l").result == 0
    assert inode.inode.nlink == 2
    assert not inode.is_stray
    assert client.unlink("/x").result == 0
    assert inode.inode.nlink == 1
    assert inode.is_stray, "until a link takes it in"
    assert client.lookup("/d/m").ino == inode.ino
    assert inode.ino in kit.rank.strays.seen
    done(kit)


@in_trio
def test_what_has_no_name_is_not_linked() -> None:
    kit = ServerKit()
    client = tree(kit)
    ino = kit.find("/x").ino
    client.unlink("/x")
    assert client.link(ino, "/l").errno == errno.ENOENT
    assert client.link(0x10000FFFFFF, "/l").errno == errno.ESTALE
    assert client.link(1, "/l").errno == errno.EINVAL


@in_trio
def test_a_link_named_by_its_path() -> None:
    kit = ServerKit()
    client = tree(kit)
    d = kit.find("/d").ino
    reply = client.link(FilePath(d, "f"), "/l")
    assert reply.result == 0
    assert kit.find("/l").inode.nlink == 2
    assert client.link(FilePath(d, "no"), "/m").errno == errno.ENOENT
    assert client.link(FilePath(d, "f"), "/l").errno == errno.EEXIST


# -- rename ----------------------------------------------------------------------------------


@in_trio
def test_rename_across_directories() -> None:
    kit = ServerKit()
    client = tree(kit)
    inode = kit.find("/d/f")
    kit.kit.clock.now += 5
    reply = client.rename("/d/f", "/y/g")
    assert reply.ino == inode.ino
    assert reply.trace.dname == "g"
    assert kit.find("/d/f") is None
    assert kit.find("/y/g") is inode
    assert inode.inode.ctime == kit.rank.now()
    assert kit.find("/d").inode.mtime == kit.find("/y").inode.mtime == kit.rank.now()
    assert inode.backtrace_segment is not None
    assert kit.events()[-1] == "rename"
    done(kit)


@in_trio
def test_rename_over_a_file() -> None:
    kit = ServerKit()
    client = tree(kit)
    old, inode = kit.find("/x"), kit.find("/d/f")
    assert client.rename("/d/f", "/x").result == 0
    assert kit.find("/x") is inode
    assert old.is_stray
    assert old.inode.nlink == 0
    assert old.inode.stray_prior_path == "/x"
    blob = kit.mdlog.events[-1][1].metablob
    order = [lump.ino for lump in blob.lump_order if lump.ino != 0x100]
    assert order[0] == STRAY0, "a replay comes to the stray first"
    assert kit.rank.strays.seen[-1] == old.ino
    done(kit)


@in_trio
def test_rename_over_directories() -> None:
    kit = ServerKit()
    client = tree(kit)
    assert client.rename("/d/e", "/y").errno == errno.ENOTEMPTY
    assert client.rename("/x", "/d/e").errno == errno.EISDIR
    assert client.rename("/d/e", "/x").errno == errno.ENOTDIR
    assert client.rename("/y", "/d").errno == errno.ENOTEMPTY
    old = kit.find("/d/e")
    assert client.rename("/y", "/d/e").result == 0
    assert old.is_stray
    assert kit.find("/d/e/z") is not None
    assert kit.mdlog.events[-1][1].metablob.renamed_dirino == kit.find("/d/e").ino
    done(kit)


@in_trio
def test_a_directory_does_not_go_below_itself() -> None:
    kit = ServerKit()
    client = tree(kit)
    assert client.rename("/d", "/d/e/d").errno == errno.EINVAL
    assert client.rename("/d", "/d/d").errno == errno.EINVAL
    assert client.rename("/d/e", "/d").errno == errno.ENOTEMPTY


@in_trio
def test_renames_that_do_nothing() -> None:
    kit = ServerKit()
    client = tree(kit)
    client.link("/x", "/l")
    before = len(kit.mdlog.events)
    assert client.rename("/x", "/x").result == 0
    assert client.rename("/x", "/l").result == 0
    assert client.rename("/l", "/x").result == 0
    assert len(kit.mdlog.events) == before
    assert kit.find("/x") is kit.find("/l")


@in_trio
def test_hard_links_are_renamed() -> None:
    kit = ServerKit()
    client = tree(kit)
    client.link("/x", "/l")
    inode = kit.find("/x")
    assert client.rename("/l", "/y/m").result == 0
    assert kit.dentry("/y/m").remote_ino == inode.ino
    assert client.rename("/x", "/y/p").result == 0, "the primary link moves with the inode"
    assert kit.dentry("/y/p").inode is inode
    other = kit.find("/d/f")
    assert client.rename("/d/f", "/y/m").result == 0
    assert inode.inode.nlink == 1
    assert kit.find("/y/m") is other
    done(kit)


@in_trio
def test_over_the_primary_link_of_a_file_with_others() -> None:
    kit = ServerKit()
    client = tree(kit)
    client.link("/x", "/l")
    inode = kit.find("/x")
    assert client.rename("/d/f", "/x").result == 0
    assert inode.is_stray
    assert inode.inode.nlink == 1
    assert kit.find("/l") is inode
    done(kit)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (FilePath(1, "x"), FilePath(1, "."), errno.EBUSY),
        (FilePath(1, ".."), FilePath(1, "q"), errno.EBUSY),
        (FilePath(1, ""), FilePath(1, "q"), errno.EINVAL),
        (FilePath(1, "x"), FilePath(1, "d/q"), errno.EINVAL),
        (FilePath(1, "no"), FilePath(1, "q"), errno.ENOENT),
        (FilePath(1, "x"), FilePath(0x100, "q"), errno.EROFS),
        (FilePath(0x600, "x"), FilePath(1, "q"), errno.EROFS),
        (FilePath(1, "x"), FilePath(0x10099999999, "q"), errno.ESTALE),
        (FilePath(1, "x"), FilePath(1, "q" * 256), errno.ENAMETOOLONG),
    ],
)
@in_trio
def test_what_cannot_be_renamed(old: FilePath, new: FilePath, code: int) -> None:
    kit = ServerKit()
    client = tree(kit)
    before = len(kit.mdlog.events)
    assert client.rename(old, new).errno == code
    assert len(kit.mdlog.events) == before


@in_trio
def test_alternate_names_go_with_the_name() -> None:
    kit = ServerKit()
    client = tree(kit)
    client.mkdir("/n", alternate_name="secret")
    assert client.lookup("/n").trace.lease.alternate_name == "secret"  # type: ignore[union-attr]
    assert client.rename("/n", "/m", alternate_name="other").result == 0
    assert kit.dentry("/m").alternate_name == b"other"
    client.mkdir("/o", alternate_name="third")
    assert client.rename("/m", "/o", alternate_name="else").errno == errno.EINVAL
    assert client.rename("/m", "/o", alternate_name="third").result == 0
    assert kit.dentry("/o").alternate_name == b"third"
    assert client.mkdir("/p", alternate_name="x" * 1025).errno == errno.ENAMETOOLONG
