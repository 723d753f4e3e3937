"""Structs of a usual size are read in one step with their neighbours; others as ever."""

import linecache
import struct

import pytest

from mdsdaemon.encoding import (
    U16,
    U32,
    U64,
    DecodeError,
    List,
    Map,
    Str,
    decode,
    encode,
    field,
    wire,
)


@wire(v=3, compat=2)
class Sums:
    """As ceph-mds's sums: always of one size, in an envelope."""

    size: int = field(U64, default=0)
    count: int = field(U32, default=0)
    later: int = field(U16, default=0, since=3)


@wire(v=1, compat=1)
class Pair:
    """A struct of structs."""

    one: Sums = field(Sums, factory=Sums)
    other: Sums = field(Sums, factory=Sums)


@wire()
class Note:
    """Bare, and not of a fixed size: its fields are read where it stands."""

    text: str = field(Str, default="")
    number: int = field(U32, default=0)


@wire(v=2, compat=1)
class Whole:
    """What they are a part of."""

    first: int = field(U32, default=0)
    sums: Sums = field(Sums, factory=Sums)
    between: int = field(U16, default=0)
    pair: Pair = field(Pair, factory=Pair)
    note: Note = field(Note, factory=Note)
    many: list[Sums] = field(List(Sums), factory=list)
    named: dict[int, Sums] = field(Map(U32, Sums), factory=dict)
    last: int = field(U32, default=0, since=2)


def sums(v: int, compat: int, body: bytes) -> bytes:
    return struct.pack("<BBI", v, compat, len(body)) + body


USUAL = sums(3, 2, struct.pack("<QIH", 7, 8, 9))
OLD = sums(2, 2, struct.pack("<QI", 7, 8))
NEWER = sums(5, 2, struct.pack("<QIH", 7, 8, 9) + b"more")


def whole(one: bytes, in_pair: bytes) -> bytes:
    pair = in_pair + USUAL
    body = b"".join(
        [
            *(struct.pack("<I", 1), one, struct.pack("<H", 2)),
            *(struct.pack("<BBI", 1, 1, len(pair)), pair),
            *(struct.pack("<I", 2), b"hi", struct.pack("<I", 4)),
            *(struct.pack("<I", 2), one, in_pair),
            *(struct.pack("<II", 1, 33), one),
            struct.pack("<I", 6),
        ]
    )
    return struct.pack("<BBI", 2, 1, len(body)) + body


@pytest.mark.parametrize("in_pair", [USUAL, OLD, NEWER])
@pytest.mark.parametrize("one", [USUAL, OLD, NEWER])
def test_usual_and_unusual_structs_beside_each_other(one: bytes, in_pair: bytes) -> None:
    known = {USUAL: Sums(7, 8, 9), OLD: Sums(7, 8, 0), NEWER: Sums(7, 8, 9)}
    wanted = Whole(
        first=1,
        sums=known[one],
        between=2,
        pair=Pair(known[in_pair], known[USUAL]),
        note=Note("hi", 4),
        many=[known[one], known[in_pair]],
        named={33: known[one]},
        last=6,
    )
    data = whole(one, in_pair)
    assert decode(Whole, data) == wanted
    if one is USUAL and in_pair is USUAL:
        assert encode(Whole, wanted) == data


@pytest.mark.parametrize("one", [USUAL, OLD, NEWER])
def test_what_is_cut_off_is_refused(one: bytes) -> None:
    data = whole(one, USUAL)
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            decode(Whole, data[:length])
    inner = bytearray(data)
    for end in range(6, len(data)):
        struct.pack_into("<I", inner, 2, end - 6)
        with pytest.raises(DecodeError):
            decode(Whole, bytes(inner[:end]))


def test_a_struct_that_is_too_new_is_named() -> None:
    with pytest.raises(DecodeError, match="needs version 4") as refused:
        decode(Whole, whole(sums(9, 4, USUAL[6:]), USUAL))
    assert "Sums" in str(refused.value)


def test_a_struct_that_says_it_is_longer_than_what_it_is_in() -> None:
    inner = struct.pack("<BBI", 3, 2, 14 + 1) + USUAL[6:]
    with pytest.raises(DecodeError):
        decode(Pair, struct.pack("<BBI", 1, 1, 40) + USUAL + inner)


def test_one_step_is_what_is_generated() -> None:

    decode(Whole, whole(USUAL, USUAL))
    (lines,) = (v[2] for k, v in linecache.cache.items() if "Whole.decode_v2" in k)  # type: ignore[misc]
    source = "".join(lines)
    head = source[: source.index("else:")]
    assert head.count("unpack") == 1
    assert head.count("Sums_") == 3
