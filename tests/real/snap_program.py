"""A program on stock libcephfs: `python3 snap_program.py CONF TOP work SEED STEPS | view`.

Everything happens below the directory TOP, which `work` makes.

`work` does things at random from two clients, snapshots among them, and prints the errno of each
step; the same seed does the same. `view` prints the tree as it is and as every snapshot sees it.
Times are left out: they differ from run to run.
"""

import hashlib
import json
import os
import random
import sys
from collections.abc import Callable
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]

WAYS = (
    *("mkdir", "mkdir", "write", "write", "write", "hold", "hold", "more", "unlink", "rmdir"),
    *("rename", "rename", "link", "symlink", "chmod", "truncate", "setxattr", "mksnap", "mksnap"),
    *("rmsnap", "renamesnap", "close", "look"),
)
NAMES = ["a", "b", "c", "dd", "\u00fc"]


def mount(conf: str, top: str) -> Any:
    fs = cephfs.LibCephFS(conffile=conf)
    fs.mount(mount_root=top.encode())
    return fs


def make(conf: str, top: str) -> None:
    fs = mount(conf, "/")
    if not exists(fs, top):
        fs.mkdir(top, 0o755)
    fs.unmount()


def names_in(fs: Any, path: str) -> list[str]:
    handle, names = fs.opendir(path), []
    while entry := fs.readdir(handle):
        if entry.d_name not in (b".", b".."):
            names.append(entry.d_name.decode())
    fs.closedir(handle)
    return sorted(names)


def read(fs: Any, path: str) -> bytes:
    fd = fs.open(path, os.O_RDONLY, 0)
    try:
        return bytes(fs.read(fd, 0, 1 << 24))
    finally:
        fs.close(fd)


def exists(fs: Any, path: str) -> bool:
    try:
        fs.lstat(path)
    except cephfs.Error:
        return False
    return True


class Worker:
    """Two clients that do things at random; files stay open for some steps, with data unwritten."""

    def __init__(self, conf: str, top: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.clients = [mount(conf, top), mount(conf, top)]
        self.open: list[tuple[Any, int]] = []
        self.snaps: list[str] = []
        self.dirs = ["/"]
        self.count = 0

    def path(self) -> str:
        above = self.random.choice(self.dirs)
        return f"{above.rstrip('/')}/{self.random.choice(NAMES)}"

    def step(self) -> str:
        r = self.random
        fs = r.choice(self.clients)
        what = r.choice(WAYS)
        try:
            getattr(self, what)(fs)
        except cephfs.Error as error:
            return f"{what} {error.args[0]}"
        return f"{what} 0"

    def mkdir(self, fs: Any) -> None:
        path = self.path()
        fs.mkdir(path, 0o755)
        if path not in self.dirs:
            self.dirs.append(path)

    def data(self) -> bytes:
        self.count += 1
        return b"%d " % self.count * self.random.choice([1, 100, 3000])

    def write(self, fs: Any) -> None:
        fd = fs.open(self.path(), os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o640)
        fs.write(fd, self.data(), 0)
        fs.close(fd)

    def hold(self, fs: Any) -> None:
        fd = fs.open(self.path(), os.O_CREAT | os.O_RDWR, 0o600)
        self.open.append((fs, fd))
        fs.write(fd, self.data(), 0)

    def more(self, fs: Any) -> None:
        if self.open:
            fs, fd = self.random.choice(self.open)
            fs.write(fd, self.data(), self.random.choice([0, 5000]))

    def close(self, fs: Any) -> None:
        if self.open:
            fs, fd = self.open.pop(self.random.randrange(len(self.open)))
            fs.close(fd)

    def unlink(self, fs: Any) -> None:
        fs.unlink(self.path())

    def rmdir(self, fs: Any) -> None:
        fs.rmdir(self.path())

    def rename(self, fs: Any) -> None:
        old, new = self.path(), self.path()
        # libcephfs 16.2.15 waits for ever at a name of which a rename has failed
        is_dir = fs.lstat(old).st_mode & 0o170000 == 0o040000
        below = f"{new}/".startswith(f"{old}/") or f"{old}/".startswith(f"{new}/")
        if below or exists(fs, new):
            return
        if is_dir and not exists(fs, new.rpartition("/")[0] or "/"):
            return
        fs.rename(old, new)
        if old in self.dirs and new not in self.dirs:
            self.dirs.append(new)

    def link(self, fs: Any) -> None:
        fs.link(self.path(), self.path())

    def symlink(self, fs: Any) -> None:
        # of a name of its own: libcephfs 16.2.15 leaks what it opens by a dangling one
        fs.symlink("x/y", f"{self.random.choice(self.dirs).rstrip('/')}/link")

    def chmod(self, fs: Any) -> None:
        fs.chmod(self.path(), self.random.choice([0o700, 0o755, 0o644]))

    def truncate(self, fs: Any) -> None:
        fs.truncate(self.path(), self.random.choice([0, 10, 9000]))

    def setxattr(self, fs: Any) -> None:
        fs.setxattr(self.path(), "user.x", self.data()[:20], 0)

    def mksnap(self, fs: Any) -> None:
        self.count += 1
        path = f"{self.random.choice(self.dirs).rstrip('/')}/.snap/s{self.count}"
        fs.mkdir(path, 0o755)
        self.snaps.append(path)
        # what was written before the snapshot goes out now: libcephfs 16.2.15 may hang in a write
        # to a file whose data of before a snapshot it still keeps
        for client in self.clients:
            client.sync_fs()

    def rmsnap(self, fs: Any) -> None:
        if len(self.snaps) > 2:
            fs.rmdir(self.snaps.pop(self.random.randrange(len(self.snaps))))

    def renamesnap(self, fs: Any) -> None:
        if self.snaps:
            self.count += 1
            at = self.random.randrange(len(self.snaps))
            new = f"{self.snaps[at].rpartition('/')[0]}/r{self.count}"
            fs.rename(self.snaps[at], new)
            self.snaps[at] = new

    def look(self, fs: Any) -> None:
        if self.snaps:
            path = f"{self.random.choice(self.snaps)}/{self.random.choice(NAMES)}"
            if fs.stat(path).st_mode & 0o170000 == 0o100000:
                read(fs, path)


def describe(fs: Any, path: str) -> list[Any]:
    st = fs.lstat(path)
    kind = st.st_mode & 0o170000
    found: list[Any] = [oct(st.st_mode), st.st_uid]
    try:
        found.append(fs.lgetxattr(path, "user.x").decode())
    except cephfs.Error as error:
        found.append(error.args[0])
    if kind == 0o100000:
        found += [st.st_size, st.st_nlink, hashlib.md5(read(fs, path)).hexdigest()]
    elif kind == 0o120000:
        found.append(fs.readlink(path, 200).decode())
    else:
        found += [names_in(fs, path), fs.getxattr(path, "ceph.dir.entries").decode()]
    return found


def walk(fs: Any, top: str, seen: Callable[[str, list[Any]], None]) -> None:
    todo = [top]
    while todo:
        path = todo.pop()
        try:
            found = describe(fs, path)
        except cephfs.Error as error:
            seen(path, [f"error {error.args[0]}"])
            continue
        seen(path, found)
        if found[0].startswith("0o4"):
            todo += [f"{path.rstrip('/')}/{name}" for name in found[3]]


def view(fs: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    walk(fs, "/", found.__setitem__)
    for path in [path for path, what in found.items() if what[0].startswith("0o4")]:
        inside = f"{path.rstrip('/')}/.snap"
        snaps = names_in(fs, inside)
        # numbers of inodes in names of snapshots from above are the daemons' own
        found[inside] = sorted(name.rpartition("_")[0] or name for name in snaps)
        for name in snaps:
            key = inside + "/" + (name.rpartition("_")[0] or name)
            skip = len(inside) + 1 + len(name)
            seen: dict[str, list[Any]] = {}
            walk(fs, f"{inside}/{name}", seen.__setitem__)
            found.update({key + at[skip:]: what for at, what in seen.items()})
    return found


def main() -> None:
    conf, top, what, *rest = sys.argv[1:]
    if what == "work":
        make(conf, top)
        worker = Worker(conf, top, int(rest[0]))
        done = [worker.step() for _ in range(int(rest[1]))]
        result: Any = {"steps": done, "view": view(worker.clients[1])}
        while worker.open:
            worker.close(None)
        for fs in worker.clients:
            fs.unmount()
    else:
        fs = mount(conf, top)
        result = view(fs)
        fs.unmount()
    print(json.dumps(result, sort_keys=True))  # noqa: T201


main()
