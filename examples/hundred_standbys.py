"""A hundred standby daemons in one process.

    python examples/hundred_standbys.py --conf /etc/ceph/ceph.conf --name a --count 100

All of them use the key of mds.NAME and are called NAME-0, NAME-1, …: the monitors ask for a key
that exists, not for one per daemon. Prints how long it took, and memory per daemon.
"""

# ruff: noqa: T201 -- an example talks to who runs it

from __future__ import annotations

import argparse
import logging
import resource

import trio

import mdsdaemon


def resident() -> int:
    """Bytes of memory of this process."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


async def one(conf: str, key: str, name: str, ready: trio.MemorySendChannel[str]) -> None:
    # The daemon authenticates with the key of `key`, and is called `name` in the map.
    config = mdsdaemon.load_config(["-i", key, "-c", conf])
    async with (
        trio.open_nursery() as nursery,
        mdsdaemon.open_mds(config, name=name, admin_socket=False) as mds,
    ):
        await nursery.start(mds.run)
        await mds.wait_for_state("up:standby")
        await ready.send(mds.name)
        await mds.wait_ended()


async def main(conf: str, key: str, count: int, seconds: float) -> None:
    before, began = resident(), trio.current_time()
    send, receive = trio.open_memory_channel[str](0)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, conf, key, f"{key}-{number}", send)
        with trio.fail_after(120):
            for _ in range(count):
                await receive.receive()
        took = trio.current_time() - began
        each = (resident() - before) / count / 1024
        print(f"{count} daemons are up:standby after {took:.1f} s, {each:.0f} KiB each")
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conf", required=True, help="ceph.conf of the cluster")
    parser.add_argument("--name", default="a", help="whose key to use")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long to stay")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    trio.run(main, args.conf, args.name, args.count, args.seconds)
