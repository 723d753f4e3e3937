"""Sums over directories: from a child to its fragment, from a fragment to its directory.

Three numbers tell what has been counted where: a fragment counts its children's `accounted_rstat`;
a directory counts its fragments' `accounted_fragstat` and `accounted_rstat`. What differs from the
uncounted twin (`rstat`, `fragstat`) is on its way up.

Behaviour: ceph/ceph, src/mds/MDCache.cc (project_rstat_inode_to_frag, project_rstat_frag_to_inode),
src/mds/CDir.cc (resync_accounted_fragstat, resync_accounted_rstat), src/mds/mdstypes.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.types.inode import Inode
from mdsdaemon.types.stats import FragInfo, NestInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode


def copy_nest(to: NestInfo, source: NestInfo) -> None:
    """Make `to` equal to `source`."""
    to.version = source.version
    to.rbytes, to.rfiles, to.rsubdirs = source.rbytes, source.rfiles, source.rsubdirs
    to.ranchors, to.rsnaps, to.rctime = source.ranchors, source.rsnaps, source.rctime


def copy_frag(to: FragInfo, source: FragInfo) -> None:
    """Make `to` equal to `source`."""
    to.version, to.mtime, to.change_attr = source.version, source.mtime, source.change_attr
    to.nfiles, to.nsubdirs = source.nfiles, source.nsubdirs


def add_nest(to: NestInfo, what: NestInfo, sign: int = 1) -> None:
    """Count `what` in, or out with sign -1; rctime only grows."""
    to.rbytes += sign * what.rbytes
    to.rfiles += sign * what.rfiles
    to.rsubdirs += sign * what.rsubdirs
    to.ranchors += sign * what.ranchors
    to.rsnaps += sign * what.rsnaps
    if sign > 0 and what.rctime > to.rctime:
        to.rctime = what.rctime


def add_delta(to: NestInfo, now: NestInfo, counted: NestInfo) -> None:
    """Count in by how much `now` is more than what was counted of it; rctime only grows."""
    to.rbytes += now.rbytes - counted.rbytes
    to.rfiles += now.rfiles - counted.rfiles
    to.rsubdirs += now.rsubdirs - counted.rsubdirs
    to.ranchors += now.ranchors - counted.ranchors
    to.rsnaps += now.rsnaps - counted.rsnaps
    if now.rctime > to.rctime:
        to.rctime = now.rctime


def _same(a: NestInfo, b: NestInfo) -> bool:
    return (
        a.rbytes == b.rbytes
        and a.rfiles == b.rfiles
        and a.rsubdirs == b.rsubdirs
        and a.rctime == b.rctime
        and a.ranchors == b.ranchors
        and a.rsnaps == b.rsnaps
    )


def _same_entries(a: FragInfo, b: FragInfo) -> bool:
    return (
        a.change_attr == b.change_attr
        and a.nfiles == b.nfiles
        and a.nsubdirs == b.nsubdirs
        and a.mtime == b.mtime
        and a.version == b.version
    )


def resync(directory: CDir) -> None:
    """A fragment whose sums are of another version than its directory's counts as counted.

    Other ranks, or a repair, have gathered since: its directory knows what is in it.
    """
    fnode, inode = directory.fnode, directory.inode.inode
    if fnode.accounted_fragstat.version != inode.dirstat.version:
        fnode.fragstat.version = inode.dirstat.version
        copy_frag(fnode.accounted_fragstat, fnode.fragstat)
    if fnode.accounted_rstat.version != inode.rstat.version:
        fnode.rstat.version = inode.rstat.version
        copy_nest(fnode.accounted_rstat, fnode.rstat)


def link_stats(directory: CDir, is_dir: bool, primary: Inode | None, sign: int, stamp: int) -> None:
    """An entry comes (1) or goes (-1): counts and mtime of the fragment.

    Args:
        primary: the inode_t, if the entry is its own; a hard link has no sums.
    """
    resync(directory)
    fnode = directory.fnode
    fragstat = fnode.fragstat
    if is_dir:
        fragstat.nsubdirs += sign
    else:
        fragstat.nfiles += sign
    fragstat.mtime = max(fragstat.mtime, stamp)
    fragstat.change_attr += 1
    if stamp > fnode.rstat.rctime:
        fnode.rstat.rctime = stamp
    if primary is not None:
        if sign > 0:
            copy_nest(primary.accounted_rstat, primary.rstat)
        add_nest(fnode.rstat, primary.accounted_rstat, sign)


def inode_to_frag(inode: CInode, directory: CDir) -> bool:
    """Count what changed of the inode's sums in its fragment; whether anything did."""
    stored = inode.inode
    if _same(stored.rstat, stored.accounted_rstat):
        return False
    resync(directory)
    add_delta(directory.fnode.rstat, stored.rstat, stored.accounted_rstat)
    copy_nest(stored.accounted_rstat, stored.rstat)
    return True


def frag_to_inode(directory: CDir, *, probe: bool = False) -> bool:
    """Count what changed of the fragment's sums in its directory; whether there is anything.

    With `probe` nothing is counted.
    """
    fnode, inode = directory.fnode, directory.inode.inode
    if (
        fnode.accounted_fragstat.version != inode.dirstat.version
        or fnode.accounted_rstat.version != inode.rstat.version
    ):
        resync(directory)
    now, counted = fnode.fragstat, fnode.accounted_fragstat
    entries_changed = not _same_entries(now, counted)
    sums_changed = not _same(fnode.rstat, fnode.accounted_rstat)
    if probe:
        return entries_changed or sums_changed
    if entries_changed:
        dirstat = inode.dirstat
        dirstat.nfiles += now.nfiles - counted.nfiles
        dirstat.nsubdirs += now.nsubdirs - counted.nsubdirs
        if now.mtime > dirstat.mtime:
            dirstat.mtime = now.mtime
            inode.mtime = inode.ctime = dirstat.mtime
        if now.change_attr > dirstat.change_attr:
            # 16.2.15 counts up; 16.2.0 took the fragments' number, which can be a lower one
            inode.change_attr += now.change_attr - dirstat.change_attr
            dirstat.change_attr = now.change_attr
        copy_frag(counted, now)
    if sums_changed:
        add_delta(inode.rstat, fnode.rstat, fnode.accounted_rstat)
        copy_nest(fnode.accounted_rstat, fnode.rstat)
    return entries_changed or sums_changed
