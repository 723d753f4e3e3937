"""A client on stock libcephfs that makes one kind of operation at a time and times each.

`python3 fs_load.py CONF FS NAME [FOLDER]`: reads lines of JSON `[operation, count, {more}]`,
answers each with `{"seconds": …, "latencies": [microseconds, …]}`. The first operations stand in
the order in which they can be asked for: later ones use what earlier ones made, in the client's own
folder /NAME (or in FOLDER, which is there already). With `seconds` among what is more, it goes on
for as long.
"""

# ruff: noqa: T201 -- it answers on its standard output
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, check-untyped-defs=False

import json
import os
import sys
import time

import cephfs  # type: ignore[import-not-found, unused-ignore]


class Load:
    """The operations by name; each is called with the number of the turn."""

    def __init__(self, conf, fs, name, folder=""):
        self.conf, self.fs_name, self.name = conf, fs, name
        self.dir = folder or f"/{name}"
        self.mount()
        if not folder:
            self.fs.mkdir(self.dir, 0o755)

    def mount(self):
        self.fs = cephfs.LibCephFS(conffile=self.conf)
        self.fs.mount(filesystem_name=self.fs_name.encode())

    def remount(self, _):
        """What the client has in its cache is gone: the next ones ask the server."""
        self.fs.unmount()
        self.fs.shutdown()
        self.mount()

    def mkdir(self, n):
        self.fs.mkdir(f"{self.dir}/d{n}", 0o755)

    def create(self, n):
        self.fs.close(self.fs.open(f"{self.dir}/f{n}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def write(self, n):
        """A small file: made, written, on disk."""
        fd = self.fs.open(f"{self.dir}/w{n}", os.O_CREAT | os.O_WRONLY, 0o644)
        self.fs.write(fd, b"x" * 4096, 0)
        self.fs.fsync(fd, 0)
        self.fs.close(fd)

    def chmod(self, n):
        self.fs.chmod(f"{self.dir}/f{n}", 0o600)

    def setxattr(self, n):
        self.fs.setxattr(f"{self.dir}/f{n}", "user.bench", b"value", 0)

    def symlink(self, n):
        self.fs.symlink("target", f"{self.dir}/s{n}")

    def link(self, n):
        self.fs.link(f"{self.dir}/f{n}", f"{self.dir}/l{n}")

    def rename(self, n):
        self.fs.rename(f"{self.dir}/f{n}", f"{self.dir}/r{n}")

    def lookup(self, n):
        self.fs.stat(f"{self.dir}/r{n}")

    def open(self, n):
        self.fs.close(self.fs.open(f"{self.dir}/r{n}", os.O_RDONLY, 0))

    def readdir(self, _):
        handle = self.fs.opendir(self.dir)
        while self.fs.readdir(handle):
            pass
        self.fs.closedir(handle)

    def unlink(self, n):
        self.fs.unlink(f"{self.dir}/r{n}")

    def rmdir(self, n):
        self.fs.rmdir(f"{self.dir}/d{n}")

    def mixed(self, n):
        """One after the other: make, look, change, remove."""
        path = f"{self.dir}/m{n}"
        self.fs.close(self.fs.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        self.fs.stat(path)
        self.fs.chmod(path, 0o640)
        self.fs.rename(path, path + "x")
        self.fs.unlink(path + "x")

    def enter(self, _, path):
        """Work in another folder from here on."""
        self.dir = path

    def make(self, _, path):
        """A new folder, and work there."""
        self.fs.mkdir(path, 0o755)
        self.dir = path

    def leave(self, _):
        """The last one."""
        self.fs.unmount()
        self.fs.shutdown()

    def sync(self, _):
        self.fs.sync_fs()

    def fill(self, n, first=0):
        """A file that has no data, made without being opened."""
        self.fs.mknod(f"{self.dir}/n{n + first:07d}", 0o100644, 0)

    def look(self, n, step, size):
        """stat of files all over a directory that `fill` has made."""
        self.fs.stat(f"{self.dir}/n{(n + 1) * step % size:07d}")

    def drop(self, n, first=0):
        self.fs.unlink(f"{self.dir}/n{n + first:07d}")


def turns(count, seconds):
    """Their numbers: so many, or as many as fit in so many seconds."""
    end = time.monotonic() + seconds
    n = 0
    while n < count or time.monotonic() < end:
        yield n
        n += 1


def main():
    load = Load(*sys.argv[1:5])
    print(json.dumps("ready"), flush=True)
    clock = time.perf_counter
    for line in sys.stdin:
        operation, count, *more = json.loads(line)
        how = more[0] if more else {}
        work = getattr(load, operation)
        latencies = []
        begun = clock()
        for n in turns(count, how.pop("seconds", 0)):
            before = clock()
            work(n, **how)
            latencies.append(round((clock() - before) * 1e6))
        print(json.dumps({"seconds": clock() - begun, "latencies": latencies}), flush=True)


main()
