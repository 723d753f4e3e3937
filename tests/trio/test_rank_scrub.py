"""Scrub on a whole cluster: what it finds wrong, what it mends, and how it is told to wait."""

from __future__ import annotations

import errno
from typing import Any

import trio
from tests.trio.rank_cluster import ask, make, pool_objects, rank_of, serving, until
from trio.testing import MockClock

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.cluster.cluster import Cluster
from mdsdaemon.daemon.embed import MDS
from mdsdaemon.encoding import Str, decode
from mdsdaemon.types.backtrace import Backtrace

FILE = 0o100644


async def scrubbed(mds: MDS, *options: str, path: str = "/", tag: str = "") -> list[Any]:
    """Check everything; the damage that is known then."""
    args: dict[str, Any] = {"path": path, "scrubops": ["recursive", "force", *options]}
    if tag:
        args["tag"] = tag
    started = await ask(mds, "scrub start", **args)
    assert (started["return_code"], started["mode"]) == (0, "asynchronous")
    if tag:
        assert started["scrub_tag"] == tag
    rank = rank_of(mds)
    await until(lambda: rank.scrubstack.is_idle())
    found: list[Any] = await ask(mds, "damage ls")
    return found


def xattrs(cluster: Cluster, oid: str, pool: str) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = pool_objects(cluster, pool)[oid].content.xattrs
    return found


async def test_a_whole_tree_is_whole(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        for number in range(20):
            await make(rank, f"d{number}")
            await make(rank, f"f{number}", FILE)
        assert await scrubbed(mds) == []
        assert await scrubbed(mds, path="~mdsdir") == []
        await ask(mds, "flush journal")
        assert await scrubbed(mds, tag="mine") == []
        dump = (await ask(mds, "perf dump", logger="mds"))["mds"]
        assert dump["scrub_file_inodes"] == 40
        assert dump["scrub_dir_inodes"] >= 42
        assert dump["scrub_set_tag"] == 41
        assert rank.read_only is False


async def test_backtraces(autojump_clock: MockClock) -> None:
    """Spoilt, missing, of another place: noted as damage; repaired they are written anew."""
    async with serving() as (cluster, mds):
        rank = rank_of(mds)
        inodes = [await make(rank, f"d{number}") for number in range(3)]
        assert await scrubbed(mds) == [], "what was never written may be missing"
        await ask(mds, "flush journal")
        objects = [f"{inode.ino:x}.00000000" for inode in inodes]
        meta = "cephfs.cephfs.meta"
        xattrs(cluster, objects[0], meta)[b"parent"] = b"spoilt"
        del xattrs(cluster, objects[1], meta)[b"parent"]
        xattrs(cluster, objects[2], meta)[b"parent"] = xattrs(cluster, "600.00000000", meta)[
            b"parent"
        ]
        found = await scrubbed(mds)
        assert sorted((d["damage_type"], d["ino"]) for d in found) == [
            ("backtrace", inode.ino) for inode in inodes
        ]
        assert {d["path"] for d in found} == {"/d0", "/d1", "/d2"}
        for damage in found:
            await ask(mds, "damage rm", damage_id=damage["id"])
        assert await scrubbed(mds, "repair") == []
        await ask(mds, "flush journal")
        for inode, oid in zip(inodes, objects, strict=True):
            trace = decode(Backtrace, xattrs(cluster, oid, meta)[b"parent"])
            assert (trace.ino, trace.ancestors[0].dirino) == (inode.ino, 1)
        assert await scrubbed(mds) == []


async def test_sums(autojump_clock: MockClock) -> None:
    """Wrong in a fragment, wrong in a directory: seen without a repair, right after one."""
    async with serving() as (_, mds):
        rank = rank_of(mds)
        directory = await make(rank, "d")
        await make(rank, "f", FILE)
        root = rank.cache.root
        assert root is not None
        (frag,) = root.dirs.values()
        frag.fnode.rstat.rfiles += 5
        frag.fnode.fragstat.nfiles += 2
        frag.fnode.accounted_fragstat.nfiles += 2
        frag.fnode.accounted_rstat.rfiles += 5
        root.inode.dirstat.nfiles += 2
        root.inode.rstat.rfiles += 5
        directory.inode.rstat.rbytes += 100
        directory.inode.accounted_rstat.rbytes += 100
        frag.fnode.rstat.rbytes += 100
        frag.fnode.accounted_rstat.rbytes += 100
        root.inode.rstat.rbytes += 100
        await scrubbed(mds)
        assert frag.fnode.rstat.rfiles == 6, "nothing is changed unless it is asked for"
        await scrubbed(mds, "repair")
        await scrubbed(mds, "repair")  # what follows from the first one's repairs
        assert (frag.fnode.rstat.rfiles, frag.fnode.fragstat.nfiles) == (1, 1)
        assert (root.inode.rstat.rfiles, root.inode.dirstat.nfiles) == (1, 1)
        assert (directory.inode.rstat.rbytes, root.inode.rstat.rbytes) == (0, 0)
        counted = rank.counters.cache
        assert counted.get("ireq_fragstats") >= 1
        assert counted.get("ireq_inodestats") >= 1


async def test_what_is_checked_is_not_split(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        for number in range(10):
            await make(rank, f"f{number}", FILE)
        root = rank.cache.root
        assert root is not None
        (whole,) = root.dirs
        go, stack = trio.Event(), rank.scrubstack
        validate = stack._validator.validate

        async def slowly(*args: Any) -> Any:
            await go.wait()
            return await validate(*args)

        stack._validator.validate = slowly  # type: ignore[assignment, method-assign]
        await ask(mds, "scrub start", path="/", scrubops=["recursive", "repair"])
        await trio.sleep(1)
        split = {"path": "/", "frag": "0/0", "bits": 1}
        await ask(mds, "dirfrag split", **split)
        await trio.sleep(10)
        assert [*root.dirs] == [whole]
        go.set()
        await until(lambda: stack.is_idle())
        await ask(mds, "dirfrag split", **split)
        await until(lambda: len(root.dirs) == 2)
        assert await scrubbed(mds) == []


async def test_a_rank_that_is_read_only_mends_nothing(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        await make(rank, "d")
        root = rank.cache.root
        assert root is not None
        (frag,) = root.dirs.values()
        frag.fnode.rstat.rfiles += 5
        events = rank.mdlog.event_seq
        await ask(mds, "force_readonly")
        await scrubbed(mds, "repair")
        assert frag.fnode.rstat.rfiles == 5
        assert rank.mdlog.event_seq == events


async def test_numbers(autojump_clock: MockClock) -> None:
    """An inode whose number is free in the table."""
    async with serving() as (_, mds):
        rank = rank_of(mds)
        inode = await make(rank, "d")
        rank.inotable.free.insert(inode.ino)
        await scrubbed(mds)
        assert rank.inotable.is_marked_free(inode.ino)
        await scrubbed(mds, "repair")
        assert not rank.inotable.is_marked_free(inode.ino)
        dump = (await ask(mds, "perf dump", logger="mds"))["mds"]
        assert dump["scrub_inotable_repaired"] == 1
        rank.inotable.free.insert(inode.ino)

        async def refused() -> None:
            raise RadosError(errno.EROFS, "mds0_inotable")

        rank.inotable.save = refused  # type: ignore[method-assign]
        await scrubbed(mds, "repair")
        assert rank.read_only, "as after other writes that fail"
        assert mds.lives == 1


async def test_told_to_wait(autojump_clock: MockClock) -> None:
    async with serving() as (_, mds):
        rank = rank_of(mds)
        for number in range(30):
            await make(rank, f"d{number}")
        assert (await ask(mds, "scrub pause")) == {"return_code": 0}
        await ask(mds, "scrub start", path="/", scrubops=["recursive"], tag="t")
        status = await ask(mds, "scrub status")
        assert status["status"].startswith("PAUSED (1 inodes")
        assert status["scrubs"] == {"t": {"path": "/", "tag": "t", "options": "recursive"}}
        again = await ask(mds, "scrub start", path="/", scrubops=["recursive"], tag="u")
        assert again == {"return_code": -16}
        assert (await ask(mds, "scrub resume")) == {"return_code": 0}
        await until(lambda: rank.scrubstack.is_idle())
        await ask(mds, "scrub pause")
        await ask(mds, "scrub start", path="/", scrubops=["recursive"])
        assert (await ask(mds, "scrub abort")) == {"return_code": 0}
        assert len(rank.scrubstack._stack) == 0
        await ask(mds, "scrub resume")
        await until(lambda: rank.scrubstack.is_idle())
        assert all(inode.pins == 0 for inode in rank.cache.inodes.values())


async def test_tags_lie_with_the_objects(autojump_clock: MockClock) -> None:
    async with serving() as (cluster, mds):
        inode = await make(rank_of(mds), "d")
        await ask(mds, "flush journal")
        await ask(mds, "tag path", path="/", tag="seen")
        await until(lambda: rank_of(mds).scrubstack.is_idle())
        held = xattrs(cluster, f"{inode.ino:x}.00000000", "cephfs.cephfs.meta")
        assert decode(Str, held[b"scrub_tag"]) == "seen"
