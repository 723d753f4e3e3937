"""A program on stock libcephfs: makes the calls that it reads, one line of JSON each, and answers.

`python3 fs_program.py CONF FS [AUTH_ID]`. A call is `[name, arguments…]`; paths, data: text in
latin-1. Open files have names (`slots`) that the caller chooses. An answer: `[errno, result]`.
"""

import json
import os
import stat
import sys
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]

RECENT = 100_000
"""Seconds since the epoch from which on a time was not set by the script, but is about now."""


class Calls:
    """The calls by name."""

    def __init__(self, conf: str, fs: str, auth_id: str) -> None:
        self.conf, self.name, self.auth_id = conf, fs, auth_id
        self.slots: dict[str, int] = {}
        self.inos: dict[int, int] = {}
        self.mount()

    def mount(self) -> Any:
        self.fs = cephfs.LibCephFS(conffile=self.conf, auth_id=self.auth_id)
        # libcephfs aborts when a reply lacks a capability that it has asked for
        self.fs.conf_set("client_debug_getattr_caps", "true")
        self.fs.mount(filesystem_name=self.name.encode())

    def remount(self) -> Any:
        for fd in self.slots.values():
            self.fs.close(fd)
        self.slots = {}
        self.fs.unmount()
        self.fs.shutdown()
        self.mount()

    # open files

    def open(self, slot: Any, path: Any, flags: Any, mode: Any) -> Any:
        if slot in self.slots:
            self.fs.close(self.slots.pop(slot))
        self.slots[slot] = self.fs.open(path, flags, mode)

    def close(self, slot: Any) -> Any:
        if slot in self.slots:
            self.fs.close(self.slots.pop(slot))

    def _fd(self, slot: Any) -> Any:
        if slot not in self.slots:
            raise cephfs.OSError(9, "no such slot")
        return self.slots[slot]

    def _file(self, fd: Any) -> Any:
        # libcephfs waits for ever for the capability to read what is no ordinary file
        if not stat.S_ISREG(self.fs.fstat(fd).st_mode):
            raise cephfs.OSError(22, "no ordinary file")
        return fd

    def write(self, slot: Any, data: Any, offset: Any) -> Any:
        return self.fs.write(self._file(self._fd(slot)), data, offset)

    def read(self, slot: Any, offset: Any, size: Any) -> Any:
        return self.fs.read(self._file(self._fd(slot)), offset, size)

    def ftruncate(self, slot: Any, size: Any) -> Any:
        self.fs.ftruncate(self._fd(slot), size)

    def truncate(self, path: Any, size: Any) -> Any:
        # a directory that shrinks kills ceph-mds 16.2.15
        if size == 5 or not stat.S_ISDIR(self.fs.stat(path).st_mode):
            self.fs.truncate(path, size)

    def fsync(self, slot: Any) -> Any:
        self.fs.fsync(self._fd(slot), 0)

    def fstat(self, slot: Any) -> Any:
        return self.shown(self.fs.fstat(self._fd(slot)))

    def flock(self, slot: Any, operation: Any, owner: Any) -> Any:
        self.fs.flock(self._fd(slot), operation, owner)

    def fchmod(self, slot: Any, mode: Any) -> Any:
        self.fs.fchmod(self._fd(slot), mode)

    def lazyio(self, slot: Any, enable: Any) -> Any:
        self.fs.lazyio(self._fd(slot), enable)

    def lazyio_propagate(self, slot: Any, offset: Any, size: Any) -> Any:
        self.fs.lazyio_propagate(self._fd(slot), offset, size)

    def lazyio_synchronize(self, slot: Any, offset: Any, size: Any) -> Any:
        self.fs.lazyio_synchronize(self._fd(slot), offset, size)

    # names

    def listing(self, path: Any) -> Any:
        handle = self.fs.opendir(path)
        found = []
        while entry := self.fs.readdir(handle):
            found.append((entry.d_name.decode("latin-1"), entry.d_type))
        self.fs.closedir(handle)
        return sorted(found)

    def make_many(self, path: Any, first: Any, count: Any) -> Any:
        for number in range(first, first + count):
            self.fs.close(self.fs.open(path + b"/f%d" % number, os.O_CREAT | os.O_WRONLY, 0o644))

    def unlink_many(self, path: Any, first: Any, count: Any) -> Any:
        for number in range(first, first + count):
            self.fs.unlink(path + b"/f%d" % number)

    def names(self, path: Any) -> Any:
        """(how many names, a hash of them all)."""
        names = sorted(name for name, _ in self.listing(path))
        return len(names) - 2, hash_of("\0".join(names).encode("latin-1"))

    def stat(self, path: Any) -> Any:
        return self.shown(self.fs.stat(path))

    def lstat(self, path: Any) -> Any:
        return self.shown(self.fs.lstat(path))

    def getxattr(self, path: Any, name: Any) -> Any:
        return self.fs.getxattr(path, name, follow_symlink=False)

    def listxattr(self, path: Any) -> Any:
        _, names = self.fs.listxattr(path, follow_symlink=False)
        return sorted(name for name in names.decode("latin-1").split("\0") if name)

    def setxattr(self, path: Any, name: Any, value: Any, flags: Any) -> Any:
        self.fs.setxattr(path, name, value, flags, follow_symlink=False)

    def removexattr(self, path: Any, name: Any) -> Any:
        self.fs.removexattr(path, name, follow_symlink=False)

    def readlink(self, path: Any) -> Any:
        return self.fs.readlink(path, 4096)

    def content(self, path: Any) -> Any:
        fd = self.fs.open(path, os.O_RDONLY, 0)
        try:
            parts, offset = [], 0
            self._file(fd)
            while part := self.fs.read(fd, offset, 1 << 20):
                parts.append(part)
                offset += len(part)
            return b"".join(parts)
        finally:
            self.fs.close(fd)

    def rename(self, old: Any, new: Any) -> Any:
        try:
            self.fs.rename(old, new)
        finally:
            # libcephfs 16.2.15 waits for ever for names that a rename has met but not made
            self.remount()

    def utimes(self, path: Any, atime: Any, mtime: Any) -> Any:
        self.fs.utimes(path, (atime, mtime))

    def tree(self, path: Any = "/") -> Any:
        """Everything below, with attributes and contents."""
        found = {}
        for name, _ in self.listing(path.encode("latin-1")):
            if name in (".", ".."):
                continue
            below = path.rstrip("/") + "/" + name
            raw = below.encode("latin-1")
            found[below] = [self.lstat(raw), self.listxattr(raw)]
            mode = self.fs.lstat(raw).st_mode
            if stat.S_ISDIR(mode):
                found.update(self.tree(below))
            elif stat.S_ISREG(mode):
                found[below].append(hash_of(self.content(raw)))
            elif stat.S_ISLNK(mode):
                found[below].append(self.readlink(raw))
        return found

    # results

    def shown(self, value: Any) -> Any:
        """What two file systems must agree on: inode numbers by the order of their first sight."""
        inode = self.inos.setdefault(value.st_ino, len(self.inos))
        is_dir = stat.S_ISDIR(value.st_mode)
        is_link = stat.S_ISLNK(value.st_mode)  # ceph-mds lets an open with O_TRUNC set its size
        times = {
            name: int(when) if (when := getattr(value, name).timestamp()) < RECENT else "now"
            for name in ("st_mtime", "st_atime")
        }
        return {
            "ino": inode,
            "mode": oct(value.st_mode),
            "owner": [value.st_uid, value.st_gid],
            "nlink": value.st_nlink,
            "size": None if is_dir or is_link else value.st_size,
            "rdev": value.st_rdev,
            **({} if is_dir else times),
        }

    def call(self, name: Any, args: Any) -> Any:
        function = getattr(self, name, None) or getattr(self.fs, name)
        return function(*args)


def hash_of(data: Any) -> Any:
    import hashlib

    return [len(data), hashlib.sha256(data).hexdigest()[:16]]


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value if isinstance(value, int | str | float | None) else None


def main() -> None:
    conf, fs, *rest = sys.argv[1:]
    calls = Calls(conf, fs, rest[0] if rest else "admin")
    print(json.dumps([0, "ready"]), flush=True)  # noqa: T201
    for line in sys.stdin:
        name, *args = json.loads(line)
        args = [a.encode("latin-1") if isinstance(a, str) and name != "slot" else a for a in args]
        if name in TEXT:
            args = [a.decode("latin-1") if i in TEXT[name] else a for i, a in enumerate(args)]
        try:
            answer = [0, plain(calls.call(name, args))]
        except cephfs.Error as e:
            answer = [e.args[0], ""]
        except UnicodeDecodeError:
            answer = [-1, "an error of which the bindings cannot tell"]
        print(json.dumps(answer), flush=True)  # noqa: T201


TEXT = {
    "open": {0}, "close": {0}, "write": {0}, "read": {0}, "ftruncate": {0}, "fsync": {0},
    "fstat": {0}, "flock": {0}, "fchmod": {0}, "tree": {0}, "lazyio": {0}, "lazyio_propagate": {0},
    "lazyio_synchronize": {0},
}  # fmt: skip
"""Arguments that stay text."""

if __name__ == "__main__":
    main()
