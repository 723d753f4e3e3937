"""The cache: what it costs to load, encode, look up, trim and keep an inode, within one process.

The rank is that of the unit tests: its objects are in memory, its journal is a list.
"""

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial

from bench.figures import OURS, Sheet
from bench.plan import Plan
from bench.timing import beside_loop, processor_seconds
from tests.unit.rank_kit import Kit, make_rank
from tests.unit.tree_kit import Tree

from mdsdaemon import collector
from mdsdaemon.rank.cache.dentry_codec import decode_dentry, encode_dentry
from mdsdaemon.rank.cache.inode import CInode


def measure(sheet: Sheet, plan: Plan) -> None:
    """All figures, on a directory of some thousand files."""
    files, runs = plan.pick(10_000, 2_000), plan.pick(5, 2)
    collector.tune()  # as in a daemon: or it is chance in which figure a whole collection falls

    def timed(name: str, prepare: Callable[[], Callable[[], object]], count: int = files) -> None:
        def each() -> float:
            return processor_seconds(prepare()) / count

        beside_loop(sheet, name, each, runs=runs, table="time")

    timed("create: Mutation, journaled and decoded again", lambda: partial(filled, files), files)
    kit = filled(files)
    data = list(kit.objecter.omap(f"{1 << 40:x}.00000000").values())
    dentries = list(next(iter(Tree(kit).find("/d").dirs.values())).items.values())
    timed("decode a dentry", lambda: lambda: [decode_dentry(one) for one in data])
    timed("encode a dentry", lambda: lambda: [encode_dentry(dn) for dn in dentries])

    def loading() -> Callable[[], object]:
        made, inode = restarted(kit)
        return lambda: made.run(lambda: made.rank.store.all_dirs(inode))

    timed("load an inode", loading)
    made, inode = loaded(kit)
    names = [f"file{i:06d}" for i in range(files)]
    lookup = made.rank.store.lookup
    timed("look up a name", lambda: lambda: [lookup(inode, name) for name in names])

    def trimming() -> Callable[[], object]:
        again, _ = loaded(kit)
        return lambda: again.trio(lambda: again.rank.store.trim_to(0))

    timed("trim a dentry", trimming)
    memory(sheet, kit, files)


def memory(sheet: Sheet, kit: Kit, files: int) -> None:
    """Bytes of Python objects for each."""

    def add(name: str, value: float) -> None:
        sheet.add(name, OURS, value, "bytes", table="memory, of Python's objects")

    made, inode = restarted(kit)
    add("a file's inode with its dentry", traced(partial(loaded_into, made, inode)) / files)
    add("… as the limit counts it", made.rank.store.memory_used() / files)
    count = files // 10
    tree = Tree(make_rank())
    for i in range(count):
        tree.mkdir(f"/dir{i:06d}")
    tree.carry_up()
    tree.commit()
    empty = make_rank(objects=tree.kit.objecter, root=False)
    empty.trio(empty.rank.store.load_base)

    def load() -> None:
        Tree(empty).load_all()
        empty.objecter.requests.clear()

    add("an empty directory with its fragment", traced(load) / count)


def filled(files: int) -> Kit:
    """A rank with a directory /d of so many files, committed."""
    tree = Tree(make_rank())
    tree.mkdir("/d")
    for i in range(files):
        tree.create(f"/d/file{i:06d}", i)
    tree.carry_up()
    tree.commit()
    return tree.kit


def restarted(kit: Kit) -> tuple[Kit, CInode]:
    """Another rank on the same objects, with nothing but /d itself in its cache."""
    kit = make_rank(objects=kit.objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    return kit, Tree(kit).find("/d")


def loaded_into(kit: Kit, inode: CInode) -> None:
    kit.run(lambda: kit.rank.store.all_dirs(inode))


def loaded(kit: Kit) -> tuple[Kit, CInode]:
    """As `restarted`, with all of /d."""
    made, inode = restarted(kit)
    loaded_into(made, inode)
    return made, inode


def traced(work: Callable[[], object]) -> int:
    """Bytes that are there after it and were not before."""
    gc.collect()
    tracemalloc.start()
    work()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used
