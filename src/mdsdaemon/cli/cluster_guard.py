"""A second process that tidies up should this one be killed.

It is forked before anything big is loaded, waits until our end of a pipe closes, and does nothing
else. Ended in good order we dismiss it first; after a `kill -9` it kills what we had started and
deletes our temporary folder.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_DISMISSED: Final = "dismissed"


class Guard:
    """The guarding process. Made by `start`."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    @classmethod
    def start(cls) -> Guard:
        """Fork it. Call this before there are threads."""
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()  # what the terminal sends is not for us
                _only_keep(theirs)
                _guard(theirs)
            finally:
                os._exit(0)
        os.close(theirs)
        return cls(pid, ours)

    def watch_folder(self, path: str) -> None:
        """Delete this folder when we are gone."""
        self._say(f"folder {path}")

    def watch_group(self, group: int) -> None:
        """Kill this process group when we are gone; 0: none any more."""
        self._say(f"group {group}")

    def dismiss(self) -> None:
        """All is tidy: let it go."""
        self._say(_DISMISSED)
        os.close(self._pipe)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass

    def _say(self, line: str) -> None:
        try:
            os.write(self._pipe, os.fsencode(line) + b"\0")
        except BrokenPipeError:  # somebody killed it
            pass


def _only_keep(pipe: int) -> None:
    """No other file stays open: whoever waits for the end of our output need not wait for it."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, 1 << 16)


def _guard(pipe: int) -> None:
    data = b""
    while chunk := os.read(pipe, 4096):
        data += chunk
    folders: list[str] = []
    group = 0
    for line in data.split(b"\0"):
        what, _, value = os.fsdecode(line).partition(" ")
        if what == _DISMISSED:
            return
        if what == "folder":
            folders.append(value)
        elif what == "group":
            group = int(value)
    if group > 1:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if folders:
        import shutil

        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
