"""The epochs of the OSDMap: made, kept, sent to subscribers, and gone back from.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (create_initial, encode_pending, check_osdmap_sub,
send_incremental) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.embedded.monitor import crush_build
from mdsdaemon.embedded.monitor.osd_flags import NEW_CLUSTER
from mdsdaemon.embedded.monitor.osd_history import MapHistory
from mdsdaemon.embedded.monitor.osd_pending import Epoch, Pending, replacing_epoch
from mdsdaemon.embedded.monitor.osd_text import single
from mdsdaemon.embedded.monitor.records import pack, unpack_plain
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.encoding import EncodeError
from mdsdaemon.maps.osd_map import OSDMap, decode_osd_map
from mdsdaemon.maps.osd_map_inc import Incremental
from mdsdaemon.messages.cmdparse import CommandError
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.messages.pool import MMonGetOSDMap
from mdsdaemon.types.interval_set import Intervals
from mdsdaemon.types.release import RELEASES
from mdsdaemon.types.utime import from_seconds

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription

MapWatcher = Callable[[OSDMap, Incremental], None]

PACIFIC: Final = RELEASES.index("pacific")
_STATE: Final = "state"


class OSDMapEpochs(Service):
    """The OSDMap and its history.

    Attributes:
        map: the newest OSDMap.
        history: the epochs that are kept.
        metadata: what each OSD says of itself (hostname, version …).
        purged: snapshots, by pool, of which nothing is left.
    """

    name: ClassVar[str] = "osd"
    subscriptions: ClassVar[tuple[str, ...]] = ("osdmap",)

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.map = OSDMap()
        self.history = MapHistory()
        self.metadata: dict[int, dict[str, str]] = {}
        self.purged: dict[int, Intervals] = {}
        self._pending: Pending | None = None
        self._watchers: list[MapWatcher] = []
        self._sent: dict[MonSession, int] = {}

    # -- epochs -----------------------------------------------------------------------------

    @contextmanager
    def change(self) -> Iterator[Pending]:
        """Collect changes; the end of the outermost makes one epoch of them, or none if there are
        none or an exception comes.

        Raises CommandError (EINVAL): a value does not fit into the map.
        """
        if self._pending is not None:
            yield self._pending
            return
        pending = self._pending = Pending(self.map)
        try:
            yield pending
        finally:
            self._pending = None
        if pending.is_empty:
            return
        try:
            epoch = pending.finish(self.now())
        except EncodeError as exc:
            raise CommandError(errno.EINVAL, f"a value does not fit into the map: {exc}") from exc
        self._commit(epoch)

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return from_seconds(self.mon.host.wall())

    def _commit(self, epoch: Epoch) -> None:
        with self.mon.transactions.transaction():
            self.map = epoch.map
            for key, value in self.history.add(epoch.map.epoch, epoch.inc_bytes, epoch.map_bytes):
                self.put(key, value)
            for key, value in self.history.trim(self.mon.config.get_int("mon_min_osdmap_epochs")):
                self.put(key, value)
            self._forget_pools(epoch.inc.client.old_pools)
            self.publish("osdmap")
            self.mon.transactions.after(lambda: self._tell_watchers(epoch))

    def _tell_watchers(self, epoch: Epoch) -> None:
        for watcher in list(self._watchers):
            watcher(epoch.map, epoch.inc)

    def _forget_pools(self, pools: Iterable[int]) -> None:
        gone = [pool for pool in pools if pool in self.purged]
        for pool in gone:
            del self.purged[pool]
        if gone:
            self.put_state()

    def on_map(self, watcher: MapWatcher) -> Callable[[], None]:
        """Call `watcher(map, incremental)` for every new epoch, in order, once it is durable.

        An incremental with `fullmap` replaces everything. Returns what takes the call back.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    # -- subscriptions and versions ---------------------------------------------------------

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        epoch = self.map.epoch
        if sub.next > epoch:
            return
        if sub.next >= 1:
            self._send_incremental(session, sub.next, onetime=sub.onetime)
        else:
            self._send(session, maps={epoch: self._full(epoch)})
        session.sent(sub, epoch)

    def _send_incremental(self, session: MonSession, first: int, *, onetime: bool) -> None:
        """Every epoch from `first` on, in messages of at most osd_map_message_max epochs.

        What the session was sent before is not sent again. From before the oldest epoch that is
        kept, the oldest whole map goes first.
        """
        newest = self.map.epoch
        first = max(first, self._sent.get(session, 0) + 1)
        if first < self.history.oldest:
            first = self.history.oldest
            self._send(session, maps={first: self._full(first)})
            self._sent[session] = first
            first += 1
        at_once = max(self.mon.config.get_int("osd_map_message_max"), 1)
        while first <= newest:
            last = min(first + at_once - 1, newest)
            steps = {e: self.history.incremental(e) or b"" for e in range(first, last + 1)}
            self._send(session, incremental_maps=steps)
            self._sent[session] = last
            first = last + 1
            if onetime:
                return

    def _full(self, epoch: int) -> bytes:
        data = self.history.full(epoch)
        assert data is not None, f"epoch {epoch} is not kept"
        return data

    def _send(
        self,
        session: MonSession,
        *,
        maps: dict[int, bytes] | None = None,
        incremental_maps: dict[int, bytes] | None = None,
        tid: int = 0,
    ) -> None:
        msg = MOSDMap(
            self.mon.fsid,
            incremental_maps or {},
            maps or {},
            self.history.oldest,
            self.history.newest,
        )
        msg.tid = tid
        session.send(msg)

    def session_closed(self, session: MonSession) -> None:
        self._sent.pop(session, None)

    def get_version(self, what: str) -> tuple[int, int] | None:
        return (self.history.newest, self.history.oldest) if what == "osdmap" else None

    @handles(MMonGetOSDMap)
    def handle_get_osdmap(self, session: MonSession, msg: MMonGetOSDMap) -> None:
        """Epochs by number, as many as fit into one message."""
        if not session.is_capable("osd", "r"):
            return
        left = self.mon.config.get_int("osd_map_message_max")
        size = self.mon.config.get_int("osd_map_message_max_bytes")
        found: tuple[dict[int, bytes], dict[int, bytes]] = {}, {}
        wanted = (msg.full, self.history.full), (msg.inc, self.history.incremental)
        for (epochs, get), out in zip(wanted, found, strict=True):
            for epoch in range(
                max(epochs.first, self.history.oldest), min(epochs.last, self.history.newest) + 1
            ):
                data = get(epoch)
                if left <= 0 or size <= 0 or data is None:
                    break
                out[epoch] = data
                left, size = left - 1, size - len(data)
        self._send(session, maps=found[0], incremental_maps=found[1], tid=msg.tid)

    # -- records ----------------------------------------------------------------------------

    def create_initial(self) -> None:
        config, now = self.mon.config, self.now()
        made = OSDMap()
        client, rest = made.client, made.osd
        client.fsid = self.mon.fsid
        client.created = now
        client.flags = NEW_CLUSTER
        client.crush = crush_build.empty_map(config.get_int("osd_crush_chooseleaf_type"))
        client.crush_version = 1
        profile = config.get_str("osd_pool_default_erasure_code_profile")
        pairs = (word.partition("=") for word in profile.split())
        client.erasure_code_profiles["default"] = {key: value for key, _, value in pairs}
        rest.full_ratio = _ratio(config.get_float("mon_osd_full_ratio"))
        rest.backfillfull_ratio = _ratio(config.get_float("mon_osd_backfillfull_ratio"))
        rest.nearfull_ratio = _ratio(config.get_float("mon_osd_nearfull_ratio"))
        rest.require_osd_release = PACIFIC
        oldest_client = config.get_str("mon_osd_initial_require_min_compat_client")
        rest.require_min_compat_client = RELEASES.index(oldest_client)
        self._commit(replacing_epoch(OSDMap(), made, now))
        self.put_state()

    def load(self, records: dict[str, bytes]) -> None:
        self.map = self.history.load(records)
        state = unpack_plain(records[_STATE])
        self.metadata = state["metadata"]
        self.purged = state["purged"]

    def put_state(self) -> None:
        """Note the record of what stands beside the map."""
        self.put(_STATE, pack({"metadata": self.metadata, "purged": self.purged}))

    def snapshot(self) -> Any:
        """The map, and what stands beside it."""
        return {
            "map": self._full(self.map.epoch),
            "metadata": {osd: dict(values) for osd, values in self.metadata.items()},
            "purged": {pool: dict(snaps) for pool, snaps in self.purged.items()},
        }

    def restore(self, state: Any) -> None:
        """Back to the pools and settings of then, in an epoch after the newest.

        The OSD stays where it is. Fences stay up, also those of later. A pool's number is not
        given to another: pools that are made next count on from the highest ever.
        """
        made, now = decode_osd_map(state["map"]), self.map
        client, rest = made.client, made.osd
        client.pool_max = max(client.pool_max, now.client.pool_max)
        client.crush_version = max(client.crush_version, now.client.crush_version)
        rest.blocklist = {**rest.blocklist, **now.osd.blocklist}
        rest.range_blocklist = {**rest.range_blocklist, **now.osd.range_blocklist}
        _keep_osds(made, now)
        for pool in client.pools.values():
            # operations under way meet other objects than those that they were sent to
            pool.last_force_op_resend = now.epoch + 1
            pool.last_force_op_resend_prenautilus = now.epoch + 1
            pool.last_force_op_resend_preluminous = now.epoch + 1
            pool.last_change = now.epoch + 1
        self.purged = {pool: dict(snaps) for pool, snaps in state["purged"].items()}
        self._commit(replacing_epoch(now, made, self.now()))
        self.put_state()


def _keep_osds(made: OSDMap, now: OSDMap) -> None:
    """The OSDs as they are now, in a map of another time."""
    for name in "max_osd", "osd_state", "osd_weight", "client_addrs", "osd_primary_affinity":
        value = getattr(now.client, name)
        setattr(made.client, name, value.copy() if isinstance(value, list) else value)
    for name in (
        "hb_back_addrs", "hb_front_addrs", "cluster_addrs", "osd_info", "osd_uuid", "osd_xinfo",
    ):  # fmt: skip
        setattr(made.osd, name, getattr(now.osd, name).copy())
    made.client.last_up_change = now.client.last_up_change
    made.client.last_in_change = now.client.last_in_change
    if any(made.client.osd_state) and not made.client.crush.tree.max_devices:
        made.client.crush = now.client.crush  # of before there was an OSD


def _ratio(value: float) -> float:
    return single(value / 100 if value > 1 else value)
