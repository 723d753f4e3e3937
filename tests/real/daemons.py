"""Daemons as children in the foreground: started, watched, and gone when the tests are."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_POLL = re.compile(
    r'"prefix": "(fs dump|mon_status)"'
)  # what the tests themselves ask all the time


def wait_for(condition: Callable[[], T], timeout: float, what: str, *, every: float = 0.02) -> T:
    """The first true value of ``condition()``; AssertionError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s (last seen: {value!r})")
        time.sleep(every)


class Daemon:
    """One child process; ``logs`` are the files that a failing test's report quotes."""

    def __init__(
        self, label: str, argv: Sequence[str], env: Mapping[str, str], stderr: Path, *logs: Path
    ) -> None:
        self.label = label
        self.stderr = stderr
        self.logs = (stderr, *logs)
        # Those of an earlier daemon of the name are not ours to quote.
        self._begin = {log: _size(log) for log in self.logs}
        self._quoted = dict(self._begin)
        with stderr.open("ab") as output:
            self.started = time.monotonic()
            # The kernel kills the child when this process ends without having done so.
            self.proc = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
            )

    @property
    def pid(self) -> int:
        return self.proc.pid

    @property
    def running(self) -> bool:
        return self.proc.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.proc.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.proc.terminate()

    def stop(self) -> None:
        """SIGSTOP: it hangs, its connections stay open."""
        self.proc.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL, and wait for the end; nothing if it has ended already."""
        self.proc.kill()
        self.proc.wait()

    def wait_exit(self, timeout: float) -> int:
        """The exit status (negative: a signal's number); AssertionError after ``timeout`` s."""
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.label} still runs after {timeout} s") from None

    def wait_gone(self, timeout: float) -> tuple[int, float]:
        """Exit status, and the seconds until then on a clock finer than ``wait_exit``'s."""
        begun = time.monotonic()
        wait_for(lambda: not self.running, timeout, f"{self.label} exits", every=0.002)
        return self.proc.returncode, time.monotonic() - begun

    def said(self) -> str:
        """All that it printed, stdout and stderr."""
        return _text_from(self.stderr, self._begin[self.stderr])

    def logged(self) -> str:
        """All that it printed and logged so far."""
        return "\n".join(_text_from(log, begin) for log, begin in self._begin.items())

    def resident(self) -> int:
        """Resident memory in bytes (RssAnon + RssFile + RssShmem)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """CPU time of its present threads so far."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def mark_logs(self) -> None:
        """From here on: ``fresh_log`` gives what is written after this call."""
        self._quoted = {log: _size(log) for log in self.logs}

    def fresh_log(self, most: int = 4000) -> str:
        """The end of what was written since ``mark_logs``, for a failing test's report."""
        parts = []
        for log, begin in self._quoted.items():
            lines = _text_from(log, max(begin, _size(log) - most)).splitlines()
            text = "\n".join(line for line in lines if line and not _POLL.search(line))
            if text:
                parts.append(f"--- {log.name}\n{text}")
        return "\n".join(parts)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _text_from(path: Path, begin: int) -> str:
    """The text from byte ``begin`` on; of a file that is new since then, all of it."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(begin if begin <= _size(path) else 0)
        return file.read().decode(errors="replace")
