"""MDCache: all inodes that are in memory, and the shape of the tree.

What it takes to bring things in from RADOS and to store them is in the files beside this one.

Behaviour: ceph/ceph, src/mds/MDCache.h (Pacific)
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.fragtree import WHOLE
from mdsdaemon.rank.cache.inode import MDSDIR, NO_DIRS, ROOT, CInode
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.frag import Frag


class MDCache:
    """The cache of one rank.

    Attributes:
        inodes: of the head, by number.
        snap_inodes: of snapshots, by (number, last).
        snap_lasts: by number, the `last` of those, in order.
        num_dentries, num_dirs: how many dentries and fragments there are.
        inodes_added, dentries_added, dirs_added: how many have come in, ever.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.inodes: dict[int, CInode] = {}
        self.snap_inodes: dict[tuple[int, int], CInode] = {}
        self.snap_lasts: dict[int, list[int]] = {}
        self.num_dentries = self.num_dirs = 0
        self.inodes_added = self.dentries_added = self.dirs_added = 0

    # -- what is there -----------------------------------------------------------------------

    @property
    def root(self) -> CInode | None:
        return self.inodes.get(ROOT)

    @property
    def mydir(self) -> CInode | None:
        """The directory of this rank's strays."""
        return self.inodes.get(MDSDIR + self.rank.whoami)

    def get_inode(self, ino: int, last: int = NOSNAP) -> CInode | None:
        """The inode if it is in the cache."""
        if last == NOSNAP:
            return self.inodes.get(ino)
        return self.snap_inodes.get((ino, last))

    def snap_after(self, ino: int, follows: int) -> CInode | None:
        """The earliest version of an inode that snapshots after `follows` see, if one is in the
        cache beside the head.
        """
        lasts = self.snap_lasts.get(ino)
        if lasts is None:
            return None
        at = bisect_right(lasts, follows)
        return self.snap_inodes[ino, lasts[at]] if at < len(lasts) else None

    def __len__(self) -> int:
        return len(self.inodes) + len(self.snap_inodes)

    # -- shape -------------------------------------------------------------------------------

    def add_inode(self, inode: CInode) -> CInode:
        """A new inode comes in; it has no dentry yet."""
        self.inodes_added += 1
        if inode.last == NOSNAP:
            assert inode.ino not in self.inodes, f"{inode} is there already"
            self.inodes[inode.ino] = inode
        else:
            self.snap_inodes[inode.ino, inode.last] = inode
            insort(self.snap_lasts.setdefault(inode.ino, []), inode.last)
        return inode

    def remove_inode(self, inode: CInode) -> None:
        """The inode leaves the cache, without its dentry."""
        if inode.parent is not None:
            self.unlink(inode.parent)
        if inode.last == NOSNAP:
            del self.inodes[inode.ino]
        else:
            del self.snap_inodes[inode.ino, inode.last]
            lasts = self.snap_lasts[inode.ino]
            lasts.remove(inode.last)
            if not lasts:
                del self.snap_lasts[inode.ino]

    def add_dir(self, inode: CInode, frag: Frag = WHOLE) -> CDir:
        """A fragment of a directory, with nothing known of what is in it; an old one if there."""
        directory = inode.dirs.get(frag)
        if directory is None:
            if inode.dirs is NO_DIRS:
                inode.dirs = {}
            directory = inode.dirs[frag] = CDir(inode, frag, first=inode.first)
            self.num_dirs += 1
            self.dirs_added += 1
        return directory

    def add_dentry(self, directory: CDir, name: str, first: int = 2, last: int = NOSNAP) -> CDentry:
        """A new null dentry."""
        self.num_dentries += 1
        self.dentries_added += 1
        return directory.add(CDentry(directory, name, first, last))

    def remove_dentry(self, dn: CDentry) -> None:
        """A null or remote dentry leaves the cache."""
        assert dn.inode is None, f"{dn} is still linked"
        self.unlink(dn)
        dn.dir.remove(dn)
        self.num_dentries -= 1

    def link_primary(self, dn: CDentry, inode: CInode) -> None:
        """The dentry, null until now, becomes the inode's own."""
        assert dn.is_null, f"{dn} is linked already"
        dn.inode = inode
        inode.parent = dn

    def link_remote(self, dn: CDentry, ino: int, d_type: int, target: CInode | None = None) -> None:
        """The dentry, null until now, becomes a hard link."""
        assert dn.is_null, f"{dn} is linked already"
        dn.remote_ino, dn.remote_d_type = ino, d_type
        if target is not None:
            self.found_remote(dn, target)

    def found_remote(self, dn: CDentry, target: CInode) -> None:
        """The inode that a hard link leads to is in the cache."""
        dn.remote_inode = target
        if target.remote_parents is None:
            target.remote_parents = set()
        target.remote_parents.add(dn)

    def unlink(self, dn: CDentry) -> None:
        """The dentry becomes null; an inode of its own stays in the cache without a dentry."""
        if dn.inode is not None:
            dn.inode.parent = None
            dn.inode = None
        if dn.remote_inode is not None:
            parents = dn.remote_inode.remote_parents
            if parents is not None:
                parents.discard(dn)
            dn.remote_inode = None
        dn.remote_ino = dn.remote_d_type = 0
        dn.alternate_name, dn.store_tail = b"", None

    def is_ancestor(self, inode: CInode, below: CInode) -> bool:
        """Whether `below` lies under `inode` (or is it)."""
        at: CInode | None = below
        while at is not None:
            if at is inode:
                return True
            at = at.parent.dir.inode if at.parent is not None else None
        return False

    def path_of(self, inode: CInode) -> str:
        """The path from the root, `/a/b`; below another base inode it begins with `~`."""
        names: list[str] = []
        at = inode
        while at.parent is not None:
            names.append(at.parent.name)
            at = at.parent.dir.inode
        path = "/".join(reversed(names))
        if at.is_root:
            return f"/{path}"
        if at.is_mdsdir:
            return f"~mds{at.ino - MDSDIR}/{path}" if path else f"~mds{at.ino - MDSDIR}"
        return f"#0x{at.ino:x}/{path}" if path else f"#0x{at.ino:x}"
