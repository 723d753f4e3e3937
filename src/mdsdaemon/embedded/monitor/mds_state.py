"""The FSMap over time: beacons, missed beacons, and who takes which rank.

`FSMapState` is the monitor's knowledge of metadata servers without the monitor: beacons go in with
the time and the sender's addresses, and out comes what to answer; `tick` does what time demands.
Fencing a failed rank is a call that returns the epoch of the OSDMap that fences it.

Behaviour: ceph/ceph, src/mon/MDSMonitor.cc (Pacific 16.2.15)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define, field, frozen

from mdsdaemon.embedded.monitor.mds_fsmap import is_followable, is_resizeable
from mdsdaemon.embedded.monitor.mds_fsmap_edit import FSMapEditor, daemon_compat
from mdsdaemon.maps.fs_map import Filesystem, FSMap
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, GID_NONE, MDSInfo
from mdsdaemon.maps.mds_map import FLAG_ALLOW_STANDBY_REPLAY, FLAG_NOT_JOINABLE
from mdsdaemon.maps.mds_states import State, state_transition_valid_strict
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.health import MDSHealth
from mdsdaemon.types.utime import from_seconds


class Answer(Enum):
    """What a beacon gets: nothing, an acknowledgement, or the empty map, at which a daemon starts
    anew."""

    NOTHING = "nothing"
    ACK = "ack"
    NULL_MAP = "null map"


@frozen
class BeaconReply:
    """`epoch` is what an acknowledgement names when nothing changed; else it is the new map's."""

    answer: Answer
    epoch: int = 0
    changed: bool = False


@frozen
class MDSOptions:
    """The monitor's options, in seconds."""

    beacon_grace: float = 15.0
    beacon_interval: float = 4.0
    blocklist_interval: float = 86400.0
    enforce_unique_name: bool = True


@define
class BeaconInfo:
    """When a daemon's last beacon came, and its number."""

    stamp: float
    seq: int = 0


def human_name(info: MDSInfo) -> str:
    """``daemon mds.a`` of the cluster log."""
    return f"daemon mds.{info.name}"


def _no_log(level: str, text: str) -> None:
    """Nobody listens."""


@define
class FSMapState:
    """See the module.

    Attributes:
        edit: the FSMap.
        blocklist: fences addresses until a time (seconds since the epoch); returns the epoch of the
            OSDMap that says so.
        clog: takes lines for the cluster log, with "debug", "info" or "warn".
        last_beacon: by gid. It is not kept over restarts: time counts anew then.
        health, metadata: what daemons say of themselves, by gid.
    """

    edit: FSMapEditor
    blocklist: Callable[[EntityAddrVec, float], int]
    clog: Callable[[str, str], None] = _no_log
    options: MDSOptions = field(factory=MDSOptions)
    last_beacon: dict[int, BeaconInfo] = field(factory=dict)
    health: dict[int, MDSHealth] = field(factory=dict)
    metadata: dict[int, dict[str, str]] = field(factory=dict)
    last_tick: float | None = None

    @property
    def map(self) -> FSMap:
        return self.edit.map

    def restart(self, now: float) -> None:
        """The monitor has been away: every daemon has its full time again."""
        self.last_beacon = {gid: BeaconInfo(now) for gid in self.map.mds_roles}
        self.last_tick = now

    # -- beacons ----------------------------------------------------------------------------

    def beacon(self, msg: MMDSBeacon, addrs: EntityAddrVec, now: float) -> BeaconReply:
        """A daemon at `addrs` says that it lives, and which state it wants."""
        gid, state = msg.global_id, msg.state
        if not any(addr.port for addr in addrs.addrs):
            return BeaconReply(Answer.NOTHING)
        if not self.edit.gid_exists(gid):
            if state != State.BOOT:
                return BeaconReply(Answer.NULL_MAP, self.map.epoch)
            return self._boot(msg, addrs, now)
        if state == State.DNE:
            return self._update(msg, now)
        info = self.edit.info(gid)
        if info.state_seq > msg.seq:
            return BeaconReply(Answer.NOTHING)
        effective = self.edit.effective_epoch(gid)
        if effective == msg.version:
            # what it asks for, it asks knowing the newest map
            if info.laggy:
                return self._update(msg, now)
            if state == State.BOOT:
                return BeaconReply(Answer.NOTHING)
            if (
                info.join_fscid != self.edit.fscid_of_name(msg.fs)
                or info.state != state
                or self.health.get(gid, MDSHealth()) != msg.health
            ):
                return self._update(msg, now)
        self._note_beacon(msg, now)
        return BeaconReply(Answer.ACK, effective)

    def _note_beacon(self, msg: MMDSBeacon, now: float) -> None:
        self.last_beacon[msg.global_id] = BeaconInfo(now, msg.seq)

    def _note_health(self, msg: MMDSBeacon) -> None:
        new = {metric.type for metric in msg.health.metrics}
        for metric in self.health.get(msg.global_id, MDSHealth()).metrics:
            if metric.type not in new:
                source = msg.source or f"mds.{msg.name}"
                self.clog("info", f"MDS health message cleared ({source}): {metric.message}")
        self.health[msg.global_id] = msg.health

    def _boot(self, msg: MMDSBeacon, addrs: EntityAddrVec, now: float) -> BeaconReply:
        gid = msg.global_id
        self._note_health(msg)
        if self.options.enforce_unique_name:
            while (existing := self.edit.gid_of_name(msg.name)) != GID_NONE:
                self.clog("info", f"{human_name(self.edit.info(existing))} restarted")
                self.fail_gid(existing, now)
        self.edit.insert(
            MDSInfo(
                global_id=gid,
                name=msg.name,
                addrs=addrs,
                mds_features=msg.mds_features,
                state=State.STANDBY,
                state_seq=msg.seq,
                compat=msg.compat,
                join_fscid=self.edit.fscid_of_name(msg.fs),
            )
        )
        self._note_beacon(msg, now)
        if msg.sys_info:
            self.metadata[gid] = dict(msg.sys_info)
        return BeaconReply(Answer.ACK, self.map.epoch, changed=True)

    def _update(self, msg: MMDSBeacon, now: float) -> BeaconReply:
        gid, state = msg.global_id, msg.state
        self._note_beacon(msg, now)
        info = self.edit.info(gid)
        if daemon_compat(msg.compat).compare(info.compat) != 0:
            self.clog("warn", f"{human_name(info)} compat changed unexpectedly")
            self.fail_gid(gid, now)
            return BeaconReply(Answer.NOTHING, changed=True)
        if state == State.DNE or not _may_become(info.state, state):
            self.fail_gid(gid, now)
            return BeaconReply(Answer.NULL_MAP, self.map.epoch, changed=True)
        self._note_health(msg)
        info = self.edit.modify_daemon(gid)
        info.laggy_since = 0
        info.join_fscid = self.edit.fscid_of_name(msg.fs)
        if state == State.STOPPED:
            self._stopped(info)
            return BeaconReply(Answer.NULL_MAP, self.map.epoch, changed=True)
        if state == State.DAMAGED:
            self._damaged(info, now)
        else:
            if info.state != State.ACTIVE and state == State.ACTIVE:
                name = self.edit.fs_name_of_gid(gid)
                self.clog(
                    "info",
                    f"{human_name(info)} is now active in filesystem {name} as rank {info.rank}",
                )
            info.state = state
            info.state_seq = msg.seq
        return BeaconReply(Answer.ACK, self.map.epoch, changed=True)

    def _stopped(self, info: MDSInfo) -> None:
        mds_map = self.edit.fs(self.edit.fscid_of_gid(info.global_id)).mds_map
        self.clog(
            "info",
            f"{human_name(info)} finished stopping rank {info.rank} in filesystem "
            f"{mds_map.fs_name} (now has {len(mds_map.in_) - 1} ranks)",
        )
        for gid in self.edit.stop(info.global_id):
            self._forget(gid)

    def _damaged(self, info: MDSInfo, now: float) -> None:
        """The rank cannot be run: not by who holds it, nor by who follows it, nor by the next."""
        fs = self.edit.fs(self.edit.fscid_of_gid(info.global_id))
        rank = info.rank
        holder = fs.mds_map.get_info(rank)
        follower = fs.mds_map.get_standby_replay(rank)
        if holder is not None:
            until = now + self.options.blocklist_interval
            epoch = self.blocklist(holder.addrs, until)
            self.edit.erase(holder.global_id, epoch)
            self._forget(holder.global_id)
        if follower != GID_NONE:
            self.fail_gid(follower, now)
        self.edit.set_damaged(fs, rank)

    def _forget(self, gid: int) -> None:
        self.last_beacon.pop(gid, None)
        self.health.pop(gid, None)
        self.metadata.pop(gid, None)

    def fail_gid(self, gid: int, now: float) -> None:
        """Take a daemon out of the map; who holds a rank is fenced first."""
        info = self.edit.info(gid)
        epoch = 0
        if info.rank >= 0 and info.state != State.STANDBY_REPLAY:
            epoch = self.blocklist(info.addrs, now + self.options.blocklist_interval)
        self.edit.erase(gid, epoch)
        self._forget(gid)

    def offload_targets(self, gid: int, targets: set[int]) -> bool:
        """A daemon names the ranks that it exports to. Returns whether that is news."""
        if self.edit.fscid_of_gid(gid) == FS_CLUSTER_ID_NONE:
            return False
        if self.edit.info(gid).export_targets == targets:
            return False
        self.edit.modify_daemon(gid).export_targets = set(targets)
        return True

    # -- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> bool:
        """One look at everything. Returns whether the FSMap changed: look again then."""
        resizeable = {fs.fscid: is_resizeable(fs.mds_map) for fs in self.map.filesystems}
        self._want_a_standby()
        self._check_beacons(now)
        self._check_affinity(now)
        for fs in self.map.filesystems:
            if resizeable[fs.fscid]:
                self._maybe_resize(fs)
        for fs in self.map.filesystems:
            self._maybe_promote_standby(fs)
        self.last_tick = now
        return self.edit.dirty

    def _want_a_standby(self) -> None:
        """Who once had a standby beside an active daemon misses it when it goes."""
        standbys = len(self.map.standby_daemons)
        for fs in self.map.filesystems:
            mds_map = fs.mds_map
            if mds_map.standby_count_wanted != -1 or not mds_map.get_mds_set(State.ACTIVE):
                continue
            if standbys + len(mds_map.get_mds_set(State.STANDBY_REPLAY)) > 0:
                self.edit.touch()
                mds_map.standby_count_wanted = 1

    def _check_beacons(self, now: float) -> None:
        """Mark who is late laggy, and remove or replace who can be."""
        grace, interval = self.options.beacon_grace, self.options.beacon_interval
        if self.last_tick is not None and now - self.last_tick > grace - interval:
            # we have been slow ourselves; beacons may lie unread
            for seen in self.last_beacon.values():
                seen.stamp = now
        for gid in self.map.mds_roles:
            self.last_beacon.setdefault(gid, BeaconInfo(now))
        latest = max((seen.stamp for seen in self.last_beacon.values()), default=0.0)
        # when nobody is heard the fault may be ours
        may_replace = now - latest < max(interval, grace * 0.5)
        late: list[int] = []
        for gid, seen in sorted(self.last_beacon.items()):
            if not self.edit.gid_exists(gid):
                del self.last_beacon[gid]
            elif now - seen.stamp >= grace:
                late.append(gid)
        for gid in late:
            if not self.edit.info(gid).laggy:
                self.edit.modify_daemon(gid).laggy_since = from_seconds(now)
        if may_replace:
            for gid in late:
                self._drop_late(gid, now)

    def _drop_late(self, gid: int, now: float) -> None:
        if not self.edit.gid_exists(gid):
            return
        info = self.edit.info(gid)
        replacement = None
        if info.rank >= 0:
            fs = self.edit.fs(self.edit.fscid_of_gid(gid))
            replacement = self.edit.find_replacement_for(fs, info.rank)
        if self._drop(gid, replacement, now):
            self.clog(
                "info",
                f"MDS {human_name(info)} is removed because it is dead or otherwise unavailable.",
            )

    def _drop(self, gid: int, replacement: MDSInfo | None, now: float) -> bool:
        """Fail a daemon, one with a rank only if another takes it."""
        info = self.edit.info(gid)
        if info.is_frozen:
            return False
        if info.state in (State.STANDBY, State.STANDBY_REPLAY):
            self.fail_gid(gid, now)
            return True
        if info.rank < 0 or replacement is None:
            return False
        fs = self.edit.fs(self.edit.fscid_of_gid(gid))
        if fs.mds_map.test_flag(FLAG_NOT_JOINABLE):
            return False
        rank = info.rank
        self.clog(
            "warn",
            f"Replacing {human_name(info)} as rank {rank} with standby {human_name(replacement)}",
        )
        self.fail_gid(gid, now)
        self.edit.promote(replacement.global_id, fs, rank)
        return True

    def _check_affinity(self, now: float) -> None:
        """Where a standby fits a file system better than who serves it, they change places."""
        for fs in self.map.filesystems:
            if fs.mds_map.test_flag(FLAG_NOT_JOINABLE) or not is_resizeable(fs.mds_map):
                continue
            for gid, info in sorted(fs.mds_map.mds_info.items()):
                if info.join_fscid == fs.fscid:
                    continue
                follows = info.state == State.STANDBY_REPLAY
                found = (
                    self.edit.get_available_standby(fs)
                    if follows
                    else self.edit.find_replacement_for(fs, info.rank)
                )
                if found is None:
                    break
                better = [fs.fscid]
                if info.join_fscid != FS_CLUSTER_ID_NONE:
                    better.append(FS_CLUSTER_ID_NONE)
                if found.join_fscid in better:
                    what = "standby-replay" if follows else "active"
                    self.clog(
                        "info",
                        f"Dropping low affinity {what} {human_name(info)} "
                        "in favor of higher affinity standby.",
                    )
                    if follows:
                        self.fail_gid(gid, now)
                    else:
                        self._drop(gid, found, now)
                    break

    def _maybe_resize(self, fs: Filesystem) -> None:
        """One rank more or less, as max_mds demands."""
        mds_map = fs.mds_map
        if not is_resizeable(mds_map):
            return
        count = len(mds_map.in_)
        if count < mds_map.max_mds and not mds_map.test_flag(FLAG_NOT_JOINABLE):
            rank = 0
            while mds_map.is_in(rank):
                rank += 1
            info = self.edit.find_replacement_for(fs, rank)
            if info is not None:
                self.clog(
                    "info",
                    f"{human_name(info)} assigned to filesystem {mds_map.fs_name} as rank {rank} "
                    f"(now has {count + 1} ranks)",
                )
                self.edit.promote(info.global_id, fs, rank)
        elif count > mds_map.max_mds:
            holder = mds_map.get_info(count - 1)
            if holder is not None and holder.state == State.ACTIVE:
                self.clog("info", f"stopping {human_name(holder)}")
                self.edit.modify_daemon(holder.global_id).state = State.STOPPING

    def _maybe_promote_standby(self, fs: Filesystem) -> None:
        """Failed ranks first; with none left, standbys may follow active ones."""
        mds_map = fs.mds_map
        if mds_map.test_flag(FLAG_NOT_JOINABLE):
            return
        for rank in sorted(mds_map.failed):
            info = self.edit.find_replacement_for(fs, rank)
            if info is not None:
                self.clog(
                    "info",
                    f"Standby {human_name(info)} assigned to filesystem {mds_map.fs_name} "
                    f"as rank {rank}",
                )
                self.edit.promote(info.global_id, fs, rank)
        if not is_resizeable(mds_map) or not mds_map.test_flag(FLAG_ALLOW_STANDBY_REPLAY):
            return
        for rank in sorted(mds_map.in_):
            if is_followable(mds_map, rank):
                standby = self.edit.get_available_standby(fs)
                if standby is None:
                    return
                self.edit.assign_standby_replay(standby.global_id, fs, rank)


def _may_become(old: int, new: int) -> bool:
    """Whether a daemon may ask for the state itself."""
    if old == State.STANDBY:
        return new == old
    if old == State.STANDBY_REPLAY:
        return new in (old, State.DAMAGED)
    return state_transition_valid_strict(old, new)
