"""The beacon's task: tells the monitors every mds_beacon_interval seconds that we live.

The state is in `beacon_state`; here it meets the clock, the monitor session and the messages.

Behaviour: ceph/ceph, src/mds/Beacon.cc (Pacific)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import trio

from mdsdaemon.daemon.beacon_state import RETRY_UNHEALTHY, BeaconState
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import state_name
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.types.entity import MON

if TYPE_CHECKING:
    from mdsdaemon.clients.mon_client import MonClient
    from mdsdaemon.config import Config
    from mdsdaemon.daemon.heartbeat import HeartbeatMap
    from mdsdaemon.messages.base import Message
    from mdsdaemon.recorder import FlightRecorder
    from mdsdaemon.types.health import MDSHealthMetric


MIN_INTERVAL = 0.05
"""Seconds between beacons at the least, whatever is configured."""


class Beacon(Dispatcher):
    """Sends beacons and takes their acknowledgements.

    `sys_info` is asked for as long as the daemon boots.
    """

    def __init__(
        self,
        name: str,
        *,
        config: Config,
        monc: MonClient,
        heartbeat: HeartbeatMap,
        log: logging.Logger,
        recorder: FlightRecorder,
        sys_info: Callable[[], Mapping[str, str]],
    ) -> None:
        self._config = config
        self._monc = monc
        self._heartbeat = heartbeat
        self._log = log
        self._recorder = recorder
        self._sys_info = sys_info
        self._acked = trio.lowlevel.ParkingLot()
        self._finished = trio.Event()
        self.state = BeaconState(
            name,
            interval=max(config.get_float("mds_beacon_interval"), MIN_INTERVAL),
            grace=lambda: config.get_float("mds_beacon_grace"),
        )

    @property
    def want_state(self) -> int:
        return self.state.want_state

    def set_want_state(self, mdsmap: MDSMap, state: int) -> None:
        """Beacons ask for `state` from now on, as of this map."""
        old = self.state.want_state
        if self.state.set_want_state(mdsmap.epoch, state):
            self._log.debug("set_want_state: %s -> %s", state_name(old), state_name(state))
            self._recorder.record("want_state", old=state_name(old), new=state_name(state))

    def notify_mdsmap(self, mdsmap: MDSMap) -> None:
        """Beacons carry this map's epoch from now on."""
        self.state.notify_mdsmap(mdsmap.epoch)

    def notify_health(self, metrics: Sequence[MDSHealthMetric]) -> None:
        """The complaints of the next beacons."""
        self.state.notify_health(metrics)

    def is_laggy(self) -> bool:
        """Whether the monitors have not answered for longer than mds_beacon_grace."""
        now = trio.current_time()
        if now <= self.state.fresh_until:
            return False
        before = self.state.laggy
        laggy = self.state.is_laggy(now)
        if laggy and not before:
            since = self.state.since_acked(now)
            self._log.warning(
                "MDS connection to Monitors appears to be laggy; %s",
                "no beacon acked yet" if since is None else f"{since:g}s since last acked beacon",
            )
        return laggy

    @property
    def last_laggy(self) -> float | None:
        """When the monitors were last heard again after a lag (Trio's clock); None: never."""
        return self.state.last_laggy

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until `shutdown` or cancelled; the first beacon goes out before `started()`."""
        wait = self._pass()
        task_status.started()
        while not self._finished.is_set():
            seq = self.state.last_seq
            with trio.move_on_after(wait):
                await self._finished.wait()
                return
            if self.state.is_waiting_for(seq) and seq == self.state.last_seq and wait > 1e-3:
                self._log.info("missed beacon ack from the monitors (seq %d)", seq)
            wait = self._pass()

    def _pass(self) -> float:
        """Send if it is time; seconds until the next look."""
        wait = self.state.wait_before_send(trio.current_time())
        if wait > 0:
            return wait
        return self.state.interval if self._send() else RETRY_UNHEALTHY

    def shutdown(self) -> None:
        """No regular beacons any more."""
        self._finished.set()

    def send(self) -> None:
        """Send a beacon now."""
        self._send()

    async def send_and_wait(self, duration: float) -> bool:
        """Send, and wait up to 0.95 * `duration` seconds; True when a monitor has answered."""
        self._send()
        seq = self.state.last_seq
        self._log.debug("send_and_wait: awaiting %d for up to %gs", seq, duration)
        with trio.move_on_after(duration * 0.95):
            while self.state.is_waiting_for(seq):
                await self._acked.park()
        return not self.state.is_waiting_for(seq)

    def notify_removed(self) -> None:
        """The map has us no more: whatever was sent last has been answered by that.

        Monitors up to Reef do not acknowledge a goodbye otherwise.
        """
        self.state.seq_stamp.clear()
        self._acked.unpark_all()

    def _send(self) -> bool:
        now = trio.current_time()
        failure = self._config.get_int("heartbeat_inject_failure")
        if failure:
            self._config.set_val("heartbeat_inject_failure", "0")
            self._heartbeat.inject_failure(now + failure)
        if not self._heartbeat.is_healthy(now):
            late = ", ".join(w.name for w in self._heartbeat.unhealthy(now))
            self._log.warning(
                "Skipping beacon heartbeat to monitors (last acked %ss ago); "
                "MDS internal heartbeat is not healthy! (%s)",
                _seconds(self.state.since_acked(now)),
                late or "injected",
            )
            self._recorder.record("heartbeat.unhealthy", workers=late)
            return False
        beacon = self.state.make_beacon(
            now,
            fsid=self._monc.fsid,
            gid=self._monc.global_id,
            fs=self._config.get_str("mds_join_fs"),
            sys_info=self._sys_info,
        )
        self._log.debug("Sending beacon %s seq %d", state_name(beacon.state), beacon.seq)
        self._monc.send_mon_message(beacon)
        return True

    def ms_dispatch(self, msg: Message) -> bool:
        """Every MMDSBeacon is ours; only a monitor's counts."""
        if not isinstance(msg, MMDSBeacon):
            return False
        if msg.connection is None or msg.connection.peer_type == MON:
            self.handle_mds_beacon(msg)
        return True

    def handle_mds_beacon(self, msg: MMDSBeacon) -> None:
        """A monitor acknowledges a beacon by its sequence number."""
        ack = self.state.handle_ack(msg.seq, trio.current_time())
        if ack is None:
            self._log.info(
                "discarding unexpected beacon reply %s seq %d", state_name(msg.state), msg.seq
            )
            return
        self._log.debug(
            "received beacon reply %s seq %d rtt %g", state_name(msg.state), msg.seq, ack.rtt
        )
        if ack.no_longer_laggy:
            self._log.warning(" MDS is no longer laggy")
        self._acked.unpark_all()


def _seconds(since: float | None) -> str:
    return "?" if since is None else f"{since:g}"
