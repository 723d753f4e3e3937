"""`--data DIR`: what survives, and folders that are refused. No Ceph package is needed here."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.needs import lacking
from tests.unit.cluster_process import Start, refused, start

from mdsdaemon.cluster.admin import Admin
from mdsdaemon.errors import ExitStatus

__all__ = ["start"]  # the fixture


def facts(conf: Path) -> dict[str, Any]:
    """What clients see of a cluster."""
    with Admin(conf) as admin:
        return {
            "fsid": admin.command("fsid")["fsid"],
            "keys": admin.command("auth ls"),
            "pools": admin.command("osd pool ls"),
            "file systems": [fs["name"] for fs in admin.command("fs ls")],
            "configuration": admin.command("config-key dump"),
            "osd": admin.command("osd dump")["osds"][0]["uuid"],
            "mons": admin.command("mon dump")["mons"][0]["public_addrs"],
        }


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_it_survives(start: Start, tmp_path: Path, end: str) -> None:
    """Keys, pools, file systems, and the monitor's port, so that clients find it again."""
    data = tmp_path / "data"
    process = start("--data", str(data), "--fs", "one")
    assert process.wait_ready()["conf"] == str(data / "ceph.conf")
    with Admin(data / "ceph.conf") as admin:
        admin.command("osd pool create", pool="extra", pg_num=4)
        admin.command("config-key set", key="a", val="b")
        admin.command("auth get-or-create", entity="client.x", caps=["mon", "allow r"])
    before = facts(data / "ceph.conf")
    assert "extra" in before["pools"]
    if end == "SIGKILL":
        process.proc.kill()
        process.proc.wait()
        process.ready_file.unlink()
    else:
        process.proc.terminate()
        assert process.finish()[0] == 0
    again = start("--data", str(data), "--fs", "one", "--fs", "two", "--mds", "2")
    again.wait_ready()
    after = facts(data / "ceph.conf")
    assert after.pop("file systems") == ["one", "two"]
    assert set(after.pop("pools")) == {
        *before.pop("pools"),
        *(f"cephfs.two.{k}" for k in ("meta", "data")),
    }
    assert before.pop("file systems") == ["one"]
    names = {key["entity"] for key in before["keys"]["auth_dump"]}
    after["keys"]["auth_dump"] = [k for k in after["keys"]["auth_dump"] if k["entity"] in names]
    assert after == before
    again.proc.terminate()
    assert again.finish()[0] == 0


def test_a_port_taken_meanwhile(start: Start, tmp_path: Path) -> None:
    """The old port is a wish, unless it is asked for: then it is a condition."""
    data = tmp_path / "data"
    start("--data", str(data), "--", "true").finish()
    text = (data / "ceph.conf").read_text()
    port = int(re.findall(r"v2:127\.0\.0\.1:(\d+)", text)[0])
    other = start("--mon-port", str(port))
    other.wait_ready()
    process = start("--data", str(data), "--", "cat", str(data / "ceph.conf"))
    status, out, err = process.finish()
    assert status == 0
    assert "takes another port than before" in err
    assert f":{port}/" not in out
    status, line = refused(start("--data", str(data), "--mon-port", str(port)))
    assert status == ExitStatus.ADDRESS
    assert str(port) in line


def test_a_second_process_is_kept_out(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = start("--data", str(data))
    process.wait_ready()
    status, line = refused(start("--data", str(data)))
    assert status == ExitStatus.TEMPORARY
    assert f"{data} is in use by another process ({process.proc.pid})" in line
    assert facts(data / "ceph.conf")["fsid"]
    process.proc.terminate()
    assert process.finish()[0] == 0


@pytest.fixture
def made(start: Start, tmp_path: Path) -> Path:
    """The folder of a cluster that has ended."""
    data = tmp_path / "made"
    assert start("--data", str(data), "--", "true").finish()[0] == 0
    return data


def test_foreign_and_other_versions(start: Start, made: Path) -> None:
    """Refused by name, and not one byte changed."""
    store = made / "cluster.sqlite"
    good = store.read_bytes()

    def check(words: str) -> None:
        before = store.read_bytes()
        status, line = refused(start("--data", str(made)))
        assert status == ExitStatus.DATA
        assert str(store) in line
        assert words in line
        assert store.read_bytes() == before

    store.write_bytes(b"#!/bin/sh\n" * 1000)
    check("is not a store of mdsdaemon")
    store.unlink()
    other = sqlite3.connect(store)
    other.execute("CREATE TABLE notes (text)")
    other.commit()
    other.close()
    check("is not a store of mdsdaemon")
    store.write_bytes(good)
    other = sqlite3.connect(store)
    other.execute("PRAGMA user_version = 99")
    other.close()
    check("is a store of format 99")
    store.write_bytes(good[: len(good) // 2])
    check("is damaged")


def test_a_damaged_record(start: Start, made: Path) -> None:
    store = made / "cluster.sqlite"
    db = sqlite3.connect(store)
    (name,) = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'mon_auth%'"
    ).fetchone()
    broken = "CAST(substr(value, 1, 6) || x'ff' || substr(value, 8) AS BLOB)"
    db.execute(f"UPDATE {name} SET value = {broken}")
    db.commit()
    db.close()
    before = store.read_bytes()
    status, line = refused(start("--data", str(made)))
    assert status == ExitStatus.DATA
    assert f"{store} is damaged: record" in line
    assert store.read_bytes() == before


def test_a_folder_that_is_not_a_clusters(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "thesis.tex").write_text("…")
    status, line = refused(start("--data", str(folder)))
    assert status == ExitStatus.DATA
    assert "thesis.tex" in line
    assert os.listdir(folder) == ["thesis.tex"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        lacking("only root can mount a small file system")
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        lacking("this machine lets nobody mount")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Take all the room that is left but so many bytes."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(path, path.stat().st_size - leave)


def test_a_full_disk(start: Start, small_disk: Path) -> None:
    """At the start and later: one sentence; what was there stays and works again with room."""
    data = small_disk / "data"
    hog = small_disk / "hog"
    assert start("--data", str(data), "--", "true").finish()[0] == 0
    fill(hog)
    status, line = refused(start("--data", str(data)))
    assert status == ExitStatus.IO
    assert "is full" in line
    hog.unlink()
    process = start("--data", str(data))
    process.wait_ready()
    kept = -1
    with Admin(data / "ceph.conf", timeout=3) as admin:
        fill(hog, 256 << 10)
        for number in range(1000):
            if process.proc.poll() is not None:
                break
            cmd = {"prefix": "config-key set", "key": f"k{number}", "val": "x" * 4000}
            if admin.raw_command(cmd)[0] == 0:
                kept = number
        else:
            pytest.fail("the disk never was full")
    status, _, err = process.finish()
    assert status == ExitStatus.IO
    assert re.fullmatch(r"mdsdaemon: the disk of .* is full; .*\n", err)
    hog.unlink()
    process = start("--data", str(data))
    process.wait_ready()
    with Admin(data / "ceph.conf") as admin:
        found = admin.command("config-key ls")
    assert kept > 0
    assert [f"k{n}" in found for n in range(kept + 1)] == [True] * (kept + 1)
    process.proc.terminate()
    assert process.finish()[0] == 0


def test_a_folder_on_a_read_only_disk(start: Start, small_disk: Path) -> None:
    data = small_disk / "data"
    data.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in (data, small_disk / "new"):
        status, line = refused(start("--data", str(path)))
        assert status == ExitStatus.CANNOT_CREATE
        assert str(path) in line
