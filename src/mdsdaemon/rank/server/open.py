"""Opening what is there, with O_TRUNC.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_open, do_open_truncate) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_READ, MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.lookup import attribute_locks, lock_snapped
from mdsdaemon.rank.server.setattr import known_size, truncate, wait_truncated
from mdsdaemon.rank.server.traverse import traverse
from mdsdaemon.types.client_caps import (
    CAP_AUTH_SHARED,
    CAP_XATTR_SHARED,
    FILE_MODE_PIN,
    FILE_MODE_WR,
    flags_to_mode,
)
from mdsdaemon.types.client_ops import O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_TRUNC
from mdsdaemon.types.features import MDS_INLINE_DATA, has
from mdsdaemon.types.inode import INLINE_NONE, ClientWriteableRange
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server


def handle_open(server: Server, req: MDRequest) -> None:
    """Open what the path leads to."""
    if flags_to_mode(req.msg.args.flags) & FILE_MODE_WR and server.rank.read_only:
        raise FsError(errno.EROFS)
    found = traverse(req, req.msg.path)
    assert found.inode is not None
    open_inode(server, req, found.inode, found.dentry)


def open_inode(server: Server, req: MDRequest, inode: CInode, dn: CDentry | None) -> None:
    """Open this inode: the client gets capabilities for what it wants to do."""
    rank, args = server.rank, req.msg.args
    flags = args.flags
    mode = flags_to_mode(flags)
    is_file = inode.is_file
    if not is_file:
        mode = FILE_MODE_PIN
        if inode.is_symlink and not flags & O_NOFOLLOW:
            flags &= ~O_TRUNC  # the client follows it
    _check_kind(req, inode, flags)
    if req.snapid != NOSNAP and (mode & FILE_MODE_WR or args.flags & (O_CREAT | O_TRUNC)):
        raise FsError(errno.EROFS, "a snapshot")
    rd: list[tuple[CInode, str]] = []
    if args.mask:
        req.getattr_caps = args.mask
        rd = attribute_locks(req, inode, args.mask & (CAP_AUTH_SHARED | CAP_XATTR_SHARED))
    if not req.msg.wants_dentry:
        dn = None

    if flags & O_TRUNC and not req.has_completed:
        rank.locker.acquire(req, rd=rd, x=((inode, "file"),))
        check_access(req, inode, MAY_WRITE)
        wait_truncated(rank, inode)
        _open_truncate(server, req, inode, dn, mode)
        return

    if req.snapid != NOSNAP:
        # readers of a snapshot find in RADOS what others had in their buffers
        lock_snapped(req, inode)
    elif rd:
        rank.locker.acquire(req, rd=rd)
    check_access(req, inode, MAY_READ | MAY_WRITE if mode & FILE_MODE_WR else MAY_READ)
    if (is_file or inode.is_dir) and req.snapid == NOSNAP:
        rank.locker.issue_new_caps(inode, req.session, mode)
    if mode & FILE_MODE_WR:
        rank.locker.check_max_size(inode)
    server.respond(req, inode=inode, dentry=dn)


def _check_kind(req: MDRequest, inode: CInode, flags: int) -> None:
    if flags & O_DIRECTORY and not inode.is_dir and not inode.is_symlink:
        raise FsError(errno.EINVAL, "O_DIRECTORY on what is none")
    if flags & O_TRUNC and not inode.is_file:
        raise FsError(errno.EISDIR if inode.is_dir else errno.EINVAL)
    if inode.inode.inline_data.version != INLINE_NONE and inode.is_file:
        connection = req.session.connection
        if connection is not None and not has(connection.features, MDS_INLINE_DATA):
            raise FsError(errno.EPERM, "the client knows no inline data")


def _open_truncate(
    server: Server, req: MDRequest, inode: CInode, dn: CDentry | None, mode: int
) -> None:
    rank = server.rank
    rank.locker.issue_new_caps(inode, req.session, mode)
    mut = req.mutation("open_truncate")
    stored = mut.inode(inode)
    stored.mtime = req.stamp
    req.touch_ctime(inode)
    old_size = known_size(stored, req.msg.args.old_size)
    if old_size:
        truncate(stored, old_size, 0)
        mut.blob.truncate_start.append(inode.ino)
    new_ranges = bool(mode & FILE_MODE_WR)
    if new_ranges:
        stored.client_ranges[req.client] = ClientWriteableRange(
            0, stored.layout.period, rank.snaps.newest_seq(inode)
        )
    mut.blob.opened_ino = inode.ino
    server.journal_and_reply(
        req, mut, inode=inode, dentry=dn, truncated=bool(old_size), new_ranges=new_ranges
    )
