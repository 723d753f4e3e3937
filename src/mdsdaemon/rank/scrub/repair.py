"""Sums of directories: whether they are what their entries have, and making them so.

Behaviour: ceph/ceph, src/mds/CDir.cc, check_rstats; src/mds/MDCache.cc, repair_dirfrag_stats,
repair_inode_stats; src/mds/InoTable.cc, repair (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.stats import add_nest, copy_frag, copy_nest
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.types.stats import FragInfo, NestInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore


def same_counts(a: FragInfo, b: FragInfo) -> bool:
    """Whether two fragstats count the same entries; their times may differ."""
    return a.nfiles == b.nfiles and a.nsubdirs == b.nsubdirs


def same_sums(a: NestInfo, b: NestInfo) -> bool:
    """Whether two rstats have the same sums; their times may differ."""
    return (
        a.rbytes == b.rbytes
        and a.rfiles == b.rfiles
        and a.rsubdirs == b.rsubdirs
        and a.rsnaps == b.rsnaps
    )


def sums_of_entries(directory: CDir) -> tuple[FragInfo, NestInfo]:
    """What the entries of a complete fragment come to."""
    counts, sums = FragInfo(), NestInfo()
    for dn in directory.items.values():
        if dn.inode is not None:
            add_nest(sums, dn.inode.inode.accounted_rstat)
            if dn.inode.is_dir:
                counts.nsubdirs += 1
            else:
                counts.nfiles += 1
        elif dn.remote_ino:
            counts.nfiles += 1
    return counts, sums


def sums_of_frags(inode: CInode, num_snaps: int) -> tuple[FragInfo, NestInfo]:
    """What the fragments of a directory come to, all of them being in the cache."""
    counts, sums = FragInfo(), NestInfo()
    for directory in inode.dirs.values():
        fnode = directory.fnode
        add_nest(sums, fnode.accounted_rstat)
        counts.nfiles += fnode.accounted_fragstat.nfiles
        counts.nsubdirs += fnode.accounted_fragstat.nsubdirs
        counts.mtime = max(counts.mtime, fnode.accounted_fragstat.mtime)
    sums.rsubdirs += 1  # itself
    sums.rsnaps += num_snaps
    return counts, sums


def check_sums(directory: CDir) -> bool:
    """Whether a complete fragment's sums are those of its entries."""
    counts, sums = sums_of_entries(directory)
    fnode = directory.fnode
    return same_counts(counts, fnode.fragstat) and same_sums(sums, fnode.rstat)


def repair_sums(rank: RankCore, directory: CDir) -> None:
    """Give a fragment the sums of its entries, and its directories what follows from that."""
    rank.counters.cache.inc("ireq_fragstats")
    counts, sums = sums_of_entries(directory)
    fnode = directory.fnode
    mut = Mutation(rank, "repair_dirfrag", stamp=rank.now())
    mut.fnode(directory)
    if not same_counts(counts, fnode.fragstat):
        counts.version = fnode.fragstat.version
        counts.mtime = max(counts.mtime, fnode.fragstat.mtime)
        counts.change_attr = max(counts.change_attr, fnode.fragstat.change_attr)
        copy_frag(fnode.fragstat, counts)
    if not same_sums(sums, fnode.rstat):
        sums.version = fnode.rstat.version
        sums.rctime = max(sums.rctime, fnode.rstat.rctime)
        copy_nest(fnode.rstat, sums)
    mut.submit()


def repair_inode_sums(rank: RankCore, inode: CInode, num_snaps: int) -> None:
    """Give a directory the sums of its fragments."""
    rank.counters.cache.inc("ireq_inodestats")
    counts, sums = sums_of_frags(inode, num_snaps)
    mut = Mutation(rank, "repair_inode", stamp=rank.now())
    stored = mut.inode(inode)
    stored.dirstat.nfiles, stored.dirstat.nsubdirs = counts.nfiles, counts.nsubdirs
    sums.version = stored.rstat.version
    sums.rctime = max(sums.rctime, stored.rstat.rctime)
    copy_nest(stored.rstat, sums)
    mut.submit()
