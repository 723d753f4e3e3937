"""Envelopes, versions, conditions: what a schema promises about bytes."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import (
    U8,
    U16,
    U32,
    U64,
    Array,
    Blob,
    Codec,
    Cursor,
    Custom,
    DecodeError,
    EncodeError,
    Framed,
    List,
    Map,
    Opt,
    Raw,
    Rest,
    Set,
    Str,
    Time,
    Tuple,
    Union,
    decode,
    encode,
    field,
    from_plain,
    to_plain,
    wire,
)

FEATURE = 1 << 5


@wire(order=True, hash=True)
class Point:
    x: int = field(U32)
    y: int = field(U8)


@wire(v=3, compat=2)
class Versioned:
    base: int = field(U32, default=0)
    gone: int = field(U16, default=0, until=2)
    added: str = field(Str, default="unset", since=2)
    last: list[int] = field(List(U16), factory=list, since=3)


@wire(versions=((FEATURE, 4, 1), (0, 2, 1)))
class ByFeature:
    old: int = field(U32, default=0)
    new: int = field(U64, default=9, since=3)


@wire()
class Conditional:
    flags: int = field(U8, default=0)
    extra: int = field(U32, default=7, only_if="flags & 2")
    modern: int = field(U8, default=1, when=FEATURE)
    ancient: int = field(U16, default=2, unless=FEATURE)
    tail: int = field(U32, default=3, if_more=True)


@wire(v=2, compat=1, keep_tail=True)
class Kept:
    a: int = field(U32, default=0)


@wire(v=4, legacy=(3, 3))
class Legacy:
    a: int = field(U8, default=0)
    b: int = field(U8, default=5, since=2)


def versioned_bytes(v: int, compat: int, body: bytes) -> bytes:
    return struct.pack("<BBI", v, compat, len(body)) + body


def test_runs_of_fixed_fields_are_one_struct() -> None:
    assert encode(Point, Point(1, 2)) == b"\x01\0\0\0\x02"
    assert decode(Point, b"\x01\0\0\0\x02") == Point(1, 2)


def test_an_older_struct_lacks_newer_fields_and_has_those_since_dropped() -> None:
    data = versioned_bytes(1, 1, struct.pack("<IH", 5, 6))
    assert decode(Versioned, data) == Versioned(5, 6, "unset", [])


def test_a_newer_struct_is_read_and_its_tail_skipped() -> None:
    body = (
        struct.pack("<II", 5, 2) + b"hi" + struct.pack("<IH", 1, 8) + b"what a later release adds"
    )
    data = versioned_bytes(9, 2, body)
    assert decode(Versioned, data) == Versioned(5, 0, "hi", [8])


def test_a_struct_that_needs_newer_code_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match="Versioned at byte 0: needs version 4, 3 is known"):
        decode(Versioned, versioned_bytes(9, 4, b""))


def test_a_length_past_the_buffer_is_refused() -> None:
    with pytest.raises(DecodeError, match="Versioned at byte 6"):
        decode(Versioned, struct.pack("<BBI", 3, 1, 0xFFFFFFFF) + bytes(20))


def test_the_peers_features_choose_the_version() -> None:
    value = ByFeature(1, 2)
    assert encode(ByFeature, value, 0) == versioned_bytes(2, 1, struct.pack("<I", 1))
    assert encode(ByFeature, value, FEATURE) == versioned_bytes(4, 1, struct.pack("<IQ", 1, 2))
    assert decode(ByFeature, encode(ByFeature, value, 0)) == ByFeature(1, 9)


def test_conditions_on_fields_features_and_what_is_left() -> None:
    assert encode(Conditional, Conditional(2, 8, 9), FEATURE) == b"\2\x08\0\0\0\x09\3\0\0\0"
    assert decode(Conditional, b"\0\x07\0", 0) == Conditional(0, 7, 1, 7, 3)
    assert decode(Conditional, b"\2\1\0\0\0\x04\x05\0\0\0", FEATURE) == Conditional(2, 1, 4, 2, 5)


def test_what_a_newer_release_appended_goes_back_as_it_came() -> None:
    data = versioned_bytes(7, 2, struct.pack("<I", 5) + b"news")
    assert encode(Kept, decode(Kept, data)) == data


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x01\x08", Legacy(8, 5)),
        (b"\x02\x08\x09", Legacy(8, 9)),
        (b"\x03\x02\x02\0\0\0\x08\x09", Legacy(8, 9)),
        (b"\x05\x02\x03\0\0\0\x08\x09\xff", Legacy(8, 9)),
    ],
)
def test_structs_from_before_the_envelope(data: bytes, value: Legacy) -> None:
    assert decode(Legacy, data) == value


def test_errors_name_type_field_and_offset() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(Versioned, versioned_bytes(3, 1, struct.pack("<II", 5, 200)))
    assert (caught.value.type, caught.value.field, caught.value.offset) == (
        "Versioned",
        "added",
        14,
    )


def test_bytes_after_the_value_are_an_error_unless_allowed() -> None:
    with pytest.raises(DecodeError, match="1 bytes follow"):
        decode(Point, bytes(6))
    assert decode(Point, bytes(6), partial=True) == Point(0, 0)


@pytest.mark.parametrize(
    "codec", [List(U64), List(Point), List(Str), Set(U32), Map(U32, Str), Map(U8, U8)]
)
def test_a_forged_count_is_refused_before_memory_is_taken(codec: Codec[Any]) -> None:
    with pytest.raises(DecodeError):
        decode(codec, b"\xff\xff\xff\xff" + bytes(64))


def test_values_that_do_not_fit_are_encode_errors() -> None:
    with pytest.raises(EncodeError, match="Point"):
        encode(Point, Point(-1, 0))
    with pytest.raises(EncodeError):
        encode(Raw(4), b"123")
    with pytest.raises(EncodeError):
        encode(Array(U8, 2), [1, 2, 3])


def test_a_tagged_union_finds_its_class_both_ways() -> None:
    codec = Union(U32, {1: Point, 2: Kept})
    for value in (Point(3, 4), Kept(7)):
        assert decode(codec, encode(codec, value)) == value
        assert codec.from_plain(codec.to_plain(value)) == value
    with pytest.raises(DecodeError, match="unknown tag 3"):
        decode(codec, struct.pack("<I", 3))


def test_a_frame_bounds_what_is_in_it() -> None:
    codec = Tuple(Framed(Str), U8)
    assert decode(codec, encode(codec, ("inner", 9))) == ("inner", 9)
    # the string claims more than its frame holds, though the buffer goes on
    with pytest.raises(DecodeError):
        decode(codec, struct.pack("<II", 6, 8) + b"abcdefgh!")


def test_custom_codecs_read_through_a_bounded_cursor() -> None:
    def read(c: Cursor) -> int:
        n = c.count(1)
        return sum(c.u8() for _ in range(n)) + len(c.raw(c.remaining()))

    def write(value: int, out: bytearray, features: int) -> None:
        out += struct.pack("<IB", 1, value)

    codec = Custom(read, write, 4)
    assert decode(codec, encode(codec, 5)) == 5
    for bad in (b"\xff\xff\xff\xff", b"\x02\0\0\0\1", b"\1"):
        with pytest.raises(DecodeError):
            decode(codec, bad)


values = st.builds(
    lambda a, b, c, d, e, f, g: (a, b, c, d, e, f, g),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.lists(st.builds(Point, st.integers(0, 2**32 - 1), st.integers(0, 255))),
    st.sets(st.integers(0, 2**16 - 1)),
    st.dictionaries(st.integers(0, 255), st.text(max_size=5)),
    st.none() | st.integers(0, 2**64 - 1),
    st.integers(0, (2**32 - 1) * 10**9),
)


@wire(v=1, compat=1)
class Everything:
    text: str = field(Str)
    blob: bytes = field(Blob)
    points: list[Point] = field(List(Point))
    numbers: set[int] = field(Set(U16))
    names: dict[int, str] = field(Map(U8, Str))
    maybe: int | None = field(Opt(U64))
    stamp: int = field(Time)
    pairs: dict[Point, tuple[int, int]] = field(Map(Point, Tuple(U8, U32)), factory=dict)
    rest: bytes = field(Rest, default=b"")


@given(values)
def test_every_container_survives_a_round_trip_and_every_cut(parts: tuple[object, ...]) -> None:
    value = Everything(*parts)  # type: ignore[arg-type]
    data = encode(Everything, value)
    assert decode(Everything, data) == value
    assert from_plain(Everything, to_plain(value)) == value
    for cut in range(len(data)):
        with pytest.raises(DecodeError):
            decode(Everything, data[:cut])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_decode_errors(data: bytes) -> None:
    for cls in (Everything, Versioned, Conditional, Kept, Legacy):
        try:
            decode(cls, data)
        except DecodeError:
            pass


def test_text_that_is_not_utf8_survives() -> None:
    raw = b"caf\xe9\xff"
    data = struct.pack("<I", len(raw)) + raw
    value = decode(Str, data)
    assert encode(Str, value) == data
    assert Str.from_plain(Str.to_plain(value)) == value


def test_a_plain_form_of_another_shape_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        from_plain(Point, {"x": 1})
    with pytest.raises(DecodeError):
        from_plain(Everything, [])
