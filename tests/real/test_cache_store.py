"""The cache's store and a stock ceph-mds on the same objects: what it wrote, and what we write."""

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
from mdsdaemon.encoding import decode, encode
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.commands.dumps import dump_stored
from mdsdaemon.rank.waiting import until_done
from mdsdaemon.types.dentry import PrimaryDentry
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.inode import InodeStore
from mdsdaemon.types.stats import FNode

WRITER = Path(__file__).parent / "tree_writer.py"


# -- reading the cluster's objects -------------------------------------------------------------


@asynccontextmanager
async def a_rank(cluster: RealCluster, fs: str = "cephfs", **options: str) -> AsyncIterator[Kit]:
    """A rank of our own on the file system's pools; it holds no rank in the map."""
    async with objecter(cluster) as client:
        names = (f"{fs}.meta", f"{fs}.data", f"{fs}.extra")
        pools = tuple(pool for name in names if (pool := client.pool(name)) >= 0)
        kit = make_rank(real=client.objecter, pools=pools, root=False, **options)
        async with trio.open_nursery() as nursery:
            kit.rank.nursery = nursery
            nursery.start_soon(kit.rank.queue.run)
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
async def loaded(cluster: RealCluster) -> AsyncIterator[Kit]:
    async with a_rank(cluster) as kit:
        for base in (1, 0x100):
            await load_all(kit, kit.rank.cache.inodes[base])
        assert kit.rank.damage.dump() == []
        assert not [text for level, text in kit.rank.services.clog.said if level != "info"]
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
def stock_tree(cluster: RealCluster) -> Iterator[tuple[Mds, subprocess.Popen[str]]]:
    """A file system filled by `tree_writer`, whose client is still there."""
    cluster.new_fs()
    cluster.mon("osd pool create", pool="cephfs.extra", pg_num=1)
    cluster.mon("fs add_data_pool", fs_name="cephfs", pool="cephfs.extra")
    cluster.mon("fs set", fs_name="cephfs", var="allow_new_snaps", val="true")
    mds = cluster.start_real_mds("a")
    mds.wait_state("up:active", 20)
    with subprocess.Popen(
        [SYSTEM_PYTHON, str(WRITER), str(cluster.conf)],
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
    """/wide becomes four fragments, one of them two."""
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


STORED = (
    *("ino", "rdev", "ctime", "btime", "mode", "uid", "gid", "nlink", "dir_layout", "layout"),
    *("old_pools", "size", "truncate_seq", "truncate_size", "truncate_from", "truncate_pending"),
    *("mtime", "atime", "time_warp_seq", "change_attr", "export_pin", "dirstat", "rstat"),
    *("accounted_rstat", "version", "file_data_version", "xattr_version", "backtrace_version"),
    *("stray_prior_path", "max_size_ever", "quota", "client_ranges"),
)


def stored(inode: CInode) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(dump_stored(inode.inode)))
    return {key: shown[key] for key in STORED}


def differences(ours: CInode, theirs: dict[str, Any]) -> list[str]:
    """What of a stock ceph-mds' dump of an inode is not what we have."""
    mine = stored(ours)
    wrong = [f"{k}: {v} is {theirs[k]}" for k, v in mine.items() if theirs[k] != v]
    if theirs["symlink"] != ours.symlink:
        wrong.append(f"symlink: {ours.symlink}")
    xattrs = {one["key"]: one["val"].encode("utf-8", "surrogateescape") for one in theirs["xattrs"]}
    if xattrs != ours.xattrs:
        wrong.append(f"xattrs: {ours.xattrs}")
    splits = {one["frag"]: one["children"] for one in theirs["dirfragtree"]["splits"]}
    if splits != {str(frag): bits for frag, bits in ours.dirfragtree.splits.items()}:
        wrong.append(f"fragments: {ours.dirfragtree}")
    olds = {one["last"]: one["first"] for one in theirs["old_inodes"]}
    if olds != {last: old.first for last, old in ours.old_inodes.items()}:
        wrong.append(f"old inodes: {ours.old_inodes}")
    if theirs["oldest_snap"] != ours.oldest_snap:
        wrong.append(f"oldest_snap: {ours.oldest_snap}")
    for frag in theirs.get("dirfrags", []):
        name = frag["dirfrag"].partition(".")[2] or "*"
        here = next((one for f, one in ours.dirs.items() if str(f) == name), None)
        if here is None:
            wrong.append(f"no fragment {frag['dirfrag']}")
            continue
        names = {dn["path"].rpartition("/")[2]: dn for dn in frag["dentries"]}
        live = {n: dn for n, dn in names.items() if dn["is_primary"] or dn["is_remote"]}
        mine_too = {dn.name for dn in here.all_items() if not dn.is_null}
        if mine_too != set(live):
            wrong.append(f"{frag['dirfrag']}: {mine_too ^ set(live)}")
        if here.fnode.version != int(frag["version"]):
            wrong.append(f"{frag['dirfrag']}: version {here.fnode.version} is {frag['version']}")
    return wrong


# -- tests -------------------------------------------------------------------------------------


async def test_loads_all_that_a_stock_mds_has_written(osd_cluster: RealCluster) -> None:
    """Every field of every inode is what ceph-mds tells of it."""
    with stock_tree(osd_cluster) as (mds, _):
        split_wide(mds)
        theirs = flush(mds)
        async with loaded(osd_cluster) as kit:
            cache = kit.rank.cache
            wrong = []
            for one in theirs:
                # the dump does not tell which snapshot an inode is of
                same = [inode for inode in cache.snap_inodes.values() if inode.ino == one["ino"]]
                same += [cache.inodes[one["ino"]]] if one["ino"] in cache.inodes else []
                found = [differences(inode, one) for inode in same]
                if [] not in found:
                    wrong.append((one["ino"], found))
            assert wrong == []
            assert {*cache.inodes} | {ino for ino, _ in cache.snap_inodes} == {
                one["ino"] for one in theirs
            }
            assert len(cache) > 350
            assert cache.snap_inodes
            wide = await until_done(lambda: kit.rank.store.lookup(kit.root, "wide"))
            assert wide is not None
            assert wide.inode is not None
            assert sorted(str(frag) for frag in wide.inode.dirs) == [
                "00*", "010*", "011*", "10*", "11*",
            ]  # fmt: skip
            assert sum(len(one.items) for one in wide.inode.dirs.values()) == 301


async def test_creates_what_a_stock_mds_creates(osd_cluster: RealCluster) -> None:
    """Object by object, byte by byte, but for times."""
    for name in "fresh.meta", "fresh.data":
        osd_cluster.mon("osd pool create", pool=name, pg_num=1)
    async with objecter(osd_cluster) as client:
        await client.objecter.wait_for_latest_map()
        pools = (client.pool("fresh.meta"), client.pool("fresh.data"))
        kit = make_rank(real=client.objecter, pools=pools)
        names = await store_everything(kit)
        ours = {name: await timeless(client, pools[0], name) for name in names}
        for name in names:
            await client.objecter.operate(pools[0], name, ObjectOperation().remove())
        osd_cluster.new_fs("fresh")
        osd_cluster.start_real_mds("a").wait_state("up:active", 20)
        for name in names:
            assert await timeless(client, pools[0], name) == ours[name], name
        assert len(names) == 14


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


async def timeless(client: ObjecterClient, pool: int, name: str) -> list[Any]:
    """All that an object holds, with all times zero."""
    op = ObjectOperation()
    data, xattrs = op.read(0, 0), op.getxattrs()
    done = await client.objecter.operate(pool, name, op)
    header, values = await omap(client, pool, name)
    found: list[Any] = [done[xattrs], without_times(FNode, header) if header else b""]
    if done[data]:
        magic, _, store = done[data].partition(b"v011")
        found += [magic, without_times(InodeStore, store)]
    for key, value in values.items():
        found += [key, value[:9], without_times(PrimaryDentry, value[9:])]
    return found


def without_times(kind: type[Any], data: bytes) -> bytes:
    value = decode(kind, data)
    assert encode(kind, value, FEATURES_PACIFIC) == data
    parts = [value.rstat, value.accounted_rstat] if kind is FNode else []
    if kind is not FNode:
        inode = (value.store if kind is PrimaryDentry else value).inode
        parts = [inode, inode.rstat, inode.accounted_rstat]
    for part in parts:
        for when in ("ctime", "mtime", "btime", "rctime"):
            if hasattr(part, when):
                setattr(part, when, 0)
    return encode(kind, value, FEATURES_PACIFIC)
