"""A program on stock libcephfs: `python3 big_tree_program.py CONF fill FILES | list WHERE`.

`fill` makes a tree of all that a file system can hold, says `filled`, keeps files open that have no
name any more, and when it is sent a line reads them, closes them and says `held`. `list` writes a
line of JSON for each path, in order, to WHERE.
"""

# ruff: noqa: T201 -- it answers on its standard output

import contextlib
import json
import os
import stat
import sys

import cephfs  # type: ignore[import-not-found, unused-ignore]

PER_FOLDER = 100
SUMS = ("entries", "files", "subdirs", "rentries", "rfiles", "rsubdirs", "rbytes")
XATTRS = ("user.note", "ceph.file.layout")
HELD = 20


def write(fs: cephfs.LibCephFS, path: str, data: bytes) -> None:
    fd = fs.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
    if data:
        fs.write(fd, data, 0)
    fs.close(fd)


def fill(fs: cephfs.LibCephFS, files: int) -> None:
    fs.mkdir("/wide", 0o755)
    fs.mkdir("/links", 0o755)
    fs.mkdir("/moved", 0o755)
    folder = ""
    for n in range(files):
        if n % PER_FOLDER == 0:
            # every tenth begins at the top again, the others lie one in another
            folder = f"/d{n}" if n % (10 * PER_FOLDER) == 0 else f"{folder}/d{n}"
            fs.mkdir(folder, 0o755)
        path = f"/wide/f{n}" if n % 4 == 0 else f"{folder}/f{n}"
        if n % 100 == 7:
            write(fs, path, b"")
            layout = b"stripe_unit=65536 stripe_count=2 object_size=131072"
            fs.setxattr(path, "ceph.file.layout", layout, 0)
        else:
            write(fs, path, b"%d\n" % n * (n % 10))
        if n % 20 == 1:
            fs.setxattr(path, "user.note", b"note %d" % n, 0)
        if n % 25 == 2:
            fs.chmod(path, 0o4711)
            fs.chown(path, n % 1000, 7)
        if n % 30 == 3:
            fs.rename(path, f"/moved/m{n}")
        elif n % 40 == 5:
            fs.symlink(path, f"/links/s{n}")
        elif n % 50 == 6:
            fs.link(path, f"/links/h{n}")
        elif n % 60 == 9:
            fs.unlink(path)
    fs.mkdirs("/snapped/in", 0o755)
    for n in range(20):
        write(fs, f"/snapped/in/s{n}", b"before")
    fs.mkdir("/snapped/.snap/one", 0o755)
    for n in range(10):
        write(fs, f"/snapped/in/s{n}", b"after it")
        fs.unlink(f"/snapped/in/s{n + 10}")
    fs.sync_fs()


def hold(fs: cephfs.LibCephFS) -> None:
    """Files that are open and have no name, while daemons come and go."""
    open_files = []
    for n in range(HELD):
        fd = fs.open(f"/held{n}", os.O_CREAT | os.O_RDWR, 0o600)
        fs.write(fd, b"held %d" % n, 0)
        fs.fsync(fd, 0)
        fs.unlink(f"/held{n}")
        open_files.append(fd)
    fs.sync_fs()
    print("filled", flush=True)
    sys.stdin.readline()
    for n, fd in enumerate(open_files):
        assert fs.read(fd, 0, 100) == b"held %d" % n, n
        fs.close(fd)
    print("held", flush=True)


def entry(fs: cephfs.LibCephFS, path: str) -> dict[str, object]:
    found = fs.lstat(path)
    shown: dict[str, object] = {
        "path": path, "mode": oct(found.st_mode), "ino": found.st_ino, "uid": found.st_uid,
        "gid": found.st_gid, "nlink": found.st_nlink, "size": found.st_size,
        "mtime": str(found.st_mtime), "ctime": str(found.st_ctime),
    }  # fmt: skip
    if stat.S_ISDIR(found.st_mode):
        if "/.snap/" not in path:
            for name in SUMS:
                shown[name] = fs.getxattr(path, f"ceph.dir.{name}").decode()
    elif stat.S_ISLNK(found.st_mode):
        shown["target"] = fs.readlink(path, 4096).decode()
    else:
        for name in XATTRS:
            with contextlib.suppress(cephfs.NoData):
                shown[name] = fs.getxattr(path, name).decode()
        fd = fs.open(path, os.O_RDONLY, 0)
        shown["data"] = fs.read(fd, 0, 4096).decode()
        fs.close(fd)
    return shown


def listing(fs: cephfs.LibCephFS, where: str) -> None:
    with open(where, "w") as out:
        waiting = ["/", "/snapped/.snap/one"]
        while waiting:
            path = waiting.pop(0)
            shown = entry(fs, path)
            out.write(json.dumps(shown) + "\n")
            if stat.S_ISDIR(int(str(shown["mode"]), 8)):
                handle = fs.opendir(path)
                names = []
                while found := fs.readdir(handle):
                    names.append(found.d_name.decode())
                fs.closedir(handle)
                base = path.rstrip("/")
                waiting += [f"{base}/{n}" for n in sorted(names) if n not in (".", "..")]


def mounted(conf: str) -> cephfs.LibCephFS:
    fs = cephfs.LibCephFS(conffile=conf)
    fs.mount()
    return fs


def main() -> None:
    conf, what, argument = sys.argv[1:]
    fs = mounted(conf)
    if what == "fill":
        fill(fs, int(argument))
        # who has written a file takes a tenth of a second to let another one look at it
        fs.unmount()
        fs = mounted(conf)
        hold(fs)
    else:
        listing(fs, argument)
        print("listed", flush=True)
    fs.unmount()


main()
