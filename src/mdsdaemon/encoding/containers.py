"""Codecs made of codecs: lists, sets, maps, options, pairs, framed values, tagged unions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mdsdaemon.encoding.codec import (
    MAX_ITEMS,
    Check,
    Codec,
    Gen,
    as_codec,
    fixed_decode,
    slots_of,
    struct_of,
)
from mdsdaemon.encoding.cursor import Cursor

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


def _count(g: Gen, min_size: int) -> str:
    n = g.temp()
    g.need("4")
    g.line(f"{n}, = {g.const(struct_of('I').unpack_from, 'unpack')}(b, o)")
    g.line("o += 4")
    _check_count(g, n, min_size)
    return n


def _check_count(g: Gen, n: str, min_size: int) -> None:
    # a count whose entries cannot fit is refused before memory is taken for them
    g.line(f"if {n} * {max(min_size, 1)} > e - o or {n} > {MAX_ITEMS}:")
    g.line(f"    raise short({g.where()}, o, e, {n} * {max(min_size, 1)})")


def _items(g: Gen, item: Codec[Any], n: str, target: str) -> None:
    """Emit the reading of ``n`` items into the list ``target``."""
    if item.fixed is not None and slots_of(item.fixed) >= 1:
        size = struct_of(item.fixed).size
        names = [g.temp() for _ in range(slots_of(item.fixed))]
        expr = item.load(g, names)
        unpack = g.const(struct_of(item.fixed).iter_unpack, "iter_unpack")
        g.line(f"{target} = []")
        g.line(f"if {n}:")
        g.indent()
        g.line(f"if {n} * {size} > e - o: raise short({g.where()}, o, e, {n} * {size})")
        g.line(f"{target} = [{expr} for {', '.join(names)}, in {unpack}(b[o:o + {n} * {size}])]")
        g.line(f"o += {n} * {size}")
        g.dedent()
        return
    value = g.temp()
    g.line(f"{target} = []")
    g.line(f"for _ in range({n}):")
    g.indent()
    item.gen_decode(g, value)
    g.line(f"{target}.append({value})")
    g.dedent()


def _in_order(item: Codec[Any], values: str) -> str:
    return f"sorted({values}) if len({values}) > 1 else {values}" if item.sortable else values


class List(Codec[list[T]]):
    """std::vector and std::list: u32 count, then the items."""

    min_size = 4
    empty: tuple[str, str] | None = "I", "[]"

    def __init__(self, item: Codec[T] | type[T]) -> None:
        self.item = as_codec(item)

    def gen_decode(self, g: Gen, target: str) -> None:
        _items(g, self.item, _count(g, self.item.min_size), target)

    def gen_decode_counted(self, g: Gen, count: str, target: str) -> None:
        _check_count(g, count, self.item.min_size)
        _items(g, self.item, count, target)

    def gen_encode(self, g: Gen, expr: str) -> None:
        values = g.local(expr)
        self._gen_count(g, values)
        self.gen_encode_bare(g, values)

    def gen_encode_bare(self, g: Gen, expr: str) -> None:
        value = g.temp()
        g.flush()
        g.line(f"for {value} in {expr}:")
        g.indent()
        g.line("pass")
        self.item.gen_encode(g, value)
        g.dedent()

    def _gen_count(self, g: Gen, values: str) -> None:
        g.put("I", [f"len({values})"])

    def to_plain(self, value: list[T]) -> Any:
        return [self.item.to_plain(x) for x in value]

    def from_plain(self, plain: Any) -> list[T]:
        return [self.item.from_plain(x) for x in plain]


class Array(List[T]):
    """Exactly ``count`` items, without a count on the wire."""

    empty = None

    def __init__(self, item: Codec[T] | type[T], count: int) -> None:
        super().__init__(item)
        self.count = count
        self.min_size = self.item.min_size * count

    def gen_decode(self, g: Gen, target: str) -> None:
        _items(g, self.item, str(self.count), target)

    def _gen_count(self, g: Gen, values: str) -> None:
        g.line(f"if len({values}) != {self.count}: raise ValueError('not {self.count} items')")


class Tail(List[T]):
    """Items up to the end of what encloses them, without a count."""

    min_size = 0
    empty = None

    def gen_decode(self, g: Gen, target: str) -> None:
        value = g.temp()
        least = max(self.item.min_size, 1)
        g.line(f"{target} = []")
        g.line("while o < e:")
        g.indent()
        g.need(str(least))
        self.item.gen_decode(g, value)
        g.line(f"{target}.append({value})")
        g.dedent()

    def gen_encode(self, g: Gen, expr: str) -> None:
        self.gen_encode_bare(g, expr)


class Set(Codec[set[T]]):
    """std::set: u32 count, then the items in order."""

    min_size = 4

    def __init__(self, item: Codec[T] | type[T]) -> None:
        self.item = as_codec(item)

    def gen_decode(self, g: Gen, target: str) -> None:
        _items(g, self.item, _count(g, self.item.min_size), target)
        g.line(f"{target} = set({target})")

    def gen_encode(self, g: Gen, expr: str) -> None:
        values, value = g.local(expr), g.temp()
        g.put("I", [f"len({values})"])
        g.flush()
        g.line(f"for {value} in {_in_order(self.item, values)}:")
        g.indent()
        self.item.gen_encode(g, value)
        g.dedent()

    def to_plain(self, value: set[T]) -> Any:
        items: Any = sorted(value) if self.item.sortable else value
        return [self.item.to_plain(x) for x in items]

    def from_plain(self, plain: Any) -> set[T]:
        return {self.item.from_plain(x) for x in plain}


class Map(Codec[dict[K, V]]):
    """std::map: u32 count, then key and value by turns in the order of the keys."""

    min_size = 4
    empty = "I", "{}"

    def __init__(self, key: Codec[K] | type[K], value: Codec[V] | type[V]) -> None:
        self.key = as_codec(key)
        self.value = as_codec(value)

    def gen_decode(self, g: Gen, target: str) -> None:
        n = _count(g, self.key.min_size + self.value.min_size)
        key, value = g.temp(), g.temp()
        g.line(f"{target} = {{}}")
        g.line(f"for _ in range({n}):")
        g.indent()
        if self.key.fixed is not None and self.value.fixed is not None:
            fixed_decode(g, [(self.key, key), (self.value, value)])
        else:
            self.key.gen_decode(g, key)
            self.value.gen_decode(g, value)
        g.line(f"{target}[{key}] = {value}")
        g.dedent()

    def gen_encode(self, g: Gen, expr: str) -> None:
        values, key, value = g.local(expr), g.temp(), g.temp()
        g.put("I", [f"len({values})"])
        g.flush()
        g.line(f"for {key} in {_in_order(self.key, values)}:")
        g.indent()
        g.line(f"{value} = {values}[{key}]")
        self.key.gen_encode(g, key)
        self.value.gen_encode(g, value)
        g.dedent()

    def to_plain(self, value: dict[K, V]) -> Any:
        return [[self.key.to_plain(k), self.value.to_plain(v)] for k, v in value.items()]

    def from_plain(self, plain: Any) -> dict[K, V]:
        return {self.key.from_plain(k): self.value.from_plain(v) for k, v in plain}


class Opt(Codec[T | None]):
    """std::optional: u8 flag, then the value if the flag is set."""

    min_size = 1
    empty = "B", "None"

    def __init__(self, item: Codec[T] | type[T]) -> None:
        self.item = as_codec(item)

    def gen_decode(self, g: Gen, target: str) -> None:
        g.need("1")
        g.line("o += 1")
        g.line("if b[o - 1]:")
        g.indent()
        self.item.gen_decode(g, target)
        g.dedent()
        g.line("else:")
        g.line(f"    {target} = None")

    def gen_encode(self, g: Gen, expr: str) -> None:
        value = g.local(expr)
        g.flush()
        g.line(f"if {value} is None:")
        g.line("    out.append(0)")
        g.line("else:")
        g.indent()
        g.put("B", ["1"])
        self.item.gen_encode(g, value)
        g.dedent()

    def to_plain(self, value: T | None) -> Any:
        return None if value is None else [self.item.to_plain(value)]

    def from_plain(self, plain: Any) -> T | None:
        return None if plain is None else self.item.from_plain(plain[0])


class Seldom(Codec[T]):
    """What nearly always holds nothing: read and written in one step with its neighbours, then."""

    def __init__(self, item: Codec[T]) -> None:
        if item.empty is None:
            raise TypeError(f"{type(item).__name__} is never empty")
        self.item = item
        self.min_size = item.min_size
        self.sortable = item.sortable
        self.counts_bytes_of_text = item.counts_bytes_of_text
        self._format, self._empty = item.empty

    @property
    def usual(self) -> str:
        return self._format

    @property
    def usual_out(self) -> str:
        return self._format

    def load_usual(self, g: Gen, names: list[str], checks: list[Check]) -> str:
        checks.append((names[0], "0"))
        return self._empty

    def dump_usual(self, g: Gen, expr: str, unusual: list[str]) -> list[str]:
        unusual.append(f"{expr} is not None" if self._empty == "None" else expr)
        return ["0"]

    def gen_decode(self, g: Gen, target: str) -> None:
        self.item.gen_decode(g, target)

    def gen_encode(self, g: Gen, expr: str) -> None:
        self.item.gen_encode(g, expr)

    def gen_decode_counted(self, g: Gen, count: str, target: str) -> None:
        self.item.gen_decode_counted(g, count, target)

    def gen_encode_bare(self, g: Gen, expr: str) -> None:
        self.item.gen_encode_bare(g, expr)

    def to_plain(self, value: T) -> Any:
        return self.item.to_plain(value)

    def from_plain(self, plain: Any) -> T:
        return self.item.from_plain(plain)


class Tuple(Codec[tuple[A, B]]):
    """std::pair: the two values, one after the other."""

    def __init__(self, first: Codec[A] | type[A], second: Codec[B] | type[B]) -> None:
        self.first: Codec[A] = as_codec(first)
        self.second: Codec[B] = as_codec(second)
        self.parts: list[Codec[Any]] = [self.first, self.second]
        self.min_size = sum(part.min_size for part in self.parts)
        self.sortable = all(part.sortable for part in self.parts)
        if all(part.fixed is not None for part in self.parts):
            self.fixed = "".join(part.fixed or "" for part in self.parts)

    def load(self, g: Gen, names: list[str]) -> str:
        exprs = []
        for part in self.parts:
            n = slots_of(part.fixed or "")
            exprs.append(part.load(g, names[:n]))
            names = names[n:]
        return "(" + "".join(f"{x}, " for x in exprs) + ")"

    def dump(self, g: Gen, expr: str) -> list[str]:
        pair = g.local(expr)
        return [x for i, part in enumerate(self.parts) for x in part.dump(g, f"{pair}[{i}]")]

    def gen_decode(self, g: Gen, target: str) -> None:
        if self.fixed is not None:
            fixed_decode(g, [(self, target)])
            return
        names = [g.temp() for _ in self.parts]
        for part, name in zip(self.parts, names, strict=True):
            part.gen_decode(g, name)
        g.line(f"{target} = ({', '.join(names)})")

    def gen_encode(self, g: Gen, expr: str) -> None:
        names = ", ".join(g.temp() for _ in self.parts)
        g.line(f"{names} = {expr}")
        for part, name in zip(self.parts, names.split(", "), strict=True):
            part.gen_encode(g, name)

    def to_plain(self, value: tuple[A, B]) -> Any:
        return [self.first.to_plain(value[0]), self.second.to_plain(value[1])]

    def from_plain(self, plain: Any) -> tuple[A, B]:
        return (self.first.from_plain(plain[0]), self.second.from_plain(plain[1]))


class Framed(Codec[T]):
    """An encoding inside a bufferlist: u32 length, then the value; bytes after it are skipped."""

    min_size = 4

    def __init__(self, item: Codec[T] | type[T]) -> None:
        self.item = as_codec(item)

    def gen_decode(self, g: Gen, target: str) -> None:
        size, outer = g.temp(), g.temp()
        g.need("4")
        g.line(f"{size}, = {g.const(struct_of('I').unpack_from, 'unpack')}(b, o)")
        g.line("o += 4")
        g.line(f"if {size} > e - o: raise short({g.where()}, o, e, {size})")
        g.line(f"{outer} = e")
        g.line(f"e = o + {size}")
        self.item.gen_decode(g, target)
        g.line("o = e")
        g.line(f"e = {outer}")

    def gen_encode(self, g: Gen, expr: str) -> None:
        at = g.put_length()
        self.item.gen_encode(g, expr)
        g.set_length(at)

    def to_plain(self, value: T) -> Any:
        return self.item.to_plain(value)

    def from_plain(self, plain: Any) -> T:
        return self.item.from_plain(plain)


class Union(Codec[Any]):
    """A tag, then the value of the class that the tag names.

    Values are instances of the classes of ``cases``. An unknown tag is a DecodeError.
    """

    def __init__(self, tag: Codec[int], cases: Mapping[int, type[Any]]) -> None:
        self.tag = tag
        self.cases = dict(cases)
        self.tags = {cls: number for number, cls in self.cases.items()}
        self.min_size = tag.min_size

    def gen_decode(self, g: Gen, target: str) -> None:
        tag = g.temp()
        self.tag.gen_decode(g, tag)
        table = {number: as_codec(cls).decoder() for number, cls in self.cases.items()}
        found = g.temp()
        g.line(f"{found} = {g.const(table, 'cases')}.get({tag})")
        g.line(f"if {found} is None:")
        g.line(f"    raise DecodeError(*{g.where()}, o, f'unknown tag {{{tag}}}')")
        g.line(f"{target}, o = {found}(b, o, e, f)")

    def gen_encode(self, g: Gen, expr: str) -> None:
        value, tag = g.local(expr), g.temp()
        g.line(f"{tag} = {g.const(self.tags, 'tags')}[type({value})]")
        self.tag.gen_encode(g, tag)
        table = {number: as_codec(cls).encoder() for number, cls in self.cases.items()}
        g.flush()
        g.line(f"{g.const(table, 'cases')}[{tag}](out, {value}, f)")

    def to_plain(self, value: Any) -> Any:
        return [self.tags[type(value)], as_codec(type(value)).to_plain(value)]

    def from_plain(self, plain: Any) -> Any:
        return as_codec(self.cases[plain[0]]).from_plain(plain[1])


class Custom(Codec[T]):
    """An irregular format, by two functions.

    ``decode_fn(cursor)`` returns the value; ``encode_fn(value, out, features)`` appends it;
    ``plain`` and ``unplain`` turn it into what CBOR holds and back, when it is not that already.
    """

    def __init__(
        self,
        decode_fn: Callable[[Cursor], T],
        encode_fn: Callable[[T, bytearray, int], None],
        min_size: int = 0,
        *,
        plain: Callable[[T], Any] | None = None,
        unplain: Callable[[Any], T] | None = None,
        sortable: bool = False,
    ) -> None:
        self.decode_fn = decode_fn
        self.encode_fn = encode_fn
        self.min_size = min_size
        self.sortable = sortable
        self._plain = plain
        self._unplain = unplain

    def gen_decode(self, g: Gen, target: str) -> None:
        cursor = g.temp()
        g.line(f"{cursor} = {g.const(Cursor, 'Cursor')}(b, o, e, f, {g.where()})")
        g.line(f"{target} = {g.const(self.decode_fn, 'decode')}({cursor})")
        g.line(f"o = {cursor}.offset")

    def gen_encode(self, g: Gen, expr: str) -> None:
        g.flush()
        g.line(f"{g.const(self.encode_fn, 'encode')}({expr}, out, f)")

    def to_plain(self, value: T) -> Any:
        return self._plain(value) if self._plain is not None else value

    def from_plain(self, plain: Any) -> T:
        return self._unplain(plain) if self._unplain is not None else plain
