"""Codecs of single values: integers, floats, strings, byte strings, times, uuids."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from typing import Any, TypeVar

from mdsdaemon.encoding.codec import Codec, Gen, struct_of

NSEC = 1_000_000_000


N = TypeVar("N", int, float)


class Scalar(Codec[N]):
    """A number of a fixed width, little-endian, by its ``struct`` character."""

    sortable = True

    def __init__(self, fmt: str) -> None:
        self.fixed = fmt
        self.min_size = struct_of(fmt).size

    def load(self, g: Gen, names: list[str]) -> str:
        return names[0]

    def dump(self, g: Gen, expr: str) -> list[str]:
        return [expr]


class _Bool(Codec[bool]):
    fixed = "B"
    min_size = 1
    sortable = True

    def load(self, g: Gen, names: list[str]) -> str:
        return f"{names[0]} != 0"

    def dump(self, g: Gen, expr: str) -> list[str]:
        return [f"1 if {expr} else 0"]


class Raw(Codec[bytes]):
    """Exactly ``size`` bytes without a length."""

    sortable = True

    def __init__(self, size: int) -> None:
        self.fixed = f"{size}s"
        self.min_size = size

    def load(self, g: Gen, names: list[str]) -> str:
        return names[0]

    def dump(self, g: Gen, expr: str) -> list[str]:
        size = self.min_size
        check = g.const(_exactly, "exactly")
        return [f"{check}({expr}, {size})"]


def _exactly(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise ValueError(f"{len(value)} bytes where exactly {size} belong")
    return value


class _Time(Codec[int]):
    """utime_t: u32 seconds, u32 nanoseconds; in Python one int of nanoseconds since the epoch."""

    fixed = "II"
    min_size = 8
    sortable = True

    def load(self, g: Gen, names: list[str]) -> str:
        return f"{names[0]} * {NSEC} + {names[1]}"

    def dump(self, g: Gen, expr: str) -> list[str]:
        value = g.local(expr)
        return [f"{value} // {NSEC}", f"{value} % {NSEC}"]


class _Uuid(Codec[uuid.UUID]):
    """uuid_d: 16 bytes in the order in which a uuid is written."""

    fixed = "16s"
    min_size = 16
    sortable = True

    def load(self, g: Gen, names: list[str]) -> str:
        return f"{g.const(uuid.UUID, 'UUID')}(bytes={names[0]})"

    def dump(self, g: Gen, expr: str) -> list[str]:
        return [f"{expr}.bytes"]

    def to_plain(self, value: uuid.UUID) -> Any:
        return value.bytes

    def from_plain(self, plain: Any) -> uuid.UUID:
        return uuid.UUID(bytes=plain)


class _Counted(Codec[Any], ABC):
    """A u32 length and that many bytes."""

    min_size = 4
    sortable = True

    def _length(self, g: Gen) -> str:
        size = g.temp()
        g.need("4")
        g.line(f"{size}, = {g.const(struct_of('I').unpack_from, 'unpack')}(b, o)")
        g.line("o += 4")
        g.line(f"if {size} > e - o: raise short({g.where()}, o, e, {size})")
        return size

    def gen_decode(self, g: Gen, target: str) -> None:
        self._read(g, self._length(g), target)

    def gen_decode_counted(self, g: Gen, count: str, target: str) -> None:
        g.line(f"if {count} > e - o: raise short({g.where()}, o, e, {count})")
        self._read(g, count, target)

    @abstractmethod
    def _read(self, g: Gen, size: str, target: str) -> None:
        """Emit lines that read ``size`` bytes, which are there."""


class _Str(_Counted, Codec[str]):
    """std::string as text; bytes that are not UTF-8 live on as surrogate escapes."""

    empty = "I", "''"
    counts_bytes_of_text = True

    def _read(self, g: Gen, size: str, target: str) -> None:
        g.line(f"{target} = str(b[o:o + {size}], 'utf-8', 'surrogateescape')")
        g.line(f"o += {size}")

    def gen_encode_bare(self, g: Gen, expr: str) -> None:
        g.append(f"{expr}.encode('utf-8', 'surrogateescape')")

    def gen_encode(self, g: Gen, expr: str) -> None:
        raw = g.temp()
        g.line(f"{raw} = {expr}.encode('utf-8', 'surrogateescape')")
        g.put("I", [f"len({raw})"])
        g.append(raw)

    def to_plain(self, value: str) -> Any:
        # CBOR text is UTF-8: what is not goes as bytes
        raw = value.encode("utf-8", "surrogateescape")
        try:
            raw.decode()
        except UnicodeDecodeError:
            return raw
        return value

    def from_plain(self, plain: Any) -> str:
        return plain if isinstance(plain, str) else plain.decode("utf-8", "surrogateescape")


class _Blob(_Counted, Codec[bytes]):
    """A bufferlist, or a std::string that is not text."""

    empty = "I", "b''"

    def _read(self, g: Gen, size: str, target: str) -> None:
        g.line(f"{target} = b[o:o + {size}]")
        g.line(f"o += {size}")

    def gen_encode_bare(self, g: Gen, expr: str) -> None:
        g.append(expr)

    def gen_encode(self, g: Gen, expr: str) -> None:
        raw = g.local(expr)
        g.put("I", [f"len({raw})"])
        g.append(raw)


class _Rest(Codec[bytes]):
    """All bytes up to the end of what encloses them."""

    def gen_decode(self, g: Gen, target: str) -> None:
        g.line(f"{target} = b[o:e]")
        g.line("o = e")

    def gen_encode(self, g: Gen, expr: str) -> None:
        g.append(expr)


U8: Codec[int] = Scalar("B")
U16: Codec[int] = Scalar("H")
U32: Codec[int] = Scalar("I")
U64: Codec[int] = Scalar("Q")
S8: Codec[int] = Scalar("b")
S16: Codec[int] = Scalar("h")
S32: Codec[int] = Scalar("i")
S64: Codec[int] = Scalar("q")
F32: Codec[float] = Scalar("f")
F64: Codec[float] = Scalar("d")
Bool: Codec[bool] = _Bool()
Str: Codec[str] = _Str()
Blob: Codec[bytes] = _Blob()
Uuid: Codec[uuid.UUID] = _Uuid()
Time: Codec[int] = _Time()
Duration: Codec[int] = _Time()
Rest: Codec[bytes] = _Rest()
