"""One metadata server daemon inside a Trio program.

    python examples/embed_one.py --conf /etc/ceph/ceph.conf --name a [--seconds 10]

Joins as a standby, prints what the monitors know, and leaves.
"""

# ruff: noqa: T201 -- an example talks to who runs it

from __future__ import annotations

import argparse

import trio

import mdsdaemon


async def main(conf: str, name: str, seconds: float) -> None:
    config = mdsdaemon.load_config(["-i", name, "-c", conf])
    # Leaving open_mds says goodbye to the monitors; the nursery then waits for the daemon's end.
    async with trio.open_nursery() as nursery, mdsdaemon.open_mds(config) as mds:
        with trio.fail_after(30):
            await nursery.start(mds.run)
            await mds.wait_for_state("up:standby")
        print(f"mds.{mds.name} is up:standby as gid {mds.gid}")
        status = await mds.command('{"prefix": "status", "format": "json"}')
        print(status.out.decode())
        await trio.sleep(seconds)
    print(f"mds.{mds.name} has left: {mds.outcome}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conf", required=True, help="ceph.conf of the cluster")
    parser.add_argument("--name", default="a", help="the daemon's name, which has a key")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long to stay")
    args = parser.parse_args()
    trio.run(main, args.conf, args.name, args.seconds)
