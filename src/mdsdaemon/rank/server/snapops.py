"""Snapshots by request: refused, but for the list of none.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_lssnap, handle_client_mksnap) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_READ
from mdsdaemon.messages.client_reply import ListingWriter
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.reply import encoding_for
from mdsdaemon.rank.server.traverse import base_inode
from mdsdaemon.types.client_ops import READDIR_FRAG_COMPLETE, READDIR_FRAG_END, MdsOp
from mdsdaemon.types.client_stat import DirStat

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server


def handle_lssnap(server: Server, req: MDRequest) -> None:
    """The snapshots of a directory, while there are none."""
    rank = server.rank
    diri = base_inode(rank, req.msg.path.ino)
    if not diri.is_dir:
        raise FsError(errno.ENOTDIR)
    if rank.snaps.any_snapshots:
        raise FsError(errno.EOPNOTSUPP)
    check_access(req, diri, MAY_READ)
    writer = ListingWriter(encoding_for(req.session), DirStat())
    flags = READDIR_FRAG_END | READDIR_FRAG_COMPLETE
    server.respond(req, inode=diri, extra=writer.finish(flags))


def refuse(server: Server, req: MDRequest) -> None:
    """Not served here."""
    raise FsError(errno.EOPNOTSUPP)


SNAP_HANDLERS: dict[MdsOp, Callable[[Server, MDRequest], None]] = {
    MdsOp.LSSNAP: handle_lssnap,
    MdsOp.MKSNAP: refuse,
    MdsOp.RMSNAP: refuse,
    MdsOp.RENAMESNAP: refuse,
}
