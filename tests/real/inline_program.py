"""A program on two mounts of stock libcephfs: `python3 inline_program.py CONF FS work|look TOP`.

Small files whose data may lie in their inodes are written, cut off, extended and shared by two
clients; what either sees is printed, line by line.
"""

import os
import sys
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]

SIZES = (1, 100, 4000, 4096, 5000, 100_000)


def mounted(conf: str, name: str) -> Any:
    fs = cephfs.LibCephFS(conffile=conf)
    fs.mount(filesystem_name=name.encode())
    return fs


def read(fs: Any, path: str) -> bytes:
    fd = fs.open(path, os.O_RDONLY, 0)
    data = fs.read(fd, 0, 200_000)
    fs.close(fd)
    return bytes(data)


def write(fs: Any, path: str, data: bytes, offset: int = 0, flags: int = os.O_CREAT) -> Any:
    fd = fs.open(path, flags | os.O_RDWR, 0o644)
    done = fs.write(fd, data, offset)
    fs.close(fd)
    return done


def say(*what: Any) -> None:
    sys.stdout.write(" ".join(str(one) for one in what) + "\n")


def one_file(a: Any, b: Any, path: str, size: int) -> None:
    data = b"x" * size
    say(path, write(a, path, data), a.stat(path).st_size, b.stat(path).st_size)
    say(read(b, path) == data)
    write(b, path, b"BBB", 1)
    say(read(a, path)[:6], a.stat(path).st_size)
    a.truncate(path, 2)
    say(read(b, path), b.stat(path).st_size)
    b.truncate(path, 5)
    say(read(a, path))
    write(a, path, b"new", 0, os.O_TRUNC)
    say(read(b, path))
    write(b, path, b"more", 50, 0)
    say(read(a, path))
    fd = a.open(path, os.O_RDWR, 0)
    a.write(fd, b"open", 0)
    say(read(b, path)[:8])
    a.fsync(fd, 0)
    a.close(fd)
    a.link(path, f"{path}l")
    a.rename(path, f"{path}r")
    say(read(b, f"{path}l") == read(a, f"{path}r"))


def work(a: Any, b: Any, top: str) -> None:
    a.mkdir(top, 0o755)
    for number, size in enumerate(SIZES):
        one_file(a, b, f"{top}/f{number}", size)
    both = f"{top}/both"
    mine = a.open(both, os.O_CREAT | os.O_RDWR, 0o644)
    a.write(mine, b"aaaa", 0)
    theirs = b.open(both, os.O_RDWR, 0)
    b.write(theirs, b"bb", 2)
    a.write(mine, b"c", 1)
    say(a.read(mine, 0, 10), b.read(theirs, 0, 10))
    a.close(mine)
    b.close(theirs)
    write(a, f"{top}/kept", b"inline stays")
    a.sync_fs()
    a.mkdir(f"{top}/.snap/s", 0o755)
    write(a, f"{top}/kept", b"changed")
    for number, size in enumerate(SIZES):
        write(a, f"{top}/left{number}", b"%d" % number * size)
    a.sync_fs()


def look(fs: Any, top: str) -> None:
    for folder in (top, f"{top}/.snap/s"):
        handle, names = fs.opendir(folder), []
        while entry := fs.readdir(handle):
            names.append(entry.d_name.decode())
        fs.closedir(handle)
        for name in sorted(set(names) - {".", ".."}):
            data = read(fs, f"{folder}/{name}")
            say(folder, name, fs.stat(f"{folder}/{name}").st_size, len(data), data[:60], data[-9:])


def main() -> None:
    conf, name, what, top = sys.argv[1:]
    a, b = mounted(conf, name), mounted(conf, name)
    if what == "work":
        work(a, b, top)
    look(b, top)
    a.unmount()
    b.unmount()


main()
