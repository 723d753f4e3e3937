"""What `objecter_requests` shows.

Format: ceph/ceph, src/osdc/Objecter.cc (dump_requests), src/osd/osd_types.cc (operator<< of OSDOp)
(Pacific)
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from mdsdaemon.clients.objecter_ops import op_text
from mdsdaemon.clients.objecter_session import PendingOp
from mdsdaemon.clients.objecter_state import ObjecterState
from mdsdaemon.types.osd import NOSNAP, SNAPDIR, ObjectLocator
from mdsdaemon.types.osd_op import (
    ALLOC_HINT,
    ASSERT_VER,
    CLS,
    EXTENT,
    PGLS_ARGS,
    SNAP,
    TYPE_PG,
    USES_EXTENT,
    XATTR,
    Op,
    OSDOp,
)

_ATTRS = frozenset(
    (
        Op.GETXATTR,
        Op.GETXATTRS,
        Op.CMPXATTR,
        Op.SETXATTR,
        Op.SETXATTRS,
        Op.RESETXATTRS,
        Op.RMXATTR,
    )
)
_TYPE_MASK = 0x0F00
_FLAGS = {
    0x1: "excl",
    0x2: "failok",
    0x4: "fadvise_random",
    0x8: "fadvise_sequential",
    0x10: "fadvise_willneed",
    0x20: "fadvise_dontneed",
    0x40: "fadvise_nocache",
}


def dump_requests(state: ObjecterState, now: float) -> dict[str, Any]:
    """All requests under way; `now` and the times in it are of the monotonic clock."""
    ops = []
    for osd in sorted(state.sessions):
        ops += [_dump_op(op, now) for op in state.sessions[osd].in_order()]
    ops += [_dump_op(op, now) for op in state.homeless.in_order()]
    return {
        "ops": ops,
        "linger_ops": [],
        "pool_ops": [],
        "pool_stat_ops": [],
        "statfs_ops": [],
        "command_ops": [],
    }


def _dump_op(op: PendingOp, now: float) -> dict[str, Any]:
    target = op.target
    return {
        "tid": op.tid,
        "pg": "0.0" if target.pgid is None else str(target.pgid),
        "osd": target.osd,
        "object_id": target.oid,
        "object_locator": locator_text(target.oloc),
        "target_object_id": target.oid,
        "target_object_locator": locator_text(target.target_oloc),
        "paused": int(target.paused),
        "used_replica": 0,
        "precalc_pgid": int(target.precalc_pgid),
        "last_sent": f"{op.stamp:.6f}s",
        "age": round(now - op.stamp, 6),
        "attempts": op.attempts,
        "snapid": _snapid(op.snapid),
        "snap_context": f"{op.snap_seq:x}=[{','.join(f'{snap:x}' for snap in op.snaps)}]",
        "mtime": _time(op.mtime),
        "osd_ops": [op_description(one) for one in op.ops],
    }


def locator_text(loc: ObjectLocator) -> str:
    """An object_locator_t as Ceph prints it: `@2;namespace:key`."""
    space = f";{loc.nspace}" if loc.nspace else ""
    return f"@{loc.pool}{space}" + (f":{loc.key}" if loc.key else "")


def op_description(op: OSDOp) -> str:
    """An operation with its arguments, as Ceph prints it: `write 0~4096 in=4096b`."""
    text = op_text(op) + _arguments(op)
    if op.indata:
        text += f" in={len(op.indata)}b"
    return text


def _arguments(op: OSDOp) -> str:
    if op.op == Op.ASSERT_VER:
        return f" v{ASSERT_VER.unpack(op.args)[1]}"
    if op.op == Op.ROLLBACK:
        return f" {_snapid(SNAP.unpack(op.args)[0])}"
    if op.op == Op.SETALLOCHINT:
        object_size, write_size, _ = ALLOC_HINT.unpack(op.args)
        return f" object_size {object_size} write_size {write_size}"
    if op.op in USES_EXTENT:
        offset, length, size, seq = EXTENT.unpack(op.args)
        if op.op == Op.TRUNCATE:
            return f" {offset}"
        text = f" {offset}~{length}"
        if seq:
            text += f" [{seq}@{size}]"
        if op.flags:
            text += f" [{'+'.join(n for bit, n in _FLAGS.items() if op.flags & bit)}]"
        return text
    if op.op in _ATTRS:
        name_len, value_len, cmp_op, mode = XATTR.unpack(op.args)
        text = f" {_word(op.indata[:name_len])}" if name_len and op.indata else ""
        if value_len:
            text += f" ({value_len})"
        return f"{text} op {cmp_op} mode {mode}" if op.op == Op.CMPXATTR else text
    if op.op == Op.CALL:
        class_len, method_len, _, _ = CLS.unpack(op.args)
        words = op.indata[: class_len + method_len]
        return f" {_word(words[:class_len])}.{_word(words[class_len:])}"
    if op.op & _TYPE_MASK == TYPE_PG:
        return f" start_epoch {PGLS_ARGS.unpack(op.args)[1]}"
    return ""


def _word(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _snapid(snapid: int) -> str:
    return {NOSNAP: "head", SNAPDIR: "snapdir"}.get(snapid, f"{snapid:x}")


def _time(nsec: int) -> str:
    at = dt.datetime.fromtimestamp(nsec / 1e9, dt.UTC).astimezone()
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f%z")
