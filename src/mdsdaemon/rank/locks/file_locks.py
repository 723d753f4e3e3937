"""setfilelock and getfilelock: advisory locks for programs on several clients.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_file_setlock, handle_client_file_readlock),
src/mds/CInode.cc (remove_client_cap) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.locks.flock import FileLockTable, WaitGraph
from mdsdaemon.rank.locks.flush import CapFlush
from mdsdaemon.rank.waiting import Gate, MustWait
from mdsdaemon.types.client_locks import (
    LOCK_EXCL,
    LOCK_FCNTL,
    LOCK_FCNTL_INTR,
    LOCK_FLOCK,
    LOCK_FLOCK_INTR,
    LOCK_SHARED,
    LOCK_UNLOCK,
    FileLock,
)

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.types.client_args import FilelockArgs

FILE_LOCKS = "file_locks"
"""The key in `CInode.extra`."""


class InodeFileLocks:
    """Both tables of an inode.

    Attributes:
        gate: opens when a lock was given back or somebody has stopped waiting.
    """

    __slots__ = ("fcntl", "flock", "gate")

    def __init__(self, graph: WaitGraph, gate: Gate) -> None:
        self.fcntl = FileLockTable(graph)
        self.flock = FileLockTable()
        self.gate = gate

    def __bool__(self) -> bool:
        return bool(self.fcntl) or bool(self.flock)


class FileLocks(CapFlush):
    """See the module."""

    def __init__(self, rank: Any) -> None:
        super().__init__(rank)
        self.wait_graph = WaitGraph()

    def set_file_lock(self, req: Any, inode: CInode, args: FilelockArgs) -> None:
        """Take or give back an advisory lock, or stop waiting for one.

        Args:
            req: the request; its `flock_waited` is set when it has waited.

        Raises:
            MustWait: until others have given back what stands in the way; try again then.
            FsError: EWOULDBLOCK: it is not to wait; EDEADLK: that would never end; EINTR: the
                client does not wait any more; EOPNOTSUPP: no such kind; EINVAL: no such type;
                ENOLCK: too many.
        """
        rule, lock = args.rule, lock_of(req.client, args)
        interrupt = rule in (LOCK_FCNTL_INTR, LOCK_FLOCK_INTR)
        if rule not in (LOCK_FCNTL, LOCK_FLOCK, LOCK_FCNTL_INTR, LOCK_FLOCK_INTR):
            raise FsError(errno.EOPNOTSUPP, f"kind {rule} of a file lock")
        locks = self._file_locks(inode)
        table = locks.fcntl if rule in (LOCK_FCNTL, LOCK_FCNTL_INTR) else locks.flock
        if lock.type == LOCK_UNLOCK:
            if table.stop_waiting(lock) or (not interrupt and table.remove(lock)):
                locks.gate.open()
            self._tidy(inode, locks)
            return
        if lock.type not in (LOCK_SHARED, LOCK_EXCL):
            raise FsError(errno.EINVAL, f"type {lock.type} of a file lock")
        if req.flock_waited and not table.is_waiting(lock):
            raise FsError(errno.EINTR, "the client does not wait for the lock any more")
        if table.is_full:
            raise FsError(errno.ENOLCK, "too many ranges are locked")
        if table.add(lock):
            return
        if not args.wait:
            raise FsError(errno.EWOULDBLOCK)
        if not req.flock_waited and table.is_deadlock(lock):
            raise FsError(errno.EDEADLK)
        table.wait(lock)
        req.flock_waited = True
        raise MustWait(locks.gate)

    def get_file_lock(self, client: int, inode: CInode, args: FilelockArgs) -> FileLock:
        """The lock that stands in the way of one like this; type LOCK_UNLOCK: none does.

        Raises:
            FsError: EINVAL: no such kind.
        """
        rule = args.rule
        if rule not in (LOCK_FCNTL, LOCK_FLOCK):
            raise FsError(errno.EINVAL, f"kind {rule} of a file lock")
        locks = self.file_locks(inode)
        table = None
        if locks is not None:
            table = locks.fcntl if rule == LOCK_FCNTL else locks.flock
        return (table or FileLockTable()).look(lock_of(client, args))

    def file_locks(self, inode: CInode) -> InodeFileLocks | None:
        """The advisory locks of an inode; None: there are none."""
        return None if inode.extra is None else inode.extra.get(FILE_LOCKS)

    def _file_locks(self, inode: CInode) -> InodeFileLocks:
        locks = self.file_locks(inode)
        if locks is None:
            if inode.extra is None:
                inode.extra = {}
            locks = InodeFileLocks(self.wait_graph, self.rank.queue.gate())
            inode.extra[FILE_LOCKS] = locks
        return locks

    def _tidy(self, inode: CInode, locks: InodeFileLocks) -> None:
        if not locks and inode.extra is not None:
            inode.extra.pop(FILE_LOCKS, None)
            if not inode.extra:
                inode.extra = None

    def drop_file_locks(self, inode: CInode, client: int) -> None:
        locks = self.file_locks(inode)
        if locks is None:
            return
        waiting = len(locks.fcntl.waiting) + len(locks.flock.waiting)
        held = locks.fcntl.drop_client(client)
        held = locks.flock.drop_client(client) or held
        if held or waiting != len(locks.fcntl.waiting) + len(locks.flock.waiting):
            locks.gate.open()
        self._tidy(inode, locks)


def lock_of(client: int, args: FilelockArgs) -> FileLock:
    """The lock that a request is about."""
    return FileLock(args.start, args.length, client, args.owner, args.pid, args.type)
