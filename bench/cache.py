"""The cache: what it costs to load, encode, look up, trim and keep an inode.

nox -s bench -- cache        or: python -m bench.cache [--memory]

Processor time, best of three, on the rank of the unit tests; then a directory listed from a cold
cache on a real OSD, by ceph-mds and by ours, and what their processes grow by (if Ceph is here).
"""

import argparse
import gc
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster, missing_programs
from tests.real.daemons import wait_for
from tests.unit.rank_kit import Kit, make_rank
from tests.unit.tree_kit import Tree

from mdsdaemon.rank.cache.dentry_codec import decode_dentry, encode_dentry
from mdsdaemon.rank.cache.inode import CInode

FILES = 20000
FILL = """
import cephfs, sys
fs = cephfs.LibCephFS(conffile=sys.argv[1])
fs.mount()
fs.mkdir("/bench", 0o755)
for n in range(int(sys.argv[2])):
    fs.mknod(f"/bench/file{n:06d}", 0o100644, 0)
fs.unmount()
"""
LIST = """
import cephfs, sys, time
fs = cephfs.LibCephFS(conffile=sys.argv[1])
fs.mount()
began, handle, count = time.monotonic(), fs.opendir("/bench"), 0
while fs.readdir(handle):
    count += 1
print(time.monotonic() - began, count)
fs.closedir(handle)
fs.unmount()
"""


@dataclass(frozen=True)
class Row:
    """One figure."""

    name: str
    value: float
    unit: str


def measure(*, memory_only: bool = False, files: int = FILES) -> list[Row]:
    """All figures."""
    kit, rows = _filled(files)
    rows += _codec(kit) + _loading(kit, files) + _memory(kit, files)
    rows += _memory_of_directories(files // 10) + _trimming(kit, files)
    if not memory_only and not missing_programs():
        rows += _beside(files)
    return rows


def _timed(name: str, count: int, work: Callable[[], object]) -> Row:
    def once() -> float:
        gc.collect()
        began = time.process_time()
        work()
        return time.process_time() - began

    return Row(name, min(once() for _ in range(3)) / count * 1e6, "us")


def _filled(files: int) -> tuple[Kit, list[Row]]:
    tree = Tree(make_rank())
    tree.mkdir("/d")
    began = time.process_time()
    for i in range(files):
        tree.create(f"/d/file{i:06d}", i)
    each = (time.process_time() - began) / files
    tree.carry_up()
    tree.commit()
    return tree.kit, [Row("create: Mutation, journaled and decoded again", each * 1e6, "us")]


def _restarted(kit: Kit) -> tuple[Kit, CInode]:
    kit = make_rank(objects=kit.objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    return kit, Tree(kit).find("/d")


def _codec(kit: Kit) -> list[Row]:
    data = list(kit.objecter.omap(f"{1 << 40:x}.00000000").values())
    dentries = list(next(iter(Tree(kit).find("/d").dirs.values())).items.values())
    return [
        Row("bytes of a dentry", sum(map(len, data)) / len(data), "bytes"),
        _timed("decode a dentry", len(data), lambda: [decode_dentry(one) for one in data]),
        _timed("encode a dentry", len(data), lambda: [encode_dentry(dn) for dn in dentries]),
    ]


def _loading(kit: Kit, files: int) -> list[Row]:
    def once() -> float:
        made, inode = _restarted(kit)
        began = time.process_time()
        made.run(lambda: made.rank.store.all_dirs(inode))
        return time.process_time() - began

    loaded = Row("load an inode into the cache", min(once() for _ in range(3)) / files * 1e6, "us")
    kit, inode = _restarted(kit)
    kit.run(lambda: kit.rank.store.all_dirs(inode))
    names = [f"file{i:06d}" for i in range(files)]
    lookup = kit.rank.store.lookup
    return [loaded, _timed("look up a name", files, lambda: [lookup(inode, n) for n in names])]


def _memory(kit: Kit, files: int) -> list[Row]:
    kit, inode = _restarted(kit)
    used = _traced(lambda: kit.run(lambda: kit.rank.store.all_dirs(inode)))
    return [
        Row("memory of a file's inode with its dentry", used / files, "bytes"),
        Row("  as the limit counts it", kit.rank.store.memory_used() / files, "bytes"),
    ]


def _memory_of_directories(count: int) -> list[Row]:
    tree = Tree(make_rank())
    for i in range(count):
        tree.mkdir(f"/dir{i:06d}")
    tree.carry_up()
    tree.commit()
    kit = make_rank(objects=tree.kit.objecter, root=False)
    kit.trio(kit.rank.store.load_base)

    def load() -> None:
        Tree(kit).load_all()
        kit.objecter.requests.clear()

    return [Row("memory of an empty directory with its fragment", _traced(load) / count, "bytes")]


def _traced(work: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    work()
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used


def _trimming(kit: Kit, files: int) -> list[Row]:
    kit, inode = _restarted(kit)
    kit.run(lambda: kit.rank.store.all_dirs(inode))
    began = time.process_time()
    kit.trio(lambda: kit.rank.store.trim_to(0))
    return [Row("trim a dentry", (time.process_time() - began) / files * 1e6, "us")]


# -- beside ceph-mds ---------------------------------------------------------------------------


def _beside(files: int) -> list[Row]:
    rows: list[Row] = []
    with RealCluster(osd=True) as cluster:
        cluster.new_fs("cache")
        mds = cluster.start_mds("real", "a")
        mds.wait_state("up:active", 30)
        _client(cluster, FILL, str(files))
        mds.asok("flush journal")
        for kind, name in (("real", "b"), ("ours", "c"), ("real", "a"), ("ours", "b")):
            mds.kill()
            cluster.mon("mds fail", role_or_gid=mds.name)
            mds = cluster.start_mds(kind, name)
            mds.wait_state("up:active", 60)
            before = mds.resident()
            seconds = float(_client(cluster, LIST).split()[0])
            wait_for(lambda mds=mds: mds.asok("session ls") == [], 30, "the client is gone")  # type: ignore[misc]
            grown = (mds.resident() - before) / files
            who = "ceph-mds" if kind == "real" else "ours"
            rows.append(Row(f"list {files} names from a cold cache, {who}", seconds, "s"))
            rows.append(Row(f"  the process grows by, for each, {who}", grown, "bytes"))
    return rows


def _client(cluster: RealCluster, program: str, *args: str) -> str:
    argv = [SYSTEM_PYTHON, "-c", program, str(cluster.conf), *args]
    return subprocess.run(
        argv, env=cluster.env, stdout=subprocess.PIPE, text=True, check=True, timeout=600
    ).stdout


# -- showing -----------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """The figures as text."""
    width = max(len(row.name) for row in rows)
    lines = [f"{row.name:{width}}  {row.value:10.2f} {row.unit}" for row in rows]
    return "\n".join(["The cache", *lines])


def as_json(rows: Sequence[Row]) -> object:
    """The figures for a file."""
    return [{"name": row.name, "value": row.value, "unit": row.unit} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cache", description=__doc__)
    parser.add_argument("--memory", action="store_true", help="without a real cluster")
    asked = parser.parse_args()
    sys.stdout.write(table(measure(memory_only=asked.memory)) + "\n")


if __name__ == "__main__":
    main()
