"""What the objecter keeps of one request, and of one OSD.

Behaviour: ceph/ceph, src/osdc/Objecter.h (Op, OSDSession, OSDBackoff), .cc (_send_op) (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import Result
from mdsdaemon.clients.objecter_target import HObjectKey, Target, hobject_key
from mdsdaemon.messages.osd import MOSDBackoff
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.osd import NOSNAP, OSDReqId, ShardedPG
from mdsdaemon.types.osd_op import EXTENT as EXTENT_ARGS
from mdsdaemon.types.osd_op import MODE_RD, MODE_WR, USES_EXTENT, OSDOp

BACKOFF_BLOCK = 1
BACKOFF_ACK_BLOCK = 2
BACKOFF_UNBLOCK = 3

HOMELESS = -1

_OWN = OSDReqId()

Outcome = Result | RadosError
OnFinish = Callable[[Outcome], None]


@attrs.define(eq=False)
class PendingOp:
    """One request under way. The objecter's caller only passes it to `cancel`.

    Attributes:
        tid: changes when the OSD wants the request to be made anew (EAGAIN).
        osd: of the session it belongs to, HOMELESS (-1), or None: none at the moment.
        stamp: when it was last sent (or submitted).
        since: when it was submitted.
        attempts: how often it was sent.
        map_dne_bound: the epoch from which on a missing pool is missing for certain.
        mtime: nanoseconds.
        reqid: empty: our name, incarnation and tid.
    """

    target: Target
    ops: list[OSDOp]
    on_finish: OnFinish
    tid: int = 0
    data: bytes = attrs.field(default=b"", repr=False)
    snapid: int = NOSNAP
    snap_seq: int = 0
    snaps: list[int] = attrs.Factory(list)
    mtime: int = 0
    priority: int = 0
    reqid: OSDReqId = _OWN
    deadline: float = float("inf")
    osd: int | None = None
    stamp: float = 0.0
    since: float = 0.0
    attempts: int = 0
    map_dne_bound: int = 0
    checking: bool = False
    finished: bool = False

    @property
    def object(self) -> str:
        """Pool, namespace and name, for people."""
        return object_text(self.target)


def object_text(target: Target) -> str:
    """Pool, namespace and name of an object, for people."""
    loc = target.oloc
    space = f"{loc.nspace}/" if loc.nspace else ""
    return f"object {space}{target.oid} in pool {loc.pool}" if target.oid else f"pool {loc.pool}"


def op_budget(ops: list[OSDOp]) -> int:
    """The bytes that a request counts for in objecter_inflight_op_bytes."""
    total = 0
    for op in ops:
        if op.op & MODE_WR:
            total += len(op.indata)
        elif op.op & MODE_RD and op.op in USES_EXTENT:
            length = EXTENT_ARGS.unpack(op.args)[1]
            total += length if length < 1 << 63 else 0
        elif op.op & MODE_RD:
            total += len(op.indata)
    return total


@attrs.define
class Backoff:
    """A range of objects in a group that the OSD does not want requests for now."""

    id: int
    pgid: ShardedPG
    begin: HObjectKey
    end: HObjectKey


@attrs.define(eq=False)
class OSDSession:
    """An OSD with requests, or the homeless session.

    Attributes:
        addrs: where the connection goes.
        opened: when the connection was made; reopen_at: when it is to be made again.
        ops: by tid, in the order of sending.
    """

    osd: int
    addrs: EntityAddrVec = attrs.Factory(EntityAddrVec)
    opened: float = 0.0
    reopen_at: float | None = None
    incarnation: int = 0
    ops: dict[int, PendingOp] = attrs.Factory(dict)
    backoffs: dict[int, Backoff] = attrs.Factory(dict)

    def in_order(self) -> list[PendingOp]:
        """The requests by tid."""
        return [self.ops[tid] for tid in sorted(self.ops)]

    def backs_off(self, target: Target) -> bool:
        """The OSD does not want this request now."""
        return any(
            b.pgid == target.actual_pgid and target.contained_by(b.begin, b.end)
            for b in self.backoffs.values()
        )

    def block(self, msg: MOSDBackoff) -> MOSDBackoff:
        """Remember a backoff; the acknowledgement."""
        begin, end = hobject_key(msg.begin), hobject_key(msg.end)
        for number in [
            n for n, b in self.backoffs.items() if b.pgid == msg.pgid and b.begin == begin
        ]:
            del self.backoffs[number]
        self.backoffs[msg.id] = Backoff(msg.id, msg.pgid, begin, end)
        return MOSDBackoff(
            pgid=msg.pgid,
            map_epoch=msg.map_epoch,
            op=BACKOFF_ACK_BLOCK,
            id=msg.id,
            begin=msg.begin,
            end=msg.end,
        )

    def unblock(self, msg: MOSDBackoff) -> list[PendingOp]:
        """Forget a backoff; what has to be sent now."""
        if self.backoffs.pop(msg.id, None) is None:
            return []
        begin, end = hobject_key(msg.begin), hobject_key(msg.end)
        return [
            op
            for op in self.in_order()
            if op.target.actual_pgid == msg.pgid and op.target.contained_by(begin, end)
        ]
