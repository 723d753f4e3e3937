"""Inodes by number: backtraces that are right, old, missing, corrupt, forged."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.rank_kit import DATA_POOL, METADATA_POOL, OTHER_POOL, Kit, make_rank
from tests.unit.tree_kit import FIRST_INO, Tree

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import encode
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.traverse import traverse
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types.backtrace import BackPointer, Backtrace
from mdsdaemon.types.mds import FilePath


def stored() -> Tree:
    """/a/b/c/file, /hard -> it, /other."""
    tree = Tree(make_rank())
    for path in "/a", "/a/b", "/a/b/c":
        tree.mkdir(path)
    tree.create("/a/b/c/file", 5)
    tree.link("/a/b/c/file", "/hard")
    tree.mkdir("/other")
    tree.carry_up()
    tree.commit()
    return tree


def restarted(kit: Kit) -> Kit:
    kit = make_rank(objects=kit.objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    return kit


FILE = FIRST_INO + 3


def set_trace(kit: Kit, ino: int, pool: int, *steps: tuple[int, str], says: int = -1) -> None:
    trace = Backtrace(ino, [BackPointer(dirino, name, 1) for dirino, name in steps], says, [])
    op = ObjectOperation().create().setxattr("parent", encode(Backtrace, trace))
    kit.objecter.do(pool, f"{ino:x}.00000000", op)


def fails(kit: Kit, ino: int) -> int:
    with pytest.raises(FsError) as caught:
        kit.run(lambda: kit.rank.store.need_inode(ino))
    return caught.value.errno


def test_from_the_root_down() -> None:
    kit = restarted(stored().kit)
    inode = kit.run(lambda: kit.rank.store.need_inode(FILE))
    assert kit.rank.cache.path_of(inode) == "/a/b/c/file"
    assert inode.inode.size == 5
    assert len(kit.rank.cache) == 12 - 10 + 5, "nothing but what is on the way"
    assert kit.run(lambda: kit.rank.store.need_inode(FILE)) is inode


def test_many_ask_at_once() -> None:
    kit = restarted(stored().kit)
    found: list[int] = []
    for ino in FILE, FILE, FIRST_INO + 2, FIRST_INO + 4:
        kit.rank.queue.attempt(
            lambda ino=ino: found.append(kit.rank.store.need_inode(ino).ino)  # type: ignore[misc]
        )
    kit.settle()
    assert sorted(found) == sorted([FILE, FILE, FIRST_INO + 2, FIRST_INO + 4])
    asked = [oid for pool, oid, ops in kit.objecter.requests if ops == ["getxattr"]]
    assert asked.count(f"{FILE:x}.00000000") == 1


def test_directories_are_in_the_metadata_pool() -> None:
    kit = restarted(stored().kit)
    inode = kit.run(lambda: kit.rank.store.need_inode(FIRST_INO + 2))
    assert kit.rank.cache.path_of(inode) == "/a/b/c"
    pools = [pool for pool, _, ops in kit.objecter.requests if ops == ["getxattr"]]
    assert pools == [DATA_POOL, METADATA_POOL]
    kit = restarted(kit)
    kit.run(lambda: kit.rank.store.need_inode(FIRST_INO + 2, METADATA_POOL))
    pools = [pool for pool, _, ops in kit.objecter.requests if ops == ["getxattr"]]
    assert pools == [METADATA_POOL]


def test_another_data_pool() -> None:
    tree = stored()
    set_trace(tree.kit, FILE, DATA_POOL, (1, "x"), says=OTHER_POOL)
    set_trace(tree.kit, FILE, OTHER_POOL, (FIRST_INO + 2, "file"), says=OTHER_POOL)
    kit = restarted(tree.kit)
    assert kit.run(lambda: kit.rank.store.need_inode(FILE)).ino == FILE
    tree.kit.objecter.do(DATA_POOL, f"{FILE:x}.00000000", ObjectOperation().remove())
    kit = restarted(tree.kit)
    assert kit.run(lambda: kit.rank.store.need_inode(FILE)).ino == FILE


def test_an_old_backtrace_above_the_parent() -> None:
    """The parent has moved since: it is found by its own backtrace."""
    tree = stored()
    tree.rename("/a/b/c", "/other/c")
    tree.commit()
    kit = restarted(tree.kit)
    inode = kit.run(lambda: kit.rank.store.need_inode(FILE))
    assert kit.rank.cache.path_of(inode) == "/other/c/file"


def test_an_old_name_in_the_right_directory() -> None:
    tree = stored()
    set_trace(tree.kit, FILE, DATA_POOL, (FIRST_INO + 2, "former name"))
    kit = restarted(tree.kit)
    inode = kit.run(lambda: kit.rank.store.need_inode(FILE))
    assert kit.rank.cache.path_of(inode) == "/a/b/c/file", "the fetch of the directory found it"


def test_there_is_no_such_inode() -> None:
    kit = restarted(stored().kit)
    assert fails(kit, FIRST_INO + 77) == errno.ESTALE
    asked = len(kit.objecter.requests)
    assert fails(kit, FIRST_INO + 77) == errno.ESTALE
    assert len(kit.objecter.requests) == asked, "known a moment ago"
    kit.clock.now += 5
    assert fails(kit, FIRST_INO + 77) == errno.ESTALE
    assert len(kit.objecter.requests) > asked


@pytest.mark.parametrize(
    "steps",
    [
        [(FIRST_INO + 4, "file")],
        [(FILE, "itself")],
        [(FIRST_INO + 99, "nowhere")],
        [(0x600, "10000000003")],
        [(0x200, "the journal")],
        [],
    ],
)
def test_backtraces_that_lead_nowhere(steps: list[tuple[int, str]]) -> None:
    tree = stored()
    set_trace(tree.kit, FILE, DATA_POOL, *steps)
    assert fails(restarted(tree.kit), FILE) == errno.ESTALE


def test_backtraces_in_a_circle() -> None:
    tree = stored()
    a, b, c = (FIRST_INO + 100 + i for i in range(3))
    for ino, above in ((a, b), (b, c), (c, a)):
        set_trace(tree.kit, ino, METADATA_POOL, (above, "x"))
    kit = restarted(tree.kit)
    assert fails(kit, a) == errno.ESTALE
    assert fails(kit, b) == errno.ESTALE


def test_corrupt_and_unreadable() -> None:
    tree = stored()
    op = ObjectOperation().setxattr("parent", b"\5\4\xff")
    tree.kit.objecter.do(DATA_POOL, f"{FILE:x}.00000000", op)
    assert fails(restarted(tree.kit), FILE) == errno.EIO
    kit = restarted(tree.kit)
    kit.objecter.fault = lambda pool, oid, op: errno.EIO
    assert fails(kit, FILE) == errno.EIO
    kit = restarted(tree.kit)
    kit.objecter.fault = lambda pool, oid, op: errno.ESHUTDOWN
    with pytest.raises(MustWait):
        kit.rank.store.need_inode(FILE)
    kit.settle()
    assert len(kit.rank.write_errors) == 1


def test_system_inodes() -> None:
    kit = restarted(stored().kit)
    assert kit.run(lambda: kit.rank.store.need_inode(0x603)).is_stray_dir
    for ino in 0, 2, 3, 0x101, 0x200, 0x60A, 0x10000:
        assert fails(kit, ino) == errno.ESTALE


def test_hard_links() -> None:
    tree = stored()
    kit = restarted(tree.kit)
    dn = kit.run(lambda: kit.rank.store.lookup(kit.root, "hard"))
    assert dn is not None
    assert dn.is_remote
    inode = kit.run(lambda: kit.rank.store.need_remote(dn))
    assert (inode.ino, dn.remote_inode) == (FILE, inode)
    assert inode.remote_parents == {dn}
    # its inode was unlinked elsewhere: it is with the strays now
    tree.unlink("/a/b/c/file")
    tree.commit()
    kit = restarted(tree.kit)
    inode = Tree(kit).find("/hard")
    assert inode.is_stray
    assert inode.inode.nlink == 1


def test_a_bad_hard_link_is_damage() -> None:
    tree = stored()
    tree.kit.objecter.do(DATA_POOL, f"{FILE:x}.00000000", ObjectOperation().remove())
    kit = restarted(tree.kit)
    for _ in range(2):
        with pytest.raises(FsError) as caught:
            Tree(kit).find("/hard")
        assert caught.value.errno == errno.EIO
    shown = kit.rank.damage.dump()
    assert [(one["damage_type"], one["ino"], one["path"]) for one in shown] == [
        ("backtrace", FILE, "/hard")
    ]
    # once it was found in another way, the link works again
    Tree(kit).find("/a/b/c/file")
    assert Tree(kit).find("/hard").ino == FILE


def test_what_paths_and_backtraces_lack_is_counted() -> None:
    kit = restarted(stored().kit)
    req: Any = SimpleNamespace(rank=kit.rank, snapid=0)
    found = kit.run(lambda: traverse(req, FilePath(1, "hard")))
    assert found.inode is not None
    assert found.inode.ino == FILE
    counters = kit.rank.counters.mds
    assert [counters.get(f"traverse{what}") for what in ("", "_dir_fetch", "_remote_ino", "_hit")] \
        == [3, 1, 1, 1]  # fmt: skip
    assert counters.get("openino_dir_fetch") == 3, "/a, /a/b and /a/b/c"
