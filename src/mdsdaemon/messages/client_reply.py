"""The reply to a client's request: what became of it, and what the client may now believe.

The reply has three parts that are encoded for the client at hand (`types.client_stat`): the trace
(directory, name, inode), what the operation gives beside it, and the snapshots that hold there.

Format: ceph/ceph, src/messages/MClientReply.h, src/mds/Server.cc (set_trace_dist,
handle_client_readdir, handle_client_lssnap, handle_client_openc), src/include/ceph_fs.h (Pacific
16.2.15).
"""

from collections.abc import Iterable
from typing import TypeVar

import attrs

from mdsdaemon.encoding import (
    S32,
    U8,
    U32,
    U64,
    Blob,
    Codec,
    DecodeError,
    Str,
    Tail,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.client_ops import MDS_OP_WRITE
from mdsdaemon.types.client_stat import DirStat, InodeStat, LeaseStat, ReplyEncoding
from mdsdaemon.types.interval_set import Intervals, IntervalSet
from mdsdaemon.types.snap import SnapRealmInfo

T = TypeVar("T")

CEPH_MSG_CLIENT_REPLY = 26

_U32 = struct_of("I").pack
_LISTING = struct_of("IH")


@message(CEPH_MSG_CLIENT_REPLY, v=1)
class MClientReply(Message):
    """The reply to the request of the same `tid`.

    Attributes:
        result: 0 or -errno.
        safe: 0: it is done, and not yet in the journal; the same reply follows once it is.
        is_dentry, is_target: whether the trace has a directory and name, and an inode.
        trace: see `Trace`.
        extra: see `Listing`, `CreatedInode`, `OpencResponse`, `VxattrValue`, `FileLock`.
        snapbl: the realms that hold for it, innermost first: see `decode_snap_trace`.
    """

    op: int = field(U32, default=0)
    result: int = field(S32, default=0)
    mdsmap_epoch: int = field(U32, default=0)
    safe: int = field(U8, default=1)
    is_dentry: int = field(U8, default=0)
    is_target: int = field(U8, default=0)
    trace: bytes = field(Blob, default=b"", repr=False)
    extra: bytes = field(Blob, default=b"", repr=False)
    snapbl: bytes = field(Blob, default=b"", repr=False)

    def __str__(self) -> str:
        safe = (" safe" if self.safe else " unsafe") if self.op & MDS_OP_WRITE else ""
        return f"client_reply({self.tid} = {self.result}{safe})"


def _put_name(out: bytearray, name: str) -> None:
    raw = name.encode("utf-8", "surrogateescape")
    out += _U32(len(raw))
    out += raw


@attrs.define
class Trace:
    """What `trace` holds: `dir` to `lease` with is_dentry, `target` with is_target."""

    dir: InodeStat | None = None
    dirfrag: DirStat | None = None
    dname: str = ""
    lease: LeaseStat | None = None
    target: InodeStat | None = None


def encode_trace(how: ReplyEncoding, trace: Trace) -> bytes:
    """The bytes of a trace for a client; a trace with a `dir` needs `dirfrag` and `lease` too."""
    out = bytearray()
    features = how.features
    if trace.dir is not None:
        how.inode(out, trace.dir, features)
        how.dirstat(out, trace.dirfrag, features)
        _put_name(out, trace.dname)
        how.lease(out, trace.lease, features)
    if trace.target is not None:
        how.inode(out, trace.target, features)
    return bytes(out)


def set_trace(msg: MClientReply, how: ReplyEncoding, trace: Trace) -> None:
    """Put a trace into a reply, with the flags that say what it has."""
    msg.is_dentry = 0 if trace.dir is None else 1
    msg.is_target = 0 if trace.target is None else 1
    msg.trace = encode_trace(how, trace)


class _Reader:
    """Reads the parts of a reply one after the other, as a client does."""

    def __init__(self, how: ReplyEncoding, data: bytes, what: str) -> None:
        self.how = how
        self.data = data
        self.at = 0
        self.what = what

    def _get(self, codec: Codec[T]) -> T:
        value: T
        value, self.at = codec.decoder()(self.data, self.at, len(self.data), self.how.features)
        return value

    def inode(self) -> InodeStat:
        return self._get(self.how.inode_codec)

    def dir(self) -> DirStat:
        return self._get(self.how.dir_codec)

    def lease(self) -> LeaseStat:
        return self._get(self.how.lease_codec)

    def raw(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise DecodeError(self.what, "", self.at, f"needs {size} bytes")
        part = self.data[self.at : end]
        self.at = end
        return part

    def name(self) -> str:
        size = int.from_bytes(self.raw(4), "little")
        return self.raw(size).decode("utf-8", "surrogateescape")

    def finish(self) -> None:
        if self.at != len(self.data):
            why = f"{len(self.data) - self.at} bytes follow"
            raise DecodeError(self.what, "", self.at, why)


def decode_trace(how: ReplyEncoding, msg: MClientReply) -> Trace:
    """The trace of a reply to a client that is written for as ``how`` says.

    Raises:
        DecodeError: it is not all and only what the reply's flags say.
    """
    read = _Reader(how, msg.trace, "Trace")
    trace = Trace()
    if msg.is_dentry:
        trace.dir = read.inode()
        trace.dirfrag = read.dir()
        trace.dname = read.name()
        trace.lease = read.lease()
    if msg.is_target:
        trace.target = read.inode()
    read.finish()
    return trace


@attrs.define
class ListedEntry:
    """A name in a directory with its lease and inode."""

    dname: str
    lease: LeaseStat
    inode: InodeStat


@attrs.define
class Listing:
    """`extra` of a readdir or lssnap: part of a fragment; `flags` of READDIR_*."""

    dirfrag: DirStat = attrs.Factory(DirStat)
    flags: int = 0
    entries: list[ListedEntry] = attrs.Factory(list)


class ListingWriter:
    """Collects the entries of a listing as bytes, so that a server can stop where there is no room.

    The last entry can be taken back with `drop_last`.
    """

    def __init__(self, how: ReplyEncoding, dirfrag: DirStat) -> None:
        self.how = how
        self.count = 0
        self._head = bytearray()
        how.dirstat(self._head, dirfrag, how.features)
        self._body = bytearray()
        self._last = 0
        self._inode_at = 0

    @property
    def head_bytes(self) -> int:
        """Bytes before the first entry."""
        return len(self._head) + _LISTING.size

    @property
    def before_inode_bytes(self) -> int:
        """Bytes of the entries up to the inode of the last one, which was not yet looked at when
        ceph-mds asks whether there is room for it.
        """
        return self._inode_at

    @property
    def body_bytes(self) -> int:
        """Bytes of the entries so far."""
        return len(self._body)

    def add(self, dname: str, lease: LeaseStat, inode: InodeStat) -> None:
        """Append one entry."""
        out, how = self._body, self.how
        self._last = len(out)
        _put_name(out, dname)
        how.lease(out, lease, how.features)
        self._inode_at = len(out)
        how.inode(out, inode, how.features)
        self.count += 1

    def drop_last(self) -> None:
        """Take back the entry added last (once)."""
        del self._body[self._last :]
        self.count -= 1

    def finish(self, flags: int) -> bytes:
        """The `extra` of the reply."""
        return bytes(self._head + _LISTING.pack(self.count, flags) + self._body)


def encode_listing(how: ReplyEncoding, listing: Listing) -> bytes:
    """The `extra` of a reply to a readdir or lssnap."""
    writer = ListingWriter(how, listing.dirfrag)
    for entry in listing.entries:
        writer.add(entry.dname, entry.lease, entry.inode)
    return writer.finish(listing.flags)


def decode_listing(how: ReplyEncoding, data: bytes) -> Listing:
    """The listing of a reply's `extra`.

    Raises:
        DecodeError: it is not all and only a listing.
    """
    read = _Reader(how, data, "Listing")
    listing = Listing(read.dir())
    count, listing.flags = _LISTING.unpack(read.raw(_LISTING.size))
    if count > len(data):
        raise DecodeError("Listing", "entries", read.at, f"{count} entries are claimed")
    for _ in range(count):
        dname, lease, inode = read.name(), read.lease(), read.inode()
        listing.entries.append(ListedEntry(dname, lease, inode))
    read.finish()
    return listing


@wire()
class CreatedInode:
    """`extra` of a create or open that made a file, for clients without feature "deleg_ino"."""

    ino: int = field(U64)


@wire(v=1, compat=1, ceph="openc_response_t")
class OpencResponse:
    """openc_response_t: the same for clients with it: also inode numbers for them to use."""

    created_ino: int = field(U64, default=0)
    delegated_inos: Intervals = field(IntervalSet, factory=dict)


@wire(v=1, compat=1)
class VxattrValue:
    """`extra` of a getvxattr; such a reply has no trace and no realms."""

    value: str = field(Str, default="")


SnapTrace = Tail(SnapRealmInfo)
"""Realms from the innermost outwards: `snapbl` of replies and caps messages."""


def encode_snap_trace(realms: Iterable[SnapRealmInfo]) -> bytes:
    """The `snapbl` that tells of these realms, innermost first."""
    return encode(SnapTrace, list(realms))


def decode_snap_trace(data: bytes) -> list[SnapRealmInfo]:
    """The realms of a `snapbl`.

    Raises:
        DecodeError: they are not realms one after the other.
    """
    return decode(SnapTrace, data)
