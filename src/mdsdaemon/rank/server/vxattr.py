"""Virtual extended attributes: `ceph.dir.layout*`, `ceph.file.layout*`, `ceph.quota*`,
`ceph.dir.pin*`, `ceph.dir.subvolume`.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_set_vxattr, handle_remove_vxattr), and of the live
16.2.15 its handle_client_getvxattr
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_SET_VXATTR
from mdsdaemon.encoding import encode
from mdsdaemon.messages.client_reply import VxattrValue
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server import quota, realms
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.layout import change_pool, check_changeable_layout
from mdsdaemon.rank.server.new_inode import copy_layout, has_layout, inherited_layout
from mdsdaemon.rank.server.traverse import base_inode, existing
from mdsdaemon.rank.server.vxattr_values import (
    NoSuchPool,
    layout_json,
    parse_bool,
    parse_float,
    parse_int,
    parse_layout,
    parse_quota,
)
from mdsdaemon.rank.snap.nodes import node_of
from mdsdaemon.rank.snap.notify import announce
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.snap import SnapRealm

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server

_EXACT = {"ceph.dir.subvolume", "ceph.dir.pin", "ceph.dir.pin.random", "ceph.dir.pin.distributed"}
_PREFIXES = ("ceph.dir.layout", "ceph.file.layout", "ceph.quota")
NO_RANK = -1
SUBVOLUME = SnapRealm.SUBVOLUME
Setter = Callable[["Server", "MDRequest", "CInode", str], "Mutation | None"]


def is_ceph_vxattr(name: str) -> bool:
    """Whether an attribute of this name is not stored as such."""
    return name.startswith(_PREFIXES) or name in _EXACT


# -- setting ---------------------------------------------------------------------------------


def set_vxattr(server: Server, req: MDRequest) -> None:
    """Set the one that `path2` names, on the inode where `path` begins."""
    inode = base_inode(server.rank, req.msg.path.ino)
    name = req.msg.path2.path
    value = bytes(req.msg.data).decode("utf-8", "surrogateescape")
    check_access(req, inode, MAY_SET_VXATTR)
    realm, limits = inode.snaprealm_blob, inode.inode.quota
    mut = _setter(name)(server, req, inode, value)
    if mut is None:
        # it has that value already
        server.respond(req, after=server.others_end(req.client))
        return
    req.touch_ctime(inode)
    if inode.is_file:
        mut.backtrace(inode, pool=True)
    server.journal_and_reply(req, mut, inode=inode)
    if inode.inode.quota != limits:
        quota.broadcast(server.rank, inode, exclude=req.client, changed=True)
    if inode.snaprealm_blob != realm:
        announce(server.rank, inode, server.rank.mdlog.write_pos, new=not realm)


def _setter(name: str) -> Setter:
    if name.startswith("ceph.dir.layout"):
        return _set_dir_layout
    if name.startswith("ceph.file.layout"):
        return _set_file_layout
    if name.startswith("ceph.quota"):
        return _set_quota
    setter = _SETTERS.get(name)
    if setter is None:
        raise FsError(errno.EINVAL, f"no attribute {name}")
    return setter


def _parsed_layout(req: MDRequest, layout: FileLayout, value: str) -> FileLayout:
    name = req.msg.path2.path
    field = name[name.index("layout") :]
    try:
        return parse_layout(req.rank, field, value, layout)
    except NoSuchPool as error:
        epoch = req.msg.args.osdmap_epoch if hasattr(req.msg.args, "osdmap_epoch") else 0
        error.wait_for_newer_map(req.rank, epoch)
        raise FsError(errno.EINVAL, str(error)) from error


def _set_dir_layout(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    if not inode.is_dir:
        raise FsError(errno.EINVAL)
    server.rank.locker.acquire(req, x=((inode, "policy"),))
    layout = _parsed_layout(req, inherited_layout(server.rank, inode), value)
    mut = req.mutation("set vxattr layout")
    mut.inode(inode).layout = layout
    req.no_early_reply = True
    return mut


def _set_file_layout(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    check_changeable_layout(inode)
    layout = _parsed_layout(req, copy_layout(inode.inode.layout), value)
    server.rank.locker.acquire(req, x=((inode, "file"),))
    mut = req.mutation("set vxattr layout")
    change_pool(mut.inode(inode), layout)
    return mut


def _set_quota(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    if not inode.is_dir:
        raise FsError(errno.EINVAL)
    rank, name = server.rank, req.msg.path2.path
    wanted = parse_quota(name[name.index("quota") :], value, inode.inode.quota)
    new_realm = wanted.is_enabled and not inode.snaprealm_blob
    x: list[tuple[CInode, str]] = [(inode, "policy")]
    if new_realm:
        x.append((inode, "snap"))
    rank.locker.acquire(req, x=x)
    if inode.inode.quota == wanted:
        return None
    mut = req.mutation("set vxattr layout")
    mut.inode(inode).quota = wanted
    if new_realm:
        # clients find the directory that their quota comes from by way of its realm
        realms.make_realm(mut, inode)
    req.no_early_reply = True
    return mut


def _set_subvolume(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    if not inode.is_dir:
        raise FsError(errno.EINVAL)
    wanted = parse_bool(value)
    rank = server.rank
    if wanted == realms.is_subvolume(inode):
        return None
    rank.locker.acquire(req, x=((inode, "policy"), (inode, "snap")))
    if wanted and rank.snaps.subvolume_ino(rank.snaps.realm_of(inode)):
        raise FsError(errno.EINVAL, "within a subvolume")
    mut = req.mutation("set vxattr layout")
    node = node_of(inode) or realms.make_realm(mut, inode)
    node.flags = node.flags | SUBVOLUME if wanted else node.flags & ~SUBVOLUME
    realms.set_node(mut, inode, node)
    req.no_early_reply = True
    return mut


def _pin_target(inode: CInode) -> None:
    if not inode.is_dir or inode.is_root:
        raise FsError(errno.EINVAL)


def _policy_change(req: MDRequest, inode: CInode) -> Mutation:
    req.rank.locker.acquire(req, x=((inode, "policy"),))
    return req.mutation("set vxattr layout")


def _set_pin(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    _pin_target(inode)
    rank = max(parse_int(value, -(1 << 31), (1 << 31) - 1), NO_RANK)
    mut = _policy_change(req, inode)
    mut.inode(inode).export_pin = rank
    return mut


def _set_pin_random(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    _pin_target(inode)
    share = parse_float(value)
    if share < 0.0 or share > 1.0:
        raise FsError(errno.EDOM)
    if share > server.rank.config.get_float("mds_export_ephemeral_random_max"):
        raise FsError(errno.EINVAL)
    mut = _policy_change(req, inode)
    mut.inode(inode).export_ephemeral_random_pin = share
    return mut


def _set_pin_spread(server: Server, req: MDRequest, inode: CInode, value: str) -> Mutation | None:
    _pin_target(inode)
    wanted = parse_bool(value)
    mut = _policy_change(req, inode)
    mut.inode(inode).export_ephemeral_distributed_pin = wanted
    return mut


_SETTERS: dict[str, Setter] = {
    "ceph.dir.subvolume": _set_subvolume,
    "ceph.dir.pin": _set_pin,
    "ceph.dir.pin.random": _set_pin_random,
    "ceph.dir.pin.distributed": _set_pin_spread,
}


# -- removing --------------------------------------------------------------------------------


def remove_vxattr(server: Server, req: MDRequest) -> None:
    """Remove the one that `path2` names; only a directory's layout can be."""
    name = req.msg.path2.path
    inode = base_inode(server.rank, req.msg.path.ino)
    if name in {"ceph.dir.layout.pool_namespace", "ceph.file.layout.pool_namespace"}:
        set_vxattr(server, req)  # the same as an empty one
        return
    if name != "ceph.dir.layout" or not inode.is_dir:
        raise FsError(errno.ENODATA)
    if inode.is_root:
        raise FsError(errno.EINVAL, "files would have no layout")
    if not has_layout(inode.inode):
        raise FsError(errno.ENODATA)
    server.rank.locker.acquire(req, x=((inode, "policy"),))
    mut = req.mutation("remove dir layout vxattr")
    mut.inode(inode).layout = FileLayout()
    req.no_early_reply = True
    server.journal_and_reply(req, mut, inode=inode)


# -- reading ---------------------------------------------------------------------------------


def handle_getvxattr(server: Server, req: MDRequest) -> None:
    """The value of one that clients cannot make up themselves."""
    name = req.msg.path2.path
    if not is_ceph_vxattr(name):
        raise FsError(errno.ENODATA)
    inode = existing(req)
    if name.startswith("ceph.dir.") != inode.is_dir and name.startswith(("ceph.dir.", "ceph.file")):
        raise FsError(errno.ENODATA)
    value = _value_of(server, inode, name)
    if value is None:
        raise FsError(errno.ENODATA)
    extra = encode(VxattrValue, VxattrValue(value))
    # directories above may say it
    server.respond(req, extra=extra, after=server.others_end(req.client))


def _value_of(server: Server, inode: CInode, name: str) -> str | None:
    stored = inode.inode
    if name == "ceph.dir.pin":
        return str(stored.export_pin)
    if name == "ceph.dir.pin.random":
        return f"{stored.export_ephemeral_random_pin:g}"
    if name == "ceph.dir.pin.distributed":
        return str(int(stored.export_ephemeral_distributed_pin))
    _, dot, field = name.partition(".layout.")
    if not dot:
        return None
    rank = server.rank
    layout = inherited_layout(rank, inode)
    if field == "pool_id":
        return str(layout.pool_id)
    if field == "pool_name":
        return rank.objecter.osd_map.client.pool_name.get(layout.pool_id, "")
    if field == "json":
        return layout_json(rank, inode, layout)
    return None
