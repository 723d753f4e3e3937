"""A client on stock libcephfs that fills folders and empties them: `python3 large_program.py CONF`.

Reads lines of JSON `[operation, …]` and answers each with one: `{"seconds": […], "value": …}`,
where `seconds` are those of each tenth of the work. Files have numbers; PER of them lie in each
folder, `/large` itself when PER is 0.
"""

# ruff: noqa: T201 -- it answers on its standard output
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, check-untyped-defs=False

import json
import os
import random
import sys
import time

import cephfs  # type: ignore[import-not-found, unused-ignore]

TOP = "/large"


def folder(number, per):
    return f"{TOP}/d{number // per}" if per else TOP


class Client:
    """The operations by name."""

    def __init__(self, conf, cache):
        self.conf, self.cache = conf, cache
        self.mount()

    def mount(self):
        self.fs = cephfs.LibCephFS(conffile=self.conf)
        self.fs.conf_set("client_cache_size", self.cache)
        self.fs.mount()

    def tenths(self, work, numbers):
        """Do it for each number; the seconds of each tenth."""
        seconds = []
        for part in range(10):
            begun = time.perf_counter()
            for number in numbers[part * len(numbers) // 10 : (part + 1) * len(numbers) // 10]:
                work(number)
            seconds.append(time.perf_counter() - begun)
        return seconds

    def remount(self):
        """What the client has in its cache is gone."""
        self.fs.unmount()
        self.fs.shutdown()
        self.mount()
        return [], None

    def mkdir(self, path):
        self.fs.mkdir(path, 0o755)
        return [], None

    def rmdir(self, path):
        self.fs.rmdir(path)
        return [], None

    def mkdirs(self, first, count, per):
        paths = sorted({folder(n, per): None for n in range(first, first + count)})
        return self.tenths(lambda path: self.fs.mkdir(path, 0o755), paths), len(paths)

    def create(self, first, count, per):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY

        def one(n):
            self.fs.close(self.fs.open(f"{folder(n, per)}/file{n}", flags, 0o644))

        return self.tenths(one, range(first, first + count)), None

    def mknod(self, first, count, per):
        """As `create`, without opening them, nor asking whether they are there."""
        work = self.fs.mknod
        numbers = range(first, first + count)
        return self.tenths(lambda n: work(f"{folder(n, per)}/file{n}", 0o100644), numbers), None

    def lookup(self, seed, many, count, per):
        """So many names at random of `count` that there are."""
        numbers = random.Random(seed).choices(range(count), k=many)
        work = self.fs.stat
        return self.tenths(lambda n: work(f"{folder(n, per)}/file{n}"), numbers), None

    def readdir(self, first, count, per):
        """Lists the folders of these files; how many names there are."""
        found = 0

        def one(path):
            nonlocal found
            handle = self.fs.opendir(path)
            while entry := self.fs.readdir(handle):
                found += entry.d_name not in (b".", b"..")
            self.fs.closedir(handle)

        numbers = range(first, first + count, per or count)
        return self.tenths(one, [folder(n, per) for n in numbers]), found

    def unlink(self, first, count, per):
        work = self.fs.unlink
        numbers = range(first, first + count)
        return self.tenths(lambda n: work(f"{folder(n, per)}/file{n}"), numbers), None

    def rmdirs(self, first, count, per):
        paths = sorted({folder(n, per): None for n in range(first, first + count)})
        return self.tenths(self.fs.rmdir, paths), None

    def sync(self):
        self.fs.sync_fs()
        return [], None


def main():
    client = Client(*sys.argv[1:3])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        operation, *arguments = json.loads(line)
        seconds, value = getattr(client, operation)(*arguments)
        print(json.dumps({"seconds": seconds, "value": value}), flush=True)


main()
