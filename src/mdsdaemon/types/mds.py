"""Small values that metadata servers name things by.

Format: ceph/ceph, src/mds/mdstypes.h and .cc, src/include/filepath.h (Pacific).
"""

from mdsdaemon.encoding import S32, U64, Str, field, wire
from mdsdaemon.types.frag import DirFrag


@wire(v=1, envelope="version", ceph="filepath", hash=True, frozen=True)
class FilePath:
    """filepath: a path below an inode; below 0 it is absolute or, with ``path`` "", nothing."""

    ino: int = field(U64, default=0)
    path: str = field(Str, default="")

    def __str__(self) -> str:
        if not self.ino:
            return self.path
        return f"#0x{self.ino:x}" + (f"/{self.path}" if self.path else "")

    def bits(self) -> list[str]:
        """The names to be walked through; an empty one leads into a directory's snapshots."""
        bits = self.path.split("/")
        return bits if bits[-1] else bits[:-1]


@wire(ceph="vinodeno_t", order=True, hash=True, frozen=True)
class VInodeNo:
    """vinodeno_t: an inode as of a snapshot."""

    ino: int = field(U64, default=0)
    snapid: int = field(U64, default=0)


@wire(v=2, compat=2, ceph="string_snap_t", hash=True, frozen=True)
class StringSnap:
    """string_snap_t: a name as of a snapshot."""

    name: str = field(Str, default="")
    snapid: int = field(U64, default=0)


@wire(v=2, compat=2, ceph="mds_table_pending_t")
class TablePending:
    """mds_table_pending_t: a change of a table that a server has prepared and not committed."""

    reqid: int = field(U64, default=0)
    mds: int = field(S32, default=0)
    tid: int = field(U64, default=0)


@wire(v=2, compat=2, ceph="MDSCacheObjectInfo")
class CacheObjectInfo:
    """MDSCacheObjectInfo: an inode, or a dentry of a directory fragment."""

    ino: int = field(U64, default=0)
    dirfrag: DirFrag = field(DirFrag, factory=DirFrag)
    dname: str = field(Str, default="")
    snapid: int = field(U64, default=0)
