"""A program on stock libcephfs: `python3 churn_client.py CONF SEED STEPS`: a tree of its own.

It makes random changes and compares with what it remembers; again and again it comes anew, so that
the server may forget what it knows of the tree.
"""

import os
import random
import sys
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]


def mounted(conf: str) -> Any:
    fs = cephfs.LibCephFS(conffile=conf)
    fs.mount()
    return fs


class Churn:
    """`files`: by path, the size; hard links are among them."""

    def __init__(self, conf: str, seed: str) -> None:
        self.conf, self.rng = conf, random.Random(seed)
        self.top = f"/churn{seed}"
        self.fs = mounted(conf)
        self.fs.mkdir(self.top, 0o755)
        self.dirs = [self.top]
        self.files: dict[str, int] = {}
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"{self.rng.choice(self.dirs)}/n{self.count}"

    def mkdir(self) -> None:
        if len(self.dirs) < 60:
            path = self.name()
            self.fs.mkdir(path, 0o755)
            self.dirs.append(path)

    def create(self) -> None:
        path, size = self.name(), self.rng.randrange(1, 5000)
        fd = self.fs.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
        self.fs.write(fd, b"x" * size, 0)
        self.fs.close(fd)
        self.files[path] = size

    def pick(self) -> str:
        return self.rng.choice(sorted(self.files))

    def unlink(self) -> None:
        if self.files:
            path = self.pick()
            self.fs.unlink(path)
            del self.files[path]

    def rename(self) -> None:
        if self.files:
            old, new = self.pick(), self.name()
            self.fs.rename(old, new)
            self.files[new] = self.files.pop(old)

    def link(self) -> None:
        if self.files:
            old, new = self.pick(), self.name()
            self.fs.link(old, new)
            self.files[new] = self.files[old]

    def look(self) -> None:
        if self.files:
            path = self.pick()
            assert self.fs.stat(path).st_size == self.files[path], path
        missing = f"{self.rng.choice(self.dirs)}/missing{self.count}"
        try:
            self.fs.stat(missing)
        except cephfs.ObjectNotFound:
            return
        raise AssertionError(f"{missing} is there")

    def list(self) -> None:
        path = self.rng.choice(self.dirs)
        handle, found = self.fs.opendir(path), set()
        while entry := self.fs.readdir(handle):
            found.add(entry.d_name.decode())
        self.fs.closedir(handle)
        wanted = {p.rpartition("/")[2] for p in [*self.files, *self.dirs] if self.parent(p) == path}
        assert found - {".", ".."} == wanted, (path, found ^ wanted)

    @staticmethod
    def parent(path: str) -> str:
        return path.rpartition("/")[0]

    def come_anew(self) -> None:
        self.fs.unmount()
        self.fs.shutdown()
        self.fs = mounted(self.conf)

    def step(self) -> None:
        what = self.rng.choices(
            [self.mkdir, self.create, self.unlink, self.rename, self.link, self.look, self.list],
            [6, 40, 8, 8, 4, 30, 6],
        )[0]
        what()


def main() -> None:
    conf, seed, steps = sys.argv[1:]
    churn = Churn(conf, seed)
    for step in range(int(steps)):
        churn.step()
        if step % 60 == 59:
            churn.come_anew()
    churn.come_anew()
    for path, size in churn.files.items():
        assert churn.fs.stat(path).st_size == size, path
    churn.fs.unmount()
    sys.stdout.write(f"{len(churn.files)} files, {len(churn.dirs)} directories\n")


if __name__ == "__main__":
    main()
