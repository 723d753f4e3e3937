"""One list of requests, made of two daemons by the same client; what they answer, made comparable.

Inode numbers become names by the order in which they are seen, times their order within one inode;
what is left must be the same.
"""

from __future__ import annotations

import stat
from typing import Any

import attrs
from attrs import define
from tests.real.mini_client import Answer, MiniClient

from mdsdaemon.encoding import wire_codec
from mdsdaemon.messages.client_reply import CreatedInode, Listing, OpencResponse
from mdsdaemon.types.client_args import (
    FilelockArgs,
    GetattrArgs,
    LookupinoArgs,
    MkdirArgs,
    MknodArgs,
    OpenArgs,
    ReaddirArgs,
    SetattrArgs,
    SetxattrArgs,
)
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL, ccap_string
from mdsdaemon.types.client_locks import LOCK_EXCL, LOCK_FCNTL, LOCK_SHARED, OWNER_IS_ALL
from mdsdaemon.types.client_ops import (
    MDS_FLAG_WANT_DENTRY,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    READDIR_REPLY_BITFLAGS,
    SETATTR_ATIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    XATTR_CREATE,
    XATTR_REPLACE,
    MdsOp,
    mds_op_name,
)
from mdsdaemon.types.client_stat import DirStat, InodeStat, LeaseStat

FIRST_INO = 1 << 40
TIMES = ("ctime", "mtime", "atime", "btime", "rctime")
ALL = GetattrArgs(STAT_CAP_INODE_ALL)


@define
class Step:
    """A request; `at` and `at2` name the inodes whose numbers its paths begin with."""

    op: MdsOp
    path: str = ""
    args: Any = None
    at: str = "/"
    path2: str = ""
    at2: str = ""
    keep: str = ""
    fields: dict[str, Any] = attrs.Factory(dict)

    def __str__(self) -> str:
        second = f" {self.at2}:{self.path2}" if self.at2 or self.path2 else ""
        return f"{mds_op_name(self.op)} {self.at}:{self.path}{second}"


def step(op: MdsOp, path: str = "", args: Any = None, **more: Any) -> Step:
    known = {name: more.pop(name) for name in ("at", "path2", "at2", "keep") if name in more}
    return Step(op, path, args, fields=more, **known)


def lock(kind: int, owner: int, start: int = 0, length: int = 0) -> FilelockArgs:
    return FilelockArgs(LOCK_FCNTL, kind, owner | OWNER_IS_ALL, 77, start, length)


O = MdsOp  # noqa: E741 -- the table reads better
SCRIPT: list[Step] = [
    step(O.GETATTR, args=ALL),
    step(O.READDIR, args=ReaddirArgs(flags=READDIR_REPLY_BITFLAGS)),
    step(O.LOOKUP, "none", ALL),
    step(O.LOOKUP, "none", ALL, flags=MDS_FLAG_WANT_DENTRY),
    step(O.MKDIR, "d", MkdirArgs(0o750), keep="d", caller_uid=7, caller_gid=8),
    step(O.MKDIR, "d", MkdirArgs(0o750)),
    step(O.GETATTR, args=ALL),
    step(O.LOOKUP, "d", ALL),
    step(O.MKDIR, "a/b", MkdirArgs(0o750)),
    step(O.CREATE, "f", OpenArgs(O_CREAT | O_RDWR, 0o640), at="d", keep="f"),
    step(O.CREATE, "f", OpenArgs(O_CREAT | O_EXCL | O_RDWR, 0o640), at="d"),
    step(O.CREATE, "f", OpenArgs(O_CREAT | O_RDWR, 0o640), at="d"),
    step(O.GETATTR, args=ALL, at="f"),
    step(O.GETATTR, "f", ALL, at="d"),
    step(O.GETATTR, "f/x", ALL, at="d"),
    step(O.OPEN, "", OpenArgs(O_RDONLY), at="f"),
    step(O.OPEN, "", OpenArgs(O_RDONLY), at="d"),
    step(O.SYMLINK, "l", at="d", path2="where/to", keep="l"),
    step(O.LINK, "hard", at="d", at2="f"),
    step(O.LOOKUP, "hard", ALL, at="d"),
    step(O.RENAME, "moved", at="d", path2="hard", at2="d"),
    step(O.RENAME, "moved", at="d", path2="none", at2="d"),
    step(O.MKNOD, "p", MknodArgs(stat.S_IFIFO | 0o600, 9), at="d"),
    step(O.MKDIR, "sub", MkdirArgs(0o2755), at="d", keep="sub"),
    step(O.MKDIR, "in", MkdirArgs(0o755), at="sub"),
    step(O.RMDIR, "sub", at="d"),
    step(O.RENAME, "under", at="sub", path2="d", at2="/"),
    step(O.RENAME, "in2", at="sub", path2="in", at2="sub"),
    step(O.RENAME, "out", at="/", path2="in2", at2="sub"),
    step(O.RMDIR, "sub", at="d"),
    step(O.RMDIR, "f", at="d"),
    step(O.UNLINK, "out", at="/"),
    step(O.SETATTR, args=SetattrArgs(mode=0o604, mask=SETATTR_MODE), at="f"),
    step(O.SETATTR, args=SetattrArgs(uid=3, gid=4, mask=SETATTR_UID | SETATTR_GID), at="f"),
    step(O.SETATTR, args=SetattrArgs(size=1 << 33, mask=SETATTR_SIZE), at="f"),
    step(O.SETATTR, args=SetattrArgs(size=10, mask=SETATTR_SIZE), at="f"),
    step(
        O.SETATTR,
        args=SetattrArgs(mtime=5, atime=6, mask=SETATTR_MTIME | SETATTR_ATIME),
        at="f",
    ),
    step(O.SETXATTR, args=SetxattrArgs(XATTR_CREATE), at="f", path2="user.a", data=b"\0v\xff"),
    step(O.SETXATTR, args=SetxattrArgs(XATTR_CREATE), at="f", path2="user.a", data=b"w"),
    step(O.SETXATTR, args=SetxattrArgs(XATTR_REPLACE), at="f", path2="user.a", data=b"w"),
    step(O.SETXATTR, args=SetxattrArgs(XATTR_REPLACE), at="f", path2="user.b", data=b"w"),
    step(O.GETATTR, args=ALL, at="f"),
    step(O.RMXATTR, at="f", path2="user.a"),
    step(O.RMXATTR, at="f", path2="user.a"),
    step(O.SETXATTR, args=SetxattrArgs(), at="d", path2="ceph.quota.max_bytes", data=b"99999"),
    step(O.SETXATTR, args=SetxattrArgs(), at="d", path2="ceph.quota.none", data=b"9"),
    step(O.SETXATTR, args=SetxattrArgs(), at="d", path2="ceph.dir.pin", data=b"0"),
    step(O.SETXATTR, args=SetxattrArgs(), at="d", path2="ceph.dir.layout.stripe_count", data=b"2"),
    step(O.SETXATTR, args=SetxattrArgs(), at="d", path2="ceph.dir.layout.stripe_unit", data=b"3"),
    step(O.GETATTR, args=ALL, at="d"),
    step(O.GETVXATTR, at="d", path2="ceph.dir.pin"),
    step(O.GETVXATTR, at="d", path2="ceph.dir.layout"),
    step(O.GETVXATTR, at="f", path2="ceph.file.layout.json"),
    step(O.GETVXATTR, at="f", path2="ceph.none"),
    step(O.CREATE, "g", OpenArgs(O_CREAT | O_RDWR | O_TRUNC, 0o640), at="d", keep="g"),
    step(O.SETFILELOCK, args=lock(LOCK_EXCL, 5, 3, 10), at="f"),
    step(O.SETFILELOCK, args=lock(LOCK_SHARED, 6), at="f"),
    step(O.GETFILELOCK, args=lock(LOCK_SHARED, 6), at="f"),
    step(O.GETFILELOCK, args=lock(LOCK_SHARED, 6, 100, 1), at="f"),
    step(O.LOOKUPINO, args=LookupinoArgs(), at="f"),
    step(O.LOOKUPPARENT, args=GetattrArgs(), at="f"),
    step(O.LOOKUPNAME, args=GetattrArgs(), at="d", at2="f"),
    step(O.READDIR, args=ReaddirArgs(flags=READDIR_REPLY_BITFLAGS), at="d"),
    step(O.READDIR, args=ReaddirArgs(0, 2, 0, READDIR_REPLY_BITFLAGS), at="d"),
    step(O.READDIR, args=ReaddirArgs(0, 0, 0, READDIR_REPLY_BITFLAGS), at="d", path2="f"),
    step(O.READDIR, args=ReaddirArgs(), at="f"),
    step(O.LSSNAP, args=ReaddirArgs(), at="d"),
    step(O.MKSNAP, "/s1", MkdirArgs(0o755), at="d"),
    step(O.MKSNAP, "/s1", MkdirArgs(0o755), at="d"),
    step(O.LSSNAP, args=ReaddirArgs(), at="d"),
    step(O.LOOKUPSNAP, "/s1", GetattrArgs(1), at="d"),
    step(O.LOOKUPSNAP, "/s2", GetattrArgs(1), at="d"),
    step(O.GETATTR, "/s1/f", ALL, at="d"),
    step(O.UNLINK, "moved", at="d"),
    step(O.UNLINK, "f", at="d"),
    step(O.GETATTR, "/s1/f", ALL, at="d"),
    step(O.RENAMESNAP, "/s2", at="d", path2="/s1", at2="d"),
    step(O.RMSNAP, "/s1", at="d"),
    step(O.RMSNAP, "/s2", at="d"),
    step(O.MKDIR, "", MkdirArgs(0o755)),
    step(O.MKDIR, "\udcff\n", MkdirArgs(0o755)),
    step(O.GETATTR, args=ALL),
    step(O.READDIR, args=ReaddirArgs(flags=READDIR_REPLY_BITFLAGS)),
    step(MdsOp.RMDIR, "d"),
]


class Names:
    """Gives inode numbers names in the order in which they are met."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def __call__(self, ino: int) -> str:
        if ino < FIRST_INO:
            return str(ino)
        return self._known.setdefault(ino, f"ino{len(self._known)}")


def plain(value: Any, names: Names) -> Any:
    """An answer's part as it can be compared."""
    if isinstance(value, InodeStat):
        got = {name: getattr(value, name) for name in wire_codec(InodeStat).specs}
        order = sorted({got[name] for name in TIMES})
        for name in TIMES:
            got[name] = order.index(got[name]) if got[name] else "none"
        got["ino"] = names(value.ino)
        got["snapid"] = "head" if value.snapid >= 1 << 63 else value.snapid
        got["cap"] = ccap_string(value.cap.caps) + f" flags {value.cap.flags}"
        got["snap_btime"] = bool(value.snap_btime)
        got["xattrs"] = value.xattrs()
        del got["xattrbl"], got["version"]
        return got
    if isinstance(value, Listing):
        entries = [[e.dname, plain(e.lease, names), plain(e.inode, names)] for e in value.entries]
        return {"flags": value.flags, "dir": plain(value.dirfrag, names), "entries": entries}
    if isinstance(value, CreatedInode | OpencResponse):
        return type(value).__name__
    if isinstance(value, LeaseStat):
        return [value.mask, value.duration_ms, value.alternate_name]
    if isinstance(value, DirStat):
        return [str(value.frag), value.auth, sorted(value.dist)]
    return value


def comparable(answer: Answer, names: Names) -> dict[str, Any]:
    """All of an answer but what differs from run to run."""
    trace = answer.trace
    return {
        "result": answer.result,
        "dname": trace.dname,
        "dir": plain(trace.dir, names),
        "dirfrag": plain(trace.dirfrag, names),
        "lease": plain(trace.lease, names),
        "target": plain(trace.target, names),
        "extra": plain(answer.extra, names)
        if not hasattr(answer.extra, "client")
        else [getattr(answer.extra, n) for n in ("start", "length", "owner", "pid", "type")],
        "realms": [[names(r.ino), len(r.my_snaps)] for r in answer.realms],
    }


async def run(client: MiniClient) -> list[tuple[Step, dict[str, Any]]]:
    """Make the requests of `SCRIPT`, each after the one before is safe."""
    names, inos, told = Names(), {"/": 1, "": 0}, []
    for one in SCRIPT:
        answer = await client.request(
            one.op,
            one.path,
            ino=inos.get(one.at, 1),
            path2=one.path2,
            ino2=inos.get(one.at2, 0),
            args=one.args,
            safe=True,
            **one.fields,
        )
        if one.keep and answer.trace.target is not None:
            inos[one.keep] = answer.target.ino
        told.append((one, comparable(answer, names)))
    return told


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two comparable values differ, in words."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for name in sorted({*one, *other}):
            found += differences(one.get(name), other.get(name), f"{where}.{name}")
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            d
            for i, (a, b) in enumerate(zip(one, other, strict=True))
            for d in differences(a, b, f"{where}[{i}]")
        ]
    return [] if one == other else [f"{where}: {one!r} and {other!r}"]
