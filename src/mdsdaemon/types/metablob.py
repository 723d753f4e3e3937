"""EMetaBlob: the change of metadata that a journal event carries.

Format: ceph/ceph, src/mds/events/EMetaBlob.h, src/mds/journal.cc (Pacific).
"""

from functools import cache

from mdsdaemon.encoding import (
    ALL_FEATURES,
    S64,
    U8,
    U32,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Opt,
    Seldom,
    Str,
    Tuple,
    Unread,
    field,
    reader,
    wire,
    writer,
)
from mdsdaemon.types.entity import PeerName
from mdsdaemon.types.frag import DirFrag, Frag, FragTree
from mdsdaemon.types.inode import Inode, OldInode, XAttrs
from mdsdaemon.types.interval_set import IntervalSet
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.session import MetaReqId
from mdsdaemon.types.stats import FNode

_IS_DIR = "inode.mode & 0o170000 == 0o040000"
_IS_LINK = "inode.mode & 0o170000 == 0o120000"
_NOT_DIR = "inode.mode & 0o170000 != 0o040000"


@wire(v=9, compat=5, ceph="EMetaBlob::fullbit")
class FullBit:
    """A dentry with its inode: a primary link. ``dir_snap`` or ``snap`` is an encoded SnapRealm."""

    dn: str = field(Str, default="")
    dnfirst: int = field(U64, default=0)
    dnlast: int = field(U64, default=0)
    dnv: int = field(U64, default=0)
    inode: Inode = field(Inode, factory=Inode)
    xattrs: dict[str, bytes] = field(Seldom(XAttrs), factory=dict)
    symlink: str = field(Str, default="", only_if=_IS_LINK)
    dirfragtree: FragTree = field(FragTree, factory=FragTree, only_if=_IS_DIR)
    dir_snap: bytes = field(Seldom(Blob), default=b"", only_if=_IS_DIR)
    state: int = field(U8, default=0)
    old_inodes: dict[int, OldInode] | None = field(Seldom(Opt(Map(U64, OldInode))), default=None)
    snap: bytes = field(Seldom(Blob), default=b"", only_if=_NOT_DIR)
    oldest_snap: int = field(U64, default=NOSNAP)
    alternate_name: bytes = field(Seldom(Blob), default=b"", since=9)


@wire(v=3, compat=2, ceph="EMetaBlob::remotebit")
class RemoteBit:
    """A dentry that links to an inode elsewhere."""

    dn: str = field(Str, default="")
    dnfirst: int = field(U64, default=0)
    dnlast: int = field(U64, default=0)
    dnv: int = field(U64, default=0)
    ino: int = field(U64, default=0)
    d_type: int = field(U8, default=0)
    dirty: bool = field(Bool, default=False)
    alternate_name: bytes = field(Blob, default=b"", since=3)


@wire(v=2, compat=2, ceph="EMetaBlob::nullbit")
class NullBit:
    """A dentry that is not there any more."""

    dn: str = field(Str, default="")
    dnfirst: int = field(U64, default=0)
    dnlast: int = field(U64, default=0)
    dnv: int = field(U64, default=0)
    dirty: bool = field(Bool, default=False)


@wire()
class Dentries:
    """The dentries of a DirLump."""

    dfull: list[FullBit] = field(List(FullBit), factory=list)
    dremote: list[RemoteBit] = field(Seldom(List(RemoteBit)), factory=list)
    dnull: list[NullBit] = field(Seldom(List(NullBit)), factory=list)


_read_fnode = reader(FNode)
_write_fnode = writer(FNode)


@cache
def _blank_fnode() -> bytes:
    return _write_fnode(FNode(), ALL_FEATURES)


_read_dentries = reader(Dentries)
_write_dentries = writer(Dentries)


@wire(v=2, compat=2, ceph="EMetaBlob::dirlump")
class DirLump:
    """A directory fragment's header, and the dentries of it that change.

    Both stay encoded, in ``fnode_bl`` and ``dnbl``, until they are asked for: replay needs the last
    ones only.
    """

    fnode_bl: bytes = field(Unread(FNode), factory=_blank_fnode)
    state: int = field(U32, default=0)
    nfull: int = field(U32, default=0)
    nremote: int = field(U32, default=0)
    nnull: int = field(U32, default=0)
    dnbl: bytes = field(Blob, default=b"")

    @property
    def fnode(self) -> FNode:
        """The header, read anew each time.

        Raises:
            DecodeError: ``fnode_bl`` does not hold it.
        """
        return _read_fnode(self.fnode_bl)

    def set_fnode(self, fnode: FNode, features: int) -> None:
        """Write the header into ``fnode_bl``."""
        self.fnode_bl = _write_fnode(fnode, features)

    def dentries(self) -> Dentries:
        """The dentries that change.

        Raises:
            DecodeError: ``dnbl`` does not hold them.
        """
        return _read_dentries(self.dnbl) if self.dnbl else Dentries()

    def set_dentries(self, dentries: Dentries, features: int) -> None:
        """Write the dentries into ``dnbl`` and count them."""
        self.nfull = len(dentries.dfull)
        self.nremote = len(dentries.dremote)
        self.nnull = len(dentries.dnull)
        self.dnbl = _write_dentries(dentries, features)


@wire(v=8, compat=5, ceph="EMetaBlob")
class EMetaBlob:
    """A change of metadata.

    Attributes:
        lump_order: the directory fragments in the order in which they change.
        roots: inodes without a dentry (root, mdsdir).
        table_tids: (table, tid) of table changes that belong to it.
        allocated_ino, preallocated_inos, used_preallocated_ino: inode numbers taken for the session
            of ``client_name``; ``inotablev`` and ``sessionmapv`` are the versions after it.
        truncate_finish: by inode, the segment in which its truncation began.
        client_reqs, client_flushes: requests and flushes that are complete with it.
    """

    lump_order: list[DirFrag] = field(List(DirFrag), factory=list)
    lump_map: dict[DirFrag, DirLump] = field(Map(DirFrag, DirLump), factory=dict)
    roots: list[FullBit] = field(Seldom(List(FullBit)), factory=list)
    table_tids: list[tuple[int, int]] = field(Seldom(List(Tuple(U8, U64))), factory=list)
    opened_ino: int = field(U64, default=0)
    allocated_ino: int = field(U64, default=0)
    used_preallocated_ino: int = field(U64, default=0)
    preallocated_inos: dict[int, int] = field(Seldom(IntervalSet), factory=dict)
    client_name: PeerName = field(PeerName, factory=lambda: PeerName(0, 0))
    inotablev: int = field(U64, default=0)
    sessionmapv: int = field(U64, default=0)
    truncate_start: list[int] = field(Seldom(List(U64)), factory=list)
    truncate_finish: dict[int, int] = field(Seldom(Map(U64, U64)), factory=dict)
    destroyed_inodes: list[int] = field(Seldom(List(U64)), factory=list)
    client_reqs: list[tuple[MetaReqId, int]] = field(List(Tuple(MetaReqId, U64)), factory=list)
    renamed_dirino: int = field(U64, default=0)
    renamed_dir_frags: list[Frag] = field(Seldom(List(Frag)), factory=list)
    unused_i: int = field(S64, default=-1, since=6)
    unused_b: bool = field(Bool, default=False, since=6)
    client_flushes: list[tuple[MetaReqId, int]] = field(
        Seldom(List(Tuple(MetaReqId, U64))), factory=list, since=8
    )
