"""The FSMap's service: beacons and subscriptions in, maps and acknowledgements out, records kept.

What a beacon or a command changes becomes an epoch at once (`commit`), which goes to who has
subscribed; then `settle` looks whether a rank can be given to somebody, until nothing moves any
more. Every step is an epoch of its own, as daemons expect of a monitor.

Behaviour: ceph/ceph, src/mon/MDSMonitor.cc (Pacific 16.2.15)
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.embedded.monitor import mds_print
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandError,
    CommandResult,
)
from mdsdaemon.embedded.monitor.fs_authorize import FSAuthorize
from mdsdaemon.embedded.monitor.fs_commands import FSCommands
from mdsdaemon.embedded.monitor.fs_compat import FSCompat
from mdsdaemon.embedded.monitor.fs_mirror import FSMirror
from mdsdaemon.embedded.monitor.fs_pool_access import PoolAccess
from mdsdaemon.embedded.monitor.fs_pools import FSPools
from mdsdaemon.embedded.monitor.fs_refused import FSRefused
from mdsdaemon.embedded.monitor.fs_set import FSSet
from mdsdaemon.embedded.monitor.fs_status import FSStatus
from mdsdaemon.embedded.monitor.fs_volumes import FSVolumes
from mdsdaemon.embedded.monitor.mds_commands import MDSCommands
from mdsdaemon.embedded.monitor.mds_fsmap import FSMapView, filtered
from mdsdaemon.embedded.monitor.mds_fsmap_edit import FSMapEditor
from mdsdaemon.embedded.monitor.mds_health import health_checks
from mdsdaemon.embedded.monitor.mds_obsolete import MDSObsolete
from mdsdaemon.embedded.monitor.mds_state import Answer, FSMapState, MDSOptions
from mdsdaemon.embedded.monitor.records import pack, unpack, unpack_plain
from mdsdaemon.embedded.monitor.service import HealthCheck, Service, handles
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.maps.compat_set import CompatSet
from mdsdaemon.maps.fs_map import FSMap
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, GID_NONE
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.messages.base import PRIO_HIGH
from mdsdaemon.messages.cmdparse import CmdVal
from mdsdaemon.messages.fs_map import FSInfo, FSMapUser, MFSMap, MFSMapUser, MMDSLoadTargets
from mdsdaemon.messages.mds import MMDSBeacon, MMDSMap
from mdsdaemon.records import evolve, frozen
from mdsdaemon.types.entity import MDS
from mdsdaemon.types.features import FEATURES_ADVERTISED, FEATURES_PACIFIC
from mdsdaemon.types.health import MDSHealth

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription
    from mdsdaemon.types.entity import EntityAddrVec

MAX_STEPS: Final = 1000
"""Epochs in a row that nobody asked for. More of them would be a bug that never ends."""

_EPOCH, _HEALTH, _METADATA = "epoch/", "health/", "metadata/"


@frozen
class _Snapshot:
    fsmap: bytes


class MDSMonitor(Service):
    """See the module.

    Attributes:
        state: the FSMap and what is known of daemons.
        pools: the pools, as file systems need them.
        counter_source: tells a daemon's performance counter by its name and path ("mds_mem.dn",
            or "mds_log.replayed.rate" for a change per second); nobody does at first.
    """

    name: ClassVar[str] = "mds"
    subscriptions: ClassVar[tuple[str, ...]] = ("fsmap", "fsmap.user", "mdsmap", "mdsmap.")

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.state = FSMapState(FSMapEditor(FSMap(ever_enabled_multiple=True)), self._blocklist)
        self.state.clog = self._clog
        self.pools = PoolAccess(mon)
        self.counter_source: Callable[[str, str], int] | None = None
        self._first_committed = 1
        self._watchers: list[Callable[[], object]] = []
        self._kept_health: dict[int, MDSHealth] = {}
        self._kept_metadata: dict[int, dict[str, str]] = {}

    def command_rooms(self) -> Iterable[object]:
        return (
            MDSCommands(self),
            FSCommands(self),
            FSSet(self),
            FSCompat(self),
            FSPools(self),
            FSMirror(self),
            FSAuthorize(self),
            FSStatus(self),
            FSVolumes(self),
            FSRefused(),
            MDSObsolete(),
        )

    # -- what others ask --------------------------------------------------------------------

    @property
    def fsmap(self) -> FSMap:
        """The present FSMap, to be looked at."""
        return self.state.map

    def view(self, allowed: Iterable[str] = ()) -> FSMapView:
        """The FSMap as somebody sees who may see only these file systems."""
        return FSMapView(filtered(self.state.map, tuple(allowed)))

    def pool_in_use(self, pool: int) -> bool:
        """Whether a file system keeps anything in the pool."""
        return self.state.edit.pool_in_use(pool)

    def should_print_status(self) -> bool:
        """Whether `ceph status` has a line on metadata servers."""
        return bool(self.fsmap.filesystems or self.fsmap.standby_daemons)

    def daemon_summary(self) -> str:
        """That line: ``1/1 daemons up, 1 standby``."""
        return mds_print.daemon_summary(self.fsmap)

    def fs_summary(self) -> str:
        """The line on volumes, indented and ended, or ""."""
        return mds_print.fs_summary(self.fsmap)

    def summary(self) -> dict[str, Any]:
        """``fsmap`` of `ceph status -f json`."""
        return mds_print.summary(self.fsmap)

    def count_metadata(self, name: str) -> dict[str, int]:
        """How many daemons have which value; "unknown" for those without."""
        values = Counter(meta.get(name, "unknown") for meta in self.state.metadata.values())
        return dict(sorted(values.items()))

    def nodes(self) -> dict[str, list[str]]:
        """Names of daemons by host, for `ceph node ls`."""
        found: dict[str, list[str]] = {}
        for gid, meta in sorted(self.state.metadata.items()):
            if "hostname" in meta and self.state.edit.gid_exists(gid):
                found.setdefault(meta["hostname"], []).append(self.state.edit.info(gid).name)
        return dict(sorted(found.items()))

    def counter(self, name: str, path: str) -> int:
        """A performance counter of the daemon of that name, 0 where nobody knows it."""
        return self.counter_source(name, path) if self.counter_source is not None else 0

    def run_command(self, ctx: CommandContext, prefix: str, **arguments: CmdVal) -> CommandResult:
        """Another command of the monitor as a part of `ctx`'s. Never raises CommandError."""
        found = self.mon.commands.find(prefix)
        if found is None or found.handler is None:
            return CommandResult(-errno.EOPNOTSUPP, f"this monitor has no command '{prefix}'")
        inner = evolve(ctx, prefix=prefix, format="plain", inbuf=b"")
        try:
            return found.handler(inner, Args(arguments))
        except CommandError as error:
            return CommandResult(-error.errno, error.text)

    def health(self) -> list[HealthCheck]:
        return health_checks(self.state.edit, self.state.health)

    def get_version(self, what: str) -> tuple[int, int] | None:
        if what not in ("mdsmap", "fsmap"):
            return None
        return self.fsmap.epoch, self._first_committed

    def old_map(self, epoch: int) -> FSMap | None:
        """The FSMap of an epoch, None where it is not kept."""
        if epoch == self.fsmap.epoch:
            return self.fsmap
        record = dict(self.records()).get(_epoch_key(epoch))
        return _unpack_map(record) if record is not None else None

    @property
    def first_committed(self) -> int:
        """The oldest epoch that is kept."""
        return self._first_committed

    def on_map(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Call `watcher()` when a new FSMap is durable. Returns what takes the call back."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _tell_watchers(self) -> None:
        for watcher in list(self._watchers):
            watcher()

    # -- messages ---------------------------------------------------------------------------

    @handles(MMDSBeacon)
    def handle_beacon(self, session: MonSession, msg: MMDSBeacon) -> None:
        """A daemon lives."""
        if not session.is_capable("mds", "x") or msg.fsid != self.mon.fsid:
            self.mon.logger.info("beacon of %s ignored: no caps, or fsid", session.entity_name)
            return
        now = self.mon.host.wall()
        self._read_options()
        reply = self.state.beacon(msg, session.addrs, now)
        if reply.changed:
            self.commit(now)
        if reply.answer is Answer.NULL_MAP:
            null = MDSMap(epoch=self.fsmap.epoch, compat=CompatSet())
            session.send(self._map_message(null))
        elif reply.answer is Answer.ACK:
            epoch = self.fsmap.epoch if reply.changed else reply.epoch
            ack = MMDSBeacon(
                version=epoch,
                fsid=self.mon.fsid,
                global_id=msg.global_id,
                state=msg.state,
                seq=msg.seq,
                name=msg.name,
                mds_features=FEATURES_ADVERTISED,
            )
            ack.priority = PRIO_HIGH
            session.send(ack)
        if reply.changed:
            self.settle(now)

    @handles(MMDSLoadTargets)
    def handle_load_targets(self, session: MonSession, msg: MMDSLoadTargets) -> None:
        """A daemon's export targets."""
        if session.is_capable("mds", "x") and self.state.offload_targets(
            msg.global_id, msg.targets
        ):
            self.settle(self.mon.host.wall())

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        fsmap = self.fsmap
        if sub.next > fsmap.epoch:
            return
        allowed = session.caps.allowed_fs_names()
        if sub.what == "fsmap":
            shown = FSMapView(filtered(fsmap, allowed)).copy()
            session.send(MFSMap(fsmap.epoch, shown))
            session.sent(sub, fsmap.epoch)
        elif sub.what == "fsmap.user":
            shown = filtered(fsmap, allowed)
            infos = [FSInfo(fs.fscid, fs.mds_map.fs_name) for fs in shown.filesystems]
            user = FSMapUser(fsmap.epoch, shown.legacy_client_fscid, infos)
            session.send(MFSMapUser(fsmap.epoch, user))
            session.sent(sub, fsmap.epoch)
        else:
            view = FSMapView(filtered(fsmap, allowed))
            mds_map = (
                self._map_for_daemon(session, view)
                if session.peer_type == MDS
                else _map_for_client(sub.what, view)
            )
            if mds_map is not None and sub.next <= mds_map.epoch:
                session.send(self._map_message(mds_map))
                session.sent(sub, mds_map.epoch)

    def _map_for_daemon(self, session: MonSession, view: FSMapView) -> MDSMap:
        """The map of the file system that it serves; a standby sees only itself."""
        fsmap = view.map
        gid = self._gid_of(session, view)
        fs = view.find(fsmap.mds_roles.get(gid, FS_CLUSTER_ID_NONE))
        if fs is not None:
            return fs.mds_map
        own = MDSMap(epoch=fsmap.epoch, compat=CompatSet())
        if gid in fsmap.standby_daemons:
            own.mds_info = {gid: fsmap.standby_daemons[gid]}
            own.epoch = fsmap.standby_epochs[gid]
        return own

    def _gid_of(self, session: MonSession, view: FSMapView) -> int:
        if session.global_id in view.map.mds_roles:
            return session.global_id
        for gid, info in view.infos().items():
            if info.addrs == session.addrs:
                return gid
        return GID_NONE

    def _map_message(self, mds_map: MDSMap) -> MMDSMap:
        encoded = encode(MDSMap, mds_map, FEATURES_PACIFIC)
        return MMDSMap(self.mon.fsid, mds_map.epoch, encoded, mds_map.fs_name)

    # -- epochs -----------------------------------------------------------------------------

    def commit(self, now: float) -> None:
        """What has changed becomes the present epoch: kept, and sent to subscribers."""
        if not self.state.edit.dirty:
            return
        self._drop_lost_pools()
        self.state.edit.commit(now)
        epoch = self.fsmap.epoch
        self.put(_epoch_key(epoch), pack(encode(FSMap, self.fsmap, FEATURES_PACIFIC)))
        keep = self.mon.config.get_int("mon_max_mdsmap_epochs")
        while epoch - self._first_committed > keep:
            self.put(_epoch_key(self._first_committed), None)
            self._first_committed += 1
        self._keep_what_daemons_say()
        self.mon.transactions.after(self._tell_watchers)
        for session in list(self.mon.sessions):
            for sub in list(session.subs.values()):
                if sub.what.startswith(("mdsmap", "fsmap")):
                    self.check_sub(session, sub)

    def settle(self, now: float) -> None:
        """Commit, and give out ranks as long as that changes something."""
        self.commit(now)
        for _ in range(MAX_STEPS):
            if not self.state.tick(now):
                return
            self.commit(now)
        raise RuntimeError(f"the FSMap does not come to rest, epoch {self.fsmap.epoch}")

    def tick(self, now: float) -> None:
        self._read_options()
        self.settle(now)

    def _drop_lost_pools(self) -> None:
        for fs in self.fsmap.filesystems:
            fs.mds_map.data_pools = [p for p in fs.mds_map.data_pools if self.pools.exists(p)]

    def _read_options(self) -> None:
        config = self.mon.config
        self.state.options = MDSOptions(
            beacon_grace=config.get_float("mds_beacon_grace"),
            beacon_interval=config.get_float("mds_beacon_interval"),
            blocklist_interval=config.get_float("mon_mds_blocklist_interval"),
            enforce_unique_name=config.get_bool("mds_enforce_unique_name"),
        )

    def _blocklist(self, addrs: EntityAddrVec, until: float) -> int:
        return self.mon.osd.blocklist(addrs, until)

    def _clog(self, level: str, text: str) -> None:
        self.mon.log.cluster(level, text)

    # -- records ----------------------------------------------------------------------------

    def create_initial(self) -> None:
        self.state.edit.touch()
        self.commit(self.mon.host.wall())

    def started(self) -> None:
        self.state.restart(self.mon.host.wall())

    def load(self, records: dict[str, bytes]) -> None:
        epochs = sorted(int(key.removeprefix(_EPOCH)) for key in records if key.startswith(_EPOCH))
        if epochs:
            self._first_committed = epochs[0]
            self.state.edit = FSMapEditor(_unpack_map(records[_epoch_key(epochs[-1])]))
        self.state.health = {
            gid: unpack(MDSHealth, record) for gid, record in _by_gid(records, _HEALTH)
        }
        self.state.metadata = {
            gid: unpack_plain(record) for gid, record in _by_gid(records, _METADATA)
        }
        self._kept_health = dict(self.state.health)
        self._kept_metadata = dict(self.state.metadata)

    def _keep_what_daemons_say(self) -> None:
        self._kept_health = self._keep(_HEALTH, self._kept_health, self.state.health)
        self._kept_metadata = self._keep(_METADATA, self._kept_metadata, self.state.metadata)

    def _keep(self, prefix: str, kept: dict[int, Any], now: dict[int, Any]) -> dict[int, Any]:
        for gid in kept.keys() - now.keys():
            self.put(f"{prefix}{gid}", None)
        for gid, value in now.items():
            if kept.get(gid) is not value:
                self.put(f"{prefix}{gid}", pack(value))
        return dict(now)

    def snapshot(self) -> Any:
        """The FSMap. What daemons say of themselves is of the moment."""
        return _Snapshot(encode(FSMap, self.fsmap, FEATURES_PACIFIC))

    def restore(self, state: Any) -> None:
        """Back to the file systems of then, without their daemons.

        Epochs go on. Whoever served a file system did so on other objects than those restored: it
        is fenced and starts anew. The standbys of now stay and take the ranks of then.
        """
        assert isinstance(state, _Snapshot)
        now = self.mon.host.wall()
        self._read_options()
        edit = self.state.edit
        for gid, fscid in sorted(self.fsmap.mds_roles.items()):
            if fscid != FS_CLUSTER_ID_NONE:
                self.state.fail_gid(gid, now)
        present = self.fsmap
        past = FSMapEditor(decode(FSMap, state.fsmap))
        for gid in list(past.map.mds_roles):
            past.erase(gid, 0)
        edit.touch()
        numbers = {fs.fscid for fs in past.map.filesystems}
        for fs in past.map.filesystems:
            fs.mds_map.epoch = present.epoch
            fs.mds_map.last_failure_osd_epoch = self.mon.osd.map.epoch
        for gid, info in present.standby_daemons.items():
            if info.join_fscid not in numbers:
                info.join_fscid = FS_CLUSTER_ID_NONE
            present.standby_epochs[gid] = present.epoch
        present.filesystems = past.map.filesystems
        present.legacy_client_fscid = past.map.legacy_client_fscid
        present.compat = past.map.compat
        present.enable_multiple = past.map.enable_multiple
        # a number that a client has mounted is not given to another file system
        present.next_filesystem_id = max(present.next_filesystem_id, past.map.next_filesystem_id)
        self.settle(now)


def _map_for_client(what: str, view: FSMapView) -> MDSMap | None:
    """The map that ``mdsmap.FSCID`` or ``mdsmap`` (of the default file system) stands for."""
    _, dot, number = what.partition(".")
    fscid = view.map.legacy_client_fscid
    if dot:
        fscid = int(number) if number.isdecimal() and len(number) < 12 else FS_CLUSTER_ID_NONE
    fs = view.find(fscid)
    return fs.mds_map if fs is not None else None


def _epoch_key(epoch: int) -> str:
    return f"{_EPOCH}{epoch:010d}"


def _by_gid(records: dict[str, bytes], prefix: str) -> list[tuple[int, bytes]]:
    return [
        (int(key.removeprefix(prefix)), record)
        for key, record in records.items()
        if key.startswith(prefix)
    ]


def _unpack_map(record: bytes) -> FSMap:
    try:
        return decode(FSMap, unpack_plain(record))
    except (DecodeError, TypeError) as exc:
        raise FatalError(
            f"a record of the monitor does not decode as an FSMap: {exc}",
            ExitStatus.DATA,
            "restore the folder from a copy, or start with another one",
        ) from exc
