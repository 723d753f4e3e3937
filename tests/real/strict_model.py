"""What a file system must hold after the calls that one client made: a tree, kept beside it.

Calls are lists, as JSON has them; `Model.next` makes up one that must succeed, `Model.apply` does
it. For the client itself (system Python) and for the test that reads what a client noted.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

Op = list[Any]
Seen = dict[str, list[Any]]
MOST_FILES, MOST_DIRS, MOST_HELD = 40, 8, 3
SIZES = [0, 1, 8, 100, 4096, 5000, 65536, 65537, 150_000, 300_000]
ANY = "any"
"""A time of which nothing can be said, not even that all see the same."""
LAST_SET = 10**9
"""No client sets a later time."""
SMALL_OBJECTS = "small"
"""The directory whose files have objects of 64 KiB, so that cutting off goes across many."""


def data_of(number: int, length: int) -> bytes:
    """What call `number` writes."""
    unit = b"%07d|" % number
    return (unit * (length // 8 + 1))[:length]


class Node:
    """A file, directory or link; hard links are the same node under several paths."""

    def __init__(self, kind: str, mode: int) -> None:
        self.kind, self.mode = kind, mode
        self.owner = [0, 0]
        self.data = bytearray()
        self.xattrs: dict[str, str] = {}
        self.target = ""
        self.mtime: int | str | None = None


class Model:
    """The tree below a client's own directory; "" is that directory.

    Attributes:
        held: by slot, the file that is open there; it may have lost its names.
        ledger: how many records the client has added to the ledger that all of them share.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {"": Node("d", 0o755)}
        self.held: dict[str, Node] = {}
        self.ledger = 0
        self._names = 0

    # -- calls ------------------------------------------------------------------------------

    def next(self, rng: random.Random, number: int) -> Op:
        """A call that must succeed."""
        for _ in range(100):
            name = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            op = getattr(self, f"_make_{name}")(rng)
            if op is not None:
                return [number, name, *op]
        raise AssertionError("nothing to do")

    def apply(self, op: Op) -> None:
        """The call has been made."""
        number, name, *args = op
        function = getattr(self, f"_do_{name}", None)
        if function is not None:
            function(number, *args)

    def _new_name(self, rng: random.Random) -> str:
        self._names += 1
        folder = rng.choice(self._dirs())
        return f"{folder}/n{self._names}" if folder else f"n{self._names}"

    def _dirs(self) -> list[str]:
        return [path for path, node in self.nodes.items() if node.kind == "d"]

    def _files(self) -> list[str]:
        return [path for path, node in self.nodes.items() if node.kind == "f"]

    def _others(self) -> list[str]:
        return [path for path, node in self.nodes.items() if node.kind != "d"]

    def _file(self, rng: random.Random) -> str | None:
        files = self._files()
        return rng.choice(files) if files else None

    def _slot(self, rng: random.Random) -> str | None:
        return rng.choice(list(self.held)) if self.held else None

    # making and holding files

    def _make_create(self, rng: random.Random) -> Op | None:
        if len(self._files()) >= MOST_FILES:
            return None
        return [self._new_name(rng), rng.choice([0o640, 0o600, 0o755]), rng.choice(SIZES)]

    def _do_create(self, number: int, path: str, mode: int, size: int) -> None:
        node = self.nodes[path] = Node("f", mode)
        node.data[:] = data_of(number, size)

    def _make_hold(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        free = [s for s in map(str, range(MOST_HELD)) if s not in self.held]
        return [rng.choice(free), path] if free and path is not None else None

    def _do_hold(self, _: int, slot: str, path: str) -> None:
        self.held[slot] = self.nodes[path]

    def _make_let_go(self, rng: random.Random) -> Op | None:
        slot = self._slot(rng)
        return None if slot is None else [slot]

    def _do_let_go(self, _: int, slot: str) -> None:
        del self.held[slot]

    # contents

    def _make_pwrite(self, rng: random.Random) -> Op | None:
        slot = self._slot(rng)
        if slot is None:
            return None
        return [slot, rng.choice([0, 7, 4096, 65530, 130_000]), rng.choice(SIZES[1:])]

    def _do_pwrite(self, number: int, slot: str, offset: int, size: int) -> None:
        self._write(self.held[slot], number, offset, size)

    def _make_append(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        if path is None or len(self.nodes[path].data) > 400_000:
            return None
        return [path, rng.choice(SIZES[1:-1])]

    def _do_append(self, number: int, path: str, size: int) -> None:
        node = self.nodes[path]
        self._write(node, number, len(node.data), size)

    def _write(self, node: Node, number: int, offset: int, size: int) -> None:
        if len(node.data) < offset:
            node.data.extend(bytes(offset - len(node.data)))
        node.data[offset : offset + size] = data_of(number, size)
        self._touch(node)

    def _make_truncate(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        return None if path is None else [path, rng.choice(SIZES)]

    def _do_truncate(self, _: int, path: str, size: int) -> None:
        self._resize(self.nodes[path], size)

    def _make_ftruncate(self, rng: random.Random) -> Op | None:
        slot = self._slot(rng)
        return None if slot is None else [slot, rng.choice(SIZES)]

    def _do_ftruncate(self, _: int, slot: str, size: int) -> None:
        self._resize(self.held[slot], size)

    def _resize(self, node: Node, size: int) -> None:
        if size <= len(node.data):
            del node.data[size:]
            self._touch(node)
        else:
            node.data.extend(bytes(size - len(node.data)))
            # libcephfs 16.2.15 that is alone with a file takes what lies on its stack for the time
            node.mtime = ANY

    def _touch(self, node: Node) -> None:
        if node.mtime != ANY:
            node.mtime = None

    # names

    def _make_unlink(self, rng: random.Random) -> Op | None:
        others = self._others()
        return [rng.choice(others)] if len(others) > MOST_FILES // 2 else None

    def _do_unlink(self, _: int, path: str) -> None:
        del self.nodes[path]

    def _make_mkdir(self, rng: random.Random) -> Op | None:
        return [self._new_name(rng), 0o750] if len(self._dirs()) < MOST_DIRS else None

    def _do_mkdir(self, _: int, path: str, mode: int) -> None:
        self.nodes[path] = Node("d", mode)

    def _make_rmdir(self, rng: random.Random) -> Op | None:
        empty = [
            d for d in self._dirs() if d and not any(p.startswith(f"{d}/") for p in self.nodes)
        ]
        return [rng.choice(empty)] if empty else None

    _do_rmdir = _do_unlink

    def _make_rename(self, rng: random.Random) -> Op | None:
        old = rng.choice([path for path in self.nodes if path not in ("", SMALL_OBJECTS)] or [""])
        new = self._new_name(rng)
        if not old or new.startswith(f"{old}/"):
            return None
        nodes = list(self.nodes.values())
        # libcephfs 16.2.15 forgets the other names of what a rename replaces, and says ENOENT
        files = [p for p in self._others() if p != old and nodes.count(self.nodes[p]) == 1]
        if self.nodes[old].kind != "d" and files and rng.random() < 0.3:
            new = rng.choice(files)
        return [old, new]

    def _do_rename(self, _: int, old: str, new: str) -> None:
        moved = {p: n for p, n in self.nodes.items() if p == old or p.startswith(f"{old}/")}
        for path in moved:
            del self.nodes[path]
        self.nodes.update({new + path[len(old) :]: node for path, node in moved.items()})

    def _make_link(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        return None if path is None else [path, self._new_name(rng)]

    def _do_link(self, _: int, path: str, new: str) -> None:
        self.nodes[new] = self.nodes[path]

    def _make_symlink(self, rng: random.Random) -> Op | None:
        return [f"target{rng.random()}", self._new_name(rng)]

    def _do_symlink(self, _: int, target: str, path: str) -> None:
        node = self.nodes[path] = Node("l", 0o777)
        node.target = target

    def _make_mknod(self, rng: random.Random) -> Op | None:
        return [self._new_name(rng), 0o600]

    def _do_mknod(self, _: int, path: str, mode: int) -> None:
        self.nodes[path] = Node("p", mode)

    # attributes

    def _make_chmod(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        return None if path is None else [path, rng.choice([0o600, 0o644, 0o711, 0o755])]

    def _do_chmod(self, _: int, path: str, mode: int) -> None:
        self.nodes[path].mode = mode

    def _make_chown(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        return None if path is None else [path, rng.randrange(9), rng.randrange(9)]

    def _do_chown(self, _: int, path: str, uid: int, gid: int) -> None:
        self.nodes[path].owner = [uid, gid]

    def _make_utimes(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        return None if path is None else [path, rng.randrange(10**6, LAST_SET)]

    def _do_utimes(self, _: int, path: str, when: int) -> None:
        if self.nodes[path].mtime != ANY:
            self.nodes[path].mtime = when

    def _make_setxattr(self, rng: random.Random) -> Op | None:
        path = rng.choice([p for p in self.nodes if p] or [""])
        if not path or self.nodes[path].kind in "lp":
            return None
        return [path, f"user.{rng.choice('abc')}", f"v{rng.random()}"]

    def _do_setxattr(self, _: int, path: str, name: str, value: str) -> None:
        self.nodes[path].xattrs[name] = value

    def _make_removexattr(self, rng: random.Random) -> Op | None:
        having = [p for p, node in self.nodes.items() if node.xattrs]
        if not having:
            return None
        path = rng.choice(having)
        return [path, rng.choice(list(self.nodes[path].xattrs))]

    def _do_removexattr(self, _: int, path: str, name: str) -> None:
        del self.nodes[path].xattrs[name]

    # what makes it durable, and what is only looked at

    def _make_fsync(self, rng: random.Random) -> Op | None:
        path = self._file(rng)
        return None if path is None else [path]

    def _make_fsync_dir(self, rng: random.Random) -> Op | None:
        return [rng.choice(self._dirs())]

    def _make_sync(self, _: random.Random) -> Op | None:
        return []

    _make_look = _make_fsync
    _make_list = _make_fsync_dir

    def _make_ledger(self, _: random.Random) -> Op | None:
        return [self.ledger]

    def _do_ledger(self, _: int, own: int) -> None:
        self.ledger = own + 1

    # -- what is to be seen -----------------------------------------------------------------

    def names(self, folder: str) -> set[str]:
        """The names in a directory."""
        start = f"{folder}/" if folder else ""
        return {
            p[len(start) :]
            for p in self.nodes
            if p and p.startswith(start) and "/" not in p[len(start) :]
        }

    def seen(self) -> Seen:
        """By path: what `strict_client.look_at` finds there; None for a time that is not known."""
        links: dict[int, int] = {}
        for node in self.nodes.values():
            links[id(node)] = links.get(id(node), 0) + 1
        found: Seen = {}
        for path, node in self.nodes.items():
            kind = node.kind
            number = 0 if kind == "d" else links[id(node)]
            found[path] = [
                kind, node.mode, *node.owner, number, len(node.data) if kind == "f" else 0,
                digest(node.data) if kind == "f" else node.target,
                dict(sorted(node.xattrs.items())), node.mtime,
            ]  # fmt: skip
        return found


_WEIGHTS = {
    "create": 14, "hold": 5, "let_go": 3, "pwrite": 10, "append": 8, "truncate": 5, "ftruncate": 3,
    "unlink": 8, "mkdir": 4, "rmdir": 2, "rename": 9, "link": 4, "symlink": 2, "mknod": 1,
    "chmod": 3, "chown": 2, "utimes": 3, "setxattr": 4, "removexattr": 2, "fsync": 4,
    "fsync_dir": 2, "sync": 1, "look": 6, "list": 4, "ledger": 3,
}  # fmt: skip


def digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def differences(wanted: Seen, found: Seen, where: str) -> Iterator[str]:
    """What differs, for people.

    A time that is not known agrees with any; one that a client had set with one of about now: after
    a takeover ceph-mds, too, takes the time of the data where a client writes no more that could.
    """
    for path in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(path), found.get(path)
        if one is None or other is None or one[:-1] != other[:-1]:
            yield f"{where}/{path}: wanted {one}, found {other}"
        elif one[-1] in (None, ANY, other[-1]):
            continue
        elif one[-1] > LAST_SET or other[-1] < LAST_SET:
            yield f"{where}/{path}: wanted {one}, found {other}"
