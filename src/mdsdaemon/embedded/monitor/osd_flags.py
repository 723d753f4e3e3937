"""Names of the bits of an OSDMap and of an OSD's state.

Format: ceph/ceph, src/include/rados.h, src/osd/OSDMap.cc (get_flag_string) (Pacific)
"""

from __future__ import annotations

from typing import Final

NOUP: Final = 1 << 5
NODOWN: Final = 1 << 6
NOOUT: Final = 1 << 7
NOIN: Final = 1 << 8
PAUSE: Final = 1 << 2 | 1 << 3
SORTBITWISE: Final = 1 << 15
RECOVERY_DELETES: Final = 1 << 19
PURGED_SNAPDIRS: Final = 1 << 20
PGLOG_HARDLIMIT: Final = 1 << 22

NEW_CLUSTER: Final = SORTBITWISE | RECOVERY_DELETES | PURGED_SNAPDIRS | PGLOG_HARDLIMIT
"""The flags of a new cluster."""

SEMIHIDDEN: Final = NEW_CLUSTER | 1 << 16 | 1 << 17 | 1 << 18
"""Flags that `osd stat` does not mention."""

SETTABLE: Final = {
    "pause": PAUSE,
    "noup": NOUP,
    "nodown": NODOWN,
    "noout": NOOUT,
    "noin": NOIN,
    "nobackfill": 1 << 9,
    "norebalance": 1 << 14,
    "norecover": 1 << 10,
    "noscrub": 1 << 11,
    "nodeep-scrub": 1 << 12,
    "notieragent": 1 << 13,
    "nosnaptrim": 1 << 21,
}
"""What `osd set` and `osd unset` take."""

WARN: Final = 1 << 4 | sum(SETTABLE.values())
"""Flags that are a health warning."""

_FLAGS: Final = {
    1 << 2: "pauserd",
    1 << 3: "pausewr",
    1 << 4: "pauserec",
    NOUP: "noup",
    NODOWN: "nodown",
    NOOUT: "noout",
    NOIN: "noin",
    1 << 9: "nobackfill",
    1 << 14: "norebalance",
    1 << 10: "norecover",
    1 << 11: "noscrub",
    1 << 12: "nodeep-scrub",
    1 << 13: "notieragent",
    1 << 21: "nosnaptrim",
    SORTBITWISE: "sortbitwise",
    1 << 16: "require_jewel_osds",
    1 << 17: "require_kraken_osds",
    1 << 18: "require_luminous_osds",
    RECOVERY_DELETES: "recovery_deletes",
    PURGED_SNAPDIRS: "purged_snapdirs",
    PGLOG_HARDLIMIT: "pglog_hardlimit",
}

OSD_FULL: Final = 1 << 4
OSD_NEARFULL: Final = 1 << 5
OSD_BACKFILLFULL: Final = 1 << 6
OSD_DESTROYED: Final = 1 << 7
OSD_NOUP: Final = 1 << 8
OSD_NODOWN: Final = 1 << 9
OSD_NOIN: Final = 1 << 10
OSD_NOOUT: Final = 1 << 11

_STATES: Final = (
    "exists", "up", "autoout", "new", "full", "nearfull", "backfillfull", "destroyed", "noup",
    "nodown", "noin", "noout", "stop",
)  # fmt: skip


def flag_names(flags: int) -> list[str]:
    """The names of the bits that are set, in Ceph's order."""
    return [name for bit, name in _FLAGS.items() if flags & bit]


def flag_string(flags: int) -> str:
    """``noout,sortbitwise``."""
    return ",".join(flag_names(flags))


def state_names(state: int) -> list[str]:
    """The names of the bits of an OSD's state, in alphabetical order."""
    return sorted(name for i, name in enumerate(_STATES) if state & 1 << i)
