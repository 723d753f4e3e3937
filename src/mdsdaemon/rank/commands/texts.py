"""Inodes, fragments and dentries in one line each, as in log lines and cache dumps of ceph-mds.

Behaviour: ceph/ceph, src/mds/CInode.cc, CDir.cc, CDentry.cc, operator<< (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.commands.dumps import path_of_dentry
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.utime import utime_str

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.stats import FragInfo, NestInfo


def snap_text(snap: int) -> str:
    """A snapshot's number, or `head`."""
    return "head" if snap == NOSNAP else f"{snap:x}"


def fragstat_text(stat: FragInfo) -> str:
    """f(v0 10=0+10)"""
    if not (stat.version or stat.mtime or stat.nfiles or stat.nsubdirs):
        return "f()"
    parts = [f"v{stat.version}"]
    if stat.mtime:
        parts.append(f"m{utime_str(stat.mtime)}")
    if stat.nfiles or stat.nsubdirs:
        parts.append(f"{stat.nfiles + stat.nsubdirs}={stat.nfiles}+{stat.nsubdirs}")
    return f"f({' '.join(parts)})"


def rstat_text(stat: NestInfo) -> str:
    """n(v0 rc… b5 1=1+0)"""
    if not (stat.version or stat.rctime or stat.rfiles or stat.rsubdirs or stat.rbytes):
        return "n()"
    parts = [f"v{stat.version}"]
    if stat.rctime:
        parts.append(f"rc{utime_str(stat.rctime)}")
    if stat.rbytes:
        parts.append(f"b{stat.rbytes}")
    if stat.rsnaps:
        parts.append(f"rs{stat.rsnaps}")
    if stat.rfiles or stat.rsubdirs:
        parts.append(f"{stat.rfiles + stat.rsubdirs}={stat.rfiles}+{stat.rsubdirs}")
    return f"n({' '.join(parts)})"


def inode_text(rank: RankCore, inode: CInode) -> str:
    """[inode 0x1 [...2,head] / auth v1 …]"""
    more = "..." if inode.is_multiversion else ""
    path = rank.cache.path_of(inode)
    if inode.is_dir and not path.endswith("/"):
        path += "/"
    parts = [
        f"[inode 0x{inode.ino:x} [{more}{inode.first:x},{snap_text(inode.last)}] {path} auth",
        f"v{inode.inode.version}",
    ]
    if inode.is_symlink:
        parts.insert(1, f"symlink='{inode.symlink}'")
    if inode.backtrace_segment is not None:
        parts.append("DIRTYPARENT")
    if inode.is_dir:
        parts.append(fragstat_text(inode.inode.dirstat))
    else:
        parts.append(f"s={inode.inode.size}")
        if inode.inode.nlink != 1:
            parts.append(f"nl={inode.inode.nlink}")
    parts.append(rstat_text(inode.inode.rstat))
    if inode.caps:
        parts.append(f"caps={len(inode.caps)}")
    return " ".join(parts) + "]"


def dir_text(rank: RankCore, directory: CDir) -> str:
    """[dir 0x1 / [2,head] auth v=1 cv=1/1 …]"""
    path = rank.cache.path_of(directory.inode)
    if not path.endswith("/"):
        path += "/"
    states = [name for name, on in (
        ("complete", directory.complete),
        ("fetching", directory.fetching is not None),
    ) if on]  # fmt: skip
    return (
        f"[dir {directory.dirfrag} {path} [{directory.first:x},head] auth "
        f"v={directory.fnode.version} cv={directory.committing_version}/"
        f"{directory.committed_version} state={'|'.join(states)} "
        f"{fragstat_text(directory.fnode.fragstat)} {rstat_text(directory.fnode.rstat)} "
        f"hs={len(directory.items)},ss={sum(map(len, directory.snap_items.values()))} "
        f"dirty={int(directory.is_dirty)}]"
    )


def dentry_text(dn: CDentry) -> str:
    """[dentry #0x1/a [2,head] auth v=3 ino=0x10000000000]"""
    ino, path = path_of_dentry(dn)
    if dn.inode is not None:
        what = f"ino=0x{dn.inode.ino:x}"
    elif dn.remote_ino:
        what = f"REMOTE(0x{dn.remote_ino:x})"
    else:
        what = "NULL"
    return (
        f"[dentry #0x{ino:x}/{path} "
        f"[{dn.first:x},{snap_text(dn.last)}] auth v={dn.version} {what} "
        f"dirty={int(dn.is_dirty)}]"
    )
