"""Start time and memory of `python -m mdsdaemon`, beside a real cluster's in the same run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.embedded import CPU, MEMORY, START, our_life, real_life
from bench.figures import OURS, REAL, Sheet
from tests.real.ordinary_user import OrdinaryUser

MOST_SECONDS = 1.5
MOST_MIB = 150


def test_start_and_memory(real_ceph: None, record_property: Callable[[str, object], None]) -> None:
    """The best of three; the bench gives medians.

    Where more runs than there are cores the clock says little: then its CPU time counts.
    """
    sheet = Sheet("start")
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="mdsdaemon-") as folder:
            our_life(sheet, Path(folder), sys.executable)
    real_life(sheet)
    samples = {figure.key.name: figure.samples for figure in sheet.figures}
    ours, real = (
        {what: min(samples[what][who]) for what in (START, CPU, MEMORY)} for who in (OURS, REAL)
    )
    record_property(
        "figures",
        f"exec to ready {ours[START]:.2f} s ({ours[CPU]:.2f} s of CPU), {ours[MEMORY]:.0f} MiB; "
        f"monitor, manager, OSD and MDS of 16.2.15: {real[START]:.2f} s, {real[MEMORY]:.0f} MiB",
    )
    crowded = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert ours[CPU if crowded else START] < MOST_SECONDS
    assert max(samples[MEMORY][OURS]) < MOST_MIB


def test_an_ordinary_user_without_ceph() -> None:
    """Nothing of Ceph's on PATH, no home, no rights."""
    base = Path(tempfile.mkdtemp())  # where a user without rights may come to
    try:
        user = OrdinaryUser(base)
        own = base / "own"
        own.mkdir()
        os.chown(own, user.uid, -1)
        done = user.run(
            "-m", "mdsdaemon", "--data", f"{own}/d", "--", "/usr/bin/id", "-u", TMPDIR=str(own)
        )
        assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{user.uid}\n")
        assert (own / "d" / "ceph.conf").exists()
        assert [path.name for path in own.iterdir()] == ["d"]
    finally:
        shutil.rmtree(base)
