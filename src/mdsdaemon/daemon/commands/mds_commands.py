"""The daemon's own commands: status, exit, respawn, heap, cpu_profiler; the rest is the rank's.

Behaviour: ceph/ceph, src/mds/MDSDaemon.cc, asok_command (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from mdsdaemon.log import beside_log
from mdsdaemon.messages.cmdparse import CmdMap, get_str
from mdsdaemon.messages.formatter import Reply

if TYPE_CHECKING:
    from mdsdaemon.daemon.cpu_profiler import CpuProfiler
    from mdsdaemon.daemon.heap import HeapProfiler
    from mdsdaemon.daemon.mds_daemon import MDSDaemon

LEAVE_DELAY = 1.0
"""Seconds between the answer to `exit` or `respawn` and doing it, so that the answer arrives."""


class MDSCommands:
    """Serves the commands of one daemon."""

    def __init__(self, mds: MDSDaemon) -> None:
        self._mds = mds
        self._heap_profiler: HeapProfiler | None = None
        self._cpu_sampler: CpuProfiler | None = None

    def close(self) -> None:
        """End profiles that are still being taken."""
        if self._heap_profiler is not None:
            self._heap_profiler.close()
        if self._cpu_sampler is not None:
            self._cpu_sampler.close()

    def call(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Reply | Awaitable[Reply]:
        """Run one command whose arguments fit its description."""
        match prefix:
            case "status":
                return Reply(section="status", data=self._mds.dump_status())
            case "exit":
                self._later(self._mds.suicide, "exit command")
                return Reply(out=b"Exiting...\n")
            case "respawn":
                self._later(self._mds.respawn, "respawn command")
                return Reply(out=b"Respawning...\n")
            case "heap":
                return self._heap(cmdmap)
            case "cpu_profiler":
                return self._cpu_profiler(cmdmap)
        if self._mds.mds_rank is None:
            self._mds.log.info("Can't run that command on an inactive MDS!")
            return Reply(r=-errno.ENOSYS, section="error", data={"error": "mds_not_active"})
        return self._mds.mds_rank.handle_asok_command(prefix, cmdmap, inbl)

    def _heap(self, cmdmap: CmdMap) -> Reply:
        if self._heap_profiler is None:
            from mdsdaemon.daemon.heap import HeapProfiler

            name = self._mds.config.name
            self._heap_profiler = HeapProfiler(name, beside_log(self._mds.config, ""))
        heapcmd = get_str(cmdmap, "heapcmd") or ""
        return _said(*self._heap_profiler.command(heapcmd, get_str(cmdmap, "value")))

    def _cpu_profiler(self, cmdmap: CmdMap) -> Reply:
        if self._cpu_sampler is None:
            from mdsdaemon.daemon.cpu_profiler import CpuProfiler

            path = beside_log(self._mds.config, ".cpu")
            self._cpu_sampler = CpuProfiler(path, self._mds.host.wall)
        return _said(*self._cpu_sampler.command(get_str(cmdmap, "arg") or ""))

    def _later(self, action: Callable[[str], None], reason: str) -> None:
        async def leave() -> None:
            await trio.sleep(LEAVE_DELAY)
            action(reason)

        self._mds.nursery_or_fail().start_soon(leave)


def _said(r: int, text: str) -> Reply:
    """A text as output, as in Reef: what Pacific puts beside it never leaves an admin socket."""
    if r < 0:
        return Reply(r=r, error=text)
    return Reply(out=(text.rstrip("\n") + "\n").encode())
