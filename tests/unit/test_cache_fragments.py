"""Splits and merges: nothing is lost, whatever is dirty, and wherever the rank dies."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.unit.rank_kit import METADATA_POOL, Kit, make_rank
from tests.unit.tree_kit import FIRST_INO, Tree, differences

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.rank.cache.fragment_replay import COMMIT, FINISH, PREPARE, ROLLBACK
from mdsdaemon.rank.cache.fragtree import WHOLE, get_leaves
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.log.replay_blob import BlobReplay
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.journal import EFragment
from mdsdaemon.types.metablob import EMetaBlob
from mdsdaemon.types.osd_op import Op


def a_tree(files: int = 40, **options: Any) -> Tree:
    tree = Tree(make_rank(**options))
    tree.commit()
    tree.mkdir("/d")
    for i in range(files):
        tree.create(f"/d/f{i:03d}", i)
    tree.mkdir("/d/sub")
    tree.link("/d/f000", "/d/hard")
    return tree


def split(tree: Tree, frag: Frag = WHOLE, bits: int = 2) -> bool:
    directory = tree.find("/d").dirs[frag]
    return tree.kit.trio(lambda: tree.rank.store.fragmenter.split(directory, bits))


def merge(tree: Tree, frag: Frag = WHOLE) -> bool:
    return tree.kit.trio(lambda: tree.rank.store.fragmenter.merge(tree.find("/d"), frag))


def names(inode: CInode) -> list[str]:
    return sorted(n for d in inode.dirs.values() for n, dn in d.items.items() if not dn.is_null)


def flat(tree: Tree) -> dict[str, Any]:
    """The image, fragments aside."""
    return {key: value for key, value in tree.image().items() if "[" not in key}


def replayed(kit: Kit, events: int | None = None) -> Tree:
    """A rank that finds the journal up to so many events, as `Replay` does it."""
    made = make_rank(objects=kit.objecter, root=False)
    made.trio(made.rank.store.load_base)
    segment = made.mdlog.segment
    for _, event in kit.mdlog.events[:events]:
        if isinstance(event, EFragment):
            made.rank.store.replay_fragment(event, segment)
        BlobReplay(made.rank).run(event.metablob, segment)
    return Tree(made)


def finish(tree: Tree) -> None:
    tree.kit.trio(tree.rank.store.finish_uncommitted_fragments)


def ops(kit: Kit) -> list[int]:
    return [event.op for _, event in kit.mdlog.events if isinstance(event, EFragment)]


def objects(kit: Kit) -> list[str]:
    return [name for name in kit.objecter.names() if name.startswith(f"{FIRST_INO:x}.")]


@pytest.mark.parametrize("clean", [True, False])
def test_a_split_and_back(clean: bool) -> None:
    tree = a_tree()
    if clean:
        tree.carry_up()
        tree.commit()
    kit, inode = tree.kit, tree.find("/d")
    before = names(inode)
    assert split(tree)
    assert ops(kit) == [PREPARE, COMMIT, FINISH]
    assert inode.dirfragtree.splits == {WHOLE: 2}
    assert [frag.bits for frag in inode.dirs] == [2] * 4
    assert names(inode) == before
    tree.resize("/d/f001", 1000)
    tree.create("/d/new")
    tree.unlink("/d/f002")
    tree.carry_up()
    tree.check_sums()
    tree.commit()
    assert len(objects(kit)) == 5, "the whole one has the backtrace, and is empty"
    assert kit.objecter.omap(objects(kit)[0]) == {}
    assert kit.objecter.xattrs(objects(kit)[0])
    image = tree.image()
    again = Tree(make_rank(objects=kit.objecter, root=False))
    again.load_all()
    assert differences(again.image(), image) == {}
    assert merge(again)
    assert get_leaves(again.find("/d").dirfragtree) == [WHOLE]
    again.check_sums()
    again.commit()
    assert len(objects(again.kit)) == 1
    third = Tree(make_rank(objects=kit.objecter, root=False))
    third.load_all()
    third.check_sums()
    assert names(third.find("/d")) == names(inode)


def test_uncounted_sums_are_not_lost() -> None:
    tree = a_tree()
    tree.kit.config.set_val("mds_dirstat_min_interval", "1000")
    tree.mkdir("/d/sub/deep")
    tree.create("/d/sub/deep/er", 12345)
    tree.resize("/d/sub/deep/er", 54321)
    assert split(tree)
    tree.resize("/d/sub/deep/er", 99)
    assert merge(tree)
    tree.carry_up()
    tree.check_sums()


def no_removals(pool: int, oid: str, op: ObjectOperation) -> int:
    removes = any(one.op in (Op.DELETE, Op.OMAPCLEAR) for one in op.ops)
    return errno.ESHUTDOWN if removes else 0


@pytest.mark.parametrize("stop", range(1, 5))
@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("what", [split, merge])
def test_a_rank_that_dies_on_the_way(stop: int, committed: bool, what: Any) -> None:
    """After any event of it, the journal leads to the same tree, in one shape or the other."""
    tree = a_tree()
    if what is merge:
        assert split(tree)
    if committed:
        tree.carry_up()
        tree.commit()
        tree.kit.mdlog.start_new_segment()
        tree.kit.mdlog.events.clear()
    first = len(tree.kit.mdlog.events)
    expected, wanted = flat(tree), names(tree.find("/d"))
    lost = stop < 3

    if lost:  # and it has not removed the old objects either
        tree.kit.objecter.fault = no_removals
    what(tree)
    tree.kit.objecter.fault = lambda pool, oid, op: 0
    if stop == 4:
        tree.resize("/d/f003", 33)
        tree.carry_up()
        expected = flat(tree)
    count = len(tree.kit.mdlog.events) if stop == 4 else first + stop
    again = replayed(tree.kit, count)
    finish(again)
    again.load_all()
    assert names(again.find("/d")) == wanted
    found = flat(again)
    for key in "#1/d", "#1":  # its own version has changed
        del found[key], expected[key]
    assert differences(found, expected) == {}
    again.carry_up()
    again.check_sums()
    again.commit()
    assert not len(again.rank.store.fragmenter.uncommitted)
    assert not again.kit.mdlog.segment.uncommitted_fragments
    assert again.kit.rank.damage.dump() == []
    if stop == 1:
        assert ROLLBACK in ops(again.kit)
    live = {one.object_name for one in again.find("/d").dirs.values()}
    empty = {objects(again.kit)[0]}
    assert live <= set(objects(again.kit)) <= live | empty
    third = Tree(make_rank(objects=again.kit.objecter, root=False))
    third.load_all()
    assert names(third.find("/d")) == wanted


def without_dentries(event: EFragment) -> EFragment:
    """As ceph-mds writes it: of the new fragments it journals the headers only."""
    made = decode(EFragment, encode(EFragment, event))
    for dirfrag, lump in made.metablob.lump_map.items():
        if dirfrag.ino == event.ino:
            lump.state = lump.nfull = lump.nremote = lump.nnull = 0
            lump.dnbl = b""
    return made


@pytest.mark.parametrize("committed", [False, True])
def test_a_split_that_a_stock_mds_began(committed: bool) -> None:
    tree = a_tree()
    tree.carry_up()
    tree.commit()
    kit = tree.kit
    kit.mdlog.start_new_segment()
    kit.mdlog.events.clear()
    wanted = names(tree.find("/d"))
    if not committed:
        kit.objecter.fault = no_removals
    split(tree)
    kit.objecter.fault = lambda pool, oid, op: 0
    if committed:
        tree.commit()  # it stores the new fragments before it says that it has committed
    events = [(end, e) for end, e in kit.mdlog.events if isinstance(e, EFragment)]
    kit.mdlog.events = [(end, without_dentries(e)) for end, e in events]
    again = replayed(kit, 2 if committed else 1)
    finish(again)
    again.load_all()
    assert names(again.find("/d")) == wanted
    again.carry_up()
    again.check_sums()
    assert len(again.find("/d").dirs) == (4 if committed else 1)
    again.commit()
    assert again.kit.rank.damage.dump() == []


@settings(
    deadline=None,
    max_examples=20,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.data())
def test_random_splits_and_merges(data: st.DataObject) -> None:
    tree = a_tree(data.draw(st.integers(1, 30)))
    for step in range(data.draw(st.integers(1, 8))):
        inode = tree.find("/d")
        what = data.draw(st.sampled_from(["split", "merge", "commit", "create", "die"]))
        if what == "split":
            frag = data.draw(st.sampled_from(get_leaves(inode.dirfragtree)))
            tree.load_all()
            split(tree, frag, data.draw(st.integers(1, 3)))
        elif what == "merge" and inode.dirfragtree.splits:
            merge(tree, data.draw(st.sampled_from(sorted(inode.dirfragtree.splits))))
        elif what == "commit":
            tree.carry_up()
            tree.commit()
        elif what == "create":
            tree.create(f"/d/new{step}", step)
        elif what == "die":
            expected, events, ino = flat(tree), tree.kit.mdlog.events, tree.next_ino
            tree.carry_up()
            expected = flat(tree)
            tree = replayed(tree.kit)
            tree.next_ino, tree.kit.mdlog.events = ino, [*events]
            tree.load_all()
            assert differences(flat(tree), expected) == {}
    tree.carry_up()
    tree.load_all()
    tree.check_sums()
    tree.commit()
    image = tree.image()
    again = Tree(make_rank(objects=tree.kit.objecter, root=False))
    again.load_all()
    assert differences(again.image(), image) == {}
    assert again.kit.rank.damage.dump() == []


def test_it_happens_by_itself() -> None:
    tree = a_tree(4, mds_bal_split_size="30", mds_bal_merge_size="3", mds_bal_split_bits="2")
    kit, inode = tree.kit, tree.find("/d")
    for i in range(100, 150):
        tree.create(f"/d/f{i}")
        tree.rank.store.maybe_fragment(tree.rank.store.dir_for(inode, f"f{i}"))
        if kit.rank.spawned:
            kit.trio(lambda: _settled(kit, inode))
    assert len(inode.dirs) == 4
    for name in names(inode):
        if name not in ("sub", "hard", "f000"):
            tree.unlink(f"/d/{name}")
        tree.rank.store.maybe_fragment(tree.rank.store.dir_for(inode, name))
    kit.trio(lambda: _settled(kit, inode))
    assert list(inode.dirs) == [WHOLE]
    tree.carry_up()
    tree.check_sums()


async def _settled(kit: Kit, inode: CInode) -> None:
    await trio.sleep(20)
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("path", ["/", "~", "/stray"])
def test_what_is_never_split(path: str) -> None:
    tree = a_tree(4, mds_bal_split_size="1")
    cache = tree.rank.cache
    assert cache.mydir is not None
    inode = {"/": tree.kit.root, "~": cache.mydir, "/stray": cache.inodes[0x600]}[path]
    directory = next(iter(inode.dirs.values()))
    directory.fnode.fragstat.nfiles = 100
    tree.rank.store.maybe_fragment(directory)
    assert tree.kit.rank.spawned == []
    if path == "~":
        assert not tree.kit.trio(lambda: tree.rank.store.fragmenter.split(directory, 1))


def test_what_cannot_be_read_is_not_left_behind() -> None:
    tree = a_tree()
    tree.commit()
    name = f"{FIRST_INO:x}.00000000"
    good = tree.kit.objecter.omap(name)["f001_head"]
    spoil = ObjectOperation().omap_set({"f001_head": good[:-3]})
    tree.kit.objecter.do(METADATA_POOL, name, spoil)
    tree = Tree(make_rank(objects=tree.kit.objecter, root=False))
    tree.load_all()
    kit = tree.kit
    assert not split(tree)
    assert kit.objecter.omap(name)["f001_head"] == good[:-3]
    kit.objecter.do(METADATA_POOL, name, ObjectOperation().omap_set({"f001_head": good}))
    (damage,) = kit.rank.damage.dump()
    assert kit.rank.damage.remove(damage["id"])
    assert split(tree)
    assert tree.find("/d/f001").inode.size == 1


@pytest.mark.parametrize(
    "event",
    [
        EFragment(op=PREPARE, ino=FIRST_INO, bits=40),
        EFragment(op=PREPARE, ino=FIRST_INO, basefrag=Frag(30 << 24), bits=1),
        EFragment(op=ROLLBACK, ino=FIRST_INO, bits=1, orig_frags=[Frag(1 << 24 | 5)]),
        EFragment(op=PREPARE, ino=FIRST_INO, bits=-30),
    ],
)
def test_events_that_cannot_be(event: EFragment) -> None:
    event.metablob = EMetaBlob()
    tree = a_tree(2)
    with pytest.raises(DecodeError):
        tree.rank.store.replay_fragment(event, tree.kit.mdlog.segment)
