"""Start time and memory of `python -m mdsdaemon`, beside a real cluster's in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.cluster import CPU, MEMORY, START, starts

MOST_SECONDS = 1.5
MOST_MIB = 150


def test_start_and_memory(real_ceph: None, record_property: Callable[[str, object], None]) -> None:
    """The best of three; the bench gives medians.

    Where more runs than there are cores the clock says little: then its CPU time counts.
    """
    samples = starts(3, real_rounds=1).samples
    ours, real = (
        {kind: min(samples[kind][who]) for kind in (START, CPU, MEMORY)}
        for who in ("mdsdaemon", "mon+mgr+OSD+MDS")
    )
    record_property(
        "figures",
        f"exec to ready {ours[START]:.2f} s ({ours[CPU]:.2f} s of CPU), {ours[MEMORY]:.0f} MiB; "
        f"monitor, manager, OSD and MDS of 16.2.15: {real[START]:.2f} s, {real[MEMORY]:.0f} MiB",
    )
    crowded = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert ours[CPU if crowded else START] < MOST_SECONDS
    assert max(samples[MEMORY]["mdsdaemon"]) < MOST_MIB


NOBODY = 65534


def test_an_ordinary_user_without_ceph(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of Ceph's on PATH, no home, no rights."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user; others are ordinary users anyway")
    base = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        os.chown(base, NOBODY, NOBODY)
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        env = {"TMPDIR": str(base), "PATH": "/nonexistent", "HOME": "/nonexistent"}
        setpriv = "/usr/bin/setpriv"
        can_import = [setpriv, *as_nobody[1:], sys.executable, "-c", "import mdsdaemon"]
        if subprocess.run(
            can_import, env=env, cwd="/", capture_output=True, check=False
        ).returncode:
            pytest.skip("nobody cannot read this interpreter and its packages")
        done = subprocess.run(
            [setpriv, *as_nobody[1:], sys.executable, "-m", "mdsdaemon", "--data", f"{base}/d",
             "--", "/usr/bin/id", "-u"],
            env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{NOBODY}\n")
        assert (base / "d" / "ceph.conf").exists()
        assert [path.name for path in base.iterdir()] == ["d"]
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=True)
