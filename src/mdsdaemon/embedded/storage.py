"""Where monitor and object store keep their records: in memory, or in one SQLite file.

A record is bytes under a key in a named table. Changes are committed in groups, each all or
nothing. The file is SQLite's, in WAL mode and flushed at every commit; `application_id` says whose
it is, `user_version` which layout of records it has, and every record carries a crc32c, because
SQLite has none. A second process is kept out by a lock on a file beside it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from mdsdaemon.checksum import crc32c
from mdsdaemon.errors import ExitStatus, FatalError

Change = tuple[str, bytes, bytes | None]
"""(table, key, value); None for a value deletes the record."""

APPLICATION_ID: Final = 0x4D445331
"""The mark of our files in SQLite's header: "MDS1"."""
FORMAT_VERSION: Final = 1
"""The layout of records; raise it when older programs would misread them."""

_TABLE = re.compile(r"[a-z][a-z0-9_]*")
_CRC = struct.Struct("<I")
_ROWS_AT_ONCE: Final = 128
_PAGE_SIZE: Final = 8192


class StorageError(FatalError):
    """The store cannot be opened, read or written; the file is as it was."""


class Storage(ABC):
    """Records in named tables. Used by one thread at a time, except as `SqliteStorage` says.

    Attributes:
        durable: what `commit` took is there after a crash.
    """

    durable: bool

    @abstractmethod
    def get(self, table: str, key: bytes) -> bytes | None:
        """The record, or None."""

    @abstractmethod
    def items(self, table: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The records whose keys begin with `prefix`, in the keys' byte order."""

    @abstractmethod
    def keys(self, table: str) -> Iterator[bytes]:
        """The keys of a table in byte order, without reading the records."""

    @abstractmethod
    def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes or none, in order.

        Raises StorageError: none was made.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the store."""


class MemoryStorage(Storage):
    """Records that end with the process."""

    durable = False

    def __init__(self) -> None:
        self._tables: dict[str, dict[bytes, bytes]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        """The record, or None."""
        return self._tables.get(table, {}).get(key)

    def items(self, table: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The records at the time of the call."""
        found = self._tables.get(table, {})
        return iter(sorted((k, v) for k, v in found.items() if k.startswith(prefix)))

    def keys(self, table: str) -> Iterator[bytes]:
        """The keys at the time of the call."""
        return iter(sorted(self._tables.get(table, ())))

    def commit(self, changes: Sequence[Change]) -> None:
        """Make the changes."""
        for table, key, value in changes:
            records = self._tables.setdefault(table, {})
            if value is None:
                records.pop(key, None)
            else:
                records[key] = value

    def close(self) -> None:
        """Forget all."""
        self._tables.clear()


class SqliteStorage(Storage):
    """Records in the file `path`, made if it is missing; its folder has to exist.

    `get` and `items` may run in one thread while `commit` runs in another.

    Raises StorageError from any method: the file is not ours, of another version, damaged, in use
    by another process, or the disk is full or refuses.
    """

    durable = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path.with_name(path.name + ".lock"))
        self._connections: list[sqlite3.Connection] = []
        try:
            _check_header(path)
            self._writer = self._connect()
            self._prepare()
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
            self._tables = {
                name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type='table'")
            }
        except BaseException as exc:
            self.close()
            if isinstance(exc, sqlite3.Error):
                raise self._error(exc) from exc
            raise

    def get(self, table: str, key: bytes) -> bytes | None:
        """The record, or None."""
        if table not in self._tables:
            return None
        rows = self._rows(f"SELECT value FROM {table} WHERE key = ?", key)
        return self._checked(table, key, rows[0][0]) if rows else None

    def items(self, table: str, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The records; some of those committed while the iteration runs may be among them."""
        if table not in self._tables:
            return
        query = f"SELECT key, value FROM {table} WHERE key %s ? ORDER BY key LIMIT {_ROWS_AT_ONCE}"
        rows = self._rows(query % ">=", prefix)
        while rows:
            for key, value in rows:
                if not key.startswith(prefix):
                    return
                yield key, self._checked(table, key, value)
            # no statement stays open: it would keep the log of writes from being folded in
            rows = self._rows(query % ">", rows[-1][0])

    def keys(self, table: str) -> Iterator[bytes]:
        """The keys; some of those committed while the iteration runs may be among them."""
        if table not in self._tables:
            return
        query = f"SELECT key FROM {table} WHERE key %s ? ORDER BY key LIMIT 10000"
        rows = self._rows(query % ">=", b"")
        while rows:
            for (key,) in rows:
                yield key
            rows = self._rows(query % ">", rows[-1][0])

    def commit(self, changes: Sequence[Change]) -> None:
        """Make the changes; they are on the disk when this returns."""
        latest = {(table, key): value for table, key, value in changes}
        if not latest:
            return
        made: set[str] = set()
        execute = self._writer.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                for (table, key), value in latest.items():
                    if table not in self._tables and table not in made:
                        self._make_table(table)
                        made.add(table)
                    if value is None:
                        execute(f"DELETE FROM {table} WHERE key = ?", (key,))
                    else:
                        execute(
                            f"INSERT INTO {table} VALUES (?, ?) "
                            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                            (key, _CRC.pack(crc32c(value)) + value),
                        )
                execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise self._error(exc) from exc
        self._tables |= made

    def close(self) -> None:
        """Close the file and let another process have it."""
        for connection in reversed(self._connections):
            try:
                connection.close()
            except sqlite3.Error:  # a damaged file: there is nothing to save any more
                pass
        self._connections.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=0.0
        )
        self._connections.append(connection)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare(self) -> None:
        """See whose file it is; make it ours if it is new and empty."""
        execute = self._writer.execute
        owner = execute("PRAGMA application_id").fetchone()[0]
        version = execute("PRAGMA user_version").fetchone()[0]
        empty = execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if empty and not owner and not version:
            execute(f"PRAGMA page_size = {_PAGE_SIZE}")
            execute("PRAGMA journal_mode = WAL")
            execute("BEGIN IMMEDIATE")
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            execute("COMMIT")
            return
        if owner != APPLICATION_ID:
            raise _foreign(self.path)
        if version != FORMAT_VERSION:
            raise StorageError(
                f"{self.path} is a store of format {version}, "
                f"this program reads and writes format {FORMAT_VERSION}",
                ExitStatus.DATA,
                "use the version of mdsdaemon that made it, or another folder",
            )
        execute("PRAGMA journal_mode = WAL")

    def _make_table(self, table: str) -> None:
        if _TABLE.fullmatch(table) is None:
            raise ValueError(f"{table!r} is no name for a table")
        # keys lie twice (row and index), and still this is twice as fast as WITHOUT ROWID
        self._writer.execute(
            f"CREATE TABLE {table} (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL)"
        )

    def _rows(self, query: str, *args: bytes) -> list[Any]:
        try:
            return self._reader.execute(query, args).fetchall()
        except sqlite3.Error as exc:
            raise self._error(exc) from exc

    def _checked(self, table: str, key: bytes, value: bytes) -> bytes:
        if len(value) < 4 or _CRC.unpack_from(value)[0] != crc32c(value[4:]):
            raise self._damaged(f"record {key.hex()} of table {table} does not match its checksum")
        return value[4:]

    def _damaged(self, why: str) -> StorageError:
        return StorageError(
            f"{self.path} is damaged: {why}",
            ExitStatus.DATA,
            "restore the folder from a copy, or start with another one; nothing was changed",
        )

    def _error(self, exc: sqlite3.Error) -> StorageError:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return _foreign(self.path)
        if code == sqlite3.SQLITE_CORRUPT:
            return self._damaged(str(exc))
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(self.path)):
            return StorageError(
                f"the disk of {self.path} is full",
                ExitStatus.IO,
                "make room and start again; all that was acknowledged is there",
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StorageError(
                f"{self.path} cannot be opened for writing: {exc}",
                ExitStatus.CANNOT_CREATE,
                "see to the permissions of the file and its folder",
            )
        return StorageError(f"{self.path}: {exc}", ExitStatus.IO)


def _is_full(path: Path) -> bool:
    """Whether the disk has no room, which SQLite does not always say (of its -shm file)."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _PAGE_SIZE * 4


def _foreign(path: Path) -> StorageError:
    return StorageError(
        f"{path} is not a store of mdsdaemon", ExitStatus.DATA, "name another folder"
    )


def _check_header(path: Path) -> None:
    """Refuse what is no database before SQLite sees it; make a private file where there is none."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _cannot_open(path, exc) from exc
    try:
        size = os.fstat(fd).st_size
        head = os.read(fd, 100)
    finally:
        os.close(fd)
    if not size:
        return
    if not head.startswith(b"SQLite format 3\0") or len(head) < 100:
        raise _foreign(path)


def _cannot_open(path: Path, exc: OSError) -> StorageError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"the disk of {path} is full", ExitStatus.IO, "make room")
    return StorageError(
        f"{path} cannot be opened for writing: {exc.strerror}",
        ExitStatus.CANNOT_CREATE,
        "name a folder that exists and that you may write to",
    )


def _lock(path: Path) -> int:
    """Take the lock file, with our process id in it; the descriptor holds the lock."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _cannot_open(path, exc) from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    except BlockingIOError as exc:
        holder = os.read(fd, 20).decode("ascii", "replace").strip()
        os.close(fd)
        raise StorageError(
            f"{path.parent} is in use by another process{f' ({holder})' if holder else ''}",
            ExitStatus.TEMPORARY,
            "end that one first, or name another folder",
        ) from exc
    except OSError as exc:
        os.close(fd)
        raise _cannot_open(path, exc) from exc
    return fd


class Committer:
    """Commits in groups: what is submitted while one commit runs goes into the next.

    Where the storage is not durable, `submit` commits and calls back before it returns.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._queue: list[tuple[Sequence[Change], Callable[[], None]]] = []
        self._wake = trio.Event()
        self._busy = False

    @property
    def idle(self) -> bool:
        """Nothing submitted waits for its commit or callback."""
        return not self._queue and not self._busy

    def submit(self, changes: Sequence[Change], done: Callable[[], None]) -> None:
        """Commit `changes`, then call `done`; callbacks come in the order of the calls of submit.

        Raises StorageError: only where the storage is not durable.
        """
        if self.storage.durable:
            self._queue.append((changes, done))
            self._wake.set()
            return
        if changes:
            self.storage.commit(changes)
        done()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what is submitted by then is still committed.

        Raises StorageError: the disk refuses. Nothing of that group was acknowledged.
        """
        task_status.started()
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                batch, self._queue = self._queue, []
                self._busy = True
                changes = [change for part, _ in batch for change in part]
                if changes:
                    # a shield without deadline: a thread in a commit cannot be called back
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(self.storage.commit, changes)
                for _, done in batch:
                    done()
                self._busy = False
        except trio.Cancelled:
            self.storage.commit([change for part, _ in self._queue for change in part])
            raise
