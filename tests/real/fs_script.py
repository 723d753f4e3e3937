"""Random calls on a file system: names from a small set, so that they meet each other."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

Call = list[Any]

NAMES = ["a", "b", "c", "d", "x y", "\xc3\xa9", "l" * 255, "m" * 256, "\xff\xfe", ".", ".."]
SLOTS = ["s0", "s1", "s2", "s3"]
FLAGS = [
    os.O_RDONLY,
    os.O_WRONLY | os.O_CREAT,
    os.O_RDWR | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_EXCL,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_WRONLY | os.O_TRUNC,
    os.O_RDONLY | os.O_DIRECTORY,
    os.O_RDWR | os.O_APPEND,
    os.O_RDONLY | os.O_NOFOLLOW,
    os.O_RDONLY | os.O_CREAT | os.O_DIRECTORY,
    os.O_RDONLY | os.O_TRUNC,
]
XATTRS = ["user.a", "user.b", "user.long", "trusted.x", "ceph.foo", "security.z", "nodot"]
LAYOUTS = [
    ("ceph.dir.layout.stripe_unit", "1048576"),
    ("ceph.dir.layout.stripe_unit", "7"),
    ("ceph.dir.layout.stripe_count", "2"),
    ("ceph.dir.layout.object_size", "8388608"),
    ("ceph.dir.layout.pool", "nowhere"),
    ("ceph.dir.layout.pool", "extra.data"),
    ("ceph.dir.layout.pool_namespace", "ns"),
    ("ceph.dir.layout", "stripe_unit=4194304 stripe_count=1 object_size=4194304"),
    ("ceph.dir.layout", "stripe_unit=4194304 nonsense=1"),
    ("ceph.dir.layout.nonsense", "1"),
    ("ceph.file.layout.stripe_unit", "65536"),
    ("ceph.file.layout.object_size", "1048576"),
    ("ceph.file.layout.pool", "extra.data"),
    ("ceph.quota.max_bytes", "1000000000000"),
    ("ceph.quota.max_files", "1000000"),
    ("ceph.quota.max_files", "-1"),
    ("ceph.quota.max_files", "x"),
    ("ceph.quota.max_bytes", "0"),
    ("ceph.quota", "max_bytes=5000000000000 max_files=0"),
    ("ceph.dir.pin", "0"),
    ("ceph.dir.pin", "-1"),
    ("ceph.dir.pin", "999"),
    ("ceph.dir.pin.random", "0.005"),
    ("ceph.dir.pin.random", "0.9"),
    ("ceph.dir.pin.distributed", "1"),
    ("ceph.dir.pin.distributed", "7"),
]
VIRTUAL = [
    "ceph.dir.layout", "ceph.dir.layout.object_size", "ceph.dir.entries", "ceph.dir.files",
    "ceph.dir.subdirs", "ceph.file.layout", "ceph.file.layout.stripe_unit", "ceph.quota",
    "ceph.quota.max_files", "ceph.dir.pin", "ceph.dir.layout.pool_namespace",
    "ceph.file.layout.pool_namespace", "ceph.dir.nonsense",
]  # fmt: skip


class Script:
    """Calls from a seed; each with the number of the client that makes it.

    Args:
        clients: how many there are.
        snapshots: some calls make, remove, list and read them.
    """

    def __init__(self, seed: int, clients: int = 2, *, snapshots: bool = False) -> None:
        self.random = random.Random(seed)
        self.clients = clients
        self._first = ["/a", "/b", "/a/a", "/a/b", "/b/c"]
        self._known: dict[str, None] = {}  # paths that calls have made, perhaps gone since
        self._makers: list[tuple[int, Callable[[], Call]]] = [
            (7, self._mkdir), (13, self._open), (4, self._close), (6, self._write),
            (4, self._read), (2, self._ftruncate), (1, self._fsync), (2, self._fstat),
            (3, self._symlink), (5, self._link), (6, self._unlink), (2, self._rmdir),
            (7, self._rename), (2, self._mknod), (4, self._stat), (4, self._lstat),
            (3, self._listing), (2, self._readlink), (3, self._chmod), (2, self._chown),
            (2, self._utimes), (3, self._truncate), (4, self._setxattr), (3, self._getxattr),
            (2, self._removexattr), (2, self._listxattr), (3, self._layout), (2, self._virtual),
            (2, self._flock), (2, self._content), (1, self._fchmod), (1, self._rmlayout),
        ]  # fmt: skip
        if snapshots:
            self._makers += [
                (3, self._mksnap), (2, self._rmsnap), (2, self._lssnap), (6, self._snapped),
                (1, self._renamesnap),
            ]  # fmt: skip

    def next(self) -> tuple[int, Call]:
        """(client, call)."""
        r = self.random
        if self._first:
            return 0, ["mkdir", self._first.pop(0), 0o755]
        weights = [weight for weight, _ in self._makers]
        maker = r.choices(self._makers, weights)[0][1]
        return r.randrange(self.clients), maker()

    def note(self, call: Call, code: int) -> None:
        """How a call went: later ones shall meet what is there."""
        if code:
            return
        name = call[0]
        made = {"mkdir": 1, "open": 2, "mknod": 1, "symlink": 2, "link": 2, "rename": 2}.get(name)
        gone = {"rename": 1, "unlink": 1, "rmdir": 1}.get(name)
        if gone is not None:
            self._known.pop(call[gone], None)
        if made is not None:
            self._known[call[made]] = None

    def path(self) -> str:
        """Mostly of what is there or beside it, sometimes with odd parts."""
        r = self.random
        if self._known and r.random() < 0.75:
            known = r.choice(list(self._known))
            if r.random() < 0.6:
                return known
            above = r.choice([known, known.rpartition("/")[0]])
            return f"{above}/{r.choice(NAMES[:6])}"
        depth = r.choice([1, 1, 2, 2, 3])
        common = NAMES[:4]
        return "".join("/" + r.choice(common if r.random() < 0.9 else NAMES) for _ in range(depth))

    def slot(self) -> str:
        return self.random.choice(SLOTS)

    def size(self) -> int:
        return self.random.choice([0, 1, 100, 4096, 70000, 4194304, 4194305, 9000000])

    def mode(self) -> int:
        return self.random.choice([0o755, 0o700, 0o644, 0o4755, 0o2775, 0o1777, 0o600])

    def _mkdir(self) -> Call:
        return ["mkdir", self.path(), self.mode()]

    def _open(self) -> Call:
        return ["open", self.slot(), self.path(), self.random.choice(FLAGS), self.mode() & 0o777]

    def _close(self) -> Call:
        return ["close", self.slot()]

    def _write(self) -> Call:
        r = self.random
        data = chr(r.randrange(65, 91)) * r.choice([1, 10, 5000, 70000])
        return ["write", self.slot(), data, r.choice([-1, 0, 5, 4096, 100000, 4194300])]

    def _read(self) -> Call:
        return ["read", self.slot(), self.random.choice([0, 3, 4096, 100000]), 5000]

    def _ftruncate(self) -> Call:
        return ["ftruncate", self.slot(), self.size()]

    def _fsync(self) -> Call:
        return ["fsync", self.slot()]

    def _fstat(self) -> Call:
        return ["fstat", self.slot()]

    def _symlink(self) -> Call:
        target = self.random.choice(["a", "/a/b", "../b", "nowhere", "", "c/d"])
        return ["symlink", target, self.path()]

    def _link(self) -> Call:
        return ["link", self.path(), self.path()]

    def _unlink(self) -> Call:
        return ["unlink", self.path()]

    def _rmdir(self) -> Call:
        return ["rmdir", self.path()]

    def _rename(self) -> Call:
        old, new = self.path(), self.path()
        while new.startswith(f"{old}/"):
            new = self.path()  # libcephfs 16.2.15 does not come back from that
        return ["rename", old, new]

    def _mknod(self) -> Call:
        kind = self.random.choice([0o100644, 0o010600, 0o020666, 0o140600])
        return ["mknod", self.path(), kind, 0x103 if kind & 0o20000 else 0]

    def _stat(self) -> Call:
        return ["stat", self.path()]

    def _lstat(self) -> Call:
        return ["lstat", self.path()]

    def _listing(self) -> Call:
        return ["listing", self.random.choice(["/", self.path()])]

    def _readlink(self) -> Call:
        return ["readlink", self.path()]

    def _chmod(self) -> Call:
        return ["chmod", self.path(), self.mode()]

    def _chown(self) -> Call:
        r = self.random
        return ["lchown", self.path(), r.choice([0, 1, 1000, -1]), r.choice([0, 5, -1])]

    def _utimes(self) -> Call:
        r = self.random
        return ["utimes", self.path(), r.randrange(1000, 90000), r.randrange(1000, 90000)]

    def _truncate(self) -> Call:
        return ["truncate", self.path(), self.size()]

    def _setxattr(self) -> Call:
        r = self.random
        value = "v" * r.choice([0, 1, 10, 3000])
        return ["setxattr", self.path(), r.choice(XATTRS), value, r.choice([0, 0, 1, 2])]

    def _getxattr(self) -> Call:
        return ["getxattr", self.path(), self.random.choice(XATTRS)]

    def _removexattr(self) -> Call:
        return ["removexattr", self.path(), self.random.choice(XATTRS)]

    def _listxattr(self) -> Call:
        return ["listxattr", self.path()]

    def _layout(self) -> Call:
        return ["setxattr", self.path(), *self.random.choice(LAYOUTS), 0]

    def _rmlayout(self) -> Call:
        names = ["ceph.dir.layout", "ceph.file.layout", "ceph.dir.layout.pool_namespace"]
        return ["removexattr", self.path(), self.random.choice(names)]

    def _virtual(self) -> Call:
        return ["getxattr", self.path(), self.random.choice(VIRTUAL)]

    def _flock(self) -> Call:
        r = self.random
        operation = r.choice([1 | 4, 2 | 4, 8])  # shared or exclusive, not waiting; unlock
        return ["flock", self.slot(), operation, r.choice([11, 12])]

    def _content(self) -> Call:
        return ["content", self.path()]

    def _fchmod(self) -> Call:
        return ["fchmod", self.slot(), self.mode()]

    def _snapshot(self) -> str:
        """A snapshot of a directory that may be there."""
        r = self.random
        directory = r.choice(["", "/a", "/b", self.path()])
        return f"{directory}/.snap/{r.choice(['s1', 's2', 's3'])}"

    def _mksnap(self) -> Call:
        return ["mkdir", self._snapshot(), 0o755]

    def _rmsnap(self) -> Call:
        return ["rmdir", self._snapshot()]

    def _lssnap(self) -> Call:
        return ["listing", self._snapshot().rpartition("/")[0]]

    def _renamesnap(self) -> Call:
        old = self._snapshot()
        return ["rename", old, f"{old.rpartition('/')[0]}/{self.random.choice(['s1', 's4'])}"]

    def _snapped(self) -> Call:
        r = self.random
        path = self._snapshot()
        for _ in range(r.randrange(3)):
            path += f"/{r.choice(NAMES[:5])}"
        what = r.choice(["lstat", "content", "listing", "unlink", "tree"])
        return [what, path]
