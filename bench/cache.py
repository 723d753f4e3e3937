"""The cache: what it costs to load, encode and keep an inode; processor time, best of three.

python -m bench.cache [FILES]
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable

from tests.unit.rank_kit import Kit, make_rank
from tests.unit.tree_kit import Tree

from mdsdaemon.rank.cache.dentry_codec import decode_dentry, encode_dentry
from mdsdaemon.rank.cache.inode import CInode


def say(what: str, value: float, unit: str) -> None:
    sys.stdout.write(f"{what:44} {value:10.2f} {unit}\n")


def timed(what: str, count: int, work: Callable[[], object]) -> None:
    gc.collect()
    best = min(_once(work) for _ in range(3))
    say(what, best / count * 1e6, "us")


def _once(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def filled(files: int) -> Kit:
    tree = Tree(make_rank())
    tree.mkdir("/d")
    began = time.process_time()
    for i in range(files):
        tree.create(f"/d/file{i:06d}", i)
    say("create as a Mutation, journaled", (time.process_time() - began) / files * 1e6, "us")
    tree.carry_up()
    tree.commit()
    return tree.kit


def restarted(kit: Kit) -> tuple[Kit, CInode]:
    kit = make_rank(objects=kit.objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    return kit, Tree(kit).find("/d")


def loading(kit: Kit, files: int) -> float:
    kit, inode = restarted(kit)
    began = time.process_time()
    kit.run(lambda: kit.rank.store.all_dirs(inode))
    return (time.process_time() - began) / files * 1e6


def memory(kit: Kit, files: int) -> None:
    kit, inode = restarted(kit)
    gc.collect()
    tracemalloc.start()
    kit.run(lambda: kit.rank.store.all_dirs(inode))
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    say("memory of an inode with its dentry", used / files, "bytes")
    say("  as memory_used() has it", kit.rank.store.memory_used() / files, "bytes")


def memory_of_directories(count: int) -> None:
    tree = Tree(make_rank())
    for i in range(count):
        tree.mkdir(f"/dir{i:06d}")
    tree.carry_up()
    tree.commit()
    kit = make_rank(objects=tree.kit.objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    gc.collect()
    tracemalloc.start()
    Tree(kit).load_all()
    kit.objecter.requests.clear()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    say("memory of an empty directory", used / count, "bytes")
    say("  as memory_used() has it", kit.rank.store.memory_used() / count, "bytes")


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    kit = filled(files)
    values = kit.objecter.omap(f"{1 << 40:x}.00000000")
    data = list(values.values())
    say("bytes of a dentry", sum(map(len, data)) / len(data), "bytes")
    timed("decode a dentry", len(data), lambda: [decode_dentry(one) for one in data])
    directory = next(iter(Tree(kit).find("/d").dirs.values()))
    dentries = list(directory.items.values())
    timed("encode a dentry", len(data), lambda: [encode_dentry(dn) for dn in dentries])
    say("load an inode into the cache", min(loading(kit, files) for _ in range(3)), "us")
    memory(kit, files)
    memory_of_directories(files // 10)
    kit, inode = restarted(kit)
    kit.run(lambda: kit.rank.store.all_dirs(inode))
    names = [f"file{i:06d}" for i in range(files)]
    timed("look up a name", files, lambda: [kit.rank.store.lookup(inode, n) for n in names])
    kit.rank.store.trim(0)
    began, before = time.process_time(), kit.rank.store.trimmer.trimmed
    while kit.rank.store.trim(0) or kit.rank.cache.num_dentries > 10:
        pass
    went = kit.rank.store.trimmer.trimmed - before
    say("trim a dentry", (time.process_time() - began) / max(went, 1) * 1e6, "us")


if __name__ == "__main__":
    main()
