"""The shape of a split or merge: dentries move to other fragments, with what is dirty and counted.

Behaviour: ceph/ceph, src/mds/CDir.cc (split, merge, steal_dentry), src/mds/MDCache.cc
(adjust_dir_fragments, force_dir_fragment) (Pacific)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.fragtree import (
    MAX_BITS,
    WHOLE,
    children,
    contains,
    force_to_leaf,
    get_branch_or_leaf,
    get_leaf,
    get_leaves_under,
    is_leaf,
    parent,
    split,
)
from mdsdaemon.rank.cache.inode import DT_DIR
from mdsdaemon.rank.cache.stats import add_delta, add_nest, copy_frag, copy_nest
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.name_hash import dentry_hash
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.stats import FNode, FragInfo, NestInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.cache import MDCache
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode


def dirs_under(inode: CInode, frag: Frag) -> list[CDir]:
    """The fragments in the cache that lie in `frag`, in the order of hash values."""
    found = [directory for at, directory in inode.dirs.items() if contains(frag, at)]
    return sorted(found, key=lambda directory: directory.frag.value)


def adjust(
    cache: MDCache, inode: CInode, sources: Sequence[CDir], base: Frag, bits: int
) -> list[CDir]:
    """Split fragment `base` by `bits`, or (`bits` of 0 or less) make all that lies in it one.

    Args:
        sources: the fragments in the cache whose dentries are to move; none: only the tree changes.

    Returns:
        The new fragments in the cache, in the order of hash values.
    """
    tree = inode.dirfragtree
    if not is_leaf(tree, base):
        force_to_leaf(tree, base)
    if bits > 0:
        split(tree, base, bits)
    if not sources:
        return []
    return _move(cache, inode, sources, base, bits)


def _move(
    cache: MDCache, inode: CInode, sources: Sequence[CDir], base: Frag, bits: int
) -> list[CDir]:
    bits = max(bits, 0)
    rstat_diff, frag_diff = NestInfo(), FragInfo()
    complete = all(source.complete for source in sources)
    version = max(source.fnode.version for source in sources)
    for source in sources:
        _add_uncounted(source, rstat_diff, frag_diff)
        del inode.dirs[source.frag]
        cache.num_dirs -= 1
    targets = [cache.add_dir(inode, piece) for piece in children(base, bits)]
    for target in targets:
        target.complete = complete
        target.fnode = FNode(version=version)
        target.fnode.damage_flags = sources[0].fnode.damage_flags
        target.fnode.snap_purged_thru = min(source.fnode.snap_purged_thru for source in sources)
    dir_hash = inode.inode.dir_layout.dir_hash
    # the pieces stand in the order of their values: the bits that were added are a piece's number
    bits_below, last = MAX_BITS - base.bits - bits, len(targets) - 1
    for source in sources:
        _move_dirty(source, targets)
        for dn in source.all_items():
            if bits and dn.hash < 0:
                dn.hash = dentry_hash(dir_hash, dn.name)
            _take(targets[dn.hash >> bits_below & last], source, dn)
        source.items.clear()
        source.listing = None
        source.snap_items.clear()
        source.dirty_items.clear()
    _settle(inode, targets, rstat_diff, frag_diff)
    return targets


def _add_uncounted(source: CDir, rstat_diff: NestInfo, frag_diff: FragInfo) -> None:
    """What the directory does not count yet of a fragment, before it goes."""
    fnode, inode = source.fnode, source.inode.inode
    if fnode.accounted_rstat.version == inode.rstat.version:
        add_delta(rstat_diff, fnode.rstat, fnode.accounted_rstat)
    if fnode.accounted_fragstat.version == inode.dirstat.version:
        frag_diff.nfiles += fnode.fragstat.nfiles - fnode.accounted_fragstat.nfiles
        frag_diff.nsubdirs += fnode.fragstat.nsubdirs - fnode.accounted_fragstat.nsubdirs
    frag_diff.mtime = max(frag_diff.mtime, fnode.fragstat.mtime)
    frag_diff.change_attr = max(frag_diff.change_attr, fnode.fragstat.change_attr)
    rstat_diff.rctime = max(rstat_diff.rctime, fnode.rstat.rctime)


def _move_dirty(source: CDir, targets: list[CDir]) -> None:
    """The segments that wait for the old fragment wait for all new ones."""
    assert source.committing_segment is None, f"{source} is being committed"
    segment, source.segment = source.segment, None
    if segment is None:
        return
    segment.dirty_dirs.discard(source)
    for target in targets:
        if target.segment is None or target.segment.seq > segment.seq:
            if target.segment is not None:
                target.segment.dirty_dirs.discard(target)
            target.segment = segment
            segment.dirty_dirs.add(target)


def _take(target: CDir, source: CDir, dn: CDentry) -> None:
    dn.dir = target
    target.add(dn)
    key = dn.key
    if key in source.dirty_items:
        target.dirty_items[key] = dn
    if dn.last != NOSNAP or dn.is_null:
        return
    fnode = target.fnode
    if dn.inode is not None:
        if dn.inode.is_dir:
            fnode.fragstat.nsubdirs += 1
        else:
            fnode.fragstat.nfiles += 1
        add_nest(fnode.rstat, dn.inode.inode.accounted_rstat)
    elif dn.remote_d_type == DT_DIR:
        fnode.fragstat.nsubdirs += 1
    else:
        fnode.fragstat.nfiles += 1


def _settle(inode: CInode, targets: list[CDir], rstat_diff: NestInfo, frag_diff: FragInfo) -> None:
    """The new fragments count as counted, but for what the old ones had on its way up."""
    stored = inode.inode
    for number, target in enumerate(targets):
        fnode = target.fnode
        fnode.rstat.version, fnode.fragstat.version = stored.rstat.version, stored.dirstat.version
        fnode.rstat.rctime = max(fnode.rstat.rctime, rstat_diff.rctime)
        fnode.fragstat.mtime = frag_diff.mtime
        fnode.fragstat.change_attr = frag_diff.change_attr
        copy_nest(fnode.accounted_rstat, fnode.rstat)
        copy_frag(fnode.accounted_fragstat, fnode.fragstat)
        if number == 0:
            # its directory has yet to add this much: it is missing from what it counts
            add_nest(fnode.accounted_rstat, rstat_diff, -1)
            entries = fnode.accounted_fragstat
            entries.nfiles -= frag_diff.nfiles
            entries.nsubdirs -= frag_diff.nsubdirs


def force_dirfrag(cache: MDCache, inode: CInode, frag: Frag) -> CDir:
    """A fragment as a leaf in the cache, whatever it takes; a replay says that there is one."""
    known = inode.dirs.get(frag)
    if known is not None:
        return known
    above = get_branch_or_leaf(inode.dirfragtree, frag)
    if above.bits > frag.bits:
        above = frag
    while True:
        directory = inode.dirs.get(above)
        if directory is not None and above.bits < frag.bits:
            adjust(cache, inode, [directory], above, frag.bits - above.bits)
            if frag in inode.dirs:
                return inode.dirs[frag]
        if above == WHOLE:
            break
        above = parent(above)
    below = dirs_under(inode, frag)
    if below:
        return adjust(cache, inode, below, frag, 0)[0]
    return cache.add_dir(inode, frag)


def force_dirfrags(cache: MDCache, inode: CInode) -> None:
    """The directory's tree was replaced: the fragments in the cache become leaves of it."""
    tree = inode.dirfragtree
    if all(is_leaf(tree, frag) for frag in inode.dirs):
        return
    wanted = dict(tree.splits)
    for leaf in _needed_leaves(inode):
        force_dirfrag(cache, inode, leaf)
    tree.splits.clear()
    tree.splits.update(wanted)


def _needed_leaves(inode: CInode) -> list[Frag]:
    """The leaves that lie in, or have in them, a fragment that is in the cache and is no leaf."""
    tree, needed = inode.dirfragtree, dict[Frag, None]()
    for frag in list(inode.dirs):
        if is_leaf(tree, frag):
            continue
        under = get_leaves_under(tree, frag)
        needed.update(dict.fromkeys(under or [get_leaf(tree, frag.value)]))
    return list(needed)
