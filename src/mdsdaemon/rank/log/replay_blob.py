"""Replaying an EMetaBlob: the cache becomes what it was when the event was journaled.

Everything in it comes from the journal, whose bytes are untrusted: what contradicts the cache is a
`ReplayError`, which the rank answers by calling itself damaged.

Behaviour: ceph/ceph, src/mds/journal.cc (EMetaBlob::replay, fullbit::update_inode) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.blob import (
    BIT_DIRTY,
    BIT_DIRTYPARENT,
    BIT_DIRTYPOOL,
    BIT_NEED_SNAPFLUSH,
    LUMP_COMPLETE,
    LUMP_DIRTY,
    LUMP_NEW,
)
from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.types.frag import DirFrag
from mdsdaemon.types.inode import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from mdsdaemon.types.metablob import DirLump, EMetaBlob, FullBit, NullBit, RemoteBit
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment


class ReplayError(Exception):
    """The journal contradicts itself or what is stored."""


class BlobReplay:
    """What replays blobs into a rank's cache; `run` does all of one, at once."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.cache = rank.cache
        self.segment: LogSegment
        self._touched: set[CDir] | None = None
        self._unlinked: dict[CInode, None] = {}
        self._linked: set[CInode] = set()

    def run(self, blob: EMetaBlob, segment: LogSegment, touched: set[CDir] | None = None) -> None:
        """Replay the tree's part; numbers, sessions and requests are `replay_events`'.

        Args:
            touched: gets every fragment that the blob makes dirty.

        Raises:
            ReplayError: it does not fit.
            DecodeError: a lump does not decode.
        """
        self.segment, self._touched = segment, touched
        for root in blob.roots:
            self._root(root)
        inodes = self.cache.inodes
        for dirfrag in blob.lump_order:
            lump = blob.lump_map.get(dirfrag)
            if lump is None:
                raise ReplayError(f"{dirfrag} is in the order of fragments and has no entry")
            inode = inodes.get(dirfrag.ino)
            directory = None if inode is None else inode.dirs.get(dirfrag.frag)
            self._lump(self._open(dirfrag) if directory is None else directory, lump)
        if self._unlinked:
            for gone in self._unlinked:
                if gone not in self._linked and gone.parent is None:
                    self._forget(gone)
            self._unlinked = {}
        if self._linked:
            self._linked = set()
        for ino in blob.destroyed_inodes:
            destroyed = self.cache.get_inode(ino)
            if destroyed is not None:
                self._forget(destroyed)

    # -- inodes ------------------------------------------------------------------------------

    def _root(self, bit: FullBit) -> None:
        inode = self.cache.get_inode(bit.inode.ino)
        if inode is None:
            inode = self.cache.add_inode(CInode(bit.inode.ino, bit.inode))
        self._update(inode, bit)
        if bit.state & BIT_DIRTY and inode.base_segment is None:
            inode.base_segment = self.segment
            self.segment.dirty_bases.add(inode)

    def _update(self, inode: CInode, bit: FullBit) -> None:
        """The inode becomes what the event says."""
        stored = inode.inode = bit.inode
        inode.xattrs = bit.xattrs
        inode.old_inodes = bit.old_inodes or {}
        inode.oldest_snap = bit.oldest_snap
        kind = stored.mode & S_IFMT
        if kind == S_IFDIR:
            if inode.dirfragtree.splits != bit.dirfragtree.splits:
                inode.dirfragtree = bit.dirfragtree
                self.rank.store.force_dirfrags(inode)
            blob = bit.dir_snap
        else:
            if kind == S_IFLNK:
                inode.symlink = bit.symlink
            blob = bit.snap
        if blob != inode.snaprealm_blob:
            inode.snaprealm_blob = blob
            self.rank.snaps.realm_replayed(inode)
        if inode.old_inodes:
            newest = max(inode.old_inodes)
            inode.first = max(inode.first, newest + 1)
        if kind == S_IFREG and (stored.layout.pool_id < 0 or not stored.layout.is_valid()):
            raise ReplayError(f"inode {inode.ino:#x} has no valid layout")

    def _forget(self, inode: CInode) -> None:
        """An inode that is not in the tree any more, and what is below it in the cache."""
        for directory in list(inode.dirs.values()):
            for dn in directory.all_items():
                child = dn.inode
                if child is not None:
                    self._forget(child)
                self.cache.unlink(dn)
                self.cache.remove_dentry(dn)
            self.rank.store.drop_dir(directory)
        self.rank.store.drop_inode(inode)

    # -- fragments ---------------------------------------------------------------------------

    def _open(self, dirfrag: DirFrag) -> CDir:
        inode = self.cache.get_inode(dirfrag.ino)
        if inode is None:
            raise ReplayError(f"the directory of {dirfrag} is neither stored nor in the journal")
        if not inode.is_dir:
            raise ReplayError(f"{dirfrag} belongs to {inode}, which is no directory")
        if not dirfrag.frag.is_possible:
            raise ReplayError(f"{dirfrag} cannot be a fragment")
        known = inode.dirs.get(dirfrag.frag)
        return known if known is not None else self.rank.store.force_dirfrag(inode, dirfrag.frag)

    def _lump(self, directory: CDir, lump: DirLump) -> None:
        dirty = lump.state & LUMP_DIRTY
        if dirty:
            directory.mark_dirty(self.segment)
            if self._touched is not None:
                self._touched.add(directory)
        if lump.fnode_bl:  # else there is a newer one in the batch
            fnode = directory.fnode = lump.fnode
            if dirty and (
                fnode.rstat != fnode.accounted_rstat or fnode.fragstat != fnode.accounted_fragstat
            ):
                self._note_nest(directory.inode)
        if lump.state & LUMP_NEW:
            directory.new = True
        if lump.state & LUMP_COMPLETE:
            directory.complete = True
        held = lump.dentries()
        for full in held.dfull:
            self._full(directory, full)
        for remote in held.dremote:
            self._remote(directory, remote)
        for null in held.dnull:
            self._null(directory, null)

    def _note_nest(self, inode: CInode) -> None:
        if inode.nest_segment is None:
            inode.nest_segment = self.segment
            self.segment.dirty_nests.add(inode)

    # -- dentries ----------------------------------------------------------------------------

    def _dentry(self, directory: CDir, bit: FullBit | RemoteBit | NullBit) -> CDentry:
        name, last = bit.dn, bit.dnlast
        if last == NOSNAP:
            dn = directory.items.get(name)
        else:
            dn = directory.lookup_exact(name, last)
        if dn is None:
            dn = self.cache.add_dentry(directory, name, bit.dnfirst, last)
        else:
            dn.first = bit.dnfirst
        dn.version = bit.dnv
        return dn

    def _cut(self, dn: CDentry) -> None:
        """Whatever the dentry led to, it does not any more."""
        if dn.inode is not None:
            self._unlinked[dn.inode] = None
        self.cache.unlink(dn)

    def _full(self, directory: CDir, bit: FullBit) -> None:
        dn = self._dentry(directory, bit)
        if bit.state & BIT_DIRTY:
            directory.mark_dirty(self.segment, dn)
        inode = self.cache.get_inode(bit.inode.ino, bit.dnlast)
        if inode is None:
            inode = CInode(bit.inode.ino, bit.inode, bit.dnfirst, bit.dnlast)
            self.cache.add_inode(inode)
        elif inode is not dn.inode and inode.parent is not None:
            self._cut(inode.parent)
        inode.first = bit.dnfirst
        if dn.inode is not inode:
            if not dn.is_null:
                self._cut(dn)
            self.cache.link_primary(dn, inode)
            self._linked.add(inode)
        dn.alternate_name = bit.alternate_name
        self._update(inode, bit)
        stored = bit.inode
        if inode.is_dir and stored.rstat != stored.accounted_rstat:
            self._note_nest(inode)
        if bit.state & BIT_DIRTYPARENT:
            self._note_backtrace(inode)
        if bit.state & BIT_DIRTYPOOL:
            inode.backtrace_pools = True
        if bit.state & BIT_NEED_SNAPFLUSH:
            self.segment.open_files.add(inode)

    def _note_backtrace(self, inode: CInode) -> None:
        if inode.backtrace_segment is not None:
            inode.backtrace_segment.dirty_backtraces.discard(inode)
        inode.backtrace_segment = self.segment
        self.segment.dirty_backtraces.add(inode)

    def _remote(self, directory: CDir, bit: RemoteBit) -> None:
        dn = self._dentry(directory, bit)
        if not dn.is_null:
            self._cut(dn)
        self.cache.link_remote(dn, bit.ino, bit.d_type, self.cache.get_inode(bit.ino))
        dn.alternate_name = bit.alternate_name
        if bit.dirty:
            directory.mark_dirty(self.segment, dn)

    def _null(self, directory: CDir, bit: NullBit) -> None:
        dn = self._dentry(directory, bit)
        if not dn.is_null:
            self._cut(dn)
        if bit.dirty:
            directory.mark_dirty(self.segment, dn)
