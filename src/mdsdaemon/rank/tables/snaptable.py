"""SnapServer: the table of all snapshots, and the changes of it that are under way.

A change is prepared, and committed together with the metadata that it belongs to; each step is an
event of the journal and a version of the table.

Format: ceph/ceph, src/mds/SnapServer.h, src/mds/MDSTableServer.h, src/mds/snap.h (Pacific)
Behaviour: ceph/ceph, src/mds/SnapServer.cc, src/mds/MDSTableServer.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from mdsdaemon.encoding import (
    ALL_FEATURES,
    S32,
    U32,
    U64,
    DecodeError,
    List,
    Map,
    Str,
    Time,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.rank.log.replay_blob import ReplayError
from mdsdaemon.rank.tables.table import MDSTable
from mdsdaemon.types.journal import ETableServer
from mdsdaemon.types.mds import TablePending
from mdsdaemon.types.snap import SnapInfo, SnapServerState

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

TABLE_SNAP = 1


class ServerOp(IntEnum):
    """TABLESERVER_OP_*: what an ETableServer does, and what its peers are told."""

    PREPARE = 3
    AGREE = -4
    COMMIT = 5
    ACK = -6
    ROLLBACK = 7
    SERVER_UPDATE = 8


class SnapOp(IntEnum):
    """TABLE_OP_*: what is prepared."""

    CREATE = 0
    UPDATE = 1
    DESTROY = 2


@wire()
class Prepare:
    """What a PREPARE carries; a CREATE without a name is no change but asks for the newest."""

    op: int = field(U32)
    ino: int = field(U64, default=0)
    snapid: int = field(U64, default=0, only_if="op != 0")
    name: str = field(Str, default="", only_if="op != 2", if_more=True)
    stamp: int = field(Time, default=0, only_if="op != 2", if_more=True)


@wire()
class Purged:
    """What a SERVER_UPDATE carries: snapshots, by pool, that are gone from RADOS."""

    snaps: dict[int, list[int]] = field(Map(S32, List(U64)), factory=dict)


@wire()
class Stored:
    """The object, behind its version."""

    state: SnapServerState = field(SnapServerState, factory=SnapServerState)
    pending: dict[int, TablePending] = field(Map(U64, TablePending), factory=dict)


class SnapServer(MDSTable):
    """See the module.

    Attributes:
        state: the table. pending: transactions that are prepared and neither committed nor given
            up, by number.
        on_change: called whenever the set of snapshots may have changed.
    """

    name = "snaptable"

    def __init__(self, rank: RankCore) -> None:
        super().__init__(rank)
        self.state = SnapServerState()
        self.pending: dict[int, TablePending] = {}
        self.on_change: Callable[[], None] = lambda: None
        self._reqid = 0

    @property
    def object_name(self) -> str:
        return f"mds_{self.name}"

    def reset(self) -> None:
        """No snapshots; numbers that a data pool has used for others are left out."""
        rank = self.rank
        pools = rank.objecter.osd_map.pools
        used = [pools[pool].snap_seq for pool in rank.mdsmap.data_pools if pool in pools]
        last = max([1, *used])
        self.state = SnapServerState(
            last_snap=last,
            last_created=last,
            last_destroyed=last,
            snaprealm_v2_since=last + 1,
        )
        self.pending = {}
        self.on_change()

    def create(self) -> None:
        super().create()
        self.version = 1

    def encode_state(self) -> bytes:
        return encode(Stored, Stored(self.state, self.pending), ALL_FEATURES)

    def decode_state(self, data: bytes) -> None:
        stored = decode(Stored, data, partial=True)
        self.state, self.pending = stored.state, stored.pending
        self.on_change()

    @property
    def has_snapshots(self) -> bool:
        """Whether there is one, or one is about to be made."""
        state = self.state
        return bool(state.snaps or state.pending_update or state.pending_destroy)

    # -- transactions ------------------------------------------------------------------------

    def begin(self, change: Prepare) -> tuple[int, int]:
        """Prepare a change of our own; its number, and that of the snapshot or of its removal."""
        self._reqid = max([self._reqid, *(held.reqid for held in self.pending.values())]) + 1
        mutation = encode(Prepare, change, ALL_FEATURES)
        tid = self.prepare(change, self._reqid, self.rank.whoami, mutation)
        return tid, self.state.last_snap

    def prepare(self, change: Prepare, reqid: int, by: int, mutation: bytes) -> int:
        """Journal and note a change; its number."""
        event = ETableServer(
            stamp=self.rank.now(),
            table=TABLE_SNAP,
            op=ServerOp.PREPARE,
            reqid=reqid,
            bymds=by,
            mutation=mutation,
            tid=self.version + 1,
            version=self.version + 1,
        )
        self._submit(event)
        self._prepare(change, reqid, by)
        return self.version

    def commit(self, tid: int) -> int:
        """Make a prepared change true; where its event ends in the journal."""
        end = self._submit(self._event(ServerOp.COMMIT, tid))
        self._commit(tid)
        return end

    def rollback(self, tid: int) -> int:
        """Give a prepared change up; where its event ends in the journal."""
        end = self._submit(self._event(ServerOp.ROLLBACK, tid))
        self._rollback(tid)
        return end

    def server_update(self, purged: dict[int, list[int]]) -> None:
        """RADOS has forgotten these snapshots."""
        event = self._event(ServerOp.SERVER_UPDATE, 0)
        event.mutation = encode(Purged, Purged(purged), ALL_FEATURES)
        self._submit(event)
        self._purged(purged)

    def _event(self, op: ServerOp, tid: int) -> ETableServer:
        return ETableServer(
            stamp=self.rank.now(), table=TABLE_SNAP, op=op, tid=tid, version=self.version + 1
        )

    def _submit(self, event: ETableServer) -> int:
        segment = self.rank.mdlog.segment
        end = self.rank.mdlog.submit(event)
        segment.note_table(self.name, event.version)
        return end

    def _prepare(self, change: Prepare, reqid: int, by: int) -> None:
        state = self.state
        tid = self.version + 1
        if change.op == SnapOp.CREATE:
            if change.name:
                state.last_snap += 1
                state.pending_update[tid] = SnapInfo(
                    state.last_snap, change.ino, change.stamp, change.name
                )
            else:
                state.pending_noop.add(tid)
        elif change.op == SnapOp.DESTROY:
            state.last_snap += 1  # it is the version of the realm, too
            state.pending_destroy[tid] = (change.snapid, state.last_snap)
        else:
            state.pending_update[tid] = SnapInfo(
                change.snapid, change.ino, change.stamp, change.name
            )
        self.version = tid
        self.pending[tid] = TablePending(reqid, by, tid)
        self.on_change()

    def _commit(self, tid: int) -> None:
        state = self.state
        if tid in state.pending_update:
            info = state.pending_update.pop(tid)
            old = state.snaps.get(info.snapid)
            if old is None:
                state.last_created = max(state.last_created, info.snapid)
            elif not info.stamp:
                info.stamp = old.stamp
            state.snaps[info.snapid] = info
        elif tid in state.pending_destroy:
            snapid, seq = state.pending_destroy.pop(tid)
            state.snaps.pop(snapid, None)
            state.last_destroyed = max(state.last_destroyed, seq)
            for pool in self.rank.mdsmap.data_pools:
                state.need_to_purge.setdefault(pool, set()).update((snapid, seq))
        elif tid in state.pending_noop:
            state.pending_noop.discard(tid)
        else:
            raise ReplayError(f"snaptable: transaction {tid} was not prepared")
        self._over(tid)

    def _rollback(self, tid: int) -> None:
        state = self.state
        if tid not in self.pending:
            raise ReplayError(f"snaptable: transaction {tid} was not prepared")
        state.pending_update.pop(tid, None)
        state.pending_destroy.pop(tid, None)
        state.pending_noop.discard(tid)
        self._over(tid)

    def _over(self, tid: int) -> None:
        self.version += 1
        self.pending.pop(tid, None)
        self.on_change()

    def _purged(self, purged: dict[int, list[int]]) -> None:
        need = self.state.need_to_purge
        for pool, snaps in purged.items():
            left = need.get(pool)
            if left is None:
                continue
            left.difference_update(snaps)
            if not left:
                del need[pool]
        self.version += 1

    # -- replay ------------------------------------------------------------------------------

    def replay(self, event: ETableServer) -> None:
        """An event that follows the table.

        Raises:
            ReplayError: it does not fit. DecodeError: what it carries is malformed.
        """
        if event.op == ServerOp.PREPARE:
            self._prepare(parse_prepare(event.mutation), event.reqid, event.bymds)
        elif event.op == ServerOp.COMMIT:
            self._commit(event.tid)
        elif event.op == ServerOp.ROLLBACK:
            self._rollback(event.tid)
        elif event.op == ServerOp.SERVER_UPDATE:
            self._purged(decode(Purged, event.mutation, partial=True).snaps)
        else:
            raise ReplayError(f"invalid tableserver op {event.op}")

    # -- what is shown -----------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """As `dump snaps --server` and cephfs-table-tool show it."""
        state = self.state
        return {
            "last_snap": state.last_snap,
            "last_created": state.last_created,
            "last_destroyed": state.last_destroyed,
            "pending_noop": sorted(state.pending_noop),
            "snaps": [dump_snap(state.snaps[snapid]) for snapid in sorted(state.snaps)],
            "need_to_purge": {
                str(pool): sorted(snaps) for pool, snaps in sorted(state.need_to_purge.items())
            },
            "pending_update": [
                {"version": tid, "snapinfo": dump_snap(info)}
                for tid, info in sorted(state.pending_update.items())
            ],
            "pending_destroy": [
                {"version": tid, "removed_snap": snapid, "seq": seq}
                for tid, (snapid, seq) in sorted(state.pending_destroy.items())
            ],
        }


def parse_prepare(data: bytes) -> Prepare:
    """What a PREPARE carries.

    Raises:
        DecodeError: it is malformed.
    """
    change = decode(Prepare, data, partial=True)
    if change.op not in tuple(SnapOp):
        raise DecodeError("SnapServer", "op", 0, f"unknown operation {change.op}")
    return change


def dump_snap(info: SnapInfo) -> dict[str, Any]:
    """A snapshot, as in JSON."""
    from mdsdaemon.types.utime import utime_str

    return {
        "snapid": info.snapid,
        "ino": info.ino,
        "stamp": utime_str(info.stamp),
        "name": info.name,
        "metadata": {key: info.metadata[key] for key in sorted(info.metadata)},
    }
