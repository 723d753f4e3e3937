"""An inode in the cache.

Behaviour: ceph/ceph, src/mds/CInode.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from mdsdaemon.types.frag import Frag, FragTree
from mdsdaemon.types.inode import S_IFMT, Inode, OldInode
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.log.segment import LogSegment

ROOT = 1
GLOBAL_SNAPREALM = 3
MDSDIR = 0x100
LOG = 0x200
STRAY = 0x600
NUM_STRAY = 10
MAX_MDS = 0x100
"""Ranks that there can be: each of the above has so many inodes, STRAY ten times as many."""
SYSTEM_END = 1 << 40
"""The first inode number of files; those below are the metadata servers'."""

D_TYPE_SHIFT = 12
DT_DIR = 4
"""A directory's type in a directory entry."""


class _NoDirs(dict[Frag, "CDir"]):
    """No fragments: what all inodes share that have none."""

    def __setitem__(self, key: Frag, value: CDir) -> None:
        raise TypeError("fragments are added by MDCache.add_dir")


NO_DIRS: dict[Frag, CDir] = _NoDirs()


@define(eq=False, slots=True)
class CInode:
    """An inode. What is stored of it is in `inode` and the fields up to `damage_flags`.

    A change of a stored field is announced to a `Mutation` first: it takes care of snapshots,
    versions and the journal.

    Attributes:
        inode: inode_t.
        first, last: the snapshots that see it; `last` is NOSNAP for the head.
        dirfragtree: how a directory is split.
        snaprealm_blob: the stored sr_t of a realm that begins here, encoded; empty: none begins
            here.
        old_inodes: what it was in snapshots, by the last snapshot that sees that.
        store_tail: bytes that a newer release appended to its InodeStore.
        parent: the primary dentry; None for base inodes (root, mdsdir) and while it is unknown.
        remote_parents: remote dentries in the cache that lead here.
        dirs: its fragments in the cache.
        base_segment: of a base inode: the segment of the first change not stored in its own object.
        backtrace_segment: the segment of the first change that the backtrace lacks.
        backtrace_pools: the pools that had the data before have to learn of it, too.
        nest_segment: the segment of the first change of its sums that its parent does not count.
        pos: where in the journal its last change ends; until that is safe, nobody may be told of it
            but the client that asked for the change.
        pos_client: who that was, by number; 0 when there were several.
        last_journaled: the sequence number of the newest event that has it in full.
        caps: by client; None: no client has any. Kept by the locker.
        locks: the states of its locks; None: all at rest. Kept by the locker.
        realm: the snap realm that begins here, opened; None: none, or not open.
        pins: reasons to keep it in the cache beyond those that can be seen.
    """

    ino: int
    inode: Inode
    first: int = 2
    last: int = NOSNAP
    symlink: str = ""
    dirfragtree: FragTree = field(factory=FragTree)
    xattrs: dict[str, bytes] = field(factory=dict)
    snaprealm_blob: bytes = b""
    old_inodes: dict[int, OldInode] = field(factory=dict)
    oldest_snap: int = NOSNAP
    damage_flags: int = 0
    store_tail: bytes = b""
    store_version: tuple[int, int] = (0, 0)

    parent: CDentry | None = None
    remote_parents: set[CDentry] | None = None
    dirs: dict[Frag, CDir] = NO_DIRS
    base_segment: LogSegment | None = None
    backtrace_segment: LogSegment | None = None
    backtrace_pools: bool = False
    nest_segment: LogSegment | None = None
    pos: int = 0
    pos_client: int = 0
    last_journaled: int = 0
    caps: dict[int, Any] | None = None
    locks: Any = None
    realm: Any = None
    extra: dict[str, Any] | None = None
    """What is rare: file locks, a scrub under way, a recovery of the size."""
    pins: int = 0

    @property
    def is_dir(self) -> bool:
        return self.inode.mode & S_IFMT == 0o040000

    @property
    def is_file(self) -> bool:
        return self.inode.mode & S_IFMT == 0o100000

    @property
    def is_symlink(self) -> bool:
        return self.inode.mode & S_IFMT == 0o120000

    @property
    def d_type(self) -> int:
        """As in a directory entry."""
        return (self.inode.mode & S_IFMT) >> D_TYPE_SHIFT

    @property
    def is_head(self) -> bool:
        return self.last == NOSNAP

    @property
    def is_multiversion(self) -> bool:
        """Old versions lie in `old_inodes`, not in dentries of their own."""
        return (
            bool(self.snaprealm_blob)
            or self.is_dir
            or self.inode.nlink > 1
            or bool(self.old_inodes)
        )

    @property
    def is_root(self) -> bool:
        return self.ino == ROOT

    @property
    def is_mdsdir(self) -> bool:
        return MDSDIR <= self.ino < LOG

    @property
    def is_base(self) -> bool:
        """It has no dentry but an object of its own."""
        return self.ino == ROOT or MDSDIR <= self.ino < LOG

    @property
    def is_system(self) -> bool:
        """One of the metadata servers' own."""
        return self.ino < SYSTEM_END

    @property
    def is_stray_dir(self) -> bool:
        return STRAY <= self.ino < STRAY + NUM_STRAY * MAX_MDS

    @property
    def is_stray(self) -> bool:
        """Unlinked, and kept while something needs it."""
        return self.parent is not None and self.parent.dir.inode.is_stray_dir

    def __str__(self) -> str:
        return f"[inode 0x{self.ino:x} [{self.first:x},{self.last:x}] v{self.inode.version}]"
