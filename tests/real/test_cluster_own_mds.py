"""`python -m mdsdaemon` and its own metadata server: ready means that a stock client can mount."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio
from tests.real.test_cluster_stock_mds import client, environment, restart
from tests.unit.cluster_process import Start, start, wait_for

import mdsdaemon

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


def test_a_command_mounts(can_mount: None, start: Start, tmp_path: Path) -> None:
    """The CI line: ceph-fuse, a file, and nothing left of either."""
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


LIST = """
import cephfs, sys
fs = cephfs.LibCephFS(conffile=sys.argv[1]); fs.mount()
for name in sys.argv[2:]:
    f = fs.open("/" + name, "w", 0o644); fs.write(f, b"x" * 10000, 0); fs.close(f)
folder = fs.opendir("/"); names = []
while entry := fs.readdir(folder):
    names.append(entry.d_name.decode())
fs.closedir(folder)
print(*sorted(name for name in names if name[0] != "."))
fs.shutdown()
"""


async def test_files_come_back_with_a_snapshot() -> None:
    """Whole file systems, by clients that mount anew."""

    async def files(*make: str) -> list[str]:
        argv = ["/usr/bin/python3", "-c", LIST, str(cluster.conf_path), *make]
        done = await trio.run_process(argv, capture_stdout=True, capture_stderr=True)
        return done.stdout.decode().split()

    # a client that had not left yet when the snapshot was taken is not waited for
    settings = {"mds_reconnect_timeout": "2"}
    async with trio.open_nursery() as nursery, mdsdaemon.open_cluster(settings=settings) as cluster:
        with trio.fail_after(90):
            await nursery.start(cluster.run)
            assert await files("a", "b") == ["a", "b"]
            snapshot = await cluster.snapshot()
            assert await files("b", "c") == ["a", "b", "c"]
            await cluster.restore(snapshot)
            assert await files() == ["a", "b"]
            await cluster.reset()
            assert await files("d") == ["d"]
            await cluster.restore(snapshot)
            assert await files("e") == ["a", "b", "e"]
            await cluster.reset()
            assert await files() == []
