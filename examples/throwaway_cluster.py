"""A whole cluster inside a Trio program: used, changed, and put back as it was.

    python examples/throwaway_cluster.py [--data DIR] [--serve]

Prints where ceph.conf is, makes a pool, goes back to before, and ends; with --serve it waits for
Ctrl-C instead, so that other programs can use the cluster. Nothing is left of it, but in DIR.
"""

# ruff: noqa: T201 -- an example talks to who runs it

from __future__ import annotations

import argparse
import json

import trio

import mdsdaemon


async def pools(cluster: mdsdaemon.Cluster) -> list[str]:
    answer = await cluster.command("osd pool ls", format="json")
    names: list[str] = json.loads(answer.outb)
    return names


async def main(data: str | None, *, serve: bool) -> None:
    async with trio.open_nursery() as nursery, mdsdaemon.open_cluster(data=data) as cluster:
        with trio.fail_after(30):
            await nursery.start(cluster.run)
        print(f"ceph -c {cluster.conf_path} -s")
        if serve:
            await trio.sleep_forever()
        before = await cluster.snapshot()
        await cluster.command("osd pool create", pool="scratch")
        print(f"pools now: {await pools(cluster)}")
        await cluster.restore(before)
        print(f"and as before: {await pools(cluster)}")
        await cluster.mds.add("b")
        await cluster.mds.kill("a")
        print(f"daemons that run: {', '.join(cluster.mds)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", help="folder in which the cluster lives; in memory without it")
    parser.add_argument("--serve", action="store_true", help="wait for Ctrl-C")
    args = parser.parse_args()
    try:
        trio.run(lambda: main(args.data, serve=args.serve))
    except* KeyboardInterrupt:
        print("ended")
