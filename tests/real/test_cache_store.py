"""The cache's store and a stock ceph-mds on the same objects: what it wrote, and what we write."""

from __future__ import annotations

import json
from typing import Any

from tests.real.cache_kit import flush, loaded, omap, split_wide, stock_tree, store_everything
from tests.real.cluster import RealCluster
from tests.real.objecter_kit import ObjecterClient, objecter
from tests.unit.rank_kit import make_rank

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import decode, encode
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.commands.dumps import dump_stored
from mdsdaemon.rank.waiting import until_done
from mdsdaemon.types.dentry import PrimaryDentry
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.inode import InodeStore
from mdsdaemon.types.stats import FNode

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
    with stock_tree(osd_cluster, "stored") as (mds, _):
        split_wide(mds)
        theirs = flush(mds)
        async with loaded(osd_cluster, "stored") as kit:
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
