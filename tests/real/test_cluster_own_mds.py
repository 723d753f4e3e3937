"""`python -m mdsdaemon` and its own metadata server: ready means that a stock client can mount."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.real.test_cluster_stock_mds import client, environment, restart
from tests.unit.cluster_process import Start, start, wait_for

__all__ = ["start"]  # the fixture


@pytest.fixture(autouse=True)
def _needs_ceph(real_ceph: None) -> None:
    """ceph-fuse and libcephfs are here."""


def test_ready_is_mountable(start: Start) -> None:
    """libcephfs, without waiting for anything; `-s` says that all is well."""
    process = start()
    ready = process.wait_ready()
    assert ready["fs"] == ["cephfs"]
    conf = Path(ready["conf"])
    client(conf, "write", 1)
    client(conf, "check", 1)
    shown = subprocess.run(
        ["ceph", "-c", str(conf), "-s"], env=environment(conf),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "HEALTH_OK" in shown.stdout, shown.stdout
    assert "mds: 1/1 daemons up" in shown.stdout
    process.proc.terminate()
    assert process.finish()[0] == 0


def test_a_command_mounts(start: Start, tmp_path: Path) -> None:
    """The CI line: ceph-fuse, a file, and nothing left of either."""
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no /dev/fuse for us")
    mount = tmp_path / "mount"
    mount.mkdir()
    script = f"ceph-fuse {mount} && echo hello > {mount}/f && cat {mount}/f && umount {mount}"
    process = start("--", "sh", "-c", script)
    status, out, err = process.finish()
    assert status == 0, err
    assert "hello\n" in out


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM"])
def test_files_survive(start: Start, tmp_path: Path, end: str) -> None:
    data = tmp_path / "data"
    process = start("--data", str(data))
    conf = Path(process.wait_ready()["conf"])
    client(conf, "write", 1)
    if end == "SIGKILL":
        process = restart(start, process, "--data", str(data))
    else:
        process.proc.terminate()
        assert process.finish()[0] == 0
        process = start("--data", str(data))
        process.wait_ready()
    client(conf, "check", 1)
    client(conf, "write", 2)
    process.proc.terminate()
    assert process.finish()[0] == 0


def test_another_daemon_takes_over(start: Start) -> None:
    """With a standby, the failure of the active daemon is survived."""
    process = start("--mds", "2")
    conf = Path(process.wait_ready()["conf"])
    client(conf, "write", 1)

    def ceph(*words: str) -> str:
        return subprocess.run(
            ["ceph", "-c", str(conf), *words], env=environment(conf),
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip

    before = ceph("mds", "stat")
    ceph("mds", "fail", "0")
    wait_for(lambda: "up:active" in (now := ceph("mds", "stat")) and now != before, "taken over")
    client(conf, "check", 1)
    process.proc.terminate()
    assert process.finish()[0] == 0
