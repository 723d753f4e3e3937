"""What a codec is, and the source text that codecs generate.

A codec does not encode or decode: it *writes the source* of functions that do. ``Gen`` collects
that source for one function; the schema of a class lets each of its fields' codecs write its lines
in turn, so that a struct becomes straight-line code. Generated decoders have the shape
``(b: bytes, o: offset, e: end, f: features) -> (value, offset)`` and keep the invariant
``o <= e <= len(b)``; encoders have the shape ``(out: bytearray, x: value, f: features)``.

Encoders gather values of fixed sizes (``Gen.put``), counts and lengths among them, across the
borders of structs, and pack them in one step when something else has to be appended.
"""

from __future__ import annotations

import linecache
import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mdsdaemon.encoding.errors import DecodeError, short

T = TypeVar("T")

Check = tuple[str, str]
"""Two expressions that have to be equal, the second one a constant."""

Decoder = Callable[[bytes, int, int, int], tuple[Any, int]]
Encoder = Callable[[bytearray, Any, int], None]

MAX_ITEMS = 1 << 24
"""No list in any Ceph type comes near this many entries: more is a forged count."""


class Gen:
    """The source text of one generated function, with the objects it refers to."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name
        self.field_name = ""
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"short": short, "DecodeError": DecodeError}
        self.within: list[Codec[Any]] = []
        """The structs whose fields are being written, the innermost last."""
        self._depth = 1
        self._temps = 0
        self._format = ""
        self._values: list[str] = []

    def line(self, text: str) -> None:
        """Append one source line at the present depth."""
        self.lines.append("    " * self._depth + text)

    def indent(self) -> None:
        """Open a block: the line before ended in a colon."""
        assert not self._format, "flush() comes before the line that opens a block"
        self._depth += 1

    def dedent(self) -> None:
        """Close the innermost block."""
        self.flush()
        self._depth -= 1

    def put(self, fmt: str, values: list[str]) -> None:
        """Write values of a fixed size: soon, in one step with those before and after."""
        self._format += fmt
        self._values += values

    def flush(self) -> None:
        """Emit the packing of what was put."""
        if not self._format:
            return
        packer, values = struct_of(self._format), self._values
        self._format, self._values = "", []
        if all(value.isdecimal() for value in values):
            self.line(f"out += {packer.pack(*map(int, values))!r}")
        else:
            self.line(f"out += {self.const(packer.pack, 'pack')}({', '.join(values)})")

    def put_either(
        self, condition: str, fmt: str, values: list[str], otherwise: Callable[[], None]
    ) -> None:
        """Write values in one step if ``condition`` holds; else what ``otherwise`` emits."""
        before, held = self._format, self._values
        branches: list[tuple[str, Callable[[], None]]] = [
            (f"if {condition}:", lambda: self.put(fmt, values)),
            ("else:", otherwise),
        ]
        for head, emit in branches:
            self._format, self._values = "", []
            self.line(head)
            self.indent()
            self.put(before, held)
            emit()
            self.dedent()

    def append(self, expr: str) -> None:
        """Emit the writing of bytes of any length."""
        self.flush()
        self.line(f"out += {expr}")

    def put_length(self) -> str:
        """Leave room for a u32 length; the local that `set_length` wants."""
        at, ahead = self.temp(), struct_of(self._format).size
        self.line(f"{at} = len(out) + {ahead}" if ahead else f"{at} = len(out)")
        self.put("I", ["0"])
        return at

    def set_length(self, at: str) -> None:
        """Fill in how many bytes were written behind the length at ``at``."""
        self.flush()
        pack = self.const(_LENGTH.pack_into, "pack_length")
        self.line(f"{pack}(out, {at}, len(out) - {at} - 4)")

    def temp(self) -> str:
        """A local name that no other line uses."""
        self._temps += 1
        return f"t{self._temps}"

    def local(self, expr: str) -> str:
        """A local that holds the value of ``expr``."""
        if expr.isidentifier():
            return expr
        name = self.temp()
        self.line(f"{name} = {expr}")
        return name

    def const(self, obj: Any, hint: str = "k") -> str:
        """The global name under which the generated code sees ``obj``."""
        for name, known in self.names.items():
            if known is obj:
                return name
        name = f"{hint}_{len(self.names)}"
        self.names[name] = obj
        return name

    def where(self) -> str:
        """The source of the (type, field) pair that errors name."""
        return repr((self.type_name, self.field_name))

    def need(self, size: str) -> None:
        """Emit the check that ``size`` more bytes lie before the end."""
        self.line(f"if o + {size} > e: raise short({self.where()}, o, e, {size})")

    def build(self, head: str, name: str) -> Any:
        """Compile the collected lines as the function ``name`` with the parameter list ``head``."""
        self.flush()
        source = f"def {name}({head}):\n" + "\n".join(self.lines) + "\n"
        filename = f"<mdsdaemon codec {self.type_name}.{name}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        exec(compile(source, filename, "exec"), self.names)
        return self.names[name]


class Codec(Generic[T]):
    """How values of one type lie in bytes.

    ``fixed`` holds the ``struct`` format characters of a fixed-size codec (joined with those of its
    neighbours into one ``struct.Struct``), or None. ``min_size`` is the least number of bytes that
    any value takes: a forged count is refused by it before memory is taken.
    """

    fixed: str | None = None
    min_size: int = 0
    counts_bytes_of_text: bool = False
    """Whether a count of such a value is that of its encoded bytes, unlike ``len`` in Python."""
    sortable: bool = False
    """Whether values compare with ``<``: sets and maps of them are then written in order."""
    empty: tuple[str, str] | None = None
    """For what may hold nothing, which then is a number 0: that number's format, and the
    expression of the value."""

    @property
    def fixed_out(self) -> str | None:
        """As ``fixed``, for what is written: a struct may always be written with one size, and yet
        be read with others.
        """
        return self.fixed

    @property
    def usual(self) -> str | None:
        """As ``fixed``, for what is read nearly always: the bytes that we write ourselves."""
        return self.fixed

    @property
    def usual_out(self) -> str | None:
        """As ``fixed_out``, for what is written nearly always."""
        return self.fixed_out

    def dump_usual(self, g: Gen, expr: str, unusual: list[str]) -> list[str]:
        """As ``dump``, for ``usual_out``; expressions of which none may hold go to ``unusual``."""
        return self.dump(g, expr)

    def load_usual(self, g: Gen, names: list[str], checks: list[Check]) -> str:
        """As ``load``, for ``usual``; what has to hold is added to ``checks``."""
        return self.load(g, names)

    def gen_decode_unusual(self, g: Gen, target: str) -> None:
        """As ``gen_decode``, where the bytes are not the usual ones."""
        self.gen_decode(g, target)

    def load(self, g: Gen, names: list[str]) -> str:
        """For a fixed codec: the expression of the value from its unpacked parts."""
        raise TypeError(f"{type(self).__name__} has no fixed size to be read")

    def dump(self, g: Gen, expr: str) -> list[str]:
        """With ``fixed_out``: the expressions to pack for the value of ``expr``."""
        raise TypeError(f"{type(self).__name__} has no fixed size to be written")

    def gen_decode(self, g: Gen, target: str) -> None:
        """Emit lines that read one value at ``o`` into ``target`` and advance ``o``."""
        fixed_decode(g, [(self, target)])

    def gen_encode(self, g: Gen, expr: str) -> None:
        """Emit lines that append the value of ``expr`` to ``out``."""
        g.put(self.fixed_out or "", self.dump(g, expr))

    def gen_decode_counted(self, g: Gen, count: str, target: str) -> None:
        """Emit lines that read a value whose count, the local ``count``, stood elsewhere."""
        raise TypeError(f"{type(self).__name__} has no count")

    def gen_encode_bare(self, g: Gen, expr: str) -> None:
        """Emit lines that write a value without its count."""
        raise TypeError(f"{type(self).__name__} has no count")

    def to_plain(self, value: T) -> Any:
        """The value as CBOR can hold it."""
        return value

    def from_plain(self, plain: Any) -> T:
        """The value back from ``to_plain``'s form."""
        return plain  # type: ignore[no-any-return]

    def decoder(self) -> Decoder:
        """The generated decode function of this codec alone."""
        cached = self.__dict__.get("_decoder")
        if cached is None:
            g = Gen(type(self).__name__)
            self.gen_decode(g, "x")
            g.line("return x, o")
            cached = self.__dict__["_decoder"] = g.build("b, o, e, f", "decode")
        return cached  # type: ignore[no-any-return]

    def encoder(self) -> Encoder:
        """The generated encode function of this codec alone."""
        cached = self.__dict__.get("_encoder")
        if cached is None:
            g = Gen(type(self).__name__)
            g.line("pass")
            self.gen_encode(g, "x")
            cached = self.__dict__["_encoder"] = g.build("out, x, f", "encode")
        return cached  # type: ignore[no-any-return]


CodecLike = Codec[T] | type[T]
"""A codec, or a ``@wire`` class, which is one."""


def as_codec(what: Codec[T] | type[T]) -> Codec[T]:
    """The codec of a ``@wire`` class, or the codec itself.

    Raises:
        TypeError: ``what`` is neither.
    """
    if isinstance(what, Codec):
        return what
    codec = what.__dict__.get("__wire__")
    if not isinstance(codec, Codec):
        raise TypeError(f"{what!r} is neither a codec nor a @wire class")
    return codec


def struct_of(fmt: str) -> struct.Struct:
    """The little-endian ``struct.Struct`` of ``fmt``: Ceph's byte order everywhere."""
    return struct.Struct("<" + fmt)


_LENGTH = struct_of("I")


def slots_of(fmt: str) -> int:
    """How many values a format yields (each character one; counts only before ``s``)."""
    return sum(1 for ch in fmt if not ch.isdigit())


def fixed_decode(g: Gen, run: list[tuple[Codec[Any], str]]) -> None:
    """Emit one ``unpack_from`` for a run of fixed codecs, each into its target."""
    fmt = "".join(codec.fixed or "" for codec, _ in run)
    packer = struct_of(fmt)
    if packer.size:
        g.need(str(packer.size))
    loads: list[tuple[str, str]] = []
    names: list[str] = []
    for codec, target in run:
        parts = [g.temp() for _ in range(slots_of(codec.fixed or ""))]
        names += parts
        loads.append((target, codec.load(g, parts)))
    direct = {expr: target for target, expr in loads if expr in names}
    if names:
        left = ", ".join(direct.get(name, name) for name in names)
        g.line(f"{left}, = {g.const(packer.unpack_from, 'unpack')}(b, o)")
        g.line(f"o += {packer.size}")
    for target, expr in loads:
        if direct.get(expr) != target:
            g.line(f"{target} = {expr}")


def usual_encode(g: Gen, run: list[tuple[Codec[Any], str]]) -> None:
    """Emit the writing of neighbours that usually are of fixed sizes: in one step, then."""
    if sum(codec.fixed_out is None for codec, _ in run) < 2:  # there is little to be gained
        for codec, expr in run:
            codec.gen_encode(g, expr)
        return
    unusual: list[str] = []
    values = [part for codec, expr in run for part in codec.dump_usual(g, expr, unusual)]

    def one_by_one() -> None:
        for codec, expr in run:
            codec.gen_encode(g, expr)

    fmt = "".join(codec.usual_out or "" for codec, _ in run)
    g.put_either(f"not ({' or '.join(unusual)})", fmt, values, one_by_one)


def usual_decode(g: Gen, run: list[tuple[Codec[Any], str]]) -> None:
    """As ``fixed_decode``, for a run of codecs that usually are of fixed sizes.

    One step reads all of it, structs with their envelopes; only if an envelope is not the usual
    one, each is read on its own.
    """
    if all(codec.fixed is not None for codec, _ in run):
        fixed_decode(g, run)
        return
    if len(run) == 1 and slots_of(run[0][0].usual or "") == 1:
        run[0][0].gen_decode_unusual(g, run[0][1])  # there is nothing to be gained
        return
    packer = struct_of("".join(codec.usual or "" for codec, _ in run))
    names: list[str] = []
    checks: list[Check] = []
    loads: list[tuple[str, str]] = []
    for codec, target in run:
        parts = [g.temp() for _ in range(slots_of(codec.usual or ""))]
        before = len(checks)
        expr = codec.load_usual(g, parts, checks)
        if [expr] == parts and len(checks) == before:
            names.append(target)
        else:
            names += parts
            loads.append((target, expr))
    usual = g.temp()
    g.line(f"{usual} = o + {packer.size} <= e")
    g.line(f"if {usual}:")
    g.line(f"    {', '.join(names)}, = {g.const(packer.unpack_from, 'unpack')}(b, o)")
    alike = [f"not {x}" if wanted == "0" else f"{x} == {wanted}" for x, wanted in checks]
    g.line(f"    {usual} = {' and '.join(alike)}")
    g.line(f"if {usual}:")
    g.line(f"    o += {packer.size}")
    for target, expr in loads:
        g.line(f"    {target} = {expr}")
    g.line("else:")
    g.indent()
    fixed: list[tuple[Codec[Any], str]] = []
    for codec, target in run:
        if codec.fixed is not None:
            fixed.append((codec, target))
            continue
        if fixed:
            fixed_decode(g, fixed)
        fixed = []
        codec.gen_decode_unusual(g, target)
    if fixed:
        fixed_decode(g, fixed)
    g.dedent()
