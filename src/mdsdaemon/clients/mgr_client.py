"""The manager client: makes the daemon known to the active manager and reports to it.

It follows the mgrmap (the monitor client subscribes), opens a session with the active manager,
reports perf counters every `stats_period` seconds as the manager asks, and says goodbye.

Source of the behaviour: ceph/ceph, src/mgr/MgrClient.cc (Pacific)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import trio

from mdsdaemon.clients.mgr_report import DeclaredCounters
from mdsdaemon.encoding import Map, Str, encode
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.messages.base import payload_summary
from mdsdaemon.messages.mds import MCommand
from mdsdaemon.messages.mgr import (
    DaemonConfig,
    DaemonHealthMetric,
    MMgrClose,
    MMgrConfigure,
    MMgrMap,
    MMgrOpen,
    MMgrReport,
)
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.records import define, field
from mdsdaemon.types.entity import CLIENT, MGR, MON, EntityAddrVec

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.net.options import SupportsRecord
    from mdsdaemon.perf import Entry

FAREWELL = 0.2
"""Seconds at the most that a shutdown waits for the manager's answer to MMgrClose."""


@define(eq=False)
class MgrSession:
    """A connection to the active manager, and what it has been told over it."""

    con: Connection
    addrs: EntityAddrVec
    counters: DeclaredCounters = field(factory=DeclaredCounters)
    config: DaemonConfig | None = None


class MgrClient(Dispatcher):
    """See the module.

    Args:
        name: the daemon's name without its type, "a" of mds.a.
        counters: the perf counters now, asked for at each report (`PerfRegistry.entries`).
        on_map: called with each map's epoch (the subscription moves on).

    Attributes:
        map: the newest mgrmap.
    """

    def __init__(
        self,
        name: str,
        *,
        config: Config,
        messenger: Messenger,
        counters: Callable[[], Iterable[Entry]],
        on_map: Callable[[int], None] | None = None,
        log: logging.Logger | None = None,
        recorder: SupportsRecord | None = None,
    ) -> None:
        self.map = MgrMap()
        self.log = log or logging.getLogger("mdsdaemon.mgrc")
        self._name = name
        self._config = config
        self._messenger = messenger
        self._counters = counters
        self._on_map = on_map
        self._recorder = recorder
        self._session: MgrSession | None = None
        self._period = 0
        self._threshold = 0
        self._last_attempt: float | None = None
        self._reconnect_at = float("inf")
        self._report_at = float("inf")
        self._rescheduled = trio.lowlevel.ParkingLot()
        self._closed = trio.Event()
        self._stopped = False
        self._service_name = ""
        self._metadata: dict[str, str] | None = None
        self._status: dict[str, str] = {}
        self._status_dirty = False
        self._task_status: dict[str, str] = {}
        self._task_status_dirty = False
        self._health: list[DaemonHealthMetric] = []

    @property
    def is_connected(self) -> bool:
        """A session is open or being opened."""
        return self._session is not None

    # -- what is reported ------------------------------------------------------------------

    def service_daemon_register(self, service: str, name: str, metadata: Mapping[str, str]) -> None:
        """Appear as a daemon of `service` in the manager's service map; ValueError: twice."""
        if self._metadata is not None:
            raise ValueError(f"already registered as {self._service_name}.{self._name}")
        self._service_name = service
        self._name = name
        self._metadata = dict(metadata)
        self._status_dirty = True

    def service_daemon_update_status(self, status: Mapping[str, str]) -> None:
        """The status of a registered service daemon, in the next report."""
        self._status = dict(status)
        self._status_dirty = True

    def service_daemon_update_task_status(self, status: Mapping[str, str]) -> None:
        """Tasks under way (task → text), shown by `ceph -s`, in the next report."""
        self._task_status = dict(status)
        self._task_status_dirty = True

    def update_daemon_health(self, metrics: Sequence[DaemonHealthMetric]) -> None:
        """Health metrics, in the next report."""
        self._health = list(metrics)

    # -- running ---------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reconnect and report when it is time, until cancelled."""
        try:
            task_status.started()
            while True:
                with trio.move_on_at(min(self._reconnect_at, self._report_at)):
                    await self._rescheduled.park()
                now = trio.current_time()
                if now >= self._reconnect_at:
                    self._reconnect()
                elif now >= self._report_at:
                    self._send_stats()
        finally:
            self._drop_session()
            self._stopped = True

    async def shutdown(self) -> None:
        """Take leave of the manager: it forgets this daemon. Waits `FAREWELL` s at the most."""
        session = self._session
        self._stopped = True
        if session is None or not session.con.is_connected:
            return
        session.con.send_message(MMgrClose(self._name, self._service_name))
        limit = self._config.get_float("mgr_client_service_daemon_unregister_timeout")
        with trio.move_on_after(min(limit, FAREWELL)):
            await self._closed.wait()
        self._drop_session()

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.con.mark_down()
        self._session = None
        self._period = 0
        self._report_at = self._reconnect_at = float("inf")

    def _reconnect(self) -> None:
        """Leave the session, if any, and open one with the active manager, now or soon."""
        self._drop_session()
        if self._stopped:
            return
        if not self.map.available:
            self.log.debug("no manager is active")
            return
        now = trio.current_time()
        if self._last_attempt is not None:
            when = self._last_attempt + self._config.get_float("mgr_connect_retry_interval")
            if now < when:
                self._reconnect_at = when
                self._rescheduled.unpark_all()
                return
        self._last_attempt = now
        addrs = self.map.active_addrs
        if addrs.msgr2() is None:
            self.log.warning("manager %s has no msgr2 address (%s)", self.map.active_name, addrs)
            return
        self.log.debug("opening a session with mgr.%s at %s", self.map.active_name, addrs)
        self._record("mgr.session", mgr=self.map.active_name)
        self._session = MgrSession(self._messenger.connect_to(MGR, addrs), addrs)
        self._status_dirty = self._metadata is not None
        self._task_status_dirty = True
        if self._messenger.name.type != CLIENT or self._metadata is not None:
            self._send_open(self._session)

    def _send_open(self, session: MgrSession) -> None:
        session.con.send_message(
            MMgrOpen(
                daemon_name=self._name,
                service_name=self._service_name,
                service_daemon=self._metadata is not None,
                daemon_metadata=self._metadata or {},
                daemon_status=self._status if self._metadata is not None else {},
                config_bl=self._changed_config(session),
                config_defaults_bl=encode(Map(Str, Str), dict(self._config.defaults())),
            )
        )

    def _changed_config(self, session: MgrSession) -> bytes:
        """The configuration for `ceph config show`; b"" when the manager has it already."""
        values = {
            name: {int(level): text for level, text in levels.items()}
            for name, levels in self._config.values()
        }
        config = DaemonConfig(values, dict(self._config.ignored_mon_values))
        if config == session.config:
            return b""
        session.config = config
        return encode(DaemonConfig, config)

    def _send_stats(self) -> None:
        session = self._session
        if session is None or not self._period:
            self._report_at = float("inf")
            return
        self._report_at = trio.current_time() + self._period
        self._send_report(session)

    def _send_report(self, session: MgrSession) -> None:
        counters = session.counters.report(self._counters(), self._threshold)
        report = MMgrReport(
            daemon_name=self._name,
            declare_types=counters.declare,
            packed=counters.packed,
            undeclare_types=counters.undeclare,
            service_name=self._service_name,
            daemon_health_metrics=self._health,
            config_bl=self._changed_config(session),
        )
        if self._status_dirty:
            report.daemon_status = self._status
        if self._task_status_dirty:
            report.task_status = self._task_status
        self._status_dirty = self._task_status_dirty = False
        self._health = []
        session.con.send_message(report)

    # -- the Dispatcher ----------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        match msg:
            case MMgrMap():
                if msg.connection.peer_type == MON:
                    self._handle_mgr_map(msg.map)
                else:
                    # It would send us, and all our reports, wherever its sender likes.
                    self.log.warning("filtered out a mgrmap from %s", msg.connection.peer)
            case MMgrConfigure():
                self._handle_configure(msg)
            case MMgrClose():
                if self._session is not None and msg.connection is self._session.con:
                    self._closed.set()
            case MCommand() if msg.connection.peer_type == MGR:
                self.log.info("ignoring a command of the manager")
            case _:
                return False
        return True

    def _handle_mgr_map(self, mgrmap: MgrMap) -> None:
        self.map = mgrmap
        if self._on_map is not None:
            self._on_map(mgrmap.epoch)
        self.log.debug("mgrmap e%d: mgr.%s", mgrmap.epoch, mgrmap.active_name or "none")
        session = self._session
        if session is None or session.addrs != mgrmap.active_addrs:
            self._reconnect()

    def _handle_configure(self, msg: MMgrConfigure) -> None:
        session = self._session
        if session is None or msg.connection is not session.con:
            self.log.debug("dropping %s: not of our session", payload_summary(msg))
            return
        self._threshold = msg.stats_threshold
        starting = not self._period and msg.stats_period
        self._period = msg.stats_period
        if starting:
            self._send_stats()
            self._rescheduled.unpark_all()

    def ms_handle_reset(self, con: Connection) -> bool:
        if self._session is None or self._session.con is not con:
            return False
        self.log.debug("the session with mgr.%s broke", self.map.active_name)
        self._reconnect()
        return True

    def _record(self, kind: str, **fields: object) -> None:
        if self._recorder is not None:
            self._recorder.record(kind, **fields)
