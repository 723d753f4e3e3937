"""Snapshots of a whole cluster: what comes back, how quickly, and at what price in memory."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mdsdaemon.cluster.cluster import Cluster, open_cluster
from mdsdaemon.embedded import osd_maps


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


async def test_only_its_own(tmp_path: Path) -> None:
    async with running(mds=0) as cluster, running(mds=0) as other:
        snapshot = await cluster.snapshot()
        with pytest.raises(ValueError, match="another cluster"):
            await other.restore(snapshot)


async def test_milliseconds(tmp_path: Path) -> None:
    """The first calls too."""
    async with running() as cluster:
        took: dict[str, float] = {}
        for name in "snapshot", "reset", "restore":
            begun = time.perf_counter()
            if name == "snapshot":
                snapshot = await cluster.snapshot()
            elif name == "reset":
                await cluster.reset()
            else:
                await cluster.restore(snapshot)
            took[name] = time.perf_counter() - begun
    assert max(took.values()) < 0.1, took


async def test_a_hundred_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same contents each time, and no growth in memory."""
    # of the past, 500 maps are kept: too many to reach them here
    monkeypatch.setattr(osd_maps, "KEPT", 50)
    settings = {"mon_max_mdsmap_epochs": "50", "mon_min_osdmap_epochs": "50"}
    async with running(settings=settings) as cluster:
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
