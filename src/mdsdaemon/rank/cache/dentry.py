"""A name in a directory fragment, and what it leads to.

Behaviour: ceph/ceph, src/mds/CDentry.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode


@define(eq=False, slots=True)
class CDentry:
    """A dentry: primary (with its inode), remote (a hard link) or null (the name is not there).

    Attributes:
        first, last: the snapshots that see it; `last` is NOSNAP for the head.
        version: of its last change; that of its fragment at that time.
        inode: of a primary dentry.
        remote_ino, remote_d_type: of a remote dentry; the inode lies elsewhere.
        remote_inode: that inode, once it was found; not owned.
        alternate_name: kept for clients that encrypt names.
        store_tail: what a newer release appended to the stored dentry, with its struct version and
            compat; None: nothing.
        pos, pos_client: see `CInode`.
        leases: by client, what the locker knows of its lease on the name; None: none.
        lock: the state of its lock, for the locker; None: nobody has any interest.
        touched: looked at since trimming last came by.
        pins: reasons to keep it in the cache beyond those that can be seen.
    """

    dir: CDir
    name: str
    first: int = 2
    last: int = NOSNAP
    version: int = 0
    inode: CInode | None = None
    remote_ino: int = 0
    remote_d_type: int = 0
    remote_inode: CInode | None = None
    alternate_name: bytes = b""
    store_tail: tuple[bytes, tuple[int, int]] | None = None
    pos: int = 0
    pos_client: int = 0
    leases: dict[int, Any] | None = None
    lock: Any = None
    touched: bool = True
    pins: int = 0
    hash: int = -1
    """The name's hash under the directory's layout; -1 until it is needed."""

    @property
    def key(self) -> str:
        """Its key in the fragment's omap."""
        return f"{self.name}_head" if self.last == NOSNAP else f"{self.name}_{self.last:x}"

    @property
    def is_head(self) -> bool:
        return self.last == NOSNAP

    @property
    def is_primary(self) -> bool:
        return self.inode is not None

    @property
    def is_remote(self) -> bool:
        return self.inode is None and self.remote_ino != 0

    @property
    def is_null(self) -> bool:
        return self.inode is None and self.remote_ino == 0

    @property
    def is_dirty(self) -> bool:
        """Whether its fragment has yet to store it, or is about to."""
        key = self.key
        return key in self.dir.dirty_items or key in self.dir.committing_items

    def __str__(self) -> str:
        what = (
            f"inode 0x{self.inode.ino:x}"
            if self.inode is not None
            else f"remote 0x{self.remote_ino:x}"
            if self.remote_ino
            else "null"
        )
        return f"[dentry {self.dir}/{self.name} [{self.first:x},{self.last:x}] {what}]"
