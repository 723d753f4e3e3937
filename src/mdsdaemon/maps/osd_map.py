"""OSDMap: pools, OSDs, where they are, and which addresses are fenced.

Format: ceph/ceph, src/osd/OSDMap.h and .cc (Pacific; versions above 9 of the inner structs: Reef).
"""

import ipaddress
import uuid
from collections.abc import Callable
from typing import TypeVar

from mdsdaemon.checksum import crc32c
from mdsdaemon.encoding import (
    F32,
    S32,
    S64,
    U8,
    U32,
    U64,
    Bool,
    DecodeError,
    Framed,
    List,
    Map,
    Str,
    Time,
    Tuple,
    Uuid,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.interval_set import IntervalSet
from mdsdaemon.types.osd import PG
from mdsdaemon.types.pool import NEVER, PGPool
from mdsdaemon.types.release import REEF_FEATURES

OSD_EXISTS = 1 << 0
OSD_UP = 1 << 1
OSD_AUTOOUT = 1 << 2
OSD_NEW = 1 << 3
OSD_STOP = 1 << 12
OSD_OUT = 0
OSD_IN = 0x10000
DEFAULT_PRIMARY_AFFINITY = 0x10000

FLAG_NEARFULL = 1 << 0
FLAG_FULL = 1 << 1
FLAG_PAUSERD = 1 << 2
FLAG_PAUSEWR = 1 << 3

NO_UUID = uuid.UUID(int=0)

T = TypeVar("T")

_LEN = struct_of("I")


@wire(v=1, envelope="version", ceph="osd_info_t")
class OSDInfo:
    """osd_info_t: epochs of an OSD's ups and downs."""

    last_clean_begin: int = field(U32, default=0)
    last_clean_end: int = field(U32, default=0)
    up_from: int = field(U32, default=0)
    up_thru: int = field(U32, default=0)
    down_at: int = field(U32, default=0)
    lost_at: int = field(U32, default=0)


@wire(v=4, compat=1, ceph="osd_xinfo_t")
class OSDXInfo:
    """osd_xinfo_t: how often an OSD is slow; ``laggy_probability`` in units of 1/(2^32 - 1)."""

    down_stamp: int = field(Time, default=0)
    laggy_probability: int = field(U32, default=0)
    laggy_interval: int = field(U32, default=0)
    features: int = field(U64, default=0, since=2)
    old_weight: int = field(U32, default=0, since=3)
    last_purged_snaps_scrub: int = field(Time, default=0, since=4)
    dead_epoch: int = field(U32, default=0, since=4)


@wire(versions=((REEF_FEATURES, 10, 1), (0, 9, 1)))
class ClientData:
    """The part of an OSDMap that clients read."""

    fsid: uuid.UUID = field(Uuid, default=NO_UUID)
    epoch: int = field(U32, default=0)
    created: int = field(Time, default=0)
    modified: int = field(Time, default=0)
    pools: dict[int, PGPool] = field(Map(S64, PGPool), factory=dict)
    pool_name: dict[int, str] = field(Map(S64, Str), factory=dict)
    pool_max: int = field(S32, default=0)
    flags: int = field(U32, default=0)
    max_osd: int = field(S32, default=0)
    osd_state: list[int] = field(List(U32), factory=list, since=5)
    osd_weight: list[int] = field(List(U32), factory=list)
    client_addrs: list[EntityAddrVec] = field(List(EntityAddrVec), factory=list)
    pg_temp: dict[PG, list[int]] = field(Map(PG, List(S32)), factory=dict)
    primary_temp: dict[PG, int] = field(Map(PG, S32), factory=dict)
    osd_primary_affinity: list[int] = field(List(U32), factory=list, since=2)
    crush: CrushMap = field(Framed(CrushMap), factory=CrushMap)
    erasure_code_profiles: dict[str, dict[str, str]] = field(
        Map(Str, Map(Str, Str)), factory=dict, since=3
    )
    pg_upmap: dict[PG, list[int]] = field(Map(PG, List(S32)), factory=dict, since=4)
    pg_upmap_items: dict[PG, list[tuple[int, int]]] = field(
        Map(PG, List(Tuple(S32, S32))), factory=dict, since=4
    )
    crush_version: int = field(U32, default=0, since=6)
    new_removed_snaps: dict[int, dict[int, int]] = field(
        Map(S64, IntervalSet), factory=dict, since=7
    )
    new_purged_snaps: dict[int, dict[int, int]] = field(
        Map(S64, IntervalSet), factory=dict, since=7
    )
    last_up_change: int = field(Time, default=0, since=9)
    last_in_change: int = field(Time, default=0, since=9)
    pg_upmap_primaries: dict[PG, int] = field(Map(PG, S32), factory=dict, since=10)


def _osd_data_version(data: "OSDData", v: int, compat: int) -> tuple[int, int]:
    if data.allow_crimson:
        return 12, compat
    if data.range_blocklist:
        return 11, compat
    return (10, compat) if data.stretch_mode_enabled else (v, compat)


@wire(versions=((NEVER, 12, 1), (0, 9, 1)), by_value=_osd_data_version)
class OSDData:
    """The part of an OSDMap that OSDs read; versions above 9 only where they are needed."""

    hb_back_addrs: list[EntityAddrVec] = field(List(EntityAddrVec), factory=list)
    osd_info: list[OSDInfo] = field(List(OSDInfo), factory=list)
    blocklist: dict[EntityAddr, int] = field(Map(EntityAddr, Time), factory=dict)
    cluster_addrs: list[EntityAddrVec] = field(List(EntityAddrVec), factory=list)
    cluster_snapshot_epoch: int = field(U32, default=0)
    cluster_snapshot: str = field(Str, default="")
    osd_uuid: list[uuid.UUID] = field(List(Uuid), factory=list)
    osd_xinfo: list[OSDXInfo] = field(List(OSDXInfo), factory=list)
    hb_front_addrs: list[EntityAddrVec] = field(List(EntityAddrVec), factory=list)
    nearfull_ratio: float = field(F32, default=0.0, since=2)
    full_ratio: float = field(F32, default=0.0, since=2)
    backfillfull_ratio: float = field(F32, default=0.0, since=3)
    require_min_compat_client: int = field(U8, default=0, since=5)
    require_osd_release: int = field(U8, default=0, since=5)
    removed_snaps_queue: dict[int, dict[int, int]] = field(
        Map(S64, IntervalSet), factory=dict, since=6
    )
    crush_node_flags: dict[int, int] = field(Map(S32, U32), factory=dict, since=8)
    device_class_flags: dict[int, int] = field(Map(S32, U32), factory=dict, since=9)
    stretch_mode_enabled: bool = field(Bool, default=False, since=10)
    stretch_bucket_count: int = field(U32, default=0, since=10)
    degraded_stretch_mode: int = field(U32, default=0, since=10)
    recovering_stretch_mode: int = field(U32, default=0, since=10)
    stretch_mode_bucket: int = field(S32, default=0, since=10)
    range_blocklist: dict[EntityAddr, int] = field(Map(EntityAddr, Time), factory=dict, since=11)
    allow_crimson: bool = field(Bool, default=False, since=12)


@wire(v=8, compat=7, ceph="OSDMap")
class OSDMap:
    """A whole OSDMap: ``client`` is what clients read, ``osd`` the rest, ``crc`` over both.

    Read one from outside with ``decode_osd_map``, which checks the crc.
    """

    client: ClientData = field(ClientData, factory=ClientData)
    osd: OSDData = field(OSDData, factory=OSDData)
    crc: int = field(U32, default=0, since=8)

    @property
    def epoch(self) -> int:
        """The epoch of the map."""
        return self.client.epoch

    @property
    def fsid(self) -> uuid.UUID:
        """The cluster."""
        return self.client.fsid

    @property
    def pools(self) -> dict[int, PGPool]:
        """The pools by id."""
        return self.client.pools

    def lookup_pool(self, name: str) -> int:
        """The id of the pool of that name, -1 if there is none."""
        for number, pool_name in self.client.pool_name.items():
            if pool_name == name:
                return number
        return -1

    def test_flag(self, flag: int) -> bool:
        """Whether a FLAG_ bit is set."""
        return bool(self.client.flags & flag)

    def exists(self, osd: int) -> bool:
        """Whether there is such an OSD."""
        states = self.client.osd_state
        return 0 <= osd < len(states) and bool(states[osd] & OSD_EXISTS)

    def is_up(self, osd: int) -> bool:
        """Whether the OSD is running."""
        return self.exists(osd) and bool(self.client.osd_state[osd] & OSD_UP)

    def get_addrs(self, osd: int) -> EntityAddrVec:
        """Where clients reach the OSD; none if it is not there."""
        addrs = self.client.client_addrs
        return addrs[osd] if self.exists(osd) and osd < len(addrs) else EntityAddrVec()

    def is_blocklisted(self, addrs: EntityAddrVec) -> bool:
        """Whether one of the addresses is fenced: the instance, its host, or its network."""
        listed = self.osd.blocklist
        for addr in addrs.addrs:
            instance = EntityAddr(EntityAddr.TYPE_ANY, addr.nonce, addr.host, addr.port)
            host = EntityAddr(EntityAddr.TYPE_ANY, 0, addr.host, 0)
            if instance in listed or host in listed:
                return True
            if any(_in_range(addr, network) for network in self.osd.range_blocklist):
                return True
        return False

    def set_max_osd(self, count: int) -> None:
        """Make room for OSDs 0 to ``count - 1``, or forget those from ``count`` on."""
        client, osd = self.client, self.osd
        client.max_osd = count
        _resize(client.osd_state, count, int)
        _resize(client.osd_weight, count, lambda: OSD_OUT)
        for addrs in (
            client.client_addrs,
            osd.cluster_addrs,
            osd.hb_back_addrs,
            osd.hb_front_addrs,
        ):
            _resize(addrs, count, EntityAddrVec)
        _resize(osd.osd_info, count, OSDInfo)
        _resize(osd.osd_xinfo, count, OSDXInfo)
        _resize(osd.osd_uuid, count, lambda: NO_UUID)
        if client.osd_primary_affinity:
            _resize(client.osd_primary_affinity, count, lambda: DEFAULT_PRIMARY_AFFINITY)


def _resize(values: list[T], count: int, new: Callable[[], T]) -> None:
    del values[count:]
    values.extend(new() for _ in range(count - len(values)))


def _in_range(addr: EntityAddr, network: EntityAddr) -> bool:
    try:
        return ipaddress.ip_address(addr.host) in ipaddress.ip_network(
            f"{network.host}/{network.nonce}", strict=False
        )
    except ValueError:
        return False


def checked_crc(data: bytes) -> tuple[int, int]:
    """The crc of an encoded OSDMap or Incremental and where in it that crc lies.

    It covers everything but its own four bytes, which follow the two inner structs.

    Raises:
        DecodeError: the two structs are not there.
    """
    at = 6
    for _ in range(2):
        if at + 6 > len(data):
            raise DecodeError("OSDMap", "", at, "ends within its two inner structs")
        at += 6 + _LEN.unpack_from(data, at + 2)[0]
    if at + 4 > len(data):
        raise DecodeError("OSDMap", "crc", at, "is cut before its crc")
    # Ceph's crc32c neither inverts its result nor expects inverted input
    actual = crc32c(data[at + 4 :], crc32c(data[:at])) ^ 0xFFFFFFFF
    return actual, at


def decode_osd_map(data: bytes) -> OSDMap:
    """Read an OSDMap and check its crc.

    Raises:
        DecodeError: it is malformed, or its crc is of other bytes.
    """
    found = decode(OSDMap, data)
    actual, at = checked_crc(data)
    if actual != found.crc:
        raise DecodeError("OSDMap", "crc", at, f"is {found.crc:#x}, the bytes have {actual:#x}")
    return found


def encode_osd_map(osd_map: OSDMap, features: int) -> bytes:
    """Write an OSDMap, with its ``crc`` made anew and kept.

    Raises:
        EncodeError: a field's value does not fit its type.
    """
    data = bytearray(encode(OSDMap, osd_map, features))
    osd_map.crc, at = checked_crc(bytes(data))
    data[at : at + 4] = _LEN.pack(osd_map.crc)
    return bytes(data)
