"""Layouts: how the data of files lies in pools and objects, set by requests of their own.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_setlayout, handle_client_setdirlayout)
(Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_SET_VXATTR, MAY_WRITE
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.maps import wait_for_map
from mdsdaemon.rank.server.new_inode import copy_layout, inherited_layout
from mdsdaemon.rank.server.traverse import base_dir, existing_live

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server
    from mdsdaemon.types.inode import Inode
    from mdsdaemon.types.layout import FileLayout


def check_changeable_layout(inode: CInode) -> None:
    """Whether a file's layout can be changed: it never had data.

    Raises:
        FsError: EINVAL, ENOTEMPTY.
    """
    if not inode.is_file:
        raise FsError(errno.EINVAL)
    if inode.inode.size or inode.inode.truncate_seq > 1:
        raise FsError(errno.ENOTEMPTY)


def check_pool(rank: RankCore, layout: FileLayout) -> None:
    """Whether data can lie in the layout's pool.

    Raises:
        FsError: EINVAL.
    """
    if not rank.mdsmap.is_data_pool(layout.pool_id):
        raise FsError(errno.EINVAL, f"pool {layout.pool_id} holds no data of this file system")


def check_layout(req: MDRequest, layout: FileLayout) -> None:
    """Whether data can be laid out so.

    Raises:
        FsError: EINVAL.
    """
    if not layout.is_valid():
        raise FsError(errno.EINVAL, "invalid layout")
    check_pool(req.rank, layout)


def handle_setlayout(server: Server, req: MDRequest) -> None:
    """Of a file."""
    inode = existing_live(req)
    check_changeable_layout(inode)
    layout, access = _asked_for(req, inode.inode.layout)
    server.rank.locker.acquire(req, x=((inode, "file"),))
    check_access(req, inode, access)

    mut = req.mutation("setlayout")
    stored = mut.inode(inode)
    change_pool(stored, layout)
    req.touch_ctime(inode)
    server.journal_and_reply(req, mut, inode=inode)


def handle_setdirlayout(server: Server, req: MDRequest) -> None:
    """Of the files below a directory that are yet to come."""
    inode = base_dir(req)
    server.rank.locker.acquire(req, x=((inode, "policy"),))
    layout, access = _asked_for(req, inherited_layout(server.rank, inode))
    check_access(req, inode, access)

    mut = req.mutation("setlayout")
    mut.inode(inode).layout = layout
    req.no_early_reply = True
    server.journal_and_reply(req, mut, inode=inode)


def change_pool(stored: Inode, layout: FileLayout) -> None:
    """A file, announced, gets this layout; where it would have lain is remembered."""
    old = stored.layout.pool_id
    if old not in stored.old_pools:
        stored.old_pools.append(old)
    stored.layout = layout


def _asked_for(req: MDRequest, old: FileLayout) -> tuple[FileLayout, int]:
    wish = req.msg.args.layout
    layout = copy_layout(old)
    layout.object_size = wish.object_size or layout.object_size
    layout.stripe_unit = wish.stripe_unit or layout.stripe_unit
    layout.stripe_count = wish.stripe_count or layout.stripe_count
    if wish.pool_id > 0:
        layout.pool_id = wish.pool_id
        wait_for_map(req)
    access = MAY_WRITE | MAY_SET_VXATTR if layout != old else MAY_WRITE
    check_layout(req, layout)
    return layout, access
