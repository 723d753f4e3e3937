"""Which attributes a client may change by which of its capabilities.

Behaviour: ceph/ceph, src/mds/Locker.cc (_update_cap_fields) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.encoding import DecodeError
from mdsdaemon.rank.locks.capability import seq_before
from mdsdaemon.rank.locks.max_size import MAX_SIZE
from mdsdaemon.types.client_caps import CAP_AUTH_EXCL, CAP_FILE_EXCL, CAP_FILE_WR, CAP_XATTR_EXCL
from mdsdaemon.types.features import FS_BTIME, has
from mdsdaemon.types.inode import S_IFMT, InlineData, XAttrs

if TYPE_CHECKING:
    from mdsdaemon.messages.client_caps import MClientCaps
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.types.inode import Inode


def attributes(stored: Inode, dirty: int) -> tuple[int, ...]:
    """What a client changes of itself by these capabilities."""
    values: tuple[int, ...] = ()
    if dirty & CAP_AUTH_EXCL:
        values = (stored.mode, stored.uid, stored.gid, stored.btime)
    if dirty & (CAP_FILE_EXCL | CAP_FILE_WR):
        values += (
            stored.size,
            stored.truncate_seq,
            stored.mtime,
            stored.atime,
            stored.time_warp_seq,
            stored.inline_data.version,
        )
    if dirty & CAP_XATTR_EXCL:
        values += (stored.xattr_version,)
    return values


def is_taken_over(stored: Inode, msg: MClientCaps, dirty: int) -> bool:
    """Whether the inode is now what the client said of its data."""
    if not dirty & (CAP_FILE_EXCL | CAP_FILE_WR):
        return True
    return (stored.size, stored.mtime, stored.atime) == (msg.size, msg.mtime, msg.atime)


def update_fields(
    inode: CInode, msg: MClientCaps, dirty: int, features: int, stored: Inode | None = None
) -> None:
    """Take over what the client has changed; the inode was announced to a mutation.

    Args:
        dirty: by which capabilities it has changed something.
        features: of its connection.
        stored: an old version of the inode, that this is about; None: the inode as it is.
    """
    if stored is None:
        stored = inode.inode
    if msg.ctime > stored.ctime:
        stored.ctime = msg.ctime
        stored.rstat.rctime = max(stored.rstat.rctime, msg.ctime)
    if msg.change_attr > stored.change_attr:
        stored.change_attr = msg.change_attr
    if dirty & (CAP_FILE_EXCL | CAP_FILE_WR):
        _update_file(inode, stored, msg, dirty)
    if dirty & CAP_AUTH_EXCL:
        stored.uid, stored.gid = msg.uid, msg.gid
        # whatever a client says, a file does not become a directory
        stored.mode = stored.mode & S_IFMT | msg.mode & ~S_IFMT
        if has(features, FS_BTIME):
            stored.btime = msg.btime


def _update_file(inode: CInode, stored: Inode, msg: MClientCaps, dirty: int) -> None:
    exclusive = bool(dirty & CAP_FILE_EXCL)
    if msg.mtime > stored.mtime or (exclusive and msg.mtime != stored.mtime):
        stored.mtime = msg.mtime
        stored.rstat.rctime = max(stored.rstat.rctime, msg.mtime)
    if inode.is_file and stored.size < msg.size <= MAX_SIZE:
        stored.size = stored.rstat.rbytes = msg.size
    if inode.is_file and dirty & CAP_FILE_WR and msg.inline_version > stored.inline_data.version:
        stored.inline_data = InlineData(msg.inline_version, msg.inline_data)
    if exclusive:
        stored.atime = msg.atime
        if seq_before(stored.time_warp_seq, msg.time_warp_seq):
            stored.time_warp_seq = msg.time_warp_seq


def decode_xattrs(middle: bytes) -> dict[str, bytes]:
    """The xattrs that a client has written back.

    Raises:
        DecodeError: they are not a map of names and values.
    """
    xattrs: dict[str, bytes]
    xattrs, end = XAttrs.decoder()(middle, 0, len(middle), 0)
    if end != len(middle):
        raise DecodeError("MClientCaps", "xattrs", end, "bytes follow the xattrs")
    return xattrs
