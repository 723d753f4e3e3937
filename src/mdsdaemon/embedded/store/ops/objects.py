"""Operations on an object as a whole: existence, versions, hints, methods, copies, checksums.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_osd_ops, _delete_oid, do_checksum,
finish_copyfrom)
"""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, ERANGE
from struct import Struct
from typing import TYPE_CHECKING, Final

from mdsdaemon.checksum import crc32c
from mdsdaemon.embedded.store.classes import METHOD_WR, MethodError, find_method
from mdsdaemon.embedded.store.context import nothing
from mdsdaemon.embedded.store.op_info import call_parts
from mdsdaemon.embedded.store.ops.data import read_stored
from mdsdaemon.embedded.store.ops.table import handles
from mdsdaemon.embedded.store.snaps import find_object
from mdsdaemon.encoding import U32, U64, DecodeError, Str, Tuple, decode
from mdsdaemon.types.osd import NOSNAP, ObjectLocator
from mdsdaemon.types.osd_op import (
    ALLOC_HINT,
    ASSERT_VER,
    CHECKSUM,
    COPY_FROM,
    ChecksumType,
    CopyFlag,
    Op,
    OpFlag,
    OSDOp,
)

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

_STAT: Final = Struct("<QII")
_NSEC: Final = 1_000_000_000
_SOURCE: Final = Tuple(Str, ObjectLocator)
_SOURCE_TRUNCATE: Final = Tuple(Str, Tuple(ObjectLocator, Tuple(U32, U64)))
_ALL_COPY_FLAGS: Final = sum(CopyFlag)
_ONES: Final = 0xFFFFFFFF
_SEED_BYTES: Final = {
    ChecksumType.XXHASH32: 4,
    ChecksumType.XXHASH64: 8,
    ChecksumType.CRC32C: 4,
}


@handles(Op.STAT)
def stat(ctx: OpContext, op: OSDOp) -> int:
    """Size and time of change."""
    ctx.reads += 1
    if not ctx.there:
        return -ENOENT
    op.outdata = _STAT.pack(ctx.oi.size, *divmod(ctx.oi.mtime, _NSEC))
    return ctx.result


@handles(Op.ASSERT_VER)
def assert_version(ctx: OpContext, op: OSDOp) -> int:
    """Fail unless the users' version of the object is the given one."""
    _, version = ASSERT_VER.unpack(op.args)
    ctx.reads += 1
    if not version:
        return -EINVAL
    if version < ctx.oi.user_version:
        return -ERANGE
    if version > ctx.oi.user_version:
        return -EOVERFLOW
    return ctx.result


@handles(Op.CREATE)
def create(ctx: OpContext, op: OSDOp) -> int:
    """Make the object exist; exclusively: EEXIST if it does."""
    if ctx.there and op.flags & OpFlag.EXCL:
        return -EEXIST
    if op.indata:  # a category, long without meaning
        try:
            decode(Str, op.indata, partial=True)
        except DecodeError:
            return -EINVAL
    ctx.create()
    ctx.add(nothing)
    return 0


@handles(Op.DELETE)
def delete(ctx: OpContext, op: OSDOp) -> int:
    """Delete the object; with clones its head stays as a whiteout."""
    return delete_head(ctx)


def delete_head(ctx: OpContext) -> int:
    """See `delete`. ENOENT."""
    oi, snapset = ctx.oi, ctx.snapset
    whiteout = bool(snapset.clones or (ctx.snaps and ctx.snaps[0] > snapset.seq))
    if not ctx.exists or (oi.whiteout and whiteout):
        return -ENOENT
    ctx.replace(ctx.engine.new_content())
    if oi.size:
        ctx.modified.append((0, oi.size))
    ctx.writes += 1
    oi.size = 0
    if oi.watchers:
        ctx.effect().disconnects += [(cookie, who, True) for cookie, who in oi.watchers]
        oi.watchers = {}
    oi.whiteout = whiteout
    ctx.exists = whiteout
    return 0


@handles(Op.SETALLOCHINT)
def set_alloc_hint(ctx: OpContext, op: OSDOp) -> int:
    """Keep how large the object and its writes will be; nothing here goes by it."""
    ctx.create()
    ctx.oi.alloc_hint = ALLOC_HINT.unpack(op.args)
    ctx.add(nothing)
    return 0


@handles(Op.STARTSYNC)
def start_sync(ctx: OpContext, op: OSDOp) -> int:
    """Nothing: every commit is synchronous."""
    ctx.add(nothing)
    return 0


@handles(Op.CALL)
def call(ctx: OpContext, op: OSDOp) -> int:
    """Call a method of an object class."""
    parts = call_parts(op)
    method = find_method(parts[0], parts[1]) if parts is not None else None
    if parts is None or method is None:
        return -EINVAL if parts is None else -EOPNOTSUPP
    if method.flags & METHOD_WR:
        ctx.user_modify = True
    try:
        op.outdata = method.function(ctx, parts[2])
    except MethodError as exc:
        return exc.result
    return 0


@handles(Op.CHECKSUM)
def checksum(ctx: OpContext, op: OSDOp) -> int:
    """A checksum of a range, or of each of its pieces."""
    offset, length, chunk_size, kind = CHECKSUM.unpack(op.args)
    if chunk_size and (not length or length % chunk_size):
        return -EINVAL
    size = ctx.oi.size
    if not offset and not length:
        length = size
    elif offset >= size:
        return 0
    elif offset + length > size:
        length = size - offset
        if chunk_size and length % chunk_size:
            return -EINVAL
    op.args = CHECKSUM.pack(offset, length, chunk_size, kind)
    width = _SEED_BYTES.get(kind)
    if width is None or len(op.indata) < width:
        return -EINVAL
    data = read_stored(ctx, offset, length) if length else b""
    if data is None:
        return -ENOENT
    if len(data) != length:
        return -EINVAL
    seed = int.from_bytes(op.indata[:width], "little")
    step = chunk_size or len(data)
    sums = [
        _sum(kind, data[at : at + step], seed).to_bytes(width, "little")
        for at in (range(0, len(data), step) if step else ())
    ]
    op.outdata = b"".join([len(sums).to_bytes(4, "little"), *sums])
    ctx.reads += 1
    return 0


def _sum(kind: int, data: bytes, seed: int) -> int:
    if kind == ChecksumType.CRC32C:
        # Ceph's neither inverts its result nor expects inverted input
        return crc32c(data, seed ^ _ONES) ^ _ONES
    import xxhash  # rarely asked for: the start need not wait for it

    digest = xxhash.xxh32_intdigest if kind == ChecksumType.XXHASH32 else xxhash.xxh64_intdigest
    return digest(data, seed)


@handles(Op.COPY_FROM, Op.COPY_FROM2)
def copy_from(ctx: OpContext, op: OSDOp) -> int:
    """Make the object a copy of another one of this store, with its version and time."""
    snapid, version, flags, _ = COPY_FROM.unpack(op.args)
    second = op.op == Op.COPY_FROM2
    if second and flags & ~_ALL_COPY_FLAGS:
        return -EINVAL
    truncate: tuple[int, int] | None = None
    try:
        if second and flags & CopyFlag.TRUNCATE_SEQ:
            name, (oloc, truncate) = decode(_SOURCE_TRUNCATE, op.indata, partial=True)
        else:
            name, oloc = decode(_SOURCE, op.indata, partial=True)
    except DecodeError:
        return -EINVAL
    key = (oloc.nspace, oloc.key if oloc.key != name else "", name)
    if (oloc.pool, key, snapid) == (ctx.req.pool, ctx.req.key, NOSNAP):
        return -EINVAL
    pool = ctx.engine.pools.get(oloc.pool)
    if pool is None:
        return -ENOENT
    removed = ctx.engine.removed_snaps(oloc.pool)
    found = find_object(pool, removed, key, snapid, bool(flags & CopyFlag.MAP_SNAP_CLONE))
    if isinstance(found, int):
        return found
    _, info, content = found
    if info is None or content is None or info.whiteout:
        return -ENOENT
    if version and version != info.user_version:
        return -ERANGE if version < info.user_version else -EOVERFLOW
    ctx.replace(ctx.engine.copy_content(content))
    oi = ctx.oi
    if oi.size:
        ctx.modified.append((0, oi.size))
    ctx.exists = True
    oi.whiteout = False
    oi.size, oi.mtime = info.size, info.mtime
    oi.omap = bool(info.omap and (content.omap_header or content.omap_values()))
    oi.truncate_seq, oi.truncate_size = truncate or (info.truncate_seq, info.truncate_size)
    oi.user_version = ctx.user_version = info.user_version
    ctx.mtime = 0
    ctx.writes += 1
    ctx.written += info.size
    return 0


@handles(Op.ISDIRTY)
def is_dirty(ctx: OpContext, op: OSDOp) -> int:
    """Always: only caches have clean objects."""
    op.outdata = b"\1"
    ctx.reads += 1
    return 0
