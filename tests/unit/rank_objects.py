"""An objecter whose requests are executed at once on an object engine in memory.

Outcomes are told when the test says so, or as soon as the rank's turn comes.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import trio

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result, op_text
from mdsdaemon.embedded.store import upkeep
from mdsdaemon.embedded.store.engine import ObjectEngine
from mdsdaemon.embedded.store.limits import Limits
from mdsdaemon.embedded.store.requests import OpRequest
from mdsdaemon.host import Host
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.maps.placement import hash_key
from mdsdaemon.types.entity import MDS, PeerName
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.pool import PGPool
from mdsdaemon.types.snap import SnapContext

METADATA_POOL, DATA_POOL, OTHER_POOL = 1, 2, 3

OnFinish = Callable[[Result | RadosError], None]
Fault = Callable[[int, str, ObjectOperation], int]
"""(pool, object, operations) -> the errno that the request ends with; 0: it is executed."""


@attrs.define
class Pending:
    """A request that was executed and whose outcome has not been told."""

    pool: int
    oid: str
    op: ObjectOperation
    outcome: Result | RadosError
    finish: OnFinish


class FakeObjecter:
    """`Objecter` on an object engine in memory.

    Attributes:
        requests: (pool, object, names of the operations) of all that were made.
        fault: asked before a request is executed.
        hold: outcomes wait for `release`, also those of `operate`.
        lose: requests are not even executed, and nobody hears of them: the rank has died.
    """

    def __init__(self, engine: ObjectEngine | None = None) -> None:
        self.engine = engine or _engine()
        self.requests: list[tuple[int, str, list[str]]] = []
        self.fault: Fault = lambda pool, oid, op: 0
        self.hold = self.lose = False
        self.pending: deque[Pending] = deque()
        self.wake: Callable[[], None] = lambda: None
        self._tid = 0

    # -- what an Objecter has ----------------------------------------------------------------

    async def operate(self, pool: int, oid: str, op: ObjectOperation, **options: Any) -> Result:
        done = trio.Event()
        outcomes: list[Result | RadosError] = []

        def finish(outcome: Result | RadosError) -> None:
            outcomes.append(outcome)
            done.set()

        self.submit(pool, oid, op, finish, **options)
        if not self.hold:
            self.release()
        await done.wait()
        await trio.lowlevel.checkpoint()
        if isinstance(outcomes[0], RadosError):
            raise outcomes[0]
        return outcomes[0]

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
        **_: Any,
    ) -> Any:
        self.requests.append((pool, oid, [op_text(one) for one in op.ops]))
        if self.lose:
            return None
        code = self.fault(pool, oid, op)
        outcome: Result | RadosError
        if code:
            outcome = RadosError(code, f"{pool}/{oid}")
        else:
            outcome = self._execute(pool, oid, op, namespace, key, snapc, snapid)
        self.pending.append(Pending(pool, oid, op, outcome, on_finish))
        if not self.hold:
            self.wake()
        return self.pending[-1]

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()

    # -- what a test does --------------------------------------------------------------------

    def release(self, count: int = 1 << 30) -> int:
        """Tell the outcomes of up to `count` requests, oldest first; how many they were."""
        told = 0
        while self.pending and told < count:
            one = self.pending.popleft()
            one.finish(one.outcome)
            told += 1
        return told

    def do(self, pool: int, oid: str, op: ObjectOperation) -> Result:
        """Execute at once, unseen by `fault` and `requests`."""
        outcome = self._execute(pool, oid, op, "", "", None, NOSNAP)
        if isinstance(outcome, RadosError):
            raise outcome
        return outcome

    def names(self, pool: int = METADATA_POOL) -> list[str]:
        """The objects of a pool, sorted."""
        return sorted(key[2] for key in self.engine.pools[pool].objects)

    def omap(self, oid: str, pool: int = METADATA_POOL) -> dict[str, bytes]:
        """All values of an object's omap."""
        found: dict[str, bytes] = {}
        while True:
            op = ObjectOperation()
            part = op.omap_get_vals(next(reversed(found), ""))
            page = self.do(pool, oid, op)[part]
            found |= page.vals
            if not page.more:
                return found

    def header(self, oid: str, pool: int = METADATA_POOL) -> bytes:
        op = ObjectOperation()
        part = op.omap_get_header()
        return self.do(pool, oid, op)[part]

    def xattrs(self, oid: str, pool: int = METADATA_POOL) -> dict[str, bytes]:
        op = ObjectOperation()
        part = op.getxattrs()
        return self.do(pool, oid, op)[part]

    def read(self, oid: str, pool: int = METADATA_POOL) -> bytes:
        op = ObjectOperation()
        part = op.read(0, 0)
        return self.do(pool, oid, op)[part]

    def _execute(
        self,
        pool: int,
        oid: str,
        op: ObjectOperation,
        namespace: str,
        key: str,
        snapc: SnapContext | None,
        snapid: int,
    ) -> Result | RadosError:
        where = f"{pool}/{oid}"
        info = self.engine.osd_map.pools.get(pool)
        if info is None:
            return RadosError(errno.ENOENT, where, "", "no such pool")
        self._tid += 1
        ops = [attrs.evolve(one, outdata=b"", rval=0) for one in op.ops]
        hash_ = hash_key(info, (key or oid).encode("utf-8", "surrogateescape"), namespace.encode())
        request = OpRequest(
            pool=pool,
            key=(namespace, key, oid),
            seed=hash_,
            hash=hash_,
            ops=ops,
            reqid=(MDS, id(self), 0, self._tid),
            entity=PeerName(MDS, 1),
            snapid=snapid,
            flags=op.request_flags(),
        )
        if snapc is not None:
            request.snap_seq, request.snaps = snapc.seq, list(snapc.snaps)
        done = self.engine.execute(request, 0.0)
        assert done is not None, f"the engine dropped a request on {where}"
        if done.result < 0:
            failed = next((one for one in ops if one.rval < 0), None)
            return RadosError(-done.result, where, op_text(failed) if failed else "")
        return Result(where, ops, done.user_version)


def _engine() -> ObjectEngine:
    osd_map = OSDMap()
    osd_map.client.epoch = 1
    for pool in (METADATA_POOL, DATA_POOL, OTHER_POOL):
        osd_map.pools[pool] = PGPool(pg_num=8, pgp_num=8)
    engine = ObjectEngine(host=Host.seeded(1), limits=Limits())
    upkeep.set_map(engine, osd_map, 0.0)
    return engine
