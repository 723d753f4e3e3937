"""The command of `python -m mdsdaemon -- COMMAND …`: a child in a process group of its own.

The group has the terminal if we had it, so Ctrl-C is for the command alone; what others send to us
we hand on. What the command leaves running becomes our child (we are its subreaper) and is ended
with it, whatever group or session it went to.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

GRACE: Final = 3.0
"""Seconds that what is left of a command gets after SIGTERM, and again after SIGKILL."""
POLL: Final = 0.01

TO_GROUP: Final = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP))
"""Signals that a terminal sends to all of a group."""
TO_PROCESS: Final = frozenset((signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
HANDED_ON: Final = TO_GROUP | TO_PROCESS

_PR_SET_CHILD_SUBREAPER: Final = 36
_NOT_FOR_COMMANDS: Final = ("CEPH_ARGS", "CEPH_KEYRING", "NOTIFY_SOCKET", "WATCHDOG_USEC")


def environment(environ: Mapping[str, str], conf: Path) -> dict[str, str]:
    """The command's environment: Ceph's programs and libraries find this cluster by it.

    What would lead them to another cluster is taken out, and so is the service manager's socket.
    """
    env = {name: value for name, value in environ.items() if name not in _NOT_FOR_COMMANDS}
    return {**env, "CEPH_CONF": str(conf), "MDSDAEMON_CONF": str(conf)}


class Command:
    """A running command. Everything in it is of the main thread.

    Args:
        spare: process ids of children of ours that are none of the command's.
        announce: called with its process group by the child itself, before it becomes the command:
            no kill of ours can come between. It must not take locks.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        spare: Sequence[int],
        announce: Callable[[int], None],
    ) -> None:
        self._spare = frozenset(spare)
        self._ended: int | None = None
        _become_subreaper()
        self._terminal = _has_terminal()
        self._proc = subprocess.Popen(
            list(argv), env=dict(env), process_group=0, preexec_fn=lambda: announce(os.getpid())
        )
        self.group = self._proc.pid
        if self._terminal:
            _give_terminal(self.group)
            self._signal_group(signal.SIGCONT)  # it may have asked for the terminal before

    async def wait(self) -> int:
        """Its exit status; negative: minus the number of the signal that ended it."""
        pidfd = os.pidfd_open(self._proc.pid)
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            os.close(pidfd)
        self._ended = self._proc.wait()
        return self._ended

    def hand_on(self, signum: int) -> None:
        """Somebody sent us a signal that is meant for it."""
        if self._ended is not None:
            return
        if signum in TO_GROUP:
            self._signal_group(signum)
        else:
            self._proc.send_signal(signum)

    def child_changed(self) -> None:
        """SIGCHLD: reap what it left behind; when it was stopped from the terminal, stop too."""
        self._reap()
        if self._ended is not None or not self._terminal:
            return
        options = os.WSTOPPED | os.WNOHANG
        if os.waitid(os.P_PID, self._proc.pid, options) is None:
            return
        _give_terminal(os.getpgrp())
        os.kill(os.getpid(), signal.SIGSTOP)
        if os.tcgetpgrp(0) == os.getpgrp():  # we go on in the foreground
            _give_terminal(self.group)
        self._signal_group(signal.SIGCONT)

    async def end_all(self) -> None:
        """End the command and all that it left; returns when none is left.

        The youngest goes first, so that a client can say goodbye to the server that it was started
        after; whoever takes too long is killed in the end.
        """
        told: set[int] = set()
        with trio.move_on_after(GRACE):
            while pids := [pid for pid in self._left() if pid not in told]:
                told.add(pids[0])
                _kill(pids[0], signal.SIGTERM)
                _kill(pids[0], signal.SIGCONT)
                with trio.move_on_after(GRACE / 3):
                    await self._until_ended(pids[0])
            while self._left():  # noqa: ASYNC110 -- of processes that are not our children
                await trio.sleep(POLL)
        with trio.move_on_after(GRACE):
            while pids := self._left():
                for pid in pids:
                    _kill(pid, signal.SIGKILL)
                await trio.sleep(POLL)
        if self._terminal:
            _give_terminal(os.getpgrp())

    async def _until_ended(self, pid: int) -> None:
        while pid in self._left():  # noqa: ASYNC110
            await trio.sleep(POLL)

    def _left(self) -> list[int]:
        """Processes that came from the command and still run, the youngest first."""
        self._reap()
        if self._ended is None:
            self._ended = self._proc.poll()
        children: dict[int, list[tuple[int, int]]] = {}
        for pid, parent, started in _processes():
            children.setdefault(parent, []).append((started, pid))
        found: list[tuple[int, int]] = []
        ahead = [child for child in children.get(os.getpid(), ()) if child[1] not in self._spare]
        while ahead:
            child = ahead.pop()
            found.append(child)
            ahead += children.get(child[1], ())
        return [pid for _, pid in sorted(found, reverse=True)]

    def _reap(self) -> None:
        """Take the ends of children that we got from the command."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid == self._proc.pid or found.si_pid in self._spare:
                return
            os.waitpid(found.si_pid, os.WNOHANG)

    def _signal_group(self, signum: int) -> None:
        try:
            os.killpg(self.group, signum)
        except ProcessLookupError:
            pass


def end_like(status: int) -> int:
    """The exit status for a command's; where a signal ended it, the same one ends us here."""
    if status >= 0:
        return status
    signum = -status
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if signum not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    except (OSError, ValueError):
        pass
    return 128 + signum


def _kill(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        pass


def _processes() -> list[tuple[int, int, int]]:
    """(pid, parent, start in ticks) of every process that runs and that we may see."""
    found: list[tuple[int, int, int]] = []
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if fields[0] != b"Z":
            found.append((int(name), int(fields[1]), int(fields[19])))
    return found


def _become_subreaper() -> None:
    """Orphans of our children become our children. A system that cannot do it goes without."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def _has_terminal() -> bool:
    """Whether standard input is a terminal in whose foreground we are."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _give_terminal(group: int) -> None:
    """Make a group the terminal's foreground, also when we are in the background."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.tcsetpgrp(0, group)
    except OSError:  # the group has ended, or the terminal is gone
        pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
