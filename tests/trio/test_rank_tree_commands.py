"""Commands that change or write: fragments split and merged, the cache dropped and dumped."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from tests.trio.rank_cluster import ask, make, pool_objects, rank_of, serving, until
from trio.testing import MockClock

from mdsdaemon.clients.journaler_errors import JournalError

FILE = 0o100644


async def test_split_and_merge(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        for number in range(40):
            await make(rank, f"f{number}", FILE)
        whole = [{"value": 0, "bits": 0, "str": "0/0"}]
        assert await ask(mds, "dirfrag ls", path="/") == whole
        await ask(mds, "dirfrag split", path="/", frag="0/0", bits=1)
        root = rank.cache.root
        assert root is not None
        await until(lambda: len(root.dirs) == 2)
        halves = await ask(mds, "dirfrag ls", path="/")
        assert sorted(h["str"] for h in halves) == ["0/1", "800000/1"]
        await ask(mds, "flush journal")
        assert {"1.01000000", "1.01800000"} <= set(pool_objects(cluster))
        assert sum(d.fnode.fragstat.nfiles for d in root.dirs.values()) == 40
        result = await mds.command(
            json.dumps({"prefix": "dirfrag split", "path": "/", "frag": "0/0", "bits": 1})
        )
        assert "not in cache" in result.error
        assert result.r == 0
        await ask(mds, "dirfrag merge", path="/", frag="0/0")
        await until(lambda: len(root.dirs) == 1)
        assert await ask(mds, "dirfrag ls", path="/") == whole


async def test_drop_and_dump(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        for number in range(20):
            await make(rank, f"d{number}")
        shown = await ask(mds, "dump cache")
        assert {inode["ino"] for inode in shown} >= {1, 0x100, 1 << 40}
        (one,) = [i for i in shown if i["ino"] == 1 << 40]
        assert one["states"] == ["auth", "dirty", "dirtyparent"]
        file = tmp_path / "dump"
        await ask(mds, "dump cache", path=str(file))
        lines = file.read_text().splitlines()
        assert any(line.startswith("[inode 0x1 [...2,head] / auth v") for line in lines)
        assert sum(line.startswith("  [dentry #0x1/d") for line in lines) == 20
        again = await mds.command(json.dumps({"prefix": "dump cache", "path": str(file)}))
        assert again.r == 17, "never over a file; EEXIST, with ceph-mds's sign"
        status = await ask(mds, "cache status")
        assert status["pool"]["items"] > 40
        dropped = await ask(mds, "cache drop")
        assert dropped["trim_cache"]["trimmed"] >= 20
        assert dropped["flush_journal"] == {"return_code": 0, "message": ""}
        assert dropped["cache"]["pool"]["items"] < status["pool"]["items"]
        assert (await mds.command('{"prefix": "dump tree", "root": "/d1"}')).out == b""
        inode = await ask(mds, "dump inode", number=1)
        assert (inode["path"], inode["dirstat"]["num_subdirs"]) == ("", 20)


async def test_one_inode_is_flushed(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        inode = await make(rank, "d")
        assert f"{inode.ino:x}.00000000" not in pool_objects(cluster)
        assert await ask(mds, "flush_path", path="/d") == {"return_code": 0}
        assert inode.backtrace_segment is None
        assert f"{inode.ino:x}.00000000" in pool_objects(cluster)
        root = rank.cache.root
        assert root is not None
        assert not any(d.is_dirty for d in root.dirs.values())
        assert await ask(mds, "flush_path", path="/none") == {"return_code": -2}


async def test_a_journal_that_cannot_be_written(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)

        async def refused(*args: Any) -> None:
            raise JournalError(errno.EROFS, "journal 0x200")

        waiting = rank.mdlog.wait_safe
        rank.mdlog.wait_safe = refused  # type: ignore[assignment, method-assign]
        assert await ask(mds, "flush_path", path="/") == {"return_code": -errno.EROFS}
        rank.mdlog.wait_safe = waiting  # type: ignore[method-assign]
        assert (await ask(mds, "dump_ops_in_flight"))["num_ops"] == 0


async def test_subtrees(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        shown = await ask(mds, "get subtrees")
        assert [(s["dir"]["path"], s["dir"]["dirfrag"], s["auth_first"]) for s in shown] == [
            ("", "0x1", 0),
            ("~mds0", "0x100", 0),
        ]
