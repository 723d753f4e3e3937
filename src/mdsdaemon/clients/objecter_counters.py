"""The objecter's performance counters, under the names that ceph-mds gives them.

Names: ceph/ceph, src/osdc/Objecter.cc (init, _send_op_account) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable

from mdsdaemon.perf import PerfCounters, Prio, Unit
from mdsdaemon.types.osd_op import Flag, Op, OSDOp

_OPS = {
    "osdop_stat": (Op.STAT,),
    "osdop_create": (Op.CREATE,),
    "osdop_read": (Op.READ,),
    "osdop_write": (Op.WRITE,),
    "osdop_writefull": (Op.WRITEFULL,),
    "osdop_writesame": (Op.WRITESAME,),
    "osdop_append": (Op.APPEND,),
    "osdop_zero": (Op.ZERO,),
    "osdop_truncate": (Op.TRUNCATE,),
    "osdop_delete": (Op.DELETE,),
    "osdop_mapext": (Op.MAPEXT,),
    "osdop_sparse_read": (Op.SPARSE_READ,),
    "osdop_clonerange": (),
    "osdop_getxattr": (Op.GETXATTR,),
    "osdop_setxattr": (Op.SETXATTR,),
    "osdop_cmpxattr": (Op.CMPXATTR,),
    "osdop_rmxattr": (Op.RMXATTR,),
    "osdop_resetxattrs": (Op.RESETXATTRS,),
    "osdop_call": (Op.CALL,),
    "osdop_watch": (Op.WATCH,),
    "osdop_notify": (Op.NOTIFY,),
    "osdop_src_cmpxattr": (),
    "osdop_pgls": (),
    "osdop_pgls_filter": (),
    "osdop_other": (),
}
_OMAP = {
    "omap_wr": (Op.OMAPSETVALS, Op.OMAPSETHEADER),
    "omap_rd": (
        Op.OMAPGETVALS,
        Op.OMAPGETKEYS,
        Op.OMAPGETHEADER,
        Op.OMAPGETVALSBYKEYS,
        Op.OMAP_CMP,
    ),
    "omap_del": (Op.OMAPCLEAR, Op.OMAPRMKEYS),
}


_READ, _WRITE, _PGOP = int(Flag.READ), int(Flag.WRITE), int(Flag.PGOP)


class ObjecterCounters:
    """The group `objecter`; those that count often are attributes."""

    def __init__(self) -> None:
        group = self.group = PerfCounters("objecter")
        gauge, count = group.add_u64, group.add_u64_counter
        self.op_active = gauge("op_active", "requests under way", "actv", Prio.CRITICAL)
        self.op_laggy = gauge("op_laggy", "requests without an answer for objecter_timeout")
        self.op_send = count("op_send", "requests sent")
        self.op_send_bytes = count("op_send_bytes", "their data", unit=Unit.BYTES)
        self.op_resend = count("op_resend", "requests sent again")
        self.op_reply = count("op_reply", "answers")
        self.oplen_avg = group.add_u64_avg("oplen_avg", "operations per request")
        self.op = count("op", "requests")
        self.op_r = count("op_r", "requests that read", "rd", Prio.CRITICAL)
        self.op_w = count("op_w", "requests that write", "wr", Prio.CRITICAL)
        self.op_rmw = count("op_rmw", "requests that do both", "rdwr", Prio.INTERESTING)
        self.op_pg = count("op_pg", "requests to a placement group")
        for name in _OPS:
            count(name, f"operations {name.removeprefix('osdop_')}")
        for what in ("linger", "poolop", "poolstat", "statfs", "command"):
            gauge(f"{what}_active", f"{what} requests under way")
            count(f"{what}_send", f"{what} requests sent")
            count(f"{what}_resend", f"{what} requests sent again")
            if what == "linger":
                count("linger_ping", "signs of life sent for watches")
        self.map_epoch = gauge("map_epoch", "epoch of the OSDMap")
        self.map_full = count("map_full", "whole maps received")
        self.map_inc = count("map_inc", "incrementals received")
        self.osd_sessions = gauge("osd_sessions", "open sessions with OSDs")
        self.osd_session_open = count("osd_session_open", "sessions opened")
        self.osd_session_close = count("osd_session_close", "sessions closed")
        self.osd_laggy = gauge("osd_laggy", "OSDs with requests without an answer")
        for name in _OMAP:
            count(name, f"omap operations: {name.removeprefix('omap_')}")
        other = group["osdop_other"]
        self._by_op = {int(op): other for op in Op}
        for name, ops in (_OPS | _OMAP).items():
            self._by_op.update((int(op), group[name]) for op in ops)
        self._other = other

    def account(self, flags: int, ops: Iterable[OSDOp]) -> None:
        """A new request."""
        self.op_active.inc()
        self.op.inc()
        read, write = flags & _READ, flags & _WRITE
        if read and write:
            self.op_rmw.inc()
        elif write:
            self.op_w.inc()
        elif read:
            self.op_r.inc()
        if flags & _PGOP:
            self.op_pg.inc()
        length = 0
        for op in ops:
            self._by_op.get(op.op, self._other).inc()
            length += 1
        self.oplen_avg.inc(length)
