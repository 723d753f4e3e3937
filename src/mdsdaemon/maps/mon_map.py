"""MonMap: who the monitors are and where.

Format: ceph/ceph, src/mon/MonMap.h and .cc, src/mon/mon_types.h (Pacific).
"""

import uuid
from collections.abc import Iterable
from typing import Any

from mdsdaemon.encoding import (
    S32,
    U8,
    U16,
    U32,
    U64,
    Bool,
    List,
    Map,
    Set,
    Str,
    Time,
    Uuid,
    field,
    wire,
)
from mdsdaemon.maps.formatting import dump_addrs, legacy_str
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.release import release_name
from mdsdaemon.types.utime import utime_gmstr

PORT_MSGR2 = 3300
PORT_LEGACY = 6789

FEATURE_NAMES = (
    "kraken",
    "luminous",
    "mimic",
    "osdmap-prune",
    "nautilus",
    "octopus",
    "pacific",
    "elector-pinging",
    "quincy",
    "reef",
)
"""Monitor features by bit number."""


@wire(v=1, compat=1, ceph="mon_feature_t")
class MonFeature:
    """A set of monitor features, one bit each."""

    features: int = field(U64, default=0)

    def names(self) -> list[str]:
        """The features by name, "unknown" for bits of newer releases."""
        bits = [bit for bit in range(64) if self.features >> bit & 1]
        return [FEATURE_NAMES[b] if b < len(FEATURE_NAMES) else "unknown" for b in bits]


def _info_version(info: "MonInfo", v: int, compat: int) -> tuple[int, int]:
    return v, 4 if info.crush_loc else compat


@wire(v=5, compat=1, by_value=_info_version, ceph="mon_info_t")
class MonInfo:
    """One monitor: name, addresses, and how eagerly clients shall pick it.

    Monitors of the lowest ``priority`` are tried first, those of one priority by ``weight``.
    """

    name: str = field(Str)
    public_addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    priority: int = field(U16, default=0, since=2)
    weight: int = field(U16, default=0, since=4)
    crush_loc: dict[str, str] = field(Map(Str, Str), factory=dict, since=5)

    def __str__(self) -> str:
        return f"mon.{self.name} at {self.public_addrs}"


@wire(v=9, compat=6, ceph="MonMap")
class MonMap:
    """The monitors of a cluster, by name and in the order of their ranks.

    ``ranks`` and the keys of ``mon_info`` come from the wire and need not agree; the accessors take
    a rank whose name has no entry as not there.
    """

    fsid: uuid.UUID = field(Uuid, factory=lambda: uuid.UUID(int=0))
    epoch: int = field(U32, default=0)
    mon_addr: dict[str, EntityAddr] = field(Map(Str, EntityAddr), factory=dict, until=6)
    last_changed: int = field(Time, default=0)
    created: int = field(Time, default=0)
    persistent_features: MonFeature = field(MonFeature, factory=MonFeature, since=4)
    optional_features: MonFeature = field(MonFeature, factory=MonFeature, since=4)
    mon_info: dict[str, MonInfo] = field(Map(Str, MonInfo), factory=dict, since=5)
    ranks: list[str] = field(List(Str), factory=list, since=6)
    min_mon_release: int = field(U8, default=0, since=7)
    removed_ranks: set[int] = field(Set(S32), factory=set, since=8)
    strategy: int = field(U8, default=1, since=8)
    disallowed_leaders: set[str] = field(Set(Str), factory=set, since=8)
    stretch_mode_enabled: bool = field(Bool, default=False, since=9)
    tiebreaker_mon: str = field(Str, default="", since=9)
    stretch_marked_down_mons: set[str] = field(Set(Str), factory=set, since=9)

    def __attrs_post_init__(self) -> None:
        # maps of before Luminous have one address per monitor, maps of before Nautilus no ranks
        if self.mon_addr and not self.mon_info:
            for name, addr in self.mon_addr.items():
                self.mon_info[name] = MonInfo(name, EntityAddrVec.of(addr))
        if self.mon_addr and not self.ranks:
            self.calc_legacy_ranks()

    def calc_legacy_ranks(self) -> None:
        """Order the ranks by address, as maps of before Nautilus do."""

        def key(name: str) -> tuple[bytes, str]:
            addrs = self.mon_info[name].public_addrs
            front = addrs.legacy() or next(iter(addrs.addrs), EntityAddr())
            return front.sort_key(), name

        self.ranks = sorted(self.mon_info, key=key)

    def size(self) -> int:
        """How many monitors there are."""
        return len(self.mon_info)

    def add(
        self, name: str, addrs: EntityAddrVec, *, priority: int = 0, weight: int = 0
    ) -> MonInfo:
        """Add a monitor as the last rank.

        Raises:
            ValueError: the name is taken, or one of the addresses is.
        """
        if name in self.mon_info:
            raise ValueError(f"mon.{name} is in the monmap twice")
        owner = self.get_name_of(addrs)
        if owner is not None:
            raise ValueError(f"mon.{name} and mon.{owner} have the same address {addrs}")
        info = self.mon_info[name] = MonInfo(name, addrs, priority, weight)
        self.ranks.append(name)
        return info

    def add_ambiguous(self, name: str, addr: EntityAddr) -> None:
        """Add a monitor of which a person gave one address, perhaps without protocol or port.

        What is left open is filled in as Ceph does: 3300 speaks msgr2 and 6789 the old protocol;
        any other port may speak both, and without a port both usual ones are tried. An address
        that may be of the old protocol is entered as a further monitor ``name-legacy``. Addresses
        that are there already are not added again.
        """
        v1, v2 = EntityAddr.TYPE_LEGACY, EntityAddr.TYPE_MSGR2
        host, nonce, port = addr.host, addr.nonce, addr.port
        candidates: list[tuple[str, int, int]]
        if addr.type != EntityAddr.TYPE_ANY:
            usual = PORT_LEGACY if addr.type == v1 else PORT_MSGR2
            candidates = [(name, addr.type, port or usual)]
        elif port == PORT_LEGACY:
            candidates = [(name + "-legacy", v1, port)]
        elif port == PORT_MSGR2:
            candidates = [(name, v2, port)]
        else:
            candidates = [
                (name, v2, port or PORT_MSGR2),
                (name + "-legacy", v1, port or PORT_LEGACY),
            ]
        for label, kind, number in candidates:
            made = EntityAddrVec.of(EntityAddr(kind, nonce, host, number))
            if self.get_name_of(made) is None:
                self.add(label, made)

    def init_with_addrs(self, vectors: Iterable[EntityAddrVec], prefix: str = "noname-") -> None:
        """Add monitors of which only addresses are known, as ``noname-a``, ``noname-b``, …

        Raises:
            ValueError: an address is there twice.
        """
        for n, addrs in enumerate(vectors):
            name = prefix + (chr(ord("a") + n) if n < 26 else str(n))
            if len(addrs.addrs) == 1:
                self.add_ambiguous(name, addrs.addrs[0])
            else:
                self.add(name, addrs)

    def get_rank(self, name: str) -> int:
        """The rank of a monitor, -1 if it has none."""
        return self.ranks.index(name) if name in self.ranks else -1

    def get_addrs(self, name: str) -> EntityAddrVec:
        """The addresses of a monitor, none if it is not in the map."""
        info = self.mon_info.get(name)
        return info.public_addrs if info is not None else EntityAddrVec()

    def get_name_of(self, addrs: EntityAddrVec) -> str | None:
        """The monitor that has one of these addresses."""
        for name, info in self.mon_info.items():
            if any(addr in info.public_addrs for addr in addrs.addrs):
                return name
        return None

    def dump(self) -> dict[str, Any]:
        """As ``ceph mon dump -f json`` of 16.2 shows it, without the quorum."""
        shown = [name for name in self.ranks if name in self.mon_info]
        return {
            "epoch": self.epoch,
            "fsid": str(self.fsid),
            "modified": utime_gmstr(self.last_changed),
            "created": utime_gmstr(self.created),
            "min_mon_release": self.min_mon_release,
            "min_mon_release_name": release_name(self.min_mon_release),
            "election_strategy": self.strategy,
            "disallowed_leaders: ": ",".join(sorted(self.disallowed_leaders)),
            "stretch_mode": self.stretch_mode_enabled,
            "tiebreaker_mon": self.tiebreaker_mon,
            "removed_ranks: ": ",".join(map(str, sorted(self.removed_ranks))),
            "features": {
                "persistent": self.persistent_features.names(),
                "optional": self.optional_features.names(),
            },
            "mons": [_dump_mon(rank, self.mon_info[name]) for rank, name in enumerate(shown)],
        }

    def __str__(self) -> str:
        mons = ",".join(f"{n}={i.public_addrs}" for n, i in sorted(self.mon_info.items()))
        return f"e{self.epoch}: {self.size()} mons at {{{mons}}}"


def _dump_mon(rank: int, info: MonInfo) -> dict[str, Any]:
    location = ",".join(f"{k}={v}" for k, v in sorted(info.crush_loc.items()))
    return {
        "rank": rank,
        "name": info.name,
        "public_addrs": dump_addrs(info.public_addrs),
        "addr": legacy_str(info.public_addrs),
        "public_addr": legacy_str(info.public_addrs),
        "priority": info.priority,
        "weight": info.weight,
        "crush_location": "{" + location + "}",
    }
