"""Dentries as they lie in a fragment's omap, behind u64 `first` and a letter: i or l.

Format: ceph/ceph, src/mds/CDentry.cc (encode_remote), src/mds/CDir.cc (_omap_commit_ops,
_load_dentry) (Pacific).
"""

from mdsdaemon.encoding import U8, U64, Blob, field, wire
from mdsdaemon.types.inode import InodeStore


@wire(v=2, compat=1, keep_tail=True, ceph="dentry i")
class PrimaryDentry:
    """The dentry that an inode lies in."""

    alternate_name: bytes = field(Blob, default=b"", since=2)
    store: InodeStore = field(InodeStore, factory=InodeStore)


@wire(v=2, compat=1, keep_tail=True, ceph="dentry l")
class RemoteDentry:
    """A hard link: ``d_type`` is that of a directory entry."""

    ino: int = field(U64, default=0)
    d_type: int = field(U8, default=0)
    alternate_name: bytes = field(Blob, default=b"", since=2)


@wire(ceph="dentry L")
class LegacyRemoteDentry:
    """A hard link of before Pacific."""

    ino: int = field(U64, default=0)
    d_type: int = field(U8, default=0)
