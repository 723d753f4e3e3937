"""The daemon's internal heartbeat: whoever does work says when it must have said so again.

A daemon whose parts are stuck must not tell the monitor that it is well: the beacon is skipped
until they move again, and the monitor gives the rank to somebody else.

Behaviour: ceph/ceph, src/common/HeartbeatMap.cc (Pacific)
"""

from mdsdaemon import records


@records.define(eq=False)
class HeartbeatHandle:
    """One worker; `timeout` is the time (clock of `now`) by which it must report, 0.0: none."""

    name: str
    timeout: float = 0.0
    grace: float = 0.0


class HeartbeatMap:
    """The workers of one daemon. Times are seconds of the daemon's monotonic clock."""

    __slots__ = ("_inject_until", "_unhealthy", "_workers")

    def __init__(self) -> None:
        self._workers: list[HeartbeatHandle] = []
        self._inject_until = 0.0
        self._unhealthy = 0

    def add_worker(self, name: str) -> HeartbeatHandle:
        handle = HeartbeatHandle(name)
        self._workers.append(handle)
        return handle

    def remove_worker(self, handle: HeartbeatHandle) -> None:
        if handle in self._workers:
            self._workers.remove(handle)

    def reset_timeout(self, handle: HeartbeatHandle, now: float, grace: float) -> None:
        """The worker is alive and will say so again within `grace` seconds."""
        handle.grace = grace
        handle.timeout = now + grace

    def clear_timeout(self, handle: HeartbeatHandle) -> None:
        """The worker has nothing to do, so nothing is expected of it."""
        handle.timeout = 0.0

    def inject_failure(self, until: float) -> None:
        """Be unhealthy until then, for tests (Ceph's heartbeat_inject_failure)."""
        self._inject_until = until

    def unhealthy(self, now: float) -> list[HeartbeatHandle]:
        """The workers that are overdue."""
        return [w for w in self._workers if w.timeout and w.timeout < now]

    def is_healthy(self, now: float) -> bool:
        self._unhealthy = len(self.unhealthy(now))
        return now >= self._inject_until and not self._unhealthy

    def counts(self) -> tuple[int, int]:
        """(workers, overdue ones as of the last look)."""
        return len(self._workers), self._unhealthy
