"""Advisory locks on RADOS objects (the object class ``lock``).

Format: ceph/ceph, src/cls/lock/cls_lock_types.h, cls_lock_ops.h (Pacific).
"""

from enum import IntEnum

from mdsdaemon.encoding import REGISTRY, U8, Duration, Map, Str, Time, field, wire
from mdsdaemon.types.entity import EntityAddr, PeerName


class LockType(IntEnum):
    """How a lock is held."""

    NONE = 0
    EXCLUSIVE = 1
    SHARED = 2
    EXCLUSIVE_EPHEMERAL = 3


FLAG_MAY_RENEW = 1
FLAG_MUST_RENEW = 2


@wire(v=1, compat=1, ceph="locker_id_t", order=True, hash=True, frozen=True)
class LockerId:
    """Who holds a lock, and which of its locks it is."""

    locker: PeerName = field(PeerName, factory=PeerName)
    cookie: str = field(Str, default="")


@wire(v=1, compat=1, ceph="locker_info_t")
class LockerInfo:
    """How long a lock is held (nanoseconds since the epoch, 0: for ever) and from where."""

    expiration: int = field(Time, default=0)
    addr: EntityAddr = field(EntityAddr, factory=EntityAddr)
    description: str = field(Str, default="")


@wire(v=1, compat=1, ceph="cls_lock_get_info_reply")
class LockInfo:
    """A lock as it lies on the object, and as ``get_info`` returns it."""

    lockers: dict[LockerId, LockerInfo] = field(Map(LockerId, LockerInfo), factory=dict)
    lock_type: int = field(U8, default=LockType.NONE)
    tag: str = field(Str, default="")


REGISTRY["lock_info_t"] = LockInfo
REGISTRY["rados::cls::lock::lock_info_t"] = LockInfo


@wire(v=1, compat=1, ceph="cls_lock_lock_op")
class LockOp:
    """Take a lock, for ``duration`` nanoseconds or, with 0, for ever."""

    name: str = field(Str, default="")
    type: int = field(U8, default=LockType.NONE)
    cookie: str = field(Str, default="")
    tag: str = field(Str, default="")
    description: str = field(Str, default="")
    duration: int = field(Duration, default=0)
    flags: int = field(U8, default=0)


@wire(v=1, compat=1, ceph="cls_lock_unlock_op")
class UnlockOp:
    """Give a lock back."""

    name: str = field(Str, default="")
    cookie: str = field(Str, default="")


@wire(v=1, compat=1, ceph="cls_lock_break_op")
class BreakOp:
    """Take a lock from someone else."""

    name: str = field(Str, default="")
    locker: PeerName = field(PeerName, factory=PeerName)
    cookie: str = field(Str, default="")


@wire(v=1, compat=1, ceph="cls_lock_get_info_op")
class GetInfoOp:
    """Ask who holds a lock; the reply is a LockInfo."""

    name: str = field(Str, default="")


@wire(v=1, compat=1, ceph="cls_lock_assert_op")
class AssertOp:
    """Fail unless the lock is held so."""

    name: str = field(Str, default="")
    type: int = field(U8, default=LockType.NONE)
    cookie: str = field(Str, default="")
    tag: str = field(Str, default="")
