"""Cases of POSIX about files: opening, owners and modes, times, data, attributes, locks."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable
from typing import Any

from tests.real.posix_kit import (
    ANN,
    BOB,
    PEOPLE,
    ROOT,
    SHARED_GROUP,
    Trial,
    acting,
    attempt,
    make,
    stamps,
)

FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY,
    "rw": os.O_RDWR,
    "trunc": os.O_WRONLY | os.O_TRUNC,
    "r trunc": os.O_RDONLY | os.O_TRUNC,
    "append": os.O_WRONLY | os.O_APPEND,
    "creat": os.O_WRONLY | os.O_CREAT,
    "creat r": os.O_RDONLY | os.O_CREAT,
    "excl": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "dir": os.O_RDONLY | os.O_DIRECTORY,
    "creat dir": os.O_RDONLY | os.O_CREAT | os.O_DIRECTORY,
    "nofollow": os.O_RDONLY | os.O_NOFOLLOW,
    "path": os.O_PATH,
    "path nofollow": os.O_PATH | os.O_NOFOLLOW,
    "creat trunc": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    "tmpfile": os.O_RDWR | os.O_TMPFILE,
    "sync": os.O_WRONLY | os.O_SYNC,
    "noatime": os.O_RDONLY | os.O_NOATIME,
}


def open_kinds(t: Trial) -> None:
    make(t / "target-that-is", "file")
    make(t / "dir-that-is", "dir", 0o755)
    for kind in ("missing", "file", "dir", "link", "dangling", "dirlink", "loop", "socket"):
        for name, flags in FLAGS.items():
            path = t / f"{kind} {name}"
            make(path, kind)
            for who, person in (("root", ROOT), ("ann", ANN)):
                t.do(f"open {kind} {name} {who}", _opened, path, flags, who=person)
    for name in ("fifo r", "fifo w"):
        make(t / name, "fifo")
        flags = (os.O_RDONLY if name[-1] == "r" else os.O_WRONLY) | os.O_NONBLOCK
        t.do(f"open {name}", _opened, t / name, flags)
    t.tree()


def _opened(path: str, flags: int) -> Any:
    fd = os.open(path, flags, 0o640)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def owners(t: Trial) -> None:
    """chown and chmod by everybody, with the bits that go."""
    for kind in ("file", "dir"):
        for mode in (0o6777, 0o2755, 0o4711, 0o2745, 0o1777, 0o600):
            for who, person in PEOPLE.items():
                path = t / f"{kind} {mode:o} {who}"
                make(path, kind, mode)
                os.chown(path, ANN[0], ANN[1])
                os.chmod(path, mode)
                for uid, gid in ((-1, -1), (-1, SHARED_GROUP), (ANN[0], -1), (BOB[0], BOB[1])):
                    t.do(f"chown {path[-12:]} {uid} {gid}", os.chown, path, uid, gid, who=person)
                    t.do("so", os.stat, path)
                    os.chown(path, ANN[0], ANN[1])
                    os.chmod(path, mode)
                os.chown(path, ANN[0], 7777)  # a group that ann is not in
                for new in (0o7777, 0o2755, 0o4755, 0):
                    t.do(f"chmod {path[-12:]} {new:o}", os.chmod, path, new, who=person)
                    t.do("so", os.stat, path)
    os.symlink("file 600 root", t / "s")
    t.do("lchown", lambda: os.chown(t / "s", 7, 8, follow_symlinks=False))
    t.do("lchown by ann", lambda: os.chown(t / "s", 9, 9, follow_symlinks=False), who=ANN)
    t.do("so", os.lstat, t / "s")
    for change in ("write", "truncate", "nothing"):
        for who, person in PEOPLE.items():
            path = t / f"{change} {who}"
            make(path, "file", 0o6777, ANN)
            os.chmod(path, 0o6777)
            t.do(f"bits after {change} by {who}", _changed, path, change, who=person)
            t.do("so", os.stat, path)


def _changed(path: str, change: str) -> None:
    if change == "truncate":
        os.truncate(path, 2)
        return
    fd = os.open(path, os.O_RDWR)
    if change == "write":
        os.pwrite(fd, b"x", 0)
    os.fsync(fd)
    os.close(fd)


def times(t: Trial) -> None:
    """Which times each call changes, of what it names and of the directories.

    Those of truncations that change no data depend on when the client flushes: not compared.
    """
    for name in ("a", "b"):
        os.mkdir(t / name)
    make(t / "a/f", "file")
    fd = os.open(t / "a/f", os.O_RDWR)

    def wrote(data: bytes, at: int) -> None:
        os.pwrite(fd, data, at)
        os.fsync(fd)

    def cut(size: int) -> None:
        os.ftruncate(fd, size)

    here: Callable[[str], str] = t.__truediv__
    steps: list[tuple[str, list[str], Callable[..., Any], tuple[Any, ...]]] = [
        ("stat", ["a", "a/f"], os.stat, (here("a/f"),)),
        ("write", ["a", "a/f"], wrote, (b"x", 0)),
        ("write on", ["a", "a/f"], wrote, (b"xyz", 100)),
        ("read", ["a", "a/f"], os.pread, (fd, 10, 0)),
        ("ftruncate", ["a", "a/f"], cut, (5,)),
        ("ftruncate same", [], cut, (5,)),
        ("truncate", ["a/f"], os.truncate, (here("a/f"), 3)),
        ("truncate same", [], os.truncate, (here("a/f"), 3)),
        ("truncate up", [], os.truncate, (here("a/f"), 30)),
        ("open", ["a", "a/f"], _opened, (here("a/f"), os.O_RDWR)),
        ("open creat", ["a", "a/f"], _opened, (here("a/f"), os.O_RDWR | os.O_CREAT)),
        ("open trunc", ["a", "a/f"], _opened, (here("a/f"), os.O_RDWR | os.O_TRUNC)),
        ("open trunc of none", ["a/f"], _opened, (here("a/f"), os.O_RDWR | os.O_TRUNC)),
        ("chmod", ["a", "a/f"], os.chmod, (here("a/f"), 0o600)),
        ("chmod same", ["a/f"], os.chmod, (here("a/f"), 0o600)),
        ("chown", ["a", "a/f"], os.chown, (here("a/f"), 1, 1)),
        ("chown nothing", ["a/f"], os.chown, (here("a/f"), -1, -1)),
        ("utime", ["a", "a/f"], os.utime, (here("a/f"),)),
        ("utime back", ["a/f"], os.utime, (here("a/f"), (1, 2))),
        ("create", ["a", "b", "b/g"], make, (here("b/g"), "file")),
        ("link", ["a", "b", "a/f"], link, (here("a/f"), here("b/l"))),
        ("unlink link", ["a", "b", "a/f"], os.unlink, (here("b/l"),)),
        ("link in", ["a", "a/f"], link, (here("a/f"), here("a/l"))),
        ("rename in", ["a", "a/f"], os.rename, (here("a/f"), here("a/g"))),
        ("rename far", ["a", "b", "a/g"], os.rename, (here("a/l"), here("b/l"))),
        ("unlink far", ["a", "b", "a/g"], os.unlink, (here("b/l"),)),
        ("create far", ["b"], make, (here("b/l"), "file")),
        ("rename over", ["a", "b"], os.rename, (here("b/g"), here("b/l"))),
        ("mkdir", ["a", "a/d"], os.mkdir, (here("a/d"),)),
        ("rename dir", ["a", "b", "b/d", "a/d"], os.rename, (here("a/d"), here("b/d"))),
        ("rmdir", ["a", "b"], os.rmdir, (here("b/d"),)),
        ("symlink", ["a", "a/s"], os.symlink, ("g", here("a/s"))),
        ("readlink", ["a", "a/s"], os.readlink, (here("a/s"),)),
        ("listdir", ["a"], os.listdir, (here("a"),)),
        ("setxattr", ["a", "a/g"], os.setxattr, (here("a/g"), "user.x", b"1")),
        ("getxattr", ["a/g"], os.getxattr, (here("a/g"), "user.x")),
        ("removexattr", ["a/g"], os.removexattr, (here("a/g"), "user.x")),
        ("mkfifo", ["a", "a/p"], os.mkfifo, (here("a/p"),)),
        ("mkdir that is", ["a"], os.mkdir, (here("a/p"),)),
        ("unlink of none", ["a"], os.unlink, (here("a/none"),)),
        ("rmdir of full", [".", "a"], os.rmdir, (here("a"),)),
        ("unlink", ["a"], os.unlink, (here("a/p"),)),
    ]
    for label, paths, call, arguments in steps:
        t.times(label, paths, call, *arguments)
    os.close(fd)
    for pair in ((0, 0), (1, 999_999_999), (10**9, 1), (123456789 * 10**9 + 987654321, 42)):
        os.utime(t / "a/g", ns=pair)
        t.note(f"utimensat {pair}", stamps(t / "a/g")[:2])
        t.note("on the other mount", stamps(f"{t.twin}/a/g")[:2])
    for second in (2**31 - 1, 2**31 + 5, 2**32 - 1, -1):
        t.do(f"utime {second}", os.utime, t / "a/g", (second, second))
        t.note("so", os.stat(t / "a/g").st_mtime_ns)
    t.do("lutime", lambda: os.utime(t / "a/s", (5, 6), follow_symlinks=False))
    t.note("so", stamps(t / "a/s")[:2])
    for owner in PEOPLE:
        make(t / owner, "file", 0o666, PEOPLE[owner])
        for who, person in PEOPLE.items():
            t.do(f"utime of {owner} by {who}", os.utime, t / owner, (9, 9), who=person)
            t.do(f"utime now of {owner} by {who}", os.utime, t / owner, who=person)


def link(source: str, target: str) -> None:
    os.link(source, target, follow_symlinks=False)


def data(t: Trial) -> None:
    """Holes, sizes, seeks, mappings, files without a name."""
    fd = os.open(t / "f", os.O_CREAT | os.O_RDWR, 0o644)
    t.do("truncate up", os.ftruncate, fd, 10_000_000)
    t.do("hole reads", lambda: os.pread(fd, 10, 9_999_995))
    t.do("write far", os.pwrite, fd, b"far", 4 * 2**20 - 1)
    t.do("across objects", os.pread, fd, 6, 4 * 2**20 - 3)
    t.do("cut within", os.ftruncate, fd, 4 * 2**20 + 1)
    t.do("grown again", os.ftruncate, fd, 9 * 2**20)
    t.do("zeros", os.pread, fd, 4, 4 * 2**20 - 1)
    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
        for at in (0, 5_000_000, 9 * 2**20, 2**40):
            t.do(f"seek {whence} {at}", os.lseek, fd, at, whence)
    for size in (2**31, 2**32 + 1, 2**40, 2**41, 2**62, 2**63 - 1, -1):
        t.do(f"ftruncate {size}", os.ftruncate, fd, size)
        t.do(f"write at {size}", os.pwrite, fd, b"z", size)
    t.do("so", os.fstat, fd)
    t.do("fallocate", os.posix_fallocate, fd, 0, 1000)
    t.do("ftruncate of nothing", os.ftruncate, fd, 8192)
    with mmap.mmap(fd, 8192) as area:
        area[4090:4100] = b"0123456789"
        area.flush()
        t.do("mapped", os.pread, fd, 10, 4090)
        t.do("written under a mapping", os.pwrite, fd, b"W", 4095)
        t.note("seen", bytes(area[4090:4100]))
    os.close(fd)
    t.do("read only", _written, t / "f", os.O_RDONLY)
    t.do("append", _written, t / "f", os.O_WRONLY | os.O_APPEND)
    t.do("so", os.stat, t / "f")
    fd = os.open(t / "gone", os.O_CREAT | os.O_RDWR, 0o600)
    os.write(fd, b"kept")
    os.unlink(t / "gone")
    t.do("unlinked", os.fstat, fd)
    t.do("unlinked reads", os.pread, fd, 9, 0)
    t.do("unlinked writes", os.pwrite, fd, b" on", 4)
    t.do("unlinked truncates", os.ftruncate, fd, 3)
    t.do("unlinked chmod", os.fchmod, fd, 0o640)
    t.do("unlinked again", os.fstat, fd)
    t.do("the name is free", make, t / "gone", "dir", 0o700)
    os.close(fd)
    make(t / "over", "file")
    make(t / "by", "file")
    fd = os.open(t / "over", os.O_RDWR)
    os.rename(t / "by", t / "over")
    t.do("renamed over", os.fstat, fd)
    t.do("renamed over reads", os.read, fd, 4)
    os.close(fd)
    t.tree()


def _written(path: str, flags: int) -> int:
    fd = os.open(path, flags)
    try:
        return os.pwrite(fd, b"end", 0)
    finally:
        os.close(fd)


def attributes(t: Trial) -> None:
    for kind in ("file", "dir", "link", "fifo"):
        make(t / kind, kind, 0o755)
        for name in ("user.x", "trusted.x", "security.x", "system.x", "other.x", "user.", "x"):
            for who, person in (("root", ROOT), ("bob", BOB)):
                label = f"{name} of {kind} by {who}"
                t.do(f"set {label}", _set, t / kind, name, b"\0v", 0, who=person)
                t.do(f"get {label}", _get, t / kind, name, who=person)
        t.do(f"list {kind}", lambda p: sorted(os.listxattr(p, follow_symlinks=False)), t / kind)
    path = t / "file"
    t.do("create that is", _set, path, "user.x", b"", os.XATTR_CREATE)
    t.do("replace", _set, path, "user.x", b"new", os.XATTR_REPLACE)
    t.do("replace none", _set, path, "user.none", b"", os.XATTR_REPLACE)
    t.do("remove", os.removexattr, path, "user.x")
    t.do("remove none", os.removexattr, path, "user.x")
    t.do("get none", _get, path, "user.x")
    for size in (0, 1, 4096, 60_000, 65536, 65537):
        t.do(f"value of {size}", _set, path, "user.big", b"v" * size, 0)
        t.do("so", lambda: len(os.getxattr(path, "user.big")))
    for size in (200, 255, 256):
        t.do(f"name of {size}", _set, path, ("user." + "n" * 300)[:size], b"", 0)
    t.do("all", lambda: len(os.listxattr(path)))
    for name in ("system.posix_acl_access", "system.posix_acl_default"):
        t.do(f"no {name}", _set, path, name, b"\2\0\0\0", 0)
    for name in ("ceph.file.layout.pool", "ceph.dir.layout", "ceph.dir.entries", "ceph.quota"):
        for kind in ("file", "dir"):
            outcome = attempt(_get, t / kind, name)[1]
            t.note(f"{name} of {kind}", outcome if isinstance(outcome, str) else "has")


def _set(path: str, name: str, value: bytes, flags: int) -> None:
    os.setxattr(path, name, value, flags, follow_symlinks=False)


def _get(path: str, name: str) -> bytes:
    return os.getxattr(path, name, follow_symlinks=False)


def locks(t: Trial) -> None:
    """flock and fcntl among processes, on one mount and on two."""
    make(t / "f", "file", 0o666)
    for where in (t.dir, t.twin):
        place = "here" if where == t.dir else "there"
        for held in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            for asked in (fcntl.LOCK_SH, fcntl.LOCK_EX):
                for name, call in (("flock", fcntl.flock), ("fcntl", fcntl.lockf)):
                    fd = os.open(t / "f", os.O_RDWR)
                    call(fd, held | fcntl.LOCK_NB)
                    label = f"{name} {held} then {asked} {place}"
                    t.note(label, _other(f"{where}/f", call, asked | fcntl.LOCK_NB))
                    call(fd, fcntl.LOCK_UN)
                    t.note(f"{label} after", _other(f"{where}/f", call, asked | fcntl.LOCK_NB))
                    os.close(fd)
        fd = os.open(t / "f", os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 100)
        fcntl.lockf(fd, fcntl.LOCK_UN, 4, 103)
        for start in (90, 99, 100, 102, 103, 106, 107, 109, 110):
            got = _other(f"{where}/f", fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
            t.note(f"byte {start} {place}", got)
        again = os.open(t / "f", os.O_RDONLY)
        os.close(again)  # POSIX: closing any descriptor of the file lets go of all its locks
        got = _other(f"{where}/f", fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 100)
        t.note(f"after a close {place}", got)
        os.close(fd)


def _other(path: str, call: Callable[..., Any], *arguments: Any) -> str:
    """The outcome in another process."""
    child = os.fork()
    if child == 0:
        number = 0
        try:
            fd = os.open(path, os.O_RDWR)
            call(fd, *arguments)
        except OSError as e:
            number = e.errno or 255
        os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return errno.errorcode.get(number, str(number))


def appending(t: Trial) -> None:
    """Lines that two mounts append in turn are all there, none torn.

    The lock is needed: the kernel tells ceph-fuse a position, not that it is the end.
    """
    children = []
    for place in (t.dir, t.twin):
        child = os.fork()
        if child == 0:
            try:
                fd = os.open(f"{place}/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
                mark = b"h" if place == t.dir else b"t"
                for number in range(60):
                    fcntl.lockf(fd, fcntl.LOCK_EX)
                    os.fstat(fd)
                    os.write(fd, mark * 90 + b"%09d\n" % number)
                    fcntl.lockf(fd, fcntl.LOCK_UN)
                os.close(fd)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    t.note("both", [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children])
    for place in (t.dir, t.twin):
        with open(f"{place}/log", "rb") as f:
            lines = f.read().split(b"\n")
        torn = [line for line in lines[:-1] if len(line) != 99 or len(set(line[:90])) != 1]
        t.note("lines", [len(lines) - 1, len(set(lines)) - 1, len(torn)])
        for mark in (b"h", b"t"):
            mine = [line for line in lines if line.startswith(mark)]
            t.note("in order", mine == sorted(mine))


def setgid_of_group(t: Trial) -> None:
    """A file whose group its owner is not in loses the bit; one in the group keeps it."""
    for group in (SHARED_GROUP, 7777):
        with acting(ANN):
            make(t / f"g{group}", "file", 0o644)
        os.chown(t / f"g{group}", -1, group)
        t.do("g+s", os.chmod, t / f"g{group}", stat.S_ISGID | 0o755, who=ANN)
        t.do("so", os.stat, t / f"g{group}")


CASES = [
    open_kinds,
    owners,
    times,
    data,
    attributes,
    locks,
    appending,
    setgid_of_group,
]
