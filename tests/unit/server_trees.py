"""Comparing trees: what a rank's cache says of everything, and whether the sums in it are right."""

from __future__ import annotations

from typing import Any

import attrs

from mdsdaemon.rank.cache.inode import MDSDIR
from mdsdaemon.rank.cache.nests import carry_up


def tree_of(kit: Any) -> dict[str, Any]:
    """Everything below root and mdsdir by path: inode_t, xattrs, fragments and links."""
    rank = kit.rank
    found: dict[str, Any] = {}
    for base in (rank.cache.root, rank.cache.get_inode(MDSDIR)):
        _walk(kit, base, "" if base.is_root else "~mds0", found)
    return found


def _walk(kit: Any, inode: Any, path: str, found: dict[str, Any]) -> None:
    found[path or "/"] = {
        "inode": attrs.asdict(inode.inode),
        "xattrs": dict(inode.xattrs),
        "symlink": inode.symlink,
        "tree": dict(inode.dirfragtree.splits),
        "realm": inode.snaprealm_blob,
        "first": inode.first,
    }
    if not inode.is_dir:
        return
    for directory in kit.kit.run(lambda: kit.rank.store.all_dirs(inode)):
        found[f"{path or '/'} {directory.frag}"] = attrs.asdict(directory.fnode)
        for name, dn in directory.items.items():
            if dn.inode is not None:
                _walk(kit, dn.inode, f"{path}/{name}", found)
            elif dn.remote_ino:
                found[f"{path}/{name}"] = {"remote": dn.remote_ino, "type": dn.remote_d_type}


def check_sums(kit: Any) -> None:
    """Every directory counts what is in it, once all sums are carried up."""
    rank = kit.rank
    for segment in list(rank.mdlog.segments.values()):
        carry_up(rank, list(segment.dirty_nests))
    for base in (rank.cache.root, rank.cache.get_inode(MDSDIR)):
        _check(kit, base)


def _check(kit: Any, inode: Any) -> tuple[int, int, int]:
    """(bytes, files, directories) below an inode and itself."""
    stored = inode.inode
    if not inode.is_dir:
        assert (stored.rstat.rbytes, stored.rstat.rfiles) == (stored.size, 1), f"{inode}"
        return stored.size, 1, 0
    files = dirs = 0
    rbytes, rfiles, rsubdirs = 0, 0, 1
    for directory in kit.kit.run(lambda: kit.rank.store.all_dirs(inode)):
        here = [0, 0]
        for dn in directory.items.values():
            if dn.inode is None:
                here[0] += bool(dn.remote_ino)
                continue
            here[dn.inode.is_dir] += 1
            below = _check(kit, dn.inode)
            rbytes, rfiles, rsubdirs = rbytes + below[0], rfiles + below[1], rsubdirs + below[2]
        stat = directory.fnode.fragstat
        assert [stat.nfiles, stat.nsubdirs] == here, f"{directory}: {attrs.asdict(stat)} {here}"
        files, dirs = files + here[0], dirs + here[1]
    where = kit.rank.cache.path_of(inode)
    assert (stored.dirstat.nfiles, stored.dirstat.nsubdirs) == (files, dirs), where
    sums = (stored.rstat.rbytes, stored.rstat.rfiles, stored.rstat.rsubdirs)
    assert sums == (rbytes, rfiles, rsubdirs), f"{where}: {sums} {(rbytes, rfiles, rsubdirs)}"
    return rbytes, rfiles, rsubdirs


def check_links(kit: Any) -> None:
    """Every inode has as many names as it says, strays not counted."""
    names: dict[int, int] = {}
    for inode in kit.rank.cache.inodes.values():
        if not inode.is_dir and inode.parent is not None and not inode.is_stray:
            names[inode.ino] = names.get(inode.ino, 0) + 1
        for directory in inode.dirs.values():
            for dn in directory.items.values():
                if dn.is_remote:
                    names[dn.remote_ino] = names.get(dn.remote_ino, 0) + 1
    for inode in kit.rank.cache.inodes.values():
        if not inode.is_dir and inode.parent is not None:
            assert inode.inode.nlink == names.get(inode.ino, 0), f"{inode}"
