"""Folders of clusters: private, swept when their process was killed, never somebody else's."""

import errno
import os
import re
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from mdsdaemon.cephx.auth import EntityAuth
from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.cluster.conf import ceph_conf, keyring_text
from mdsdaemon.cluster.folder import PREFIX, STORE, Folder, sweep
from mdsdaemon.config.conf_file import parse_conf
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.types.entity import EntityAddrVec, EntityName


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_temporary_folder_is_private_and_goes(base: Path) -> None:
    folder = Folder.temporary()
    folder.make_subfolders()
    folder.write(folder.keyring_path, "secret\n")
    folder.write(folder.conf_path, "conf\n", 0o644)
    folder.write(folder.mds_keyring_path("stock"), "secret\n")
    assert folder.path.parent == base
    assert folder.is_temporary
    assert mode(folder.path) == 0o700
    assert mode(folder.keyring_path) == mode(folder.mds_keyring_path("stock")) == 0o600
    assert mode(folder.conf_path) == 0o644
    assert sorted(os.listdir(folder.path)) == [
        ".mdsdaemon-lock", "ceph.conf", "keyring", "log", "mds.stock", "run",
    ]  # fmt: skip
    folder.close()
    folder.close()
    assert os.listdir(base) == []


def test_folders_of_the_dead_are_swept(base: Path) -> None:
    """Those of the living, of others, and what only looks like one stay."""
    alive = Folder.temporary()
    (base / f"{PREFIX}other").mkdir()
    (base / f"{PREFIX}file").write_text("")
    (base / f"{PREFIX}link").symlink_to(alive.path)
    code = (
        "import tempfile, os; from pathlib import Path; from mdsdaemon.cluster.folder import Folder"
        "; f = Folder.temporary(); f.make_subfolders(); os.write(1, str(f.path).encode())"
        "; os.kill(os.getpid(), 9)"
    )
    env = {**os.environ, "TMPDIR": str(base)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    dead = Path(done.stdout)
    assert done.returncode == -9, done.stderr
    assert dead.is_dir()
    assert sweep(base) == [dead]
    assert not dead.exists()
    assert sorted(path.name for path in base.iterdir()) == sorted(
        [alive.path.name, f"{PREFIX}file", f"{PREFIX}link", f"{PREFIX}other"]
    )
    alive.close()


def test_a_data_folder_is_made_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data"
    folder = Folder.of_data(path)
    assert mode(path) == 0o700
    assert not folder.is_temporary
    folder.make_subfolders()
    folder.write(folder.conf_path, "x")
    (path / STORE).write_bytes(b"")
    (path / "mds.stock").mkdir()
    folder.close()
    assert Folder.of_data(path).path == path
    (path / "notes.txt").write_text("a user's")  # once it is a cluster's, he may
    Folder.of_data(path)


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(FatalError, match=re.escape(f"{tmp_path} is not the folder")) as caught:
        Folder.of_data(tmp_path)
    assert caught.value.status == ExitStatus.DATA
    assert "thesis.tex" in str(caught.value)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("no/such/data", "make the folder above it first"),
        ("file", "is not a folder"),
        ("file/data", "Not a directory"),
    ],
)
def test_folders_that_cannot_be(tmp_path: Path, where: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FatalError, match=words) as caught:
        Folder.of_data(tmp_path / where)
    assert caught.value.status == ExitStatus.CANNOT_CREATE


@pytest.mark.parametrize("name", ["a b", "a,b", "a;b", "a=b", "a$b", "a#b", "a'b", 'a"b'])
def test_paths_that_ceph_cannot_read(tmp_path: Path, name: str) -> None:
    """In ceph.conf they would mean something else."""
    with pytest.raises(FatalError, match=r"cannot stand in ceph\.conf"):
        Folder.of_data(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays."""
    folder = Folder.of_data(tmp_path)
    folder.write(folder.conf_path, "old")

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(FatalError, match="is full; make room") as caught:
        folder.write(folder.conf_path, "new")
    assert caught.value.status == ExitStatus.IO
    assert folder.conf_path.read_text() == "old"
    assert os.listdir(tmp_path) == ["ceph.conf"]


def test_ceph_conf_reads_back(tmp_path: Path) -> None:
    settings = {"mds_beacon_grace": "7", "log_prefix": 'a "#;\\', "empty": ""}
    addrs = EntityAddrVec.parse("v2:127.0.0.1:1234/0")
    fsid = uuid.uuid4()
    text = ceph_conf(tmp_path, fsid, addrs, 2, settings)
    sections = parse_conf(text.encode(), "ceph.conf").sections
    found = {key: entry.value for key, entry in sections["global"].items()}
    assert found["fsid"] == str(fsid)
    assert found["mon_host"] == "[v2:127.0.0.1:1234/0]"
    assert found["osd_pool_default_size"] == "2"
    assert found["mds_beacon_grace"] == "7"
    assert found["empty"] == ""
    assert sections["client"]["log_file"].value == ""
    paths = [value for value in found.values() if "/" in value and not value.startswith("[")]
    assert paths
    assert all(value.startswith(f"{tmp_path}/") for value in paths)


def test_keyrings_have_no_caps() -> None:
    auth = EntityAuth(key=CryptoKey(1, 0, bytes(16)), caps={"mon": b""})
    ring = KeyRing.parse(keyring_text("client.admin", auth).encode())
    (name,) = ring.keys
    assert name == EntityName.parse("client.admin")
    assert not ring.keys[name].caps
