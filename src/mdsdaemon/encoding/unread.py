"""Structs that stay encoded until somebody wants them."""

from __future__ import annotations

from typing import Any

from mdsdaemon.encoding.codec import Codec, Gen, struct_of
from mdsdaemon.encoding.struct_codec import WireCodec

_HEAD = struct_of("BBI")


class Unread(Codec[bytes]):
    """A struct in an envelope, as its bytes, envelope included; what is in it is not looked at."""

    min_size = _HEAD.size

    def __init__(self, what: type[Any]) -> None:
        codec = what.__dict__["__wire__"]
        if not isinstance(codec, WireCodec) or codec.envelope != "start" or codec.legacy:
            raise TypeError(f"{what.__name__} does not begin with its length")
        self.codec = codec

    @property
    def usual(self) -> str | None:
        usual = self.codec.usual
        return None if usual is None else f"{struct_of(usual).size}s"

    def load_usual(self, g: Gen, names: list[str], checks: list[str]) -> str:
        size = struct_of(self.codec.usual or "").size - _HEAD.size
        checks.append(f"{names[0]}[:{_HEAD.size}] == {_HEAD.pack(*self.codec.pick(0), size)!r}")
        return names[0]

    def gen_decode(self, g: Gen, target: str) -> None:
        size = g.temp()
        g.need(str(_HEAD.size))
        g.line(f"{size} = {g.const(_HEAD.unpack_from, 'unpack')}(b, o)[2] + {_HEAD.size}")
        g.line(f"if {size} > e - o: raise short({g.where()}, o, e, {size})")
        g.line(f"{target} = b[o:o + {size}]")
        g.line(f"o += {size}")

    def gen_encode(self, g: Gen, expr: str) -> None:
        g.append(expr)
