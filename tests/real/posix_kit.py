"""Calls on a mounted folder, made as several users, with what came of each.

Nothing here knows what is right: the same calls are made on two file systems, and the outcomes are
compared. An outcome never holds what may differ between two that behave alike (numbers of inodes
and devices, times of day, sizes of directories).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Who = tuple[int, int, tuple[int, ...]]
"""uid, gid, further groups."""
ROOT: Who = (0, 0, ())
ANN: Who = (65533, 65533, (65520,))
BOB: Who = (65532, 65532, (65520,))
SHARED_GROUP = 65520
PEOPLE = {"root": ROOT, "ann": ANN, "bob": BOB}


@contextmanager
def acting(who: Who) -> Iterator[None]:
    """Within the block, system calls are ``who``'s."""
    uid, gid, groups = who
    if uid == 0 and gid == 0:
        yield
        return
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def shown(value: Any) -> Any:
    """A result as JSON."""
    if isinstance(value, os.stat_result):
        return look(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    return value if isinstance(value, int | str | bool | None) else repr(value)


def look(st: os.stat_result) -> str:
    """Kind, mode, links, owner and (of what is no directory) size."""
    kind = stat.S_IFMT(st.st_mode)
    size = "" if stat.S_ISDIR(kind) else f" {st.st_size}b"
    return f"{kind:o}/{stat.S_IMODE(st.st_mode):04o} n{st.st_nlink} {st.st_uid}:{st.st_gid}{size}"


class Trial:
    """One case in a folder of its own; ``twin`` is that folder on another mount."""

    def __init__(self, name: str, root: Path, twin: Path, lines: list[str]) -> None:
        self.name, self._lines = name, lines
        self.dir, self.twin = str(root / name), str(twin / name)
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o777)

    def __truediv__(self, path: str) -> str:
        return f"{self.dir}/{path}"

    def note(self, label: str, outcome: Any) -> None:
        self._lines.append(f"{self.name}: {label} -> {shown(outcome)}")

    def do(self, label: str, call: Callable[..., Any], *args: Any, who: Who = ROOT) -> Any:
        """Make a call; its result (None if it failed) is noted, or its errno."""
        result, outcome = attempt(call, *args, who=who)
        self.note(label, outcome)
        return result

    def tree(self, path: str = "", label: str = "tree") -> None:
        """What is below ``path``, by name."""
        found: list[str] = []
        start = f"{self.dir}/{path}" if path else self.dir
        for folder, dirs, files in os.walk(start):
            dirs.sort()
            for name in sorted([*dirs, *files]):
                full = f"{folder}/{name}"
                found.append(f"{full[len(start) + 1 :]} {look(os.lstat(full))}")
        self.note(label, sorted(found))

    def times(self, label: str, paths: list[str], call: Callable[..., Any], *args: Any) -> None:
        """Which times of ``paths`` (of this trial) a call changes: a, m, c."""
        before = [stamps(f"{self.dir}/{p}") for p in paths]
        _, outcome = attempt(call, *args)
        after = [stamps(f"{self.dir}/{p}") for p in paths]
        said = [
            "".join(
                n + ("<" if y < x else "") for n, x, y in zip("amc", b, a, strict=True) if x != y
            )
            for b, a in zip(before, after, strict=True)
        ]
        failed = outcome if isinstance(outcome, str) and outcome.startswith("E") else ""
        self.note(f"times {label}", [failed, *said])


def stamps(path: str) -> tuple[int, int, int]:
    try:
        st = os.lstat(path)
    except OSError:
        return (0, 0, 0)
    return st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns


def attempt(call: Callable[..., Any], *args: Any, who: Who = ROOT) -> tuple[Any, Any]:
    """(result, what is noted of it)."""
    try:
        with acting(who):
            result = call(*args)
    except OSError as e:
        return None, errno.errorcode.get(e.errno or 0, str(e.errno))
    return result, result


def make(path: str, kind: str, mode: int = 0o644, who: Who = ROOT) -> None:
    """Something of ``kind`` at ``path``, owned by ``who``."""
    if kind == "file":
        fd = os.open(path, os.O_CREAT | os.O_WRONLY, mode)
        os.write(fd, b"content")
        os.close(fd)
    elif kind in ("dir", "full"):
        os.mkdir(path)
        if kind == "full":
            os.mkdir(f"{path}/in")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        os.symlink("target-that-is", path)
    elif kind == "dangling":
        os.symlink("nothing-here", path)
    elif kind == "loop":
        os.symlink(os.path.basename(path), path)
    elif kind == "dirlink":
        os.symlink("dir-that-is", path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | mode)
    if kind in ("file", "dir", "full", "fifo", "socket"):
        os.chmod(path, mode)
    if who != ROOT and kind != "missing":
        os.chown(path, who[0], who[1], follow_symlinks=False)
