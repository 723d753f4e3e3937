"""Counts that stand apart from what they count, runs under one condition, messages in `data`."""

import struct
from collections.abc import Iterator
from typing import ClassVar

import pytest

from mdsdaemon.encoding import (
    U8,
    U16,
    U32,
    U64,
    Blob,
    DecodeError,
    List,
    Str,
    Tail,
    WireCodec,
    decode,
    encode,
    field,
    from_plain,
    to_plain,
    wire,
    wire_codec,
)
from mdsdaemon.messages.base import TYPES, Message, decode_message, encode_message, message


@wire()
class Counted:
    """The counts first, then what they count."""

    names: int = field(U16, default=0, length_of="text")
    numbers: int = field(U8, default=0, length_of="values")
    kind: int = field(U32, default=0)
    text: str = field(Str, default="", counted_by="names")
    values: list[int] = field(List(U64), factory=list, counted_by="numbers")
    rest: list[int] = field(Tail(U16), factory=list)


@wire()
class InRuns:
    """Neighbours that are there together, or not."""

    kind: int = field(U8, default=0)
    a: int = field(U16, default=7, only_if="kind == 1")
    b: int = field(U32, default=8, only_if="kind == 1")
    c: int = field(U16, default=9, only_if="kind != 1")
    d: int = field(U8, default=0)


@wire(v=3, compat=1)
class Inner:
    """Always written with one size, and read with others."""

    a: int = field(U32, default=0)
    gone: int = field(U8, default=0, until=2)
    b: int = field(U16, default=0, since=2)


@wire()
class Outer:
    """Its neighbours join the struct's pack."""

    before: int = field(U8, default=1)
    inner: Inner = field(Inner, factory=Inner)
    after: int = field(U8, default=2)
    blob: bytes = field(Blob, default=b"")


def test_counts_are_written_from_what_they_count() -> None:
    value = Counted(99, 99, 5, "größer", [1, 2], [3])
    raw = encode(Counted, value)
    text = "größer".encode()
    assert raw == struct.pack("<HBI", len(text), 2, 5) + text + struct.pack("<QQH", 1, 2, 3)
    again = decode(Counted, raw)
    assert (again.text, again.values, again.rest) == ("größer", [1, 2], [3])
    assert (again.names, again.numbers) == (len(text), 2)
    assert from_plain(Counted, to_plain(again)) == again
    assert decode(Counted, bytes(7)) == Counted()
    assert decode(List(Counted), bytes([1, 0, 0, 0]) + bytes(7)) == [Counted()]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (struct.pack("<HBI", 1, 0, 0), "text"),
        (struct.pack("<HBI", 0, 2, 0) + bytes(15), "values"),
        (struct.pack("<HBI", 0, 0, 0) + bytes(3), "rest"),
        (struct.pack("<HBI", 0xFFFF, 0xFF, 0) + bytes(9), "text"),
    ],
)
def test_a_count_that_nothing_fits_is_refused(raw: bytes, name: str) -> None:
    with pytest.raises(DecodeError) as e:
        decode(Counted, raw)
    assert e.value.field == name


@pytest.mark.parametrize(
    ("kind", "raw"),
    [(1, struct.pack("<BHIB", 1, 3, 4, 6)), (2, struct.pack("<BHB", 2, 5, 6))],
)
def test_runs_under_a_condition(kind: int, raw: bytes) -> None:
    value = InRuns(kind, 3, 4, 5, 6)
    assert encode(InRuns, value) == raw
    again = decode(InRuns, raw)
    assert (again.a, again.b, again.c) == ((3, 4, 9) if kind == 1 else (7, 8, 5))
    for size in range(len(raw)):
        with pytest.raises(DecodeError):
            decode(InRuns, raw[:size])


def test_a_struct_of_one_size_joins_its_neighbours() -> None:
    value = Outer(9, Inner(1, 2, 3), 8, b"x")
    raw = encode(Outer, value)
    assert raw == struct.pack("<BBBIIHBI", 9, 3, 1, 6, 1, 3, 8, 1) + b"x"
    assert decode(Outer, raw) == Outer(9, Inner(1, 0, 3), 8, b"x")
    old = struct.pack("<BBBIIBBI", 9, 1, 1, 5, 1, 2, 8, 0)
    assert decode(Outer, old) == Outer(9, Inner(1, 2, 0), 8)
    assert isinstance(wire_codec(Inner), WireCodec)
    assert wire_codec(Inner).fixed is None


@pytest.fixture
def in_data() -> Iterator[type[Message]]:
    @message(0x7F01, v=2, compat=1, newest=3, by_value=lambda msg, v, c: (v if msg.more else 1, c))
    class InData(Message):
        PAYLOAD_IN_DATA: ClassVar[bool] = True

        number: int = field(U32)
        more: int = field(U8, default=0, since=2)
        later: int = field(U8, default=5, since=3)

        def received(self) -> None:
            if self.number != len(self.middle):
                raise DecodeError("InData", "number", 0, "not the length of the middle")

    yield InData
    del TYPES[0x7F01]


def test_a_message_in_its_data_segment(in_data: type[Message]) -> None:
    msg = in_data(number=3, more=4)  # type: ignore[call-arg]
    assert encode_message(msg, 0) == (2, 1, b"")
    assert msg.data == b"\3\0\0\0\4"
    msg.middle = b"abc"
    assert decode_message(0x7F01, 2, 1, b"", b"abc", msg.data, 0) == msg
    short = in_data(number=3)  # type: ignore[call-arg]
    assert encode_message(short, 0) == (1, 1, b"")
    newer = decode_message(0x7F01, 9, 3, b"", b"abc", b"\3\0\0\0\4\6later", 0)
    assert newer.later == 6  # type: ignore[attr-defined]
    with pytest.raises(DecodeError, match="not the length"):
        decode_message(0x7F01, 2, 1, b"", b"ab", msg.data, 0)
    with pytest.raises(DecodeError, match="needs version 4"):
        decode_message(0x7F01, 4, 4, b"", b"abc", msg.data, 0)
