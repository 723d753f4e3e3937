"""An objecter's state with notes of what it asks for."""

from __future__ import annotations

import logging
from typing import Any

from attrs import define, field
from tests.unit.objecter_world import POOL, Maps

from mdsdaemon.clients.objecter_counters import ObjecterCounters
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.clients.objecter_session import Outcome, PendingOp
from mdsdaemon.clients.objecter_state import ObjecterState
from mdsdaemon.clients.objecter_target import Target
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.osd import MOSDMap, MOSDOp, MOSDOpReply, OpResults
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.osd import ObjectLocator
from mdsdaemon.types.osd_op import Op, OSDOp

ME = EntityAddr.parse("v2:10.0.2.1:6800/77")


@define(eq=False)
class World:
    """An ObjecterIO that takes notes, around a state at time `now`."""

    maps: Maps = field(factory=Maps)
    now: float = 100.0
    sent: list[tuple[int, Message]] = field(factory=list)
    opened: list[tuple[int, EntityAddrVec]] = field(factory=list)
    closed: list[int] = field(factory=list)
    wanted: list[tuple[int, bool]] = field(factory=list)
    checks: list[PendingOp] = field(factory=list)
    outcomes: dict[str, Outcome] = field(factory=dict)
    state: ObjecterState = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.state = ObjecterState(self, ObjecterCounters(), logging.getLogger("t"), now=self.now)

    def open_session(self, osd: int, addrs: EntityAddrVec) -> None:
        self.opened.append((osd, addrs))

    def close_session(self, osd: int) -> None:
        self.closed.append(osd)

    def send(self, osd: int, msg: Message) -> None:
        self.sent.append((osd, msg))

    def want_map(self, start: int, onetime: bool) -> None:
        self.wanted.append((start, onetime))

    def got_map(self, epoch: int) -> None:
        pass

    def check_version(self, op: PendingOp) -> None:
        self.checks.append(op)

    def my_addrs(self) -> EntityAddrVec:
        return EntityAddrVec((ME,))

    # -- what tests do -----------------------------------------------------------------------

    @classmethod
    def with_map(cls) -> World:
        world = cls()
        world.got(world.maps.whole())
        world.wanted.clear()
        return world

    def got(self, msg: MOSDMap) -> None:
        self.state.handle_osd_map(msg, self.now)
        self.drain()

    def drain(self) -> None:
        while self.state.finished:
            on_finish, outcome = self.state.finished.popleft()
            on_finish(outcome)

    def do(self, name: str = "w", oid: str = "o", op: ObjectOperation | None = None,
           flags: int = 0, pool: int = POOL, **more: Any) -> PendingOp:  # fmt: skip
        op = op or ObjectOperation().append(name.encode())

        def finish(outcome: Outcome) -> None:
            assert name not in self.outcomes
            self.outcomes[name] = outcome

        target = Target(oid, ObjectLocator(pool=pool), op.request_flags() | flags)
        data = b"".join(one.indata for one in op.ops)
        pending = PendingOp(target, op.ops, finish, data=data, **more)
        self.state.submit(pending, self.now)
        self.drain()
        return pending

    def requests(self) -> list[tuple[int, int, int]]:
        """(OSD, tid, attempt) of what was sent since the last time."""
        found = [(osd, m.tid, m.retry_attempt) for osd, m in self.sent if isinstance(m, MOSDOp)]
        self.sent.clear()
        return found

    def reply(self, osd: int, tid: int, attempt: int = 0, result: int = 0, **more: Any) -> None:
        msg = MOSDOpReply(results=OpResults([OSDOp(Op.APPEND)], attempt), result=result, **more)
        msg.tid = tid
        self.state.handle_reply(osd, msg, self.now)
        self.drain()

    def error(self, name: str = "w") -> int:
        outcome = self.outcomes[name]
        assert isinstance(outcome, RadosError)
        return outcome.errno or 0
