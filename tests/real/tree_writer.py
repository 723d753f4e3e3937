"""A program on stock libcephfs: `python3 tree_writer.py CONF FS`: makes a tree of everything.

It says "ready" when all is flushed, and keeps a file open that it has unlinked until its standard
input ends. Then it says, as JSON, what a client sees of each path.
"""

import json
import os
import stat
import sys
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]

WIDE = 300
DIR_XATTRS = ("files", "subdirs", "entries", "rfiles", "rsubdirs", "rbytes", "rentries", "rctime")


def put(fs: Any, path: str, data: bytes, mode: int = 0o640) -> None:
    fd = fs.open(path, os.O_CREAT | os.O_WRONLY, mode)
    if data:  # libcephfs of 16.2.15 aborts when nothing is written
        assert fs.write(fd, data, 0) == len(data)
    fs.close(fd)


def write(fs: Any, fs_name: str) -> None:
    deep = "/deep" + "".join(f"/d{i}" for i in range(20))
    fs.mkdirs(deep, 0o751)
    put(fs, f"{deep}/bottom", b"b" * 70000)
    fs.mkdir("/wide", 0o755)
    for i in range(WIDE):
        put(fs, f"/wide/file{i:03d}", bytes([i % 256]) * i)
    fs.mkdir("/links", 0o700)
    put(fs, "/links/one", b"linked")
    fs.link("/links/one", "/wide/two")
    fs.link("/links/one", "/deep/three")
    fs.symlink("../wide/file001", "/links/sym")
    fs.symlink("nowhere/" * 100, "/links/broken")
    # the name that a hard link keeps leaves its inode with the strays
    put(fs, "/links/first", b"first")
    fs.link("/links/first", "/links/second")
    fs.unlink("/links/first")
    fs.setxattr("/links/one", "user.binary", bytes(range(256)), 0)
    fs.setxattr("/wide", "user.dir", b"of a directory", 0)
    fs.mkdir("/layouts", 0o755)
    fs.setxattr("/layouts", "ceph.dir.layout.pool", f"{fs_name}.extra".encode(), 0)
    fs.setxattr("/layouts", "ceph.dir.layout.stripe_count", b"2", 0)
    put(fs, "/layouts/inherits", b"in another pool")
    put(fs, "/layouts/moved", b"")
    fs.setxattr("/layouts/moved", "ceph.file.layout.pool", f"{fs_name}.data".encode(), 0)
    fs.mkdir("/limited", 0o755)
    fs.setxattr("/limited", "ceph.quota.max_files", b"1000", 0)
    fs.mkdir("/moved", 0o755)
    put(fs, "/links/mover", b"from links")
    fs.rename("/links/mover", "/moved/here")
    fs.rename("/deep/d0/d1", "/moved/d1")
    fs.mkdir("/snapped", 0o755)
    put(fs, "/snapped/kept", b"old")
    put(fs, "/snapped/gone", b"going")
    fs.mkdir("/snapped/.snap/one", 0o755)
    put(fs, "/snapped/kept", b"new and longer")
    fs.unlink("/snapped/gone")
    fs.chmod("/snapped", 0o711)
    fs.mkdir("/snapped/.snap/two", 0o755)
    put(fs, "/snapped/later", b"after two")
    fs.mknod("/links/fifo", stat.S_IFIFO | 0o600, 0)
    name = "n\u00e4me with spaces_and_head"
    put(fs, f"/moved/{name}", b"odd")
    fs.chown("/moved/here", 1234, 4321)
    fs.utime("/moved/here", (12345, 67890))


def seen(fs: Any, path: str, into: dict[str, Any]) -> None:
    st = fs.lstat(path)
    one: dict[str, Any] = {
        "mode": st.st_mode,
        "size": st.st_size,
        "nlink": st.st_nlink,
        "uid": st.st_uid,
        "gid": st.st_gid,
        "ino": st.st_ino,
        "mtime": st.st_mtime.timestamp(),
    }
    into[path] = one
    if stat.S_ISLNK(st.st_mode):
        one["link"] = fs.readlink(path, 4096).decode()
    if stat.S_ISREG(st.st_mode):
        one["layout"] = fs.getxattr(path, "ceph.file.layout").decode()
    if stat.S_ISDIR(st.st_mode):
        for name in DIR_XATTRS:
            one[name] = fs.getxattr(path, f"ceph.dir.{name}").decode()
        handle = fs.opendir(path)
        names = []
        while entry := fs.readdir(handle):
            names.append(entry.d_name.decode())
        fs.closedir(handle)
        for name in names:
            if name not in (".", ".."):
                seen(fs, f"{path.rstrip('/')}/{name}", into)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    fs = cephfs.LibCephFS(conffile=sys.argv[1])
    fs.mount()
    write(fs, sys.argv[2])
    fd = fs.open("/deep/open", os.O_CREAT | os.O_RDWR, 0o600)
    fs.write(fd, b"still open", 0)
    fs.unlink("/deep/open")
    fs.sync_fs()
    say("ready")
    sys.stdin.readline()
    found: dict[str, Any] = {}
    seen(fs, "/", found)
    say(json.dumps(found))
    sys.stdin.read()
    fs.close(fd)
    fs.unmount()


if __name__ == "__main__":
    main()
