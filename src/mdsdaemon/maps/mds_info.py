"""mds_info_t: one metadata server daemon as the monitors see it.

Format: ceph/ceph, src/mds/MDSMap.h and .cc (Pacific; version 10 from 16.2.5).
"""

from typing import Any

from mdsdaemon.encoding import S32, U64, Bool, Set, Str, Time, field, wire
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_v16_2_4
from mdsdaemon.maps.formatting import dump_addrs, legacy_str
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.utime import utime_str

RANK_NONE = -1
GID_NONE = 0
FS_CLUSTER_ID_NONE = -1

FLAG_FROZEN = 1


@wire(v=10, compat=4, ceph="MDSMap::mds_info_t")
class MDSInfo:
    """One daemon.

    Attributes:
        global_id: the gid, which a monitor gave to this instance of the daemon.
        rank: the rank held, for STANDBY_REPLAY the rank followed, or RANK_NONE.
        inc: incarnation of the rank, counted up each time that a daemon takes it.
        state: a State, or a number of a newer release.
        state_seq: sequence number of the beacon that brought the last change of state.
        laggy_since: nanoseconds; 0 for a daemon whose beacons come in time.
        export_targets: ranks that subtrees are being moved to.
        join_fscid: the file system that the daemon prefers.
        compat: what the daemon knows; constant for the life of a process.
    """

    global_id: int = field(U64, default=GID_NONE)
    name: str = field(Str, default="")
    rank: int = field(S32, default=RANK_NONE)
    inc: int = field(S32, default=0)
    state: int = field(S32, default=State.STANDBY)
    state_seq: int = field(U64, default=0)
    addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    laggy_since: int = field(Time, default=0)
    standby_for_rank: int = field(S32, default=RANK_NONE)
    standby_for_name: str = field(Str, default="")
    export_targets: set[int] = field(Set(S32), factory=set, since=2)
    mds_features: int = field(U64, default=0, since=5)
    join_fscid: int = field(S32, default=FS_CLUSTER_ID_NONE, since=6)
    standby_replay: bool = field(Bool, default=False, since=7)
    flags: int = field(U64, default=0, since=9)
    compat: CompatSet = field(CompatSet, factory=get_compat_set_v16_2_4, since=10)

    @property
    def laggy(self) -> bool:
        """Whether the monitors miss its beacons."""
        return self.laggy_since != 0

    @property
    def is_degraded(self) -> bool:
        """Whether it is on the way from REPLAY to ACTIVE."""
        return State.REPLAY <= self.state <= State.CLIENTREPLAY

    @property
    def is_frozen(self) -> bool:
        """Whether an administrator forbade the monitors to touch it."""
        return bool(self.flags & FLAG_FROZEN)

    def dump(self) -> dict[str, Any]:
        """As ``ceph fs dump -f json`` of 16.2 shows it."""
        shown: dict[str, Any] = {
            "gid": self.global_id,
            "name": self.name,
            "rank": self.rank,
            "incarnation": self.inc,
            "state": state_name(self.state),
            "state_seq": self.state_seq,
            "addr": legacy_str(self.addrs),
            "addrs": dump_addrs(self.addrs),
            "join_fscid": self.join_fscid,
        }
        if self.laggy:
            shown["laggy_since"] = utime_str(self.laggy_since)
        shown["export_targets"] = sorted(self.export_targets)
        shown["features"] = self.mds_features
        shown["flags"] = self.flags
        shown["compat"] = self.compat.dump()
        return shown

    def __str__(self) -> str:
        parts = [f"mds.{self.name}{{{self.rank}:{self.global_id}}}"]
        parts.append(f"state {state_name(self.state)} seq {self.state_seq}")
        if self.laggy:
            parts.append(f"laggy since {utime_str(self.laggy_since)}")
        if self.export_targets:
            parts.append("export targets " + ",".join(map(str, sorted(self.export_targets))))
        if self.is_frozen:
            parts.append("frozen")
        if self.join_fscid != FS_CLUSTER_ID_NONE:
            parts.append(f"join_fscid={self.join_fscid}")
        parts.append(f"addr {self.addrs}")
        return "[" + " ".join(parts) + "]"
