"""The object engine: one OSD's work on requests, without sockets, time or threads.

    outcome = engine.execute(request, now)

A request is worked out on what is stored; all its changes are made at once at the end, or none.
The caller commits `outcome.changes`, then answers, then applies the outcome's effects on watches.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_op, execute_ctx, prepare_transaction, finish_ctx)
"""

from __future__ import annotations

from errno import (
    EAGAIN,
    EDQUOT,
    EINVAL,
    EMSGSIZE,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    EOPNOTSUPP,
    EOVERFLOW,
)
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.store.backing import DEFAULT_BUDGET
from mdsdaemon.embedded.store.context import OpContext
from mdsdaemon.embedded.store.dups import Done, RequestLog
from mdsdaemon.embedded.store.limits import Limits
from mdsdaemon.embedded.store.listing import do_pg_op
from mdsdaemon.embedded.store.op_info import OpInfo, op_info
from mdsdaemon.embedded.store.ops import HANDLERS
from mdsdaemon.embedded.store.records import request_change
from mdsdaemon.embedded.store.requests import OpOutcome, OpRequest
from mdsdaemon.embedded.store.snaps import (
    find_object,
    freeze,
    make_writeable,
    snap_context_is_valid,
)
from mdsdaemon.embedded.store.state import space
from mdsdaemon.embedded.store.store import ObjectStore
from mdsdaemon.embedded.store.watch import WatchTable
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.maps.placement import stable_mod
from mdsdaemon.types.entity import MDS
from mdsdaemon.types.interval_set import contains
from mdsdaemon.types.osd import NOSNAP, SNAPDIR, EVersion
from mdsdaemon.types.osd_op import MODE_WR, Flag, Op, OpFlag
from mdsdaemon.types.pool import FLAG_FULL, FLAG_POOL_SNAPS

if TYPE_CHECKING:
    from mdsdaemon.embedded.storage import Storage
    from mdsdaemon.embedded.store.content import Content
    from mdsdaemon.embedded.store.state import PGVersions, PoolStore
    from mdsdaemon.host import Host
    from mdsdaemon.types.interval_set import Intervals
    from mdsdaemon.types.osd_op import OSDOp
    from mdsdaemon.types.pool import PGPool

EOLDSNAPC: Final = 85
FLAG_FULL_QUOTA: Final = 1 << 10

_NOT_THE_USERS: Final = frozenset(
    map(int, (Op.WATCH, Op.UNDIRTY, Op.COPY_FROM, Op.COPY_FROM2, Op.CACHE_PIN, Op.CACHE_UNPIN))
)
"""Writing operations that do not make a new version for the users by themselves."""

_FULL_ANYWAY: Final = int(Flag.FULL_TRY | Flag.FULL_FORCE)
_ACKS: Final = int(Flag.ACK | Flag.ONDISK)


class ObjectEngine:
    """See the module.

    Attributes:
        osd_map: set by `upkeep.set_map` before anything else is asked.
        marked_full: by pool, the epoch in which it, or all, became full.
    """

    def __init__(
        self,
        *,
        host: Host,
        limits: Limits | None = None,
        storage: Storage | None = None,
        budget: int = DEFAULT_BUDGET,
    ) -> None:
        self.host = host
        self.limits = limits or Limits()
        self.store = ObjectStore(storage, budget)
        self.log = RequestLog(self.limits.osd_pg_log_dups_tracked)
        self.watches = WatchTable()
        self.osd_map = OSDMap()
        self.osd_map_epoch = 0
        self.marked_full: dict[int, int] = {}
        self._notify_id = 0
        self.log.load(self.store.load_requests())

    # -- for the operations --------------------------------------------------------------

    @property
    def pools(self) -> dict[int, PoolStore]:
        """The objects by pool."""
        return self.store.pools

    def new_content(self) -> Content:
        """An empty content."""
        return self.store.new_content()

    def copy_content(self, content: Content) -> Content:
        """A content of its own that holds what another one does."""
        return self.store.copy_content(content)

    def removed_snaps(self, pool: int) -> Intervals:
        """Snapshots that are being removed from a pool."""
        return self.osd_map.osd.removed_snaps_queue.get(pool, {})

    def next_notify_id(self) -> int:
        """A number for a notification."""
        self._notify_id += 1
        return self.osd_map.epoch << 32 | self._notify_id

    def do_ops(self, ctx: OpContext, ops: list[OSDOp]) -> int:
        """Work out operations in turn until one fails: the last result."""
        outer, ctx.result = ctx.result, 0
        result = 0
        for op in ops:
            code = op.op
            if code & MODE_WR and code not in _NOT_THE_USERS:
                ctx.user_modify = True
            handler = HANDLERS.get(code)
            result = handler(ctx, op) if handler is not None else -EOPNOTSUPP
            op.rval = result
            if result < 0:
                if not op.flags & OpFlag.FAILOK or result == -EAGAIN:
                    break
                result = 0
            ctx.result = result
        ctx.result = outer
        return result

    # -- requests ------------------------------------------------------------------------

    def execute(self, req: OpRequest, now: float) -> OpOutcome | None:
        """Do a request; None: it is to be dropped, the client will send it again.

        `now` is the clock, in seconds, by which watches end. Raises StorageError: what is read is
        damaged.
        """
        pool_info = self.osd_map.pools.get(req.pool)
        pool = self.store.pools.get(req.pool)
        if pool_info is None or pool is None:
            return None
        info = req.info or op_info(req.ops, req.flags)
        if isinstance(info, int):
            return self._error(info)
        if req.flags & Flag.PARALLELEXEC:
            return self._error(-EINVAL)
        seed = stable_mod(req.hash, pool_info.pg_num, _mask(pool_info.pg_num))
        if info.pg:
            return self._pg_ops(req, pool, pool_info)
        result = self._check(req, info)
        if result is None or result < 0:
            return None if result is None else self._error(result)
        if info.may_write or info.cache:
            done = self.log.get(req.reqid)
            if done is not None:
                return self._again(req, done)
        lists = [op.op == Op.LIST_SNAPS for op in req.ops]
        if any(lists) if req.snapid != SNAPDIR else not all(lists):
            return self._error(-EINVAL)
        return self._object_ops(req, info, pool, pool_info, pool.versions(seed), seed, now)

    def _error(self, result: int) -> OpOutcome:
        return OpOutcome(result, with_data=False, error=True, after=self.store.sequence)

    def _check(self, req: OpRequest, info: OpInfo) -> int | None:
        """What is refused whatever the object is; None: dropped."""
        limits = self.limits
        nspace, key, name = req.key
        if (
            len(name) > limits.osd_max_object_name_len
            or len(key) > limits.osd_max_object_name_len
            or len(nspace) > limits.osd_max_object_namespace_len
        ):
            return -ENAMETOOLONG
        if not name:
            return -EINVAL
        if (
            info.ordered
            and req.entity.type != MDS
            and not req.flags & _FULL_ANYWAY
            and self.marked_full.get(req.pool, 0) > req.epoch
        ):
            return None
        if info.may_write:
            if req.snapid != NOSNAP:
                return -EINVAL
            size = sum(len(op.indata) for op in req.ops)
            if limits.osd_max_write_size and size > limits.osd_max_write_size << 20:
                return -EMSGSIZE
        return 0

    def _again(self, req: OpRequest, done: Done) -> OpOutcome:
        """The answer to a request that was done before."""
        outcome = self._error(done.result)
        self._set_versions(outcome, done.version, done.user_version)
        if req.flags & Flag.RETURNVEC:
            outcome.with_data = True
            for op, (rval, data) in zip(req.ops, done.returns, strict=False):
                op.rval, op.outdata = rval, data
        return outcome

    @staticmethod
    def _set_versions(outcome: OpOutcome, version: EVersion, user_version: int) -> None:
        outcome.replay_version = version
        outcome.user_version = user_version
        if user_version:
            outcome.bad_replay_version = EVersion(user_version, version.epoch)
        else:
            outcome.bad_replay_version = version

    def _pg_ops(self, req: OpRequest, pool: PoolStore, pool_info: PGPool) -> OpOutcome:
        seed = stable_mod(req.seed, pool_info.pg_num, _mask(pool_info.pg_num))
        result = 0
        for op in req.ops:
            result = do_pg_op(req, op, pool, seed, pool_info.pg_num, self.limits.osd_max_pgls)
            if result < 0:
                break
        outcome = OpOutcome(result, after=self.store.sequence)
        versions = pool.versions(seed)
        last = EVersion(versions.version, self.osd_map.epoch)
        self._set_versions(outcome, last, versions.user_version)
        return outcome

    def _object_ops(
        self,
        req: OpRequest,
        info: OpInfo,
        pool: PoolStore,
        pool_info: PGPool,
        versions: PGVersions,
        seed: int,
        now: float,
    ) -> OpOutcome | None:
        removed = self.removed_snaps(req.pool)
        snapid = NOSNAP if req.snapid == SNAPDIR else req.snapid
        by_clone = bool(req.flags & Flag.MAP_SNAP_CLONE)
        found = find_object(pool, removed, req.key, snapid, by_clone)
        if isinstance(found, int):
            return self._error(found)
        state, obs, content = found
        writes = info.may_write
        if not writes and (obs is None or (obs.whiteout and req.snapid != SNAPDIR)):
            return self._error(-ENOENT)
        ctx = OpContext(self, req, pool, pool_info, state, obs, content, now, may_write=writes)
        if writes:
            self._set_snap_context(ctx, removed)
            if req.flags & Flag.ORDERSNAP and ctx.snap_seq < ctx.snapset.seq:
                return self._error(-EOLDSNAPC)
        if snap_context_is_valid(ctx.snap_seq, ctx.snaps):
            result = self.do_ops(ctx, req.ops)
        else:
            result = -EINVAL
        if result == -EAGAIN:
            return None
        if not ctx.existed and not ctx.exists:
            ctx.transaction.clear()  # made and deleted again
        if writes and (result < 0 or not (ctx.transaction or ctx.modify)):
            return self._log_only(ctx, versions, seed, result)
        if writes:
            full = self._check_full(ctx)
            if full == -EAGAIN:
                return None
            result = full or self._check_replies(req, result)
        if result < 0 or not writes:
            return self._read_done(ctx, versions, result)
        return self._commit(ctx, versions, seed, result)

    def _set_snap_context(self, ctx: OpContext, removed: Intervals) -> None:
        req, pool_info = ctx.req, ctx.pool_info
        if pool_info.flags & FLAG_POOL_SNAPS and not req.flags & Flag.ENFORCE_SNAPC:
            ctx.snap_seq = pool_info.snap_seq
            ctx.snaps = sorted(pool_info.snaps, reverse=True)
            return
        ctx.snap_seq, ctx.snaps = req.snap_seq, req.snaps
        if removed and ctx.snaps:
            ctx.snaps = [snap for snap in ctx.snaps if not contains(removed, snap)]

    def _check_full(self, ctx: OpContext) -> int:
        """What a full pool says to a request that needs more room."""
        if not ctx.pool_info.flags & FLAG_FULL:
            return 0
        grows = (ctx.exists and not ctx.existed) or ctx.oi.size > ctx.obs.size
        if not grows or ctx.req.entity.type == MDS or ctx.req.flags & Flag.FULL_FORCE:
            return 0
        if ctx.req.flags & Flag.FULL_TRY:
            return -EDQUOT if ctx.pool_info.flags & FLAG_FULL_QUOTA else -ENOSPC
        return -EAGAIN

    def _check_replies(self, req: OpRequest, result: int) -> int:
        """Output of writes has to be small: it is kept for requests that are sent again."""
        if req.flags & Flag.RETURNVEC:
            for op in req.ops:
                if len(op.outdata) > self.limits.osd_max_write_op_reply_len:
                    result = op.rval = -EOVERFLOW
                    op.outdata = b""
        return result

    # -- ends ----------------------------------------------------------------------------

    def _read_done(self, ctx: OpContext, versions: PGVersions, result: int) -> OpOutcome:
        outcome = OpOutcome(result, after=self.store.sequence)
        if result >= 0:
            outcome.user_version = ctx.obs.user_version
            outcome.bad_replay_version = EVersion(ctx.obs.user_version, 0)
            ctx.pool.stats.reads += ctx.reads
            ctx.pool.stats.read_kb += sum(len(op.outdata) + 1023 >> 10 for op in ctx.req.ops)
            if ctx.effects is not None:
                outcome.effects = ctx.effects
                ctx.effects.user_version = ctx.obs.user_version
        elif result == -ENOENT:
            outcome.user_version = versions.user_version
            outcome.bad_replay_version = EVersion(versions.version, self.osd_map.epoch)
        return outcome

    def _log_only(self, ctx: OpContext, versions: PGVersions, seed: int, result: int) -> OpOutcome:
        """A write that failed or changed nothing: only remembered."""
        version = EVersion(versions.version + 1, self.osd_map.epoch)
        outcome = OpOutcome(result)
        self._set_versions(outcome, version, ctx.user_version)
        if result == -ENOENT:
            outcome.user_version = versions.user_version
            outcome.bad_replay_version = EVersion(versions.version, self.osd_map.epoch)
        if result >= 0:
            outcome.effects = ctx.effects
            if ctx.effects is not None:
                ctx.effects.user_version = ctx.obs.user_version
            if not ctx.req.flags & Flag.RETURNVEC:
                outcome.result = result
        versions.version = version.version
        self._remember(ctx.req, seed, version, 0, outcome)
        return outcome

    def _commit(self, ctx: OpContext, versions: PGVersions, seed: int, result: int) -> OpOutcome:
        """Make the changes of a request."""
        req, pool, oi, state = ctx.req, ctx.pool, ctx.oi, ctx.state
        epoch = self.osd_map.epoch
        clone = make_writeable(ctx)
        number = versions.version + 1
        if clone is not None:
            clone.info.version, clone.info.epoch = number, epoch
            number += 1
        if ctx.user_modify:
            ctx.user_version = max(versions.user_version, oi.user_version) + 1
            ctx.user_version = max(ctx.user_version, number)
            oi.user_version = ctx.user_version
        versions.version = number
        versions.user_version = max(versions.user_version, ctx.user_version)

        stats = pool.stats
        if state is not None:
            stats.subtract(space(state))
        if ctx.exists:
            oi.version, oi.epoch = number, epoch
            if ctx.mtime:
                oi.mtime = ctx.mtime
            if state is None:
                state = self.store.create(pool, req.key, req.hash)
            else:
                state = self.store.own(pool, state)
            if clone is not None:
                freeze(clone)
                state.clones[ctx.snap_seq] = clone
                pool.index_snaps(req.key, ctx.snapset.snaps[ctx.snap_seq])
            state.snapset = ctx.snapset
            self.store.change(state, ctx.transaction)
            state.info = oi
            stats.add(space(state))
            self.store.save(pool, state)
        elif state is not None:
            self.store.delete(pool, state)
        stats.writes += ctx.writes
        stats.write_kb += ctx.written + 1023 >> 10

        outcome = OpOutcome(result, effects=ctx.effects)
        if not req.flags & Flag.RETURNVEC:
            outcome.result, outcome.with_data = 0, False
        if ctx.effects is not None:
            ctx.effects.user_version = oi.user_version
        version = EVersion(number, epoch)
        self._set_versions(outcome, version, ctx.user_version)
        self._remember(req, seed, version, ctx.user_version, outcome)
        return outcome

    def _remember(
        self, req: OpRequest, seed: int, version: EVersion, user_version: int, outcome: OpOutcome
    ) -> None:
        returns: tuple[tuple[int, bytes], ...] = ()
        if req.flags & Flag.RETURNVEC:
            returns = tuple((op.rval, op.outdata) for op in req.ops)
        store = self.store
        done = Done(version, user_version, outcome.result, returns)
        serial = self.log.add(req.reqid, done)
        if store.backing is not None:
            bound = self.log.bound
            store.note(request_change(serial, bound, req.pool, seed, req.reqid, done))
            outcome.changes = store.take_changes()
        outcome.after = store.sequence


def _mask(count: int) -> int:
    return (1 << (count - 1).bit_length()) - 1 if count > 0 else 0
