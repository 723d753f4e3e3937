"""ceph_osd_op: one operation of a request to an OSD, its codes, flags and arguments.

Format: ceph/ceph, src/include/rados.h (struct ceph_osd_op), src/osd/osd_types.h (OSDOp), Pacific.

On the wire an operation is 38 bytes: u16 op, u32 flags, 28 bytes whose meaning depends on the op
(`args` here), and the u32 length of its part of the message's data segment. The structs below
(`EXTENT`, `XATTR`, …) read and write `args`.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Self

import attrs

_RD, _WR, _RMW, _CACHE = 0x1000, 0x2000, 0x3000, 0x8000
_DATA, _ATTR, _EXEC, _PG = 0x0200, 0x0300, 0x0400, 0x0500
TYPE_MASK = 0x0F00
MODE_RD, MODE_WR, MODE_CACHE = _RD, _WR, _CACHE
TYPE_PG = _PG


class Op(IntEnum):
    """CEPH_OSD_OP_*; mode (read, write), type (data, attribute, exec, pg) and number."""

    READ = _RD | _DATA | 1
    STAT = _RD | _DATA | 2
    MAPEXT = _RD | _DATA | 3
    MASKTRUNC = _RD | _DATA | 4
    SPARSE_READ = _RD | _DATA | 5
    NOTIFY = _RD | _DATA | 6
    NOTIFY_ACK = _RD | _DATA | 7
    ASSERT_VER = _RD | _DATA | 8
    LIST_WATCHERS = _RD | _DATA | 9
    LIST_SNAPS = _RD | _DATA | 10
    SYNC_READ = _RD | _DATA | 11
    TMAPGET = _RD | _DATA | 12
    OMAPGETKEYS = _RD | _DATA | 17
    OMAPGETVALS = _RD | _DATA | 18
    OMAPGETHEADER = _RD | _DATA | 19
    OMAPGETVALSBYKEYS = _RD | _DATA | 20
    OMAP_CMP = _RD | _DATA | 25
    ISDIRTY = _RD | _DATA | 29
    COPY_GET = _RD | _DATA | 30
    CHECKSUM = _RD | _DATA | 31
    CMPEXT = _RD | _DATA | 32

    WRITE = _WR | _DATA | 1
    WRITEFULL = _WR | _DATA | 2
    TRUNCATE = _WR | _DATA | 3
    ZERO = _WR | _DATA | 4
    DELETE = _WR | _DATA | 5
    APPEND = _WR | _DATA | 6
    STARTSYNC = _WR | _DATA | 7
    SETTRUNC = _WR | _DATA | 8
    TRIMTRUNC = _WR | _DATA | 9
    TMAPUP = _RMW | _DATA | 10
    TMAPPUT = _WR | _DATA | 11
    CREATE = _WR | _DATA | 13
    ROLLBACK = _WR | _DATA | 14
    WATCH = _WR | _DATA | 15
    OMAPSETVALS = _WR | _DATA | 21
    OMAPSETHEADER = _WR | _DATA | 22
    OMAPCLEAR = _WR | _DATA | 23
    OMAPRMKEYS = _WR | _DATA | 24
    COPY_FROM = _WR | _DATA | 26
    UNDIRTY = _WR | _DATA | 28
    TMAP2OMAP = _RMW | _DATA | 34
    SETALLOCHINT = _WR | _DATA | 35
    CACHE_PIN = _WR | _DATA | 36
    CACHE_UNPIN = _WR | _DATA | 37
    WRITESAME = _WR | _DATA | 38
    SET_REDIRECT = _WR | _DATA | 39
    TIER_PROMOTE = _WR | _DATA | 41
    UNSET_MANIFEST = _WR | _DATA | 42
    OMAPRMKEYRANGE = _WR | _DATA | 44
    COPY_FROM2 = _WR | _DATA | 45

    CACHE_FLUSH = _CACHE | _DATA | 31
    CACHE_EVICT = _CACHE | _DATA | 32
    CACHE_TRY_FLUSH = _CACHE | _DATA | 33
    SET_CHUNK = _CACHE | _DATA | 40
    TIER_FLUSH = _CACHE | _DATA | 43
    TIER_EVICT = _CACHE | _DATA | 44

    GETXATTR = _RD | _ATTR | 1
    GETXATTRS = _RD | _ATTR | 2
    CMPXATTR = _RD | _ATTR | 3
    SETXATTR = _WR | _ATTR | 1
    SETXATTRS = _WR | _ATTR | 2
    RESETXATTRS = _WR | _ATTR | 3
    RMXATTR = _WR | _ATTR | 4

    CALL = _RD | _EXEC | 1

    PGLS = _RD | _PG | 1
    PGLS_FILTER = _RD | _PG | 2
    PG_HITSET_LS = _RD | _PG | 3
    PG_HITSET_GET = _RD | _PG | 4
    PGNLS = _RD | _PG | 5
    PGNLS_FILTER = _RD | _PG | 6
    SCRUBLS = _RD | _PG | 7


USES_EXTENT = frozenset(
    map(
        int,
        (
            Op.READ,
            Op.MAPEXT,
            Op.MASKTRUNC,
            Op.SPARSE_READ,
            Op.SYNC_READ,
            Op.WRITE,
            Op.WRITEFULL,
            Op.TRUNCATE,
            Op.ZERO,
            Op.APPEND,
            Op.TRIMTRUNC,
            Op.CMPEXT,
        ),
    )
)
"""Operations whose `args` are an `EXTENT`."""


class Flag(IntFlag):
    """CEPH_OSD_FLAG_*: of a whole request."""

    ACK = 0x1
    ONNVRAM = 0x2
    ONDISK = 0x4
    RETRY = 0x8
    READ = 0x10
    WRITE = 0x20
    ORDERSNAP = 0x40
    BALANCE_READS = 0x100
    PARALLELEXEC = 0x200
    PGOP = 0x400
    EXEC = 0x800
    LOCALIZE_READS = 0x2000
    RWORDERED = 0x4000
    IGNORE_CACHE = 0x8000
    SKIPRWLOCKS = 0x10000
    IGNORE_OVERLAY = 0x20000
    FLUSH = 0x40000
    MAP_SNAP_CLONE = 0x80000
    ENFORCE_SNAPC = 0x100000
    REDIRECTED = 0x200000
    KNOWN_REDIR = 0x400000
    FULL_TRY = 0x800000
    FULL_FORCE = 0x1000000
    IGNORE_REDIRECT = 0x2000000
    RETURNVEC = 0x4000000


class OpFlag(IntFlag):
    """CEPH_OSD_OP_FLAG_*: of one operation."""

    EXCL = 0x1
    FAILOK = 0x2
    FADVISE_RANDOM = 0x4
    FADVISE_SEQUENTIAL = 0x8
    FADVISE_WILLNEED = 0x10
    FADVISE_DONTNEED = 0x20
    FADVISE_NOCACHE = 0x40
    WITH_REFERENCE = 0x80


class Cmp(IntEnum):
    """CEPH_OSD_CMPXATTR_OP_*."""

    EQ = 1
    NE = 2
    GT = 3
    GTE = 4
    LT = 5
    LTE = 6


CMPXATTR_MODE_STRING = 1
CMPXATTR_MODE_U64 = 2


class WatchOp(IntEnum):
    """CEPH_OSD_WATCH_OP_*."""

    UNWATCH = 0
    LEGACY_WATCH = 1
    WATCH = 3
    RECONNECT = 5
    PING = 7


class WatchEvent(IntEnum):
    """CEPH_WATCH_EVENT_*: opcode of an MWatchNotify."""

    NOTIFY = 1
    NOTIFY_COMPLETE = 2
    DISCONNECT = 3


class CopyFlag(IntFlag):
    """CEPH_OSD_COPY_FROM_FLAG_*."""

    FLUSH = 1
    IGNORE_OVERLAY = 2
    IGNORE_CACHE = 4
    MAP_SNAP_CLONE = 8
    RWORDERED = 16
    TRUNCATE_SEQ = 32


class ChecksumType(IntEnum):
    """CEPH_OSD_CHECKSUM_OP_TYPE_*."""

    XXHASH32 = 0
    XXHASH64 = 1
    CRC32C = 2


EXTENT = Struct("<QQQI")
"""offset, length, truncate_size, truncate_seq."""
XATTR = Struct("<IIBB18x")
"""name_len, value_len, cmp_op, cmp_mode."""
CLS = Struct("<BBBI21x")
"""class_len, method_len, argc, indata_len."""
PGLS_ARGS = Struct("<QI16x")
"""count, start_epoch."""
SNAP = Struct("<Q20x")
"""snapid."""
WATCH = Struct("<QQBII3x")
"""cookie, ver, op, gen, timeout (seconds)."""
COOKIE = Struct("<Q20x")
"""cookie of a notify."""
ASSERT_VER = Struct("<QQ12x")
"""unused, ver."""
COPY_FROM = Struct("<QQBI7x")
"""snapid, src_version, flags, src_fadvise_flags."""
ALLOC_HINT = Struct("<QQI8x")
"""expected_object_size, expected_write_size, flags."""
WRITESAME = Struct("<QQQ4x")
"""offset, length, data_length."""
CHECKSUM = Struct("<QQIB7x")
"""offset, length, chunk_size, type."""

NO_ARGS = bytes(28)


@attrs.define(slots=True, eq=True)
class OSDOp:
    """OSDOp: an operation with its input, and after it was done with its output and result.

    Attributes:
        op: an `Op`; also numbers that are none.
        flags: `OpFlag` bits.
        args: 28 bytes.
        indata, outdata: its parts of the request's and of the reply's data segment.
        rval: 0 or more, or -errno.
        payload_len: of a decoded operation: the length of its part of the data segment.
    """

    op: int
    flags: int = 0
    args: bytes = NO_ARGS
    indata: bytes = b""
    outdata: bytes = b""
    rval: int = 0
    payload_len: int = attrs.field(default=0, eq=False, repr=False)

    @classmethod
    def extent(
        cls,
        op: int,
        offset: int = 0,
        length: int = 0,
        data: bytes = b"",
        *,
        flags: int = 0,
        truncate_size: int = 0,
        truncate_seq: int = 0,
    ) -> Self:
        """READ, WRITE, WRITEFULL, APPEND, ZERO, TRUNCATE (to `offset`), CMPEXT, SPARSE_READ …"""
        args = EXTENT.pack(offset, length or len(data), truncate_size, truncate_seq)
        return cls(op, flags, args, data)

    @classmethod
    def xattr(cls, op: int, name: str, value: bytes = b"", cmp_op: int = 0, mode: int = 0) -> Self:
        """GETXATTR, SETXATTR, RMXATTR, CMPXATTR."""
        raw = name.encode("utf-8", "surrogateescape")
        return cls(op, 0, XATTR.pack(len(raw), len(value), cmp_op, mode), raw + value)

    @classmethod
    def call(cls, class_name: str, method: str, data: bytes = b"") -> Self:
        """CALL: a method of an object class."""
        names = class_name.encode() + method.encode()
        args = CLS.pack(len(class_name), len(method), 0, len(data))
        return cls(Op.CALL, 0, args, names + data)

    @property
    def name(self) -> str:
        """The operation's name as Ceph's constants have it, or its number."""
        try:
            return Op(self.op).name
        except ValueError:
            return f"{self.op:#x}"


def join_indata(ops: list[OSDOp]) -> bytes:
    """The data segment of a request."""
    return ops[0].indata if len(ops) == 1 else b"".join([op.indata for op in ops])


def join_outdata(ops: list[OSDOp]) -> bytes:
    """The data segment of a reply."""
    return ops[0].outdata if len(ops) == 1 else b"".join([op.outdata for op in ops])


def split_data(ops: list[OSDOp], data: bytes) -> list[bytes]:
    """The data segment's part for each operation, by `payload_len`.

    Raises:
        ValueError: the segment is shorter than the parts together.
    """
    if len(ops) == 1 and ops[0].payload_len == len(data):
        return [data]
    if sum(op.payload_len for op in ops) > len(data):
        raise ValueError(f"{len(data)} bytes of data are less than the operations claim")
    parts, at = [], 0
    for op in ops:
        parts.append(data[at : at + op.payload_len])
        at += op.payload_len
    return parts
