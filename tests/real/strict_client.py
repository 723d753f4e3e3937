"""A program on stock libcephfs that makes random calls and holds each to a model.

`python3 strict_client.py CONF FS TOP SEED NOTES`: works below /TOP; before each call a line
with it goes to the file NOTES, after it another one. Reads words on its stdin: `pause` (answers
with what must be there and what it sees itself), `go`, `end`.
`python3 strict_client.py CONF FS see TOP…` prints what a new client sees, `… read PATH…` what is
in files. MDSDAEMON_CLIENT_LOGS=FOLDER: libcephfs writes down what it does.
"""

import json
import os
import random
import select
import stat
import sys
import time
from pathlib import Path
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]

sys.path[:0] = [str(Path(__file__).parents[2])]

from tests.real.strict_model import SMALL_OBJECTS, Model, Seen, data_of, digest  # noqa: E402

RECORD = 16
LEDGER = "/shared/ledger"
KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}


def mounted(conf: str, name: str) -> Any:
    fs = cephfs.LibCephFS(conffile=conf)
    if log := os.environ.get("MDSDAEMON_CLIENT_LOGS"):
        fs.conf_set("log_file", f"{log}/{os.getpid()}.clog")
        fs.conf_set("debug_client", "15")
        fs.conf_set("debug_ms", "1")
    fs.mount(filesystem_name=name.encode())
    return fs


def whole(fs: Any, path: str) -> bytes:
    """The contents of a file, read until there is no more."""
    fd = fs.open(path, os.O_RDONLY, 0)
    try:
        parts, offset = [], 0
        while part := fs.read(fd, offset, 1 << 20):
            parts.append(part)
            offset += len(part)
        assert fs.fstat(fd).st_size == offset, f"{path}: {fs.fstat(fd).st_size} and {offset} bytes"
        return b"".join(parts)
    finally:
        fs.close(fd)


def listing(fs: Any, path: str) -> set[str]:
    handle, found = fs.opendir(path), []
    while entry := fs.readdir(handle):
        found.append(entry.d_name.decode())
    fs.closedir(handle)
    assert len(found) == len(set(found)), f"{path}: a name comes twice: {found}"
    return set(found) - {".", ".."}


def look_at(fs: Any, top: str, path: str = "") -> Seen:
    """By path below `top`, what is there: see `Model.seen`."""
    full = f"{top}/{path}" if path else top
    shown = fs.lstat(full)
    kind = KINDS[stat.S_IFMT(shown.st_mode)]
    what: Any = ""
    if kind == "f":
        what = digest(whole(fs, full))
    elif kind == "l":
        what = fs.readlink(full, 4096).decode()
    _, names = fs.listxattr(full, follow_symlink=False)
    xattrs = {
        name: fs.getxattr(full, name, follow_symlink=False).decode()
        for name in sorted(names.decode().split("\0"))
        if name.startswith("user.")
    }
    found: Seen = {
        path: [
            kind, stat.S_IMODE(shown.st_mode), shown.st_uid, shown.st_gid,
            0 if kind == "d" else shown.st_nlink, shown.st_size if kind == "f" else 0, what, xattrs,
            None if kind == "d" else shown.st_mtime.timestamp(),
        ]
    }  # fmt: skip
    if kind == "d":
        for name in sorted(listing(fs, full)):
            found.update(look_at(fs, top, f"{path}/{name}" if path else name))
    return found


class Client:
    """The calls by name; each must succeed and find what the model has."""

    def __init__(self, conf: str, fs: str, top: str, seed: str, notes: str) -> None:
        self.fs = mounted(conf, fs)
        self.top, self.rng = f"/{top}", random.Random(seed)
        self.model, self.number = Model(), 0
        self.notes = open(notes, "a", buffering=1)  # noqa: SIM115
        self.slots: dict[str, int] = {}
        for folder in ("/shared", self.top):
            try:
                self.fs.mkdir(folder, 0o755)
            except cephfs.ObjectExists:
                assert folder == "/shared"
        small = f"{self.top}/{SMALL_OBJECTS}"
        layout = b"stripe_unit=65536 stripe_count=1 object_size=65536"
        self.fs.mkdir(small, 0o750)
        self.fs.setxattr(small, "ceph.dir.layout", layout, 0)
        self.fs.sync_fs()
        self.note("op", [0, "mkdir", SMALL_OBJECTS, 0o750])
        self.note("safe", 0)
        self.model.apply([0, "mkdir", SMALL_OBJECTS, 0o750])

    def note(self, word: str, what: Any) -> None:
        self.notes.write(json.dumps([word, what, time.time()]) + "\n")

    def path(self, below: str) -> str:
        return f"{self.top}/{below}" if below else self.top

    def step(self) -> None:
        self.number += 1
        op = self.model.next(self.rng, self.number)
        self.note("op", op)
        try:
            getattr(self, op[1])(op[0], *op[2:])
        except (cephfs.Error, AssertionError) as e:
            raise AssertionError(f"{op}: {e!r}") from e
        self.model.apply(op)
        self.note("safe" if op[1] == "sync" else "done", op[0])

    def _opened(self, path: str, flags: int, mode: int = 0) -> int:
        return int(self.fs.open(self.path(path), flags, mode))

    def create(self, number: int, path: str, mode: int, size: int) -> None:
        fd = self._opened(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        if size:
            assert self.fs.write(fd, data_of(number, size), 0) == size
        self.fs.close(fd)

    def hold(self, _: int, slot: str, path: str) -> None:
        self.slots[slot] = self._opened(path, os.O_RDWR)

    def let_go(self, _: int, slot: str) -> None:
        self.fs.close(self.slots.pop(slot))

    def pwrite(self, number: int, slot: str, offset: int, size: int) -> None:
        assert self.fs.write(self.slots[slot], data_of(number, size), offset) == size

    def append(self, number: int, path: str, size: int) -> None:
        fd = self._opened(path, os.O_WRONLY | os.O_APPEND)
        assert self.fs.write(fd, data_of(number, size), -1) == size  # only so it appends
        self.fs.close(fd)

    def truncate(self, _: int, path: str, size: int) -> None:
        self.fs.truncate(self.path(path), size)

    def ftruncate(self, _: int, slot: str, size: int) -> None:
        self.fs.ftruncate(self.slots[slot], size)

    def unlink(self, _: int, path: str) -> None:
        self.fs.unlink(self.path(path))

    def mkdir(self, _: int, path: str, mode: int) -> None:
        self.fs.mkdir(self.path(path), mode)

    def rmdir(self, _: int, path: str) -> None:
        self.fs.rmdir(self.path(path))

    def rename(self, _: int, old: str, new: str) -> None:
        self.fs.rename(self.path(old), self.path(new))

    def link(self, _: int, path: str, new: str) -> None:
        self.fs.link(self.path(path), self.path(new))

    def symlink(self, _: int, target: str, path: str) -> None:
        self.fs.symlink(target, self.path(path))

    def mknod(self, _: int, path: str, mode: int) -> None:
        self.fs.mknod(self.path(path), stat.S_IFIFO | mode, 0)

    def chmod(self, _: int, path: str, mode: int) -> None:
        self.fs.chmod(self.path(path), mode)

    def chown(self, _: int, path: str, uid: int, gid: int) -> None:
        self.fs.chown(self.path(path), uid, gid)

    def utimes(self, _: int, path: str, when: int) -> None:
        self.fs.utimes(self.path(path), (when, when))

    def setxattr(self, _: int, path: str, name: str, value: str) -> None:
        self.fs.setxattr(self.path(path), name, value.encode(), 0)

    def removexattr(self, _: int, path: str, name: str) -> None:
        self.fs.removexattr(self.path(path), name)

    def fsync(self, _: int, path: str) -> None:
        fd = self._opened(path, os.O_RDWR)
        self.fs.fsync(fd, 0)
        self.fs.close(fd)

    def fsync_dir(self, _: int, path: str) -> None:
        fd = self._opened(path, os.O_RDONLY | os.O_DIRECTORY)
        self.fs.fsync(fd, 0)
        self.fs.close(fd)

    def sync(self, _: int) -> None:
        self.fs.sync_fs()

    def look(self, _: int, path: str) -> None:
        data = self.model.nodes[path].data
        found = whole(self.fs, self.path(path))
        assert found == data, f"{len(found)} bytes, wanted {len(data)}"

    def list(self, _: int, path: str) -> None:
        found, wanted = listing(self.fs, self.path(path)), self.model.names(path)
        assert found == wanted, found ^ wanted

    def ledger(self, number: int, own: int) -> None:
        """Add a record to the file that all share, alone: under a lock that is waited for."""
        fd = self.fs.open(LEDGER, os.O_CREAT | os.O_RDWR, 0o644)
        self.fs.flock(fd, 2, 1)
        size = self.fs.fstat(fd).st_size
        assert size % RECORD == 0, f"the ledger has {size} bytes"
        record = b"%-15s\n" % f"{size // RECORD} {self.top[1:]} {own}".encode()
        assert len(record) == RECORD
        assert self.fs.write(fd, record, size) == RECORD
        self.fs.fsync(fd, 0)
        self.fs.flock(fd, 8, 1)
        self.fs.close(fd)

    def run(self) -> None:
        words = open(0, "rb", buffering=0)  # noqa: SIM115 -- what is read ahead, select misses
        while True:
            if select.select([words], [], [], 0)[0]:
                word = words.readline().strip()
                if word == b"pause":
                    wanted = self.model.seen()
                    say([wanted, look_at(self.fs, self.top), self.model.ledger])
                    word = words.readline().strip()
                if word != b"go":
                    break
            self.step()
        for fd in self.slots.values():
            self.fs.close(fd)
        self.fs.unmount()
        say(self.number)


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def see(conf: str, name: str, *tops: str) -> None:
    """What a new client sees below each top, and the ledger."""
    fs = mounted(conf, name)
    found = {top: look_at(fs, f"/{top}") for top in tops}
    ledger = whole(fs, LEDGER).decode() if "ledger" in listing(fs, "/shared") else ""
    others = sorted(listing(fs, "/") - {"shared", *tops})
    fs.unmount()
    say([found, ledger, others])


def main() -> None:
    conf, name, what, *rest = sys.argv[1:]
    if what == "see":
        see(conf, name, *rest)
    elif what == "read":
        fs = mounted(conf, name)
        found = [whole(fs, path).hex() for path in rest]
        fs.unmount()
        say(found)
    else:
        Client(conf, name, what, *rest).run()


if __name__ == "__main__":
    main()
