"""Whether a client can mount: which file systems the map says are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon.maps.mds_states import State, state_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mdsdaemon.embedded.monitor.mds_monitor import MDSMonitor
    from mdsdaemon.maps.fs_map import Filesystem

DEFAULT_FS: Final = "cephfs"
"""The file system of a cluster that serves files and was told of none."""


class Serving:
    """Waits for file systems to be up:active.

    Args:
        mds: the monitor's file systems.
    """

    def __init__(self, mds: MDSMonitor) -> None:
        self._mds = mds
        self._changed = trio.lowlevel.ParkingLot()

    def names(self) -> list[str]:
        """The file systems that there are, the oldest first."""
        return [fs.mds_map.fs_name for fs in self._by_age()]

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of the file systems that no client can mount now, with rank 0's state."""
        found = {fs.mds_map.fs_name: _state(fs) for fs in self._by_age()}
        states = {name: found.get(name, State.NULL) for name in names}
        return [
            f"{name} (rank 0 is {_said(state)})"
            for name, state in states.items()
            if state != State.ACTIVE
        ]

    async def wait_active(
        self, names: Sequence[str], tell: Callable[[str], None] | None = None
    ) -> None:
        """Until rank 0 of each is up:active; `tell` is told what is waited for."""
        forget = self._mds.on_map(self._changed.unpark_all)
        try:
            while left := self.missing(names):
                if tell is not None:
                    tell(f"waiting for file systems to be up:active: {', '.join(left)}")
                await self._changed.park()
        finally:
            forget()

    def _by_age(self) -> list[Filesystem]:
        return sorted(self._mds.fsmap.filesystems, key=lambda fs: fs.fscid)


def _state(fs: Filesystem) -> int:
    gid = fs.mds_map.up.get(0)
    return State.NULL if gid is None else fs.mds_map.mds_info[gid].state


def _said(state: int) -> str:
    return "held by nobody" if state == State.NULL else state_name(state)
