"""A rank of our own beside a stock ceph-mds: on the same objects, without a place in the map."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
from tests.real.admin import SYSTEM_PYTHON, asok
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.objecter_kit import ObjecterClient, objecter
from tests.unit.rank_kit import Kit, make_rank

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.waiting import until_done

WRITER = Path(__file__).parent / "tree_writer.py"


# -- reading the cluster's objects -------------------------------------------------------------


@asynccontextmanager
async def a_rank(cluster: RealCluster, fs: str, **options: Any) -> AsyncIterator[Kit]:
    """A rank of our own on the file system's pools; it holds no rank in the map."""
    async with objecter(cluster) as client:
        names = (f"{fs}.meta", f"{fs}.data", f"{fs}.extra")
        pools = tuple(pool for name in names if (pool := client.pool(name)) >= 0)
        kit = make_rank(real=client.objecter, pools=pools, root=False, **options)
        async with trio.open_nursery() as nursery:
            kit.rank.nursery = nursery
            nursery.start_soon(kit.rank.queue.run)
            nursery.start_soon(kit.rank.leisure.run)
            await kit.rank.store.load_base()
            yield kit
            nursery.cancel_scope.cancel()


async def load_all(kit: Kit, inode: CInode) -> None:
    """Everything below a directory."""
    with trio.fail_after(60):
        for directory in await until_done(lambda: kit.rank.store.all_dirs(inode)):
            for dn in list(directory.items.values()):
                if dn.inode is not None and dn.inode.is_dir:
                    await load_all(kit, dn.inode)


@asynccontextmanager
async def loaded(cluster: RealCluster, fs: str) -> AsyncIterator[Kit]:
    """A rank with the whole tree in its cache, and no damage."""
    async with a_rank(cluster, fs) as kit:
        for base in (1, 0x100):
            await load_all(kit, kit.rank.cache.inodes[base])
        assert kit.rank.damage.dump() == []
        assert not [text for level, text in kit.said if level != "info"]
        yield kit


async def omap(client: ObjecterClient, pool: int, name: str) -> tuple[bytes, dict[str, bytes]]:
    found: dict[str, bytes] = {}
    while True:
        op = ObjectOperation()
        header, part = op.omap_get_header(), op.omap_get_vals(next(reversed(found), ""))
        done = await client.objecter.operate(pool, name, op)
        found |= done[part].vals
        if not done[part].more:
            return done[header], found


# -- a stock ceph-mds and its tree -------------------------------------------------------------


@contextmanager
def stock_tree(cluster: RealCluster, fs: str) -> Iterator[tuple[Mds, subprocess.Popen[str]]]:
    """A new file system filled by `tree_writer`, whose client is still there.

    Pools of file systems that were removed keep their objects: each needs a name of its own.
    """
    cluster.new_fs(fs)
    cluster.mon("osd pool create", pool=f"{fs}.extra", pg_num=1)
    cluster.mon("fs add_data_pool", fs_name=fs, pool=f"{fs}.extra")
    cluster.mon("fs set", fs_name=fs, var="allow_new_snaps", val="true")
    mds = cluster.start_real_mds("a")
    mds.wait_state("up:active", 20)
    with subprocess.Popen(
        [SYSTEM_PYTHON, str(WRITER), str(cluster.conf), fs],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=cluster.env,
        text=True,
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            yield mds, writer
        finally:
            writer.kill()


def split_wide(mds: Mds) -> None:
    """/wide becomes four fragments, one of them two, and stays so."""
    mds.asok("config set", var="mds_bal_merge_size", val=["0"])
    for frag, bits, count in ("0/0", 2, 4), ("400000/2", 1, 5):

        def is_split(frag: str = frag, bits: int = bits, count: int = count) -> bool:
            # refused while an earlier split is not quite over
            asok(mds.asok_path, "dirfrag split", path="/wide", frag=frag, bits=bits)
            return len(mds.asok("dirfrag ls", path="/wide")) == count

        wait_for(is_split, 10, f"/wide has {count} fragments")


def flush(mds: Mds) -> list[dict[str, Any]]:
    """Everything is stored, sums too, which takes some rounds; the dump of all inodes."""

    def clean() -> list[dict[str, Any]]:
        assert mds.asok("flush journal")["return_code"] == 0
        shown = all_inodes(mds)
        stirring = {"dirty", "dirtyrstat", "dirtyparent"}
        return [] if any(stirring & {*one["states"]} for one in shown) else shown

    return wait_for(clean, 30, "nothing is dirty", every=0.2)


def all_inodes(mds: Mds) -> list[dict[str, Any]]:
    """What ceph-mds tells of all inodes in its cache, those of snapshots among them."""
    found: list[dict[str, Any]] = []
    for root in "/", "~mdsdir":
        shown = asok(mds.asok_path, "dump tree", root=root, format="json")
        found += json.loads(shown.decode("utf-8", "surrogateescape"))
    return found


async def store_everything(kit: Kit) -> list[str]:
    """Commit what is dirty in the first segment; the objects that were written."""
    segment, store = kit.mdlog.segment, kit.rank.store
    names = [one.object_name for one in segment.dirty_dirs]
    names += [f"{one.ino:x}.00000000.inode" for one in segment.dirty_bases]
    for directory in list(segment.dirty_dirs):
        await store.commit_dir(directory)
    for inode in list(segment.dirty_bases):
        await store.commit_base(inode)
    for inode in list(segment.dirty_backtraces):
        await store.write_backtrace(inode)
    assert segment.is_clean()
    return sorted(names)
