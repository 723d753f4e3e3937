"""mknod, mkdir, symlink and create: what makes an inode with its name.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_mknod, handle_client_mkdir,
handle_client_symlink, handle_client_openc) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_SET_VXATTR, MAY_WRITE
from mdsdaemon.encoding import encode
from mdsdaemon.messages.client_reply import CreatedInode, OpencResponse
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access, check_room
from mdsdaemon.rank.server.layout import check_pool
from mdsdaemon.rank.server.maps import wait_for_map
from mdsdaemon.rank.server.new_inode import inherited_layout, new_inode, new_xattrs
from mdsdaemon.rank.server.open import open_inode
from mdsdaemon.rank.server.traverse import Place, inode_of, place_for
from mdsdaemon.types.client_caps import FILE_MODE_RDWR, FILE_MODE_WR, flags_to_mode
from mdsdaemon.types.client_ops import O_EXCL
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURE_NAMES
from mdsdaemon.types.features import REPLY_CREATE_INODE, has
from mdsdaemon.types.inode import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, ClientWriteableRange

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server
    from mdsdaemon.types.layout import FileLayout

ALTERNATE_NAME_MAX = 1024
DELEG_INO = CEPHFS_FEATURE_NAMES.index("deleg_ino")
KINDS = {S_IFREG, S_IFLNK, 0o010000, 0o020000, 0o060000, 0o140000}
"""What a mknod makes: no directories, which would lack a fragment."""


def check_alternate_name(req: MDRequest) -> bytes:
    """The name that a client which encrypts names keeps beside the one in the tree."""
    name = req.msg.alternate_name.encode("utf-8", "surrogateescape")
    if len(name) > ALTERNATE_NAME_MAX:
        raise FsError(errno.ENAMETOOLONG)
    return name


def lock_place(req: MDRequest, place: Place) -> None:
    """Have clients give back what they hold of the name, before it comes to lead somewhere."""
    diri, dn = place.diri, place.dentry
    req.rank.locker.acquire(
        req,
        rd=((diri, "auth"),),
        wr=((diri, "file"), (diri, "nest")),
        x=() if dn is None else ((dn, "dn"),),
    )


def _new_name(req: MDRequest) -> tuple[Place, bytes, dict[str, bytes]]:
    """Where something new is to be, its other name and its attributes: all may be so.

    Raises:
        MustWait: until that is known and clients have given back what they hold of the name.
        FsError: EEXIST, EACCES, ENOSPC, ENAMETOOLONG, EINVAL, …
    """
    place = place_for(req, req.msg.path, create=True, may_exist=False)
    lock_place(req, place)
    check_access(req, place.diri, MAY_WRITE)
    check_room(req, place.directory)
    return place, check_alternate_name(req), new_xattrs(req.msg.data)


def handle_mknod(server: Server, req: MDRequest) -> None:
    """A file or a special file; an ordinary one comes with capabilities."""
    rank, args = server.rank, req.msg.args
    kind = args.mode & S_IFMT or S_IFREG
    if kind not in KINDS:
        raise FsError(errno.EINVAL)
    mode = args.mode & 0o7777 | kind
    is_file = kind == S_IFREG
    place, alternate, xattrs = _new_name(req)
    # only what is asked for by name inherits, as in ceph-mds
    layout = inherited_layout(rank, place.diri) if is_file else None

    mut = req.mutation("mknod")
    inode = new_inode(req, mut, place, mode, layout, xattrs)
    inode.inode.rdev = args.rdev
    _link(mut, place, inode, alternate, pool=True)
    if is_file:
        rank.locker.issue_new_caps(inode, req.session, FILE_MODE_RDWR, wanted=0)
        _may_write(req, inode)
    server.journal_and_reply(req, mut, inode=inode, dentry=place.dentry)
    rank.store.maybe_fragment(place.directory)


def handle_mkdir(server: Server, req: MDRequest) -> None:
    """A directory."""
    rank = server.rank
    place, alternate, xattrs = _new_name(req)
    mode = req.msg.args.mode & 0o7777 | S_IFDIR

    mut = req.mutation("mkdir")
    inode = new_inode(req, mut, place, mode, None, xattrs)
    _link(mut, place, inode, alternate)
    mut.new_dir(rank.cache.add_dir(inode))
    rank.locker.issue_new_caps(inode, req.session, FILE_MODE_RDWR, wanted=0)
    mut.blob.opened_ino = inode.ino
    server.journal_and_reply(req, mut, inode=inode, dentry=place.dentry)
    rank.store.maybe_fragment(place.directory)


def handle_symlink(server: Server, req: MDRequest) -> None:
    """A symbolic link; `path2` is where it leads."""
    rank = server.rank
    place, alternate, xattrs = _new_name(req)

    mut = req.mutation("symlink")
    inode = new_inode(req, mut, place, S_IFLNK | 0o777, None, xattrs)
    inode.symlink = req.msg.path2.path
    stored = inode.inode
    stored.size = len(inode.symlink.encode("utf-8", "surrogateescape"))
    stored.rstat.rbytes = stored.size
    _link(mut, place, inode, alternate)
    server.journal_and_reply(req, mut, inode=inode, dentry=place.dentry)
    rank.store.maybe_fragment(place.directory)


def handle_openc(server: Server, req: MDRequest) -> None:
    """Create a file and open it; open it if it is there and need not be new."""
    rank, args = server.rank, req.msg.args
    mode = flags_to_mode(args.flags)
    exclusive = bool(args.flags & O_EXCL)
    place = place_for(req, req.msg.path, create=True, may_exist=not exclusive)
    dn = place.dentry
    if not place.is_free:
        assert dn is not None
        open_inode(server, req, inode_of(rank, dn), dn)
        return
    lock_place(req, place)
    alternate = check_alternate_name(req)
    layout, access = _layout_asked_for(req, inherited_layout(rank, place.diri))
    check_access(req, place.diri, access)
    check_room(req, place.directory)
    xattrs = new_xattrs(req.msg.data)

    mut = req.mutation("openc")
    inode = new_inode(req, mut, place, args.mode & 0o7777 | S_IFREG, layout, xattrs)
    _link(mut, place, inode, alternate, pool=True)
    rank.locker.issue_new_caps(inode, req.session, mode)
    if mode & FILE_MODE_WR:
        _may_write(req, inode)
    mut.blob.opened_ino = inode.ino
    extra = _created(req, inode.ino)
    server.journal_and_reply(req, mut, inode=inode, dentry=place.dentry, extra=extra)
    rank.store.maybe_fragment(place.directory)


def _link(
    mut: Mutation, place: Place, inode: CInode, alternate: bytes, *, pool: bool = False
) -> None:
    dn = place.null_dentry(mut.rank)
    dn.alternate_name = alternate
    if pool:
        stored, default = inode.inode, mut.rank.mdsmap.get_first_data_pool()
        if stored.layout.pool_id != default:
            stored.old_pools.append(default)
    mut.link_primary(dn, inode)
    mut.backtrace(inode, pool=pool)


def _may_write(req: MDRequest, inode: CInode) -> None:
    """The client may write the first bytes without asking."""
    stored = inode.inode
    last = stored.layout.stripe_unit
    follows = req.rank.snaps.newest_seq(inode)
    stored.client_ranges[req.client] = ClientWriteableRange(0, last, follows)
    cap = inode.caps.get(req.client) if inode.caps else None
    if cap is not None:
        # at once: nobody would look for data of a file that does not exist without this event
        cap.writeable, cap.safe_max = True, last


def _layout_asked_for(req: MDRequest, layout: FileLayout) -> tuple[FileLayout, int]:
    """The layout with what the client wants different, and what it must be allowed to for that."""
    args = req.msg.args
    different = False
    for wish, what in (
        (args.stripe_unit, "stripe_unit"),
        (args.stripe_count, "stripe_count"),
        (args.object_size, "object_size"),
    ):
        if wish and wish != getattr(layout, what):
            setattr(layout, what, wish)
            different = True
    if args.pool >= 0 and args.pool != layout.pool_id:
        layout.pool_id = args.pool
        different = True
        wait_for_map(req)
    if different and not layout.is_valid():
        raise FsError(errno.EINVAL, "invalid layout")
    check_pool(req.rank, layout)
    return layout, MAY_WRITE | MAY_SET_VXATTR if different else MAY_WRITE


def _created(req: MDRequest, ino: int) -> bytes:
    session = req.session
    if session.has_feature(DELEG_INO):
        response = OpencResponse(ino)
        percent = req.rank.config.get_int("mds_client_delegate_inos_pct")
        if percent and not req.queued_for_replay:
            want = req.rank.config.get_int("mds_client_prealloc_inos") // (100 // percent or 1)
            if session.delegated_inos.size < want // 2:
                response.delegated_inos = session.delegate_inos(want)
        return encode(OpencResponse, response)
    if session.connection is None or has(session.connection.features, REPLY_CREATE_INODE):
        return encode(CreatedInode, CreatedInode(ino))
    return b""
