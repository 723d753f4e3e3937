"""Listing a pool beside librados, and how fast small writes are beside `rados bench`."""

from __future__ import annotations

import time

import pytest
import trio
from tests.real.cluster import RealCluster
from tests.real.objecter_kit import Op, a_pool, objecter

from mdsdaemon.clients.objecter_listing import ALL_NAMESPACES, list_objects

LIMIT = 60


@pytest.mark.parametrize("depth", [1, 64])
async def test_speed_of_4k_writes(osd_cluster: RealCluster, depth: int) -> None:
    """No threshold but sanity: the figures are for people (-s)."""
    count = 300 if depth == 1 else 2000
    with trio.fail_after(LIMIT), a_pool(osd_cluster, f"speed{depth}"):
        async with objecter(osd_cluster) as me:
            pool, data, times = me.pool(f"speed{depth}"), bytes(4096), []
            numbers = iter(range(count))

            async def worker() -> None:
                for n in numbers:
                    begin = time.perf_counter()
                    op = Op().write(n % 1024 * 4096, data)
                    await me.objecter.operate(pool, f"o{n % 64}", op)
                    times.append(time.perf_counter() - begin)

            await me.objecter.operate(pool, "o0", Op().create())
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for _ in range(depth):
                    nursery.start_soon(worker)
            took = time.perf_counter() - began
            times.sort()
            print(  # noqa: T201
                f"\n4 KiB writes, {depth} at once: {count / took:.0f}/s,"
                f" median {times[count // 2] * 1e3:.2f} ms,"
                f" 99 % {times[count * 99 // 100] * 1e3:.2f} ms"
            )
            assert len(times) == count
        bench = ("rados", "-c", str(osd_cluster.conf), "-p", f"speed{depth}", "bench", "2", "write")
        text = osd_cluster.run(*bench, "-b", "4096", "-t", str(depth))
        found = [s for s in text.splitlines() if s.startswith(("Average IOPS", "Average Latency"))]
        print("rados bench:", *(" ".join(line.split()) for line in found))  # noqa: T201


async def test_listing(osd_cluster: RealCluster) -> None:
    with trio.fail_after(LIMIT), a_pool(osd_cluster, "listed") as peer:
        async with objecter(osd_cluster) as me:
            pool, names = me.pool("listed"), [f"object-{n}" for n in range(100)]
            for n, name in enumerate(names):
                space = "blue" if n % 10 == 0 else ""
                await me.objecter.operate(pool, name, Op().create(), namespace=space)
            every = [
                [o.nspace, o.oid]
                async for o in list_objects(me.objecter, pool, namespace=ALL_NAMESPACES, at_once=7)
            ]
            assert sorted(every) == peer.names()
            blue = [o.oid async for o in list_objects(me.objecter, pool, namespace="blue")]
            assert sorted(blue) == sorted(names[::10])
