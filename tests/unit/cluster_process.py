"""`python -m mdsdaemon` as a process of a test: started, waited for, and nothing left of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

LIMIT = 30.0
Start = Callable[..., "Process"]


def wait_for(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what}"
        time.sleep(0.01)
    return value


def processes_of(marker: str) -> list[int]:
    """Processes that have `marker` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and marker.encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


class Process:
    """A cluster with a temporary folder of its own, all of whose processes carry a mark."""

    def __init__(self, tmp: Path, args: Sequence[str], **options: Any) -> None:
        self.tmp = tmp
        self.ready_file = tmp.parent / f"{tmp.name}.ready"
        self.marker = f"MDSDAEMON_TEST_MARK={tmp}"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CEPH_", "NOTIFY_"))}
        env |= {"TMPDIR": str(tmp), "MDSDAEMON_TEST_MARK": str(tmp), **options.pop("env", {})}
        self.proc = subprocess.Popen(
            [sys.executable, "-m", "mdsdaemon", "--ready-file", str(self.ready_file), *args],
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    def wait_ready(self) -> dict[str, Any]:
        wait_for(lambda: self.ready_file.exists() or self.proc.poll() is not None, "ready")
        assert self.ready_file.exists(), self.proc.stderr.read() if self.proc.stderr else ""
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    def finish(self) -> tuple[int, str, str]:
        """Status, stdout, stderr; nothing may be left of it."""
        out, err = self.proc.communicate(timeout=LIMIT)
        self.assert_nothing_left()
        return self.proc.returncode, out, err

    def assert_nothing_left(self) -> None:
        wait_for(lambda: not processes_of(self.marker), "no process is left")
        wait_for(lambda: not list(self.tmp.iterdir()), "the temporary folder is empty")
        assert not self.ready_file.exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def run(*args: str, **options: Any) -> Process:
        tmp = tmp_path / f"tmp{len(started)}"
        tmp.mkdir()
        started.append(Process(tmp, args, **options))
        return started[-1]

    yield run
    for process in started:
        for pid in processes_of(process.marker):
            os.kill(pid, signal.SIGKILL)
        process.proc.communicate()


def refused(process: Process) -> tuple[int, str]:
    """Status and the one sentence that it said."""
    status, out, err = process.finish()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("mdsdaemon: ")
    return status, line
