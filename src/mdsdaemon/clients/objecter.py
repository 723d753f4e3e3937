"""The objecter: operations on objects in RADOS, over the daemon's own messenger.

    objecter = Objecter(config=…, messenger=…, monc=…, host=…, perf=…)
    await nursery.start(objecter.run)
    await objecter.wait_for_map(1)
    result = await objecter.operate(pool, "mds0_inotable", ObjectOperation().write_full(data))

Requests go to the OSD that has the object, again whenever that changes or a connection breaks, and
they are answered once: an OSD recognises a request that it has executed by its id. `submit` is the
same without waiting, for those who write one thing after another.

Behaviour: ceph/ceph, src/osdc/Objecter.cc (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Callable

import trio

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_net import ObjecterNet
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result
from mdsdaemon.clients.objecter_session import OnFinish, Outcome, PendingOp, op_budget
from mdsdaemon.clients.objecter_target import Target
from mdsdaemon.types.osd import NOSNAP, PG, ObjectLocator
from mdsdaemon.types.osd_op import join_indata
from mdsdaemon.types.snap import SnapContext


class Objecter(ObjecterNet):
    """See the module, and `ObjecterNet` for how it is made and run."""

    # -- requests ----------------------------------------------------------------------------

    async def operate(
        self,
        pool: int,
        oid: str,
        op: ObjectOperation,
        *,
        namespace: str = "",
        key: str = "",
        snapc: SnapContext | None = None,
        snapid: int = NOSNAP,
        flags: int = 0,
        mtime: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- the option's meaning of 0
        priority: int = 0,
        pgid: PG | None = None,
    ) -> Result:
        """Have the operations executed on an object, together or not at all.

        Waits while objecter_inflight_ops or objecter_inflight_op_bytes are reached. Cancelled, the
        request is given up; if it was sent, it may still be executed, as when it times out.

        Args:
            snapc: the snapshots that exist, for a write.
            snapid: the snapshot to read.
            flags: `Flag` bits beside those of the operations.
            mtime: nanoseconds; now.
            timeout: seconds; rados_osd_op_timeout. 0: for ever.
            pgid: instead of the object: a placement group, for operations on it.

        Raises:
            RadosError: an operation failed, and nothing was changed; or EBLOCKLISTED, ENOENT (no
                such pool), ETIMEDOUT, ESHUTDOWN.
        """
        self._require_running()
        deadline = self._deadline(timeout)
        budget = op_budget(op.ops)
        with trio.move_on_at(deadline):
            await self._throttle(budget)
            waiter = _Waiter()
            pending = self._pending(pool, oid, op, namespace, key, pgid, flags, waiter.finish)
            _fill(pending, snapc, snapid, priority, self._mtime(mtime), float("inf"))
            self._start(pending, budget)
            return await waiter.wait(lambda: self._give_up(pending))
        raise RadosError(errno.ETIMEDOUT, f"object {oid} in pool {pool}")

    def submit(
        self,
        pool: int,
        oid: str,
        op: ObjectOperation,
        on_finish: OnFinish,
        *,
        namespace: str = "",
        key: str = "",
        snapc: SnapContext | None = None,
        snapid: int = NOSNAP,
        flags: int = 0,
        mtime: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> PendingOp:
        """As `operate`, without waiting: `on_finish` gets the Result or the RadosError, once.

        It is called synchronously, mostly from the task of a connection; it must not block, and
        what it raises ends the daemon. It may submit. The throttles are not waited for, though
        this request counts: `room()` waits for them. What is returned is for `cancel`.
        """
        self._require_running()
        budget = op_budget(op.ops)
        self.op_throttle_bytes.take(budget)
        self.op_throttle_ops.take()
        pending = self._pending(pool, oid, op, namespace, key, None, flags, on_finish)
        deadline = self._deadline(timeout)
        _fill(pending, snapc, snapid, priority, self._mtime(mtime), deadline)
        self._start(pending, budget)
        return pending

    async def room(self) -> None:
        """Wait until requests fit into objecter_inflight_ops and objecter_inflight_op_bytes."""
        await self.op_throttle_bytes.room()
        await self.op_throttle_ops.room()

    def cancel(self, pending: PendingOp, code: int = errno.ECANCELED) -> None:
        """Give a request up, with this errno; if it was sent, it may still be executed."""
        self.state.cancel(pending, code)
        self._drain()

    def cancel_writes(self, code: int, pool: int = -1) -> int:
        """Give up all requests that write (to one pool); how many they were."""
        count = self.state.cancel_all(code, pool=pool, writes_only=True)
        self._drain()
        return count

    def _require_running(self) -> None:
        if self._nursery is None:
            raise RuntimeError("requests come after run() has started")

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._osd_timeout if timeout is None else timeout
        return trio.current_time() + seconds if seconds > 0 else float("inf")

    def _mtime(self, mtime: int | None) -> int:
        return round(self._host.wall() * 1e9) if mtime is None else mtime

    async def _throttle(self, budget: int) -> None:
        await self.op_throttle_bytes.get(budget)
        try:
            await self.op_throttle_ops.get()
        except trio.Cancelled:
            self.op_throttle_bytes.put(budget)
            raise
        try:
            # room may come from others that were cancelled together with us
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            self.op_throttle_bytes.put(budget)
            self.op_throttle_ops.put()
            raise

    def _pending(
        self,
        pool: int,
        oid: str,
        op: ObjectOperation,
        namespace: str,
        key: str,
        pgid: PG | None,
        flags: int,
        on_finish: OnFinish,
    ) -> PendingOp:
        oloc = ObjectLocator(pool=pool, key=key, nspace=namespace)
        target = Target(oid, oloc, op.request_flags() | int(flags), pgid, pgid is not None)
        ops = list(op.ops)
        return PendingOp(target, ops, on_finish, data=join_indata(ops))

    def _start(self, pending: PendingOp, budget: int) -> None:
        inner = pending.on_finish

        def on_finish(outcome: Outcome) -> None:
            self.op_throttle_bytes.put(budget)
            self.op_throttle_ops.put()
            inner(outcome)

        pending.on_finish = on_finish
        pending.since = trio.current_time()
        self.state.submit(pending, pending.since)
        if pending.deadline < self._wakes_at:
            self._rescheduled.unpark_all()
        self._drain()

    def _give_up(self, pending: PendingOp) -> None:
        self.state.cancel(pending, errno.ECANCELED)
        self._drain()


def _fill(
    pending: PendingOp,
    snapc: SnapContext | None,
    snapid: int,
    priority: int,
    mtime: int,
    deadline: float,
) -> None:
    if snapc is not None:
        pending.snap_seq, pending.snaps = snapc.seq, list(snapc.snaps)
    pending.snapid, pending.priority = snapid, priority
    pending.mtime, pending.deadline = mtime, deadline


class _Waiter:
    """One task that waits for one outcome."""

    __slots__ = ("_outcome", "_task")

    def __init__(self) -> None:
        self._outcome: Outcome | None = None
        self._task: trio.lowlevel.Task | None = None

    def finish(self, outcome: Outcome) -> None:
        self._outcome = outcome
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    async def wait(self, give_up: Callable[[], None]) -> Result:
        if self._outcome is None:
            self._task = trio.lowlevel.current_task()

            def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
                self._task = None
                give_up()
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        outcome = self._outcome
        assert outcome is not None
        if isinstance(outcome, RadosError):
            raise outcome
        return outcome
