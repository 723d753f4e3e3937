"""POSIX on ceph-fuse mounts: the outcome of every call with ours is that with ceph-mds."""

from __future__ import annotations

import difflib
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fs_pair import OURS, STOCK, two_file_systems
from tests.real.fuse_mounts import FuseMount, mounted

_ROOT = Path(__file__).parents[2]
_PROGRAM = "tests.real.posix_program"
CASES = [
    "rename_kinds", "link_kinds", "strange_paths", "loops", "modes", "permissions",
    "changing_directory", "open_kinds", "owners", "times", "data", "attributes", "locks",
    "appending", "setgid_of_group",
]  # fmt: skip
AT_LEAST = {"rename_kinds": 320, "permissions": 1000, "modes": 200, "strange_paths": 400}
"""Calls of a case: fewer would be a program that has not made them."""


@pytest.fixture(scope="module")
def cluster(can_mount: None) -> Iterator[RealCluster]:
    cluster = RealCluster(osd=True, options=QUICK)
    with started(cluster), two_file_systems(cluster):
        yield cluster


@pytest.fixture(scope="module")
def mounts(
    cluster: RealCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[FuseMount]]]:
    folder = tmp_path_factory.mktemp("mounts")
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.is_relative_to(tmp_path_factory.getbasetemp().parent):
            parent.chmod(parent.stat().st_mode | 0o011)  # other users pass through
    with ExitStack() as stack:
        yield {fs: stack.enter_context(mounted(cluster, fs, folder, "ab")) for fs in (STOCK, OURS)}


def outcomes(mounts: dict[str, list[FuseMount]], case: str) -> dict[str, dict[str, Any]]:
    """What the program says on each file system; it runs on both at a time."""
    runs = {
        fs: subprocess.Popen(
            [SYSTEM_PYTHON, "-m", _PROGRAM, str(one.path), str(two.path), case],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for fs, (one, two) in mounts.items()
    }
    said = {}
    for fs, run in runs.items():
        try:
            out, err = run.communicate(timeout=120)
        finally:
            run.kill()
        assert run.returncode == 0, f"{fs}: {err}"
        said[fs] = json.loads(out)
    return said


@pytest.mark.parametrize("case", CASES)
def test_the_same_as_with_ceph_mds(mounts: dict[str, list[FuseMount]], case: str) -> None:
    said = outcomes(mounts, case)
    stock, ours = (said[fs]["lines"] for fs in (STOCK, OURS))
    assert len(stock) >= AT_LEAST.get(case, 1)
    different = list(difflib.unified_diff(stock, ours, "ceph-mds", "mdsdaemon", n=1, lineterm=""))
    assert not different, "\n".join(different[:60])
