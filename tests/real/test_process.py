"""The daemon as a process: environment, ways to give a name and a key, systemd, logs, pid file."""

import grp
import json
import os
import pwd
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for


class NotifySocket:
    """What systemd listens at: datagrams of KEY=VALUE lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)

    def said(self) -> list[str]:
        """Every line so far."""
        try:
            while True:
                self.lines += self._sock.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.lines

    def close(self) -> None:
        self._sock.close()


@contextmanager
def notify_socket(cluster: RealCluster) -> Iterator[NotifySocket]:
    made = NotifySocket(cluster.root / "run" / "notify")
    try:
        yield made
    finally:
        made.close()
        made.path.unlink()


def test_systemd_is_told(cluster: RealCluster) -> None:
    """READY when in the map, not before; the state; STOPPING at the end."""
    with notify_socket(cluster) as notify:
        cluster.daemons["mon.a"].stop()  # as long as the monitor hangs, it cannot be in the map
        mds = cluster.start_mds("ours", "a", env={"NOTIFY_SOCKET": str(notify.path)})
        try:
            wait_for(lambda: mds.asok_path.exists() or mds.said(), 5, "it is on its way")
            assert "READY=1" not in notify.said()
        finally:
            cluster.daemons["mon.a"].signal(signal.SIGCONT)
        gid = mds.wait_standby()["gid"]
        wait_for(lambda: "READY=1" in notify.said(), 2, "READY")
        assert any(line.startswith("STATUS=") and "up:standby" in line for line in notify.lines)
        cluster.mon("mds fail", role_or_gid=str(gid))
        mds.wait_standby(5, not_gid=gid)
        assert "STOPPING=1" not in notify.said()  # a respawn is no end
        mds.terminate()
        assert mds.wait_exit(3) == 0
        assert "STOPPING=1" in notify.said()


def test_sighup_reopens_the_log(cluster: RealCluster, mds_kind: str) -> None:
    mds = cluster.start_mds(mds_kind, "a")
    gid = mds.wait_standby()["gid"]
    log = mds.logs[1]
    wait_for(log.exists, 5, "there is a log")
    log.rename(log.with_suffix(".old"))
    mds.signal(signal.SIGHUP)
    wait_for(log.exists, 5, "there is a new log")
    assert mds.gid() == gid


def test_pid_file(cluster: RealCluster, mds_kind: str) -> None:
    path = cluster.root / "run" / "mds.pid"
    mds = cluster.start_mds(mds_kind, "a", "--pid-file", str(path))
    gid = mds.wait_standby()["gid"]
    assert path.read_text().strip() == str(mds.pid)
    cluster.mon("mds fail", role_or_gid=str(gid))
    mds.wait_standby(5, not_gid=gid)
    assert path.read_text().strip() == str(mds.pid)
    mds.terminate()
    assert mds.wait_exit(10) == 0
    assert not path.exists()


@pytest.mark.parametrize(
    "arguments", [["-n", "mds.a"], ["--name=mds.a"], ["--id", "a"], ["--id=a"]], ids=" ".join
)
def test_ways_to_give_the_name(cluster: RealCluster, mds_kind: str, arguments: list[str]) -> None:
    mds = cluster.start_mds(mds_kind, "b", *arguments)
    mds.name = "a"
    mds.wait_standby(5)


def test_environment(cluster: RealCluster, mds_kind: str) -> None:
    """CEPH_CONF for the file, CEPH_ARGS for options, CEPH_KEYRING for the key."""
    keyring = cluster.root / "moved.keyring"
    keyring.write_bytes(cluster.keyring.read_bytes())
    conf = cluster.write_conf(cluster.root / "moved.conf", keyring="/nonexistent/keyring")
    text = conf.read_text().replace("keyring = /nonexistent/keyring\n", "")
    conf.write_text(text)
    env = {
        "CEPH_CONF": str(conf),
        "CEPH_ARGS": "--mds-tick-interval 9",
        "CEPH_KEYRING": str(keyring),
    }
    mds = cluster.start_mds(mds_kind, "a", env=env, with_conf=False)
    mds.wait_standby(5)
    assert float(mds.asok("config get", var="mds_tick_interval")["mds_tick_interval"]) == 9


@pytest.mark.parametrize("how", ["-K", "--keyfile", "--key"])
def test_ways_to_give_the_key(cluster: RealCluster, mds_kind: str, how: str) -> None:
    lines = cluster.keyring.read_text().splitlines()
    key = lines[lines.index("[mds.a]") + 1].partition("= ")[2].strip()
    path = cluster.root / "a.key"
    path.write_text(key + "\n")
    value = key if how == "--key" else str(path)
    mds = cluster.start_mds(mds_kind, "a", "-k", "/nonexistent/keyring", how, value)
    mds.wait_standby(5)
    assert key not in mds.logged()


def test_json_log(cluster: RealCluster) -> None:
    mds = cluster.start_mds("ours", "a", "--log-format", "json")
    mds.wait_standby()
    mds.terminate()
    assert mds.wait_exit(5) == 0
    lines = [line for line in mds.logged().splitlines() if line]
    assert len(lines) > 5
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_d_logs_to_stderr(cluster: RealCluster, mds_kind: str) -> None:
    mds = cluster.start_mds(mds_kind, "a", "-d")
    mds.wait_standby()
    wait_for(lambda: "assigned me to become a standby" in mds.said(), 3, "stderr has the log")


def readable_by_all(path: Path) -> bool:
    """Whether any user may come to the file: the folders above let everybody through."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in path.resolve().parents)


def test_other_user_and_group(cluster: RealCluster, mds_kind: str) -> None:
    """--setuser and --setgroup as root: the process is theirs, after a respawn too."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    # An interpreter below /root is of no use to others; then only the group is another.
    needed = (Path(sys.executable), Path(os.__file__), Path(trio.__file__), Path(__file__))
    user = "nobody" if all(map(readable_by_all, needed)) else "root"
    uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam("nogroup").gr_gid
    for folder in (cluster.root, cluster.root / "run", cluster.root / "log"):
        folder.chmod(0o777)
    cluster.keyring.chmod(0o644)
    mds = cluster.start_mds(
        mds_kind, "a", "--setuser", user, "--setgroup", "nogroup", label=f"a-{mds_kind}-other"
    )

    def owner() -> tuple[int, int]:
        stat = Path(f"/proc/{mds.pid}").stat()
        return stat.st_uid, stat.st_gid

    old = mds.wait_standby(5)["gid"]
    assert owner() == (uid, gid)
    assert mds.asok_path.stat().st_uid == uid
    cluster.mon("mds fail", role_or_gid=str(old))
    mds.wait_standby(5, not_gid=old)
    assert owner() == (uid, gid)
    assert "Traceback" not in mds.logged()
