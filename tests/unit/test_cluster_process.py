"""`python -m mdsdaemon` as a process: ready, commands, signals, and nothing left behind.

No Ceph package is needed here.
"""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.cluster_process import LIMIT, Start, processes_of, refused, start, wait_for

from mdsdaemon.errors import ExitStatus

__all__ = ["start"]  # the fixture


def test_ready_and_told(start: Start, tmp_path: Path) -> None:
    """Banner, ready file and service manager, none of them too early; SIGTERM ends it well."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(LIMIT)
        process = start(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        said = notify.recv(4096).decode().splitlines()
        assert "READY=1" in said
        ready = process.wait_ready()
        conf, keyring = Path(ready["conf"]), Path(ready["keyring"])
        assert conf.parent.parent == process.tmp
        assert stat.S_IMODE(conf.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(keyring.stat().st_mode) == 0o600
        assert ready["pid"] == process.proc.pid
        port = int(re.findall(r"v2:127\.0\.0\.1:(\d+)/", ready["mon_host"])[0])
        socket.create_connection(("127.0.0.1", port), 5).close()
        process.proc.terminate()
        status, out, err = process.finish()
        assert notify.recv(4096).decode().splitlines()[0] == "STOPPING=1"
    assert (status, err) == (0, "")
    assert f"  ceph -c {conf} -s\n" in out
    assert f"  ceph-fuse -c {conf} MOUNTPOINT\n" in out
    assert f'conffile="{conf}"' in out
    assert f"Configuration: {conf}\n" in out
    assert ready["fs"] == ["cephfs"]


def test_nothing_listens_beyond_loopback(start: Start) -> None:
    process = start("--mds", "2")
    process.wait_ready()
    inodes = set()
    for fd in Path(f"/proc/{process.proc.pid}/fd").iterdir():
        found = re.match(r"socket:\[(\d+)\]", os.readlink(fd))
        inodes |= {found[1]} if found else set()
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes and (words[3] == "0A" or table.startswith("udp")):
                listening.append((table, words[1].partition(":")[0]))
    assert listening == [("tcp", "0100007F")] * 4  # monitor, object store, two mds
    process.proc.terminate()
    assert process.finish()[0] == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ends_on_signals(start: Start, signum: signal.Signals) -> None:
    process = start()
    process.wait_ready()
    process.proc.send_signal(signum)
    status, _, err = process.finish()
    assert (status, err) == (0, "")


def test_kill_9_leaves_nothing(start: Start) -> None:
    process = start("--", "sleep", "1000")
    process.wait_ready()
    process.proc.kill()
    process.proc.wait()
    process.ready_file.unlink()  # the one thing that stays
    process.assert_nothing_left()


def test_kill_9_while_the_command_begins_leaves_nothing(start: Start) -> None:
    """It is one of ours before it is a program of its own."""
    process = start("--", "sleep", "1000")
    wait_for(lambda: len(processes_of(process.marker)) > 2, "it, its guard, a child")
    process.proc.kill()
    process.proc.wait()
    process.ready_file.unlink()
    process.assert_nothing_left()


def test_a_signal_while_starting(start: Start) -> None:
    process = start()
    wait_for(lambda: list(process.tmp.iterdir()) or process.proc.poll() is not None, "a folder")
    process.proc.terminate()
    assert process.finish()[0] in (0, -signal.SIGTERM)


def test_too_slow_says_what_hangs(start: Start) -> None:
    status, out, err = start("--timeout", "0.001").finish()
    assert status == ExitStatus.UNAVAILABLE
    assert out == ""
    assert re.fullmatch(r"mdsdaemon: not ready within 0\.001 s: still \w+.*\n", err)


# -- COMMAND ------------------------------------------------------------------------------------


def test_a_command_has_the_cluster(start: Start) -> None:
    env = {"CEPH_ARGS": "-m 1.2.3.4", "CEPH_KEYRING": "/nowhere", "CEPH_CONF": "/nowhere"}
    code = "import json, os, sys; json.dump([dict(os.environ), sys.argv[1:]], sys.stdout)"
    process = start("--", sys.executable, "-c", code, "a b", "--", "-x", env=env)
    status, out, err = process.finish()
    assert (status, err) == (0, "")
    found, argv = json.loads(out)
    assert argv == ["a b", "--", "-x"]
    conf = Path(found["CEPH_CONF"])
    assert conf.name == "ceph.conf"
    assert conf.parent.parent == process.tmp
    assert found["MDSDAEMON_CONF"] == str(conf)
    assert not {"CEPH_ARGS", "CEPH_KEYRING", "NOTIFY_SOCKET"} & found.keys()


@pytest.mark.parametrize("status", [0, 7, 255])
def test_its_status_is_ours(start: Start, status: int) -> None:
    assert start("--", "sh", "-c", f"exit {status}").finish()[0] == status


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_its_signal_is_ours(start: Start, signum: signal.Signals) -> None:
    assert start("--", "sh", "-c", f"kill -{signum.value} $$").finish()[0] == -signum


def test_what_it_leaves_running_is_ended(start: Start) -> None:
    """In its group, in a session of its own, as a daemon, and deaf to SIGTERM; after SIGKILL."""
    script = (
        "sleep 1001 & setsid sleep 1002 & (setsid sh -c 'sleep 1003 & exec sleep 1004' &) ; "
        "sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & sleep 0.3; kill -9 $$"
    )
    assert start("--", "sh", "-c", script).finish()[0] == -signal.SIGKILL


TRAPS = """
import os, signal, sys, time
def got(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM: sys.exit(3)
for number in map(int, sys.argv[1:]): signal.signal(number, got)
print("up", flush=True)
while True: time.sleep(100)
"""


def test_signals_are_handed_on(start: Start) -> None:
    """Each once, though signals come to us alone and to a group from a terminal."""
    wanted = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGINT]
    numbers = [str(int(number)) for number in [*wanted, signal.SIGTERM]]
    process = start("--", sys.executable, "-c", TRAPS, *numbers)
    assert process.proc.stdout is not None
    assert process.proc.stdout.readline() == "up\n"
    for number in wanted:
        process.proc.send_signal(number)
        assert process.proc.stdout.readline() == f"{number.name}\n"
    process.proc.terminate()
    status, out, _ = process.finish()
    assert (status, out) == (3, "SIGTERM\n")


@pytest.mark.parametrize("command", [True, False])
def test_it_ends_with_its_parent(start: Start, command: bool, tmp_path: Path) -> None:
    """With a command always, without one if it is told so."""
    tmp = tmp_path / "parent"
    tmp.mkdir()
    args = ["--", "sleep", "1000"] if command else ["--exit-with-parent"]
    argv = [sys.executable, "-m", "mdsdaemon", "--ready-file", f"{tmp_path}/ready", *args]
    marker = f"MDSDAEMON_TEST_MARK={tmp}"
    env = {**os.environ, "TMPDIR": str(tmp), "MDSDAEMON_TEST_MARK": str(tmp)}
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *argv],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for((tmp_path / "ready").exists, "ready")
    parent.kill()
    parent.wait()
    wait_for(lambda: not processes_of(marker), "no process is left")
    assert list(tmp.iterdir()) == []
    assert not (tmp_path / "ready").exists()


def test_nohup_outlives_its_parent(start: Start) -> None:
    """Somebody asked for that in so many words."""

    def ignore_hangup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("--", "sh", "-c", "sleep 0.5; exit 9", preexec_fn=ignore_hangup)
    process.wait_ready()
    process.proc.send_signal(signal.SIGHUP)
    assert process.finish()[0] == 9


def read_until(fd: int, wanted: str) -> str:
    text, deadline = "", time.monotonic() + LIMIT
    while wanted not in text:
        assert time.monotonic() < deadline, f"no {wanted!r} in {text!r}"
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 4096).decode()
    return text


def test_on_a_terminal(tmp_path: Path) -> None:
    """The command has the terminal: it reads from it, and Ctrl-C is its alone."""
    code = (
        "import sys\nprint('got', input(), flush=True)\n"
        "try:\n print('wait', flush=True); import time; time.sleep(100)\n"
        "except KeyboardInterrupt: print('interrupted', flush=True); sys.exit(5)"
    )
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TMPDIR"] = str(tmp_path)
        argv = [sys.executable, "-m", "mdsdaemon", "--", sys.executable, "-c", code]
        os.execv(sys.executable, argv)
    try:
        os.write(fd, b"hello\n")
        assert "got hello" in read_until(fd, "wait")
        os.write(fd, b"\x03")
        read_until(fd, "interrupted")
        _, status = os.waitpid(pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 5
    assert list(tmp_path.iterdir()) == []


def test_stopped_from_the_terminal(tmp_path: Path) -> None:
    """Ctrl-Z stops the command, and then us, so that a shell notices; SIGCONT wakes both."""
    code = "print('up', flush=True); print('got', input(), flush=True)"
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TMPDIR"] = str(tmp_path)
        argv = [sys.executable, "-m", "mdsdaemon", "--", sys.executable, "-c", code]
        os.execv(sys.executable, argv)
    try:
        read_until(fd, "up")
        os.write(fd, b"\x1a")
        _, status = os.waitpid(pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(pid, signal.SIGCONT)
        os.write(fd, b"hello\n")
        read_until(fd, "got hello")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(fd)


# -- bad input ----------------------------------------------------------------------------------


def test_no_such_command(start: Start) -> None:
    status, line = refused(start("--", "/no/such/command"))
    assert status == ExitStatus.NOT_FOUND
    assert "there is no command '/no/such/command'" in line


def test_a_port_that_is_taken(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        begun = time.monotonic()
        status, line = refused(start("--mon-port", str(port)))
    assert status == ExitStatus.ADDRESS
    assert f"port {port} is in use by another process" in line
    assert time.monotonic() - begun < 10


def test_a_ready_file_that_cannot_be(start: Start, tmp_path: Path) -> None:
    status, line = refused(start("--ready-file", str(tmp_path / "no" / "ready")))
    assert status == ExitStatus.CANNOT_CREATE
    assert "cannot write the ready file" in line


def test_options_of_ceph_that_are_none(start: Start) -> None:
    status, line = refused(start("--set", "no_such_option=1"))
    assert status == ExitStatus.USAGE
    assert "no_such_option" in line
