"""The pytest plugin in sessions of its own, also under xdist. No Ceph package is needed here."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tests.needs import lacking
from tests.unit.cluster_process import Start, processes_of, start, wait_for

from mdsdaemon.cluster.admin import Admin

__all__ = ["start"]  # the fixture

LIMIT = 300
PLUGIN = ("-p", "no:mdsdaemon", "-p", "mdsdaemon.pytest_plugin", "-p", "no:cacheprovider")


class Session:
    """A pytest session in a folder of its own; nothing of it may be left at the end."""

    def __init__(self, folder: Path, test: str) -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        (folder / "test_it.py").write_text(test)

    def run(self, *args: str, **environ: str) -> tuple[int, str]:
        """Status and output."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CEPH_", "PYTEST_"))}
        env |= {"TMPDIR": str(self.tmp), "MDSDAEMON_TEST_MARK": str(self.tmp), **environ}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *PLUGIN, f"--basetemp={self.folder}/base", *args],
            cwd=self.folder, env=env, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        wait_for(lambda: not processes_of(f"MDSDAEMON_TEST_MARK={self.tmp}"), "all have ended", 10)
        left = [name for name in os.listdir(self.tmp) if not name.startswith("pytest-of-")]
        assert left == [], done.stdout
        return done.returncode, done.stdout + done.stderr


USES = """
import json, os, subprocess
from pathlib import Path

def test_one(ceph_cluster, ceph_pool):
    assert ceph_cluster.is_own
    assert ceph_cluster.command("osd pool ls") == [ceph_pool]
    assert ceph_cluster.env["CEPH_CONF"] == str(ceph_cluster.conf)
    Path("first").write_text(ceph_cluster.fsid)

def test_two(ceph_cluster, ceph_pool):
    assert ceph_cluster.command("osd pool ls") == [ceph_pool]  # that of test_one is gone
    assert Path("first").read_text() == ceph_cluster.fsid      # and it is the same cluster

def test_three(ceph_cluster):
    assert ceph_cluster.command("osd pool ls") == []
    assert "mds_beacon_grace = 7" in ceph_cluster.conf.read_text()
"""


def test_a_cluster_for_the_session(tmp_path: Path) -> None:
    status, text = Session(tmp_path, USES).run("--ceph-option", "mds_beacon_grace=7")
    assert status == 0, text
    assert "3 passed" in text


FILE_SYSTEMS = """
def test_one(cephfs):
    assert cephfs.state() == "up:active"
    assert [fs["name"] for fs in cephfs.cluster.command("fs ls")] == [cephfs.name]

def test_two(cephfs, ceph_cluster):
    assert cephfs.state() == "up:active"  # another one: that of test_one is gone
    assert [fs["name"] for fs in ceph_cluster.command("fs ls")] == [cephfs.name]
    assert len(ceph_cluster.command("osd pool ls")) == 2

def test_none(ceph_cluster):
    assert ceph_cluster.command("fs ls") == []
    assert ceph_cluster.command("osd pool ls") == []
"""


def test_a_fresh_file_system_for_each_test(tmp_path: Path) -> None:
    status, text = Session(tmp_path, FILE_SYSTEMS).run()
    assert status == 0, text
    assert "3 passed" in text


def test_a_file_system_that_nobody_serves(start: Start, tmp_path: Path) -> None:
    process = start("--mds", "0", "--set", "mon_allow_pool_delete=true")
    ready = process.wait_ready()
    (tmp_path / "session").mkdir()
    session = Session(tmp_path / "session", "def test_it(cephfs): pass\n")
    status, text = session.run("--ceph-conf", ready["conf"], "--ceph-timeout", "0.5")
    assert status == 1
    assert "rank 0 is held by nobody; is there a standby metadata server?" in text
    process.proc.terminate()
    assert process.finish()[0] == 0


def test_workers_share_an_existing_cluster(start: Start, tmp_path: Path) -> None:
    """Under xdist nobody sees the pools and file systems of others."""
    process = start("--no-fs", "--mds", "3", "--set", "mon_allow_pool_delete=true")
    ready = process.wait_ready()
    test = (
        "def test_it(cephfs, ceph_pool, ceph_cluster):\n"
        "    assert cephfs.state() == 'up:active'\n"
        f"    assert ceph_cluster.fsid == {ready['fsid']!r}\n"
        "    pools = ceph_cluster.command('osd pool ls')\n"
        "    assert {ceph_pool, cephfs.metadata_pool, cephfs.data_pool} <= set(pools)\n"
    )
    (tmp_path / "session").mkdir()
    session = Session(tmp_path / "session", test)
    status, text = session.run("-n", "3", "--dist", "each", "--ceph-conf", ready["conf"])
    assert status == 0, text
    assert "3 passed" in text
    with Admin(ready["conf"]) as admin:
        assert admin.command("osd pool ls") == []
    process.proc.terminate()
    assert process.finish()[0] == 0


def test_pytest_as_the_command(start: Start, tmp_path: Path) -> None:
    """`python -m mdsdaemon -- pytest`: the fixtures are of that cluster."""
    test = (
        "def test_it(cephfs, ceph_cluster):\n"
        "    assert not ceph_cluster.is_own\n"
        "    assert cephfs.state() == 'up:active'\n"
        "    assert len(ceph_cluster.command('fs ls')) == 2\n"
    )
    (tmp_path / "session").mkdir()
    session = Session(tmp_path / "session", test)
    args = ("-m", "pytest", *PLUGIN, f"--basetemp={session.folder}/base", str(session.folder))
    process = start(
        *("--set", "mon_allow_pool_delete=true", "--", sys.executable, *args),
        cwd=session.folder,
        env={"PYTEST_ADDOPTS": ""},
    )
    status, text, _ = process.finish()
    assert status == 0, text
    assert "1 passed" in text


def test_a_cluster_that_does_not_come(tmp_path: Path) -> None:
    session = Session(tmp_path, "def test_it(ceph_cluster): pass\n")
    status, text = session.run("--ceph-timeout", "0.01")
    assert status == 1
    assert "no cluster, status 69: mdsdaemon: not ready within 0.01 s" in text


@pytest.mark.parametrize("how", ["--ceph-conf", "MDSDAEMON_CONF", "ini"])
def test_an_existing_cluster(start: Start, tmp_path: Path, how: str) -> None:
    """It is used, cleaned up after, and not ended."""
    process = start("--no-fs", "--set", "mon_allow_pool_delete=true")
    ready = process.wait_ready()
    test = (
        "def test_it(ceph_cluster, ceph_pool):\n"
        "    assert not ceph_cluster.is_own\n"
        f"    assert ceph_cluster.fsid == {ready['fsid']!r}\n"
        "def test_all_is_gone(ceph_cluster):\n"
        "    assert ceph_cluster.command('osd pool ls') == []\n"
    )
    (tmp_path / "session").mkdir()
    session = Session(tmp_path / "session", test)
    args: list[str] = []
    environ = {}
    if how == "--ceph-conf":
        args, environ = ["--ceph-conf", ready["conf"]], {"MDSDAEMON_CONF": "/nowhere"}
    elif how == "ini":
        (session.folder / "pytest.ini").write_text(f"[pytest]\nceph_conf = {ready['conf']}\n")
    else:
        environ = {"MDSDAEMON_CONF": ready["conf"]}
    status, text = session.run(*args, **environ)
    assert status == 0, text
    assert process.proc.poll() is None
    process.proc.terminate()
    assert process.finish()[0] == 0


def test_a_pool_that_must_stay(start: Start, tmp_path: Path) -> None:
    """Most real clusters forbid to remove pools: a warning says so."""
    process = start()
    ready = process.wait_ready()
    (tmp_path / "session").mkdir()
    session = Session(tmp_path / "session", "def test_it(ceph_pool): pass\n")
    (session.folder / "pytest.ini").unlink()
    status, text = session.run("--ceph-conf", ready["conf"])
    assert status == 0, text
    assert re.search(r"pool test-\w+ stays: its cluster forbids to remove it", text)
    process.proc.terminate()
    assert process.finish()[0] == 0


TWENTY = """
import os
from pathlib import Path

def test_it(ceph_cluster, ceph_pool, worker_id):
    assert ceph_cluster.command("osd pool ls") == [ceph_pool]
    Path("seen", worker_id).write_text(f"{ceph_cluster.fsid} {ceph_cluster.conf}")
"""


def test_twenty_side_by_side(tmp_path: Path) -> None:
    """One for each worker; nothing is left of any (`Session.run` sees to that)."""
    session = Session(tmp_path, TWENTY)
    (tmp_path / "seen").mkdir()
    status, text = session.run("-n", "20", "--dist", "each", "--ceph-timeout", "200")
    assert status == 0, text
    seen = [path.read_text() for path in (tmp_path / "seen").iterdir()]
    assert len(set(seen)) == len(seen) == 20


def test_workers_that_are_killed_leave_nothing(tmp_path: Path) -> None:
    """The cluster goes with the process that started it."""
    test = "import os\ndef test_it(ceph_cluster): os.kill(os.getpid(), 9)\n"
    env = {**os.environ, "TMPDIR": str(tmp_path), "MDSDAEMON_TEST_MARK": str(tmp_path)}
    (tmp_path / "test_it.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, f"--basetemp={tmp_path}/base"],
        cwd=tmp_path, env=env, capture_output=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == -9
    wait_for(lambda: not processes_of(f"MDSDAEMON_TEST_MARK={tmp_path}"), "all have ended")
    assert [name for name in os.listdir(tmp_path) if name.startswith("mdsdaemon.")] == []


def test_it_is_registered() -> None:
    found = [point.value for point in entry_points(group="pytest11") if point.name == "mdsdaemon"]
    if not found:
        lacking("installed from before there was a plugin: pip install -e . again")
    assert found == ["mdsdaemon.pytest_plugin"]
