"""A program on stock libcephfs: `python3 tree_lister.py CONF`: what a file system has, as JSON."""

import json
import stat
import sys
from typing import Any

import cephfs  # type: ignore[import-not-found, unused-ignore]

COUNTS = ("rbytes", "rfiles", "rsubdirs", "files", "subdirs")


def look(fs: Any, path: str, into: dict[str, Any]) -> None:
    st = fs.lstat(path)
    is_dir = stat.S_ISDIR(st.st_mode)
    one: dict[str, Any] = {
        "ino": st.st_ino,
        "mode": st.st_mode,
        "nlink": None if is_dir else st.st_nlink,
        "uid": st.st_uid,
        "gid": st.st_gid,
        "link": fs.readlink(path, 4096).decode() if stat.S_ISLNK(st.st_mode) else None,
        "size": st.st_size if stat.S_ISREG(st.st_mode) else None,
        "xattrs": {},
    }
    # 16.2.15's lgetxattr follows symbolic links
    names = b"" if one["link"] is not None else fs.listxattr(path)[1]
    for name in names.rstrip(b"\0").split(b"\0"):
        text = name.decode()
        if text and not text.startswith("ceph."):
            one["xattrs"][text] = fs.getxattr(path, text, 4096).hex()
    into[path] = one
    if not is_dir:
        return
    for name in COUNTS:
        one[name] = int(fs.getxattr(path, f"ceph.dir.{name}"))
    handle = fs.opendir(path)
    found = []
    while entry := fs.readdir(handle):
        found.append(entry.d_name.decode())
    fs.closedir(handle)
    for name in found:
        if name not in (".", ".."):
            look(fs, f"{path.rstrip('/')}/{name}", into)


def main() -> None:
    fs = cephfs.LibCephFS(conffile=sys.argv[1])
    fs.mount()
    into: dict[str, Any] = {}
    look(fs, "/", into)
    sys.stdout.write(json.dumps(into))
    fs.unmount()


if __name__ == "__main__":
    main()
