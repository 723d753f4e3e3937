"""Where a cluster's files lie: a private temporary folder, or the folder of `--data`.

    ceph.conf          for clients, and for daemons that join; written anew at each start
    keyring            the key of client.admin (mode 0600)
    mds.stock/keyring  the key of a metadata server that is none of ours, should one join
    cluster.sqlite     with --data: what monitor and store keep; .lock beside it holds the process
    run/  log/         for whatever other daemons and clients open there

A temporary folder is deleted at the end. Should the process have been killed before, then the next
cluster that starts on the machine deletes it: a lock in the folder tells that nobody lives there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from mdsdaemon.errors import ExitStatus, FatalError

PREFIX: Final = "mdsdaemon."
STORE: Final = "cluster.sqlite"
_LOCK: Final = ".mdsdaemon-lock"
_CONF: Final = "ceph.conf"
_KEYRING: Final = "keyring"
_NOT_IN_CONF: Final = frozenset(" \t\n,;=$#'\"[]\\")
"""Marks that mean something in ceph.conf or in its lists of files."""
_OURS: Final = frozenset({_CONF, _KEYRING, "run", "log", "crash"})


class Folder:
    """One cluster's folder. Made by `temporary` or `of_data`.

    Attributes:
        path: absolute.
        is_temporary: `close` deletes it.
    """

    def __init__(self, path: Path, lock: int = -1) -> None:
        self.path = path
        self._lock = lock

    @property
    def is_temporary(self) -> bool:
        return self._lock >= 0

    @property
    def conf_path(self) -> Path:
        return self.path / _CONF

    @property
    def keyring_path(self) -> Path:
        return self.path / _KEYRING

    def mds_keyring_path(self, name: str) -> Path:
        """The keyring of a metadata server that is none of ours."""
        return self.path / f"mds.{name}" / _KEYRING

    @property
    def store_path(self) -> Path:
        return self.path / STORE

    @classmethod
    def temporary(cls) -> Folder:
        """A new folder that nobody else may look into, below TMPDIR.

        Raises FatalError: it cannot be made.
        """
        base = _fit_for_conf(Path(tempfile.gettempdir()).absolute())
        sweep(base)
        try:
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            lock = _lock(path)
        except OSError as e:
            raise _cannot("make a folder in", base, e) from e
        return cls(path, lock)

    @classmethod
    def of_data(cls, path: Path) -> Folder:
        """The folder `path`, made if it is missing. The store in it is not looked at.

        Raises FatalError: it cannot be made or written to, or holds what is not a cluster.
        """
        path = _fit_for_conf(path.absolute())
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            found = os.listdir(path)
        except FileExistsError as e:
            raise FatalError(
                f"{path} is not a folder", ExitStatus.CANNOT_CREATE, "name another"
            ) from e
        except OSError as e:
            raise _cannot("use the folder", path, e) from e
        foreign = sorted(name for name in found if not _may_be_ours(name))
        if foreign and STORE not in found:
            raise FatalError(
                f"{path} is not the folder of a cluster: it holds {', '.join(foreign[:3])}"
                + (" and more" if len(foreign) > 3 else ""),
                ExitStatus.DATA,
                "name an empty folder, or one that --data made",
            )
        if not os.access(path, os.W_OK | os.X_OK):
            raise _cannot("use the folder", path, OSError(errno.EACCES, os.strerror(errno.EACCES)))
        return cls(path)

    def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        """Put `text` in place of the file at once, or not at all.

        Raises FatalError: the disk is full, or the folder cannot be written to.
        """
        temporary = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with open(fd, "w", encoding="utf-8") as file:
                os.fchmod(fd, mode)
                file.write(text)
                file.flush()
                if not self.is_temporary:
                    os.fsync(fd)
            os.replace(temporary, path)
        except OSError as e:
            temporary.unlink(missing_ok=True)
            raise _cannot("write", path, e) from e

    def make_subfolders(self) -> None:
        """`run/` and `log/`, which ceph.conf names. Raises FatalError."""
        for name in ("run", "log"):
            try:
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
            except OSError as e:
                raise _cannot("make the folder", self.path / name, e) from e

    def close(self) -> None:
        """Delete a temporary folder with all that is in it; a data folder stays as it is."""
        if self._lock < 0:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1


def sweep(base: Path) -> list[Path]:
    """Delete temporary folders in `base` whose process was killed; those that were found."""
    swept: list[Path] = []
    try:
        with os.scandir(base) as entries:
            found = [
                Path(entry.path)
                for entry in entries
                if entry.name.startswith(PREFIX)
                and entry.is_dir(follow_symlinks=False)
                and entry.stat(follow_symlinks=False).st_uid == os.getuid()
            ]
    except OSError:
        return swept
    for path in found:
        try:
            fd = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # not one of ours, or just being made
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            swept.append(path)
        except OSError:  # its process lives
            pass
        finally:
            os.close(fd)
    return swept


def _lock(path: Path) -> int:
    """A locked file in the folder; it has its name only once it is locked."""
    new = path / (_LOCK + ".new")
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.rename(new, path / _LOCK)
    return fd


def _fit_for_conf(path: Path) -> Path:
    wrong = sorted(_NOT_IN_CONF & set(str(path)))
    if wrong:
        raise FatalError(
            f"{str(path)!r} has {wrong[0]!r} in it, which cannot stand in ceph.conf",
            ExitStatus.USAGE,
            "use a folder with a plainer name (temporary ones go to TMPDIR)",
        )
    return path


def _may_be_ours(name: str) -> bool:
    return name in _OURS or name.startswith((STORE, f".{_CONF}", f".{_KEYRING}", "mds."))


def _cannot(what: str, path: Path, error: OSError) -> FatalError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FatalError(f"the disk of {path} is full", ExitStatus.IO, "make room")
    remedies = {
        errno.ENOENT: "make the folder above it first, or name another",
        errno.EACCES: "see to its permissions, or name another folder",
        errno.EPERM: "see to its permissions, or name another folder",
        errno.EROFS: "name a folder that can be written to",
    }
    return FatalError(
        f"cannot {what} {path}: {error.strerror or error}",
        ExitStatus.CANNOT_CREATE,
        remedies.get(error.errno or 0, ""),
    )
