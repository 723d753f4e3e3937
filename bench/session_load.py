"""Many clients in one process, which open their sessions all at once: CONF NUMBER.

It prints `"ready"` when all have been let in by the monitor; told to go (a line), the seconds until
all sessions are open; when its input ends it closes them.
"""

from __future__ import annotations

import json
import sys

import trio
from tests.real.mini_client import MiniClient, mini_client

from mdsdaemon.config import load_config

AT_A_TIME = 32


def say(what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 -- that is how it answers


class Crowd:
    """The clients, each in a task of its own."""

    def __init__(self, conf: str, number: int) -> None:
        config = load_config(["-n", "client.admin", "-c", conf], {})
        self._options = {name: config.get_str(name) for name in ("mon_host", "fsid", "keyring")}
        self.number = number
        self.clients: list[MiniClient] = []
        self._joining = trio.Semaphore(AT_A_TIME)
        self._news = trio.lowlevel.ParkingLot()
        self.over = trio.Event()

    async def one(self) -> None:
        await self._joining.acquire()
        async with mini_client(self._options, open_session=False) as client:
            self._joining.release()
            self.clients.append(client)
            self._news.unpark_all()
            await self.over.wait()

    async def all_there(self) -> None:
        while len(self.clients) < self.number:
            await self._news.park()


async def line() -> str:
    """One of the standard input."""
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


async def main(conf: str, number: int) -> None:
    crowd = Crowd(conf, number)
    async with trio.open_nursery() as nursery:
        for _ in range(number):
            nursery.start_soon(crowd.one)
        await crowd.all_there()
        say("ready")
        await line()
        begun = trio.current_time()
        async with trio.open_nursery() as together:
            for client in crowd.clients:
                together.start_soon(client.open)
        say(trio.current_time() - begun)
        await line()
        crowd.over.set()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
