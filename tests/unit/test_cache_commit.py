"""Commits: ahead of them the journal, their operations, and what happens when they fail."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
from tests.unit.rank_kit import DATA_POOL, METADATA_POOL, OTHER_POOL, Kit, make_rank
from tests.unit.tree_kit import FIRST_INO, Tree, differences

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import decode
from mdsdaemon.rank.cache.commit import SLICE
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.types.backtrace import BackPointer, Backtrace
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.stats import FNode

D_OBJECT = f"{FIRST_INO:x}.00000000"


def a_tree(**options: Any) -> Tree:
    tree = Tree(make_rank(**options))
    tree.commit()
    tree.mkdir("/d")
    return tree


def d_of(tree: Tree) -> CDir:
    return next(iter(tree.find("/d").dirs.values()))


def writes(kit: Kit, name: str) -> list[list[str]]:
    return [ops for _, oid, ops in kit.objecter.requests if oid == name]


def commit(tree: Tree, directory: CDir) -> None:
    tree.kit.trio(lambda: tree.rank.store.commit_dir(directory))


def test_only_what_is_dirty_is_written() -> None:
    tree = a_tree()
    for name in "abc":
        tree.create(f"/d/{name}")
    commit(tree, d_of(tree))
    assert writes(tree.kit, D_OBJECT) == [["omap-set-header", "omap-set-vals"]]
    tree.resize("/d/b", 5)
    tree.unlink("/d/c")
    before = tree.kit.objecter.omap(D_OBJECT)
    commit(tree, d_of(tree))
    # what somebody has removed is not made again
    expected = ["stat", "omap-set-header", "omap-set-vals", "omap-rm-keys"]
    assert writes(tree.kit, D_OBJECT)[1:] == [expected]
    after = tree.kit.objecter.omap(D_OBJECT)
    assert list(after) == ["a_head", "b_head"]
    assert after["a_head"] == before["a_head"]
    assert after["b_head"] != before["b_head"]
    assert not d_of(tree).is_dirty
    assert "c" not in d_of(tree).items, "a complete directory needs no null dentries"
    commit(tree, d_of(tree))
    assert len(writes(tree.kit, D_OBJECT)) == 2


def test_the_journal_goes_ahead() -> None:
    tree = a_tree()
    kit, directory = tree.kit, d_of(tree)
    tree.create("/d/a")
    kit.mdlog.auto = False

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.rank.store.commit_dir, directory)
            nursery.start_soon(tree.rank.store.write_backtrace, tree.find("/d/a"))
            await trio.testing.wait_all_tasks_blocked()
            assert writes(kit, D_OBJECT) == []
            tree.create("/d/later")
            kit.mdlog.make_safe(kit.mdlog.events[-2][0])
            await trio.testing.wait_all_tasks_blocked()
            # what was taken is written, the later change is dirty
            assert list(kit.objecter.omap(D_OBJECT)) == ["a_head"]
            assert list(directory.dirty_items) == ["later_head"]
            kit.mdlog.auto = True

    kit.trio(main)
    assert directory.is_dirty
    assert directory.committed_version == directory.fnode.version - 1
    commit(tree, directory)
    assert list(kit.objecter.omap(D_OBJECT)) == ["a_head", "later_head"]
    assert decode(FNode, kit.objecter.header(D_OBJECT)) == directory.fnode


def test_a_large_commit_is_several_operations_and_the_header_last() -> None:
    tree = a_tree(mds_dir_max_commit_size="1")
    for i in range(60):
        tree.create(f"/d/{i:02d}")
        tree.setxattr(f"/d/{i:02d}", "user.x", b"x" * 60000)
    commit(tree, d_of(tree))
    ops = writes(tree.kit, D_OBJECT)
    assert len(ops) == 4
    assert all("omap-set-header" not in one for one in ops[:-1])
    assert ops[-1] == ["omap-set-header", "omap-set-vals"]
    assert len(tree.kit.objecter.omap(D_OBJECT)) == 60


def test_others_are_served_while_a_large_fragment_is_stored() -> None:
    tree = a_tree()
    for i in range(3 * SLICE):
        tree.create(f"/d/{i:04d}")
    directory, last = d_of(tree), 3 * SLICE - 1

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.rank.store.commit_dir, directory)
            while not directory.committing_version:
                await trio.lowlevel.checkpoint()
            tree.unlink(f"/d/{last:04d}")
            tree.resize(f"/d/{last - 1:04d}", 7)
            tree.resize("/d/0000", 7)
            tree.create("/d/new")
            assert directory.committed is not None, "it is not stored yet"
            assert writes(tree.kit, D_OBJECT) == []

    tree.kit.trio(main)
    (ops,) = writes(tree.kit, D_OBJECT)
    assert ops == ["omap-set-header", "omap-set-vals", "omap-rm-keys"]
    changed = {f"{last:04d}_head", f"{last - 1:04d}_head", "0000_head", "new_head"}
    assert directory.dirty_items.keys() == changed
    tree.carry_up()
    tree.commit()
    image = tree.image()
    again = Tree(make_rank(objects=tree.kit.objecter, root=False))
    again.kit.trio(again.rank.store.load_base)
    again.load_all()
    assert differences(again.image(), image) == {}


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("new_segment", [False, True])
def test_a_commit_that_fails_leaves_all_dirty(changed: bool, new_segment: bool) -> None:
    tree = a_tree()
    kit, directory = tree.kit, d_of(tree)
    tree.create("/d/a")
    first = kit.mdlog.segment
    kit.objecter.fault = lambda pool, oid, op: errno.EIO
    kit.objecter.hold = True

    async def main() -> None:
        async def fails() -> None:
            with pytest.raises(RadosError):
                await tree.rank.store.commit_dir(directory)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            await trio.testing.wait_all_tasks_blocked()
            if new_segment:
                kit.mdlog.start_new_segment()
            if changed:
                kit.objecter.hold = False
                tree.resize("/d/a", 9)
                tree.create("/d/b")
            kit.objecter.release()

    kit.trio(main)
    kit.objecter.hold = False
    assert directory in first.dirty_dirs
    assert directory.segment is first
    assert set(directory.dirty_items) == {"a_head", *(["b_head"] if changed else [])}
    assert directory.new
    kit.objecter.fault = lambda pool, oid, op: 0
    tree.commit()
    assert not any(segment.dirty_dirs for segment in kit.mdlog.segments.values())
    image = tree.image()
    again = Tree(make_rank(objects=kit.objecter, root=False))
    again.load_all()
    assert differences(again.image(), image) == {}


def test_changes_during_a_commit_stay_in_their_segment() -> None:
    tree = a_tree()
    kit, directory = tree.kit, d_of(tree)
    first = kit.mdlog.segment
    kit.objecter.hold = True

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.rank.store.commit_dir, directory)
            await trio.testing.wait_all_tasks_blocked()
            second = kit.mdlog.start_new_segment()
            kit.objecter.hold = False
            tree.create("/d/new")
            assert directory in first.dirty_dirs
            assert directory in second.dirty_dirs
            kit.objecter.release()
            await trio.testing.wait_all_tasks_blocked()
            assert directory not in first.dirty_dirs
            assert directory.segment is second

    kit.trio(main)


def test_what_could_not_be_read_is_not_written() -> None:
    tree = a_tree()
    tree.commit()
    directory = d_of(tree)
    tree.create("/d/a")
    directory.damaged = True
    with pytest.raises(RadosError, match="could not be read"):
        commit(tree, directory)
    assert tree.kit.objecter.omap(D_OBJECT) == {}
    directory.damaged = False
    tree.kit.objecter.do(METADATA_POOL, D_OBJECT, ObjectOperation().remove())
    with pytest.raises(RadosError):
        commit(tree, directory)
    assert D_OBJECT not in tree.kit.objecter.names()


def test_a_directory_that_is_being_purged() -> None:
    """Its object may be gone already; or the fragment is not in the cache any more."""
    tree = a_tree()
    tree.commit()
    directory = d_of(tree)
    tree.create("/d/a")
    tree.unlink("/d/a")
    tree.unlink("/d")
    tree.kit.objecter.do(METADATA_POOL, D_OBJECT, ObjectOperation().remove())
    directory.committed_version = 0
    commit(tree, directory)
    assert not directory.is_dirty


# -- backtraces --------------------------------------------------------------------------------


def trace(kit: Kit, ino: int, pool: int) -> Backtrace:
    return decode(Backtrace, kit.objecter.xattrs(f"{ino:x}.00000000", pool)["parent"])


def test_backtraces_of_files_and_directories() -> None:
    tree = a_tree()
    kit, inode = tree.kit, tree.create("/d/file")
    tree.commit()
    found = trace(kit, inode.ino, DATA_POOL)
    d = tree.find("/d")
    assert found == Backtrace(
        inode.ino,
        [BackPointer(d.ino, "file", inode.inode.version), BackPointer(1, "d", d.inode.version)],
        DATA_POOL,
        [],
    )
    layout = kit.objecter.xattrs(f"{inode.ino:x}.00000000", DATA_POOL)["layout"]
    assert decode(FileLayout, layout) == inode.inode.layout
    assert trace(kit, d.ino, METADATA_POOL).ancestors == found.ancestors[1:]
    tree.rename("/d/file", "/here")
    tree.commit()
    assert trace(kit, inode.ino, DATA_POOL).ancestors[0].dname == "here"
    count = len(kit.objecter.requests)
    kit.trio(lambda: tree.rank.store.write_backtrace(inode))
    assert len(kit.objecter.requests) == count, "it is written already"


def test_pools_that_had_the_data_learn_where_it_is() -> None:
    tree = a_tree()
    kit, inode = tree.kit, tree.create("/d/file")
    tree.commit()
    mut = tree.begin("setlayout")
    stored = mut.inode(inode)
    stored.old_pools = [DATA_POOL, OTHER_POOL]
    stored.layout = FileLayout(4 << 20, 1, 4 << 20, OTHER_POOL)
    mut.backtrace(inode, pool=True)
    mut.submit()
    tree.commit()
    for pool in DATA_POOL, OTHER_POOL:
        assert trace(kit, inode.ino, pool).pool == OTHER_POOL
        assert trace(kit, inode.ino, pool).old_pools == [DATA_POOL]
    assert not inode.backtrace_pools


def test_a_data_pool_that_was_deleted() -> None:
    tree = a_tree()
    inode = tree.create("/d/file")
    inode.inode.layout = FileLayout(4 << 20, 1, 4 << 20, 99)
    tree.commit()
    assert inode.backtrace_segment is None
    other = tree.create("/d/other")
    tree.kit.objecter.fault = lambda pool, oid, op: errno.EPERM
    with pytest.raises(RadosError):
        tree.kit.trio(lambda: tree.rank.store.write_backtrace(other))
    assert other in tree.kit.mdlog.segment.dirty_backtraces


# -- base inodes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "missing"),
        (b"\x05\0\0\0hello", "is not"),
        (None, "another inode"),
        (-1, "cannot be read"),
    ],
)
def test_base_inodes_that_cannot_be_read(data: Any, why: str) -> None:
    tree = a_tree()
    tree.commit()
    objecter = tree.kit.objecter
    good = objecter.read("100.00000000.inode" if data is None else "1.00000000.inode")
    bad = good if data is None else good[:data] if isinstance(data, int) else data
    objecter.do(METADATA_POOL, "1.00000000.inode", ObjectOperation().write_full(bad))
    kit = make_rank(objects=objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    assert len(kit.rank.damages) == 1
    assert why in kit.rank.damages[0]
    # as it was long ago: in an xattr of the fragment's object
    op = ObjectOperation().remove()
    objecter.do(METADATA_POOL, "1.00000000.inode", op)
    good = tree.kit.objecter.read("100.00000000.inode") if data is None else good
    if data is not None:
        op = ObjectOperation().setxattr("inode", good)
        objecter.do(METADATA_POOL, "1.00000000", op)
        kit = make_rank(objects=objecter, root=False)
        kit.trio(kit.rank.store.load_base)
        assert kit.rank.damages == []
        assert kit.root.inode == tree.kit.root.inode


def test_a_missing_stray_directory_is_made() -> None:
    tree = a_tree()
    tree.commit()
    objecter = tree.kit.objecter
    op = ObjectOperation().omap_rm_keys(["stray3_head"])
    objecter.do(METADATA_POOL, "100.00000000", op)
    kit = make_rank(objects=objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    kit.trio(kit.rank.store.load_strays)
    Tree(kit).commit()
    assert "stray3_head" in objecter.omap("100.00000000")
    assert kit.rank.cache.inodes[0x603].is_stray_dir
