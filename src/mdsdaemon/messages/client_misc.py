"""What else clients and servers say: claims after a failover, snapshots, quotas, metrics.

Format: ceph/ceph, src/messages/MClientReconnect.h, MClientReclaim.h, MClientReclaimReply.h,
MClientMetrics.h, MClientSnap.h, MClientQuota.h, src/mds/mdstypes.h and .cc (cap_reconnect_t,
snaprealm_reconnect_t) (Pacific).
"""

from typing import ClassVar

from mdsdaemon.encoding import (
    S32,
    S64,
    U32,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Str,
    Tail,
    Time,
    field,
    wire,
)
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.caps import CapReconnect, CapReconnectBody
from mdsdaemon.types.client_metrics import ClientMetric
from mdsdaemon.types.client_ops import snap_op_name
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.features import FLOCK, MDSENC
from mdsdaemon.types.stats import QuotaInfo

CEPH_MSG_CLIENT_RECONNECT = 23
CEPH_MSG_CLIENT_RECLAIM = 27
CEPH_MSG_CLIENT_RECLAIM_REPLY = 28
CEPH_MSG_CLIENT_METRICS = 29
CEPH_MSG_CLIENT_SNAP = 0x312
CEPH_MSG_CLIENT_QUOTA = 0x314

RECLAIM_RESET = 1
"""`flags` of an MClientReclaim: the old session is to be closed."""
RECLAIM_FINISH = 1 << 31


@wire()
class CapReconnectV2:
    """cap_reconnect_t of clients before feature MDSENC."""

    path: str = field(Str, default="")
    body: CapReconnectBody = field(CapReconnectBody, factory=CapReconnectBody)


@wire()
class CapReconnectV1:
    """old_cap_reconnect_t, of clients before feature FLOCK."""

    path: str = field(Str, default="")
    cap_id: int = field(U64, default=0)
    wanted: int = field(U32, default=0)
    issued: int = field(U32, default=0)
    old_size: int = field(U64, default=0)
    old_mtime: int = field(Time, default=0)
    old_atime: int = field(Time, default=0)
    snaprealm: int = field(U64, default=0)
    pathbase: int = field(U64, default=0)


@wire()
class OldSnapRealmReconnect:
    """ceph_mds_snaprealm_reconnect: a realm that a client knows, `seq` its snapshots' newest."""

    ino: int = field(U64, default=0)
    seq: int = field(U64, default=0)
    parent: int = field(U64, default=0)


@wire(v=1, compat=1)
class SnapRealmReconnect(OldSnapRealmReconnect):
    """snaprealm_reconnect_t: the same with an envelope."""


@message(CEPH_MSG_CLIENT_RECONNECT, v=5, compat=4)
class MClientReconnect(Message):
    """What a client holds, claimed from a server that has taken over. The payload lies in `data`.

    Attributes:
        caps: by inode number; `body.flocks` is empty or a `types.client_locks.ReconnectLocks`.
        realms: the snapshot realms that they are in.
        more: another message follows.
        caps_v1, caps_v2, old_realms: of old clients; `received` moves them to `caps` and `realms`.
    """

    PAYLOAD_IN_DATA: ClassVar[bool] = True

    caps_v1: dict[int, CapReconnectV1] = field(
        Map(U64, CapReconnectV1), factory=dict, until=2, repr=False
    )
    caps_v2: dict[int, CapReconnectV2] = field(
        Map(U64, CapReconnectV2), factory=dict, since=2, until=3, repr=False
    )
    caps: dict[int, CapReconnect] = field(Map(U64, CapReconnect), factory=dict, since=3)
    old_realms: list[OldSnapRealmReconnect] = field(
        Tail(OldSnapRealmReconnect), factory=list, until=4, repr=False
    )
    realms: list[SnapRealmReconnect] = field(List(SnapRealmReconnect), factory=list, since=4)
    more: bool = field(Bool, default=False, since=5)

    def received(self) -> None:
        for ino, cap in self.caps_v2.items():
            self.caps[ino] = CapReconnect(cap.path, cap.body)
        for ino, old in self.caps_v1.items():
            body = CapReconnectBody(old.cap_id, old.wanted, old.issued, old.snaprealm, old.pathbase)
            self.caps[ino] = CapReconnect(old.path, body)
        self.realms += [SnapRealmReconnect(r.ino, r.seq, r.parent) for r in self.old_realms]
        self.caps_v1, self.caps_v2, self.old_realms = {}, {}, []


def old_reconnect_version(features: int) -> int:
    """The version that clients send to servers without feature "multi_reconnect"."""
    if features & MDSENC == MDSENC:
        return 3
    return 2 if features & FLOCK == FLOCK else 1


@message(CEPH_MSG_CLIENT_RECLAIM, v=1, compat=1)
class MClientReclaim(Message):
    """A client takes over what a dead client, known as `uuid`, had; or is done with it."""

    uuid: str = field(Str, default="")
    flags: int = field(U32, default=0)


@message(CEPH_MSG_CLIENT_RECLAIM_REPLY, v=1, compat=1)
class MClientReclaimReply(Message):
    """0 or -errno; from OSD map `epoch` on the old client at `addrs` is blocklisted."""

    result: int = field(S32, default=0)
    epoch: int = field(U32, default=0)
    addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)


@message(CEPH_MSG_CLIENT_METRICS, v=1, compat=1)
class MClientMetrics(Message):
    """How a client fares: cache hits, latencies, open files."""

    updates: list[ClientMetric] = field(List(ClientMetric), factory=list)


@message(CEPH_MSG_CLIENT_SNAP, v=1)
class MClientSnap(Message):
    """Snapshots have come or gone; `op` is a `SnapOp`.

    Attributes:
        split: of a SPLIT: the directory that is a realm of its own now, with the inodes
            `split_inos` and the realms `split_realms` below it.
        trace: realms, innermost first (`client_reply.decode_snap_trace`).
    """

    op: int = field(U32, default=0)
    split: int = field(U64, default=0)
    num_split_inos: int = field(U32, default=0, length_of="split_inos", repr=False, eq=False)
    num_split_realms: int = field(U32, default=0, length_of="split_realms", repr=False, eq=False)
    trace_len: int = field(U32, default=0, length_of="trace", repr=False, eq=False)
    split_inos: list[int] = field(List(U64), factory=list, counted_by="num_split_inos")
    split_realms: list[int] = field(List(U64), factory=list, counted_by="num_split_realms")
    trace: bytes = field(Blob, default=b"", counted_by="trace_len", repr=False)

    def __str__(self) -> str:
        split = f" split=0x{self.split:x}" if self.split else ""
        return f"client_snap({snap_op_name(self.op)}{split} tracelen={len(self.trace)})"


@message(CEPH_MSG_CLIENT_QUOTA, v=1)
class MClientQuota(Message):
    """The quota of directory `ino`, and what is below it now."""

    ino: int = field(U64)
    rctime: int = field(Time, default=0)
    rbytes: int = field(S64, default=0)
    rfiles: int = field(S64, default=0)
    rsubdirs: int = field(S64, default=0)
    quota: QuotaInfo = field(QuotaInfo, factory=QuotaInfo)
