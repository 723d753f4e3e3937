"""What our cache has stored, a stock ceph-mds takes up: it scrubs clean and shows what we meant."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.real.admin import SYSTEM_PYTHON, asok
from tests.real.cache_kit import flush, loaded, split_wide, stock_tree, store_everything
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.unit.rank_kit import Kit
from tests.unit.tree_kit import FIRST_INO, Tree

from mdsdaemon.rank.cache.fragtree import WHOLE
from mdsdaemon.rank.cache.inode import CInode

FIRST_OF_OURS = FIRST_INO + (1 << 24)
FS = "taken"
UNACCOUNTED = FIRST_OF_OURS + (1 << 25)
"""Beyond the ten million numbers that ceph-mds passes over when its journal was reset."""
LISTER = Path(__file__).parent / "tree_lister.py"


async def change(kit: Kit, cluster: RealCluster) -> Tree:
    """Changes of every kind in the tree that a stock ceph-mds has made."""
    pools = kit.rank.mdsmap.data_pools
    tree = Tree(kit, FIRST_OF_OURS, pool=pools[0])
    fragmenter = kit.rank.store.fragmenter
    assert await fragmenter.merge(tree.find("/wide"), WHOLE)
    for i in range(0, 300, 3):
        tree.unlink(f"/wide/file{i:03d}")
    tree.mkdir("/ours")
    tree.mkdir("/ours/below")
    for i in range(200):
        tree.create(f"/ours/below/n{i}", 0)
    directory = tree.find("/ours/below").dirs[WHOLE]
    assert await fragmenter.split(directory, 3)
    tree.rename("/moved/d1", "/ours/d1")
    tree.rename("/links/one", "/ours/one")
    tree.rename("/wide/two", "/ours/two")
    tree.link("/ours/below/n7", "/links/seventh")
    tree.symlink("/links/ours", "../ours")
    tree.setxattr("/moved/here", "user.ours", b"\0\1\2")
    tree.unlink("/links/fifo")
    for i in range(0, 200, 2):
        tree.rename(f"/ours/below/n{i}", f"/deep/d0/n{i}")
    tree.next_ino = UNACCOUNTED
    tree.create("/ours/unaccounted")
    tree.carry_up()
    tree.check_sums()
    return tree


def expected(tree: Tree) -> dict[str, dict[str, Any]]:
    """By path, what a client has to see."""
    found: dict[str, dict[str, Any]] = {}

    def go(inode: CInode, path: str) -> None:
        stored = inode.inode
        one: dict[str, Any] = {
            "ino": inode.ino,
            "mode": stored.mode,
            "nlink": stored.nlink if not inode.is_dir else None,
            "uid": stored.uid,
            "gid": stored.gid,
            "link": inode.symlink or None,
            "size": stored.size if inode.is_file else None,
            "xattrs": {k: v.hex() for k, v in inode.xattrs.items()},
        }
        if inode.is_dir:
            one["rbytes"] = stored.rstat.rbytes
            one["rfiles"], one["rsubdirs"] = stored.rstat.rfiles, stored.rstat.rsubdirs
            one["files"], one["subdirs"] = stored.dirstat.nfiles, stored.dirstat.nsubdirs
        found[path or "/"] = one
        for directory in inode.dirs.values():
            for name, dn in directory.items.items():
                target = dn.inode or (tree.rank.cache.get_inode(dn.remote_ino))
                if not dn.is_null and target is not None:
                    go(target, f"{path}/{name}")

    go(tree.kit.root, "")
    return found


def take_over(cluster: RealCluster, name: str) -> Mds:
    """A stock ceph-mds on what is stored, with an empty journal."""
    cluster.mon("fs fail", fs_name=FS)
    for mds in cluster.mdss:
        mds.kill()
    tool = ("cephfs-journal-tool", "-c", str(cluster.conf), "--rank", f"{FS}:0")
    cluster.run(*tool, "journal", "reset")
    # our inodes have numbers that nobody took from the table
    table = ("cephfs-table-tool", "-c", str(cluster.conf), f"{FS}:0")
    cluster.run(*table, "take_inos", str(FIRST_OF_OURS + 1000))
    cluster.mon("fs set", fs_name=FS, var="joinable", val="true")
    mds = cluster.start_real_mds(name)
    mds.wait_state("up:active", 30)
    return mds


def scrub(mds: Mds) -> None:
    """Everything is checked; nothing may be wrong but the number that nobody took."""
    started = mds.asok("scrub start", path="/", scrubops=["recursive", "force"])
    assert started["return_code"] == 0
    # what has to be found, so that it is known that somebody looked
    wait_for(lambda: f"0x{UNACCOUNTED:x}" in mds.logged(), 60, "the scrub finds something")
    wait_for(
        lambda: "no active scrubs" in json.loads(asok(mds.asok_path, "scrub status"))["status"],
        60,
        "the scrub is over",
    )
    assert mds.asok("damage ls") == []
    bad = [line for line in mds.logged().splitlines() if "ERR]" in line or "bad " in line.lower()]
    assert {line.rpartition(" ")[2] for line in bad} == {f"0x{UNACCOUNTED:x}"}
    assert "wrongly marked free" in bad[0]


def listed(cluster: RealCluster) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [SYSTEM_PYTHON, str(LISTER), str(cluster.conf)],
        stdout=subprocess.PIPE, env=cluster.env, text=True, timeout=60, check=True,
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


async def test_a_stock_mds_takes_up_what_we_have_stored(osd_cluster: RealCluster) -> None:
    with stock_tree(osd_cluster, FS) as (mds, writer):
        split_wide(mds)
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert json.loads(writer.stdout.readline())
        writer.stdin.close()
        assert writer.wait(30) == 0
        wait_for(lambda: mds.asok("session ls") == [], 30, "the client is gone")
        flush(mds)
        osd_cluster.mon("fs fail", fs_name=FS)
        mds.kill()
        async with loaded(osd_cluster, FS) as kit:
            tree = await change(kit, osd_cluster)
            await store_everything(kit)
            wanted = expected(tree)
        mds = take_over(osd_cluster, "b")
        scrub(mds)
        found = listed(osd_cluster)
        assert {k: (found.get(k), v) for k, v in wanted.items() if found.get(k) != v} == {}
        assert set(found) == set(wanted)
        assert len(found) > 400
