"""`python -m bench.stage_clock ARGUMENTS`: the daemon, with a clock at the borders of its stages.

SIGUSR1 begins to count, SIGUSR2 writes what was counted to the file that STAGE_CLOCK names:
`{"total": seconds, "stages": {STAGE: [seconds, passages]}}`. A stage's time is without that of the
stages it calls. The clock is the thread's processor time; looking at it takes some 0.3 µs.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

STAGES: dict[str, tuple[str, ...]] = {
    "bytes to frames": ("msgr2.wire:Wire.receive", "msgr2.wire:Wire.next_event"),
    "frame to message": ("net.connection:decode_message",),
    "dispatchers, flight record": ("net.messenger:Messenger.deliver",),
    "rank: part by type": ("rank.dispatch:RankDispatch.ms_dispatch",),
    "request: path, locks, cache": ("rank.server.server:Server.handle_client_request",),
    "the change: sums, versions": ("rank.mutation:Mutation.settle",),
    "event: dentries encoded": ("rank.blob:BlobBuilder.fill",),
    "event: encoded, appended": ("rank.log.mdlog:MDLog.submit",),
    "reply: made": ("rank.server.server:Server._reply_to_change", "rank.server.server:put_trace"),
    "what became possible": ("rank.waiting:RunQueue.drain",),
    "journal: written": ("rank.log.mdlog:MDLog._write",),
    "objecter: request": ("clients.objecter:Objecter.submit",),
    "objecter: answer": ("clients.objecter_net:ObjecterNet.ms_dispatch",),
    "message queued": ("net.connection:Connection.send_message",),
    "message to bytes": ("net.connection:encode_message",),
    "bytes to frames, checksums": ("msgr2.wire:Wire.data_to_send",),
    "send (kernel)": ("net.socket_transport:SocketStream.send_nowait",),
}
REST = "Trio, epoll, recv, the reader"


class Clock:
    """Time by stage, from `begin` on."""

    def __init__(self) -> None:
        self._now = time.thread_time_ns
        self._open = [REST]
        self.begin()

    def begin(self, *_: object) -> None:
        self.spent = dict.fromkeys((*STAGES, REST), 0)
        self.passages = dict.fromkeys((*STAGES, REST), 0)
        self._last = self._now()

    def _turn(self) -> None:
        now = self._now()
        self.spent[self._open[-1]] += now - self._last
        self._last = now

    def at(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed as this stage."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._turn()
            self._open.append(stage)
            self.passages[stage] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._turn()
                self._open.pop()

        return timed

    def write(self, *_: object) -> None:
        """What was counted; a whole file, whenever it is seen."""
        self._turn()
        stages = {name: [ns / 1e9, self.passages[name]] for name, ns in self.spent.items()}
        path = os.environ["STAGE_CLOCK"]
        with open(path + ".new", "w") as file:
            json.dump({"total": sum(self.spent.values()) / 1e9, "stages": stages}, file)
        os.replace(path + ".new", path)


def install(clock: Clock) -> None:
    """Put the clock around every function of `STAGES`."""
    for stage, places in STAGES.items():
        for place in places:
            module, _, path = place.partition(":")
            owner: Any = importlib.import_module(f"mdsdaemon.{module}")
            *above, name = path.split(".")
            for part in above:
                owner = getattr(owner, part)
            setattr(owner, name, clock.at(stage, getattr(owner, name)))


def main() -> None:
    from mdsdaemon.cli import main as daemon

    clock = Clock()
    install(clock)
    signal.signal(signal.SIGUSR1, clock.begin)
    signal.signal(signal.SIGUSR2, clock.write)
    sys.exit(daemon())


if __name__ == "__main__":
    main()
