"""Building an EMetaBlob: the entries that change, and the ancestors that a replay has to know.

A replay begins with the subtree map of some segment and knows nothing but the base inodes. So the
first event of a segment that touches a directory carries the primary dentries on the way to it,
unchanged; later ones need not.

Format and behaviour: ceph/ceph, src/mds/events/EMetaBlob.h, src/mds/journal.cc (add_dir_context)
(Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.metablob import Dentries, DirLump, EMetaBlob, FullBit, NullBit, RemoteBit

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.log.segment import LogSegment

# EMetaBlob::fullbit
BIT_DIRTY = 1 << 0
BIT_DIRTYPARENT = 1 << 1
BIT_DIRTYPOOL = 1 << 2
BIT_NEED_SNAPFLUSH = 1 << 3
BIT_EPHEMERAL_RANDOM = 1 << 4

# EMetaBlob::dirlump
LUMP_COMPLETE = 1 << 1
LUMP_DIRTY = 1 << 2
LUMP_NEW = 1 << 3
LUMP_IMPORTING = 1 << 4
LUMP_DIRTYDFT = 1 << 5


class BlobBuilder:
    """One EMetaBlob in the making.

    Args:
        segment: the segment of its event.
        seq: the event's sequence number.

    Attributes:
        new_dirs: fragments that have no object yet.
        whole_dirs: those of them whose entries are all in this event.
        dirty_trees: fragments whose directory's fragtree changes.
        need_snapflush: inodes that a client has yet to flush for a snapshot.
    """

    def __init__(self, segment: LogSegment, seq: int) -> None:
        self.blob = EMetaBlob()
        self.new_dirs: set[CDir] = set()
        self.whole_dirs: dict[CDir, None] = {}
        self.dirty_trees: set[CDir] = set()
        self.need_snapflush: set[CInode] = set()
        self._segment = segment
        self._seq = seq
        self._lumps: dict[CDir, tuple[DirLump, Dentries]] = {}
        self._added: set[CDentry] = set()
        self._dirty: dict[CDentry, None] = {}

    def fill(
        self, inodes: Iterable[CInode], dentries: dict[CDentry, None], dirs: Iterable[CDir]
    ) -> None:
        """Add what changes, versions and sums being final; the bytes of dentries are made here."""
        self._dirty = dentries
        for inode in inodes:
            if inode.is_base:
                self.add_root(inode)
        for dn in dentries:
            self.add_dir_context(dn.dir)
            self.add_dentry(dn)
        for directory in dirs:
            self.add_dir_context(directory)
            lump = self.lump(directory)
            lump.state |= LUMP_DIRTY
            if directory in self.new_dirs:
                lump.state |= LUMP_COMPLETE | LUMP_NEW
            if directory in self.dirty_trees:
                lump.state |= LUMP_DIRTYDFT
        for directory in self.whole_dirs:
            self._dirty = dentries | dict.fromkeys(directory.dirty_items.values())
            for dn in directory.dirty_items.values():
                self.add_dentry(dn)
        self.finish()

    def finish(self) -> None:
        """Encode headers and dentries into their lumps."""
        for directory, (lump, held) in self._lumps.items():
            lump.set_fnode(directory.fnode, FEATURES_PACIFIC)
            lump.set_dentries(held, FEATURES_PACIFIC)

    # -- parts -------------------------------------------------------------------------------

    def lump(self, directory: CDir) -> DirLump:
        """The lump of a fragment, made if it is the first mention."""
        known = self._lumps.get(directory)
        if known is None:
            known = self._lumps[directory] = (DirLump(), Dentries())
            dirfrag = directory.dirfrag
            self.blob.lump_order.append(dirfrag)
            self.blob.lump_map[dirfrag] = known[0]
        return known[0]

    def add_dir_context(self, directory: CDir, *, to_root: bool = False) -> None:
        """The dentries on the way to a fragment, unless this segment has them.

        Args:
            to_root: whatever the segment has: for a subtree map.
        """
        parents: list[CDentry] = []
        while directory not in self._lumps:
            inode = directory.inode
            dn = inode.parent
            if dn is None:
                break
            if inode.last_journaled == self._seq:
                break
            if not to_root and inode.last_journaled >= self._segment.seq:
                break
            parents.append(dn)
            directory = dn.dir
        for dn in reversed(parents):
            self.add_dentry(dn)

    def add_dentry(self, dn: CDentry) -> None:
        """A dentry with what it leads to, dirty if it is one of those that change."""
        if dn in self._added:
            return
        self._added.add(dn)
        dirty = dn in self._dirty
        self.lump(dn.dir)
        held = self._lumps[dn.dir][1]
        inode = dn.inode
        if inode is not None:
            held.dfull.append(self._full(dn, inode, dirty))
            inode.last_journaled = self._seq
        elif dn.remote_ino:
            held.dremote.append(
                RemoteBit(
                    dn=dn.name,
                    dnfirst=dn.first,
                    dnlast=dn.last,
                    dnv=dn.version,
                    ino=dn.remote_ino,
                    d_type=dn.remote_d_type,
                    dirty=dirty,
                    alternate_name=dn.alternate_name,
                )
            )
        else:
            held.dnull.append(NullBit(dn.name, dn.first, dn.last, dn.version, dirty))

    def add_root(self, inode: CInode, dirty: bool = True) -> None:
        """A base inode."""
        bit = self._full(None, inode, dirty)
        self.blob.roots.append(bit)
        inode.last_journaled = self._seq

    def _full(self, dn: CDentry | None, inode: CInode, dirty: bool) -> FullBit:
        state = BIT_DIRTY if dirty else 0
        if inode.backtrace_segment is not None:
            state |= BIT_DIRTYPARENT
            if inode.backtrace_pools:
                state |= BIT_DIRTYPOOL
        if inode in self.need_snapflush:
            state |= BIT_NEED_SNAPFLUSH
        is_dir = inode.is_dir
        return FullBit(
            dn="" if dn is None else dn.name,
            dnfirst=inode.first if dn is None else dn.first,
            dnlast=inode.last if dn is None else dn.last,
            dnv=0 if dn is None else dn.version,
            inode=inode.inode,
            xattrs=inode.xattrs,
            symlink=inode.symlink,
            dirfragtree=inode.dirfragtree,
            dir_snap=inode.snaprealm_blob if is_dir else b"",
            state=state,
            old_inodes=inode.old_inodes or None,
            snap=b"" if is_dir else inode.snaprealm_blob,
            oldest_snap=inode.oldest_snap,
            alternate_name=b"" if dn is None else dn.alternate_name,
        )
