"""The monmap: this one monitor, its quorum, and the commands about monitors.

Behaviour: ceph/ceph, src/mon/MonmapMonitor.cc, Monitor.cc (get_mon_status) (Pacific)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.embedded.monitor.mon_commands import MonCommands
from mdsdaemon.embedded.monitor.mon_refused import MonRefused
from mdsdaemon.embedded.monitor.records import pack, unpack
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.encoding import encode
from mdsdaemon.maps.mon_map import MonFeature, MonInfo, MonMap
from mdsdaemon.messages.mon import MMonGetMap, MMonMap
from mdsdaemon.types.entity import MON, OSD
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.sys_info import collect_sys_info
from mdsdaemon.types.utime import from_seconds

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription

PACIFIC: Final = 16
ELECTION_EPOCH: Final = 3
"""What a monitor alone shows after its first election."""

MON_FEATURES: Final = 0xFF
"""kraken … pacific, elector-pinging: all that a 16.2.15 monitor has."""

REQUIRED_CON: Final = 2449958747317026820
"""Connection features that a Pacific monmap requires of other monitors, as a real one shows."""


class MonmapMonitor(Service):
    """See the module.

    Attributes:
        map: the present map; replace it by `change`.
    """

    name: ClassVar[str] = "monmap"
    subscriptions: ClassVar[tuple[str, ...]] = ("monmap",)

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.map = MonMap()
        self._maps: dict[int, bytes] = {}

    def command_rooms(self) -> Iterable[object]:
        return (MonCommands(self), MonRefused())

    # -- state ------------------------------------------------------------------------------

    def create_initial(self) -> None:
        now = from_seconds(self.mon.host.wall())
        new = MonMap(
            fsid=self.mon.fsid,
            created=now,
            last_changed=now,
            persistent_features=MonFeature(MON_FEATURES),
            min_mon_release=PACIFIC,
        )
        new.add(self.mon.name, self.mon.addrs)
        self._commit(new)

    def load(self, records: dict[str, bytes]) -> None:
        self._maps = dict(sorted((int(epoch), value) for epoch, value in records.items()))
        if self._maps:
            self.map = unpack(MonMap, self._maps[max(self._maps)])

    def started(self) -> None:
        if self.map.get_addrs(self.mon.name) != self.mon.addrs:
            self.change(self.map)

    def change(self, new: MonMap) -> None:
        """The next map: `new` with the next epoch, our present addresses and time of change."""
        new.last_changed = from_seconds(self.mon.host.wall())
        new.mon_info[self.mon.name].public_addrs = self.mon.addrs
        self._commit(new)

    def _commit(self, new: MonMap) -> None:
        new.epoch = max(self._maps, default=0) + 1
        self.map = new
        self._maps[new.epoch] = pack(new)
        self.put(str(new.epoch), self._maps[new.epoch])
        self.publish("monmap")

    def copy(self) -> MonMap:
        """The present map, to be edited and given to `change`."""
        return unpack(MonMap, self._maps[self.map.epoch])

    def infos(self) -> list[MonInfo]:
        """The monitors, in the order of their names."""
        return [info for _, info in sorted(self.map.mon_info.items())]

    def at(self, epoch: int | None) -> MonMap:
        """The map of an epoch, the present one for None. KeyError: there is none."""
        return self.map if epoch in (None, 0) else unpack(MonMap, self._maps[epoch or 0])

    def snapshot(self) -> Any:
        return pack(self.map)

    def restore(self, state: Any) -> None:
        old = unpack(MonMap, state)
        same = (old.mon_info[self.mon.name].weight, old.mon_info[self.mon.name].priority)
        mine = self.map.mon_info[self.mon.name]
        if same != (mine.weight, mine.priority):
            self.change(old)

    # -- clients ----------------------------------------------------------------------------

    @handles(MMonGetMap)
    def handle_get_map(self, session: MonSession, msg: MMonGetMap) -> None:
        """The map, once."""
        reply = self._message(session)
        reply.tid = msg.tid
        session.send(reply)

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        if sub.next <= self.map.epoch:
            session.send(self._message(session))
            session.sent(sub, self.map.epoch)

    def get_version(self, what: str) -> tuple[int, int] | None:
        return (self.map.epoch, min(self._maps)) if what == "monmap" else None

    def _message(self, session: MonSession) -> MMonMap:
        return MMonMap(encode(MonMap, self.map, session.features or FEATURES_ADVERTISED))

    # -- what commands show -----------------------------------------------------------------

    def dump_info(self) -> dict[str, Any]:
        return {
            "monmap_first_committed": min(self._maps),
            "monmap_last_committed": self.map.epoch,
            "monmap": self.map.dump(),
            "quorum": [0],
        }

    def quorum_age(self) -> int:
        """Seconds since this monitor became its own leader."""
        return int(self.mon.host.wall() - self.mon.start_time)

    def mon_status(self) -> dict[str, Any]:
        """`ceph tell mon.a mon_status` as JSON."""
        features = self.map.persistent_features.names()
        return {
            "name": self.mon.name,
            "rank": 0,
            "state": "leader",
            "election_epoch": ELECTION_EPOCH,
            "quorum": [0],
            "quorum_age": self.quorum_age(),
            "features": {
                "required_con": str(REQUIRED_CON),
                "required_mon": features,
                "quorum_con": str(FEATURES_ADVERTISED),
                "quorum_mon": features,
            },
            "outside_quorum": [],
            "extra_probe_peers": [],
            "sync_provider": [],
            "monmap": self.map.dump(),
            "feature_map": self.feature_map(),
            "stretch_mode": False,
        }

    def quorum_status(self) -> dict[str, Any]:
        """`ceph quorum_status` as JSON."""
        return {
            "election_epoch": ELECTION_EPOCH,
            "quorum": [0],
            "quorum_names": [self.mon.name],
            "quorum_leader_name": self.mon.name,
            "quorum_age": self.quorum_age(),
            "features": {
                "quorum_con": str(FEATURES_ADVERTISED),
                "quorum_mon": self.map.persistent_features.names(),
            },
            "monmap": self.map.dump(),
        }

    def feature_map(self) -> dict[str, list[dict[str, Any]]]:
        """How many peers of which type have which features (`ceph features`)."""
        count: Counter[tuple[int, str, int]] = Counter()
        count[MON, "mon", FEATURES_ADVERTISED] = 1
        if self.mon.osd.booted is not None:  # it has no session: it is of this process
            count[OSD, "osd", self.mon.osd.booted.features] = 1
        for session in self.mon.sessions:
            if session.con is not None and session.features:
                count[session.peer_type, session.type_name, session.features] += 1
        out: dict[str, list[dict[str, Any]]] = {}
        for (_, kind, features), number in sorted(count.items()):
            entry = {"features": f"{features:#x}", "release": "luminous", "num": number}
            out.setdefault(kind, []).append(entry)
        return out

    def metadata(self) -> dict[str, str]:
        """`ceph mon metadata`: what is known of the machine."""
        info = collect_sys_info("")
        del info["addr"]
        own = {"name": self.mon.name, "addrs": str(self.mon.addrs)}
        return {**own, **dict(sorted(info.items()))}
