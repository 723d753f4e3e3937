"""The project itself on a mount that ours serves: cloned, tested, committed to and packed there.

MDSDAEMON_MOUNT_TESTS says which tests are run, as words for pytest: `tests/unit` is all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from tests.needs import lacking, need_programs
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fuse_mounts import mounted

_ROOT = Path(__file__).parents[2]
PARTS = ("config", "encoding", "maps")
SOME = [
    str(path.relative_to(_ROOT))
    for part in PARTS
    for path in sorted((_ROOT / "tests" / "unit").glob(f"test_{part}_*.py"))
]
TESTS = os.environ.get("MDSDAEMON_MOUNT_TESTS", "").split() or SOME
TIMEOUT = float(os.environ.get("MDSDAEMON_MOUNT_TIMEOUT", "240"))
WHO = ("-c", "user.name=n", "-c", "user.email=e@example.org")


@pytest.fixture
def clone(mds_kind: str, can_mount: None, tmp_path: Path) -> Iterator[Path]:
    """A clone of the project, on a mount."""
    need_programs("git")
    if not (_ROOT / ".git").exists():
        lacking("needs the project's repository")
    with started(RealCluster(osd=True, options=QUICK)) as cluster:
        mds = cluster.start_mds(mds_kind, "a")
        mds.wait_standby(20)
        cluster.new_fs()
        mds.wait_state("up:active", 60)
        with mounted(cluster, "cephfs", tmp_path) as (mount,):
            path = mount.path / "clone"
            git(mount.path, "clone", "-q", str(_ROOT), str(path))
            yield path
        said = cluster.mon("log last", num=50, level="error", channel="cluster")
        assert not [m for m in said if str(m.get("name", "")).startswith("mds")], said


def git(folder: Path, *words: str) -> str:
    words = ("git", *WHO, "-c", "safe.directory=*", *words)
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def run_in(clone: Path, tests: Iterable[str]) -> str:
    """Tests of the clone, run in it on its own code; the last line of what pytest says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env["PYTHONPATH"] = f"{clone}/src{os.pathsep}{clone}"
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", *tests],
        cwd=clone, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done.stdout.splitlines()[-1]


def test_the_project_is_worked_on(
    clone: Path, record_property: Callable[[str, object], None]
) -> None:
    listed = git(clone, "ls-files").split()
    assert len(listed) > 500
    assert git(clone, "status", "--porcelain") == ""
    readme = (clone / "README.md").read_bytes()
    first = run_in(clone, TESTS)
    again = run_in(clone, SOME)  # with the bytecode and the caches that the first has left
    assert int(again.split()[0]) > 200, again
    assert list(clone.glob("src/mdsdaemon/encoding/__pycache__/*.pyc"))
    assert (clone / ".pytest_cache" / "v" / "cache" / "nodeids").exists()
    assert git(clone, "status", "--porcelain") == "", "what tests leave is ignored"
    (clone / "README.md").write_text("other\n")
    assert git(clone, "status", "--porcelain").split() == ["M", "README.md"]
    git(clone, "checkout", "-q", "-b", "more")
    git(clone, "commit", "-q", "-a", "-m", "other")
    git(clone, "checkout", "-q", "-")
    assert (clone / "README.md").read_bytes() == readme
    git(clone, "gc", "-q")
    git(clone, "fsck", "--no-progress")
    git(clone, "clean", "-q", "-d", "-x", "-f")
    left = {p.relative_to(clone).as_posix() for p in clone.rglob("*") if ".git/" not in f"{p}/"}
    assert {name for name in left if (clone / name).is_file()} == set(listed)
    record_property("figures", f"{first}; again: {again}")
