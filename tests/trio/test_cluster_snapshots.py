"""Snapshots of a whole cluster: what comes back, how quickly, and at what price in memory."""

from __future__ import annotations

import gc
import json
import os
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.real.osd_script import key_map
from tests.real.raw_osd import RawOSDClient

from mdsdaemon.cluster.cluster import Cluster, open_cluster
from mdsdaemon.embedded import osd_maps
from mdsdaemon.types.osd_op import NO_ARGS, Op, OSDOp

SHORT_PAST = {"mon_max_mdsmap_epochs": "50", "mon_min_osdmap_epochs": "50"}
"""Of the past, 500 maps are kept: too many to reach them here."""


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Cluster]:
    async with trio.open_nursery() as nursery, open_cluster(**options) as cluster:
        with trio.fail_after(30):
            await nursery.start(cluster.run)
        yield cluster


async def plain(cluster: Cluster, prefix: str, **args: Any) -> Any:
    return json.loads((await cluster.command(prefix, format="json", **args)).outb)


async def contents(cluster: Cluster) -> dict[str, Any]:
    """What a snapshot has to bring back, as clients see it."""
    keys = await plain(cluster, "auth ls")
    return {
        "pools": await plain(cluster, "osd pool ls"),
        "keys": {key["entity"]: key for key in keys["auth_dump"]},
        "config": await plain(cluster, "config dump"),
        "kv": await plain(cluster, "config-key dump"),
        "fs": [fs["name"] for fs in await plain(cluster, "fs ls")],
    }


async def change(cluster: Cluster, number: int) -> None:
    await cluster.command("osd pool create", pool=f"pool{number}", pg_num=1)
    await cluster.command("auth get-or-create", entity=f"client.x{number}")
    await cluster.command("config set", who="mds", name="mds_tick_interval", value=f"{number + 1}")
    await cluster.command("config-key set", key=f"k{number}", val="x" * 1000)


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "data"])
async def test_there_and_back(tmp_path: Path, durable: bool) -> None:
    data = tmp_path / "data" if durable else None
    async with running(data=data, mds=1) as cluster:
        initial = await contents(cluster)
        await change(cluster, 1)
        first = await contents(cluster)
        snapshot = await cluster.snapshot()
        await change(cluster, 2)
        await cluster.command("auth rm", entity="client.x1")
        await cluster.restore(snapshot)
        assert await contents(cluster) == first
        await change(cluster, 3)
        await cluster.restore(snapshot)
        assert await contents(cluster) == first
        await cluster.reset()
        assert await contents(cluster) == initial
        await cluster.restore(snapshot)
        assert await contents(cluster) == first
        assert cluster.mds["a"].state != 0
    if durable:
        async with running(data=data) as cluster:
            assert await contents(cluster) == first


Objects = dict[str, tuple[bytes, bytes, bytes]]


async def objects(client: RawOSDClient, pool: int, names: list[str]) -> Objects:
    """Data, xattr and omap of those that are there."""
    found: Objects = {}
    for name in names:
        reply = await client.do(
            pool, name, OSDOp.extent(Op.READ, 0, 1 << 20), OSDOp.xattr(Op.GETXATTR, "x"),
            OSDOp(Op.OMAPGETVALS, 0, NO_ARGS, key_list_after(b"")),
        )  # fmt: skip
        if reply.result >= 0:
            data, xattr, omap = (op.outdata for op in reply.results.ops)
            found[name] = data, xattr, omap
    return found


def key_list_after(key: bytes) -> bytes:
    return struct.pack("<I", len(key)) + key + struct.pack("<QI", 100, 0)


async def store(client: RawOSDClient, pool: int, name: str, text: bytes) -> None:
    reply = await client.do(
        pool, name,
        OSDOp.extent(Op.WRITEFULL, 0, 0, text * 500), OSDOp.xattr(Op.SETXATTR, "x", text),
        OSDOp(Op.OMAPSETVALS, 0, NO_ARGS, key_map({b"k": text, text: b""})),
    )  # fmt: skip
    assert reply.result == 0


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "data"])
async def test_objects_come_back(
    tmp_path: Path, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client changes, makes and deletes objects; they are as they were, and nothing piles up.

    A hundred times in memory, twenty with `data`.
    """
    monkeypatch.setattr(osd_maps, "KEPT", 50)
    names = [f"o{number}" for number in range(12)]
    data = tmp_path / "data" if durable else None
    async with (
        running(data=data, mds=0, settings=SHORT_PAST) as cluster,
        RawOSDClient.connect(cluster.conf_path) as client,
    ):
        await cluster.command("osd pool create", pool="p", pg_num=4)
        pool = await client.pool("p")
        for name in names[:10]:
            await store(client, pool, name, name.encode())
        snapshot = await cluster.snapshot()
        wanted = await objects(client, pool, names)
        assert len(wanted) == 10

        async def newest_map() -> None:
            """Requests on an older one are not answered: a client sends them again."""
            epoch = cluster.monitor.osd.map.epoch
            with trio.fail_after(10):
                await client.wait(lambda: client.osd_map.epoch >= epoch)

        async def cycle(number: int) -> None:
            for name in names[number % 4 :: 3]:
                await store(client, pool, name, b"%d" % number)
            await client.do(pool, names[number % 10], OSDOp(Op.DELETE))
            assert await objects(client, pool, names) != wanted
            await cluster.restore(snapshot)
            await newest_map()
            assert await objects(client, pool, names) == wanted
            if number % 25 == 0:
                await cluster.reset()
                await cluster.restore(snapshot)
                await newest_map()
                assert await objects(client, pool, names) == wanted

        def held() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            for number in range(2 if durable else 50):  # histories reach their length
                await cycle(number)
            before = held()
            for number in range(20 if durable else 100):
                await cycle(number)
            growth = held() - before
        finally:
            tracemalloc.stop()
    # which requests were done is remembered, of 3000 for each placement group
    assert growth < 400 << 10, f"{growth / 100:.0f} bytes a cycle"


async def test_only_its_own(tmp_path: Path) -> None:
    async with running(mds=0) as cluster, running(mds=0) as other:
        snapshot = await cluster.snapshot()
        with pytest.raises(ValueError, match="another cluster"):
            await other.restore(snapshot)


async def test_milliseconds(tmp_path: Path) -> None:
    """The first calls too; CPU time, as other work runs beside."""
    async with running() as cluster:
        took: dict[str, float] = {}
        for name in "snapshot", "reset", "restore":
            begun = time.process_time()
            if name == "snapshot":
                snapshot = await cluster.snapshot()
            elif name == "reset":
                await cluster.reset()
            else:
                await cluster.restore(snapshot)
            took[name] = time.process_time() - begun
    assert max(took.values()) < 0.1, took


async def test_a_hundred_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same contents each time, and no growth in memory."""
    monkeypatch.setattr(osd_maps, "KEPT", 50)
    async with running(settings=SHORT_PAST, mds=0) as cluster:
        initial = await contents(cluster)
        await change(cluster, 0)
        wanted = await contents(cluster)
        snapshot = await cluster.snapshot()

        async def cycle(number: int) -> None:
            await change(cluster, number % 7 + 1)
            await cluster.restore(snapshot)
            assert await contents(cluster) == wanted
            await cluster.reset()
            assert await contents(cluster) == initial
            await cluster.restore(await cluster.snapshot())

        tracemalloc.start()
        try:
            for number in range(30):  # histories reach their length
                await cycle(number)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            for number in range(100):
                await cycle(number)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # a cycle makes more than 10 KiB of maps
    assert after - before < 200 << 10, f"{(after - before) / 100:.0f} bytes a cycle"


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_hundred_times_with_a_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata server begins anew each time, and is active when `restore` returns."""
    monkeypatch.setattr(osd_maps, "KEPT", 50)
    async with running(settings=SHORT_PAST) as cluster:
        assert cluster.serves_files
        await change(cluster, 0)
        snapshot, wanted = await cluster.snapshot(), await contents(cluster)

        async def cycle(number: int) -> None:
            await change(cluster, number % 7 + 1)
            await cluster.restore(snapshot)
            assert await contents(cluster) == wanted
            (served,) = (await plain(cluster, "fs dump"))["filesystems"]
            (info,) = served["mdsmap"]["info"].values()
            assert (info["name"], info["state"]) == ("a", "up:active")

        for number in range(25):
            await cycle(number)
        before = resident()
        for number in range(100):
            await cycle(number)
        growth = resident() - before
    assert growth < 8 << 20, f"{growth / 100:.0f} bytes a cycle"
