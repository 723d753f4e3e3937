"""readdir: the entries of a fragment in the order of their names' hashes, in portions.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_readdir), src/client/Client.cc
(insert_readdir_results) (Pacific)
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from typing import TYPE_CHECKING

import trio

from mdsdaemon.cephx.caps import MAY_READ
from mdsdaemon.messages.client_reply import ListingWriter
from mdsdaemon.rank.cache.fragtree import MAX_BITS, get_leaf
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.reply import dir_stat, encoding_for, inode_stat
from mdsdaemon.rank.server.traverse import existing
from mdsdaemon.rank.waiting import Gate, MustWait
from mdsdaemon.types.client_ops import (
    READDIR_FRAG_COMPLETE,
    READDIR_FRAG_END,
    READDIR_HASH_ORDER,
    READDIR_OFFSET_HASH,
    READDIR_REPLY_BITFLAGS,
)
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.name_hash import dentry_hash
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.rank.server.server import Server

HASH_MASK = 0xFFFFFF
"""The bits of a name's hash that fragments and offsets see."""
MAX_BYTES = 16 << 20
"""Of one portion, whatever a client says that it has room for."""
_ENTRY_ROOM = 4 + 32 + 420
"""Bytes of an entry without its name and what has no fixed size."""

Key = tuple[int, bytes]


def hash_of(directory: CDir, dn: CDentry) -> int:
    """The hash of a dentry's name, the bits that count."""
    value = dn.hash
    if value < 0:
        value = dn.hash = dentry_hash(directory.inode.inode.dir_layout.dir_hash, dn.name)
    return value & HASH_MASK


def key_of(directory: CDir, dn: CDentry) -> Key:
    """Where a dentry stands in a listing."""
    return hash_of(directory, dn), dn.name.encode("utf-8", "surrogateescape")


def in_order(directory: CDir, snapid: int = NOSNAP) -> tuple[list[Key], list[CDentry]]:
    """The dentries of a complete fragment that `snapid` sees, in the order of listings.

    What was sorted is kept with the fragment until names come or go.
    """
    kept: tuple[list[Key], list[CDentry]] | None = directory.listing
    if snapid == NOSNAP and kept is not None:
        return kept
    dentries = [dn for dn in directory.items.values() if dn.first <= snapid]
    if snapid != NOSNAP:
        for name in directory.snap_items:
            old = directory.lookup(name, snapid)
            if old is not None and old.last != NOSNAP:
                dentries.append(old)
    pairs = sorted(((key_of(directory, dn), dn) for dn in dentries), key=_first)
    listing = ([key for key, _ in pairs], [dn for _, dn in pairs])
    if snapid == NOSNAP:
        directory.listing = listing
    return listing


def _first(pair: tuple[Key, CDentry]) -> Key:
    return pair[0]


def room_for(inode: CInode) -> int:
    """Bytes that an entry takes beside its name, or a little more."""
    room = _ENTRY_ROOM + 4 * len(inode.symlink) + 8 * len(inode.dirfragtree.splits)
    if inode.xattrs:
        room += sum(8 + 4 * len(name) + len(value) for name, value in inode.xattrs.items())
    stored = inode.inode
    return room + len(stored.inline_data.data) + 4 * len(stored.layout.pool_ns)


def portion_room(req: MDRequest) -> int:
    """Bytes of a portion of a listing, all in all: what the client has room for."""
    most: int = req.msg.args.max_bytes
    most = most or (512 << 10) + req.rank.config.get_int("mds_max_xattr_pairs_size")
    return min(most, MAX_BYTES)


def handle_readdir(server: Server, req: MDRequest) -> None:
    """A portion of a fragment."""
    rank, args, session = server.rank, req.msg.args, req.session
    diri = existing(req)
    if not diri.is_dir:
        raise FsError(errno.ENOTDIR)
    _throttle(server, req)
    rank.locker.acquire(req, rd=((diri, "file"),))
    check_access(req, diri, MAY_READ)

    offset = req.msg.path2.path
    if offset:
        offset_hash = rank.store.hash_of(diri, offset) & HASH_MASK
    else:
        offset_hash = args.offset_hash & HASH_MASK
    flags = args.flags
    frag = Frag(args.frag)
    if frag.bits > MAX_BITS:
        raise FsError(errno.EINVAL, "no such fragment can be")
    leaf, offset = _leaf(diri, frag, offset, offset_hash, flags)
    directory = rank.cache.add_dir(diri, leaf)
    rank.store.need_complete(directory)

    snapid = req.snapid
    how = encoding_for(session)
    writer = ListingWriter(how, dir_stat(directory))
    keys, dentries = in_order(directory, snapid)
    start = not offset_hash and not offset
    at = 0
    if not start:
        at = bisect_right(keys, (offset_hash, offset.encode("utf-8", "surrogateescape")))
    most = args.max_entries or len(dentries) or 1
    room = portion_room(req) - writer.head_bytes - len(rank.snaps.realm_trace(diri))

    follow = rank.sessions.must_follow(req.client, diri, directory)
    end = True
    for index in range(at, len(dentries)):
        dn = dentries[index]
        inode = dn.inode
        if inode is None:
            if not dn.remote_ino:
                continue
            try:
                inode = dn.remote_inode or rank.store.need_remote(dn)
            except MustWait:
                if not writer.count:
                    raise
                end = False  # what is listed has given out capabilities: it must be told
                break
            except FsError:
                continue  # there is no such inode
        if writer.count >= most:
            end = False
            break
        # before anything is issued: what does not fit must not give out capabilities
        if writer.count and writer.body_bytes + len(keys[index][1]) + room_for(inode) > room:
            end = False
            break
        with_cap = not inode.snaprealm_blob
        stat = inode_stat(rank, session, inode, snapid, with_cap=with_cap)
        writer.add(dn.name, rank.locker.lease(dn, session, snapid), stat)
        dn.touched = True
        if inode.pos > follow:
            follow = max(follow, rank.sessions.must_follow(req.client, inode))
    session.loads.cap_acquisition.hit(writer.count)

    reply_flags = 0
    if end:
        directory.listing = None  # whoever lists it next can sort it again
        reply_flags = READDIR_FRAG_END
        if start:
            reply_flags |= READDIR_FRAG_COMPLETE
    if flags & READDIR_REPLY_BITFLAGS:
        reply_flags |= READDIR_HASH_ORDER | READDIR_OFFSET_HASH
    server.respond(req, inode=diri, extra=writer.finish(reply_flags), after=follow)


def _leaf(diri: CInode, frag: Frag, offset: str, offset_hash: int, flags: int) -> tuple[Frag, str]:
    """The fragment to list: the one asked for, or what has become of it."""
    tree = diri.dirfragtree
    leaf = get_leaf(tree, frag.value)
    if leaf == frag:
        return leaf, offset
    if flags & READDIR_REPLY_BITFLAGS:
        if frag.contains(offset_hash):
            return get_leaf(tree, offset_hash), offset
        return leaf, offset  # the client wants the fragment after the offset
    return leaf, ""


def _throttle(server: Server, req: MDRequest) -> None:
    """A client that has too much, and has got much of it by listings, waits."""
    rank, config = server.rank, server.rank.config
    session = req.session
    ratio = config.get_float("mds_session_max_caps_throttle_ratio")
    if len(session.caps) <= config.get_int("mds_max_caps_per_client") * ratio:
        return
    if session.loads.cap_acquisition.get() < config.get_int("mds_session_cap_acquisition_throttle"):
        return
    rank.counters.server["cap_acquisition_throttle"].inc()
    gate = rank.queue.gate()
    pause = config.get_float("mds_cap_acquisition_throttle_retry_request_timeout")
    rank.spawn(lambda: _open_later(gate, pause), "throttled readdir")
    raise MustWait(gate)


async def _open_later(gate: Gate, pause: float) -> None:
    await trio.sleep(pause)
    gate.open()
