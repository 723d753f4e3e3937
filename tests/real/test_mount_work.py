"""Everyday work on a mount that ours serves: archives, git, databases, builds, benchmarks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.needs import need_programs
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fuse_mounts import FuseMount, mounted

_ROOT = Path(__file__).parents[2]
STEPS = ["tar", "git", "rsync", "sqlite", "build", "fio", "dbench", "remove"]
PROGRAMS = {"git", "rsync", "fio", "dbench"}


@pytest.fixture(scope="module")
def mount(can_mount: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuseMount]:
    with started(RealCluster(osd=True, options=QUICK)) as cluster:
        mds = cluster.start_our_mds("a")
        mds.wait_standby()
        cluster.new_fs()
        mds.wait_state("up:active", 60)
        with mounted(cluster, "cephfs", tmp_path_factory.mktemp("work")) as (made,):
            yield made
        said = cluster.mon("log last", num=50, level="error", channel="cluster")
        assert not [m for m in said if str(m.get("name", "")).startswith("mds")], said


@pytest.mark.parametrize("step", STEPS)
def test_work(mount: FuseMount, step: str) -> None:
    if step in PROGRAMS:
        need_programs(step)
    done = subprocess.run(
        [SYSTEM_PYTHON, "-m", "tests.real.mount_work", str(mount.path), step],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
