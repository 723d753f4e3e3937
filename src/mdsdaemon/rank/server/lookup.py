"""lookup, getattr, and finding inodes by number.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_getattr, handle_client_lookup_ino,
_lookup_snap_ino) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from mdsdaemon.cephx.caps import MAY_READ
from mdsdaemon.rank.cache.fragtree import get_leaf
from mdsdaemon.rank.cache.inode import MDSDIR, SYSTEM_END
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.traverse import base_inode, traverse
from mdsdaemon.rank.snap.flushes import clients_of
from mdsdaemon.rank.waiting import MustWait
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
from mdsdaemon.types.osd import NOSNAP, SNAPDIR

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server

_LOCKS = ("file", "auth", "link", "xattr")
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


class _Anybody:
    """A request that reads for whom nobody's buffers count, the client's own neither."""

    client = 0

    def __init__(self, req: MDRequest) -> None:
        self.req = req

    @property
    def locks(self) -> Any:
        return self.req.locks

    @locks.setter
    def locks(self, value: Any) -> None:
        self.req.locks = value


def lock_snapped(req: MDRequest, inode: CInode) -> None:
    """What a snapshot sees of a file must not lack what clients have yet to write back.

    Raises:
        MustWait: until they have.
    """
    rank = req.rank
    if inode.is_head:
        if inode.first <= req.snapid and not inode.is_dir:
            rank.locker.acquire(_Anybody(req), rd=[(inode, lock) for lock in _LOCKS], alone=True)
        return
    clients = clients_of(inode)
    if not clients:
        return
    head = rank.cache.get_inode(inode.ino)
    if head is not None:
        rank.locker.acquire(_Anybody(req), rd=[(head, lock) for lock in _LOCKS], alone=True)
        for client in sorted(clients):
            rank.snaps.flushes.null_flush(head, client, req.snapid + 1)
        if not clients_of(inode):
            return
    assert inode.extra is not None
    raise MustWait(inode.extra["snap_gate"])


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
    elif req.snapid != SNAPDIR and mask & _ANY:
        lock_snapped(req, inode)
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
    return base_inode(server.rank, ino)


def _lookup_snap_ino(server: Server, req: MDRequest) -> None:
    inode = _as_of(server.rank, req.msg.path.ino, req.msg.args)
    req.snapid = req.msg.args.snapid
    server.respond(req, inode=inode)


def _as_of(rank: RankCore, ino: int, args: Any) -> CInode:
    """An inode as of a snapshot; `parent` and `hash` help to find what is in no cache."""
    if is_private(ino):
        raise FsError(errno.ESTALE)
    find, snapid = rank.snaps.find_inode, args.snapid
    inode = find(ino, snapid)
    if inode is not None:
        return inode
    head = rank.cache.inodes.get(ino)
    if head is not None and head.is_dir:
        raise FsError(errno.ESTALE)
    if args.parent:
        diri = rank.cache.inodes.get(args.parent) or rank.store.need_inode(args.parent)
        if not diri.is_dir:
            raise FsError(errno.EINVAL)
        leaf = get_leaf(diri.dirfragtree, args.hash)
        rank.store.need_complete(rank.cache.add_dir(diri, leaf))
        inode = find(ino, snapid)
        if inode is not None:
            return inode
    elif head is None:
        head = rank.store.need_inode(ino)
        if find(ino, snapid) is head:
            return head
    raise FsError(errno.ESTALE)
