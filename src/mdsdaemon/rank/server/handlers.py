"""Which function serves which operation, and the counter of its latency.

Behaviour: ceph/ceph, src/mds/Server.cc (dispatch_client_request, perf_gather_op_latency) (Pacific)
"""

from __future__ import annotations

from mdsdaemon.rank.server.create import handle_mkdir, handle_mknod, handle_openc, handle_symlink
from mdsdaemon.rank.server.filelock import handle_getfilelock, handle_setfilelock
from mdsdaemon.rank.server.layout import handle_setdirlayout, handle_setlayout
from mdsdaemon.rank.server.link import handle_link
from mdsdaemon.rank.server.lookup import handle_getattr, handle_lookup_ino
from mdsdaemon.rank.server.open import handle_open
from mdsdaemon.rank.server.readdir import handle_readdir
from mdsdaemon.rank.server.rename import handle_rename
from mdsdaemon.rank.server.setattr import handle_setattr
from mdsdaemon.rank.server.snapops import SNAP_HANDLERS
from mdsdaemon.rank.server.unlink import handle_unlink
from mdsdaemon.rank.server.vxattr import handle_getvxattr
from mdsdaemon.rank.server.xattr import handle_rmxattr, handle_setxattr
from mdsdaemon.types.client_ops import MdsOp

HANDLERS = {
    MdsOp.LOOKUP: handle_getattr,
    MdsOp.GETATTR: handle_getattr,
    MdsOp.LOOKUPSNAP: handle_getattr,
    MdsOp.LOOKUPHASH: handle_lookup_ino,
    MdsOp.LOOKUPINO: handle_lookup_ino,
    MdsOp.LOOKUPPARENT: handle_lookup_ino,
    MdsOp.LOOKUPNAME: handle_lookup_ino,
    MdsOp.GETVXATTR: handle_getvxattr,
    MdsOp.READDIR: handle_readdir,
    MdsOp.OPEN: handle_open,
    MdsOp.CREATE: handle_openc,
    MdsOp.MKNOD: handle_mknod,
    MdsOp.MKDIR: handle_mkdir,
    MdsOp.SYMLINK: handle_symlink,
    MdsOp.LINK: handle_link,
    MdsOp.UNLINK: handle_unlink,
    MdsOp.RMDIR: handle_unlink,
    MdsOp.RENAME: handle_rename,
    MdsOp.SETATTR: handle_setattr,
    MdsOp.SETXATTR: handle_setxattr,
    MdsOp.RMXATTR: handle_rmxattr,
    MdsOp.SETLAYOUT: handle_setlayout,
    MdsOp.SETDIRLAYOUT: handle_setdirlayout,
    MdsOp.SETFILELOCK: handle_setfilelock,
    MdsOp.GETFILELOCK: handle_getfilelock,
    **SNAP_HANDLERS,
}
"""By operation: `(server, request)`, to be tried."""

WHEN_FULL = {
    MdsOp.SETLAYOUT,
    MdsOp.SETDIRLAYOUT,
    MdsOp.SETXATTR,
    MdsOp.RMXATTR,
    MdsOp.CREATE,
    MdsOp.SYMLINK,
    MdsOp.MKSNAP,
    MdsOp.LINK,
    MdsOp.RENAME,
}
"""What is refused while the metadata pool is full."""

COUNTERS = {op: f"req_{op.name.lower()}_latency" for op in HANDLERS}
"""By operation: the performance counter of the time that it takes."""
