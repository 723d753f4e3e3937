"""Many standbys in one process, as the program of a test: CONF NAME... on the command line.

It prints one line of JSON when the first daemon is up:standby, one when all are, and one at the end
(when its standard input closes): resident bytes, CPU seconds, seconds since the start.
"""

import json
import os
import resource
import sys
import threading
import time
from contextlib import AsyncExitStack

import trio

from mdsdaemon.config import load_config
from mdsdaemon.daemon.embed import MDS, open_mds

_BEGUN = time.monotonic()
KEY = "a"
"""Whose key they use."""
AT_A_TIME = 64
"""So many join together: a process that is busy with a thousand answers none of them in time."""


def tell(phase: str, mdss: list[MDS]) -> None:
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    line = {
        "phase": phase,
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "cpu": usage.ru_utime + usage.ru_stime,
        "seconds": time.monotonic() - _BEGUN,
        "gids": {mds.name: mds.gid for mds in mdss},
        "lives": sum(mds.lives for mds in mdss),
        "threads": threading.active_count(),
    }
    print(json.dumps(line), flush=True)  # noqa: T201


async def main(conf: str, names: list[str]) -> None:
    mdss: list[MDS] = []
    joining = trio.Semaphore(AT_A_TIME)
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:

        async def start(name: str) -> None:
            config = load_config(["-i", KEY, "-c", conf], {})
            mds = await stack.enter_async_context(open_mds(config, name=name, admin_socket=False))
            mdss.append(mds)
            async with joining:
                await nursery.start(mds.run)

        await start(names[0])
        await mdss[0].wait_for_state("up:standby")
        tell("first", mdss)
        async with trio.open_nursery() as together:
            for name in names[1:]:
                together.start_soon(start, name)
        for mds in mdss:
            await mds.wait_for_state("up:standby")
        tell("all", mdss)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        tell("end", mdss)
        nursery.cancel_scope.cancel()


trio.run(main, sys.argv[1], sys.argv[2:])
