"""Advisory file locks of one inode: ranges of bytes, who holds them, who waits.

The ranges of one owner never overlap; those of one kind that touch are one. fcntl locks and flock
locks are two tables that know nothing of each other.

Behaviour: ceph/ceph, src/mds/flock.cc (ceph_lock_state_t) (Pacific)
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Any

from mdsdaemon.types.client_locks import (
    LOCK_EXCL,
    LOCK_SHARED,
    LOCK_UNLOCK,
    OWNER_IS_ALL,
    FileLock,
    LockState,
)

END = 1 << 64
"""A lock of length 0 reaches to here."""
MAX_DEPTH = 5
"""How many owners that wait for each other are followed when looking for a deadlock."""
MAX_LOCKS = 1 << 16
"""Ranges held in one table at a time; a client cannot fill memory with them."""

Owner = tuple[int, int, int]


def owner_of(lock: FileLock) -> Owner:
    """Who holds it: client, owner and, for old clients, process."""
    pid = 0 if lock.owner & OWNER_IS_ALL else lock.pid
    return lock.client, lock.owner, pid


def owner_and_pid(lock: FileLock) -> Owner:
    """The same with the process as it was told."""
    return lock.client, lock.owner, lock.pid


def end_of(lock: FileLock) -> int:
    """The byte after its last."""
    return min(lock.start + lock.length, END) if lock.length else END


def _span(lock: FileLock, start: int, end: int) -> FileLock:
    length = 0 if end >= END else end - start
    return FileLock(start, length, lock.client, lock.owner, lock.pid, lock.type)


def _start(lock: FileLock) -> tuple[int, int, int, int]:
    return (lock.start, *owner_of(lock))


class WaitGraph:
    """Which owners wait for which ranges, over all inodes: for finding deadlocks of fcntl locks."""

    def __init__(self) -> None:
        self._waiting: dict[Owner, list[tuple[FileLockTable, FileLock]]] = {}

    def add(self, table: FileLockTable, lock: FileLock) -> None:
        self._waiting.setdefault(owner_of(lock), []).append((table, lock))

    def remove(self, table: FileLockTable, lock: FileLock) -> None:
        owner = owner_of(lock)
        waits = self._waiting.get(owner, [])
        for index, (where, what) in enumerate(waits):
            if where is table and what == lock:
                del waits[index]
                break
        if not waits:
            self._waiting.pop(owner, None)

    def closes_circle(self, table: FileLockTable, lock: FileLock) -> bool:
        """Whether somebody who stands in the way waits, in the end, for the one who asks."""
        first = owner_of(lock)
        level = {owner_of(held) for held in table.conflicts(lock)}
        seen: set[Owner] = set()
        for _ in range(MAX_DEPTH):
            seen |= level
            further: set[Owner] = set()
            for owner in level:
                for where, what in self._waiting.get(owner, ()):
                    further |= {owner_of(held) for held in where.conflicts(what)}
            if first in further:
                return True
            level = further - seen
        return False

    def __len__(self) -> int:
        return len(self._waiting)


class FileLockTable:
    """The locks of one kind on one inode.

    Args:
        graph: of fcntl locks; None: deadlocks are not looked for.

    Attributes:
        held: by start.
        waiting: who has asked and waits, in the order of asking.
    """

    __slots__ = ("_graph", "held", "waiting")

    def __init__(self, graph: WaitGraph | None = None) -> None:
        self._graph = graph
        self.held: list[FileLock] = []
        self.waiting: list[FileLock] = []

    def __bool__(self) -> bool:
        return bool(self.held or self.waiting)

    # -- asking -------------------------------------------------------------------------------

    def conflicts(self, lock: FileLock) -> list[FileLock]:
        """Locks of others that stand in the way, by start."""
        owner, start, end = owner_of(lock), lock.start, end_of(lock)
        return [
            held
            for held in self.held
            if held.start < end
            and end_of(held) > start
            and owner_of(held) != owner
            and not (lock.type == LOCK_SHARED and held.type == LOCK_SHARED)
        ]

    def look(self, lock: FileLock) -> FileLock:
        """The first lock that stands in the way of this one; itself as LOCK_UNLOCK if none does."""
        found = self.conflicts(lock)
        if found:
            return found[0]
        return FileLock(lock.start, lock.length, *owner_and_pid(lock), LOCK_UNLOCK)

    def is_deadlock(self, lock: FileLock) -> bool:
        """Whether waiting for it would never end."""
        return self._graph is not None and self._graph.closes_circle(self, lock)

    # -- changing -----------------------------------------------------------------------------

    def add(self, lock: FileLock) -> bool:
        """Take a lock, in place of what its owner has there; False: others stand in the way."""
        if self.conflicts(lock):
            return False
        self.stop_waiting(lock)
        owner, start, end = owner_of(lock), lock.start, end_of(lock)
        rest: list[FileLock] = []
        parts: list[FileLock] = []
        for held in self.held:
            held_end = end_of(held)
            if owner_of(held) != owner or held.start > end or held_end < start:
                rest.append(held)
            elif held.type == lock.type:
                start, end = min(start, held.start), max(end, held_end)
            else:
                parts += _cut(held, lock.start, end_of(lock))
        self.held = rest
        for part in (*parts, _span(lock, start, end)):
            insort(self.held, part, key=_start)
        return True

    def remove(self, lock: FileLock) -> bool:
        """Give back what its owner has in the range; whether that was anything."""
        owner, start, end = owner_of(lock), lock.start, end_of(lock)
        rest: list[FileLock] = []
        changed = False
        for held in self.held:
            if owner_of(held) != owner or held.start >= end or end_of(held) <= start:
                rest.append(held)
                continue
            changed = True
            rest += _cut(held, start, end)
        self.held = sorted(rest, key=_start)
        return changed

    def drop_client(self, client: int) -> bool:
        """All of the client's are gone; whether it held any."""
        held = [lock for lock in self.held if lock.client != client]
        any_held = len(held) != len(self.held)
        self.held = held
        for lock in [lock for lock in self.waiting if lock.client == client]:
            self._drop_waiting(lock)
        return any_held

    def restore(self, locks: Iterable[FileLock]) -> None:
        """What a client says that it held before a failover."""
        for lock in locks:
            if len(self.held) < MAX_LOCKS and lock.type in (LOCK_SHARED, LOCK_EXCL):
                insort(self.held, lock, key=_start)

    @property
    def is_full(self) -> bool:
        return len(self.held) >= MAX_LOCKS

    # -- waiting ------------------------------------------------------------------------------

    def is_waiting(self, lock: FileLock) -> bool:
        """Whether its owner waits for this range."""
        return self._find_waiting(lock) is not None

    def wait(self, lock: FileLock) -> None:
        """Its owner waits for it from now on."""
        if not self.is_waiting(lock):
            self.waiting.append(lock)
            if self._graph is not None:
                self._graph.add(self, lock)

    def stop_waiting(self, lock: FileLock) -> bool:
        """Its owner does not wait any more; whether it did."""
        found = self._find_waiting(lock)
        if found is None:
            return False
        self._drop_waiting(found)
        return True

    def _find_waiting(self, lock: FileLock) -> FileLock | None:
        owner = owner_of(lock)
        for one in self.waiting:
            if one.start == lock.start and one.length == lock.length and owner_of(one) == owner:
                return one
        return None

    def _drop_waiting(self, lock: FileLock) -> None:
        self.waiting.remove(lock)
        if self._graph is not None:
            self._graph.remove(self, lock)

    # -- encoding -----------------------------------------------------------------------------

    def state(self) -> LockState:
        """As ceph_lock_state_t."""
        counts: dict[int, int] = {}
        for lock in self.held:
            counts[lock.client] = counts.get(lock.client, 0) + 1
        return LockState([(lock.start, lock) for lock in self.held], counts)

    def dump(self) -> dict[str, Any]:
        """For `dump inode`."""

        def one(lock: FileLock) -> dict[str, Any]:
            return {
                "start": lock.start,
                "length": lock.length,
                "client": lock.client,
                "owner": lock.owner,
                "pid": lock.pid,
                "type": lock.type,
            }

        return {
            "held_locks": [one(lock) for lock in self.held],
            "waiting_locks": [one(lock) for lock in self.waiting],
        }


def _cut(held: FileLock, start: int, end: int) -> list[FileLock]:
    """What is left of a lock outside of a range."""
    left: list[FileLock] = []
    held_end = end_of(held)
    if held.start < start:
        left.append(_span(held, held.start, min(start, held_end)))
    if held_end > end:
        left.append(_span(held, max(end, held.start), held_end))
    return left
