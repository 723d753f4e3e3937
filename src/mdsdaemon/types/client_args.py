"""The arguments of a client's request: a union of fixed structs, chosen by the operation.

Format: ceph/ceph, src/include/ceph_fs.h (union ceph_mds_request_args) (Pacific).
"""

from typing import Any

import attrs

from mdsdaemon.encoding import S32, U8, U16, U32, U64, Codec, Time, as_codec, field, wire
from mdsdaemon.types.client_ops import SETATTR_BTIME, MdsOp
from mdsdaemon.types.layout import FileLayout, FixedFileLayout

ARGS_SIZE = 56
"""Bytes of the union: its largest member's."""
LEGACY_ARGS_SIZE = 48
"""The same before birth times."""


@wire()
class NoArgs:
    """Of operations that take none."""


@wire()
class GetattrArgs:
    """getattr, lookup, lookupparent, lookuphash, lookupname: the caps that would do instead."""

    mask: int = field(U32, default=0)


@wire()
class SetattrArgs:
    """setattr: what to set (`mask` of SETATTR_*); times in nanoseconds."""

    mode: int = field(U32, default=0)
    uid: int = field(U32, default=0)
    gid: int = field(U32, default=0)
    mtime: int = field(Time, default=0)
    atime: int = field(Time, default=0)
    size: int = field(U64, default=0)
    old_size: int = field(U64, default=0)
    mask: int = field(U32, default=0)
    btime: int = field(Time, default=0)


@wire()
class ReaddirArgs:
    """readdir and lssnap: at most so many entries and bytes (0: as the server likes)."""

    frag: int = field(U32, default=0)
    max_entries: int = field(U32, default=0)
    max_bytes: int = field(U32, default=0)
    flags: int = field(U16, default=0)
    offset_hash: int = field(U32, default=0)


@wire()
class MknodArgs:
    """mknod."""

    mode: int = field(U32, default=0)
    rdev: int = field(U32, default=0)


@wire()
class MkdirArgs:
    """mkdir and mksnap."""

    mode: int = field(U32, default=0)


@wire()
class OpenArgs:
    """open and create; the layout's parts and `pool` are 0 or -1 for those of the directory."""

    flags: int = field(U32, default=0)
    mode: int = field(U32, default=0)
    stripe_unit: int = field(U32, default=0)
    stripe_count: int = field(U32, default=0)
    object_size: int = field(U32, default=0)
    pool: int = field(S32, default=-1)
    mask: int = field(U32, default=0)
    old_size: int = field(U64, default=0)


@wire()
class SetxattrArgs:
    """setxattr: flags of XATTR_*, and the client's OSD map, for pools in layouts."""

    flags: int = field(U32, default=0)
    osdmap_epoch: int = field(U32, default=0)


@wire()
class SetlayoutArgs:
    """setlayout and setdirlayout."""

    layout: FileLayout = field(FixedFileLayout, factory=FileLayout)


@wire()
class FilelockArgs:
    """setfilelock and getfilelock: as in `types.client_locks`; length 0: to the end."""

    rule: int = field(U8, default=0)
    type: int = field(U8, default=0)
    owner: int = field(U64, default=0)
    pid: int = field(U64, default=0)
    start: int = field(U64, default=0)
    length: int = field(U64, default=0)
    wait: int = field(U8, default=0)


@wire()
class LookupinoArgs:
    """lookupino: `parent` and `hash` (of the name in it) help to find what is in no cache."""

    mask: int = field(U32, default=0)
    snapid: int = field(U64, default=0)
    parent: int = field(U64, default=0)
    hash: int = field(U32, default=0)


ARGS_OF: dict[int, type[Any]] = {
    MdsOp.LOOKUP: GetattrArgs,
    MdsOp.GETATTR: GetattrArgs,
    MdsOp.LOOKUPHASH: GetattrArgs,
    MdsOp.LOOKUPPARENT: GetattrArgs,
    MdsOp.LOOKUPNAME: GetattrArgs,
    MdsOp.LOOKUPSNAP: GetattrArgs,
    MdsOp.LOOKUPINO: LookupinoArgs,
    MdsOp.SETATTR: SetattrArgs,
    MdsOp.READDIR: ReaddirArgs,
    MdsOp.LSSNAP: ReaddirArgs,
    MdsOp.MKNOD: MknodArgs,
    MdsOp.MKDIR: MkdirArgs,
    MdsOp.MKSNAP: MkdirArgs,
    MdsOp.OPEN: OpenArgs,
    MdsOp.CREATE: OpenArgs,
    MdsOp.SETXATTR: SetxattrArgs,
    MdsOp.RMXATTR: SetxattrArgs,
    MdsOp.SETLAYOUT: SetlayoutArgs,
    MdsOp.SETDIRLAYOUT: SetlayoutArgs,
    MdsOp.SETFILELOCK: FilelockArgs,
    MdsOp.GETFILELOCK: FilelockArgs,
}
"""The class of an operation's arguments; operations that are not here take none."""

_ARGS_CODECS: dict[int, Codec[Any]] = {int(op): as_codec(cls) for op, cls in ARGS_OF.items()}


def decode_args(op: int, raw: bytes, *, legacy: bool = False) -> Any:
    """The arguments of operation ``op`` from the union's bytes (``ARGS_SIZE``, or the legacy size).

    ``legacy``: the client knows no birth times, so that it cannot set them.
    """
    codec = _ARGS_CODECS.get(op)
    if codec is None:
        return NoArgs()
    args = codec.decoder()(raw.ljust(ARGS_SIZE, b"\0"), 0, ARGS_SIZE, 0)[0]
    if legacy and isinstance(args, SetattrArgs):
        args.mask &= ~SETATTR_BTIME
        args.btime = 0
    return args


def encode_args(args: Any) -> bytes:
    """The union's bytes of one of the classes above."""
    out = bytearray()
    as_codec(type(args)).encoder()(out, args, 0)
    return bytes(out.ljust(ARGS_SIZE, b"\0"))


def dump_args(args: Any) -> dict[str, Any]:
    """The arguments by name, for logs and tests."""
    return attrs.asdict(args)
