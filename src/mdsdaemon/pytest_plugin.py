"""The pytest plugin: a Ceph cluster for a test session, file systems and pools for each test.

    def test_something(cephfs):            # a fresh file system, gone after the test
        fs = cephfs.LibCephFS(conffile=str(cephfs.conf), …)

Fixtures: `ceph_cluster` (one for the session; under pytest-xdist one for each worker), `cephfs` and
`ceph_pool` (fresh for each test). With --ceph-conf, or under `python -m mdsdaemon -- pytest`, they
are of that cluster instead of one of their own. Options, each also a line of pytest's ini file
(`ceph_conf`, …): --ceph-conf, --ceph-mds, --ceph-timeout, --ceph-option.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from mdsdaemon.cluster.admin import Admin

_POLL: Final = 0.02
_END: Final = 20.0
"""Seconds that a cluster of ours gets to end before it is killed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ceph", "Ceph clusters for tests (mdsdaemon)")
    group.addoption(
        "--ceph-conf",
        metavar="FILE",
        help="use the existing cluster of this ceph.conf, as client.admin, instead of a new one",
    )
    group.addoption(
        "--ceph-mds",
        choices=("own", "stock"),
        help="who serves files in a new cluster: mdsdaemon, or Ceph's ceph-mds (default: own)",
    )
    group.addoption(
        "--ceph-timeout",
        metavar="SECONDS",
        help="until a cluster is ready, and until a file system is active (default: 60)",
    )
    group.addoption(
        "--ceph-option",
        metavar="NAME=VALUE",
        action="append",
        help="an option of Ceph for a new cluster (repeatable)",
    )
    for name, about in (
        ("ceph_conf", "as --ceph-conf"),
        ("ceph_mds", "as --ceph-mds"),
        ("ceph_timeout", "as --ceph-timeout"),
    ):
        parser.addini(name, about, default="")
    parser.addini("ceph_option", "as --ceph-option, one in a line", type="linelist")


class CephCluster:
    """A cluster, as client.admin sees it.

    Attributes:
        conf: its ceph.conf.
        is_own: it was started for these tests, and ends with them.
        mds: "own", "stock", or "" where it is not known (a cluster that was there).
        timeout: seconds that its file systems get to become active.
    """

    def __init__(self, conf: Path, *, is_own: bool, mds: str, timeout: float) -> None:
        self.conf, self.is_own, self.mds, self.timeout = conf, is_own, mds, timeout
        self._admin: Admin | None = None

    def __repr__(self) -> str:
        return f"<CephCluster {self.conf}>"

    @property
    def env(self) -> dict[str, str]:
        """An environment in which Ceph's programs find this cluster."""
        left = {k: v for k, v in os.environ.items() if k not in ("CEPH_ARGS", "CEPH_KEYRING")}
        return {**left, "CEPH_CONF": str(self.conf)}

    @property
    def fsid(self) -> str:
        return str(self.command("fsid")["fsid"])

    def command(self, prefix: str, /, **args: Any) -> Any:
        """A monitor command; its output, parsed where it is JSON.

        Raises mdsdaemon.cluster.errors.CommandFailedError.
        """
        if self._admin is None:
            from mdsdaemon.cluster.admin import Admin

            self._admin = Admin(self.conf, timeout=self.timeout)
        return self._admin.command(prefix, **args)

    def close(self) -> None:
        """End the session with the monitors."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None


class CephFileSystem:
    """A file system of a cluster: name, pools, ceph.conf for clients."""

    def __init__(self, cluster: CephCluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.metadata_pool, self.data_pool = f"{name}.meta", f"{name}.data"

    def __repr__(self) -> str:
        return f"<CephFileSystem {self.name} of {self.cluster}>"

    @property
    def conf(self) -> Path:
        return self.cluster.conf

    @property
    def env(self) -> dict[str, str]:
        return self.cluster.env

    def create(self) -> None:
        """Make it and wait until rank 0 is up:active."""
        for pool in (self.metadata_pool, self.data_pool):
            self.cluster.command("osd pool create", pool=pool, pg_num=8)
        self.cluster.command(
            "fs new", fs_name=self.name, metadata=self.metadata_pool, data=self.data_pool
        )
        deadline = time.monotonic() + self.cluster.timeout
        while (state := self.state()) != "up:active":
            if time.monotonic() > deadline:
                pytest.fail(
                    f"file system {self.name} of {self.conf} is not active within "
                    f"{self.cluster.timeout:g} s: rank 0 is {state or 'held by nobody'}; "
                    "is there a standby metadata server?",
                    pytrace=False,
                )
            time.sleep(_POLL)

    def state(self) -> str:
        """The state of rank 0, "" while nobody holds it."""
        mdsmap = self.cluster.command("fs get", fs_name=self.name)["mdsmap"]
        gid = mdsmap["up"].get("mds_0")
        return "" if gid is None else str(mdsmap["info"][f"gid_{gid}"]["state"])

    def remove(self) -> None:
        """Take it and its pools away."""
        command = self.cluster.command
        command("fs fail", fs_name=self.name)
        command("fs rm", fs_name=self.name, yes_i_really_mean_it=True)
        for pool in (self.metadata_pool, self.data_pool):
            _remove_pool(self.cluster, pool)


def _remove_pool(cluster: CephCluster, pool: str) -> None:
    from mdsdaemon.cluster.errors import CommandFailedError

    try:
        cluster.command("osd pool rm", pool=pool, pool2=pool, yes_i_really_really_mean_it=True)
    except CommandFailedError as e:
        if e.errno != errno.EPERM:
            raise
        warnings.warn(
            f"pool {pool} stays: its cluster forbids to remove it (mon_allow_pool_delete)",
            stacklevel=2,
        )


# -- options -----------------------------------------------------------------------------------


def _option(config: pytest.Config, name: str, environ: Mapping[str, str], default: str) -> str:
    """Command line, then environment (the conf only), then ini file."""
    given = config.getoption(name)
    if given:
        return str(given)
    if name == "ceph_conf" and environ.get("MDSDAEMON_CONF"):
        return environ["MDSDAEMON_CONF"]
    return str(config.getini(name) or default)


def _timeout(config: pytest.Config) -> float:
    text = _option(config, "ceph_timeout", os.environ, "60")
    try:
        return float(text)
    except ValueError:
        raise pytest.UsageError(f"ceph_timeout {text!r} is not a number") from None


def _arguments(config: pytest.Config, mds: str, timeout: float, ready: str) -> list[str]:
    """The command line of a cluster for this session."""
    options = config.getoption("ceph_option") or config.getini("ceph_option") or []
    # Tests take pools away; that is what they are for here.
    settings = ["mon_allow_pool_delete=true", *options]
    argv = [sys.executable, "-m", "mdsdaemon", "--exit-with-parent", "--ready-file", ready]
    argv += ["--no-fs"]
    argv += ["--timeout", f"{timeout:g}", *(arg for text in settings for arg in ("--set", text))]
    if mds == "stock":
        if shutil.which("ceph-mds") is None:
            pytest.fail("--ceph-mds=stock: there is no program ceph-mds", pytrace=False)
        argv += ["--mds", "0", "--", "ceph-mds", "-f", "-i", "stock"]
    return argv


def _wait_ready(proc: subprocess.Popen[bytes], ready: Path, said: Path) -> Path:
    """The ceph.conf, once the cluster is ready; it ends by itself if that takes too long."""
    while not ready.exists():
        if proc.poll() is not None:
            text = said.read_text(errors="replace").strip()
            pytest.fail(f"no cluster, status {proc.returncode}: {text[-2000:]}", pytrace=False)
        time.sleep(_POLL)
    return Path(json.loads(ready.read_text())["conf"])


def _new_cluster(config: pytest.Config, timeout: float) -> Iterator[CephCluster]:
    mds = _option(config, "ceph_mds", os.environ, "own")
    with tempfile.TemporaryDirectory(prefix="mdsdaemon-pytest-") as text:
        folder = Path(text)
        said = folder / "said"
        with said.open("wb") as output:
            proc = subprocess.Popen(
                _arguments(config, mds, timeout, str(folder / "ready")),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
            )
        try:
            conf = _wait_ready(proc, folder / "ready", said)
            cluster = CephCluster(conf, is_own=True, mds=mds, timeout=timeout)
            try:
                yield cluster
            finally:
                cluster.close()
        finally:
            proc.terminate()
            try:
                proc.wait(_END)
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait()


# -- fixtures ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ceph_cluster(pytestconfig: pytest.Config) -> Iterator[CephCluster]:
    """A cluster for the session (under xdist: for the worker), or the existing one."""
    timeout = _timeout(pytestconfig)
    conf = _option(pytestconfig, "ceph_conf", os.environ, "")
    if not conf:
        yield from _new_cluster(pytestconfig, timeout)
        return
    cluster = CephCluster(Path(conf).absolute(), is_own=False, mds="", timeout=timeout)
    yield cluster
    cluster.close()


@pytest.fixture
def cephfs(ceph_cluster: CephCluster) -> Iterator[CephFileSystem]:
    """A fresh file system, active; it is removed with its pools after the test."""
    fs = CephFileSystem(ceph_cluster, f"test-{uuid.uuid4().hex[:8]}")
    try:
        fs.create()
        yield fs
    finally:
        fs.remove()


@pytest.fixture
def ceph_pool(ceph_cluster: CephCluster) -> Iterator[str]:
    """The name of a fresh, empty pool; it is removed after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    ceph_cluster.command("osd pool create", pool=name, pg_num=8)
    yield name
    _remove_pool(ceph_cluster, name)
