"""The objecter's requests and sessions, as pure state; `ObjecterState` adds maps and time.

Times are parameters (`now`, seconds of a monotonic clock); effects go to an `ObjecterIO`. Requests
that end are put into `finished`, and the caller runs their callbacks when the state is whole again.

The order of requests to one object is kept: those of one OSD go over one connection in the order
of their tids, and whenever requests are sent again, all that wait are, in that order.

Behaviour: ceph/ceph, src/osdc/Objecter.cc (Pacific)
"""

from __future__ import annotations

import errno
import heapq
import logging
from abc import ABC, abstractmethod
from collections import deque

from mdsdaemon.clients.objecter_counters import ObjecterCounters
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.clients.objecter_io import ObjecterIO
from mdsdaemon.clients.objecter_maps import ObjecterMaps
from mdsdaemon.clients.objecter_ops import Result, op_text
from mdsdaemon.clients.objecter_session import (
    BACKOFF_BLOCK,
    BACKOFF_UNBLOCK,
    HOMELESS,
    OnFinish,
    OSDSession,
    Outcome,
    PendingOp,
)
from mdsdaemon.clients.objecter_target import Recalc
from mdsdaemon.encoding import DecodeError
from mdsdaemon.messages.osd import MOSDBackoff, MOSDOp, MOSDOpReply
from mdsdaemon.types.entity import PeerName
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.osd import OSDReqId
from mdsdaemon.types.osd_op import Flag, OpFlag

_SENT = int(Flag.KNOWN_REDIR | Flag.ONDISK)
_FULL_FORCE, _RETRY = int(Flag.FULL_FORCE), int(Flag.RETRY)
_NOBODY = PeerName(0, 0)  # the OSD then makes the id of our name, incarnation and tid

REOPEN_PAUSE = 0.2
"""Seconds that a connection must have lived to be replaced at once when it breaks."""


class RequestTable(ABC):
    """See the module.

    Attributes:
        client_inc: our incarnation, a part of every request's id.
        blocklisted: our address was in the blocklist of a map; this never ends.
        timeout, tick_interval: objecter_timeout and objecter_tick_interval in seconds.
    """

    def __init__(
        self, io: ObjecterIO, counters: ObjecterCounters, log: logging.Logger, *, now: float = 0.0
    ) -> None:
        self.io = io
        self.counters = counters
        self.log = log
        self.maps = ObjecterMaps()
        self.client_inc = -1
        self._own_reqid = OSDReqId(_NOBODY, inc=self.client_inc)
        self.op_priority = 63
        self.timeout = 10.0
        self.tick_interval = 5.0
        self.blocklisted = False
        self.stopped = False
        self.last_tid = 0
        self.sessions: dict[int, OSDSession] = {}
        self.homeless = OSDSession(HOMELESS)
        self.active: dict[PendingOp, None] = {}
        self.finished: deque[tuple[OnFinish, Outcome]] = deque()
        self._deadlines: list[tuple[float, int, PendingOp]] = []
        self._next_tick = now + self.tick_interval

    # -- requests ----------------------------------------------------------------------------

    def submit(self, op: PendingOp, now: float) -> None:
        """Begin a request; its outcome comes by `finished`."""
        self.counters.account(op.target.flags, op.ops)
        self.active[op] = None
        op.stamp = now
        if self.stopped or self.blocklisted:
            self._finish(op, self._refusal(op))
            return
        if op.deadline != float("inf"):
            self._prune_deadlines()
            heapq.heappush(self._deadlines, (op.deadline, self.last_tid, op))
        self._submit(op, now)

    def _submit(self, op: PendingOp, now: float) -> None:
        self.last_tid += 1
        op.tid = self.last_tid
        recalc = Recalc.NO_ACTION if self.maps.spoilt else op.target.calc(self.maps)
        session = self._session(op.target.osd, now)
        self._assign(session, op)
        if op.target.paused or session is self.homeless:
            self.request_map()
        else:
            self._send(op, now)
        if recalc is Recalc.POOL_DNE:
            self._check_pool_dne(op)

    @abstractmethod
    def _check_pool_dne(self, op: PendingOp) -> None:
        """The map does not have the request's pool: ask the monitors for the newest one."""

    def _prune_deadlines(self) -> None:
        if len(self._deadlines) > 2 * len(self.active) + 1024:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].finished]
            heapq.heapify(self._deadlines)

    def cancel(self, op: PendingOp, code: int, why: str = "") -> None:
        """Give a request up; what was sent may still be executed."""
        if not op.finished:
            self._finish(op, RadosError(code, op.object, "", why))

    def cancel_all(self, code: int, *, pool: int = -1, writes_only: bool = False) -> int:
        """Give requests up (of one pool, only those that write); how many they were."""
        chosen = [
            op
            for op in self.active
            if pool in (-1, op.target.target_oloc.pool) and (not writes_only or op.target.is_write)
        ]
        for op in chosen:
            self._finish(op, RadosError(code, op.object))
        return len(chosen)

    def stop(self) -> None:
        """Close all sessions; requests end with ESHUTDOWN, later ones too."""
        self.stopped = True
        for op in list(self.active):
            self._finish(op, self._refusal(op))
        for session in list(self.sessions.values()):
            self._close_session(session)

    def _refusal(self, op: PendingOp) -> RadosError:
        if self.blocklisted:
            return RadosError(EBLOCKLISTED, op.object)
        return RadosError(errno.ESHUTDOWN, op.object, "", "the objecter is stopped")

    def _finish(self, op: PendingOp, outcome: Outcome) -> None:
        op.finished = True
        del self.active[op]
        self._unassign(op)
        self.counters.op_active.dec()
        self.finished.append((op.on_finish, outcome))

    # -- sessions ----------------------------------------------------------------------------

    def _session(self, osd: int, now: float) -> OSDSession:
        if osd < 0:
            return self.homeless
        session = self.sessions.get(osd)
        if session is None:
            addrs = self.maps.osd_map.get_addrs(osd)
            if addrs.msgr2() is None:
                return self.homeless
            session = self.sessions[osd] = OSDSession(osd, addrs, now)
            self.counters.osd_session_open.inc()
            self.counters.osd_sessions.set(len(self.sessions))
            self.io.open_session(osd, addrs)
        return session

    def _assign(self, session: OSDSession, op: PendingOp) -> None:
        op.osd = session.osd
        session.ops[op.tid] = op

    def _unassign(self, op: PendingOp) -> None:
        if op.osd is not None:
            session = self.homeless if op.osd == HOMELESS else self.sessions[op.osd]
            del session.ops[op.tid]
            op.osd = None

    def _close_session(self, session: OSDSession) -> list[PendingOp]:
        """Forget an OSD; the requests that are left are homeless then."""
        left = session.in_order()
        for op in left:
            self._unassign(op)
            self._assign(self.homeless, op)
        del self.sessions[session.osd]
        self.counters.osd_session_close.inc()
        self.counters.osd_sessions.set(len(self.sessions))
        self.io.close_session(session.osd)
        return left

    def handle_reset(self, osd: int, now: float) -> None:
        """The connection to an OSD is gone."""
        session = self.sessions.get(osd)
        if session is None or self.stopped or not self.maps.osd_map.is_up(osd):
            return
        if now - session.opened >= REOPEN_PAUSE:
            self._reopen(session, now)
        else:
            session.backoffs.clear()
            session.reopen_at = session.opened + REOPEN_PAUSE
        self.request_map()

    def _reopen(self, session: OSDSession, now: float) -> None:
        session.addrs = self.maps.osd_map.get_addrs(session.osd)
        session.opened, session.reopen_at = now, None
        session.incarnation += 1
        session.backoffs.clear()
        self.counters.osd_session_close.inc()
        self.counters.osd_session_open.inc()
        self.io.open_session(session.osd, session.addrs)
        for op in session.in_order():
            if not op.target.paused:
                self.counters.op_resend.inc()
                self._send(op, now)

    # -- sending -----------------------------------------------------------------------------

    def _send(self, op: PendingOp, now: float) -> None:
        assert op.osd is not None
        session = self.sessions[op.osd]
        if session.reopen_at is not None or session.backs_off(op.target):
            return
        target = op.target
        target.paused = False
        flags = target.flags | _SENT
        if not self.maps.honor_pool_full:
            flags |= _FULL_FORCE
        if op.attempts:
            flags |= _RETRY
        reqid = op.reqid
        if not reqid.tid:
            reqid = self._own_reqid
            if reqid.inc != self.client_inc:
                reqid = self._own_reqid = OSDReqId(_NOBODY, inc=self.client_inc)
        msg = MOSDOp(
            pgid=target.actual_pgid,
            hash=target.hash,
            osdmap_epoch=self.maps.epoch,
            flags=flags,
            reqid=reqid,
            client_inc=self.client_inc & 0xFFFFFFFF,
            mtime=op.mtime,
            oloc=target.message_oloc(),
            oid=target.oid,
            ops=op.ops,
            snapid=op.snapid,
            snap_seq=op.snap_seq,
            snaps=op.snaps,
            retry_attempt=op.attempts,
            features=FEATURES_ADVERTISED,
            tid=op.tid,
            priority=op.priority or self.op_priority,
            data=op.data,
        )
        op.attempts += 1
        op.stamp = now
        self.counters.op_send.inc()
        self.counters.op_send_bytes.inc(len(op.data))
        self.io.send(session.osd, msg)

    def request_map(self) -> None:
        """Ask for the next map: all that come while a flag holds requests back, else one."""
        if self.stopped:
            return
        start = self.maps.epoch + 1 if self.maps.epoch and not self.maps.spoilt else 0
        self.io.want_map(start, not self.maps.pauses_continuously())

    # -- answers -----------------------------------------------------------------------------

    def handle_reply(self, osd: int, msg: MOSDOpReply, now: float) -> None:
        """An answer over the present connection of an OSD."""
        session = self.sessions.get(osd)
        op = None if session is None else session.ops.get(msg.tid)
        if op is None:
            self.log.debug("osd.%d answers tid %d, which nobody waits for", osd, msg.tid)
            return
        if msg.results.retry_attempt not in (-1, op.attempts - 1):
            return  # a later attempt is under way, whose answer comes after this one
        if msg.do_redirect:
            why = f"osd.{osd} redirects to {msg.redirect.redirect_locator}, which is not done here"
            self._finish(op, RadosError(errno.EOPNOTSUPP, op.object, "", why))
            return
        if msg.result == -errno.EAGAIN:
            self._unassign(op)
            op.target.flags &= ~(Flag.BALANCE_READS | Flag.LOCALIZE_READS)
            op.target.forget()
            self._submit(op, now)
            return
        try:
            ops = msg.split_ops()
        except ValueError as exc:
            raise DecodeError("MOSDOpReply", "data", 0, str(exc)) from exc
        self.counters.op_reply.inc()
        if msg.result >= 0:
            self._finish(op, Result(op.object, ops, msg.user_version, msg.osdmap_epoch))
            return
        failed = next((o for o in ops if o.rval < 0 and not o.flags & OpFlag.FAILOK), None)
        self._finish(op, RadosError(-msg.result, op.object, op_text(failed) if failed else ""))
        if msg.result == -EBLOCKLISTED:
            self.request_map()  # which says so of all requests

    def handle_backoff(self, osd: int, msg: MOSDBackoff, now: float) -> None:
        """An OSD holds requests back, or wants them now."""
        session = self.sessions.get(osd)
        if session is None:
            return
        if msg.op == BACKOFF_BLOCK:
            ack = session.block(msg)
            ack.priority = self.op_priority  # not to be overtaken by, or to overtake, requests
            self.io.send(osd, ack)
        elif msg.op == BACKOFF_UNBLOCK:
            for op in session.unblock(msg):
                if not op.target.paused:
                    self._send(op, now)
