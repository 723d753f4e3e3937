"""The service manager's socket, by path and abstract."""

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsdaemon.daemon.sd_notify import SdNotifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET says, and the socket behind it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        if request.param == "path":
            name = str(tmp_path / "notify")
            listener.bind(name)
        else:
            name = f"@mdsdaemon-test-{secrets.token_hex(8)}"
            listener.bind("\0" + name[1:])
        yield name, listener


def test_notifications(manager: tuple[str, socket.socket]) -> None:
    name, listener = manager
    notifier = SdNotifier.from_env({"NOTIFY_SOCKET": name})
    assert notifier.enabled
    assert notifier.watchdog_interval is None
    notifier.ready("up:standby")
    notifier.status("up:active\nREADY=0 " + "x" * 1000)
    notifier.watchdog()
    notifier.stopping()
    received = [listener.recv(4096).decode() for _ in range(4)]
    assert received[0] == "READY=1\nSTATUS=up:standby"
    assert received[1].startswith("STATUS=up:active READY=0 xxx")
    assert "\n" not in received[1]
    assert len(received[1]) < 600
    assert received[2:] == ["WATCHDOG=1", "STOPPING=1"]
    notifier.close()
    notifier.status("nobody hears this")
    assert notifier.failures == 0
    assert not notifier.enabled


def test_nobody_to_tell() -> None:
    for environ in (
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "@"},
    ):
        notifier = SdNotifier.from_env(environ)
        assert not notifier.enabled
        notifier.ready()
        notifier.close()


def test_a_manager_that_is_gone_or_full_does_not_matter(tmp_path: Path) -> None:
    notifier = SdNotifier(str(tmp_path / "gone"))
    notifier.ready()
    assert notifier.failures == 1
    notifier.close()
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        notifier = SdNotifier(path)
        for _ in range(5000):
            notifier.status("x" * 400)
        assert notifier.failures > 0
        notifier.close()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog(environ: dict[str, str], interval: float | None) -> None:
    notifier = SdNotifier.from_env({"NOTIFY_SOCKET": "/run/x", **environ})
    assert notifier.watchdog_interval == interval
    notifier.close()
    assert SdNotifier.from_env(environ).watchdog_interval is None
