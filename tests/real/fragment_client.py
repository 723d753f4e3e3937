"""A program on stock libcephfs: `python3 fragment_client.py CONF make|check COUNT`.

It fills one directory, or says what is wrong with it.
"""

import os
import sys

import cephfs  # type: ignore[import-not-found, unused-ignore]


def name(i: int) -> str:
    return f"/dir/file{i:04d}"


def make(fs: cephfs.LibCephFS, count: int) -> None:
    fs.mkdir("/dir", 0o755)
    for i in range(count):
        fd = fs.open(name(i), os.O_CREAT | os.O_WRONLY, 0o640)
        fs.write(fd, str(i).encode(), 0)
        fs.close(fd)
    fs.mkdir("/dir/sub", 0o755)
    fs.link(name(1), "/dir/hard")
    fs.rename(name(2), "/dir/renamed")
    fs.unlink(name(3))
    fs.sync_fs()


def check(fs: cephfs.LibCephFS, count: int) -> None:
    wanted = {name(i).rpartition("/")[2] for i in range(count) if i not in (2, 3)}
    wanted |= {"sub", "hard", "renamed"}
    handle = fs.opendir("/dir")
    found = []
    while entry := fs.readdir(handle):
        found.append(entry.d_name.decode())
    fs.closedir(handle)
    found = [one for one in found if one not in (".", "..")]
    assert len(found) == len(set(found)), "a name comes twice"
    assert set(found) == wanted, set(found) ^ wanted
    for one in sorted(wanted - {"sub"}):
        st = fs.stat(f"/dir/{one}")
        assert st.st_size > 0, one
    assert fs.stat("/dir/hard").st_nlink == 2
    assert int(fs.getxattr("/dir", "ceph.dir.entries")) == len(wanted)


def main() -> None:
    conf, what, count = sys.argv[1:]
    fs = cephfs.LibCephFS(conffile=conf)
    fs.mount()
    {"make": make, "check": check}[what](fs, int(count))
    fs.unmount()


if __name__ == "__main__":
    main()
