"""The beacon as pure state: what the daemon tells the monitors about itself, and when.

Time is always a parameter (`now`, seconds of the daemon's monotonic clock).

Behaviour: ceph/ceph, src/mds/Beacon.cc (Pacific); from Tentacle: the compat set is constant, a
wait without any acknowledgement is noticed.
"""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence

from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_all
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.mds import CEPH_MSG_PRIO_HIGH, MMDSBeacon
from mdsdaemon.records import define, field, frozen
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.health import MDSHealth, MDSHealthMetric

COMPAT: CompatSet = get_compat_set_all()
"""What every beacon claims; a monitor fails a daemon whose set changes."""

RETRY_UNHEALTHY = 0.5
"""Seconds until the next try when a beacon was skipped."""

MAX_UNACKED = 1024
"""Beacons whose answer is still waited for; older ones are forgotten."""


@frozen
class Ack:
    """An acknowledgement that was waited for: round trip in seconds, and whether it ended a lag."""

    seq: int
    rtt: float
    no_longer_laggy: bool


@define(eq=False)
class BeaconState:
    """Sequence numbers, the wanted state, and how long ago a monitor has answered.

    `interval` is read once, as in Ceph; `grace` is asked for anew each time.
    """

    name: str
    interval: float
    grace: Callable[[], float]
    want_state: int = State.BOOT
    epoch: int = 0
    last_seq: int = 0
    seq_stamp: dict[int, float] = field(factory=dict)
    last_send: float | None = None
    last_acked_stamp: float | None = None
    fresh_until: float = -math.inf
    """Until then the last answer is newer than any lag; what `is_laggy` need not be asked."""
    laggy: bool = False
    last_laggy: float | None = None
    health: list[MDSHealthMetric] = field(factory=list)

    def set_want_state(self, epoch: int, state: int) -> bool:
        """Ask for `state` from now on, as of map `epoch` (both change together: the monitor
        heeds a state only from who knows the present map). True when the state is another one.
        """
        self.notify_mdsmap(epoch)
        changed = self.want_state != state
        self.want_state = state
        return changed

    def notify_mdsmap(self, epoch: int) -> None:
        """The daemon has this epoch of the map."""
        if epoch < self.epoch:
            raise ValueError(f"MDS map epoch {epoch} after {self.epoch}")
        self.epoch = epoch

    def notify_health(self, metrics: Sequence[MDSHealthMetric]) -> None:
        """The complaints that the next beacons carry."""
        self.health = list(metrics)

    def make_beacon(
        self,
        now: float,
        *,
        fsid: uuid.UUID,
        gid: int,
        fs: str,
        sys_info: Callable[[], Mapping[str, str]],
    ) -> MMDSBeacon:
        """The next beacon; it counts as sent at `now`."""
        if self.want_state == State.NULL:
            raise ValueError("a beacon cannot ask for state null")
        self.last_seq += 1
        self.seq_stamp[self.last_seq] = now
        if len(self.seq_stamp) > MAX_UNACKED:
            del self.seq_stamp[min(self.seq_stamp)]
        self.last_send = now
        beacon = MMDSBeacon(
            version=self.epoch,
            fsid=fsid,
            global_id=gid,
            state=self.want_state,
            seq=self.last_seq,
            name=self.name,
            compat=COMPAT,
            health=MDSHealth(metrics=self.health),
            sys_info=dict(sys_info()) if self.want_state == State.BOOT else {},
            mds_features=FEATURES_ADVERTISED,
            fs=fs,
        )
        beacon.priority = CEPH_MSG_PRIO_HIGH
        return beacon

    def handle_ack(self, seq: int, now: float) -> Ack | None:
        """A monitor has answered beacon `seq`; None when that was not waited for."""
        sent = self.seq_stamp.get(seq)
        if sent is None:
            return None
        self.last_acked_stamp = sent
        self.fresh_until = sent + min(self.interval, self.grace())
        rtt = now - sent
        no_longer_laggy = self.laggy and rtt < self.grace()
        if no_longer_laggy:
            self.laggy = False
            self.last_laggy = now
        for older in [s for s in self.seq_stamp if s <= seq]:
            del self.seq_stamp[older]
        return Ack(seq, rtt, no_longer_laggy)

    def since_acked(self, now: float) -> float | None:
        """Seconds since the last acknowledged beacon was sent; None before the first."""
        return None if self.last_acked_stamp is None else now - self.last_acked_stamp

    def is_laggy(self, now: float) -> bool:
        """Whether no monitor has answered for longer than the grace: do no upkeep, defer requests.

        Before the first acknowledgement every daemon is.
        """
        since = self.since_acked(now)
        if since is None or since > self.grace():
            self.laggy = True
            return True
        return False

    def is_waiting_for(self, seq: int) -> bool:
        """Whether beacon `seq` or an older one has no answer yet."""
        return bool(self.seq_stamp) and min(self.seq_stamp) <= seq

    def wait_before_send(self, now: float) -> float:
        """Seconds until the next regular beacon is due; 0 when it is due now."""
        if self.last_send is None:
            return 0.0
        since = now - self.last_send
        return 0.0 if since >= self.interval * 0.9 else self.interval - since
