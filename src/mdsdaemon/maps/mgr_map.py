"""MgrMap: the active manager and its standbys, and the modules that they run.

Format: ceph/ceph, src/mon/MgrMap.h (Pacific; version 12 from 16.2.8).
"""

from typing import Any

from mdsdaemon.encoding import U8, U32, U64, Bool, List, Map, Set, Str, Time, field, wire
from mdsdaemon.maps.formatting import dump_addrs, legacy_str
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.release import release_name
from mdsdaemon.types.utime import utime_str

_OPTION_TYPES = (
    *(
        "uint",
        "int",
        "str",
        "float",
        "bool",
        "addr",
        "addrvec",
        "uuid",
        "size",
        "secs",
        "millisecs",
    ),
)
_OPTION_LEVELS = ("basic", "advanced", "dev", "unknown")


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else "unknown"


@wire(v=1, compat=1, ceph="MgrMap::ModuleOption")
class ModuleOption:
    """One option of a manager module."""

    name: str = field(Str, default="")
    type: int = field(U8, default=2)
    level: int = field(U8, default=1)
    flags: int = field(U32, default=0)
    default_value: str = field(Str, default="")
    min: str = field(Str, default="")
    max: str = field(Str, default="")
    enum_allowed: set[str] = field(Set(Str), factory=set)
    desc: str = field(Str, default="")
    long_desc: str = field(Str, default="")
    tags: set[str] = field(Set(Str), factory=set)
    see_also: set[str] = field(Set(Str), factory=set)

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        return {
            "name": self.name,
            "type": _name(_OPTION_TYPES, self.type),
            "level": _name(_OPTION_LEVELS, self.level),
            "flags": self.flags,
            "default_value": self.default_value,
            "min": self.min,
            "max": self.max,
            "enum_allowed": sorted(self.enum_allowed),
            "desc": self.desc,
            "long_desc": self.long_desc,
            "tags": sorted(self.tags),
            "see_also": sorted(self.see_also),
        }


@wire(v=2, compat=1, ceph="MgrMap::ModuleInfo")
class ModuleInfo:
    """One manager module, and why it cannot run if it cannot."""

    name: str = field(Str, default="")
    can_run: bool = field(Bool, default=True)
    error_string: str = field(Str, default="")
    module_options: dict[str, ModuleOption] = field(Map(Str, ModuleOption), factory=dict, since=2)

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        options = sorted(self.module_options.items())
        return {
            "name": self.name,
            "can_run": self.can_run,
            "error_string": self.error_string,
            "module_options": {name: option.dump() for name, option in options},
        }


@wire(v=4, compat=1, ceph="MgrMap::StandbyInfo")
class StandbyInfo:
    """One manager that would take over."""

    gid: int = field(U64, default=0)
    name: str = field(Str, default="")
    available_module_names: set[str] = field(Set(Str), factory=set, since=2)
    available_modules: list[ModuleInfo] = field(List(ModuleInfo), factory=list, since=3)
    mgr_features: int = field(U64, default=0, since=4)

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        return {
            "gid": self.gid,
            "name": self.name,
            "mgr_features": self.mgr_features,
            "available_modules": [module.dump() for module in self.available_modules],
        }


@wire(v=12, compat=6, ceph="MgrMap")
class MgrMap:
    """Which manager is active and where; managers of before Nautilus are not understood.

    Attributes:
        active_addrs: where daemons report to; none while there is no active manager.
        active_gid: 0 while there is none.
        available: whether the active manager takes reports yet.
        clients_addrs, clients_names: the manager's own clients, which are fenced with it.
    """

    epoch: int = field(U32, default=0)
    active_addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    active_gid: int = field(U64, default=0)
    available: bool = field(Bool, default=False)
    active_name: str = field(Str, default="")
    standbys: dict[int, StandbyInfo] = field(Map(U64, StandbyInfo), factory=dict)
    modules: set[str] = field(Set(Str), factory=set)
    services: dict[str, str] = field(Map(Str, Str), factory=dict)
    available_modules: list[ModuleInfo] = field(List(ModuleInfo), factory=list)
    active_change: int = field(Time, default=0, since=7)
    always_on_modules: dict[int, set[str]] = field(Map(U32, Set(Str)), factory=dict, since=8)
    active_mgr_features: int = field(U64, default=0, since=9)
    last_failure_osd_epoch: int = field(U32, default=0, since=10)
    clients_addrs: list[EntityAddrVec] = field(List(EntityAddrVec), factory=list, since=11)
    clients_names: list[str] = field(List(Str), factory=list, since=12)

    def dump(self) -> dict[str, Any]:
        """As ``ceph mgr dump -f json`` of 16.2 shows it."""
        return {
            "epoch": self.epoch,
            "active_gid": self.active_gid,
            "active_name": self.active_name,
            "active_addrs": dump_addrs(self.active_addrs),
            "active_addr": legacy_str(self.active_addrs),
            "active_change": utime_str(self.active_change),
            "active_mgr_features": self.active_mgr_features,
            "available": self.available,
            "standbys": [standby.dump() for _, standby in sorted(self.standbys.items())],
            "modules": sorted(self.modules),
            "available_modules": [module.dump() for module in self.available_modules],
            "services": dict(sorted(self.services.items())),
            "always_on_modules": {
                release_name(release): sorted(modules)
                for release, modules in sorted(self.always_on_modules.items())
            },
            "last_failure_osd_epoch": self.last_failure_osd_epoch,
            "active_clients": self._dump_clients(),
        }

    def _dump_clients(self) -> list[dict[str, Any]]:
        if not self.clients_names:
            return [dump_addrs(addrs) for addrs in self.clients_addrs]
        pairs = zip(self.clients_names, self.clients_addrs, strict=False)
        return [{"name": name} | dump_addrs(addrs) for name, addrs in pairs]
