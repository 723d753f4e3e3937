"""The rank interface: exactly what a daemon asks of the object that holds (or follows) a rank.

A rank's state changes are synchronous: the daemon's dispatch calls `ms_dispatch`, `handle_mds_map`
and `tick` from its own tasks, and the rank's awaiting happens in `run`. An embedder hands a
`RankFactory` to the daemon to put a rank of its own there.

Behaviour: ceph/ceph, src/mds/MDSRank.h, MDSRankDispatcher (Pacific)
"""

# A rank overrides what concerns it; the defaults do nothing.
# ruff: noqa: B027

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import trio

from mdsdaemon.messages.cmdparse import CmdMap
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.records import frozen
from mdsdaemon.types.health import MDSHealthMetric

if TYPE_CHECKING:
    from mdsdaemon.clients.log_client import LogChannel
    from mdsdaemon.clients.mgr_client import MgrClient
    from mdsdaemon.clients.mon_client import MonClient
    from mdsdaemon.config import Config
    from mdsdaemon.host import Host
    from mdsdaemon.maps.mds_map import MDSMap
    from mdsdaemon.messages.base import Message
    from mdsdaemon.messages.pool import MRemoveSnaps
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.perf import PerfRegistry
    from mdsdaemon.rank.session import Session
    from mdsdaemon.recorder import FlightRecorder
    from mdsdaemon.types.entity import PeerName


class RankBeacon(Protocol):
    """What a rank may do with the daemon's beacon."""

    @property
    def want_state(self) -> int: ...

    def set_want_state(self, mdsmap: MDSMap, state: int) -> None:
        """Beacons ask for `state` from now on, as of this map."""

    def send(self) -> None:
        """Send a beacon now, not only when the next one is due."""

    def notify_health(self, metrics: Sequence[MDSHealthMetric]) -> None:
        """The complaints of the next beacons; empty when there are none."""

    @property
    def last_laggy(self) -> float | None:
        """When, by Trio's clock, it was laggy for the last time; None: never."""

    def is_laggy(self) -> bool:
        """Whether the monitors have not answered for longer than mds_beacon_grace."""

    async def send_and_wait(self, duration: float) -> bool:
        """Send, and wait up to 0.95 * `duration` seconds; True when a monitor has answered."""


@frozen
class RankServices:
    """What a rank is given by its daemon. All of it belongs to the daemon's lifetime."""

    name: str
    gid: int
    config: Config
    host: Host
    log: logging.Logger
    clog: LogChannel
    recorder: FlightRecorder
    perf: PerfRegistry
    messenger: Messenger
    monc: MonClient
    mgrc: MgrClient
    beacon: RankBeacon
    mdsmap: Callable[[], MDSMap]
    """The newest map."""
    respawn: Callable[[str], None]
    """Start the daemon anew, for this reason. Returns; the rank must do nothing more."""
    suicide: Callable[[str], None]
    """Leave the cluster, for this reason. Returns; the rank must do nothing more."""
    is_leaving: Callable[[], bool] = lambda: False
    """Whether the daemon's life is about to end anyhow."""


class Rank(ABC):
    """What holds a rank.

    The order of calls: `init`, then `handle_mds_map` for the same map and every later one; `run`
    is started in the daemon's nursery right after that. At the end `shutdown`, then `run` is
    cancelled. A daemon that has to respawn calls neither.
    """

    serves_files: ClassVar[bool] = False
    """Whether its ranks become up:active; a one-process cluster waits for that, then."""

    whoami: int
    """The rank's number; for standby-replay that of the rank being followed."""

    @abstractmethod
    def init(self) -> None:
        """Set up what the first map needs: dispatchers, counters, observers."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The rank's tasks. Cancelled at the end; an exception out of it ends the daemon."""
        task_status.started()
        await trio.sleep_forever()

    @abstractmethod
    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        """A new map in which the daemon holds this rank, from `source`."""

    def handle_osd_map(self) -> None:
        """A newer OSD map has arrived."""

    def ms_dispatch(self, msg: Message) -> bool:
        """A message that is not the daemon's; True when it was for the rank."""
        return False

    def handle_remove_snaps(self, msg: MRemoveSnaps) -> None:
        """A monitor wants snapshots forgotten."""

    def tick(self) -> None:
        """Called every mds_tick_interval seconds."""

    def handle_asok_command(
        self, prefix: str, cmdmap: CmdMap, inbl: bytes
    ) -> Reply | Awaitable[Reply]:
        """A command of the rank; its arguments fit its description."""
        return Reply.fail(38)

    def dump_status(self) -> dict[str, Any]:
        """What the rank adds to `status`."""
        return {}

    def get_session(self, name: PeerName) -> Session | None:
        """The session that this client has opened."""
        return None

    def kick_waiters_for_any_client_connection(self) -> None:
        """A client has connected that has no session yet."""

    def get_osd_epoch(self) -> int:
        return 0

    def get_osd_epoch_barrier(self) -> int:
        return 0

    async def shutdown(self) -> None:
        """Stop in good order; the daemon bounds the time. The messenger still runs."""

    @abstractmethod
    def is_stopped(self) -> bool:
        """Whether the rank went through stopping to the end."""


RankFactory = Callable[[int, RankServices], Rank]
"""(rank number, services) -> the object; called when the map gives the daemon a rank."""
