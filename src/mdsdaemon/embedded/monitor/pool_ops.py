"""MPoolOp and MRemoveSnaps: pools and snapshots, as librados and metadata servers ask for them.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (enforce_pool_op_caps, preprocess_pool_op,
prepare_pool_op, prepare_remove_snaps) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor import pool_snaps
from mdsdaemon.embedded.monitor.commands import CommandError
from mdsdaemon.embedded.monitor.pool_build import NewPool, create_pool
from mdsdaemon.embedded.monitor.pool_commands import remove_pool
from mdsdaemon.embedded.monitor.pool_view import (
    is_pool_snaps_mode,
    is_tier,
    is_unmanaged_snaps_mode,
    snap_by_name,
)
from mdsdaemon.embedded.store.osd_caps import CAP_W, Grant, OSDCapsError, parse_osd_caps
from mdsdaemon.encoding import U64, DecodeError, Str, decode, encode
from mdsdaemon.messages.pool import (
    POOL_OP_AUID_CHANGE,
    POOL_OP_CREATE,
    POOL_OP_CREATE_SNAP,
    POOL_OP_CREATE_UNMANAGED_SNAP,
    POOL_OP_DELETE,
    POOL_OP_DELETE_SNAP,
    POOL_OP_DELETE_UNMANAGED_SNAP,
    MPoolOp,
    MPoolOpReply,
    MRemoveSnaps,
)
from mdsdaemon.types.entity import OSD
from mdsdaemon.types.interval_set import contains

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
    from mdsdaemon.embedded.monitor.session import MonSession

_UNMANAGED: Final = (POOL_OP_CREATE_UNMANAGED_SNAP, POOL_OP_DELETE_UNMANAGED_SNAP)
_KNOWN: Final = (
    POOL_OP_CREATE,
    POOL_OP_DELETE,
    POOL_OP_AUID_CHANGE,
    POOL_OP_CREATE_SNAP,
    POOL_OP_DELETE_SNAP,
    *_UNMANAGED,
)


class PoolOps:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    def handle(self, session: MonSession, msg: MPoolOp) -> None:
        """One operation, answered with 0 or -errno and the epoch that has it."""
        code, data = 0, None
        try:
            data = self._handle(session, msg)
        except CommandError as error:
            code = -error.errno
            self._osd.mon.logger.info("%s: pool op %#x: %s", session.name, msg.op, error.text)
        reply = MPoolOpReply(
            fsid=msg.fsid, reply_code=code, epoch=self._osd.map.epoch, response_data=data
        )
        reply.tid = msg.tid
        session.send(reply)

    def _handle(self, session: MonSession, msg: MPoolOp) -> bytes | None:
        osd = self._osd
        if not self._is_allowed(session, msg):
            raise CommandError(errno.EPERM, "the caps do not allow it")
        if msg.fsid != osd.mon.fsid:
            raise CommandError(errno.EINVAL, f"it is for the cluster {msg.fsid}")
        if msg.op not in _KNOWN:
            raise CommandError(errno.EOPNOTSUPP, "there is no such operation")
        if msg.op == POOL_OP_CREATE:
            self._create(msg)
            return None
        if msg.pool not in osd.map.pools:
            if msg.op == POOL_OP_DELETE:
                return None
            raise CommandError(errno.ENOENT, f"there is no pool {msg.pool}")
        if msg.op == POOL_OP_DELETE:
            remove_pool(osd, msg.pool)
            return None
        if msg.op == POOL_OP_AUID_CHANGE:
            raise CommandError(errno.EOPNOTSUPP, "pools have no owners any more")
        return self._snap_op(msg)

    def _create(self, msg: MPoolOp) -> None:
        osd = self._osd
        if osd.pool_id(msg.name) is not None:
            return
        with osd.change() as pending:
            asked = NewPool(msg.name, crush_rule=msg.crush_rule)
            create_pool(pending, osd.mon.config, asked, osd.now())

    def _snap_op(self, msg: MPoolOp) -> bytes | None:
        osd, op = self._osd, msg.op
        pool = osd.map.pools[msg.pool]
        if op in _UNMANAGED:
            if is_pool_snaps_mode(pool):
                raise CommandError(errno.EINVAL, "the pool has snapshots of the whole pool")
            return self._unmanaged(msg)
        if is_unmanaged_snaps_mode(pool) or (op == POOL_OP_CREATE_SNAP and is_tier(pool)):
            raise CommandError(errno.EINVAL, "the pool has snapshots that clients manage")
        there = bool(snap_by_name(pool, msg.name))
        with osd.change() as pending:
            if op == POOL_OP_CREATE_SNAP and not there:
                pool_snaps.add_snap(pending, msg.pool, msg.name, osd.now())
            elif op == POOL_OP_DELETE_SNAP and there:
                pool_snaps.remove_snap(pending, msg.pool, msg.name)
        return None

    def _unmanaged(self, msg: MPoolOp) -> bytes | None:
        osd, pool = self._osd, self._osd.map.pools[msg.pool]
        if msg.op == POOL_OP_CREATE_UNMANAGED_SNAP:
            with osd.change() as pending:
                return encode(U64, pool_snaps.add_unmanaged_snap(pending, msg.pool))
        if osd.is_removed_snap(msg.pool, msg.snapid):
            return None
        if not is_unmanaged_snaps_mode(pool):
            raise CommandError(errno.EOPNOTSUPP, "the pool has no snapshots that clients manage")
        if msg.snapid > pool.snap_seq:
            raise CommandError(errno.ENOENT, f"snapshot {msg.snapid} was never made")
        with osd.change() as pending:
            used_up = pool_snaps.remove_unmanaged_snap(pending, msg.pool, msg.snapid)
        osd.note_purged(msg.pool, used_up)
        return None

    # -- caps -------------------------------------------------------------------------------

    def _is_allowed(self, session: MonSession, msg: MPoolOp) -> bool:
        if msg.op not in _UNMANAGED:
            return session.is_capable("osd", "w")
        name = self._osd.pool_name(msg.pool)
        arguments = {"poolname": name} if name else {}
        if session.is_capable("osd", "w", "osd pool op unmanaged-snap", arguments):
            return True
        caps = self._osd.mon.auth.keys.caps_info(session.entity_name, OSD)
        try:
            grants = parse_osd_caps(decode(Str, caps.caps)).grants if caps.caps else ()
        except (DecodeError, OSDCapsError):
            return False
        return any(_is_writable(grant, name) for grant in grants)

    # -- removed snapshots ------------------------------------------------------------------

    def handle_remove_snaps(self, session: MonSession, msg: MRemoveSnaps) -> None:
        """Queue the snapshots for trimming; the answer comes when that is in the map."""
        osd = self._osd
        if not session.is_capable("osd", "rw", "osd pool rmsnap"):
            osd.mon.logger.info("%s may not remove snapshots", session.entity_name)
            return
        with osd.change() as pending:
            for pool, snaps in msg.snaps.items():
                for snap in snaps:
                    queued = pending.inc.client.new_removed_snaps.get(pool, {})
                    if not osd.is_removed_snap(pool, snap) and not contains(queued, snap):
                        pool_snaps.note_removed_snap(pending, pool, snap)
        reply = MRemoveSnaps(snaps=msg.snaps)
        reply.tid = msg.tid
        session.send(reply)


def _is_writable(grant: Grant, pool: str) -> bool:
    if grant.inner is not None:
        return any(_is_writable(inner, pool) for inner in grant.inner)
    if not grant.allow & CAP_W:
        return False
    return grant.match.everything or (bool(pool) and grant.match.pool == pool)
