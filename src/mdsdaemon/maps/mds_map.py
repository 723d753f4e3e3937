"""MDSMap: a file system's ranks, and the daemons that hold them.

Format: ceph/ceph, src/mds/MDSMap.h and .cc (Pacific), and for ``ev`` above 16 those of Reef and
Squid.
"""

from typing import Any

from mdsdaemon.encoding import (
    S32,
    S64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    Cursor,
    Custom,
    List,
    Map,
    Set,
    Str,
    Time,
    field,
    wire,
)
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_default
from mdsdaemon.maps.mds_info import GID_NONE, RANK_NONE, MDSInfo
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.feature_bitset import FeatureBitset, dump_cephfs_features
from mdsdaemon.types.utime import utime_str

FLAG_NOT_JOINABLE = 1 << 0
FLAG_ALLOW_SNAPS = 1 << 1
FLAG_ALLOW_MULTIMDS_SNAPS = 1 << 4
FLAG_ALLOW_STANDBY_REPLAY = 1 << 5
FLAG_REFUSE_CLIENT_SESSION = 1 << 6
FLAG_REFUSE_STANDBY_FOR_ANOTHER_FS = 1 << 7
FLAG_BALANCE_AUTOMATE = 1 << 8
FLAGS_DEFAULT = FLAG_ALLOW_SNAPS | FLAG_ALLOW_MULTIMDS_SNAPS

EPOCH_NULL_MAP = 2**32 - 1
"""The epoch of the empty map that monitors from Reef on send to a daemon that they do not know."""

MAX_XATTR_SIZE = 64 << 10
ALL_RANKS = "-1"


def _xattr_size_first(c: Cursor) -> bool:
    """Whether the fields that came with ev 17 and 18 lie in the order of the other branch.

    Releases disagree on which of the two came first: 18.2.0 has the string ``bal_rank_mask`` first,
    others (Quincy, 18.2.1) the u64 ``max_xattr_size``. The string's length, read as if it came
    first, shows which: it ends the map, or leaves room for the u64.
    """
    left = c.remaining()
    if left < 4:
        return False
    length = int.from_bytes(c.buffer[c.offset : c.offset + 4], "little")
    return not (length + 4 == left or length + 12 <= left)


_XattrSizeFirst: Custom[bool] = Custom(_xattr_size_first, lambda value, out, features: None)


@wire(v=5, compat=4, ceph="MDSMap")
class MDSMap:
    """One file system, or, for a daemon without a rank, what the monitor lets it see of itself.

    Attributes:
        epoch: of this map; epochs of one daemon never fall.
        flags: the FLAG_ bits.
        last_failure, last_failure_osd_epoch: map and OSDMap epochs of the last failure of a rank; a
            rank that starts to replay waits for that OSDMap.
        session_timeout, session_autoclose: seconds.
        mds_info: the daemons by gid; ``up`` names those that hold a rank.
        in_: the ranks that make up the file system; ``failed`` and ``damaged`` are those of them
            that no daemon holds. (``in`` is a word of Python's.)
        inc: not used by any release since Luminous; written as the epoch for each rank.
        compat: what the file system needs its daemons to know.
        ev: the version of everything from ``compat`` on.
    """

    epoch: int = field(U32, default=0)
    flags: int = field(U32, default=FLAGS_DEFAULT)
    last_failure: int = field(U32, default=0)
    root: int = field(S32, default=0)
    session_timeout: int = field(U32, default=60)
    session_autoclose: int = field(U32, default=300)
    max_file_size: int = field(U64, default=1 << 40)
    max_mds: int = field(S32, default=1)
    mds_info: dict[int, MDSInfo] = field(Map(U64, MDSInfo), factory=dict)
    data_pools: list[int] = field(List(S64), factory=list)
    cas_pool: int = field(S64, default=-1)
    ev: int = field(U16, default=16)
    compat: CompatSet = field(CompatSet, factory=get_compat_set_default)
    metadata_pool: int = field(S64, default=-1)
    created: int = field(Time, default=0)
    modified: int = field(Time, default=0)
    tableserver: int = field(S32, default=0)
    in_: set[int] = field(Set(S32), factory=set)
    inc: dict[int, int] = field(Map(S32, S32), factory=dict)
    up: dict[int, int] = field(Map(S32, U64), factory=dict)
    failed: set[int] = field(Set(S32), factory=set)
    stopped: set[int] = field(Set(S32), factory=set)
    last_failure_osd_epoch: int = field(U32, default=0)
    ever_allowed_features: int = field(U8, default=0, only_if="ev >= 6")
    explicitly_allowed_features: int = field(U8, default=0, only_if="ev >= 6")
    inline_data_enabled: bool = field(Bool, default=False, only_if="ev >= 7")
    enabled: bool = field(Bool, default=False, only_if="ev >= 8")
    fs_name: str = field(Str, default="cephfs", only_if="ev >= 8")
    damaged: set[int] = field(Set(S32), factory=set, only_if="ev >= 9")
    balancer: str = field(Str, default="", only_if="ev >= 11")
    standby_count_wanted: int = field(S32, default=-1, only_if="ev >= 12")
    old_max_mds: int = field(S32, default=0, only_if="ev >= 13")
    min_compat_client: int = field(U8, default=0, only_if="ev >= 14")
    required_client_features: FeatureBitset = field(
        FeatureBitset, factory=FeatureBitset, only_if="ev >= 16"
    )
    xattr_size_first: bool = field(_XattrSizeFirst, default=False, only_if="ev >= 17")
    early_xattr_size: int = field(
        U64, default=MAX_XATTR_SIZE, only_if="ev >= 17 and xattr_size_first"
    )
    bal_rank_mask: str = field(
        Str, default=ALL_RANKS, only_if="ev >= 18 or ev == 17 and not xattr_size_first"
    )
    late_xattr_size: int = field(
        U64, default=MAX_XATTR_SIZE, only_if="ev >= 18 and not xattr_size_first"
    )
    qdb_cluster_leader: int = field(U64, default=GID_NONE, only_if="ev >= 19")
    qdb_cluster_members: set[int] = field(Set(U64), factory=set, only_if="ev >= 19")

    # -- daemons -----------------------------------------------------------------------------

    def get_rank_gid(self, gid: int) -> int:
        """The rank of a daemon (of a standby-replay one, the rank it follows), or RANK_NONE."""
        info = self.mds_info.get(gid)
        return info.rank if info is not None else RANK_NONE

    def get_state_gid(self, gid: int) -> int:
        """The state of a daemon, State.NULL if it is not in the map."""
        info = self.mds_info.get(gid)
        return info.state if info is not None else State.NULL

    def get_inc_gid(self, gid: int) -> int:
        """The incarnation of the rank that a daemon holds, -1 if it is not in the map."""
        info = self.mds_info.get(gid)
        return info.inc if info is not None else -1

    def is_dne_gid(self, gid: int) -> bool:
        """Whether the daemon is not in the map."""
        return gid not in self.mds_info

    def is_laggy_gid(self, gid: int) -> bool:
        """Whether the monitors miss the daemon's beacons."""
        info = self.mds_info.get(gid)
        return info is not None and info.laggy

    def find_mds_gid_by_name(self, name: str) -> int:
        """The gid of the daemon of that name, or GID_NONE."""
        for gid, info in self.mds_info.items():
            if info.name == name:
                return gid
        return GID_NONE

    def get_num_mds(self, state: int) -> int:
        """How many daemons are in the state."""
        return sum(info.state == state for info in self.mds_info.values())

    # -- ranks -------------------------------------------------------------------------------

    def get_info(self, rank: int) -> MDSInfo | None:
        """The daemon that holds a rank, None if none does."""
        gid = self.up.get(rank)
        return self.mds_info.get(gid) if gid is not None else None

    def get_state(self, rank: int) -> int:
        """The state of a rank, State.NULL if no daemon holds it."""
        info = self.get_info(rank)
        return info.state if info is not None else State.NULL

    def get_incarnation(self, rank: int) -> int:
        """The incarnation of a rank, GID_NONE (0) if no daemon holds it."""
        gid = self.up.get(rank)
        return self.get_inc_gid(gid) if gid is not None else GID_NONE

    def get_addrs(self, rank: int) -> EntityAddrVec:
        """The addresses of the daemon that holds a rank, none if no daemon does."""
        info = self.get_info(rank)
        return info.addrs if info is not None else EntityAddrVec()

    def is_up(self, rank: int) -> bool:
        """Whether a daemon holds the rank."""
        return rank in self.up

    def is_in(self, rank: int) -> bool:
        """Whether the rank is part of the file system, held or failed."""
        return rank in self.up or rank in self.failed

    def get_standby_replay(self, rank: int) -> int:
        """The gid of the daemon that follows the rank, or GID_NONE."""
        for gid, info in self.mds_info.items():
            if info.rank == rank and info.state == State.STANDBY_REPLAY:
                return gid
        return GID_NONE

    def get_mds_set(self, *states: int) -> set[int]:
        """The ranks of the daemons in one of the states."""
        return {info.rank for info in self.mds_info.values() if info.state in states}

    def get_mds_set_lower_bound(self, first: int) -> set[int]:
        """The ranks of the daemons from ``first`` up to STOPPING in the order of states."""
        infos = self.mds_info.values()
        return {info.rank for info in infos if first <= info.state <= State.STOPPING}

    def get_recovery_mds_set(self) -> set[int]:
        """The ranks that take part in a recovery, those without a daemon included."""
        return self.failed | self.damaged | self.get_mds_set_lower_bound(State.REPLAY)

    def is_degraded(self) -> bool:
        """Whether a rank is without a daemon or recovering."""
        recovering = any(info.is_degraded for info in self.mds_info.values())
        return bool(self.failed or self.damaged) or recovering

    def is_resolving(self) -> bool:
        """Whether all ranks have replayed and some still resolve."""
        return (
            self.get_num_mds(State.RESOLVE) > 0
            and self.get_num_mds(State.REPLAY) == 0
            and not (self.failed or self.damaged)
        )

    def is_rejoining(self) -> bool:
        """Whether some rank rejoins and none is in a step before that."""
        before = (State.REPLAY, State.RECONNECT, State.RESOLVE)
        return (
            self.get_num_mds(State.REJOIN) > 0
            and all(self.get_num_mds(state) == 0 for state in before)
            and not (self.failed or self.damaged)
        )

    def get_up_features(self) -> int:
        """The feature bits that all daemons with a rank have; 0 without any."""
        holders = [info for gid in self.up.values() if (info := self.mds_info.get(gid))]
        if not holders:
            return 0
        features = holders[0].mds_features
        for info in holders:
            features &= info.mds_features
        return features

    # -- the file system ---------------------------------------------------------------------

    @property
    def max_xattr_size(self) -> int:
        """The most bytes that the extended attributes of a file may take."""
        return self.early_xattr_size if self.xattr_size_first else self.late_xattr_size

    def test_flag(self, flag: int) -> bool:
        """Whether a FLAG_ bit is set."""
        return bool(self.flags & flag)

    def is_data_pool(self, pool: int) -> bool:
        """Whether file data lies in the pool."""
        return pool in self.data_pools

    def get_first_data_pool(self) -> int:
        """The pool of files without a layout of their own, -1 if there is none."""
        return self.data_pools[0] if self.data_pools else -1

    def dump(self) -> dict[str, Any]:
        """As ``ceph fs dump -f json`` of 16.2 shows it."""
        return {
            "epoch": self.epoch,
            "flags": self.flags,
            "ever_allowed_features": self.ever_allowed_features,
            "explicitly_allowed_features": self.explicitly_allowed_features,
            "created": utime_str(self.created),
            "modified": utime_str(self.modified),
            "tableserver": self.tableserver,
            "root": self.root,
            "session_timeout": self.session_timeout,
            "session_autoclose": self.session_autoclose,
            "required_client_features": dump_cephfs_features(self.required_client_features),
            "max_file_size": self.max_file_size,
            "last_failure": self.last_failure,
            "last_failure_osd_epoch": self.last_failure_osd_epoch,
            "compat": self.compat.dump(),
            "max_mds": self.max_mds,
            "in": sorted(self.in_),
            "up": {f"mds_{rank}": gid for rank, gid in sorted(self.up.items())},
            "failed": sorted(self.failed),
            "damaged": sorted(self.damaged),
            "stopped": sorted(self.stopped),
            "info": {f"gid_{gid}": info.dump() for gid, info in sorted(self.mds_info.items())},
            "data_pools": list(self.data_pools),
            "metadata_pool": self.metadata_pool,
            "enabled": self.enabled,
            "fs_name": self.fs_name,
            "balancer": self.balancer,
            "standby_count_wanted": max(0, self.standby_count_wanted),
        }
