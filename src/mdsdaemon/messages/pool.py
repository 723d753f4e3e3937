"""Pools and their snapshots, usage, and OSD maps by number: what clients ask of a monitor.

Format: ceph/ceph, src/messages/MPoolOp.h, MPoolOpReply.h, MStatfs.h, MStatfsReply.h,
MGetPoolStats.h, MGetPoolStatsReply.h, MRemoveSnaps.h, MMonGetOSDMap.h, src/include/rados.h
(Pacific)
"""

import uuid
from typing import Final

from mdsdaemon.encoding import (
    S16,
    S32,
    S64,
    U8,
    U32,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Opt,
    Str,
    Uuid,
    field,
    wire,
)
from mdsdaemon.messages.base import Message, message
from mdsdaemon.messages.mon import NO_FSID, PaxosHeader
from mdsdaemon.types.object_stats import PoolStat

CEPH_MSG_MON_GET_OSDMAP = 6
CEPH_MSG_STATFS = 13
CEPH_MSG_STATFS_REPLY = 14
CEPH_MSG_POOLOP_REPLY = 48
CEPH_MSG_POOLOP = 49
MSG_GETPOOLSTATS = 58
MSG_GETPOOLSTATSREPLY = 59
MSG_REMOVE_SNAPS = 90

POOL_OP_CREATE: Final = 0x01
POOL_OP_DELETE: Final = 0x02
POOL_OP_AUID_CHANGE: Final = 0x03
POOL_OP_CREATE_SNAP: Final = 0x11
POOL_OP_DELETE_SNAP: Final = 0x12
POOL_OP_CREATE_UNMANAGED_SNAP: Final = 0x21
POOL_OP_DELETE_UNMANAGED_SNAP: Final = 0x22


@message(CEPH_MSG_POOLOP, v=4, compat=2)
class MPoolOp(Message):
    """Asks for one of POOL_OP_*: `name` is that of a new pool, or of a snapshot of `pool`."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    pool: int = field(U32, default=0)
    op: int = field(U32, default=0)
    auid: int = field(U64, default=0)
    snapid: int = field(U64, default=0)
    name: str = field(Str, default="")
    pad: int = field(U8, default=0, since=3)
    crush_rule: int = field(S16, default=-1, since=4)


@message(CEPH_MSG_POOLOP_REPLY, v=1)
class MPoolOpReply(Message):
    """The answer with the same tid: 0 or -errno, and the OSDMap's epoch that has the change.

    `response_data` is the new snapshot's id (u64) where one was made.
    """

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    reply_code: int = field(S32, default=0)
    epoch: int = field(U32, default=0)
    response_data: bytes | None = field(Opt(Blob), default=None)


@message(CEPH_MSG_STATFS, v=2, compat=1)
class MStatfs(Message):
    """Asks for the space of the cluster, or of one pool."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    data_pool: int | None = field(Opt(S64), default=None, since=2)


@message(CEPH_MSG_STATFS_REPLY, v=1)
class MStatfsReply(Message):
    """The answer with the same tid; sizes in KiB."""

    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    version: int = field(U64, default=0)
    kb: int = field(U64, default=0)
    kb_used: int = field(U64, default=0)
    kb_avail: int = field(U64, default=0)
    num_objects: int = field(U64, default=0)


@message(MSG_GETPOOLSTATS, v=1)
class MGetPoolStats(Message):
    """Asks for what the pools of these names hold."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    pools: list[str] = field(List(Str), factory=list)


@message(MSG_GETPOOLSTATSREPLY, v=2, compat=1)
class MGetPoolStatsReply(Message):
    """The answer with the same tid, by the pool's name.

    `per_pool`: the object store counts the bytes of each pool.
    """

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    pool_stats: dict[str, PoolStat] = field(Map(Str, PoolStat), factory=dict)
    per_pool: bool = field(Bool, default=False, since=2)


@message(MSG_REMOVE_SNAPS, v=1)
class MRemoveSnaps(Message):
    """Self-managed snapshots, by pool, that are gone; the monitor answers with the same."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    snaps: dict[int, list[int]] = field(Map(S32, List(U64)), factory=dict)


@wire()
class EpochRange:
    """Epochs from `first` to `last`; 0 for none."""

    first: int = field(U32, default=0)
    last: int = field(U32, default=0)


@message(CEPH_MSG_MON_GET_OSDMAP, v=1)
class MMonGetOSDMap(Message):
    """Asks for whole maps and incrementals of these epochs; the answer is an MOSDMap."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    full: EpochRange = field(EpochRange, factory=EpochRange)
    inc: EpochRange = field(EpochRange, factory=EpochRange)
