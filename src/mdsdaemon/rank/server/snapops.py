"""Snapshots by request: made, removed, renamed and listed.

A change of snapshots is one of the table and one of the directory's inode. The journal has, in
this order: that the table's change is prepared, the inode with the number of that transaction, that
the change is true, and that this is known. Whatever a crash leaves of it, a replay makes whole or
drops.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_lssnap, handle_client_mksnap,
handle_client_rmsnap, handle_client_renamesnap) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.cephx.caps import MAY_READ, MAY_SNAPSHOT, MAY_WRITE
from mdsdaemon.encoding import DecodeError, Map, Str, decode, field, wire
from mdsdaemon.maps.mds_map import FLAG_ALLOW_SNAPS
from mdsdaemon.messages.client_reply import ListingWriter
from mdsdaemon.rank.cache.nests import carry_up_all
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.maps import wait_for_map
from mdsdaemon.rank.server.readdir import portion_room, room_for
from mdsdaemon.rank.server.reply import encoding_for, inode_stat
from mdsdaemon.rank.server.traverse import base_dir, check_name, names_of
from mdsdaemon.rank.snap import nodes
from mdsdaemon.rank.snap.notify import announce, announce_all
from mdsdaemon.rank.snap.realm import long_name
from mdsdaemon.rank.tables.snaptable import TABLE_SNAP, Prepare, SnapOp
from mdsdaemon.types.client_ops import READDIR_FRAG_COMPLETE, READDIR_FRAG_END, MdsOp
from mdsdaemon.types.client_stat import INFINITE_LEASE, DirStat
from mdsdaemon.types.snap import SnapInfo, SnapRealm

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server
    from mdsdaemon.types.inode import Inode
    from mdsdaemon.types.mds import FilePath

MAX_METADATA = 64 << 10
"""Bytes of what a client notes with a snapshot."""


@wire(v=1, compat=1, ceph="SnapPayload")
class SnapPayload:
    """SnapPayload: what a client sends with a mksnap, to be noted with the snapshot."""

    metadata: dict[str, str] = field(Map(Str, Str), factory=dict)


# -- listing ---------------------------------------------------------------------------------


def handle_lssnap(server: Server, req: MDRequest) -> None:
    """The snapshots that hold for a directory, the oldest first, in portions."""
    rank, args, session = server.rank, req.msg.args, req.session
    diri = base_dir(req)
    check_access(req, diri, MAY_READ)
    realm = rank.snaps.realm_of(diri)
    found = realm.snap_infos(nodes.oldest_snap(diri))
    offset = req.msg.path2.path
    last = realm.resolve(offset, diri.ino) if offset else 0
    left = [snap for snap in sorted(found) if snap > last]
    most = args.max_entries or len(found)
    writer = ListingWriter(encoding_for(session), DirStat())
    room = portion_room(req) - writer.head_bytes
    listed = 0
    for snap in left:
        info = found[snap]
        name = info.name if info.ino == diri.ino else long_name(info)
        if listed >= most:
            break
        if listed and writer.body_bytes + 4 * len(name) + room_for(diri) > room:
            break
        writer.add(name, INFINITE_LEASE, inode_stat(rank, session, diri, snap))
        listed += 1
    flags = 0
    if listed == len(left):
        flags = READDIR_FRAG_END | (0 if last else READDIR_FRAG_COMPLETE)
    server.respond(req, inode=diri, extra=writer.finish(flags))


# -- changing --------------------------------------------------------------------------------


def _check_uid(req: MDRequest) -> None:
    config, uid = req.rank.config, req.msg.caller_uid
    if not config.get_int("mds_snap_min_uid") <= uid <= config.get_int("mds_snap_max_uid"):
        raise FsError(errno.EPERM, f"snapshots are not for uid {uid}")


def _lock(req: MDRequest, diri: CInode) -> None:
    req.rank.locker.acquire(req, x=((diri, "snap"),))
    check_access(req, diri, MAY_WRITE | MAY_SNAPSHOT)


def _last_name(path: FilePath) -> str:
    names = names_of(path)
    return names[-1] if names else ""


def _is_own_name(name: str) -> bool:
    """Whether a snapshot may be called so: names with `_` are those of snapshots from above."""
    return bool(name) and not name.startswith("_")


def _own_snapshot(diri: CInode, name: str) -> tuple[SnapRealm, int]:
    """What is stored of a directory's realm, and its snapshot of this name.

    Raises:
        FsError: ENOENT: there is none.
    """
    node = nodes.node_of(diri)
    if node is not None:
        for snap, info in node.snaps.items():
            if info.name == name:
                return node, snap
    raise FsError(errno.ENOENT, f"no snapshot {name!r}")


def _metadata(data: bytes) -> dict[str, str]:
    """What is to be noted with a snapshot; old clients send something else, which is ignored."""
    if not data:
        return {}
    if len(data) > MAX_METADATA:
        raise FsError(errno.E2BIG)
    try:
        return decode(SnapPayload, data, partial=True).metadata
    except DecodeError:
        return {}


def handle_mksnap(server: Server, req: MDRequest) -> None:
    """Make a snapshot of a directory and all that is below it."""
    rank, msg = server.rank, req.msg
    wait_for_map(req)
    if not rank.mdsmap.flags & FLAG_ALLOW_SNAPS:
        raise FsError(errno.EPERM, "new snapshots are not allowed")
    diri = base_dir(req)
    if diri.is_system and not diri.is_root:
        raise FsError(errno.EPERM)
    name = _last_name(msg.path)
    _check_uid(req)
    _lock(req, diri)
    realm = rank.snaps.realm_of(diri)
    subvolume = rank.snaps.subvolume_ino(realm)
    if subvolume and subvolume != diri.ino:
        raise FsError(errno.EPERM, "below a subvolume")
    if realm.inode is diri:
        if len(realm.get_snaps()) >= rank.config.get_int("mds_max_snaps_per_dir"):
            raise FsError(errno.EMLINK)
        if realm.exists(name):
            raise FsError(errno.EEXIST)
    if not _is_own_name(name):
        raise FsError(errno.EINVAL)
    check_name(name)
    metadata = _metadata(msg.data)

    carry_up_all(rank)  # what it sees has its sums
    new = realm.inode is not diri
    change = Prepare(SnapOp.CREATE, diri.ino, name=name, stamp=req.stamp)
    tid, snapid = rank.snaps.table.begin(change)
    mut = req.mutation("mksnap")
    node = realm.node if not new else nodes.new_node(rank.snaps, diri)
    stored = _touch(req, mut, diri)
    stored.rstat.rsnaps += 1
    node.snaps[snapid] = SnapInfo(snapid, diri.ino, req.stamp, name, metadata)
    node.created = node.seq = node.last_created = snapid
    nodes.set_node(diri, node)
    _finish(server, req, mut, diri, tid, snapid=snapid, new=new)


def handle_rmsnap(server: Server, req: MDRequest) -> None:
    """Remove a snapshot of a directory."""
    rank = server.rank
    diri = base_dir(req)
    name = _last_name(req.msg.path)
    _check_uid(req)
    if not _is_own_name(name):
        raise FsError(errno.EINVAL, "it cannot be removed here")
    node, snapid = _own_snapshot(diri, name)
    _lock(req, diri)

    tid, seq = rank.snaps.table.begin(Prepare(SnapOp.DESTROY, diri.ino, snapid))
    mut = req.mutation("rmsnap")
    stored = _touch(req, mut, diri)
    stored.rstat.rsnaps -= 1
    del node.snaps[snapid]
    node.seq = node.last_destroyed = seq
    nodes.set_node(diri, node)
    _finish(server, req, mut, diri, tid, removed=True)


def handle_renamesnap(server: Server, req: MDRequest) -> None:
    """Give a snapshot of a directory another name; `path2` has the present one."""
    rank, msg = server.rank, req.msg
    if msg.path.ino != msg.path2.ino:
        raise FsError(errno.EINVAL)
    diri = base_dir(req)
    _check_uid(req)
    new_name, name = _last_name(msg.path), _last_name(msg.path2)
    if not _is_own_name(name):
        raise FsError(errno.EINVAL)
    node, snapid = _own_snapshot(diri, name)
    if not _is_own_name(new_name):
        raise FsError(errno.EINVAL)
    check_name(new_name)
    if any(info.name == new_name for info in node.snaps.values()):
        raise FsError(errno.EEXIST)
    _lock(req, diri)

    tid, _ = rank.snaps.table.begin(Prepare(SnapOp.UPDATE, diri.ino, snapid, new_name))
    mut = req.mutation("renamesnap")
    _touch(req, mut, diri)
    node.snaps[snapid].name = new_name
    nodes.set_node(diri, node)
    _finish(server, req, mut, diri, tid, snapid=snapid)


def _touch(req: MDRequest, mut: Mutation, diri: CInode) -> Inode:
    """The directory changes by this request; its inode_t."""
    stored = mut.inode(diri)
    stored.ctime = req.stamp
    stored.rstat.rctime = max(stored.rstat.rctime, req.stamp)
    return stored


def _finish(
    server: Server,
    req: MDRequest,
    mut: Mutation,
    diri: CInode,
    tid: int,
    *,
    snapid: int = 0,
    new: bool = False,
    removed: bool = False,
) -> None:
    """Journal it, make it true, tell clients and answer.

    Args:
        snapid: the snapshot that the reply tells of; 0: it tells of none.
        new: the realm begins here by it.
    """
    rank = server.rank
    mut.blob.table_tids.append((TABLE_SNAP, tid))
    req.no_early_reply = True
    if snapid:
        req.snapid = snapid

    def submitted(end: int) -> None:
        rank.snaps.commit(tid)
        announce_all(rank, end, removed=removed)
        announce(rank, diri, end, new=new)

    server.journal_and_reply(req, mut, inode=diri if snapid else None, submitted=submitted)
    if removed:
        rank.snaps.removed(diri)


SNAP_HANDLERS: dict[MdsOp, Callable[[Server, MDRequest], None]] = {
    MdsOp.LSSNAP: handle_lssnap,
    MdsOp.MKSNAP: handle_mksnap,
    MdsOp.RMSNAP: handle_rmsnap,
    MdsOp.RENAMESNAP: handle_renamesnap,
}
