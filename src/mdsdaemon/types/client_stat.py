"""What a reply tells a client of inodes, directories and names.

Clients that understand it (CephFS feature "reply_encoding") get structs with versions and lengths,
others bare fields by the feature bits of their connection: ``reply_encoding`` chooses.

Format: ceph/ceph, src/messages/MClientReply.h, src/mds/CInode.cc (encode_inodestat),
src/mds/CDir.cc (encode_dirstat), src/mds/Locker.cc (encode_lease), src/include/ceph_fs.h (Pacific).
"""

from collections.abc import Callable
from typing import Any

import attrs

from mdsdaemon import records
from mdsdaemon.encoding import (
    S32,
    S64,
    U8,
    U16,
    U32,
    U64,
    Blob,
    Bool,
    Codec,
    DecodeError,
    Map,
    Seldom,
    Set,
    Str,
    Time,
    WireCodec,
    field,
    wire,
    wire_codec,
)
from mdsdaemon.types import features as f
from mdsdaemon.types.client_ops import LEASE_VALID
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURE_NAMES, FeatureBitset
from mdsdaemon.types.frag import Frag, FragTree
from mdsdaemon.types.inode import INLINE_NONE, XAttrs
from mdsdaemon.types.layout import DirLayout, FileLayout, FixedFileLayout
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.stats import QuotaInfo

CEPHFS_FEATURE_REPLY_ENCODING = CEPHFS_FEATURE_NAMES.index("reply_encoding")

CDIR_AUTH_PARENT = -1
"""`DirStat.auth` of a directory that is where its parent is."""

DIR_PIN_UNKNOWN = -61
"""`InodeStat.dir_pin` (-ENODATA) where a server does not tell."""


@wire()
class ReplyCap:
    """ceph_mds_reply_cap: the capability issued with an inode; all 0 for none."""

    caps: int = field(U32, default=0)
    wanted: int = field(U32, default=0)
    cap_id: int = field(U64, default=0)
    seq: int = field(U32, default=0)
    mseq: int = field(U32, default=0)
    realm: int = field(U64, default=0)
    flags: int = field(U8, default=0)


@wire(v=6, compat=1)
class InodeStat:
    """InodeStat: an inode as of a snapshot, with a capability; times in nanoseconds.

    Attributes:
        version: twice the inode's version, one more while it is being changed.
        xattrbl: an encoded map of name and value (`encode_xattrs`), empty when `xattr_version` is
            0: the client has them, or may not.
        layout: its namespace does not count: that is `pool_ns`.
        inline_version: 0: nothing is told of inline data; `INLINE_NONE`: there is none.
    """

    ino: int = field(U64)
    snapid: int = field(U64, default=NOSNAP)
    rdev: int = field(U32, default=0)
    version: int = field(U64, default=0)
    xattr_version: int = field(U64, default=0)
    cap: ReplyCap = field(ReplyCap, factory=ReplyCap)
    layout: FileLayout = field(FixedFileLayout, factory=FileLayout)
    ctime: int = field(Time, default=0)
    mtime: int = field(Time, default=0)
    atime: int = field(Time, default=0)
    time_warp_seq: int = field(U32, default=0)
    size: int = field(U64, default=0)
    max_size: int = field(U64, default=0)
    truncate_size: int = field(U64, default=2**64 - 1)
    truncate_seq: int = field(U32, default=1)
    mode: int = field(U32, default=0)
    uid: int = field(U32, default=0)
    gid: int = field(U32, default=0)
    nlink: int = field(S32, default=1)
    nfiles: int = field(S64, default=0)
    nsubdirs: int = field(S64, default=0)
    rbytes: int = field(S64, default=0)
    rfiles: int = field(S64, default=0)
    rsubdirs: int = field(S64, default=0)
    rctime: int = field(Time, default=0)
    dirfragtree: FragTree = field(FragTree, factory=FragTree)
    symlink: str = field(Seldom(Str), default="")
    dir_layout: DirLayout = field(DirLayout, factory=DirLayout)
    xattrbl: bytes = field(Blob, default=b"")
    inline_version: int = field(U64, default=INLINE_NONE)
    inline_data: bytes = field(Seldom(Blob), default=b"")
    quota: QuotaInfo = field(QuotaInfo, factory=QuotaInfo)
    pool_ns: str = field(Seldom(Str), default="")
    btime: int = field(Time, default=0)
    change_attr: int = field(U64, default=0)
    dir_pin: int = field(S32, default=DIR_PIN_UNKNOWN, since=2)
    snap_btime: int = field(Time, default=0, since=3)
    rsnaps: int = field(S64, default=0, since=4)
    snap_metadata: dict[str, str] = field(Seldom(Map(Str, Str)), factory=dict, since=5)
    fscrypt: bool = field(Bool, default=False, since=6)

    def xattrs(self) -> dict[str, bytes]:
        """What `xattrbl` holds.

        Raises:
            DecodeError: it is not a map of names and values.
        """
        if not self.xattrbl:
            return {}
        value, end = XAttrs.decoder()(self.xattrbl, 0, len(self.xattrbl), 0)
        if end != len(self.xattrbl):
            raise DecodeError("InodeStat", "xattrbl", end, "bytes follow the xattrs")
        return value  # type: ignore[no-any-return]


def encode_xattrs(xattrs: dict[str, bytes]) -> bytes:
    """`InodeStat.xattrbl` and the middle of an `MClientCaps`."""
    out = bytearray()
    XAttrs.encoder()(out, xattrs, 0)
    return bytes(out)


@wire(v=1, compat=1)
class DirStat:
    """DirStat: which fragment of a directory, its authority, and who has a copy."""

    frag: Frag = field(Frag, factory=Frag)
    auth: int = field(S32, default=CDIR_AUTH_PARENT)
    dist: set[int] = field(Set(S32), factory=set)


@wire(v=2, compat=1)
class LeaseStat:
    """LeaseStat: how long a name may be believed, `mask` 0 (or only the link's kind): not at all.

    A new field beside the name is `alternate_name`, which clients without structs do not get.
    """

    mask: int = field(U16, default=0)
    duration_ms: int = field(U32, default=0)
    seq: int = field(U32, default=0)
    alternate_name: str = field(Str, default="", since=2)


INFINITE_LEASE = LeaseStat(LEASE_VALID, 2**32 - 1, 0)
"""Of snapshots' names."""


def _bare(cls: type[Any], when: dict[str, int]) -> WireCodec[Any]:
    """The fields of the first version alone; those of ``when`` only with these feature bits."""
    codec: WireCodec[Any] = WireCodec(
        cls, envelope="bare", versions=(), legacy=None, keep_tail=False, sortable=False
    )
    first = {name: spec for name, spec in codec.specs.items() if spec.since <= 1}
    codec.specs = {
        name: records.evolve(spec, since=0, when=when.get(name, 0)) for name, spec in first.items()
    }
    return codec


LegacyInodeStat = _bare(
    InodeStat,
    {
        "dir_layout": f.DIRLAYOUTHASH,
        "inline_version": f.MDS_INLINE_DATA,
        "inline_data": f.MDS_INLINE_DATA,
        "quota": f.MDS_QUOTA,
        "pool_ns": f.FS_FILE_LAYOUT_V2,
        "btime": f.FS_BTIME,
        "change_attr": f.FS_CHANGE_ATTR,
    },
)
LegacyDirStat = _bare(DirStat, {})
LegacyLeaseStat = _bare(LeaseStat, {})

Writer = Callable[[bytearray, Any, int], None]
"""``(out, value, features)``: appends the value."""


@attrs.frozen
class ReplyEncoding:
    """How the parts of a reply are written for one client, and read by it.

    Attributes:
        structs: whether as structs.
        features: the connection's feature bits, which matter without structs.
        inode, dirstat, lease: append one of each: ``inode(out, stat, features)``.
    """

    structs: bool
    features: int
    inode_codec: Codec[InodeStat]
    dir_codec: Codec[DirStat]
    lease_codec: Codec[LeaseStat]
    inode: Writer = attrs.field(init=False, repr=False)
    dirstat: Writer = attrs.field(init=False, repr=False)
    lease: Writer = attrs.field(init=False, repr=False)

    @inode.default
    def _inode(self) -> Writer:
        return self.inode_codec.encoder()

    @dirstat.default
    def _dirstat(self) -> Writer:
        return self.dir_codec.encoder()

    @lease.default
    def _lease(self) -> Writer:
        return self.lease_codec.encoder()


STRUCT_REPLIES = ReplyEncoding(
    True, f.FEATURES_PACIFIC, wire_codec(InodeStat), wire_codec(DirStat), wire_codec(LeaseStat)
)


def reply_encoding(session: FeatureBitset, connection: int) -> ReplyEncoding:
    """How to write for a client by its CephFS features and its connection's feature bits."""
    if session.test(CEPHFS_FEATURE_REPLY_ENCODING):
        return STRUCT_REPLIES
    return ReplyEncoding(False, connection, LegacyInodeStat, LegacyDirStat, LegacyLeaseStat)


def inode_stat_room(stat: InodeStat) -> int:
    """Bytes that ceph-mds reckons for an inode when it looks whether a listing has room for it.

    It is a little less than the encoding takes, and decides where a listing is cut.
    """
    xattrs = 4 + len(stat.xattrbl)
    splits = 4 + 8 * len(stat.dirfragtree.splits)
    ns = len(stat.pool_ns.encode("utf-8", "surrogateescape"))
    symlink = len(stat.symlink.encode("utf-8", "surrogateescape"))
    return _ROOM + splits + symlink + xattrs + len(stat.inline_data) + ns


_ROOM = (
    (8 + 8 + 4 + 8 + 8 + 33 + 28)  # ino to layout
    + (8 * 3 + 4)  # ctime to time_warp_seq
    + (8 + 8 + 8 + 4 + 4 + 4 + 4 + 4)  # size to nlink
    + (8 * 5 + 8)  # nfiles to rctime
    + 4  # the length of symlink
    + 8  # dir_layout
    + (8 + 4)  # inline data
    + (1 + 1 + 8 + 8 + 4)  # quota
    + 4  # the length of pool_ns
    + (8 + 8)  # btime, change_attr
)
