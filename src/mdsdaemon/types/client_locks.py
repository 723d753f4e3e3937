"""Advisory file locks (fcntl and flock) as clients and servers exchange them.

Format: ceph/ceph, src/include/ceph_fs.h (ceph_filelock), src/mds/flock.h, src/mds/Locker.cc and
src/client/Client.cc (_encode_filelocks) (Pacific).
"""

from mdsdaemon.encoding import S32, S64, U8, U64, List, Map, Tuple, field, wire

# Which kind of lock: `rule` of a request. With _INTR: the client no longer waits for it.
LOCK_FCNTL = 1
LOCK_FLOCK = 2
LOCK_FCNTL_INTR = 3
LOCK_FLOCK_INTR = 4

# What is asked for: `type`.
LOCK_SHARED = 1
LOCK_EXCL = 2
LOCK_UNLOCK = 4

OWNER_IS_ALL = 1 << 63
"""Set in an `owner` that names the holder alone; without it `pid` belongs to the name."""


@wire(ceph="ceph_filelock", hash=True, frozen=True)
class FileLock:
    """ceph_filelock: a lock on `length` bytes from `start`; length 0: up to the end for ever."""

    start: int = field(U64, default=0)
    length: int = field(U64, default=0)
    client: int = field(U64, default=0)
    owner: int = field(U64, default=0)
    pid: int = field(U64, default=0)
    type: int = field(U8, default=0)

    def same_owner(self, other: "FileLock") -> bool:
        """Whether both are held by one holder."""
        if self.client != other.client or self.owner != other.owner:
            return False
        return bool(self.owner & OWNER_IS_ALL) or self.pid == other.pid


@wire()
class ReconnectLocks:
    """The locks in a client's claim after a failover (`CapReconnectBody.flocks`, if any)."""

    fcntl: list[FileLock] = field(List(FileLock), factory=list)
    flock: list[FileLock] = field(List(FileLock), factory=list)


@wire(ceph="ceph_lock_state_t")
class LockState:
    """ceph_lock_state_t: the locks held on an inode, by their start, and how many by client."""

    held_locks: list[tuple[int, FileLock]] = field(List(Tuple(U64, FileLock)), factory=list)
    client_held_lock_counts: dict[int, int] = field(Map(S64, S32), factory=dict)
