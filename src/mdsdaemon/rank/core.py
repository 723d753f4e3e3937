"""RankCore: the parts of a rank, and what they all ask of it.

The parts know each other through this object only. Each is made by `MDSRank`; a test makes those
that it needs.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.counters import RankCounters
from mdsdaemon.rank.leisure import Leisure
from mdsdaemon.rank.waiting import RunQueue

if TYPE_CHECKING:
    from mdsdaemon.clients.objecter import Objecter
    from mdsdaemon.config import Config
    from mdsdaemon.host import Host
    from mdsdaemon.maps.mds_map import MDSMap
    from mdsdaemon.rank.cache.cache import MDCache
    from mdsdaemon.rank.cache.store import CacheStore
    from mdsdaemon.rank.damage import DamageTable
    from mdsdaemon.rank.interface import RankServices
    from mdsdaemon.rank.locks.locker import Locker
    from mdsdaemon.rank.log.mdlog import MDLog
    from mdsdaemon.rank.optracker import OpTracker
    from mdsdaemon.rank.recovery import RecoveryQueue
    from mdsdaemon.rank.server.server import Server
    from mdsdaemon.rank.sessions.sessions import Sessions
    from mdsdaemon.rank.snap.snaps import Snaps
    from mdsdaemon.rank.strays import StrayManager
    from mdsdaemon.rank.tables.inotable import InoTable
    from mdsdaemon.rank.tables.openfiles import OpenFileTable
    from mdsdaemon.rank.tables.purge_queue import PurgeQueue
    from mdsdaemon.rank.tables.sessionmap import SessionMapStore
    from mdsdaemon.rank.truncate import Truncator


class RankCore(ABC):
    """What belongs to a rank.

    Attributes:
        whoami: the rank's number.
        queue: whose time has come (see `waiting`).
        leisure: what nobody waits for.
        state: of the newest map.
        incarnation: how many have held the rank.
        read_only: nothing may be changed any more.
        leaving: the daemon is about to end or respawn: start nothing.
        osd_epoch_barrier: no client may use new caps before it has this OSD map.
        active: opens when the rank becomes active.
        tables: inotable, sessionmap, snaptable by their names in segments.
        counters: performance counters.
        truncator, recovery: cutting off files' data, finding out their sizes.
        objecter: requests to RADOS, from the daemon's own messenger.
        mdlog: the journal. cache: the tree. store: bringing the tree in and out of RADOS.
        inotable, sessionmap, openfiles, purge_queue: tables.
        sessions: of clients. snaps: snapshots and their realms. strays: what is unlinked.
        locker: capabilities and locks. server: clients' requests.
        damage: what could not be read. optracker: operations under way.
    """

    objecter: Objecter
    mdlog: MDLog
    cache: MDCache
    store: CacheStore
    inotable: InoTable
    sessionmap: SessionMapStore
    openfiles: OpenFileTable
    purge_queue: PurgeQueue
    sessions: Sessions
    snaps: Snaps
    strays: StrayManager
    locker: Locker
    truncator: Truncator
    recovery: RecoveryQueue
    server: Server
    damage: DamageTable
    optracker: OpTracker

    def __init__(self, whoami: int, services: RankServices) -> None:
        self.whoami = whoami
        self.services = services
        self.queue = RunQueue()
        self.leisure = Leisure(self.end_of_dispatch, self._lacks_room)
        self.state = 0
        self.incarnation = 0
        self.read_only = False
        self.leaving = False
        self.osd_epoch_barrier = 0
        self.active = self.queue.gate()
        self.tables: dict[str, Any] = {}
        self.counters = RankCounters(self)

    @property
    def config(self) -> Config:
        return self.services.config

    @property
    def host(self) -> Host:
        return self.services.host

    @property
    def log(self) -> logging.Logger:
        return self.services.log

    @property
    def mdsmap(self) -> MDSMap:
        """The newest."""
        return self.services.mdsmap()

    @property
    def metadata_pool(self) -> int:
        return self.mdsmap.metadata_pool

    @property
    def default_data_pool(self) -> int:
        """Where files go that no layout sends elsewhere."""
        return self.mdsmap.data_pools[0]

    def now(self) -> int:
        """The wall clock, nanoseconds since the epoch."""
        return round(self.host.wall() * 1e9)

    def is_active(self) -> bool:
        """Serving clients: only then may the tree be changed for them."""
        return self.state == State.ACTIVE

    def is_serving(self) -> bool:
        """Open to clients: their sessions and what they hold are looked after."""
        return self.state in (State.CLIENTREPLAY, State.ACTIVE, State.STOPPING)

    def is_any_replay(self) -> bool:
        """Reading the journal, for good or following another daemon."""
        return self.state in (State.REPLAY, State.STANDBY_REPLAY)

    def set_osd_epoch_barrier(self, epoch: int) -> None:
        """Clients may use new caps from this OSD map on: earlier ones lack a blocklist entry."""
        self.log.info("set_osd_epoch_barrier: epoch=%d", epoch)
        self.osd_epoch_barrier = epoch

    def end_of_dispatch(self) -> None:
        """A message, or what followed a reply of RADOS, is dealt with: run what became possible,
        and write what was journaled if somebody waits for it.
        """
        self.queue.drain()
        self.mdlog.end_of_dispatch()

    def _lacks_room(self) -> bool:
        """The cache is full, or segments of the journal are to go: nothing may be put off."""
        return bool(self.mdlog.expiry.expiring) or self.store.is_full()

    # -- what MDSRank does -------------------------------------------------------------------

    @abstractmethod
    def spawn(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Start a task in the rank's nursery; what it raises ends the daemon."""

    @abstractmethod
    def request_state(self, state: int) -> None:
        """Ask the monitors for this state; it begins when a map has it."""

    @abstractmethod
    def when_mdsmap(self, epoch: int, callback: Callable[[], None]) -> None:
        """Call this when the map has this epoch; at once if it has."""

    @abstractmethod
    def damaged(self, what: str) -> None:
        """This cannot be read or contradicts itself: say so to the monitors, then respawn."""

    @abstractmethod
    def handle_write_error(self, error: OSError) -> None:
        """RADOS refused a write: respawn when fenced, else as mds_action_on_write_error says."""

    @abstractmethod
    def force_readonly(self, why: str) -> None:
        """From now on nothing is changed; clients are told."""
