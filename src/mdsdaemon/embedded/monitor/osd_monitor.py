"""The OSDMap: osd.0, pools, blocklist, and every epoch of it to whoever subscribes.

Other services and the object store use it by direct call:

    with mon.osd.change() as pending: …        # all changes within become one epoch
    epoch = mon.osd.blocklist(addrs, until)    # the epoch in which it holds
    mon.osd.boot_osd(addrs, …)                 # osd.0 is up at these addresses
    mon.osd.on_map(callback)                   # callback(OSDMap, Incremental), durable epochs

`map` is the newest epoch at once; what goes out (maps, answers, `on_map`) waits until it is
durable. A published map is never changed: whoever holds one may go on reading it.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (Pacific)
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mdsdaemon.embedded.monitor import crush_build, osd_health
from mdsdaemon.embedded.monitor.osd_commands import OSDCommands
from mdsdaemon.embedded.monitor.osd_crush_commands import CrushCommands
from mdsdaemon.embedded.monitor.osd_df import UsageCommands
from mdsdaemon.embedded.monitor.osd_epochs import MapWatcher, OSDMapEpochs
from mdsdaemon.embedded.monitor.osd_flags import NOUP
from mdsdaemon.embedded.monitor.osd_pg_commands import PGCommands
from mdsdaemon.embedded.monitor.osd_pgs import PGView
from mdsdaemon.embedded.monitor.osd_refused import RefusedCommands
from mdsdaemon.embedded.monitor.osd_state_commands import OSDStateCommands
from mdsdaemon.embedded.monitor.osd_usage import NoStore, StoreUsage, UsageSource
from mdsdaemon.embedded.monitor.pool_application import ApplicationCommands
from mdsdaemon.embedded.monitor.pool_commands import PoolCommands
from mdsdaemon.embedded.monitor.pool_full import update_full_flags
from mdsdaemon.embedded.monitor.pool_ops import PoolOps
from mdsdaemon.embedded.monitor.pool_settings import PoolSettingCommands
from mdsdaemon.embedded.monitor.service import HealthCheck, handles
from mdsdaemon.maps.osd_map import OSD_IN, OSD_STOP, OSD_UP
from mdsdaemon.messages.pool import MGetPoolStats, MPoolOp, MRemoveSnaps, MStatfs
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.interval_set import Intervals, contains, subtract, union
from mdsdaemon.types.pool import PGPool
from mdsdaemon.types.utime import from_seconds, utime_gmstr
from mdsdaemon.version import CEPH_RELEASE, CEPH_VERSION_SHORT, ceph_version

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession

__all__ = ["BootInfo", "MapWatcher", "OSDMonitor"]


_NO_DEVICES: Final = {
    **dict.fromkeys(("back_iface", "front_iface", "device_ids", "device_paths", "devices"), ""),
    **dict.fromkeys(("journal_rotational", "rotational"), "1"),
    "network_numa_unknown_ifaces": "back_iface,front_iface",
    "osdspec_affinity": "",
}
"""What an OSD on memory says of its disks and network."""


@frozen
class BootInfo:
    """What osd.0 said when it came up."""

    addrs: EntityAddrVec
    identity: uuid.UUID
    capacity: int
    device_class: str
    features: int


class OSDMonitor(OSDMapEpochs):
    """See the module, and `OSDMapEpochs` for the epochs themselves.

    Attributes:
        pgs: the placement groups of the newest map.
        booted: what osd.0 said, while it runs.
        usage_source: the object store, which knows what the pools hold.
    """

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.pgs = PGView(self)
        self.booted: BootInfo | None = None
        self.usage_source: UsageSource = NoStore()
        self._pool_ops = PoolOps(self)
        self._usage_commands = UsageCommands(self)
        self._rooms = (
            OSDCommands(self),
            OSDStateCommands(self),
            CrushCommands(self),
            PoolCommands(self),
            PoolSettingCommands(self),
            ApplicationCommands(self),
            self._usage_commands,
            PGCommands(self),
            RefusedCommands(self),
        )

    def command_rooms(self) -> Iterable[object]:
        return self._rooms

    # -- what other services ask and do -----------------------------------------------------

    def pool_id(self, name: str) -> int | None:
        """The id of the pool of that name."""
        number = self.map.lookup_pool(name)
        return None if number < 0 else number

    def pool_by_name(self, name: str) -> PGPool | None:
        """The pool of that name; not to be changed."""
        return self.map.pools.get(self.map.lookup_pool(name))

    def pool_name(self, number: int) -> str:
        """The name of a pool, empty if there is none of that id."""
        return self.map.client.pool_name.get(number, "")

    def pool_in_use(self, number: int) -> bool:
        """Whether a file system has the pool."""
        maps = [fs.mds_map for fs in self.mon.mds.fsmap.filesystems]
        return any(number == m.metadata_pool or number in m.data_pools for m in maps)

    def count_metadata(self, what: str) -> dict[str, int]:
        """How many OSDs say what of a property: ``{"ceph version …": 1}``."""
        values = [
            values.get(what, "unknown")
            for osd, values in self.metadata.items()
            if self.map.exists(osd)
        ]
        return dict(sorted(Counter(values).items()))

    def is_blocklisted(self, addrs: EntityAddrVec) -> bool:
        """Whether one of the addresses is fenced."""
        return self.map.is_blocklisted(addrs)

    def blocklist(self, addrs: EntityAddrVec, until: float) -> int:
        """Fence the instance at these addresses until `until` (seconds since the epoch).

        Returns the epoch from which on object stores turn it away.
        """
        with self.change() as pending:
            for addr in addrs.addrs:
                key = EntityAddr(EntityAddr.TYPE_ANY, addr.nonce, addr.host, addr.port)
                pending.inc.osd.new_blocklist[key] = from_seconds(until)
                if key in pending.inc.osd.old_blocklist:
                    pending.inc.osd.old_blocklist.remove(key)
            return pending.epoch if addrs.addrs else self.map.epoch

    def enable_application(
        self, pool: int, app: str, key: str = "", value: str = "", *, force: bool = False
    ) -> None:
        """Note that `app` uses the pool, with a key of its metadata.

        Without `force` what is known of the application already stays as it is.
        Raises KeyError: there is no such pool.
        """
        with self.change() as pending:
            known = pending.pool(pool).application_metadata
            if key and force:
                known.setdefault(app, {})[key] = value
            else:
                known.setdefault(app, {key: value} if key else {})

    # -- the object store -------------------------------------------------------------------

    @property
    def usage(self) -> StoreUsage:
        """What the pools hold now."""
        return self.usage_source.usage()

    def boot_osd(
        self,
        addrs: EntityAddrVec,
        *,
        capacity: int,
        identity: uuid.UUID,
        metadata: Mapping[str, str],
        device_class: str = "hdd",
        features: int = FEATURES_ADVERTISED,
    ) -> int:
        """osd.0 is up at `addrs`; returns the epoch. `capacity` in bytes counts the first time."""
        self.booted = BootInfo(addrs, identity, capacity, device_class, features)
        said = {
            "ceph_release": CEPH_RELEASE,
            "ceph_version": ceph_version(),
            "ceph_version_short": CEPH_VERSION_SHORT,
            "default_device_class": device_class,
            "hostname": self.mon.config.identity.hostname,
            "back_addr": f"{addrs}",
            "front_addr": f"{addrs}",
            "hb_back_addr": f"{addrs}",
            "hb_front_addr": f"{addrs}",
            **_NO_DEVICES,
        }
        with self.mon.transactions.transaction():
            before = self.metadata.get(0, {})
            said["created_at"] = before.get("created_at") or utime_gmstr(
                from_seconds(self.mon.host.wall())
            )
            said["ceph_version_when_created"] = (
                before.get("ceph_version_when_created") or said["ceph_version"]
            )
            self.metadata[0] = dict(sorted({**said, **metadata}.items()))
            self.put_state()
            self.mark_down()
            return self._bring_up(self.booted)

    def _bring_up(self, boot: BootInfo) -> int:
        with self.change() as pending:
            inc, osd = pending.inc, 0
            if self.map.client.max_osd <= osd:
                inc.client.new_max_osd = osd + 1
            if not self.map.exists(osd):
                crush_build.add_device(
                    pending.crush(),
                    osd,
                    self.metadata[osd]["hostname"].partition(".")[0],
                    crush_build.device_weight(boot.capacity),
                    boot.device_class,
                )
                inc.client.new_weight[osd] = OSD_IN
            if osd >= len(self.map.osd.osd_uuid) or self.map.osd.osd_uuid[osd] != boot.identity:
                inc.osd.new_uuid[osd] = boot.identity
            inc.client.new_up_client[osd] = boot.addrs
            inc.osd.new_up_cluster[osd] = boot.addrs
            inc.osd.new_hb_back_up[osd] = boot.addrs
            inc.osd.new_hb_front_up[osd] = boot.addrs
            inc.osd.new_up_thru[osd] = pending.epoch
            if self.map.exists(osd):
                info = self.map.osd.osd_info[osd]
                if info.up_from and info.down_at >= info.up_from:
                    inc.osd.new_last_clean_interval[osd] = (info.up_from, info.down_at)
            pending.xinfo(osd).features = boot.features
        self.cluster_log("info", f"osd.{osd} {boot.addrs} boot")
        return self.map.epoch

    def mark_down(self, osd: int = 0) -> None:
        """The OSD is gone; nothing happens if it is down."""
        if self.map.is_up(osd):
            with self.change() as pending:
                pending.flip_state(osd, OSD_UP)

    def osd_is_gone(self) -> None:
        """osd.0 has ended: it is down, and stays down until it boots again."""
        self.booted = None
        self.mark_down()

    def snaps_purged(self, purged: Mapping[int, Intervals]) -> None:
        """Nothing is left of these snapshots, by pool; any that are not to go are ignored."""
        with self.change() as pending:
            for pool, snaps in purged.items():
                queue = self.map.osd.removed_snaps_queue.get(pool, {})
                done = subtract(queue, subtract(queue, snaps))
                if done:
                    pending.inc.client.new_purged_snaps[pool] = done
                    self.purged[pool] = union(self.purged.get(pool, {}), done)
            if pending.inc.client.new_purged_snaps:
                self.put_state()

    def is_removed_snap(self, pool: int, snap: int) -> bool:
        """Whether the snapshot is removed, or about to be, or the pool is not there."""
        if pool not in self.map.pools:
            return True
        return contains(self.map.osd.removed_snaps_queue.get(pool, {}), snap) or contains(
            self.purged.get(pool, {}), snap
        )

    def note_purged(self, pool: int, snap: int) -> None:
        """A number that stands between snapshots and never was one."""
        self.purged[pool] = union(self.purged.get(pool, {}), {snap: 1})
        self.put_state()

    @handles(MPoolOp)
    def handle_pool_op(self, session: MonSession, msg: MPoolOp) -> None:
        """librados: pools and snapshots are made and removed."""
        self._pool_ops.handle(session, msg)

    @handles(MRemoveSnaps)
    def handle_remove_snaps(self, session: MonSession, msg: MRemoveSnaps) -> None:
        """The metadata server: snapshots are gone."""
        self._pool_ops.handle_remove_snaps(session, msg)

    @handles(MStatfs)
    def handle_statfs(self, session: MonSession, msg: MStatfs) -> None:
        """The space of the cluster or of a pool."""
        self._usage_commands.handle_statfs(session, msg)

    @handles(MGetPoolStats)
    def handle_get_pool_stats(self, session: MonSession, msg: MGetPoolStats) -> None:
        """What pools hold."""
        self._usage_commands.handle_get_pool_stats(session, msg)

    def started(self) -> None:
        if self.booted is None:
            self.mark_down()  # the OSD of a former run

    # -- regular work -----------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self._expire_blocklist(from_seconds(now))
        self._revive()
        self.check_usage()

    def check_usage(self) -> None:
        """Set and clear the flags of a full store and of quotas that are reached."""
        update_full_flags(self)

    def _expire_blocklist(self, now: int) -> None:
        rest = self.map.osd
        with self.change() as pending:
            pending.inc.osd.old_blocklist += [a for a, t in rest.blocklist.items() if t < now]
            pending.inc.osd.old_range_blocklist += [
                a for a, t in rest.range_blocklist.items() if t < now
            ]

    def _revive(self) -> None:
        """An OSD that was only marked down says that it is there, as a real one does."""
        if self.booted is None or self.map.is_up(0) or self.map.test_flag(NOUP):
            return
        if self.map.exists(0) and not self.map.client.osd_state[0] & OSD_STOP:
            self.cluster_log("error", f"map e{self.map.epoch} wrongly marked osd.0 down")
            self._bring_up(self.booted)

    def cluster_log(self, level: str, text: str) -> None:
        """A line in the cluster's log."""
        self.mon.log.cluster(level, text)

    def health(self) -> list[HealthCheck]:
        return osd_health.checks(self)
