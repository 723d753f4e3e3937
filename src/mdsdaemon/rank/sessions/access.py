"""What a client may do to an inode, by the caps of its key.

Behaviour: ceph/ceph, src/mds/SessionMap.cc (Session::check_access) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mdsdaemon.rank.errors import FsError
from mdsdaemon.types.features import FS_FILE_LAYOUT_V2, has

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.session import Session


def check_access(
    session: Session,
    inode: CInode,
    mask: int,
    uid: int,
    gid: int,
    gids: Iterable[int],
    new_uid: int,
    new_gid: int,
) -> None:
    """See `Session.check_access`."""
    stored = inode.inode
    if (
        stored.layout.pool_ns
        and inode.is_dir
        and session.connection is not None
        and not has(session.connection.features, FS_FILE_LAYOUT_V2)
    ):
        raise FsError(errno.EIO, "the client cannot understand the directory's layout")
    caps = session.auth_caps
    if caps.unlimited:
        return
    path = access_path(session, inode)
    if not caps.is_capable(
        path,
        stored.uid,
        stored.gid,
        stored.mode,
        uid,
        gid,
        gids,
        mask,
        new_uid,
        new_gid,
        session.addr,
    ):
        raise FsError(errno.EACCES, f"the client's caps do not allow it on /{path}")


def access_path(session: Session, inode: CInode) -> str:
    """The path that caps are matched with: without a leading slash; of a stray its former one."""
    if inode.is_stray:
        return inode.inode.stray_prior_path[1:]
    assert session.rank is not None
    return session.rank.cache.path_of(inode)[1:]
