"""inode_t and what is stored with it.

The newest version here is Pacific's. What later releases append (``wire_tail``) is kept and written
back, so that an inode which a newer server touched keeps it.

Format: ceph/ceph, src/mds/mdstypes.h, src/mds/CInode.cc (Pacific).
"""

from mdsdaemon.encoding import (
    F64,
    S32,
    S64,
    U32,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Seldom,
    Str,
    Time,
    field,
    wire,
)
from mdsdaemon.types.frag import FragTree
from mdsdaemon.types.layout import DirLayout, FileLayout
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.stats import FragInfo, NestInfo, QuotaInfo

S_IFMT = 0o170000
S_IFDIR = 0o040000
S_IFREG = 0o100000
S_IFLNK = 0o120000

INLINE_NONE = 2**64 - 1
"""The version of inline data that says that there is none."""


@wire(v=2, compat=2, ceph="client_writeable_range_t")
class ClientWriteableRange:
    """client_writeable_range_t: the bytes that a client may write without asking."""

    first: int = field(U64, default=0)
    last: int = field(U64, default=0)
    follows: int = field(U64, default=0)


@wire(ceph="inline_data_t")
class InlineData:
    """inline_data_t: the first bytes of a file, kept in its inode."""

    version: int = field(U64, default=1)
    data: bytes = field(Seldom(Blob), default=b"")


@wire(v=17, compat=6, keep_tail=True, ceph="inode_t<std::allocator>")
class Inode:
    """inode_t; times in nanoseconds, sizes in bytes."""

    ino: int = field(U64, default=0)
    rdev: int = field(U32, default=0)
    ctime: int = field(Time, default=0)
    mode: int = field(U32, default=0)
    uid: int = field(U32, default=0)
    gid: int = field(U32, default=0)
    nlink: int = field(S32, default=0)
    anchored: bool = field(Bool, default=False)
    dir_layout: DirLayout = field(DirLayout, factory=DirLayout)
    layout: FileLayout = field(FileLayout, factory=FileLayout)
    size: int = field(U64, default=0)
    truncate_seq: int = field(U32, default=0)
    truncate_size: int = field(U64, default=0)
    truncate_from: int = field(U64, default=0)
    truncate_pending: int = field(U32, default=0)
    mtime: int = field(Time, default=0)
    atime: int = field(Time, default=0)
    time_warp_seq: int = field(U32, default=0)
    client_ranges: dict[int, ClientWriteableRange] = field(
        Map(S64, ClientWriteableRange), factory=dict
    )
    dirstat: FragInfo = field(FragInfo, factory=FragInfo)
    rstat: NestInfo = field(NestInfo, factory=NestInfo)
    accounted_rstat: NestInfo = field(NestInfo, factory=NestInfo)
    version: int = field(U64, default=0)
    file_data_version: int = field(U64, default=0)
    xattr_version: int = field(U64, default=0)
    backtrace_version: int = field(U64, default=0)
    old_pools: list[int] = field(Seldom(List(S64)), factory=list, since=7)
    max_size_ever: int = field(U64, default=0, since=8)
    inline_data: InlineData = field(InlineData, factory=lambda: InlineData(INLINE_NONE), since=9)
    quota: QuotaInfo = field(QuotaInfo, factory=QuotaInfo, since=11)
    stray_prior_path: str = field(Seldom(Str), default="", since=12)
    last_scrub_version: int = field(U64, default=0, since=13)
    last_scrub_stamp: int = field(Time, default=0, since=13)
    btime: int = field(Time, default=0, since=14)
    change_attr: int = field(U64, default=0, since=14)
    export_pin: int = field(S32, default=-1, since=15)
    export_ephemeral_random_pin: float = field(F64, default=0.0, since=16)
    export_ephemeral_distributed_pin: bool = field(Bool, default=False, since=16)
    fscrypt: bool = field(Bool, default=False, since=17)

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.mode & S_IFMT == S_IFDIR

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode & S_IFMT == S_IFLNK


XAttrs = Map(Str, Blob)


@wire(v=2, compat=2, ceph="old_inode_t<std::allocator>")
class OldInode:
    """old_inode_t: what an inode was in snapshots from ``first`` on."""

    first: int = field(U64, default=0)
    inode: Inode = field(Inode, factory=Inode)
    xattrs: dict[str, bytes] = field(XAttrs, factory=dict)


@wire(ceph="InodeStoreBare")
class InodeStoreBare:
    """An inode with its xattrs, fragments and snapshots, as it lies in its directory's omap.

    ``snap_blob`` holds an encoded SnapRealm or nothing; ``old_inodes`` go by the last snapid.
    """

    inode: Inode = field(Inode, factory=Inode)
    symlink: str = field(Str, default="", only_if="inode.mode & 0o170000 == 0o120000")
    dirfragtree: FragTree = field(FragTree, factory=FragTree)
    xattrs: dict[str, bytes] = field(Seldom(XAttrs), factory=dict)
    snap_blob: bytes = field(Seldom(Blob), default=b"")
    old_inodes: dict[int, OldInode] = field(Seldom(Map(U64, OldInode)), factory=dict)
    oldest_snap: int = field(U64, default=NOSNAP, if_more=True)
    damage_flags: int = field(U32, default=0, if_more=True)


@wire(v=6, compat=4, keep_tail=True, ceph="InodeStore")
class InodeStore(InodeStoreBare):
    """The same in its own envelope, as it lies in an object of its own."""
