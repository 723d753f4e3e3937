"""Objects in memory that answer like OSDs: in order for one object, in any order for several."""

from __future__ import annotations

import errno
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field

from mdsdaemon.clients.journaler import Journaler, JournalerOptions, journal_layout
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result
from mdsdaemon.clients.objecter_session import OnFinish, Outcome, PendingOp
from mdsdaemon.clients.objecter_target import Target
from mdsdaemon.encoding import U64, Time, encode
from mdsdaemon.host import Host
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.osd import ObjectLocator
from mdsdaemon.types.osd_op import EXTENT, Op, OSDOp

POOL, INO, MAGIC = 5, 0x200, "ceph fs volume v011"
K = 1 << 16
SMALL = FileLayout(K, 1, K, POOL)

Fault = Callable[[str, int], int]
"""(object, op) → the errno of a request, 0: none."""


@define(eq=False)
class Objects:
    """The objects, and the requests that were made.

    Attributes:
        frozen: nothing is executed any more: the cluster as a daemon leaves it that was killed.
        log: (object, op) of each operation executed.
    """

    nursery: trio.Nursery
    rng: random.Random
    latency: tuple[float, float] = (0.001, 0.01)
    data: dict[str, bytearray] = field(factory=dict)
    log: list[tuple[str, Op]] = field(factory=list)
    fault: Fault | None = None
    frozen: bool = False
    most_at_once: int = 0
    under_way: int = 0
    cancelled: int = 0
    _served: set[str] = field(factory=set)
    _queues: dict[str, list[tuple[PendingOp, float]]] = field(factory=dict)

    def submit(
        self, pool: int, oid: str, op: ObjectOperation, on_finish: OnFinish, **_: Any
    ) -> PendingOp:
        assert pool == POOL
        target = Target(oid, ObjectLocator(pool=pool), op.request_flags())
        pending = PendingOp(target, list(op.ops), on_finish)
        queue = self._queues.setdefault(oid, [])
        queue.append((pending, trio.current_time() + self.rng.uniform(*self.latency)))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        if oid not in self._served:
            self._served.add(oid)
            self.nursery.start_soon(self._serve, oid)
        return pending

    def cancel(self, pending: PendingOp) -> None:
        assert not pending.finished
        self.cancelled += 1
        self._finish(pending, RadosError(errno.ECANCELED, pending.target.oid))

    def _finish(self, pending: PendingOp, outcome: Outcome) -> None:
        if not pending.finished:
            pending.finished = True
            self.under_way -= 1
            pending.on_finish(outcome)

    async def _serve(self, oid: str) -> None:
        queue = self._queues[oid]
        while queue:
            pending, when = queue[0]
            await trio.sleep_until(when)
            if self.frozen:
                return
            outcome = self.execute(oid, pending.ops)
            await trio.sleep(self.rng.uniform(*self.latency) / 4)  # the answer's way
            queue.pop(0)
            if not self.frozen:
                self._finish(pending, outcome)
        self._served.discard(oid)

    def execute(self, oid: str, ops: list[OSDOp]) -> Outcome:
        """All operations of a request, or none."""
        before = self.data.get(oid)
        before = None if before is None else bytearray(before)
        done = []
        for op in ops:
            code = self.fault(oid, op.op) if self.fault is not None else 0
            result = OSDOp(op.op)
            code = code or self._one(oid, op, result)
            if code:
                if before is None:
                    self.data.pop(oid, None)
                else:
                    self.data[oid] = before
                return RadosError(code, oid)
            done.append(result)
            self.log.append((oid, Op(op.op)))
        return Result(oid, done)

    def _one(self, oid: str, op: OSDOp, result: OSDOp) -> int:
        offset, length = EXTENT.unpack(op.args)[:2]
        body = self.data.get(oid)
        match op.op:
            case Op.WRITEFULL:
                self.data[oid] = bytearray(op.indata)
            case Op.WRITE:
                body = self.data.setdefault(oid, bytearray())
                body.extend(bytes(max(0, offset - len(body))))
                body[offset : offset + length] = op.indata
            case Op.ZERO:
                if body is not None and offset + length >= len(body):
                    del body[offset:]
                elif body is not None:
                    body[offset : offset + length] = bytes(length)
            case _ if body is None:
                return errno.ENOENT
            case Op.DELETE:
                del self.data[oid]
            case Op.READ:
                result.outdata = bytes(body[offset : offset + length] if length else body[offset:])
            case Op.STAT:
                result.outdata = encode(U64, len(body)) + encode(Time, 0)
            case _:
                raise AssertionError(f"{op.name} is not one of a journaler's operations")
        return 0

    def names(self) -> list[str]:
        return sorted(self.data)

    def copy(self, nursery: trio.Nursery) -> Objects:
        """The same objects; no requests."""
        data = {name: bytearray(body) for name, body in self.data.items()}
        return Objects(nursery, self.rng, self.latency, data)


@asynccontextmanager
async def objects(seed: int = 1, **options: Any) -> AsyncIterator[Objects]:
    async with trio.open_nursery() as nursery:
        yield Objects(nursery, random.Random(seed), **options)
        nursery.cancel_scope.cancel()


def a_journaler(world: Objects, ino: int = INO, **options: Any) -> Journaler:
    return Journaler(
        objecter=world,
        pool=POOL,
        ino=ino,
        magic=MAGIC,
        host=Host.seeded(1),
        log=logging.getLogger("test.journaler"),
        options=JournalerOptions(**options),
    )


async def a_new_journal(world: Objects, layout: FileLayout = SMALL, **options: Any) -> Journaler:
    """Created, and its header written."""
    journal = a_journaler(world, **options)
    journal.create(layout)
    await journal.write_head()
    return journal


async def recovered(world: Objects, **options: Any) -> Journaler:
    journal = a_journaler(world, **options)
    await journal.recover()
    return journal


async def payloads(journal: Journaler, start: int | None = None) -> list[bytes]:
    return [entry.payload async for entry in journal.entries(start)]


__all__ = ["K", "Objects", "RadosError", "a_journaler", "journal_layout", "objects", "payloads"]
