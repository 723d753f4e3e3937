"""Structs of a usual size are read in one step with their neighbours; others as ever."""

import linecache
import struct

import pytest

from mdsdaemon.encoding import (
    U16,
    U32,
    U64,
    Array,
    Blob,
    DecodeError,
    List,
    Map,
    Opt,
    Seldom,
    Str,
    decode,
    encode,
    field,
    from_plain,
    reader,
    to_plain,
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


@wire(v=1, compat=1)
class Rare:
    """Of whose fields most are nearly always empty."""

    first: int = field(U32, default=0)
    text: str = field(Seldom(Str), default="")
    blob: bytes = field(Seldom(Blob), default=b"")
    many: list[int] = field(Seldom(List(U16)), factory=list)
    named: dict[int, Sums] = field(Seldom(Map(U32, Sums)), factory=dict)
    maybe: int | None = field(Seldom(Opt(U64)), default=None)
    last: int = field(U32, default=0)


@pytest.mark.parametrize(
    "rare",
    [
        Rare(1, last=2),
        Rare(1, text="t", last=2),
        Rare(1, blob=b"b", last=2),
        Rare(1, many=[3], last=2),
        Rare(1, named={4: Sums(5)}, last=2),
        Rare(1, maybe=0, last=2),
        Rare(1, "t", b"b", [3, 4], {5: Sums(6)}, 7, 2),
    ],
)
def test_what_is_seldom_there(rare: Rare) -> None:
    data = encode(Rare, rare)
    assert decode(Rare, data) == rare
    assert from_plain(Rare, to_plain(rare)) == rare
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            decode(Rare, data[:length])


def test_empty_values_are_not_shared() -> None:
    one, other = (decode(Rare, encode(Rare, Rare())) for _ in range(2))
    one.many.append(1)
    one.named[1] = Sums()
    assert other == Rare()


def test_only_what_can_be_empty_is_seldom_there() -> None:
    with pytest.raises(TypeError, match="never empty"):
        Seldom(U32)
    with pytest.raises(TypeError, match="never empty"):
        Seldom(Array(U32, 3))


def test_a_reader_wants_all_of_the_bytes() -> None:
    read = reader(Sums)
    assert read(USUAL) == Sums(7, 8, 9)
    with pytest.raises(DecodeError, match="2 bytes follow the value"):
        read(USUAL + b"xx")
    with pytest.raises(DecodeError):
        read(USUAL[:-1])
