"""Random sequences of requests: sums and link counts hold, and a replay of the journal gives the
same tree."""

from __future__ import annotations

import random

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio
from tests.unit.server_trees import check_links, check_sums, tree_of

from mdsdaemon.types.client_ops import (
    MDS_FLAG_WANT_DENTRY,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
)

VXATTRS = [
    ("ceph.dir.layout.pool", b"3"),
    ("ceph.quota.max_files", b"9"),
    ("ceph.dir.pin", b"0"),
    ("ceph.file.layout.pool", b"3"),
]
NAMES = ["a", "b", "c", "long" * 20, "ünï", "\udcff\udcfe"]


class Monkey:
    """Does something at random, again and again."""

    def __init__(self, kit: ServerKit, seed: int) -> None:
        self.kit = kit
        self.random = random.Random(seed)
        self.clients = [kit.client(), kit.client()]
        self.results: dict[str, dict[int, int]] = {}

    def path(self, depth: int = 3) -> str:
        """A path whose directories exist."""
        at, text = self.kit.rank.cache.root, ""
        for _ in range(self.random.randrange(depth)):
            dirs = [
                (name, dn.inode)
                for directory in at.dirs.values()
                for name, dn in directory.items.items()
                if dn.inode is not None and dn.inode.is_dir
            ]
            if not dirs:
                break
            name, at = self.random.choice(dirs)
            text += f"/{name}"
        return f"{text}/{self.random.choice(NAMES)}"

    def step(self) -> None:
        r = self.random
        self.kit.kit.clock.now += 0.25
        client: Client = r.choice(self.clients)
        what = r.choice(["mkdir", "create", "mknod", "symlink", "link", "unlink", "rmdir",
                         "rename", "rename", "setattr", "setxattr", "rmxattr", "open", "lookup",
                         "readdir", "vxattr", "segment"])  # fmt: skip
        result = self._do(client, what)
        self.results.setdefault(what, {}).setdefault(result, 0)
        self.results[what][result] += 1

    def _do(self, client: Client, what: str) -> int:
        r, kit = self.random, self.kit
        path, place = self.path(), None
        place = kit.place(path)
        if what == "mkdir":
            return client.mkdir(place, r.choice([0o755, 0o2775])).errno
        if what == "create":
            return client.create(place, r.choice([0o101, 0o301, 0o1102, 0o100])).errno
        if what == "mknod":
            return client.mknod(place, r.choice([0o644, 0o010600, 0o020600]), 77).errno
        if what == "symlink":
            return client.symlink("x/" + r.choice(NAMES), place).errno
        if what == "unlink":
            return client.unlink(place).errno
        if what == "rmdir":
            return client.rmdir(place).errno
        if what == "rename":
            return client.rename(path, self.path()).errno
        if what == "segment":
            kit.mdlog.start_new_segment()
            return 0
        if what == "lookup":
            return client.lookup(place, flags=MDS_FLAG_WANT_DENTRY).errno
        target = kit.find(path)
        if target is None:
            return 2
        if what == "link":
            return client.link(path, self.path()).errno
        if what == "setattr":
            mask = r.choice([SETATTR_MODE, SETATTR_SIZE, SETATTR_MTIME, SETATTR_UID])
            size = r.randrange(1 << 24)
            stamp = r.randrange(1 << 60)
            return client.setattr(target.ino, mask, mode=0o640, uid=7, size=size, mtime=stamp).errno
        if what == "setxattr":
            return client.setxattr(
                target.ino, "user.x", b"1" * r.randrange(9), r.choice([0, 1, 2])
            ).errno
        if what == "rmxattr":
            return client.rmxattr(target.ino, "user.x").errno
        if what == "vxattr":
            name, value = r.choice(VXATTRS)
            return client.setxattr(target.ino, name, value).errno
        if what == "open":
            return client.open(target.ino, r.choice([0, 1, 2, 0o1002])).errno
        if not target.is_dir:
            return 20
        client.names(target.ino)
        return 0


@pytest.mark.parametrize("seed", range(12))
@in_trio
def test_any_sequence_keeps_the_sums_and_replays_to_the_same_tree(seed: int) -> None:
    kit = ServerKit()
    monkey = Monkey(kit, seed)
    for _ in range(150):
        monkey.step()
    check_links(kit)
    check_sums(kit)
    done = {what for what, results in monkey.results.items() if results.get(0)}
    assert len(done) > 10, f"too little of it succeeds: {monkey.results}"
    other = kit.replayed()
    assert tree_of(other) == tree_of(kit)
