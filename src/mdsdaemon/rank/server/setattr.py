"""setattr: owner, mode, times and size; cutting a file off.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_setattr), src/mds/mdstypes.h (truncate)
(Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_CHGRP, MAY_CHOWN, MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.traverse import existing_live
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types.client_ops import (
    SETATTR_ATIME,
    SETATTR_BTIME,
    SETATTR_GID,
    SETATTR_KILL_SGUID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
)
from mdsdaemon.types.inode import S_IFMT, S_IFREG

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server
    from mdsdaemon.types.client_args import SetattrArgs
    from mdsdaemon.types.inode import Inode

_AUTH = SETATTR_MODE | SETATTR_UID | SETATTR_GID | SETATTR_BTIME | SETATTR_KILL_SGUID
_FILE = SETATTR_MTIME | SETATTR_ATIME | SETATTR_SIZE
_TIMES = SETATTR_ATIME | SETATTR_MTIME | SETATTR_BTIME
S_IXALL = 0o111
S_ISUGID = 0o6000


def known_size(stored: Inode, claimed: int) -> int:
    """How long a file may be: a client may have written more than it has told, in its range.

    What it claims beyond that would only have us look for objects that nobody could make.
    """
    range_end = max((held.last for held in stored.client_ranges.values()), default=0)
    return max(stored.size, min(claimed, range_end))


def truncate(stored: Inode, old_size: int, new_size: int) -> None:
    """Cut off what lies behind `new_size`; clients and the objects follow later."""
    stored.max_size_ever = max(stored.max_size_ever, old_size)
    stored.truncate_from = old_size
    stored.size = stored.truncate_size = new_size
    stored.rstat.rbytes = new_size
    stored.truncate_seq += 1
    stored.truncate_pending += 1


def wait_truncated(rank: RankCore, inode: CInode) -> None:
    """A file is cut off only once at a time.

    Raises:
        MustWait: until its objects are cut off.
    """
    if inode.inode.truncate_pending:
        raise MustWait(rank.truncator.gate(inode))


def handle_setattr(server: Server, req: MDRequest) -> None:
    """Set what the mask says."""
    rank = server.rank
    args: SetattrArgs = req.msg.args
    inode = existing_live(req)
    if inode.is_system and not inode.is_base:
        raise FsError(errno.EPERM)
    mask = args.mask
    x: list[tuple[CInode, str]] = []
    if mask & _AUTH:
        x.append((inode, "auth"))
    if mask & _FILE:
        x.append((inode, "file"))
    if x:
        rank.locker.acquire(req, x=x)

    stored = inode.inode
    access = MAY_WRITE
    if mask & SETATTR_UID and stored.uid != args.uid:
        access |= MAY_CHOWN
    if mask & SETATTR_GID and stored.gid != args.gid:
        access |= MAY_CHGRP
    check_access(req, inode, access, args.uid, args.gid)
    # the size of a directory would spoil the sums above it, that of a link is its content's
    sized = bool(mask & SETATTR_SIZE) and not (inode.is_dir or inode.is_symlink)
    old_size = known_size(stored, args.old_size)
    if sized and args.size > max(rank.mdsmap.max_file_size, old_size):
        raise FsError(errno.EFBIG)  # stock clients ask for no such thing
    if server.is_full and args.size > old_size:
        raise FsError(errno.ENOSPC)
    smaller = sized and args.size < old_size
    if smaller:
        wait_truncated(rank, inode)

    new_ranges = False
    mut = req.mutation("setattr")
    stored = mut.inode(inode)
    _set_owner_and_mode(stored, args)
    _set_times(stored, args)
    if sized:
        if smaller:
            truncate(stored, old_size, args.size)
            mut.blob.truncate_start.append(inode.ino)
        else:
            stored.size = stored.rstat.rbytes = args.size
        stored.mtime = req.stamp
        new_ranges = rank.locker.adjust_client_ranges(inode, stored.size)
    req.touch_ctime(inode)
    server.journal_and_reply(req, mut, inode=inode, truncated=smaller, new_ranges=new_ranges)


def _set_owner_and_mode(stored: Inode, args: SetattrArgs) -> None:
    mask = args.mask
    if mask & SETATTR_UID:
        stored.uid = args.uid
    if mask & SETATTR_GID:
        stored.gid = args.gid
    if mask & SETATTR_MODE:
        stored.mode = stored.mode & ~0o7777 | args.mode & 0o7777
    elif (
        mask & (SETATTR_UID | SETATTR_GID | SETATTR_KILL_SGUID)
        and stored.mode & S_IFMT == S_IFREG
        and stored.mode & S_IXALL
    ):
        stored.mode &= ~S_ISUGID


def _set_times(stored: Inode, args: SetattrArgs) -> None:
    mask = args.mask
    if mask & SETATTR_MTIME:
        stored.mtime = args.mtime
    if mask & SETATTR_ATIME:
        stored.atime = args.atime
    if mask & SETATTR_BTIME:
        stored.btime = args.btime
    if mask & _TIMES:
        stored.time_warp_seq += 1
