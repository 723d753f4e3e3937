"""Capabilities and leases, given and taken between clients and servers.

Format: ceph/ceph, src/messages/MClientCaps.h, MClientCapRelease.h, MClientLease.h,
src/include/ceph_fs.h (Pacific; version 12 of MClientCaps: Reef).
"""

from mdsdaemon.encoding import (
    S64,
    U8,
    U16,
    U32,
    U64,
    Blob,
    DecodeError,
    List,
    Raw,
    Str,
    Time,
    field,
    wire,
)
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.client_caps import ccap_string
from mdsdaemon.types.client_ops import CapOp, cap_op_name, lease_op_name
from mdsdaemon.types.inode import INLINE_NONE
from mdsdaemon.types.layout import FileLayout, FixedFileLayout
from mdsdaemon.types.osd import NOSNAP

CEPH_MSG_CLIENT_CAPS = 0x310
CEPH_MSG_CLIENT_LEASE = 0x311
CEPH_MSG_CLIENT_CAPRELEASE = 0x313

_EXPORT = int(CapOp.EXPORT)
_IMPORT = int(CapOp.IMPORT)
_EXPORT_PADDING = 84 - 21


@wire()
class CapPeer:
    """ceph_mds_cap_peer: the capability at the other server, when one is handed on."""

    cap_id: int = field(U64, default=0)
    seq: int = field(U32, default=0)
    mseq: int = field(U32, default=0)
    mds: int = field(U32, default=0)
    flags: int = field(U8, default=0)


@message(CEPH_MSG_CLIENT_CAPS, v=11, compat=1, newest=12)
class MClientCaps(Message):
    """One capability: granted, revoked, flushed, given back; `tid` numbers a client's flushes.

    Times are nanoseconds since the epoch. `middle` holds the encoded xattrs, if any
    (`types.client_stat.encode_xattrs`).

    Attributes:
        op: a `CapOp`.
        caps, wanted, dirty: what is held, wished, and (from clients) written back with it.
        seq, issue_seq, migrate_seq: which grant it refers to.
        snapbl: realms, innermost first (`client_reply.decode_snap_trace`).
        layout: without its namespace, which is `pool_ns`.
        flockbl: unused.
        peer: the capability at the other server, of IMPORT and EXPORT.
        osd_epoch_barrier: wait for this OSD map before the caps are used.
        flags: of a client's: `CLIENT_CAPS_PENDING_CAPSNAP` and others.
        nfiles, nsubdirs: of a directory; -1 where nothing is told.
    """

    op: int = field(U32)
    ino: int = field(U64, default=0)
    realm: int = field(U64, default=0)
    cap_id: int = field(U64, default=0)
    seq: int = field(U32, default=0)
    issue_seq: int = field(U32, default=0)
    caps: int = field(U32, default=0)
    wanted: int = field(U32, default=0)
    dirty: int = field(U32, default=0)
    migrate_seq: int = field(U32, default=0)
    snap_follows: int = field(U64, default=0)
    snap_trace_len: int = field(U32, default=0, length_of="snapbl", repr=False, eq=False)
    uid: int = field(U32, default=0)
    gid: int = field(U32, default=0)
    mode: int = field(U32, default=0)
    nlink: int = field(U32, default=0)
    xattr_len: int = field(U32, default=0, length_of="middle", repr=False, eq=False)
    xattr_version: int = field(U64, default=0)
    export_peer: CapPeer = field(CapPeer, factory=CapPeer, only_if=f"op == {_EXPORT}", repr=False)
    padding: bytes = field(
        Raw(_EXPORT_PADDING),
        default=bytes(_EXPORT_PADDING),
        only_if=f"op == {_EXPORT}",
        repr=False,
        eq=False,
    )
    size: int = field(U64, default=0, only_if=f"op != {_EXPORT}")
    max_size: int = field(U64, default=0, only_if=f"op != {_EXPORT}")
    truncate_size: int = field(U64, default=0, only_if=f"op != {_EXPORT}")
    truncate_seq: int = field(U32, default=0, only_if=f"op != {_EXPORT}")
    mtime: int = field(Time, default=0, only_if=f"op != {_EXPORT}")
    atime: int = field(Time, default=0, only_if=f"op != {_EXPORT}")
    ctime: int = field(Time, default=0, only_if=f"op != {_EXPORT}")
    layout: FileLayout = field(FixedFileLayout, factory=FileLayout, only_if=f"op != {_EXPORT}")
    time_warp_seq: int = field(U32, default=0, only_if=f"op != {_EXPORT}")
    snapbl: bytes = field(Blob, default=b"", counted_by="snap_trace_len", repr=False)
    flockbl: bytes = field(Blob, default=b"", since=2, repr=False)
    import_peer: CapPeer = field(
        CapPeer, factory=CapPeer, since=3, only_if=f"op == {_IMPORT}", repr=False
    )
    inline_version: int = field(U64, default=INLINE_NONE, since=4)
    inline_data: bytes = field(Blob, default=b"", since=4, repr=False)
    osd_epoch_barrier: int = field(U32, default=0, since=5)
    oldest_flush_tid: int = field(U64, default=0, since=6)
    caller_uid: int = field(U32, default=0, since=7)
    caller_gid: int = field(U32, default=0, since=7)
    pool_ns: str = field(Str, default="", since=8)
    btime: int = field(Time, default=0, since=9)
    change_attr: int = field(U64, default=0, since=9)
    flags: int = field(U32, default=0, since=10)
    nfiles: int = field(S64, default=-1, since=11)
    nsubdirs: int = field(S64, default=-1, since=11)
    fscrypt_auth: bytes = field(Blob, default=b"", since=12)
    fscrypt_file: bytes = field(Blob, default=b"", since=12)

    @property
    def peer(self) -> CapPeer:
        """The capability at the other server, of an IMPORT or EXPORT."""
        return self.export_peer if self.op == _EXPORT else self.import_peer

    @property
    def dirstat_is_valid(self) -> bool:
        """Whether `nfiles` and `nsubdirs` are told."""
        return self.nfiles != -1 or self.nsubdirs != -1

    def received(self) -> None:
        if self.xattr_len != len(self.middle):
            why = f"{self.xattr_len} bytes of xattrs are announced, {len(self.middle)} are there"
            raise DecodeError("MClientCaps", "xattr_len", 0, why)

    def __str__(self) -> str:
        return (
            f"client_caps({cap_op_name(self.op)} ino 0x{self.ino:x} {self.cap_id} seq {self.seq}"
            + (f" tid {self.tid}" if self.tid else "")
            + f" caps={ccap_string(self.caps)} dirty={ccap_string(self.dirty)}"
            f" wanted={ccap_string(self.wanted)} follows {self.snap_follows:x}"
            f" size {self.size}/{self.max_size})"
        )


@wire()
class CapItem:
    """ceph_mds_cap_item: a capability given back."""

    ino: int = field(U64, default=0)
    cap_id: int = field(U64, default=0)
    migrate_seq: int = field(U32, default=0)
    seq: int = field(U32, default=0)


@message(CEPH_MSG_CLIENT_CAPRELEASE, v=2, compat=1)
class MClientCapRelease(Message):
    """Capabilities given back; the server waits for the OSD map of `osd_epoch_barrier` first."""

    caps: list[CapItem] = field(List(CapItem), factory=list)
    osd_epoch_barrier: int = field(U32, default=0, since=2)


@message(CEPH_MSG_CLIENT_LEASE, v=1)
class MClientLease(Message):
    """A lease on a name in directory `ino`: revoked, given back, renewed (`LeaseOp`)."""

    action: int = field(U8)
    mask: int = field(U16, default=0)
    ino: int = field(U64, default=0)
    first: int = field(U64, default=NOSNAP)
    last: int = field(U64, default=NOSNAP)
    seq: int = field(U32, default=0)
    duration_ms: int = field(U32, default=0)
    dname: str = field(Str, default="")

    def __str__(self) -> str:
        return (
            f"client_lease(a={lease_op_name(self.action)} seq {self.seq} mask {self.mask}"
            f" 0x{self.ino:x}/{self.dname})"
        )
