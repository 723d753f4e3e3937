"""The object class `lock`: advisory locks kept in an attribute of the object.

Behaviour: ceph/ceph, src/cls/lock/cls_lock.cc
"""

from __future__ import annotations

from errno import EBUSY, EEXIST, EINVAL, ENODATA, ENOENT
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.store.classes.registry import (
    METHOD_RD,
    METHOD_WR,
    MethodError,
    get_xattr,
    get_xattrs,
    method,
    read_input,
    read_stored,
    remove,
    set_xattr,
)
from mdsdaemon.encoding import Blob, List, Str, encode, field, wire
from mdsdaemon.records import evolve
from mdsdaemon.types.cls_lock import (
    FLAG_MAY_RENEW,
    FLAG_MUST_RENEW,
    AssertOp,
    BreakOp,
    GetInfoOp,
    LockerId,
    LockerInfo,
    LockInfo,
    LockOp,
    LockType,
    UnlockOp,
)
from mdsdaemon.types.entity import EntityAddr
from mdsdaemon.types.utime import from_seconds

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext
    from mdsdaemon.types.entity import PeerName

_PREFIX: Final = "lock."
_VALID: Final = (LockType.EXCLUSIVE, LockType.SHARED, LockType.EXCLUSIVE_EPHEMERAL)


@wire(v=1, compat=1, ceph="cls_lock_set_cookie_op")
class SetCookieOp(AssertOp):
    """Change the cookie of a lock that the caller holds."""

    new_cookie: str = field(Str, default="")


@wire(v=1, compat=1, ceph="cls_lock_list_locks_reply")
class ListLocksReply:
    """The names of the locks of an object."""

    locks: list[bytes] = field(List(Blob), factory=list)


def _read(ctx: OpContext, name: str) -> LockInfo:
    """The lock, without those whose time is over; ENOENT if there is no object."""
    try:
        raw = get_xattr(ctx, _PREFIX + name)
    except MethodError as exc:
        if exc.result == -ENODATA:
            return LockInfo()
        raise
    lock = read_stored(LockInfo, raw)
    now = from_seconds(ctx.engine.host.wall())
    lock.lockers = {
        who: info
        for who, info in lock.lockers.items()
        if not info.expiration or info.expiration >= now
    }
    if not lock.lockers and lock.lock_type == LockType.EXCLUSIVE_EPHEMERAL:
        try:
            remove(ctx)
        except MethodError:  # as in Ceph: found out while reading, and no reason to fail
            pass
    return lock


def _write(ctx: OpContext, name: str, lock: LockInfo) -> None:
    set_xattr(ctx, _PREFIX + name, encode(LockInfo, lock, ctx.req.features))


@method("lock", "lock", METHOD_RD | METHOD_WR)
def lock_op(ctx: OpContext, data: bytes) -> bytes:
    """Take or renew a lock."""
    op = read_input(LockOp, data)
    may_renew, must_renew = op.flags & FLAG_MAY_RENEW, op.flags & FLAG_MUST_RENEW
    if op.type not in _VALID or not op.name or (may_renew and must_renew):
        raise MethodError(-EINVAL)
    try:
        lock = _read(ctx, op.name)
    except MethodError as exc:
        if exc.result != -ENOENT:
            raise
        lock = LockInfo()
    if lock.lockers and op.tag != lock.tag:
        raise MethodError(-EBUSY)
    me = LockerId(ctx.req.entity, op.cookie)
    if me in lock.lockers:
        if not may_renew and not must_renew:
            raise MethodError(-EEXIST)
        del lock.lockers[me]
    elif must_renew:
        raise MethodError(-ENOENT)
    if lock.lockers and (op.type != LockType.SHARED or lock.lock_type != op.type):
        raise MethodError(-EBUSY)
    lock.lock_type, lock.tag = op.type, op.tag
    expiration = from_seconds(ctx.engine.host.wall()) + op.duration if op.duration else 0
    # of the old type whatever the client speaks: older clients read this
    addr = evolve(ctx.req.addr, type=EntityAddr.TYPE_LEGACY)
    lock.lockers[me] = LockerInfo(expiration, addr, op.description)
    _write(ctx, op.name, lock)
    return b""


def _remove(ctx: OpContext, name: str, locker: PeerName, cookie: str) -> bytes:
    lock = _read(ctx, name)
    if lock.lockers.pop(LockerId(locker, cookie), None) is None:
        raise MethodError(-ENOENT)
    if lock.lock_type == LockType.EXCLUSIVE_EPHEMERAL:
        remove(ctx)
    else:
        _write(ctx, name, lock)
    return b""


@method("lock", "unlock", METHOD_RD | METHOD_WR)
def unlock_op(ctx: OpContext, data: bytes) -> bytes:
    """Give back a lock that the caller holds."""
    op = read_input(UnlockOp, data)
    return _remove(ctx, op.name, ctx.req.entity, op.cookie)


@method("lock", "break_lock", METHOD_RD | METHOD_WR)
def break_lock(ctx: OpContext, data: bytes) -> bytes:
    """Take a lock from whoever holds it."""
    op = read_input(BreakOp, data)
    return _remove(ctx, op.name, op.locker, op.cookie)


@method("lock", "get_info", METHOD_RD)
def get_info(ctx: OpContext, data: bytes) -> bytes:
    """Who holds a lock."""
    return encode(LockInfo, _read(ctx, read_input(GetInfoOp, data).name), ctx.req.features)


@method("lock", "list_locks", METHOD_RD)
def list_locks(ctx: OpContext, data: bytes) -> bytes:
    """The names of all locks of the object."""
    prefix = _PREFIX.encode()
    names = [name[len(prefix) :] for name in get_xattrs(ctx) if name.startswith(prefix)]
    return encode(ListLocksReply, ListLocksReply(sorted(names)))


def _held(ctx: OpContext, op: AssertOp) -> tuple[LockInfo, LockerId]:
    """The lock that the caller holds as `op` says; EBUSY if it does not."""
    if op.type not in _VALID or not op.name:
        raise MethodError(-EINVAL)
    lock = _read(ctx, op.name)
    me = LockerId(ctx.req.entity, op.cookie)
    if me not in lock.lockers or lock.lock_type != op.type or lock.tag != op.tag:
        raise MethodError(-EBUSY)
    return lock, me


@method("lock", "assert_locked", METHOD_RD)
def assert_locked(ctx: OpContext, data: bytes) -> bytes:
    """Fail unless the caller holds the lock so."""
    _held(ctx, read_input(AssertOp, data))
    return b""


@method("lock", "set_cookie", METHOD_RD | METHOD_WR)
def set_cookie(ctx: OpContext, data: bytes) -> bytes:
    """Change the cookie of a lock that the caller holds."""
    op = read_input(SetCookieOp, data)
    lock, me = _held(ctx, op)
    renamed = LockerId(me.locker, op.new_cookie)
    if renamed in lock.lockers:
        raise MethodError(-EBUSY)
    lock.lockers[renamed] = lock.lockers.pop(me)
    _write(ctx, op.name, lock)
    return b""
