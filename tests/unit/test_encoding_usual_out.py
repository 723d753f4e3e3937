"""What is written in one step because it usually is empty: the same bytes as one by one."""

from __future__ import annotations

import linecache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import (
    U8,
    U16,
    U32,
    U64,
    Blob,
    List,
    Map,
    Opt,
    Seldom,
    Str,
    decode,
    encode,
    field,
    wire,
)


@wire()
class Bare:
    rare: list[int] = field(Seldom(List(U32)), factory=list)
    number: int = field(U16, default=0)


@wire(v=3, compat=2)
class Inner:
    before: int = field(U8, default=0)
    name: str = field(Seldom(Str), default="")
    bare: Bare = field(Bare, factory=Bare)
    data: bytes = field(Seldom(Blob), default=b"")


@wire(v=2, compat=1)
class Usual:
    first: int = field(U64, default=0)
    inner: Inner = field(Inner, factory=Inner)
    maybe: dict[int, int] | None = field(Seldom(Opt(Map(U32, U32))), default=None)
    middle: bytes = field(Blob, default=b"")
    some: dict[int, str] = field(Seldom(Map(U8, Str)), factory=dict)
    count: int = field(U32, default=0)
    text: str = field(Seldom(Str), default="", since=2)
    last: int = field(U8, default=0, since=2)


@wire()
class PlainBare:
    rare: list[int] = field(List(U32), factory=list)
    number: int = field(U16, default=0)


@wire(v=3, compat=2)
class PlainInner:
    before: int = field(U8, default=0)
    name: str = field(Str, default="")
    bare: PlainBare = field(PlainBare, factory=PlainBare)
    data: bytes = field(Blob, default=b"")


@wire(v=2, compat=1)
class Plain:
    first: int = field(U64, default=0)
    inner: PlainInner = field(PlainInner, factory=PlainInner)
    maybe: dict[int, int] | None = field(Opt(Map(U32, U32)), default=None)
    middle: bytes = field(Blob, default=b"")
    some: dict[int, str] = field(Map(U8, Str), factory=dict)
    count: int = field(U32, default=0)
    text: str = field(Str, default="", since=2)
    last: int = field(U8, default=0, since=2)


u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
seldom = st.booleans()


@st.composite
def both(draw: st.DrawFn) -> tuple[Usual, Plain]:
    """The same values in both; each that may be empty is so half of the time."""

    def rare(values: st.SearchStrategy[Any], empty: Any) -> Any:
        return draw(values) if draw(seldom) else empty

    numbers, number = rare(st.lists(u32, max_size=3), []), draw(u16)
    name, data, before = rare(st.text(max_size=5), ""), rare(st.binary(max_size=5), b""), draw(u8)
    rest = {
        "first": draw(st.integers(0, 2**64 - 1)),
        "maybe": rare(st.dictionaries(u32, u32, max_size=2), None),
        "middle": draw(st.binary(max_size=4)),
        "some": rare(st.dictionaries(u8, st.text(max_size=3), max_size=2), {}),
        "count": draw(u32),
        "text": rare(st.text(max_size=4), ""),
        "last": draw(u8),
    }
    usual = Usual(inner=Inner(before, name, Bare(numbers, number), data), **rest)
    plain = Plain(inner=PlainInner(before, name, PlainBare(numbers, number), data), **rest)
    return usual, plain


@given(both())
def test_the_same_bytes(values: tuple[Usual, Plain]) -> None:
    usual, plain = values
    written = encode(Usual, usual)
    assert written == encode(Plain, plain)
    assert decode(Usual, written) == usual
    assert decode(Plain, written) == plain


def test_nothing_and_an_empty_map_differ() -> None:
    assert encode(Usual, Usual(maybe={})) == encode(Plain, Plain(maybe={}))
    assert encode(Usual, Usual(maybe={})) != encode(Usual, Usual())


def test_what_is_usual_is_packed_at_once() -> None:
    """Else this file tests nothing."""
    encode(Usual, Usual())
    source = linecache.getlines("<mdsdaemon codec Usual.encode_v2>")
    assert [line for line in source if "if not (" in line]
