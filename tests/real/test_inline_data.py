"""File systems with `inline_data`: small files lie in their inodes, as with ceph-mds."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.fs_pair import OURS, STOCK, two_file_systems

_PROGRAM = str(Path(__file__).with_name("inline_program.py"))


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=QUICK)) as made, two_file_systems(made):
        for fs in (STOCK, OURS):
            made.mon(
                "fs set", fs_name=fs, var="inline_data", val="true",
                yes_i_really_really_mean_it=True,
            )  # fmt: skip
        yield made


def run(cluster: RealCluster, fs: str, what: str) -> list[str]:
    said = cluster.run(SYSTEM_PYTHON, _PROGRAM, str(cluster.conf), fs, what, "/t")
    return said.splitlines()


def objects(cluster: RealCluster, fs: str) -> int:
    rados = ("rados", "-c", str(cluster.conf), "-p", f"{fs}.data")
    return len(cluster.run(*rados, "ls").split())


def taken_over(cluster: RealCluster, kind: str, name: str) -> None:
    """The daemon of OURS is killed, another one takes over."""
    (old,) = (mds for mds in cluster.mdss if mds.running and mds.name != "a")
    old.kill()
    cluster.mon("mds fail", role_or_gid=f"{OURS}:0")
    cluster.start_mds(kind, name).wait_state("up:active", 60)


def test_inline_data_is_served_as_by_ceph_mds(cluster: RealCluster) -> None:
    stock, ours = (run(cluster, fs, "work") for fs in (STOCK, OURS))
    assert len(stock) > 60
    assert ours == stock
    assert any("inline stays" in line for line in ours)
    few = objects(cluster, STOCK)
    assert few < 12, "files of a few bytes have objects"
    wait_for(lambda: objects(cluster, OURS) == few, 20, "as many objects as with ceph-mds")
    left = run(cluster, OURS, "look")
    assert left == run(cluster, STOCK, "look")
    for kind, name in (("real", "c"), ("ours", "d")):
        taken_over(cluster, kind, name)
        assert run(cluster, OURS, "look") == left, kind
    assert objects(cluster, OURS) == few


def test_what_is_inline_stays_when_it_is_switched_off(cluster: RealCluster) -> None:
    """New files have objects from then on."""
    run(cluster, OURS, "work")
    left = run(cluster, OURS, "look")
    cluster.mon("fs set", fs_name=OURS, var="inline_data", val="false")
    assert run(cluster, OURS, "look") == left
    before = objects(cluster, OURS)
    program = (
        "import cephfs, os, sys\n"
        "fs = cephfs.LibCephFS(conffile=sys.argv[1]); fs.mount(filesystem_name=b'ours')\n"
        "fd = fs.open('/small', os.O_CREAT | os.O_WRONLY, 0o644); fs.write(fd, b'x', 0)\n"
        "fs.close(fd); fs.unmount()\n"
    )
    subprocess.run(
        [SYSTEM_PYTHON, "-c", program, str(cluster.conf)], check=True, timeout=60, env=cluster.env
    )
    assert objects(cluster, OURS) == before + 1
