"""ceph-fuse mounts of a file system, below a folder of the test; always taken away again.

For tests that take the fixture ``can_mount``.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for


class FuseMount:
    """One ceph-fuse process and its mount point ``path``."""

    def __init__(
        self, cluster: RealCluster, fs: str, path: Path, *options: str, timeout: float = 90
    ) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.fs = path, fs
        self._log = path.with_name(f"{path.name}.log")
        argv = ["ceph-fuse", "-f", "-c", str(cluster.conf), "-n", "client.admin"]
        argv += [f"--client_fs={fs}", *options, str(path)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env=cluster.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(self._is_mounted, timeout, f"{fs} is mounted")
        except BaseException:
            self.close()
            raise

    def _is_mounted(self) -> bool:
        assert self.process.poll() is None, self._log.read_text(errors="replace")
        return os.path.ismount(self.path)

    @property
    def pid(self) -> int:
        return self.process.pid

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """The client dies with what it had not written."""
        self.process.kill()
        self.process.wait()

    def unmount(self, timeout: float = 60) -> None:
        """In order: all is written, and the session is closed."""
        subprocess.run(["umount", str(self.path)], check=True, timeout=timeout)
        self.process.wait(timeout)

    def close(self) -> None:
        """In order if that is quick, else by force."""
        with suppress(OSError):
            self.thaw()
        if self.process.poll() is None:
            with suppress(subprocess.SubprocessError, OSError):
                self.unmount(20)
        if self.process.poll() is None:
            self.kill()
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)


@contextmanager
def mounted(
    cluster: RealCluster, fs: str, folder: Path, names: str = "a", *options: str
) -> Iterator[list[FuseMount]]:
    """A mount of ``fs`` for each letter of ``names``, at ``folder``/FS-LETTER."""
    mounts: list[FuseMount] = []
    try:
        for name in names:
            mount = FuseMount(cluster, fs, folder / f"{fs}-{name}", *options)
            mounts.append(mount)
        yield mounts
    finally:
        for mount in mounts:
            mount.close()
