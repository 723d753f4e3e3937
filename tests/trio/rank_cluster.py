"""One-process clusters on virtual time for the tests of ranks, and what these do to them.

No client is needed: changes are made through the rank's own mutations, objects are spoilt in the
store itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from mdsdaemon.cluster.cluster import Cluster, open_cluster
from mdsdaemon.daemon.embed import MDS
from mdsdaemon.host import Host
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.mds_rank import MDSRank
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.waiting import until_done
from mdsdaemon.types.inode import Inode

START = 1_700_000_000.0
META = "cephfs.cephfs.meta"


@asynccontextmanager
async def serving(
    network: MemoryNetwork | None = None, **options: Any
) -> AsyncIterator[tuple[Cluster, MDS]]:
    """A cluster whose first daemon serves the file system `cephfs`."""
    host = Host.seeded(1, lambda: START + trio.current_time())
    options.setdefault("fs", ["cephfs"])
    async with (
        trio.open_nursery() as nursery,
        open_cluster(host=host, network=network or MemoryNetwork(seed=1), **options) as cluster,
    ):
        with trio.fail_after(120):
            await nursery.start(cluster.run)
        yield cluster, await holder(cluster)


async def holder(cluster: Cluster, *, not_gid: int = 0) -> MDS:
    """The daemon that is active."""
    with trio.fail_after(180):
        while True:
            for name in list(cluster.mds):
                mds = cluster.mds[name]
                if mds.gid != not_gid and is_active(mds):
                    return mds
            await trio.sleep(0.1)


def is_active(mds: MDS) -> bool:
    """Whether a daemon serves."""
    return isinstance(mds.rank, MDSRank) and mds.rank.is_active()


def rank_of(mds: MDS) -> MDSRank:
    assert isinstance(mds.rank, MDSRank)
    return mds.rank


async def make(rank: MDSRank, name: str, mode: int = 0o40755) -> CInode:
    """A directory (or file) in the root, on disk in the journal when this returns."""
    root = rank.cache.root
    assert root is not None
    dn = await until_done(lambda: rank.store.lookup(root, name))
    if dn is None:
        dn = rank.cache.add_dentry(rank.store.dir_for(root, name), name)
    assert dn.is_null
    mut = Mutation(rank, "mkdir", stamp=rank.now())
    ino = rank.inotable.take_ino(mut, None)
    is_dir = mode & 0o170000 == 0o040000
    stored = Inode(ino=ino, mode=mode, nlink=1, xattr_version=1, truncate_size=2**64 - 1)
    stored.ctime = stored.mtime = stored.btime = stored.rstat.rctime = rank.now()
    if is_dir:
        stored.dir_layout.dir_hash = 2
        stored.rstat.rsubdirs = 1
    else:
        stored.rstat.rfiles = 1
        stored.layout = root.inode.layout
    inode = rank.cache.add_inode(CInode(ino, stored))
    mut.link_primary(dn, inode)
    mut.backtrace(inode)
    if is_dir:
        mut.new_dir(rank.cache.add_dir(inode))
    end = mut.submit()
    rank.end_of_dispatch()
    await rank.mdlog.wait_safe(end)
    return inode


async def names(rank: MDSRank) -> list[str]:
    """What is in the root."""
    root = rank.cache.root
    assert root is not None
    dirs = await until_done(lambda: rank.store.all_dirs(root))
    return sorted(n for d in dirs for n, dn in d.items.items() if not dn.is_null)


async def ask(mds: MDS, prefix: str, **args: Any) -> Any:
    """The answer to a command of the daemon."""
    result = await mds.command(json.dumps({"prefix": prefix, "format": "json", **args}))
    assert result.r == 0, result
    return json.loads(result.out) if result.out else None


def pool_objects(cluster: Cluster, name: str = META) -> dict[str, Any]:
    """The objects of a pool by name, as the store has them; to be spoilt."""
    osd_map = cluster.osd.engine.osd_map
    (pool,) = (number for number, text in osd_map.client.pool_name.items() if text == name)
    store = cluster.osd.engine.pools[pool]
    return {key[2]: state for key, state in store.objects.items()}


def remove_object(cluster: Cluster, oid: str, name: str = META) -> None:
    """Take an object out of the store."""
    osd_map = cluster.osd.engine.osd_map
    (pool,) = (number for number, text in osd_map.client.pool_name.items() if text == name)
    objects = cluster.osd.engine.pools[pool].objects
    (key,) = (key for key in objects if key[2] == oid)
    del objects[key]


async def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    """Wait for a condition."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 -- virtual time
            await trio.sleep(0.05)
