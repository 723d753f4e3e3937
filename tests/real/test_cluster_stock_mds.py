"""A stock ceph-mds on `python -m mdsdaemon --data`: it serves, both are killed, nothing is lost."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cluster_process import Process, Start, processes_of, start, wait_for

from mdsdaemon.cluster.admin import Admin

__all__ = ["start"]  # the fixture

CLIENT = Path(__file__).with_name("cephfs_client.py")
QUICK = ("--set", "mds_beacon_interval=1", "--set", "mds_beacon_grace=4")


@pytest.fixture(autouse=True)
def _needs_ceph(real_ceph: None) -> None:
    """ceph-mds, ceph-fuse and libcephfs are here."""


def environment(conf: Path) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("CEPH_")}
    return {**env, "CEPH_CONF": str(conf)}


def client(conf: Path, what: str, number: int, *more: str) -> None:
    """One run of the libcephfs program."""
    done = subprocess.run(
        ["/usr/bin/python3", str(CLIENT), str(conf), what, str(number), *more],
        env=environment(conf), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def restart(start: Start, process: Process, *args: str) -> Process:
    """`kill -9`, and again."""
    process.proc.kill()
    process.proc.wait()
    process.ready_file.unlink()
    again = start(*args)
    again.wait_ready()
    return again


@contextmanager
def ceph_mds(conf: Path, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The server that the banner names."""
    with said.open("ab") as output:
        proc = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "ceph-mds", "-f", "-c", str(conf), "-i", "stock"],
            env=environment(conf), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield proc
    finally:
        proc.kill()
        proc.wait()


def wait_active(conf: Path, fs: str, limit: float = 40) -> dict[str, Any]:
    """Until rank 0 is up:active; its entry."""
    with Admin(conf) as admin:

        def active() -> dict[str, Any] | None:
            mdsmap = admin.command("fs get", fs_name=fs)["mdsmap"]
            infos: dict[str, dict[str, Any]] = mdsmap["info"]
            return next((i for i in infos.values() if i["state"] == "up:active"), None)

        found: dict[str, Any] = wait_for(active, f"{fs} is active", limit)
        return found


def test_it_serves_and_comes_back(start: Start, tmp_path: Path) -> None:
    data, said = tmp_path / "data", tmp_path / "said"
    args = ("--data", str(data), "--mds", "0", "--fs", "one", *QUICK)
    process = start(*args)
    conf = Path(process.wait_ready()["conf"])
    with ceph_mds(conf, said):
        wait_active(conf, "one")
        client(conf, "write", 1)
        client(conf, "check", 1)
        # the cluster alone: the server stays, finds the monitor again and goes on
        process = restart(start, process, *args)
        wait_active(conf, "one")
        client(conf, "check", 1)
        client(conf, "write", 2)
    # the server alone: another takes over, by the journal
    with ceph_mds(conf, said) as second:
        wait_for(lambda: second.poll() is None and wait_active(conf, "one"), "it is back")
        client(conf, "check", 2)
        client(conf, "write", 3)
    # both
    process = restart(start, process, *args)
    with ceph_mds(conf, said):
        wait_active(conf, "one")
        for number in 1, 2, 3:
            client(conf, "check", number)
        process.proc.terminate()
        assert process.finish()[0] == 0


def test_a_mount_survives(can_mount: None, start: Start, tmp_path: Path) -> None:
    """ceph-fuse stays mounted over a `kill -9` of the cluster."""
    data, said, mount = tmp_path / "data", tmp_path / "said", tmp_path / "mount"
    mount.mkdir()
    args = ("--data", str(data), "--mds", "0", "--fs", "one", *QUICK)
    process = start(*args)
    conf = Path(process.wait_ready()["conf"])
    with ceph_mds(conf, said), said.open("ab") as output:
        wait_active(conf, "one")
        fuse = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "ceph-fuse", "-f", "-c", str(conf), str(mount)],
            env=environment(conf), stdout=output, stderr=output, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(lambda: os.path.ismount(mount), "it is mounted")
            (mount / "folder").mkdir()
            for number in range(10):
                (mount / "folder" / f"file{number}").write_bytes(bytes([number]) * 100_000)
            subprocess.run(["sync", "-f", str(mount)], check=True, timeout=60)
            process = restart(start, process, *args)
            wait_active(conf, "one")
            begun = time.monotonic()
            assert sorted(os.listdir(mount / "folder")) == [f"file{n}" for n in range(10)]
            for number in range(10):
                path = mount / "folder" / f"file{number}"
                assert path.read_bytes() == bytes([number]) * 100_000
            (mount / "after").write_text("restart")
            assert time.monotonic() - begun < 60
            subprocess.run(["umount", str(mount)], check=True, timeout=60)
            fuse.wait(30)  # its capabilities are given back by then
        finally:
            subprocess.run(["umount", "-l", str(mount)], capture_output=True, check=False)
            fuse.kill()
            fuse.wait()
        client_sees = subprocess.run(
            ["/usr/bin/python3", "-c",
             "import cephfs, sys; fs = cephfs.LibCephFS(conffile=sys.argv[1]); fs.mount();"
             "print(fs.stat('/after').st_size); fs.shutdown()", str(conf)],
            capture_output=True, text=True, timeout=60, env=environment(conf), check=False,
        )  # fmt: skip
        assert client_sees.stdout == "7\n", client_sees.stderr


def test_in_one_line(start: Start, tmp_path: Path) -> None:
    """`python -m mdsdaemon --mds 0 --fs NAME -- ceph-mds …`: a CephFS in memory, gone after it."""
    process = start("--mds", "0", "--fs", "one", *QUICK, "--", "ceph-mds", "-f", "-i", "stock")
    conf = Path(process.wait_ready()["conf"])
    wait_active(conf, "one")
    client(conf, "write", 1)
    process.proc.send_signal(signal.SIGTERM)
    try:
        process.proc.wait(8)
    except subprocess.TimeoutExpired:
        # an active ceph-mds 16.2.15 hangs on every second SIGTERM, in a real cluster too
        for pid in processes_of(process.marker):
            if Path(f"/proc/{pid}/comm").read_text() == "ceph-mds\n":
                os.kill(pid, signal.SIGKILL)
    assert process.finish()[0] in (0, -signal.SIGKILL)
