"""The daemon as a process, without a cluster: signals, statuses, the service manager's socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mdsdaemon.daemon import runner
from mdsdaemon.errors import ExitStatus, FatalError

KEYRING = "[mds.a]\n\tkey = AQA2rgNrCm0JGRAAk/pGvH0rpInxmNYl+deWCQ==\n"


@contextmanager
def a_daemon(tmp_path: Path, *args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose monitor never answers."""
    (tmp_path / "keyring").write_text(KEYRING)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        proc = subprocess.Popen(
            [
                *(sys.executable, "-m", "mdsdaemon", "-i", "a", "--no-config-file"),
                *("-m", f"v2:127.0.0.1:{port}", "-k", str(tmp_path / "keyring")),
                *("--log-file", str(tmp_path / "log"), "--run-dir", str(tmp_path)),
                *("--admin-socket", str(tmp_path / "asok"), "--public-addr", "127.0.0.1"),
                *("--pid-file", str(tmp_path / "pid"), "--debug-mds", "5", *args),
            ],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            # The monitor client has come to our port: signals are handled from before that on.
            mute.settimeout(20)
            with mute.accept()[0]:
                yield proc
        finally:
            with suppress(ProcessLookupError):
                proc.kill()
            proc.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_joining_is_a_clean_exit(tmp_path: Path, signum: int) -> None:
    with a_daemon(tmp_path) as proc:
        assert (tmp_path / "pid").read_text() == f"{proc.pid}\n"
        assert (tmp_path / "asok").is_socket()
        proc.send_signal(signum)
        _, err = proc.communicate(timeout=10)
    assert proc.returncode == ExitStatus.OK, err
    assert "Traceback" not in err
    assert not (tmp_path / "pid").exists()
    assert not (tmp_path / "asok").exists()
    assert f"got signal {signal.Signals(signum).name}" in (tmp_path / "log").read_text()


def test_hup_reopens_the_log(tmp_path: Path) -> None:
    with a_daemon(tmp_path) as proc:
        (tmp_path / "log").rename(tmp_path / "log.1")
        proc.send_signal(signal.SIGHUP)
        while not (tmp_path / "log").exists():
            assert proc.poll() is None
        proc.terminate()
        proc.communicate(timeout=10)
    assert "SIGTERM" in (tmp_path / "log").read_text()
    assert "SIGHUP" in (tmp_path / "log.1").read_text()


def test_service_manager_hears_of_the_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(10)
        with a_daemon(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")) as proc:
            assert notify.recv(1000).startswith(b"STATUS=joining")
            proc.terminate()
            heard = [notify.recv(1000)]
            while b"STOPPING=1" not in heard[-1]:
                heard.append(notify.recv(1000))
            proc.communicate(timeout=10)
    assert not any(b"READY" in line for line in heard)


class _Logs:
    """As much of DaemonLogging as re_execute uses."""

    def __init__(self) -> None:
        import logging

        self.logger = logging.getLogger("test.runner")
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def test_re_execute_uses_the_same_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str]]] = []

    def execv(path: str, argv: list[str]) -> None:
        calls.append((path, argv))
        # A log rotation meets a program that does not listen yet.
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        raise OSError(8, "Exec format error")

    monkeypatch.setattr(os, "execv", execv)
    logs = _Logs()
    before = signal.getsignal(signal.SIGHUP)
    with pytest.raises(FatalError, match="Exec format error") as caught:
        runner.re_execute(["python", "-m", "mdsdaemon", "-i", "a"], logs)  # type: ignore[arg-type]
    assert caught.value.status is ExitStatus.SOFTWARE
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(FatalError):
        runner.re_execute(["python", "-m", "mdsdaemon"], logs)  # type: ignore[arg-type]
    assert [path for path, _ in calls][1:] == ["/proc/self/exe"]
    assert calls[0][1] == ["python", "-m", "mdsdaemon", "-i", "a"]
    assert logs.flushed == 2
    assert signal.getsignal(signal.SIGHUP) is before


def test_re_execute_with_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(_Logs):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    def execv(path: str, argv: list[str]) -> None:
        raise SystemExit(path)

    monkeypatch.setattr(os, "execv", execv)
    hangup = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(SystemExit, match="python"):
            runner.re_execute(["python"], Full())  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGHUP, hangup)
