"""A client's request, and the answer that another rank is to be asked.

Format: ceph/ceph, src/messages/MClientRequest.h, MClientRequestForward.h, src/include/ceph_fs.h
(Pacific 16.2.15; heads of version 3 and version 6 of the message: Reef and Squid).
"""

from typing import Any

from mdsdaemon import records
from mdsdaemon.encoding import (
    S32,
    U8,
    U16,
    U32,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Raw,
    Str,
    Time,
    field,
    wire,
)
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_args import ARGS_SIZE, LEGACY_ARGS_SIZE, decode_args, encode_args
from mdsdaemon.types.client_caps import ccap_string
from mdsdaemon.types.client_ops import (
    MDS_FLAG_ASYNC,
    MDS_FLAG_REPLAY,
    MDS_FLAG_WANT_DENTRY,
    MDS_OP_WRITE,
    O_CREAT,
    O_TRUNC,
    SETATTR_ATIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    MdsOp,
    mds_op_name,
)
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.utime import utime_str

CEPH_MSG_CLIENT_REQUEST = 24
CEPH_MSG_CLIENT_REQUEST_FORWARD = 25


@wire(v=1, compat=1)
class SnapPayload:
    """SnapPayload: the `data` of a mksnap: what to note with the snapshot."""

    metadata: dict[str, str] = field(Map(Str, Str), factory=dict)


@message(CEPH_MSG_CLIENT_REQUEST, v=5, compat=1, newest=6)
class MClientRequest(Message):
    """One operation on metadata; `tid` numbers a client's requests.

    Attributes:
        oldest_client_tid: replies to requests before it have all arrived, and are forgotten.
        num_retry, num_fwd: how often it was sent again, and passed on.
        ino: of what a replayed request created.
        raw_args: the arguments as they lie on the wire: see `args`.
        path, path2: of most operations where it happens; of rename and link path2 is the source;
            of symlink its `path` is the content, of readdir the name to go on after, of xattrs the
            attribute's name.
        releases: capabilities and leases that the client gives back with it.
        stamp: nanoseconds: when the client began it, by its clock.
        gid_list: further groups of the caller.
        data: the value of a setxattr, a `SnapPayload`.
        head_version, ext_num_retry, ext_num_fwd, struct_len, owner_uid, owner_gid, fscrypt_auth,
            fscrypt_file: of newer clients.
    """

    head_version: int = field(U16, default=1, since=4, kw_only=True)
    oldest_client_tid: int = field(U64, default=0, kw_only=True)
    mdsmap_epoch: int = field(U32, default=0, kw_only=True)
    flags: int = field(U32, default=0, kw_only=True)
    num_retry: int = field(U8, default=0, kw_only=True)
    num_fwd: int = field(U8, default=0, kw_only=True)
    num_releases: int = field(
        U16, default=0, length_of="releases", repr=False, eq=False, kw_only=True
    )
    op: int = field(U32)
    caller_uid: int = field(U32, default=0)
    caller_gid: int = field(U32, default=0)
    ino: int = field(U64, default=0)
    legacy_args: bytes = field(
        Raw(LEGACY_ARGS_SIZE), default=bytes(LEGACY_ARGS_SIZE), until=4, repr=False
    )
    raw_args: bytes = field(Raw(ARGS_SIZE), default=bytes(ARGS_SIZE), since=4, repr=False)
    ext_num_retry: int = field(U32, default=0, since=4, only_if="head_version >= 2")
    ext_num_fwd: int = field(U32, default=0, since=4, only_if="head_version >= 2")
    struct_len: int = field(U32, default=0, since=4, only_if="head_version >= 3")
    owner_uid: int = field(U32, default=0, since=4, only_if="head_version >= 3")
    owner_gid: int = field(U32, default=0, since=4, only_if="head_version >= 3")
    path: FilePath = field(FilePath, factory=FilePath)
    path2: FilePath = field(FilePath, factory=FilePath)
    releases: list[Release] = field(List(Release), factory=list, counted_by="num_releases")
    stamp: int = field(Time, default=0, since=2)
    gid_list: list[int] = field(List(U64), factory=list, since=4)
    alternate_name: str = field(Str, default="", since=5)
    fscrypt_auth: bytes = field(Blob, default=b"", since=6)
    fscrypt_file: bytes = field(Blob, default=b"", since=6)

    _args: Any = records.field(default=None, init=False, eq=False, repr=False)

    @property
    def args(self) -> Any:
        """The operation's arguments: one of the classes of `types.client_args`, kept once read.

        Raises:
            DecodeError: never: every class fits into the union.
        """
        if self._args is None:
            legacy = 0 < self.header_version < 4
            raw = self.legacy_args if legacy else self.raw_args
            self._args = decode_args(self.op, raw, legacy=legacy)
        return self._args

    @args.setter
    def args(self, value: Any) -> None:
        self._args = value
        self.raw_args = encode_args(value)

    @property
    def is_replay(self) -> bool:
        """Whether the client has an unsafe reply to it already."""
        return bool(self.flags & MDS_FLAG_REPLAY)

    @property
    def is_async(self) -> bool:
        """Whether the client went on without waiting for the reply."""
        return bool(self.flags & MDS_FLAG_ASYNC)

    @property
    def wants_dentry(self) -> bool:
        """Whether the reply shall have the directory and name too."""
        return bool(self.flags & MDS_FLAG_WANT_DENTRY)

    @property
    def retry_attempt(self) -> int:
        """How often it was sent again."""
        return self.ext_num_retry if self.head_version >= 2 else self.num_retry

    @property
    def may_write(self) -> bool:
        """Whether it may change something."""
        if self.op & MDS_OP_WRITE:
            return True
        return self.op == MdsOp.OPEN and bool(self.args.flags & (O_CREAT | O_TRUNC))

    def __str__(self) -> str:
        parts = [f"client_request({self.source}:{self.tid} {mds_op_name(self.op)}"]
        if self.op == MdsOp.GETATTR:
            parts.append(ccap_string(self.args.mask))
        elif self.op == MdsOp.SETATTR:
            parts += _setattr_words(self.args)
        elif self.op in (MdsOp.SETFILELOCK, MdsOp.GETFILELOCK):
            a = self.args
            parts.append(
                f"rule {a.rule}, type {a.type}, owner {a.owner}, pid {a.pid}, start {a.start}, "
                f"length {a.length}, wait {a.wait}"
            )
        parts.append(str(self.path))
        if self.path2.ino or self.path2.path:
            parts.append(str(self.path2))
        if self.stamp:
            parts.append(utime_str(self.stamp))
        if self.retry_attempt:
            parts.append(f"RETRY={self.retry_attempt}")
        parts += [word for word, on in (("ASYNC", self.is_async), ("REPLAY", self.is_replay)) if on]
        groups = "".join(f"{gid}," for gid in self.gid_list)
        parts.append(f"caller_uid={self.caller_uid}, caller_gid={self.caller_gid}{{{groups}}})")
        return " ".join(parts)


def _setattr_words(args: Any) -> list[str]:
    """What a setattr sets, as ceph-mds prints it."""
    words = (
        (SETATTR_MODE, f"mode=0{args.mode:o}"),
        (SETATTR_UID, f"uid={args.uid}"),
        (SETATTR_GID, f"gid={args.gid}"),
        (SETATTR_SIZE, f"size={args.size}"),
        (SETATTR_MTIME, f"mtime={utime_str(args.mtime)}"),
        (SETATTR_ATIME, f"atime={utime_str(args.atime)}"),
    )
    return [word for bit, word in words if args.mask & bit]


@message(CEPH_MSG_CLIENT_REQUEST_FORWARD, v=1)
class MClientRequestForward(Message):
    """The request of the same `tid` is for rank `dest_mds`; `num_fwd` counts such answers."""

    dest_mds: int = field(S32, default=-1)
    num_fwd: int = field(S32, default=-1)
    client_must_resend: bool = field(Bool, default=True)
