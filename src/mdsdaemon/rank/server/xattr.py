"""setxattr and rmxattr. Names that begin with `ceph.` are not stored but mean something: `vxattr`.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_setxattr, handle_client_removexattr,
xattr_validate, mirror_info_*) (Pacific)
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.traverse import existing_live
from mdsdaemon.rank.server.vxattr import is_ceph_vxattr, remove_vxattr, set_vxattr
from mdsdaemon.types.client_ops import XATTR_CREATE, XATTR_REMOVE, XATTR_REPLACE

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server

MIRROR_INFO = "ceph.mirror.info"
MIRROR_CLUSTER, MIRROR_FS = "ceph.mirror.info.cluster_id", "ceph.mirror.info.fs_id"
_MIRROR = re.compile(
    r"^cluster_id=([a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}) fs_id=(\d+)$"
)


def is_allowed(name: str) -> bool:
    """Whether an attribute of this name can be stored."""
    return not name.startswith("ceph.") or name in {MIRROR_INFO, "ceph.mirror.dirty_snap_id"}


def size_of(name: str) -> int:
    """Bytes of a name."""
    return len(name.encode("utf-8", "surrogateescape"))


def handle_setxattr(server: Server, req: MDRequest) -> None:
    """`path2` is the attribute's name, the data its value."""
    name, value = req.msg.path2.path, bytes(req.msg.data)
    if is_ceph_vxattr(name):
        set_vxattr(server, req)
        return
    inode = _target(req, name)
    flags = req.msg.args.flags
    check_access(req, inode, MAY_WRITE)
    if inode.xattrs:
        held = sum(
            size_of(other) + len(content)
            for other, content in inode.xattrs.items()
            if not (flags & XATTR_REPLACE and other == name)
        )
        most = server.rank.config.get_int("mds_max_xattr_pairs_size")
        if held + size_of(name) + len(value) > most:
            raise FsError(errno.ENOSPC, f"more than {most} bytes of attributes")
    new = _checked(inode, name, value, flags)
    gone = list(new) if flags & XATTR_REMOVE else []
    _change(server, req, inode, "setxattr", {} if gone else new, gone)


def handle_rmxattr(server: Server, req: MDRequest) -> None:
    """`path2` is the attribute's name."""
    name = req.msg.path2.path
    if is_ceph_vxattr(name):
        remove_vxattr(server, req)
        return
    inode = _target(req, name)
    gone = [name]
    if name == MIRROR_INFO:
        if not inode.is_root:
            raise FsError(errno.EINVAL)
        gone = [MIRROR_CLUSTER, MIRROR_FS]
    if gone[0] not in inode.xattrs:
        raise FsError(errno.ENODATA)
    _change(server, req, inode, "removexattr", {}, gone)


def _target(req: MDRequest, name: str) -> CInode:
    """The inode whose attribute is to change, locked."""
    if not is_allowed(name):
        raise FsError(errno.EINVAL)
    inode = existing_live(req)
    req.rank.locker.acquire(req, x=((inode, "xattr"),))
    return inode


def _checked(inode: CInode, name: str, value: bytes, flags: int) -> dict[str, bytes]:
    """What is to be stored."""
    if name != MIRROR_INFO:
        _check_flags(inode, name, flags)
        return {name: value}
    if not inode.is_root:
        raise FsError(errno.EINVAL)
    _check_flags(inode, MIRROR_CLUSTER, flags)
    match = _MIRROR.match(value.decode("utf-8", "surrogateescape"))
    if match is None:
        raise FsError(errno.EINVAL)
    return {MIRROR_CLUSTER: match[1].encode(), MIRROR_FS: match[2].encode()}


def _check_flags(inode: CInode, name: str, flags: int) -> None:
    there = name in inode.xattrs
    if flags & XATTR_CREATE and there:
        raise FsError(errno.EEXIST)
    if flags & XATTR_REPLACE and not there:
        raise FsError(errno.ENODATA)


def _change(
    server: Server,
    req: MDRequest,
    inode: CInode,
    kind: str,
    new: dict[str, bytes],
    gone: list[str],
) -> None:
    mut = req.mutation(kind)
    stored = mut.inode(inode)
    req.touch_ctime(inode)
    stored.xattr_version += 1
    if "encryption.ctx" in new:
        stored.fscrypt = True
    # a new map: what was handed to a snapshot or an event must stay as it was
    inode.xattrs = {k: v for k, v in inode.xattrs.items() if k not in gone} | new
    server.journal_and_reply(req, mut, inode=inode)
