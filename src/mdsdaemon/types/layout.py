"""file_layout_t: how the bytes of a file lie in RADOS objects.

Format: ceph/ceph, src/include/fs_types.h, src/common/fs_types.cc, src/include/ceph_fs.h (Pacific).
"""

from typing import Any

from mdsdaemon.encoding import (
    REGISTRY,
    S64,
    U8,
    U16,
    U32,
    Codec,
    Cursor,
    Custom,
    Seldom,
    Str,
    field,
    wire,
    wire_codec,
)
from mdsdaemon.encoding.codec import Check, Gen, struct_of
from mdsdaemon.types.features import FS_FILE_LAYOUT_V2

_LEGACY = struct_of("IIIIIIi")


@wire(v=2, compat=2)
class FileLayout:
    """file_layout_t.

    Attributes:
        stripe_unit, object_size: bytes, multiples of 64 KiB.
        stripe_count: how many objects the stripe units go round.
        pool_id: -1 where none is set.
        pool_ns: RADOS namespace.
    """

    stripe_unit: int = field(U32, default=0)
    stripe_count: int = field(U32, default=0)
    object_size: int = field(U32, default=0)
    pool_id: int = field(S64, default=-1)
    pool_ns: str = field(Seldom(Str), default="")

    @property
    def period(self) -> int:
        """Bytes after which the stripe units go on in new objects."""
        return self.object_size * self.stripe_count

    def is_valid(self) -> bool:
        """Whether data can be laid out so."""
        unit, size = self.stripe_unit, self.object_size
        return (
            unit > 0
            and unit % 65536 == 0
            and size >= unit
            and size % unit == 0
            and self.stripe_count > 0
        )


_framed = wire_codec(FileLayout)


def _decode_legacy(c: Cursor) -> FileLayout:
    unit, count, size, _, _, _, pool = _LEGACY.unpack(c.raw(_LEGACY.size))
    # without a version nothing but pool 0 told that no layout was set
    unset = pool == 0 and not (unit or count or size)
    return FileLayout(unit, count, size, -1 if unset else pool)


def _encode_legacy(layout: FileLayout, out: bytearray, features: int) -> None:
    unit, count, size = layout.stripe_unit, layout.stripe_count, layout.object_size
    if unit & 0xFF:
        raise ValueError(f"a stripe unit of {unit} bytes has no legacy form")
    out += _LEGACY.pack(unit, count, size, 0, 0, 0, max(layout.pool_id, 0))


def _decode(c: Cursor) -> FileLayout:
    # the first byte is a version, or the lowest byte of a stripe unit, which is 0
    if c.remaining() and c.buffer[c.offset] == 0:
        return _decode_legacy(c)
    value, c.offset = _framed.decoder()(c.buffer, c.offset, c.end, c.features)
    return value  # type: ignore[no-any-return]


def _encode(layout: FileLayout, out: bytearray, features: int) -> None:
    if features & FS_FILE_LAYOUT_V2 == FS_FILE_LAYOUT_V2:
        _framed.encoder()(out, layout, features)
    else:
        _encode_legacy(layout, out, features)


def _plain(layout: FileLayout) -> Any:
    return _framed.to_plain(layout)


def _unplain(plain: Any) -> FileLayout:
    return _framed.from_plain(plain)


class _FileLayout(Custom[FileLayout]):
    """Read and written within the function of what a layout is a part of."""

    @property
    def usual(self) -> str | None:
        return _framed.usual

    def load_usual(self, g: Gen, names: list[str], checks: list[Check]) -> str:
        return _framed.load_usual(g, names, checks)

    def gen_encode(self, g: Gen, expr: str) -> None:
        layout = g.local(expr)
        g.flush()
        g.line(f"if f & {FS_FILE_LAYOUT_V2} == {FS_FILE_LAYOUT_V2}:")
        g.indent()
        _framed.gen_encode(g, layout)
        g.dedent()
        g.line("else:")
        g.line(f"    {g.const(_encode_legacy, 'encode_legacy')}({layout}, out, f)")


FileLayout.__wire__ = _FileLayout(_decode, _encode, 6, plain=_plain, unplain=_unplain)  # type: ignore[attr-defined]
REGISTRY["file_layout_t"] = FileLayout

LegacyFileLayout: Codec[FileLayout] = Custom(
    _decode, _encode_legacy, 6, plain=_plain, unplain=_unplain
)
"""A layout that is written in the old form for every reader, as a journal's header has it."""


@wire()
class DirLayout:
    """ceph_dir_layout: the hash function of a directory's names (2: rjenkins)."""

    dir_hash: int = field(U8, default=0)
    unused1: int = field(U8, default=0)
    unused2: int = field(U16, default=0)
    unused3: int = field(U32, default=0)


class _FixedFileLayout(Codec[FileLayout]):
    """ceph_file_layout: 28 bytes, as messages and requests of clients have it.

    The namespace is not in it. A pool is only told apart from none by the rest being set.
    """

    fixed = _LEGACY.format.lstrip("<")
    min_size = _LEGACY.size

    def load(self, g: Gen, names: list[str]) -> str:
        unit, count, size, pool = names[0], names[1], names[2], names[6]
        unset = f"{pool} == 0 and not ({unit} or {count} or {size})"
        cls = g.const(FileLayout, "FileLayout")
        return f"{cls}({unit}, {count}, {size}, -1 if {unset} else {pool})"

    def dump(self, g: Gen, expr: str) -> list[str]:
        layout = g.temp()
        g.line(f"{layout} = {expr}")
        parts = [f"{layout}.{part}" for part in ("stripe_unit", "stripe_count", "object_size")]
        return [*parts, "0", "0", "0", f"{layout}.pool_id if {layout}.pool_id > 0 else 0"]

    def to_plain(self, value: FileLayout) -> Any:
        return _plain(value)

    def from_plain(self, plain: Any) -> FileLayout:
        return _unplain(plain)


FixedFileLayout: Codec[FileLayout] = _FixedFileLayout()
