"""The configuration database: its settings, their history, and what each session is told.

Behaviour: ceph/ceph, src/mon/ConfigMonitor.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import cbor2
from attrs import field, frozen

from mdsdaemon.embedded.monitor.config_commands import ConfigCommands
from mdsdaemon.embedded.monitor.config_map import ConfigMap, MaskedOption
from mdsdaemon.embedded.monitor.osd_crush import full_location, item_class
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.messages.config import MConfig, MGetConfig
from mdsdaemon.types.entity import OSD, EntityName
from mdsdaemon.types.utime import from_seconds, utime_str

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription

KEYS = "config/"
HISTORY = "config-history/"


@frozen
class ChangeSet:
    """One step of the history: key → (value before, value after), None where there is none."""

    version: int
    stamp: int = 0
    name: str = ""
    diff: dict[str, tuple[str | None, str | None]] = field(factory=dict, repr=False)

    def dump(self) -> dict[str, Any]:
        """As `config log` has it in JSON."""
        changes: list[dict[str, str]] = []
        for key, (old, new) in sorted(self.diff.items()):
            change = {"name": key}
            if old is not None:
                change["previous_value"] = old
            if new is not None:
                change["new_value"] = new
            changes.append(change)
        return {
            "version": self.version,
            "timestamp": utime_str(self.stamp),
            "name": self.name,
            "changes": changes,
        }

    def text(self) -> str:
        """As `config log` prints it."""
        name = f" --- {self.name}" if self.name else ""
        lines = [f"--- {self.version} --- {utime_str(self.stamp)}{name} ---"]
        for key, (old, new) in sorted(self.diff.items()):
            if old is not None:
                lines.append(f"- {key} = {old}")
            if new is not None:
                lines.append(f"+ {key} = {new}")
        return "\n".join(lines) + "\n"


class ConfigMonitor(Service):
    """See the module. The records lie in the config-key store, as people may look for them there.

    Attributes:
        map: the settings.
        version: of the newest change; the first state of a cluster is version 1.
    """

    name: ClassVar[str] = "config"
    subscriptions: ClassVar[tuple[str, ...]] = ("config",)

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.map = ConfigMap({})
        self.version = 1

    def command_rooms(self) -> Iterable[object]:
        return (ConfigCommands(self),)

    # -- state --------------------------------------------------------------------------------

    @property
    def entries(self) -> dict[str, str]:
        """All settings by key."""
        found = self.mon.kv.with_prefix(KEYS)
        return {
            key.removeprefix(KEYS): value.decode(errors="surrogateescape")
            for key, value in found.items()
        }

    def load(self, records: dict[str, bytes]) -> None:
        heads = [key for key in self.mon.kv.with_prefix(HISTORY) if key.count("/") == 2]
        numbers = [key.split("/")[1] for key in heads if key.endswith("/")]
        self.version = max([1, *(int(number) for number in numbers if number.isdigit())])
        self.reload()

    def started(self) -> None:
        self.reload()

    def snapshot(self) -> Any:
        """Nothing of its own."""

    def restore(self, state: Any) -> None:
        self.load({})

    def reload(self) -> None:
        """The store has changed below us: take its settings, tell everybody and ourselves."""
        self.map = ConfigMap(self.entries)
        self.publish("config")
        own = self._values(EntityName.parse(f"mon.{self.mon.name}"), self.mon_hostname)
        for problem in self.mon.config.set_mon_vals(own):
            self.mon.logger.info("configuration database: %s", problem)

    @property
    def mon_hostname(self) -> str:
        return self.mon.config.identity.hostname

    def change(self, changes: Mapping[str, str | None], description: str = "") -> None:
        """Set these keys (None: remove) as one step of the history; nothing if nothing changes."""
        entries = self.entries
        diff = {
            key: (entries.get(key), new) for key, new in changes.items() if entries.get(key) != new
        }
        if not diff:
            return
        self.version += 1
        head = f"{HISTORY}{self.version}/"
        stamp = from_seconds(self.mon.host.wall())
        self.mon.kv.set(head, cbor2.dumps([stamp, description]))
        for key, (old, new) in diff.items():
            if old is not None:
                self.mon.kv.set(f"{head}-{key}", old.encode(errors="surrogateescape"))
            if new is not None:
                self.mon.kv.set(f"{head}+{key}", new.encode(errors="surrogateescape"))
                self.mon.kv.set(KEYS + key, new.encode(errors="surrogateescape"))
            else:
                self.mon.kv.rm(KEYS + key)

    def change_set(self, version: int) -> ChangeSet:
        """One step of the history; an empty one for the first."""
        head = f"{HISTORY}{version}/"
        diff: dict[str, tuple[str | None, str | None]] = {}
        stamp, name = 0, ""
        for key, value in self.mon.kv.with_prefix(head).items():
            rest = key.removeprefix(head)
            if not rest:
                stamp, name = cbor2.loads(value)
                continue
            text = value.decode(errors="surrogateescape")
            old, new = diff.get(rest[1:], (None, None))
            diff[rest[1:]] = (text, new) if rest[0] == "-" else (old, text)
        return ChangeSet(version, stamp, name, diff)

    # -- what an entity is told ---------------------------------------------------------------

    def for_entity(self, name: EntityName, hostname: str = "") -> dict[str, MaskedOption]:
        """What is set for an entity (on a host of the CRUSH map), by option."""
        crush = self.mon.osd.map.client.crush
        names = {text: item for item, text in crush.name_map.items()}
        number = int(name.id) if name.type == OSD and name.id.isdigit() else -1
        device_class = ""
        place = names.get(hostname)
        if number >= 0:
            device_class = item_class(crush, number) or ""
            place = names.get(str(name), place)
        location: dict[str, str] = {}
        if place is not None:
            location = dict(full_location(crush, place))
            if place < 0 and (bucket := crush.bucket(place)) is not None:
                location[crush.type_map.get(bucket.type, "")] = hostname
        types = {text: number for number, text in crush.type_map.items()}
        return self.map.for_entity(name, location, device_class, types)

    def _values(self, name: EntityName, hostname: str) -> dict[str, str]:
        return {key: item.value for key, item in self.for_entity(name, hostname).items()}

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        values = self._values(session.entity_name, session.hostname)
        if values != session.last_config:
            session.last_config = values
            session.send(MConfig(values))
        if sub.onetime:
            session.subs.pop(sub.what, None)

    @handles(MGetConfig)
    def handle_get_config(self, session: MonSession, msg: MGetConfig) -> None:
        """The configuration of any name, once."""
        reply = MConfig(self._values(msg.name, msg.host))
        reply.tid = msg.tid
        session.send(reply)
