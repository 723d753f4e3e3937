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
        self._quoted = {log: log.stat().st_size if log.exists() else 0 for log in self.logs}
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
        return self.stderr.read_text(errors="replace")

    def logged(self) -> str:
        """All that it printed and logged so far."""
        texts = (log.read_text(errors="replace") for log in self.logs if log.exists())
        return "\n".join(texts)

    def resident(self) -> int:
        """Resident memory in bytes (RssAnon + RssFile + RssShmem)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def mark_logs(self) -> None:
        """From here on: ``fresh_log`` gives what is written after this call."""
        self._quoted = {log: log.stat().st_size if log.exists() else 0 for log in self.logs}

    def fresh_log(self, most: int = 4000) -> str:
        """The end of what was written since ``mark_logs``, for a failing test's report."""
        parts = []
        for log in self.logs:
            if not log.exists():
                continue
            begin = self._quoted.get(log, 0)
            with log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(begin, size - most))
                lines = file.read().decode(errors="replace").splitlines()
            text = "\n".join(line for line in lines if line and not _POLL.search(line))
            if text:
                parts.append(f"--- {log.name}\n{text}")
        return "\n".join(parts)
