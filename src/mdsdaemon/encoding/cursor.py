"""Reading by hand, for the few formats that no schema describes."""

from __future__ import annotations

from typing import TypeVar

from mdsdaemon.encoding.codec import Codec, as_codec, struct_of
from mdsdaemon.encoding.errors import DecodeError, short

T = TypeVar("T")

_U16 = struct_of("H").unpack_from
_U32 = struct_of("I").unpack_from
_U64 = struct_of("Q").unpack_from
_S32 = struct_of("i").unpack_from
_S64 = struct_of("q").unpack_from


class Cursor:
    """A place in a buffer, with an end that no read passes.

    Every method raises DecodeError, naming the type and field it was made for, and nothing else.
    """

    __slots__ = ("buffer", "end", "features", "offset", "where")

    def __init__(
        self, buffer: bytes, offset: int, end: int, features: int, where: tuple[str, str]
    ) -> None:
        self.buffer = buffer
        self.offset = offset
        self.end = end
        self.features = features
        self.where = where

    def remaining(self) -> int:
        """Bytes between here and the end."""
        return self.end - self.offset

    def _take(self, size: int) -> int:
        at = self.offset
        if size < 0 or at + size > self.end:
            raise short(self.where, at, self.end, size)
        self.offset = at + size
        return at

    def u8(self) -> int:
        return self.buffer[self._take(1)]

    def u16(self) -> int:
        return _U16(self.buffer, self._take(2))[0]  # type: ignore[no-any-return]

    def u32(self) -> int:
        return _U32(self.buffer, self._take(4))[0]  # type: ignore[no-any-return]

    def u64(self) -> int:
        return _U64(self.buffer, self._take(8))[0]  # type: ignore[no-any-return]

    def s32(self) -> int:
        return _S32(self.buffer, self._take(4))[0]  # type: ignore[no-any-return]

    def s64(self) -> int:
        return _S64(self.buffer, self._take(8))[0]  # type: ignore[no-any-return]

    def raw(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        at = self._take(size)
        return self.buffer[at : at + size]

    def blob(self) -> bytes:
        """u32 length and that many bytes."""
        return self.raw(self.u32())

    def str_(self) -> str:
        """u32 length and that many bytes, as text with surrogate escapes."""
        return str(self.blob(), "utf-8", "surrogateescape")

    def count(self, min_size: int = 1) -> int:
        """A u32 count of entries of ``min_size`` bytes or more, refused if they cannot fit."""
        n = self.u32()
        if n * min_size > self.remaining():
            raise short(self.where, self.offset, self.end, n * min_size)
        return n

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes."""
        self._take(size)

    def get(self, codec: Codec[T] | type[T]) -> T:
        """One value of another codec or ``@wire`` class."""
        value, self.offset = as_codec(codec).decoder()(
            self.buffer, self.offset, self.end, self.features
        )
        return value  # type: ignore[no-any-return]

    def sub(self, size: int) -> Cursor:
        """A cursor over the next ``size`` bytes, which this one passes over."""
        at = self._take(size)
        return Cursor(self.buffer, at, at + size, self.features, self.where)

    def fail(self, why: str) -> DecodeError:
        """The error to raise for a value that is there and wrong."""
        return DecodeError(*self.where, self.offset, why)
