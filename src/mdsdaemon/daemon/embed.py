"""A daemon inside another Trio program.

    async with trio.open_nursery() as nursery, mdsdaemon.open_mds(config) as mds:
        await nursery.start(mds.run)
        await mds.wait_for_state("up:standby")

No signal handlers and no global state; log, clock and randomness are the host's. A respawn starts
the daemon anew inside `run`, with a new gid and a new nonce. Leaving `open_mds` says goodbye to the
monitors; cancelling `run` does not, to the monitors it looks like a crash.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from mdsdaemon.config import Config
from mdsdaemon.daemon import lifecycle
from mdsdaemon.daemon.assembly import Surroundings, assemble
from mdsdaemon.daemon.default_rank import DEFAULT_RANK
from mdsdaemon.daemon.mds_daemon import MDSDaemon
from mdsdaemon.daemon.outcome import End, Outcome, plain_errors
from mdsdaemon.host import Host
from mdsdaemon.log import daemon_logger
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.formatter import Result
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.net.stream import Transport
from mdsdaemon.rank.interface import Rank, RankFactory
from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.types.entity import EntityAddr

LEAVE_TIMEOUT = 8.0
"""Seconds that the end of `open_mds` waits for the daemon to leave before it is cancelled."""
RESPAWN_PAUSE = (0.05, 5.0)
"""Seconds before a respawn: the first one, and the most when one follows the other."""
SETTLED = 30.0
"""Seconds of life after which a respawn counts as the first one again."""


class MDS:
    """One daemon through all of its lives. Made by `open_mds`.

    Attributes:
        lives: how many instances there have been; 1 after the start, 2 after a respawn.
        outcome: how the last one ended, None while one runs.
    """

    def __init__(self, around: Surroundings, *, respawn: bool = True) -> None:
        self.around = around
        self.lives = 0
        self.outcome: Outcome | None = None
        self._respawn = respawn
        self._started = False
        self._mds: MDSDaemon | None = None
        self._scope: trio.CancelScope | None = None
        self._stop_asked: str | None = None
        self._ended = trio.Event()
        self._at_once = False
        self._new_life = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<MDS {self.name} gid {self.gid} {state_name(self.state)} life {self.lives}>"

    # -- what it is -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The daemon's name in the map, `a` of mds.a."""
        return self.around.name or self.around.config.id

    @property
    def config(self) -> Config:
        return self.around.config

    @property
    def daemon(self) -> MDSDaemon:
        """The present instance. RuntimeError when there is none."""
        if self._mds is None:
            raise RuntimeError(f"mds.{self.name} is not running")
        return self._mds

    @property
    def gid(self) -> int:
        """The present global id; 0 without a session."""
        return 0 if self._mds is None else self._mds.gid

    @property
    def state(self) -> int:
        """Our state in the newest map; `State.NULL` when it does not have us, or we are leaving."""
        mds = self._mds
        return State.NULL if mds is None or mds.outcome is not None else mds.state

    @property
    def mdsmap(self) -> MDSMap:
        """The newest map."""
        return MDSMap() if self._mds is None else self._mds.mdsmap

    @property
    def rank(self) -> Rank | None:
        """The object that holds our rank, if we have one."""
        return None if self._mds is None else self._mds.mds_rank

    @property
    def is_leaving(self) -> bool:
        """It was asked to leave, or is about to end for another reason."""
        leaving = self._mds is not None and self._mds.outcome is not None
        return self._stop_asked is not None or leaving or self._ended.is_set()

    def is_healthy(self) -> bool:
        """No part of it is overdue (see `HeartbeatMap`)."""
        return self._mds is None or self._mds.heartbeat.is_healthy(trio.current_time())

    # -- running ----------------------------------------------------------------------------

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> Outcome:
        """Live, and live again after each respawn, until suicide. Returns the last outcome.

        `started()` is called when the first life has joined the cluster: authenticated, beacons on
        their way.

        Raises:
            FatalError: a life could not bind or join.
            DaemonFault: a bug.
        """
        if self._started:
            raise RuntimeError("run() is called once; a respawn happens inside of it")
        self._started = True
        self.config.running = True
        try:
            with trio.CancelScope() as self._scope:
                return await self._run(task_status)
            return Outcome(End.EXIT, "cancelled", clean=False)
        finally:
            self._mds = None
            self._ended.set()
            self._new_life.unpark_all()

    async def _run(self, task_status: trio.TaskStatus[None]) -> Outcome:
        pause, longest = RESPAWN_PAUSE
        while True:
            began = trio.current_time()
            outcome = await self._live(task_status if not self.lives else trio.TASK_STATUS_IGNORED)
            self.outcome = outcome
            if outcome.end is End.EXIT or not self._respawn or self._stop_asked is not None:
                return outcome
            if self._at_once or trio.current_time() - began > SETTLED:
                pause = RESPAWN_PAUSE[0]
            if self._at_once:
                self._at_once = False
                continue
            await trio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _live(self, task_status: trio.TaskStatus[None]) -> Outcome:
        with plain_errors():
            instance = await assemble(self.around)
        mds = self._mds = instance.mds
        self.lives += 1
        self.outcome = None
        if self._stop_asked is not None:
            mds.suicide(self._stop_asked)
        self._new_life.unpark_all()
        self.around.recorder.record("life", number=self.lives, name=self.name)
        return await lifecycle.run(
            mds, instance.binds, admin_socket=instance.admin_socket, task_status=task_status
        )

    # -- what the host may ask of it --------------------------------------------------------

    def suicide(self, reason: str = "asked by the host") -> None:
        """Leave the cluster and end `run`; returns at once."""
        self._stop_asked = reason
        if self._mds is not None:
            self._mds.suicide(reason)

    def handle_signal(self, signum: int) -> None:
        """SIGINT or SIGTERM: leave."""
        if self._mds is not None:
            self._mds.handle_signal(signum)
        self._stop_asked = f"got signal {signal.Signals(signum).name}"

    def respawn(self, reason: str = "asked by the host", *, at_once: bool = False) -> None:
        """Start a new life; returns at once.

        Lives that end soon are followed by ever longer pauses; not so this one with `at_once`.
        """
        self._at_once = at_once
        self.daemon.respawn(reason)

    async def stop(self) -> Outcome | None:
        """Leave the cluster and wait until `run` has ended."""
        self.suicide()
        if self._started:
            await self._ended.wait()
        return self.outcome

    async def wait_ended(self) -> Outcome | None:
        """Wait until `run` has ended, for whatever reason."""
        await self._ended.wait()
        return self.outcome

    async def command(self, *cmd: str, inbl: bytes = b"") -> Result:
        """Run a command as `ceph tell` does: one JSON object in one or more parts."""
        return await self.daemon.executor.execute(cmd, inbl)

    async def wait_for_state(self, *states: int | str) -> int:
        """Wait until the map has us in one of the states (numbers, or names as "up:standby").

        Bound it with `trio.fail_after`. Raises RuntimeError when `run` ends first.
        """
        wanted = {s if isinstance(s, str) else state_name(s) for s in states}
        while True:
            if state_name(self.state) in wanted:
                return self.state
            if self._ended.is_set():
                raise RuntimeError(f"mds.{self.name} ended before it was {' or '.join(wanted)}")
            await self.wait_for_news()

    async def wait_for_life(self, number: int) -> None:
        """Wait until the `number`-th life has begun; after a respawn that is the second."""
        while self.lives < number:
            if self._ended.is_set():
                raise RuntimeError(f"mds.{self.name} ended in its life number {self.lives}")
            await self._new_life.park()

    async def wait_for_news(self) -> None:
        """Wait for the next MDS map, new life or end."""
        mds = self._mds
        if mds is None or mds.outcome is not None:
            await self._new_life.park()
        else:
            await mds.state_changed.park()

    async def _leave(self) -> None:
        """The end of `open_mds`: go in good order, or be cancelled."""
        if not self._started or self._ended.is_set():
            return
        with trio.move_on_after(LEAVE_TIMEOUT) as scope:
            await self.stop()
        if scope.cancelled_caught and self._scope is not None:
            self._scope.cancel()


@asynccontextmanager
async def open_mds(
    config: Config,
    *,
    name: str = "",
    host: Host | None = None,
    log: logging.Logger | None = None,
    recorder: FlightRecorder | None = None,
    transport: Transport | None = None,
    rank_factory: RankFactory = DEFAULT_RANK,
    admin_socket: bool | None = None,
    binds: Sequence[EntityAddr] | None = None,
    respawn: bool = True,
) -> AsyncIterator[MDS]:
    """A daemon for the length of a block; start its `run` in a nursery around or inside of it.

    Args:
        config: the daemon's own, with `mon_host` and `keyring` at least; its name is the daemon's.
        name: the daemon's name in the map, where it is not that of its key: any number of
            daemons may share a key.
        host: clock and randomness.
        log: parent of the daemon's loggers (`monc`, `ms`, …).
        recorder: takes the events of all lives.
        transport: the network; real sockets when left out.
        rank_factory: makes the object that holds a rank.
        admin_socket: whether to open one; None: only where the option is set.
        binds: addresses to listen at, instead of those that the configuration names.
        respawn: False ends `run` where the daemon would start anew.
    """
    host = host or Host.system()
    around = Surroundings(
        config=config,
        host=host,
        log=log or daemon_logger(f"mds.{name}" if name else config.name),
        name=name,
        # An empty record is false.
        recorder=FlightRecorder(wall=host.wall, name=config.name) if recorder is None else recorder,
        rank_factory=rank_factory,
        admin_socket=admin_socket,
        transport=transport or SocketTransport(),
        binds=None if binds is None else tuple(binds),
    )
    mds = MDS(around, respawn=respawn)
    try:
        yield mds
    finally:
        await mds._leave()
