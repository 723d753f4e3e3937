"""Structs that stay encoded until somebody wants them."""

from __future__ import annotations

import re
from typing import Any

from mdsdaemon.encoding.codec import Check, Codec, Gen, slots_of, struct_of
from mdsdaemon.encoding.struct_codec import WireCodec


class Unread(Codec[bytes]):
    """A struct in an envelope, as its bytes, envelope included.

    Whether they are such a struct is found when they are read. For those of the usual form that
    takes a look at the envelopes in it; others are decoded, and the value thrown away.
    """

    min_size = 6

    def __init__(self, what: type[Any]) -> None:
        codec = what.__dict__["__wire__"]
        if not isinstance(codec, WireCodec) or codec.envelope != "start" or codec.usual is None:
            raise TypeError(f"{what.__name__} has no usual size in an envelope")
        self.codec = codec
        self._size = struct_of(codec.usual).size

    @property
    def usual(self) -> str:
        return f"{self._size}s"

    def load_usual(self, g: Gen, names: list[str], checks: list[Check]) -> str:
        form, wanted = self._form()
        form_of = g.const(struct_of(form).unpack, "form_of")
        checks.append((f"{form_of}({names[0]})", g.const(wanted, "form")))
        return names[0]

    def _form(self) -> tuple[str, tuple[int, ...]]:
        """The format of the numbers that are alike in all usual ones, and those numbers."""
        each = re.findall(r"\d*[a-zA-Z?]", self.codec.usual or "")
        names = [f"n{number}" for number in range(slots_of(self.codec.usual or ""))]
        checks: list[Check] = []
        self.codec.load_usual(Gen(""), names, checks)
        wanted = dict(checks)
        form = (
            fmt if name in wanted else f"{struct_of(fmt).size}x"
            for name, fmt in zip(names, each, strict=True)
        )
        return "".join(form), tuple(int(wanted[name]) for name in names if name in wanted)

    def gen_decode(self, g: Gen, target: str) -> None:
        begin, end = g.temp(), g.temp()
        g.line(f"{begin} = o")
        self.codec.gen_decode_unusual(g, end)
        g.line(f"{target} = b[{begin}:o]")

    def gen_encode(self, g: Gen, expr: str) -> None:
        g.append(expr)
