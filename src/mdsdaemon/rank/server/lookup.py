"""lookup, getattr, and finding inodes by number.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_getattr, handle_client_lookup_ino,
_lookup_snap_ino) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_READ
from mdsdaemon.rank.cache.inode import MDSDIR, SYSTEM_END
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.traverse import traverse
from mdsdaemon.types.client_caps import (
    CAP_AUTH_EXCL,
    CAP_AUTH_SHARED,
    CAP_FILE_EXCL,
    CAP_FILE_SHARED,
    CAP_LINK_EXCL,
    CAP_LINK_SHARED,
    CAP_XATTR_EXCL,
    CAP_XATTR_SHARED,
)
from mdsdaemon.types.client_ops import MdsOp
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server

_ANY = CAP_LINK_SHARED | CAP_AUTH_SHARED | CAP_XATTR_SHARED | CAP_FILE_SHARED


def attribute_locks(req: MDRequest, inode: CInode, mask: int) -> list[tuple[CInode, str]]:
    """What must be read-locked to tell the client these attributes.

    Not what the client may change by itself: its own value holds.
    """
    locks: list[tuple[CInode, str]] = []
    if not mask & _ANY:
        return locks
    caps = inode.caps
    cap = caps.get(req.client) if caps else None
    issued = 0 if cap is None else cap.issued
    if mask & CAP_LINK_SHARED and not issued & CAP_LINK_EXCL:
        locks.append((inode, "link"))
    if mask & CAP_AUTH_SHARED and not issued & CAP_AUTH_EXCL:
        locks.append((inode, "auth"))
    if mask & CAP_XATTR_SHARED and not issued & CAP_XATTR_EXCL:
        locks.append((inode, "xattr"))
    if mask & CAP_FILE_SHARED and not issued & CAP_FILE_EXCL:
        locks.append((inode, "file"))
    return locks


def handle_getattr(server: Server, req: MDRequest) -> None:
    """Attributes of what a path leads to; a lookup tells of its name too."""
    is_lookup = req.op == MdsOp.LOOKUP
    path = req.msg.path
    if is_lookup and not path.path:
        raise FsError(errno.EINVAL, "a lookup without a name")
    found = traverse(req, path)
    inode = found.inode
    assert inode is not None
    mask = req.getattr_caps = req.msg.args.mask
    if req.snapid == NOSNAP:
        locks = attribute_locks(req, inode, mask)
        if locks:
            server.rank.locker.acquire(req, rd=locks)
    check_access(req, inode, MAY_READ)
    server.respond(req, inode=inode, dentry=found.dentry if is_lookup else None)


def handle_lookup_ino(server: Server, req: MDRequest) -> None:
    """lookupino, lookuphash, lookupparent, lookupname: an inode by its number."""
    want_parent = req.op == MdsOp.LOOKUPPARENT
    want_dentry = req.op == MdsOp.LOOKUPNAME
    if req.op == MdsOp.LOOKUPINO and req.msg.args.snapid:
        _lookup_snap_ino(server, req)
        return
    inode = _inode_by_number(server, req.msg.path.ino)
    check_access(req, inode, 0)
    parent = inode.parent
    diri = None if parent is None else parent.dir.inode
    rd: list[tuple[object, str]] = []
    if parent is not None and (want_parent or want_dentry):
        rd.append((parent, "dn"))
    mask = req.msg.args.mask if hasattr(req.msg.args, "mask") else 0
    if mask:
        req.getattr_caps = mask
        rd += attribute_locks(req, inode, mask & (CAP_AUTH_SHARED | CAP_XATTR_SHARED))
    if rd:
        server.rank.locker.acquire(req, rd=rd)
        if diri is not None:
            check_access(req, diri, MAY_READ)
    if want_parent:
        if inode.is_base:
            raise FsError(errno.EINVAL)
        if diri is None or diri.is_stray_dir:
            raise FsError(errno.ESTALE)
        server.respond(req, inode=diri)
        return
    if want_dentry:
        wanted = req.msg.path2.ino
        if diri is None or (wanted and diri.ino != wanted):
            raise FsError(errno.ENOENT)
    server.respond(req, inode=inode, dentry=parent if want_dentry else None)


def is_private(ino: int) -> bool:
    """Whether a number is one of the servers' own objects, which clients may not look for."""
    return MDSDIR <= ino < SYSTEM_END


def _inode_by_number(server: Server, ino: int) -> CInode:
    if is_private(ino):
        raise FsError(errno.ESTALE)
    inode = server.rank.cache.inodes.get(ino)
    if inode is None:
        inode = server.rank.store.need_inode(ino)
    if server.rank.strays.is_purging(inode):
        raise FsError(errno.ESTALE)
    return inode


def _lookup_snap_ino(server: Server, req: MDRequest) -> None:
    """An inode as of a snapshot; `parent` and `hash` help to find what is in no cache."""
    rank, args = server.rank, req.msg.args
    ino, snapid = req.msg.path.ino, args.snapid
    if is_private(ino):
        raise FsError(errno.ESTALE)
    find = getattr(rank.snaps, "find_inode", None)
    inode = find(ino, snapid) if find is not None else None
    if inode is not None:
        req.snapid = snapid
        server.respond(req, inode=inode)
        return
    if args.parent:
        diri = rank.cache.inodes.get(args.parent) or rank.store.need_inode(args.parent)
        if not diri.is_dir:
            raise FsError(errno.EINVAL)
        rank.store.all_dirs(diri)
        inode = find(ino, snapid) if find is not None else None
        if inode is not None:
            req.snapid = snapid
            server.respond(req, inode=inode)
            return
        raise FsError(errno.ESTALE)
    rank.store.need_inode(ino)
    raise FsError(errno.ESTALE)
