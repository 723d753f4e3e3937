"""OSDMap::Incremental: from one epoch of the OSDMap to the next.

Format: ceph/ceph, src/osd/OSDMap.h and .cc (Pacific; versions above 9 of the inner structs: Reef).
"""

import uuid

from mdsdaemon.encoding import (
    F32,
    S32,
    S64,
    U8,
    U32,
    U64,
    Blob,
    Bool,
    DecodeError,
    List,
    Map,
    Set,
    Str,
    Time,
    Tuple,
    Uuid,
    decode,
    field,
    wire,
)
from mdsdaemon.maps.osd_map import NO_UUID, OSDXInfo, checked_crc
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.interval_set import IntervalSet
from mdsdaemon.types.osd import PG
from mdsdaemon.types.pool import NEVER, PGPool
from mdsdaemon.types.release import REEF_FEATURES

NO_RELEASE = 0xFF

_Addrs = Map(S32, EntityAddrVec)


@wire(versions=((REEF_FEATURES, 9, 1), (0, 8, 1)))
class IncrementalClientData:
    """The part of an incremental that clients read.

    Attributes:
        new_pool_max, new_flags, new_max_osd: -1 where they do not change.
        fullmap: a whole OSDMap instead of all that follows.
        crush: a whole CRUSH map, where it changes.
        new_state: bits to flip; 0 stands for OSD_UP.
        new_pg_temp: an empty list removes the entry, as -1 does in new_primary_temp.
    """

    fsid: uuid.UUID = field(Uuid, default=NO_UUID)
    epoch: int = field(U32, default=0)
    modified: int = field(Time, default=0)
    new_pool_max: int = field(S64, default=-1)
    new_flags: int = field(S32, default=-1)
    fullmap: bytes = field(Blob, default=b"")
    crush: bytes = field(Blob, default=b"")
    new_max_osd: int = field(S32, default=-1)
    new_pools: dict[int, PGPool] = field(Map(S64, PGPool), factory=dict)
    new_pool_names: dict[int, str] = field(Map(S64, Str), factory=dict)
    old_pools: set[int] = field(Set(S64), factory=set)
    new_up_client: dict[int, EntityAddrVec] = field(_Addrs, factory=dict)
    new_state: dict[int, int] = field(Map(S32, U32), factory=dict, since=5)
    new_weight: dict[int, int] = field(Map(S32, U32), factory=dict)
    new_pg_temp: dict[PG, list[int]] = field(Map(PG, List(S32)), factory=dict)
    new_primary_temp: dict[PG, int] = field(Map(PG, S32), factory=dict)
    new_primary_affinity: dict[int, int] = field(Map(S32, U32), factory=dict, since=2)
    new_erasure_code_profiles: dict[str, dict[str, str]] = field(
        Map(Str, Map(Str, Str)), factory=dict, since=3
    )
    old_erasure_code_profiles: list[str] = field(List(Str), factory=list, since=3)
    new_pg_upmap: dict[PG, list[int]] = field(Map(PG, List(S32)), factory=dict, since=4)
    old_pg_upmap: set[PG] = field(Set(PG), factory=set, since=4)
    new_pg_upmap_items: dict[PG, list[tuple[int, int]]] = field(
        Map(PG, List(Tuple(S32, S32))), factory=dict, since=4
    )
    old_pg_upmap_items: set[PG] = field(Set(PG), factory=set, since=4)
    new_removed_snaps: dict[int, dict[int, int]] = field(
        Map(S64, IntervalSet), factory=dict, since=6
    )
    new_purged_snaps: dict[int, dict[int, int]] = field(
        Map(S64, IntervalSet), factory=dict, since=6
    )
    new_last_up_change: int = field(Time, default=0, since=8)
    new_last_in_change: int = field(Time, default=0, since=8)
    new_pg_upmap_primary: dict[PG, int] = field(Map(PG, S32), factory=dict, since=9)
    old_pg_upmap_primary: set[PG] = field(Set(PG), factory=set, since=9)


def _osd_data_version(data: "IncrementalOSDData", v: int, compat: int) -> tuple[int, int]:
    if data.mutate_allow_crimson:
        return 12, compat
    if data.new_range_blocklist or data.old_range_blocklist:
        return 11, compat
    return (10, compat) if data.change_stretch_mode else (v, compat)


@wire(versions=((NEVER, 12, 1), (0, 9, 1)), by_value=_osd_data_version)
class IncrementalOSDData:
    """The part of an incremental that OSDs read; ratios are negative where they do not change."""

    new_hb_back_up: dict[int, EntityAddrVec] = field(_Addrs, factory=dict)
    new_up_thru: dict[int, int] = field(Map(S32, U32), factory=dict)
    new_last_clean_interval: dict[int, tuple[int, int]] = field(
        Map(S32, Tuple(U32, U32)), factory=dict
    )
    new_lost: dict[int, int] = field(Map(S32, U32), factory=dict)
    new_blocklist: dict[EntityAddr, int] = field(Map(EntityAddr, Time), factory=dict)
    old_blocklist: list[EntityAddr] = field(List(EntityAddr), factory=list)
    new_up_cluster: dict[int, EntityAddrVec] = field(_Addrs, factory=dict)
    cluster_snapshot: str = field(Str, default="")
    new_uuid: dict[int, uuid.UUID] = field(Map(S32, Uuid), factory=dict)
    new_xinfo: dict[int, OSDXInfo] = field(Map(S32, OSDXInfo), factory=dict)
    new_hb_front_up: dict[int, EntityAddrVec] = field(_Addrs, factory=dict)
    encode_features: int = field(U64, default=0, since=2)
    new_nearfull_ratio: float = field(F32, default=-1.0, since=3)
    new_full_ratio: float = field(F32, default=-1.0, since=3)
    new_backfillfull_ratio: float = field(F32, default=-1.0, since=4)
    new_require_min_compat_client: int = field(U8, default=NO_RELEASE, since=6)
    new_require_osd_release: int = field(U8, default=NO_RELEASE, since=6)
    new_crush_node_flags: dict[int, int] = field(Map(S32, U32), factory=dict, since=8)
    new_device_class_flags: dict[int, int] = field(Map(S32, U32), factory=dict, since=9)
    change_stretch_mode: bool = field(Bool, default=False, since=10)
    new_stretch_bucket_count: int = field(U32, default=0, since=10)
    new_degraded_stretch_mode: int = field(U32, default=0, since=10)
    new_recovering_stretch_mode: int = field(U32, default=0, since=10)
    new_stretch_mode_bucket: int = field(S32, default=0, since=10)
    stretch_mode_enabled: bool = field(Bool, default=False, since=10)
    new_range_blocklist: dict[EntityAddr, int] = field(
        Map(EntityAddr, Time), factory=dict, since=11
    )
    old_range_blocklist: list[EntityAddr] = field(List(EntityAddr), factory=list, since=11)
    mutate_allow_crimson: int = field(U8, default=0, since=12)


@wire(v=8, compat=7, ceph="OSDMap::Incremental")
class Incremental:
    """One step of the OSDMap.

    Attributes:
        inc_crc: over this encoding, without its own four bytes.
        full_crc: of the whole map that it leads to.
    """

    client: IncrementalClientData = field(IncrementalClientData, factory=IncrementalClientData)
    osd: IncrementalOSDData = field(IncrementalOSDData, factory=IncrementalOSDData)
    inc_crc: int = field(U32, default=0, since=8)
    full_crc: int = field(U32, default=0, since=8)

    @property
    def epoch(self) -> int:
        """The epoch that it leads to."""
        return self.client.epoch


def decode_incremental(data: bytes) -> Incremental:
    """Read an incremental and check its crc.

    Raises:
        DecodeError: it is malformed, or its crc is of other bytes.
    """
    found = decode(Incremental, data)
    actual, at = checked_crc(data)
    if actual != found.inc_crc:
        why = f"is {found.inc_crc:#x}, the bytes have {actual:#x}"
        raise DecodeError("Incremental", "inc_crc", at, why)
    return found
