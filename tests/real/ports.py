"""TCP ports for monitors, which cannot ask the kernel for a free one.

A port is held from the choice on through an abstract Unix socket of its number, so that two test
processes never choose the same one, even before a monitor has bound it; the kernel frees the name
when the process ends, however it ends.
"""

import os
import random
import socket
from types import TracebackType
from typing import Self

# Below the kernel's range for outgoing connections, above the 6800-7300 that Ceph's daemons take.
_FIRST, _LAST = 20000, 31999


def _range() -> range:
    """The candidate ports; ``MDSDAEMON_TEST_PORTS=FIRST-LAST`` narrows them."""
    first, _, last = os.environ.get("MDSDAEMON_TEST_PORTS", f"{_FIRST}-{_LAST}").partition("-")
    return range(int(first), int(last) + 1)


def _is_free(port: int) -> bool:
    """Whether a server could bind ``port`` now, as Ceph does it (with SO_REUSEADDR)."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # no IPv6 on this machine
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError:
                if family == socket.AF_INET:
                    return False
    return True


class PortHold:
    """``count`` neighbouring free TCP ports, reserved among test processes until ``close()``."""

    def __init__(self, count: int = 1) -> None:
        candidates = list(_range())[:: max(count, 1)]
        random.SystemRandom().shuffle(candidates)
        for first in candidates:
            locks = self._lock(range(first, first + count))
            if locks is not None:
                self.first = first
                self._locks = locks
                return
        raise RuntimeError(f"no {count} neighbouring free ports in {_range()}")

    @staticmethod
    def _lock(ports: range) -> list[socket.socket] | None:
        locks: list[socket.socket] = []
        for port in ports:
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            locks.append(lock)
            try:
                lock.bind(f"\0mdsdaemon-test-port-{port}")
            except OSError:
                break
            if not _is_free(port):
                break
        else:
            return locks
        for lock in locks:
            lock.close()
        return None

    def close(self) -> None:
        for lock in self._locks:
            lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
