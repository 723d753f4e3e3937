"""The objecter as pure state: what maps and time do to its requests.

Behaviour: ceph/ceph, src/osdc/Objecter.cc (handle_osd_map, tick) (Pacific)
"""

from __future__ import annotations

import errno
import heapq

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_maps import Step
from mdsdaemon.clients.objecter_requests import RequestTable
from mdsdaemon.clients.objecter_session import PendingOp
from mdsdaemon.clients.objecter_target import Recalc
from mdsdaemon.encoding import DecodeError
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.messages.ping import MPing
from mdsdaemon.types.interval_set import contains


class ObjecterState(RequestTable):
    """See the module, and `objecter_requests`."""

    # -- maps --------------------------------------------------------------------------------

    def handle_osd_map(self, msg: MOSDMap, now: float) -> None:
        """Apply new epochs; requests whose OSD has changed are sent to the new one."""
        maps = self.maps
        if self.stopped or (maps.epoch and msg.last <= maps.epoch and not maps.spoilt):
            return
        was_paused = maps.any_pause()
        full, full_pools = maps.full_flag(), maps.full_pools()
        need_resend: dict[int, PendingOp] = {}
        try:
            for step in maps.advance(msg):
                (
                    self.counters.map_inc if step is Step.INCREMENTAL else self.counters.map_full
                ).inc()
                self.counters.map_epoch.set(maps.epoch)
                full, full_pools = full or maps.full_flag(), full_pools | maps.full_pools()
                self._scan(step is Step.SKIPPED, full, full_pools, need_resend)
                self._close_stale_sessions(need_resend)
        except DecodeError as exc:
            # the next tick asks for a whole one; asking at once would bring the same again
            self.log.warning("an OSDMap does not decode: %s", exc)
        if maps.missing:
            self.request_map()
        for op in list(need_resend.values()):
            if op.target.epoch < maps.epoch and op.target.calc(maps) is Recalc.POOL_DNE:
                del need_resend[op.tid]
                self._assign(self.homeless, op)
                self._check_pool_dne(op)
        if was_paused or maps.any_pause():
            self.request_map()
        if not self._check_blocklist():
            self._resend(need_resend, now)
        self.io.got_map(maps.epoch)

    def _scan(
        self, skipped: bool, full: bool, full_pools: set[int], need_resend: dict[int, PendingOp]
    ) -> None:
        """Look at all requests in the light of one new epoch."""
        for op in need_resend.values():
            self._prune_snaps(op)
        for session in (self.homeless, *self.sessions.values()):
            for op in list(session.ops.values()):
                self._prune_snaps(op)
                recalc = op.target.calc(self.maps)
                if recalc is Recalc.POOL_DNE:
                    self._check_pool_dne(op)
                    continue
                became_full = full or op.target.oloc.pool in full_pools
                if (
                    recalc is Recalc.NEED_RESEND
                    or skipped
                    # the OSD may have dropped it, believing that it waits
                    or (became_full and op.target.respects_full)
                ):
                    self._unassign(op)
                    need_resend[op.tid] = op
                    op.checking = False

    def _close_stale_sessions(self, need_resend: dict[int, PendingOp]) -> None:
        osd_map = self.maps.osd_map
        for session in list(self.sessions.values()):
            up = osd_map.is_up(session.osd)
            if up and osd_map.get_addrs(session.osd) == session.addrs:
                continue
            for op in self._close_session(session):
                if up:
                    # the same OSD is elsewhere: it has to be told again
                    self._unassign(op)
                    need_resend[op.tid] = op

    def _resend(self, need_resend: dict[int, PendingOp], now: float) -> None:
        for tid in sorted(need_resend):
            op = need_resend[tid]
            if op.finished:
                continue
            session = self._session(op.target.osd, now)
            self._assign(session, op)
            if session is not self.homeless and not op.target.paused:
                self.counters.op_resend.inc()
                self._send(op, now)

    def _prune_snaps(self, op: PendingOp) -> None:
        removed = self.maps.osd_map.client.new_removed_snaps.get(op.target.oloc.pool)
        if removed and op.snaps:
            op.snaps = [snap for snap in op.snaps if not contains(removed, snap)]

    def _check_blocklist(self) -> bool:
        if not self.blocklisted and self.maps.osd_map.is_blocklisted(self.io.my_addrs()):
            self.blocklisted = True
            self.log.info(
                "our address %s is on the blocklist (osdmap e%d)",
                self.io.my_addrs(),
                self.maps.epoch,
            )
            for op in list(self.active):
                self._finish(op, self._refusal(op))
        return self.blocklisted

    # -- missing pools -----------------------------------------------------------------------

    def _check_pool_dne(self, op: PendingOp) -> None:
        """The pool is not in our map: it was deleted, or our map is too old to have it."""
        if op.target.pool_ever_existed:
            op.map_dne_bound = self.maps.epoch
        if not op.map_dne_bound:
            if not op.checking:
                op.checking = True
                self.io.check_version(op)
        elif self.maps.epoch >= op.map_dne_bound:
            why = f"there is no pool {op.target.oloc.pool} in osdmap e{self.maps.epoch}"
            self._finish(op, RadosError(errno.ENOENT, op.object, "", why))
        else:
            self.request_map()

    def version_known(self, op: PendingOp, newest: int) -> None:
        """The answer to `check_version`."""
        if op.finished or not op.checking:
            return
        op.checking = False
        if not op.map_dne_bound:
            op.map_dne_bound = max(newest, 1)
        self._check_pool_dne(op)

    def set_epoch_barrier(self, epoch: int) -> None:
        """Send nothing that is submitted from now on before this epoch is known."""
        if epoch > self.maps.epoch_barrier:
            self.maps.epoch_barrier = epoch
            self.request_map()

    # -- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When to call `tick`."""
        while self._deadlines and self._deadlines[0][2].finished:
            heapq.heappop(self._deadlines)
        first = self._deadlines[0][0] if self._deadlines else float("inf")
        reopen = (s.reopen_at for s in self.sessions.values() if s.reopen_at is not None)
        return min(self._next_tick, first, *reopen)

    def tick(self, now: float) -> None:
        """Time out requests, open connections again, and look for answers that do not come."""
        while self._deadlines and self._deadlines[0][0] <= now:
            self.cancel(heapq.heappop(self._deadlines)[2], errno.ETIMEDOUT)
        for session in self.sessions.values():
            if session.reopen_at is not None and session.reopen_at <= now:
                self._reopen(session, now)
        if now < self._next_tick:
            return
        self._next_tick = now + self.tick_interval
        laggy_ops, laggy_osds = 0, []
        for session in self.sessions.values():
            laggy = sum(op.stamp < now - self.timeout for op in session.ops.values())
            laggy_ops += laggy
            if laggy:
                laggy_osds.append(session.osd)
        if self.homeless.ops or laggy_osds or self.maps.spoilt or not self.maps.epoch:
            self.request_map()
        self.counters.op_laggy.set(laggy_ops)
        self.counters.osd_laggy.set(len(laggy_osds))
        for osd in laggy_osds:
            self.io.send(osd, MPing())  # brings to light a connection that is dead
