"""What clients ask of metadata servers: operations, their flags and masks, by number and name.

Format: ceph/ceph, src/include/ceph_fs.h, src/common/ceph_strings.cc (Pacific 16.2.15).
"""

from enum import IntEnum

MDS_OP_WRITE = 0x1000
"""The bit of all operations that change something."""


class MdsOp(IntEnum):
    """CEPH_MDS_OP_*: the operation of a request. From FRAGMENTDIR on they are a server's own."""

    LOOKUP = 0x0100
    GETATTR = 0x0101
    LOOKUPHASH = 0x0102
    LOOKUPPARENT = 0x0103
    LOOKUPINO = 0x0104
    LOOKUPNAME = 0x0105
    GETVXATTR = 0x0106
    GETFILELOCK = 0x0110
    OPEN = 0x0302
    READDIR = 0x0305
    LOOKUPSNAP = 0x0400
    LSSNAP = 0x0402
    SETXATTR = 0x1105
    RMXATTR = 0x1106
    SETLAYOUT = 0x1107
    SETATTR = 0x1108
    SETFILELOCK = 0x1109
    SETDIRLAYOUT = 0x110A
    MKNOD = 0x1201
    LINK = 0x1202
    UNLINK = 0x1203
    RENAME = 0x1204
    MKDIR = 0x1220
    RMDIR = 0x1221
    SYMLINK = 0x1222
    CREATE = 0x1301
    MKSNAP = 0x1400
    RMSNAP = 0x1401
    RENAMESNAP = 0x1403
    FRAGMENTDIR = 0x1500
    EXPORTDIR = 0x1501
    FLUSH = 0x1502
    ENQUEUE_SCRUB = 0x1503
    REPAIR_FRAGSTATS = 0x1504
    REPAIR_INODESTATS = 0x1505
    RDLOCK_FRAGSSTATS = 0x1507


_OP_NAMES = {int(op): op.name.lower() for op in MdsOp if op is not MdsOp.RDLOCK_FRAGSSTATS}
_OP_NAMES[MdsOp.SETLAYOUT] = "setlayou"
_OP_NAMES[MdsOp.FLUSH] = "flush_path"


def mds_op_name(op: int) -> str:
    """The operation as Ceph prints it (``setlayou`` too), ``???`` for one it does not know."""
    return _OP_NAMES.get(op, "???")


# Flags of a request.
MDS_FLAG_REPLAY = 1
"""The client has an unsafe reply to it and asks once more, after a failover."""
MDS_FLAG_WANT_DENTRY = 2
MDS_FLAG_ASYNC = 4

# What a setattr sets.
SETATTR_MODE = 1 << 0
SETATTR_UID = 1 << 1
SETATTR_GID = 1 << 2
SETATTR_MTIME = 1 << 3
SETATTR_ATIME = 1 << 4
SETATTR_SIZE = 1 << 5
SETATTR_CTIME = 1 << 6
SETATTR_MTIME_NOW = 1 << 7
SETATTR_ATIME_NOW = 1 << 8
SETATTR_BTIME = 1 << 9
SETATTR_KILL_SGUID = 1 << 10

# How a file is opened: Ceph's own numbers, which are those of Linux on x86.
O_RDONLY = 0o0
O_WRONLY = 0o1
O_RDWR = 0o2
O_ACCMODE = 0o3
O_CREAT = 0o100
O_EXCL = 0o200
O_TRUNC = 0o1000
O_LAZY = 0o20000
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000

# Flags of a setxattr.
XATTR_CREATE = 1 << 0
XATTR_REPLACE = 1 << 1
XATTR_REMOVE = 1 << 31

# Flags of a readdir, and of its reply.
READDIR_REPLY_BITFLAGS = 1 << 0
READDIR_FRAG_END = 1 << 0
READDIR_FRAG_COMPLETE = 1 << 8
READDIR_HASH_ORDER = 1 << 9
READDIR_OFFSET_HASH = 1 << 10

# A dentry's lease in a reply.
LEASE_VALID = 1 | 2
LEASE_PRIMARY_LINK = 4


class SessionOp(IntEnum):
    """CEPH_SESSION_*: `op` of an `MClientSession`."""

    REQUEST_OPEN = 0
    OPEN = 1
    REQUEST_CLOSE = 2
    CLOSE = 3
    REQUEST_RENEWCAPS = 4
    RENEWCAPS = 5
    STALE = 6
    RECALL_STATE = 7
    FLUSHMSG = 8
    FLUSHMSG_ACK = 9
    FORCE_RO = 10
    REJECT = 11
    REQUEST_FLUSH_MDLOG = 12


class CapOp(IntEnum):
    """CEPH_CAP_OP_*: `op` of an `MClientCaps`."""

    GRANT = 0
    REVOKE = 1
    TRUNC = 2
    EXPORT = 3
    IMPORT = 4
    UPDATE = 5
    DROP = 6
    FLUSH = 7
    FLUSH_ACK = 8
    FLUSHSNAP = 9
    FLUSHSNAP_ACK = 10
    RELEASE = 11
    RENEW = 12


class LeaseOp(IntEnum):
    """CEPH_MDS_LEASE_*: `action` of an `MClientLease`."""

    REVOKE = 1
    RELEASE = 2
    RENEW = 3
    REVOKE_ACK = 4


class SnapOp(IntEnum):
    """CEPH_SNAP_OP_*: `op` of an `MClientSnap`."""

    UPDATE = 0
    CREATE = 1
    DESTROY = 2
    SPLIT = 3


def _name(kind: type[IntEnum], op: int) -> str:
    return kind(op).name.lower() if op in kind._value2member_map_ else "???"


def session_op_name(op: int) -> str:
    """A session operation as Ceph prints it, ``???`` for one it does not know."""
    if op == SessionOp.REQUEST_FLUSH_MDLOG:
        return "request_flushmdlog"
    return _name(SessionOp, op)


def cap_op_name(op: int) -> str:
    """A caps operation as Ceph prints it, ``???`` for one it does not know."""
    return _name(CapOp, op)


def lease_op_name(op: int) -> str:
    """A lease operation as Ceph prints it, ``???`` for one it does not know."""
    return _name(LeaseOp, op)


def snap_op_name(op: int) -> str:
    """A snapshot operation as Ceph prints it, ``???`` for one it does not know."""
    return _name(SnapOp, op)
