"""Fetching: pages, waiters, single names, and everything that can be wrong with an object."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests.unit.rank_kit import METADATA_POOL, Kit, make_rank
from tests.unit.tree_kit import FIRST_INO, Tree

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.waiting import MustWait

DIR_OBJECT = f"{FIRST_INO:x}.00000000"


def stored(files: int, **options: Any) -> Kit:
    """A rank that knows nothing but the base inodes; /d has this many files."""
    tree = Tree(make_rank())
    tree.mkdir("/d")
    for i in range(files):
        tree.create(f"/d/f{i:04d}", i)
    tree.carry_up()
    tree.commit()
    return restarted(tree.kit, **options)


def restarted(kit: Kit, **options: Any) -> Kit:
    kit = make_rank(objects=kit.objecter, root=False, **options)
    kit.trio(kit.rank.store.load_base)
    return kit


def d_of(kit: Kit) -> CInode:
    dn = kit.run(lambda: kit.rank.store.lookup(kit.root, "d"))
    assert dn is not None
    assert dn.inode is not None
    return dn.inode


def whole(kit: Kit) -> CDir:
    return kit.run(lambda: kit.rank.store.all_dirs(d_of(kit)))[0]


def break_header(kit: Kit, header: bytes) -> None:
    kit.objecter.do(METADATA_POOL, DIR_OBJECT, ObjectOperation().omap_set_header(header))


def set_value(kit: Kit, key: str, value: bytes) -> None:
    kit.objecter.do(METADATA_POOL, DIR_OBJECT, ObjectOperation().omap_set({key: value}))


def reads(kit: Kit) -> int:
    return sum(oid == DIR_OBJECT for _, oid, _ in kit.objecter.requests)


def test_page_after_page() -> None:
    kit = stored(50, mds_dir_keys_per_op="7")
    directory = whole(kit)
    assert sorted(directory.items) == [f"f{i:04d}" for i in range(50)]
    assert reads(kit) == 8
    assert directory.complete
    assert directory.committed_version == directory.fnode.version > 0


def test_one_fetch_for_all_who_wait() -> None:
    kit = stored(3)
    inode, done = d_of(kit), list[int]()
    for number in range(5):

        def work(number: int = number) -> None:
            assert len(kit.rank.store.all_dirs(inode)[0].items) == 3
            done.append(number)

        kit.rank.queue.attempt(work)
    assert done == []
    kit.settle()
    assert done == [0, 1, 2, 3, 4]
    assert reads(kit) == 1


def test_what_is_in_the_cache_is_newer() -> None:
    """A change while the fetch is under way stays, also when it is stored before the answer."""
    kit = stored(4)
    tree, inode = Tree(kit, FIRST_INO + 100), d_of(kit)
    for name in "f0001", "f0002":
        directory = kit.rank.store.dir_for(inode, name)
        directory.keyed = 0
    kit.run(lambda: kit.rank.store.lookup(inode, "f0001"))
    directory.complete = False
    kit.objecter.hold = True
    with pytest.raises(MustWait):
        kit.rank.store.need_complete(directory)
    tree.resize("/d/f0001", 77)
    tree.rename("/d/f0002", "/moved")
    tree.carry_up()
    kit.objecter.hold = False
    held, kit.objecter.pending = kit.objecter.pending, type(kit.objecter.pending)()
    tree.commit()
    assert "f0002" in directory.items, "the read under way may bring it back"
    kit.objecter.pending = held
    kit.settle()
    assert directory.complete
    assert tree.find("/d/f0001").inode.size == 77
    assert directory.items["f0002"].is_null
    assert tree.find("/moved").ino == FIRST_INO + 3


def test_single_names_of_a_large_fragment() -> None:
    kit = stored(300)
    inode = d_of(kit)

    def ask(name: str) -> bool:
        dn = kit.run(lambda: kit.rank.store.lookup(inode, name))
        return dn is not None and not dn.is_null

    assert ask("f0007")
    assert not ask("nothing")
    directory = inode.dirs[next(iter(inode.dirs))]
    assert (len(directory.items), directory.complete) == (2, False)
    assert not ask("nothing")
    assert reads(kit) == 2, "a null dentry remembers that there is nothing"
    for i in range(20):
        assert ask(f"f{i:04d}")
    assert directory.complete, "who asks so often is given all of it"
    assert len(directory.items) == 301


@pytest.mark.parametrize(("limit", "fetched"), [("1000", 1), ("1000000000", 100)])
def test_a_small_fragment_is_fetched_as_a_whole_unless_the_cache_is_full(
    limit: str, fetched: int
) -> None:
    kit = stored(100, mds_cache_memory_limit=limit)
    inode = d_of(kit)
    assert kit.run(lambda: kit.rank.store.lookup(inode, "f0007")) is not None
    (directory,) = inode.dirs.values()
    assert len(directory.items) == fetched


def test_a_full_cache_fetches_single_names_for_longer() -> None:
    """All of a large fragment would drive out as much that others need."""
    kit = stored(300, mds_cache_memory_limit="1000")
    inode = d_of(kit)
    for i in range(37):
        assert kit.run(lambda i=i: kit.rank.store.lookup(inode, f"f{i:04d}")) is not None  # type: ignore[misc]
    (directory,) = inode.dirs.values()
    assert (len(directory.items), directory.complete) == (37, False)
    assert kit.run(lambda: kit.rank.store.lookup(inode, "f0100")) is not None
    assert directory.complete
    for dn in list(directory.items.values()):
        dn.touched = False
        assert kit.rank.store.trimmer.expire(dn, set())
    for i in range(100):
        assert kit.run(lambda i=i: kit.rank.store.lookup(inode, f"f{i:04d}")) is not None  # type: ignore[misc]
    assert not directory.complete, "it would not stay this time, either"


@pytest.mark.parametrize(
    "header", [b"", b"\4\3\1", b"\0" * 40, b"\xff" * 300], ids=["none", "short", "zeros", "ones"]
)
def test_a_bad_header_costs_that_fragment_only(header: bytes) -> None:
    kit = stored(3)
    tree = Tree(kit, FIRST_INO + 100)
    break_header(kit, header)
    inode = d_of(kit)
    for _ in range(2):
        with pytest.raises(FsError) as caught:
            kit.run(lambda: kit.rank.store.lookup(inode, "f0001"))
        assert caught.value.errno == errno.EIO
    with pytest.raises(FsError):
        kit.run(lambda: kit.rank.store.all_dirs(inode))
    assert [one["damage_type"] for one in kit.rank.damage.dump()] == ["dir_frag"]
    assert kit.rank.damage.dump()[0]["path"] == "/d"
    assert kit.rank.damages == []
    tree.mkdir("/other")
    tree.commit()
    assert kit.objecter.header(DIR_OBJECT) == header, "never written over"


def test_a_missing_object() -> None:
    kit = stored(3)
    kit.objecter.do(METADATA_POOL, DIR_OBJECT, ObjectOperation().remove())
    with pytest.raises(FsError):
        whole(kit)
    assert len(kit.rank.damage) == 1
    assert DIR_OBJECT not in kit.objecter.names()


def test_a_bad_dentry_costs_that_name_only() -> None:
    kit = stored(3)
    good = kit.objecter.omap(DIR_OBJECT)["f0001_head"]
    set_value(kit, "f0001_head", good[:-3])
    set_value(kit, "nokey", good)
    directory = whole(kit)
    assert sorted(directory.items) == ["f0000", "f0002"]
    shown = kit.rank.damage.dump()
    assert sorted(one["dname"] for one in shown) == ["f0001", "nokey"]
    assert {one["snap_id"] for one in shown} == {"head"}
    tree = Tree(kit, FIRST_INO + 100)
    with pytest.raises(FsError) as caught:
        tree.create("/d/f0001")
    assert caught.value.errno == errno.EIO
    tree.create("/d/new")
    tree.commit()
    assert kit.objecter.omap(DIR_OBJECT)["f0001_head"] == good[:-3], "never written over"
    # mended by an administrator, and taken out of the table
    set_value(kit, "f0001_head", good)
    assert all(kit.rank.damage.remove(one["id"]) for one in shown)
    assert tree.find("/d/f0001").inode.size == 1
    assert [one["dname"] for one in kit.rank.damage.dump()] == ["nokey"], "that one is bad still"


def test_a_mended_dentry_is_found_in_a_fragment_that_was_trimmed() -> None:
    kit = stored(3)
    good = kit.objecter.omap(DIR_OBJECT)["f0001_head"]
    set_value(kit, "f0001_head", good[:-3])
    directory = whole(kit)
    directory.items["f0000"].pins += 1  # so that the fragment stays
    kit.trio(lambda: kit.rank.store.trim_to(0))
    assert list(directory.items) == ["f0000"]
    assert not directory.complete
    set_value(kit, "f0001_head", good)
    assert all(kit.rank.damage.remove(one["id"]) for one in kit.rank.damage.dump())
    assert Tree(kit).find("/d/f0001").inode.size == 1


def test_an_inode_in_two_places() -> None:
    kit = stored(2)
    values = kit.objecter.omap(DIR_OBJECT)
    set_value(kit, "again_head", values["f0001_head"])
    assert sorted(whole(kit).items) == ["again", "f0000"]
    assert [one["dname"] for one in kit.rank.damage.dump()] == ["f0001"]
    assert "dup inode" in kit.said[0][1]


@pytest.mark.parametrize("ino", [0x100, 0x600, 1])
def test_damage_that_the_rank_cannot_live_with(ino: int) -> None:
    tree = Tree(make_rank())
    tree.mkdir("/d")
    tree.commit()
    name = f"{ino:x}.00000000"
    op = ObjectOperation().omap_set({"bad_head": b"junk"}).omap_set_header(b"")
    tree.kit.objecter.do(METADATA_POOL, name, op)
    kit = restarted(tree.kit)
    with pytest.raises(FsError):
        Tree(kit).load_all()
    assert len(kit.rank.damages) == (ino != 0x100)


def test_errors_of_rados() -> None:
    kit = stored(2)
    inode = d_of(kit)
    kit.objecter.fault = lambda pool, oid, op: errno.EIO if oid == DIR_OBJECT else 0
    with pytest.raises(FsError):
        kit.run(lambda: kit.rank.store.all_dirs(inode))
    assert len(kit.rank.damage) == 1
    kit = restarted(kit)
    inode = d_of(kit)
    kit.objecter.fault = lambda pool, oid, op: errno.ESHUTDOWN
    for work in (lambda: kit.rank.store.all_dirs(inode), lambda: kit.rank.store.lookup(inode, "x")):
        with pytest.raises(MustWait):
            work()
    kit.settle()
    assert [error.errno for error in kit.rank.write_errors] == [errno.ESHUTDOWN]
    assert len(kit.rank.damage) == 0


@pytest.mark.parametrize("files", [2, 300])
def test_an_osd_that_does_not_answer_in_time(files: int) -> None:
    kit = stored(files)
    inode, answers = d_of(kit), iter([errno.ETIMEDOUT, errno.ETIMEDOUT])
    kit.objecter.fault = lambda pool, oid, op: next(answers, 0)
    dn = kit.run(lambda: kit.rank.store.lookup(inode, "f0001"))
    assert dn is not None
    assert dn.inode is not None
    assert kit.rank.write_errors == []


def test_a_wrong_backtrace_of_a_directory_is_written_anew() -> None:
    kit = stored(2)
    right = kit.objecter.xattrs(DIR_OBJECT)["parent"]
    kit.objecter.do(METADATA_POOL, DIR_OBJECT, ObjectOperation().setxattr("parent", right[:-1]))
    inode = whole(kit).inode
    assert kit.said == [("error", f"bad backtrace on directory inode 0x{FIRST_INO:x}")]
    assert inode.backtrace_segment is not None
    Tree(kit).commit()
    assert kit.objecter.xattrs(DIR_OBJECT)["parent"] == right
    assert inode.backtrace_segment is None


def test_a_removed_directory_is_not_fetched() -> None:
    kit = stored(0)
    Tree(kit).unlink("/d")
    inode = kit.rank.cache.inodes[FIRST_INO]
    inode.dirs.clear()
    before = reads(kit)
    assert [one.complete for one in kit.rank.store.all_dirs(inode)] == [True]
    assert reads(kit) == before


@pytest.mark.parametrize("files", [3, 300])
def test_a_fragment_that_is_dropped_while_it_is_read(files: int) -> None:
    kit = stored(files)
    inode = d_of(kit)
    directory = kit.rank.store.dir_for(inode, "f0001")
    kit.objecter.hold = True
    with pytest.raises(MustWait) as caught:
        kit.rank.store.lookup(inode, "f0001")
    opened: list[bool] = []
    caught.value.gate.add(lambda: opened.append(True))
    kit.rank.store.drop_dir(directory)
    kit.objecter.hold = False
    before = len(kit.rank.cache)
    kit.settle()
    assert opened
    assert len(kit.rank.cache) == before
    dn = kit.run(lambda: kit.rank.store.lookup(inode, "f0001"))
    assert dn is not None
    assert dn.dir is not directory
