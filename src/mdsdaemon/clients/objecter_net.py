"""The objecter's part of the network: the messenger, the monitors, time.

`Objecter` is what the rest of the daemon uses of it.

Behaviour: ceph/ceph, src/osdc/Objecter.cc (Pacific)
"""

from __future__ import annotations

import errno
import logging
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import trio

from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.objecter_counters import ObjecterCounters
from mdsdaemon.clients.objecter_dump import dump_requests
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_session import PendingOp
from mdsdaemon.clients.objecter_state import ObjecterState
from mdsdaemon.clients.subscriptions import CEPH_SUBSCRIBE_ONETIME
from mdsdaemon.config import Config
from mdsdaemon.host import Host
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.messages.base import Message, payload_summary
from mdsdaemon.messages.osd import MOSDBackoff, MOSDMap, MOSDOpReply, MWatchNotify
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.counters import add_throttle_counters
from mdsdaemon.net.dispatcher import DaemonFault, Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.throttle import Throttle
from mdsdaemon.perf import PerfRegistry
from mdsdaemon.types.entity import MON, OSD, EntityAddrVec

_OPTIONS = (
    "objecter_inflight_op_bytes",
    "objecter_inflight_ops",
    "objecter_tick_interval",
    "objecter_timeout",
    "osd_client_op_priority",
    "rados_osd_op_timeout",
)


class MonitorClient(Protocol):
    """What the objecter needs of a `MonClient`."""

    @property
    def fsid(self) -> uuid.UUID: ...
    def sub_want(self, what: str, start: int, flags: int = 0) -> bool: ...
    def renew_subs(self) -> None: ...
    def sub_got(self, what: str, epoch: int) -> None: ...
    async def get_version(self, what: str) -> tuple[int, int]: ...


class ObjecterNet(Dispatcher):
    """See the module.

    Args:
        follow_maps: always ask for the next OSDMap, so that being fenced and full pools are
            noticed even when nothing is written; otherwise only when one is needed.

    Attributes:
        state: the pure part.
        on_map: called with each newest map.
        on_blocklisted: called once, when a map shows that our address is fenced; every request
            has ended with EBLOCKLISTED then, and all later ones will.
    """

    def __init__(
        self,
        *,
        config: Config,
        messenger: Messenger,
        monc: MonitorClient,
        host: Host,
        perf: PerfRegistry | None = None,
        log: logging.Logger | None = None,
        follow_maps: bool = True,
    ) -> None:
        self.log = log or logging.getLogger("mdsdaemon.objecter")
        self.on_map: list[Callable[[OSDMap], None]] = []
        self.on_blocklisted: Callable[[], None] | None = None
        self.op_throttle_bytes = Throttle("objecter_bytes", 0)
        self.op_throttle_ops = Throttle("objecter_ops", 0)
        self._config = config
        self._messenger = messenger
        self._monc = monc
        self._host = host
        self._perf = perf
        self._follow = follow_maps
        self._counters = ObjecterCounters()
        self.state = ObjecterState(self, self._counters, self.log)
        self._cons: dict[int, Connection] = {}
        self._nursery: trio.Nursery | None = None
        self._unchecked: list[PendingOp] = []
        self._checking = False
        self._draining = False
        self._told_blocklisted = False
        self._osd_timeout = 0.0
        self._wakes_at = float("inf")
        self._rescheduled = trio.lowlevel.ParkingLot()
        self._map_changed = trio.lowlevel.ParkingLot()
        self._configure()

    # -- running -----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; requests that are under way end with ESHUTDOWN then.

        The messenger has to be running.
        """
        if self._perf is not None:
            self._perf.add(self._counters.group)
            add_throttle_counters(self._perf, self.op_throttle_bytes)
            add_throttle_counters(self._perf, self.op_throttle_ops)
        self._messenger.add_dispatcher_head(self)
        unobserve = self._config.observe(_OPTIONS, lambda _: self._configure())
        try:
            async with trio.open_nursery() as self._nursery:
                self.state.request_map()
                task_status.started()
                while True:
                    self._wakes_at = self.state.next_deadline()
                    with trio.move_on_at(self._wakes_at):
                        await self._rescheduled.park()
                        continue
                    self.state.tick(trio.current_time())
                    self._drain()
        finally:
            unobserve()
            self._messenger.remove_dispatcher(self)
            if self._perf is not None:
                self._perf.remove(self._counters.group)
            self.shutdown()

    def shutdown(self) -> None:
        """Close the connections to OSDs and end all requests with ESHUTDOWN; idempotent."""
        self.state.stop()
        self._map_changed.unpark_all()
        self._drain()

    def _configure(self) -> None:
        config, state = self._config, self.state
        self.op_throttle_bytes.set_maximum(config.get_int("objecter_inflight_op_bytes"))
        self.op_throttle_ops.set_maximum(config.get_int("objecter_inflight_ops"))
        state.tick_interval = config.get_float("objecter_tick_interval")
        state.timeout = config.get_float("objecter_timeout")
        state.op_priority = config.get_int("osd_client_op_priority")
        self._osd_timeout = config.get_float("rados_osd_op_timeout")

    # -- what it knows -----------------------------------------------------------------------

    @property
    def osd_map(self) -> OSDMap:
        """The newest; not to be changed, and not to be kept: the next one is the same object."""
        return self.state.maps.osd_map

    @property
    def epoch(self) -> int:
        """Of the map; 0 before the first."""
        return self.state.maps.epoch

    @property
    def blocklisted(self) -> bool:
        """Our address was fenced."""
        return self.state.blocklisted

    def set_client_incarnation(self, incarnation: int) -> None:
        """Our part in the ids of requests: ceph-mds takes the incarnation of its rank."""
        self.state.client_inc = incarnation

    def set_honor_pool_full(self, honor: bool) -> None:
        """Whether writes wait while their pool is full; if not, they are executed by force."""
        self.state.maps.honor_pool_full = honor

    def dump_requests(self) -> dict[str, Any]:
        """For the command `objecter_requests`."""
        return dump_requests(self.state, trio.current_time())

    def ages(self, now: float) -> list[float]:
        """For each request under way, the seconds since it was submitted."""
        sessions = (self.state.homeless, *self.state.sessions.values())
        return [now - op.since for session in sessions for op in session.ops.values()]

    # -- maps --------------------------------------------------------------------------------

    def maybe_request_map(self) -> None:
        """Ask for the next map."""
        self.state.request_map()

    def set_epoch_barrier(self, epoch: int) -> None:
        """Send nothing that is submitted from now on before this epoch is known."""
        self.state.set_epoch_barrier(epoch)

    async def wait_for_map(self, epoch: int) -> None:
        """Wait until the map has at least this epoch.

        Raises RadosError: ESHUTDOWN, the objecter has stopped.
        """
        while self.epoch < epoch or self.state.maps.spoilt:
            if self.state.stopped:
                raise RadosError(errno.ESHUTDOWN, f"osdmap e{epoch}")
            self.state.request_map()
            await self._map_changed.park()

    async def wait_for_latest_map(self) -> int:
        """Wait until the map is the newest that the monitors had when this was called.

        Raises RadosError: as `wait_for_map`; MonClientError: the monitors cannot be asked.
        """
        newest, _ = await self._monc.get_version("osdmap")
        await self.wait_for_map(newest)
        return newest

    def _drain(self) -> None:
        """Run the callbacks of requests that have ended, now that the state is whole."""
        if self._draining:
            return
        self._draining = True
        bug: Exception | None = None
        finished = self.state.finished
        try:
            while finished:
                on_finish, outcome = finished.popleft()
                try:
                    on_finish(outcome)
                except Exception as exc:
                    bug = exc
        finally:
            self._draining = False
        if bug is not None:
            raise DaemonFault(f"a bug in what follows a request to RADOS: {bug!r}") from bug

    # -- the Dispatcher ----------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        match msg:
            case MOSDOpReply():
                osd = self._osd_of(msg.connection)
                if osd is not None:
                    self.state.handle_reply(osd, msg, trio.current_time())
                    self._drain()
                return True
            case MOSDBackoff():
                osd = self._osd_of(msg.connection)
                if osd is not None:
                    self.state.handle_backoff(osd, msg, trio.current_time())
                return True
            case MWatchNotify():
                self.log.debug("dropping %s: nothing is watched", payload_summary(msg))
                return True
            case MOSDMap():
                con = msg.connection
                if con.peer_type == MON or self._osd_of(con) is not None:
                    self._handle_osd_map(msg)
        return False

    def _osd_of(self, con: Connection) -> int | None:
        """The OSD whose present connection this is."""
        osd = con.session
        return osd if isinstance(osd, int) and self._cons.get(osd) is con else None

    def _handle_osd_map(self, msg: MOSDMap) -> None:
        if msg.fsid != self._monc.fsid:
            self.log.warning("ignoring an OSDMap of cluster %s, ours is %s", msg.fsid,
                             self._monc.fsid)  # fmt: skip
            return
        before = self.epoch
        self.state.handle_osd_map(msg, trio.current_time())
        if self._follow:
            self.state.request_map()
        self._drain()
        if self.state.maps.spoilt or self.epoch == before:
            return
        if self.blocklisted and not self._told_blocklisted:
            self._told_blocklisted = True
            if self.on_blocklisted is not None:
                self.on_blocklisted()
        for callback in self.on_map:
            callback(self.osd_map)
        self._map_changed.unpark_all()

    def ms_handle_reset(self, con: Connection) -> bool:
        osd = self._osd_of(con)
        if osd is None:
            return False
        self.log.info("the connection to osd.%d broke", osd)
        self.state.handle_reset(osd, trio.current_time())
        self._rescheduled.unpark_all()
        return True

    def ms_handle_remote_reset(self, con: Connection) -> None:
        self.ms_handle_reset(con)

    def ms_handle_refused(self, con: Connection) -> bool:
        osd = self._osd_of(con)
        if osd is not None:
            self.log.info("osd.%d does not listen at %s", osd, con.peer_addrs)
        return osd is not None

    # -- the ObjecterIO ----------------------------------------------------------------------

    def open_session(self, osd: int, addrs: EntityAddrVec) -> None:
        self.close_session(osd)
        con = self._cons[osd] = self._messenger.connect_to(OSD, addrs)
        con.session = osd

    def close_session(self, osd: int) -> None:
        con = self._cons.pop(osd, None)
        if con is not None:
            con.session = None
            con.mark_down()

    def send(self, osd: int, msg: Message) -> None:
        self._cons[osd].send_message(msg)

    def want_map(self, start: int, onetime: bool) -> None:
        if self._monc.sub_want("osdmap", start, CEPH_SUBSCRIBE_ONETIME if onetime else 0):
            self._monc.renew_subs()

    def got_map(self, epoch: int) -> None:
        self._monc.sub_got("osdmap", epoch)

    def my_addrs(self) -> EntityAddrVec:
        return self._messenger.my_addrs

    def check_version(self, op: PendingOp) -> None:
        self._unchecked.append(op)
        if not self._checking and self._nursery is not None:
            self._checking = True
            self._nursery.start_soon(self._check_versions, name="newest osdmap")

    async def _check_versions(self) -> None:
        """One question at a time, for all requests that wait when it is asked."""
        try:
            while self._unchecked:
                ops, self._unchecked = self._unchecked, []
                newest, _ = await self._monc.get_version("osdmap")
                for op in ops:
                    self.state.version_known(op, newest)
                self._drain()
        except MonClientError as exc:
            self.log.warning("the newest osdmap is not to be found out: %s", exc)
        finally:
            self._checking = False
