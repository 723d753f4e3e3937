"""Trimming and the table of damage."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import pytest
import trio
from tests.unit.rank_kit import make_rank
from tests.unit.tree_kit import Tree, differences

from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.cache.trim import DENTRY_COST, INODE_COST
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types.client_caps import CAP_PIN
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.osd import NOSNAP

WHOLE = Frag(0)


def a_tree(files: int = 20) -> Tree:
    tree = Tree(make_rank())
    tree.mkdir("/d")
    tree.mkdir("/d/sub")
    for i in range(files):
        tree.create(f"/d/f{i:02d}", i)
    tree.create("/d/sub/deep")
    tree.link("/d/f00", "/hard")
    tree.carry_up()
    tree.commit()
    return tree


def trim_all(tree: Tree) -> None:
    tree.kit.trio(lambda: tree.rank.store.trim_to(0))


def in_cache(tree: Tree) -> set[str]:
    paths = {tree.rank.cache.path_of(inode) for inode in tree.rank.cache.inodes.values()}
    return {path for path in paths if not path.startswith("~")}


def test_all_that_nobody_needs() -> None:
    tree = a_tree()
    image, full = tree.image(), tree.rank.store.memory_used()
    trim_all(tree)
    assert in_cache(tree) == {"/"}
    assert tree.rank.cache.num_dentries == 10, "the stray directories stay"
    assert tree.rank.cache.num_dirs == 12
    assert tree.rank.store.memory_used() < full - 20 * (INODE_COST + DENTRY_COST)
    assert not next(iter(tree.kit.root.dirs.values())).complete
    tree.load_all()
    assert differences(tree.image(), image) == {}


def test_what_has_left_is_no_garbage() -> None:
    """The collector of cycles hardly ever looks at old objects: none may be needed."""
    tree = a_tree()
    inodes = list(tree.rank.cache.inodes.values())
    gone = [inode for inode in inodes if not inode.is_system]
    ids = {id(inode) for inode in gone} | {
        id(directory) for inode in gone for directory in inode.dirs.values()
    }
    assert len(ids) == len(gone) + 2
    kinds = (CInode, CDir, CDentry)
    gc.collect()
    gc.disable()
    try:
        del inodes, gone
        trim_all(tree)
        tree.kit.objecter.requests.clear()
        left = [one for one in gc.get_objects() if isinstance(one, kinds) and id(one) in ids]
    finally:
        gc.enable()
    assert left == []


def test_down_to_the_limit_and_no_further() -> None:
    tree = a_tree(50)
    used = tree.rank.store.memory_used()
    limit = used - 10 * (INODE_COST + DENTRY_COST)
    tree.kit.trio(lambda: tree.rank.store.trim_to(limit))
    assert limit - (INODE_COST + DENTRY_COST) < tree.rank.store.memory_used() <= limit
    assert tree.rank.store.trim(limit) == 0


def test_what_is_all_needed_is_not_searched_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsdaemon.rank.cache.trim.BATCH", 4)
    tree = a_tree(400)
    store, trimmer, looked = tree.rank.store, tree.rank.store.trimmer, list[CDentry]()
    inodes = [inode for inode in tree.rank.cache.inodes.values() if not inode.is_system]
    for inode in inodes:
        inode.pins += 1
    expire = trimmer.expire

    def counted(dn: CDentry, held: set[CInode]) -> bool:
        looked.append(dn)
        return expire(dn, held)

    monkeypatch.setattr(trimmer, "expire", counted)

    def looks() -> int:
        looked.clear()
        store.trim(0)
        tree.kit.trio(partial(trio.sleep, 1))
        return len(looked)

    assert not store.is_hampered()
    assert looks() > 400
    assert trimmer.hampered
    assert looks() < 50
    for inode in inodes:
        inode.pins -= 1
    assert looks() > 400, "once something goes all is looked at"
    assert in_cache(tree) == {"/"}


def test_a_name_that_never_was_is_known_not_to_be() -> None:
    """Files can be made in a fragment that is not whole any more without reading it again."""
    tree = a_tree(50)
    limit = tree.rank.store.memory_used() - 30 * (INODE_COST + DENTRY_COST)
    tree.kit.trio(lambda: tree.rank.store.trim_to(limit))
    diri = tree.find("/d")
    (directory,) = diri.dirs.values()
    assert not any(one.complete for one in diri.dirs.values())
    gone = [f"f{i:02d}" for i in range(50) if f"f{i:02d}" not in directory.items]
    assert len(gone) >= 20
    for name in gone:
        with pytest.raises(MustWait):
            tree.rank.store.lookup(diri, name)
    # the reads that these have begun are not over: nobody waits for them
    assert tree.rank.store.lookup(diri, "new-name") is None
    tree.load_all()
    assert directory.complete
    assert directory.trimmed_names is None
    assert all(name in directory.items for name in gone)


def test_what_was_looked_at_stays_longer() -> None:
    tree = a_tree(50)
    tree.rank.store.trim(0)  # the hand has been everywhere once
    tree.load_all()
    for dn in [dn for inode in tree.rank.cache.inodes.values() for dn in _dentries(inode)]:
        dn.touched = False
    hot = [f"/d/f{i:02d}" for i in range(10, 20)]
    for path in hot:
        tree.find(path)
    limit = tree.rank.store.memory_used() - 30 * (INODE_COST + DENTRY_COST)
    tree.kit.trio(lambda: tree.rank.store.trim_to(limit))
    assert set(hot) <= in_cache(tree)


def _dentries(inode: CInode) -> list[Any]:
    return [dn for directory in inode.dirs.values() for dn in directory.items.values()]


@pytest.mark.parametrize(
    "hold",
    ["caps", "pins", "lease", "lock", "locks", "dentry pin", "dirty", "backtrace", "sums", "open"],
)
def test_what_something_holds(hold: str) -> None:
    tree = a_tree()
    inode = tree.find("/d/f05")
    dn, segment = inode.parent, tree.kit.mdlog.segment
    assert dn is not None
    if hold == "caps":
        inode.caps = {1: CAP_PIN}
    elif hold == "pins":
        inode.pins += 1
    elif hold == "lease":
        dn.leases = {1: None}
    elif hold == "lock":
        dn.lock = object()
    elif hold == "locks":
        inode.locks = object()
    elif hold == "dentry pin":
        dn.pins += 1
    elif hold == "dirty":
        tree.setxattr("/d/f05", "user.x", b"x")
    elif hold == "backtrace":
        inode.backtrace_segment = segment
    elif hold == "sums":
        inode.nest_segment = segment
    else:
        segment.open_files.add(inode)
    trim_all(tree)
    assert in_cache(tree) >= {"/", "/d", "/d/f05"}
    assert "/d/sub/deep" not in in_cache(tree)


def test_null_dentries_go_and_completeness_stays() -> None:
    tree = a_tree()
    directory = next(iter(tree.find("/d").dirs.values()))
    null = tree.rank.cache.add_dentry(directory, "nothing")
    null.touched = False
    assert tree.rank.store.trimmer.expire(null, set())
    assert directory.complete
    link = tree.lookup(tree.kit.root, "hard")
    assert link.remote_inode is not None
    assert tree.rank.store.trimmer.expire(link, set())
    assert tree.find("/d/f00").remote_parents == set()
    assert not link.dir.complete


def test_unlinked_files_wait_to_be_purged() -> None:
    tree = a_tree()
    tree.unlink("/d/f07")
    tree.carry_up()
    tree.commit()
    inode = next(inode for inode in tree.rank.cache.inodes.values() if inode.is_stray)
    trim_all(tree)
    assert tree.rank.cache.get_inode(inode.ino) is inode


def test_nothing_goes_while_a_fetch_may_bring_it_back() -> None:
    tree = a_tree()
    directory = next(iter(tree.find("/d").dirs.values()))
    directory.loads = 1
    trim_all(tree)
    assert len(directory.items) == 21
    directory.loads = 0
    trim_all(tree)
    assert in_cache(tree) == {"/"}


# -- damage ------------------------------------------------------------------------------------


def test_the_table_of_damage() -> None:
    kit = make_rank()
    table = kit.rank.damage
    assert not table.note_dirfrag(1 << 40, Frag(1 << 24), "/a")
    assert not table.note_dirfrag(1 << 40, Frag(1 << 24), "/a")
    assert not table.note_dentry(1 << 40, WHOLE, "x", NOSNAP, "/a/x")
    assert not table.note_dentry(1 << 40, WHOLE, "x", 0x1F, "/a/x")
    assert not table.note_backtrace(77, "/a/link")
    assert len(table) == 4
    assert table.is_dentry(1 << 40, WHOLE, "x")
    assert table.is_dentry(1 << 40, WHOLE, "x", 0x1F)
    assert not table.is_dentry(1 << 40, WHOLE, "x", 0x20)
    assert table.any_dentry(1 << 40, WHOLE)
    assert not table.any_dentry(1 << 40, Frag(1 << 24))
    assert not table.any_dentry(1 << 41, WHOLE)
    assert table.is_backtrace(77)
    shown = table.dump()
    assert [one["id"] for one in shown] == sorted(one["id"] for one in shown)
    plain = [{k: v for k, v in one.items() if k != "id"} for one in shown]
    for one in (
        {"damage_type": "dir_frag", "ino": 1 << 40, "frag": "0*", "path": "/a"},
        {"damage_type": "dentry", "ino": 1 << 40, "frag": "*", "dname": "x", "snap_id": "1f",
         "path": "/a/x"},
        {"damage_type": "backtrace", "ino": 77, "path": "/a/link"},
    ):  # fmt: skip
        assert one in plain
    told: list[str] = []
    table.on_removed.append(lambda entry: told.append(entry.kind))
    assert table.remove(shown[0]["id"])
    assert not table.remove(shown[0]["id"])
    assert all(table.remove(one["id"]) for one in shown[1:])
    assert len(table) == 0
    assert not table.any_dentry(1 << 40, WHOLE)
    assert not table.is_backtrace(77)
    assert sorted(told) == ["backtrace", "dentry", "dentry", "dir_frag"]


def test_damage_that_is_fatal() -> None:
    table = make_rank(mds_damage_table_max_entries="3").rank.damage
    assert table.note_dirfrag(1, WHOLE, "/")
    assert table.note_dirfrag(0x605, WHOLE, "~mds0/stray5")
    assert not table.note_dirfrag(0x100, WHOLE, "~mds0")
    assert table.note_dentry(0x100, WHOLE, "stray0", NOSNAP, "")
    assert table.note_dentry(0x609, WHOLE, "x", NOSNAP, "")
    assert not table.note_dentry(0x60A, WHOLE, "another rank's", NOSNAP, "")
    assert not table.note_backtrace(1, "")
    assert not table.note_backtrace(2, "")
    assert table.note_backtrace(3, ""), "too much of it"
