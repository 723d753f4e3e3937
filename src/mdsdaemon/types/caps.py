"""Capabilities of clients on inodes, as they are handed on.

Format: ceph/ceph, src/mds/Capability.h and .cc, src/mds/mdstypes.h, src/include/ceph_fs.h,
src/messages/MClientRequest.h (Pacific).
"""

from mdsdaemon.encoding import U32, U64, Blob, List, Str, Time, field, wire


@wire(v=2, compat=2, ceph="Capability::revoke_info")
class RevokeInfo:
    """A revocation under way: what was issued ``before``."""

    before: int = field(U32, default=0)
    seq: int = field(U32, default=0)
    last_issue: int = field(U32, default=0)


@wire(v=2, compat=2, ceph="Capability")
class Capability:
    """What a client may do with an inode."""

    last_sent: int = field(U32, default=0)
    last_issue_stamp: int = field(Time, default=0)
    wanted: int = field(U32, default=0)
    pending: int = field(U32, default=0)
    revokes: list[RevokeInfo] = field(List(RevokeInfo), factory=list)


@wire(v=3, compat=2, ceph="Capability::Export")
class CapExport:
    """A capability on its way to the server that takes over the inode."""

    cap_id: int = field(U64, default=0)
    wanted: int = field(U32, default=0)
    issued: int = field(U32, default=0)
    pending: int = field(U32, default=0)
    client_follows: int = field(U64, default=0)
    seq: int = field(U32, default=0)
    mseq: int = field(U32, default=0)
    last_issue_stamp: int = field(Time, default=0)
    state: int = field(U32, default=0, since=3)


@wire(v=1, compat=1, ceph="Capability::Import")
class CapImport:
    """The answer: the capability's new id."""

    cap_id: int = field(U64, default=0)
    issue_seq: int = field(U32, default=0)
    mseq: int = field(U32, default=0)


@wire()
class CapReconnectBody:
    """ceph_mds_cap_reconnect and the file locks after it."""

    cap_id: int = field(U64, default=0)
    wanted: int = field(U32, default=0)
    issued: int = field(U32, default=0)
    snaprealm: int = field(U64, default=0)
    pathbase: int = field(U64, default=0)
    flocks: bytes = field(Blob, default=b"")


@wire(v=2, compat=1, ceph="cap_reconnect_t")
class CapReconnect:
    """cap_reconnect_t: a capability that a client claims after a failover."""

    path: str = field(Str, default="")
    body: CapReconnectBody = field(CapReconnectBody, factory=CapReconnectBody)
    snap_follows: int = field(U64, default=0, since=2)


@wire(ceph="MClientRequest::Release")
class Release:
    """MClientRequest::Release: capabilities and a dentry lease given back with a request."""

    ino: int = field(U64, default=0)
    cap_id: int = field(U64, default=0)
    caps: int = field(U32, default=0)
    wanted: int = field(U32, default=0)
    seq: int = field(U32, default=0)
    issue_seq: int = field(U32, default=0)
    mseq: int = field(U32, default=0)
    dname_seq: int = field(U32, default=0)
    dname_len: int = field(U32, default=0, length_of="dname", repr=False, eq=False, kw_only=True)
    dname: str = field(Str, default="", counted_by="dname_len")
