"""What OSDs and their clients say to each other, and OSD maps as monitors (and OSDs) send them.

Format: ceph/ceph, src/messages/MOSDMap.h, MOSDOp.h, MOSDOpReply.h, MOSDBackoff.h, MWatchNotify.h
(Pacific)
"""

import uuid

import attrs

from mdsdaemon.encoding import (
    S32,
    S64,
    U8,
    U32,
    U64,
    Blob,
    Bool,
    Cursor,
    Custom,
    List,
    Map,
    Raw,
    Rest,
    Str,
    Time,
    Uuid,
    field,
)
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.entity import PeerName
from mdsdaemon.types.osd import (
    NOSNAP,
    PG,
    EVersion,
    HObject,
    ObjectLocator,
    OSDReqId,
    RequestRedirect,
    ShardedPG,
)
from mdsdaemon.types.osd_op import OSDOp, split_data

CEPH_MSG_OSD_MAP = 41
CEPH_MSG_OSD_OP = 42
CEPH_MSG_OSD_OPREPLY = 43
CEPH_MSG_WATCH_NOTIFY = 44
CEPH_MSG_OSD_BACKOFF = 61


@message(CEPH_MSG_OSD_MAP, v=4, compat=3)
class MOSDMap(Message):
    """Encoded maps by epoch: whole ones in `maps`, OSDMap::Incremental in `incremental_maps`.

    `oldest_map` and `newest_map` are the epochs that the sender has. The last field held removed
    snapshots before Octopus and is an empty map since.
    """

    fsid: uuid.UUID = field(Uuid)
    incremental_maps: dict[int, bytes] = field(Map(U32, Blob), factory=dict, repr=False)
    maps: dict[int, bytes] = field(Map(U32, Blob), factory=dict, repr=False)
    oldest_map: int = field(U32, default=0, since=2)
    newest_map: int = field(U32, default=0, since=2)
    gap_removed_snaps: bytes = field(Rest, default=bytes(4), since=4, repr=False)

    @property
    def first(self) -> int:
        """The lowest epoch in the message, 0 for none."""
        return min([*self.maps, *self.incremental_maps], default=0)

    @property
    def last(self) -> int:
        """The highest epoch in the message, 0 for none."""
        return max([*self.maps, *self.incremental_maps], default=0)


NO_REQID = OSDReqId(PeerName(0, 0))
"""The request is the sender's own."""
NO_REDIRECT = RequestRedirect()

_OP = struct_of("HI28sI")


def _read_ops(c: Cursor, count: int) -> list[OSDOp]:
    raw = c.raw(count * _OP.size)
    return [
        OSDOp(op, flags, args, b"", b"", 0, length)
        for op, flags, args, length in _OP.iter_unpack(raw)
    ]


def _decode_request_ops(c: Cursor) -> list[OSDOp]:
    return _read_ops(c, c.u16())


def _encode_request_ops(ops: list[OSDOp], out: bytearray, features: int) -> None:
    out += len(ops).to_bytes(2, "little")
    for op in ops:
        out += _OP.pack(op.op, op.flags, op.args, len(op.indata))


_RequestOps: Custom[list[OSDOp]] = Custom(_decode_request_ops, _encode_request_ops, 2)


@message(CEPH_MSG_OSD_OP, v=8, compat=3)
class MOSDOp(Message):
    """Operations on one object, or on one placement group, to be done together or not at all.

    `data` is the operations' input, one after another: `OSDOp.indata` says how much belongs to
    whom. A received message has the input in `data` only; `split_ops` hands it out. `hash` is the
    object's whole placement hash, `snapid` the snapshot to read (NOSNAP: the present), `snap_seq`
    and `snaps` the snapshots that exist for a write, newest first. `mtime` in nanoseconds.
    `reqid` is set where the request is not the sender's own; else it has only `inc`, and the
    sender's name and the tid make up the rest.
    """

    pgid: ShardedPG = field(ShardedPG, factory=ShardedPG)
    hash: int = field(U32, default=0)
    osdmap_epoch: int = field(U32, default=0)
    flags: int = field(U32, default=0)
    reqid: OSDReqId = field(OSDReqId, default=NO_REQID)
    trace: bytes = field(Raw(24), default=bytes(24), repr=False)
    client_inc: int = field(U32, default=0)
    mtime: int = field(Time, default=0)
    oloc: ObjectLocator = field(ObjectLocator, factory=ObjectLocator)
    oid: str = field(Str, default="")
    ops: list[OSDOp] = field(_RequestOps, factory=list)
    snapid: int = field(U64, default=NOSNAP)
    snap_seq: int = field(U64, default=0)
    snaps: list[int] = field(List(U64), factory=list)
    retry_attempt: int = field(S32, default=-1)
    features: int = field(U64, default=0)

    def split_ops(self) -> list[OSDOp]:
        """The operations of a received message, with their input.

        Raises ValueError: the data segment is shorter than the operations claim.
        """
        for op, part in zip(self.ops, split_data(self.ops, self.data), strict=True):
            op.indata = part
        return self.ops


@attrs.define
class OpResults:
    """What a reply says of its operations: each with its output and result, and the attempt.

    `retry_attempt` is that of the request: 0 for the first, -1 if not known.
    """

    ops: list[OSDOp] = attrs.Factory(list)
    retry_attempt: int = -1


def _decode_results(c: Cursor) -> OpResults:
    ops = _read_ops(c, c.count(_OP.size))
    made = OpResults(ops, c.s32())
    for op in ops:
        op.rval = c.s32()
    return made


def _encode_results(results: OpResults, out: bytearray, features: int) -> None:
    ops = results.ops
    out += len(ops).to_bytes(4, "little")
    for op in ops:
        out += _OP.pack(op.op, op.flags, op.args, len(op.outdata))
    out += struct_of(f"i{len(ops)}i").pack(results.retry_attempt, *[op.rval for op in ops])


_Results: Custom[OpResults] = Custom(_decode_results, _encode_results, 8)


@message(CEPH_MSG_OSD_OPREPLY, v=8, compat=2)
class MOSDOpReply(Message):
    """The answer to the `MOSDOp` of the same tid; `result` is 0 or more, or -errno.

    `user_version` is the version of the object that its users see. `data` is the operations'
    output, one after another; `split_ops` hands it out. A reply of before version 8 is refused:
    every OSD since Luminous writes it.
    """

    oid: str = field(Str, default="")
    pgid: PG = field(PG, factory=PG)
    flags: int = field(S64, default=0)
    result: int = field(S32, default=0)
    bad_replay_version: EVersion = field(EVersion, factory=EVersion)
    osdmap_epoch: int = field(U32, default=0)
    results: OpResults = field(_Results, factory=OpResults)
    replay_version: EVersion = field(EVersion, factory=EVersion)
    user_version: int = field(U64, default=0)
    do_redirect: bool = field(Bool, default=False)
    redirect: RequestRedirect = field(RequestRedirect, default=NO_REDIRECT, only_if="do_redirect")
    trace: bytes = field(Raw(24), default=bytes(24), repr=False)

    def split_ops(self) -> list[OSDOp]:
        """The operations of a received reply, with their output.

        Raises ValueError: the data segment is shorter than the operations claim.
        """
        ops = self.results.ops
        for op, part in zip(ops, split_data(ops, self.data), strict=True):
            op.outdata = part
        return ops


@message(CEPH_MSG_OSD_BACKOFF, v=1, compat=1)
class MOSDBackoff(Message):
    """An OSD asks a client to hold back requests to a range of objects, or to go on."""

    pgid: ShardedPG = field(ShardedPG, factory=ShardedPG)
    map_epoch: int = field(U32, default=0)
    op: int = field(U8, default=0)
    id: int = field(U64, default=0)
    begin: HObject = field(HObject, factory=HObject)
    end: HObject = field(HObject, factory=HObject)


@message(CEPH_MSG_WATCH_NOTIFY, v=3, compat=1)
class MWatchNotify(Message):
    """A notification to a watcher, its end to the notifier, or the end of a watch.

    `opcode` is a `WatchEvent`. A NOTIFY_COMPLETE has in `data` who answered what, and who did not.
    """

    msg_ver: int = field(U8, default=1, kw_only=True)
    opcode: int = field(U8, default=0)
    cookie: int = field(U64, default=0)
    ver: int = field(U64, default=0)
    notify_id: int = field(U64, default=0)
    bl: bytes = field(Blob, default=b"", repr=False, only_if="msg_ver >= 1")
    return_code: int = field(S32, default=0, since=2)
    notifier_gid: int = field(U64, default=0, since=3)
