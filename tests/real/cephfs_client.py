"""A program on stock libcephfs: `python3 cephfs_client.py CONF write|check NUMBER [FS]`.

`write` makes a tree of its number and prints a line when all of it is on the disk; `check` says
what is wrong with it.
"""

import hashlib
import os
import sys

import cephfs  # type: ignore[import-not-found, unused-ignore]

FILES = 40


def content(number: int, name: str) -> bytes:
    seed = hashlib.sha256(f"{number} {name}".encode()).digest()
    return seed * (1 + seed[0] * 40)


def write(fs: cephfs.LibCephFS, number: int) -> None:
    top = f"/tree{number}"
    fs.mkdirs(f"{top}/a/b", 0o755)
    for i in range(FILES):
        path = f"{top}/a/b/file{i}"
        fd = fs.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
        data = content(number, str(i))
        assert fs.write(fd, data, 0) == len(data)
        fs.fsync(fd, 0)
        fs.close(fd)
        if i % 4 == 1:
            fs.rename(path, f"{top}/a/moved{i}")
        elif i % 4 == 2:
            fs.unlink(path)
        elif i % 4 == 3:
            fs.setxattr(path, "user.number", str(i).encode(), 0)
    fs.symlink("a/b", f"{top}/link")
    fs.mkdir(f"{top}/.snap/before", 0o755)
    fs.unlink(f"{top}/a/b/file0")
    fs.sync_fs()


def check(fs: cephfs.LibCephFS, number: int) -> None:
    top = f"/tree{number}"

    def read(path: str) -> bytes:
        fd = fs.open(path, os.O_RDONLY, 0)
        try:
            return bytes(fs.read(fd, 0, fs.fstat(fd).st_size))
        finally:
            fs.close(fd)

    expected = set()
    for i in range(FILES):
        if i % 4 == 2 or i == 0:
            continue
        name = f"{top}/a/moved{i}" if i % 4 == 1 else f"{top}/a/b/file{i}"
        expected.add(name)
        assert read(name) == content(number, str(i)), name
        if i % 4 == 3:
            assert fs.getxattr(name, "user.number") == str(i).encode(), name
    assert fs.readlink(f"{top}/link", 100) == b"a/b"
    assert read(f"{top}/.snap/before/a/b/file0") == content(number, "0")
    found = set()
    for folder in f"{top}/a", f"{top}/a/b":
        handle = fs.opendir(folder)
        while entry := fs.readdir(handle):
            name = entry.d_name.decode()
            if name not in (".", "..", "b"):
                found.add(f"{folder}/{name}")
        fs.closedir(handle)
    assert found == expected, found ^ expected


def main() -> None:
    conf, what, number, *rest = sys.argv[1:]
    fs = cephfs.LibCephFS(conffile=conf)
    fs.mount(filesystem_name=rest[0].encode() if rest else None)
    {"write": write, "check": check}[what](fs, int(number))
    fs.unmount()
    print(f"{what} {number}: done", flush=True)  # noqa: T201


main()
