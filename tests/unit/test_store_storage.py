"""Records in memory and in SQLite: order, all or nothing, refusal of what is not ours."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsdaemon.embedded.storage import MemoryStorage, SqliteStorage, Storage, StorageError
from mdsdaemon.errors import ExitStatus


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    made: Storage
    made = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "c.sqlite")
    yield made
    made.close()


def test_records(store: Storage) -> None:
    store.commit([("a", b"k2", b"v2"), ("a", b"k1", b"v1"), ("b", b"k1", b""), ("a", b"x", b"y")])
    assert store.get("a", b"k1") == b"v1"
    assert store.get("b", b"k1") == b""
    assert store.get("a", b"none") is None
    assert store.get("none", b"k1") is None
    assert list(store.items("a")) == [(b"k1", b"v1"), (b"k2", b"v2"), (b"x", b"y")]
    assert list(store.items("a", b"k")) == [(b"k1", b"v1"), (b"k2", b"v2")]
    assert list(store.items("none")) == []
    store.commit([("a", b"k1", None), ("a", b"k2", b"1"), ("a", b"k2", b"2"), ("b", b"-", None)])
    assert list(store.items("a")) == [(b"k2", b"2"), (b"x", b"y")]
    store.commit([])


def test_more_records_than_one_query_takes(store: Storage) -> None:
    keys = [i.to_bytes(2, "big") for i in range(1000)]
    store.commit([("t", key, key * 3) for key in reversed(keys)])
    assert list(store.items("t")) == [(key, key * 3) for key in keys]
    assert list(store.items("t", b"\x01")) == [(k, k * 3) for k in keys if k[0] == 1]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b"]),
                st.binary(max_size=2),
                st.none() | st.binary(max_size=5),
            )
        ),
        max_size=5,
    )
)
def test_both_kinds_agree(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[tuple[str, bytes, bytes | None]]]
) -> None:
    path = tmp_path_factory.mktemp("s") / "c.sqlite"
    memory, file = MemoryStorage(), SqliteStorage(path)
    for group in groups:
        memory.commit(group)
        file.commit(group)
    file.close()
    file = SqliteStorage(path)
    for table in ("a", "b"):
        assert list(memory.items(table)) == list(file.items(table))
    file.close()


def test_the_file_is_private_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    store = SqliteStorage(path)
    store.commit([("keys", b"client.admin", b"secret")])
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}
    store.close()
    again = SqliteStorage(path)
    assert again.get("keys", b"client.admin") == b"secret"
    again.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    store = SqliteStorage(path)
    with pytest.raises(StorageError, match=f"in use by another process .{os.getpid()}.") as caught:
        SqliteStorage(path)
    assert caught.value.status is ExitStatus.TEMPORARY
    store.close()
    SqliteStorage(path).close()


def refused(path: Path, status: ExitStatus, text: str) -> None:
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StorageError, match=text) as caught:
        list(SqliteStorage(path).items("t"))
    assert caught.value.status is status
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_text("my diary")
    refused(path, ExitStatus.DATA, "not a store of mdsdaemon")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.commit()
    other.close()
    refused(path, ExitStatus.DATA, "not a store of mdsdaemon")


def filled(path: Path) -> None:
    store = SqliteStorage(path)
    store.commit([("t", b"%05d" % i, os.urandom(5000)) for i in range(60)])
    store.close()


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    filled(path)
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 7")
    raw.close()
    refused(path, ExitStatus.DATA, "format 7.*format 1")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    filled(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 + 100] ^= 1
    path.write_bytes(data)
    refused(path, ExitStatus.DATA, "damaged")


def test_a_cut_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    filled(path)
    os.truncate(path, path.stat().st_size // 2 // 8192 * 8192)
    refused(path, ExitStatus.DATA, "damaged")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "no" / "c.sqlite", ExitStatus.CANNOT_CREATE, "cannot be opened")


FULL = """
import resource, sys
from pathlib import Path
from mdsdaemon.embedded.storage import SqliteStorage, StorageError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStorage(Path(sys.argv[1]))
store.commit([("t", b"first", b"1")])
resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))
try:
    store.commit([("t", b"second", b"2"), ("t", b"big", bytes(1000000))])
except StorageError as exc:
    print(int(exc.status), exc)
"""


def test_a_write_that_the_system_refuses_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("74 "), run
    store = SqliteStorage(path)
    assert [key for key, _ in store.items("t")] == [b"first"]
    store.close()
