"""Structs that stay bytes, and values that are read as one object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import (
    S64,
    U8,
    U16,
    U32,
    DecodeError,
    List,
    Map,
    Seldom,
    Str,
    Unread,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.encoding.shared import Known


@wire(v=3, compat=2)
class Sum:
    """Always of one size, in an envelope."""

    count: int = field(U32, default=0)
    size: int = field(S64, default=0)
    note: str = field(Seldom(Str), default="")


@wire(v=1, compat=1)
class Holder:
    """What holds one unread, among numbers."""

    first: int = field(U16, default=0)
    raw: bytes = field(Unread(Sum), factory=lambda: encode(Sum, Sum()))
    last: int = field(U32, default=0)


@wire(v=1, compat=1)
class Sums:
    """Structs in a struct, usually of one size."""

    one: Sum = field(Sum, factory=Sum)
    other: Sum = field(Sum, factory=Sum)


@wire()
class Outer:
    number: int = field(U32, default=0)
    raw: bytes = field(Unread(Sums), factory=lambda: encode(Sums, Sums()))


@wire(frozen=True, shared=True)
class Name:
    kind: int = field(U8, default=0)
    number: int = field(S64, default=0)


@wire(frozen=True, shared=True)
class Place:
    ino: int = field(U32, default=0)
    name: Name = field(Name, factory=Name)


@wire()
class Names:
    place: Place = field(Place, factory=Place)
    listed: list[Place] = field(List(Place), factory=list)
    mapped: dict[Name, Place] = field(Map(Name, Place), factory=dict)


USUAL, UNUSUAL = encode(Sum, Sum(1, -2)), encode(Sum, Sum(1, -2, "text"))


@pytest.mark.parametrize("raw", [USUAL, UNUSUAL, b"\x04\x02" + USUAL[2:]])
def test_a_struct_stays_as_it_came(raw: bytes) -> None:
    data = encode(Holder, Holder(7, raw, 9))
    assert data[8 : 8 + len(raw)] == raw
    assert decode(Holder, data) == Holder(7, raw, 9)


def test_its_bytes_are_those_of_the_struct_itself() -> None:
    @wire(v=1, compat=1)
    class Read:
        first: int = field(U16, default=0)
        raw: Sum = field(Sum, factory=Sum)
        last: int = field(U32, default=0)

    assert encode(Read, Read(7, Sum(1, -2), 9)) == encode(Holder, Holder(7, USUAL, 9))


@given(st.integers(0, 40), st.sampled_from([USUAL, UNUSUAL]))
def test_a_struct_that_does_not_fit_is_found(length: int, raw: bytes) -> None:
    data = encode(Holder, Holder(7, raw, 9))
    if length < len(data):
        with pytest.raises(DecodeError):
            decode(Holder, data[:length])
    longer = data[:10] + b"\xff\xff\xff\xff" + data[14:]
    with pytest.raises(DecodeError, match=r"^Sum at byte 14: needs 4294967295 bytes"):
        decode(Holder, longer)


def test_what_is_wrong_is_found_when_it_is_read() -> None:
    data = encode(Outer, Outer(1))
    assert decode(Outer, data) == Outer(1)
    inner = data.rindex(USUAL[:6])
    for changed, why in ((b"\x09\x09", "Sum at byte"), (b"\x03\x02\xff", "Sum at byte")):
        wrong = data[:inner] + changed + data[inner + len(changed) :]
        with pytest.raises(DecodeError, match=why):
            decode(Outer, wrong)


def test_only_what_says_its_length_can_stay_unread() -> None:
    with pytest.raises(TypeError):
        Unread(Name)


def test_what_is_alike_is_one_object() -> None:
    place = Place(5, Name(8, 4100))
    wanted = Names(place, [place, Place(6)], {Name(8, 4100): place, Name(1): Place(6)})
    first, again = (decode(Names, encode(Names, wanted)) for _ in range(2))
    assert first == wanted
    assert first.place is again.place is first.listed[0] is first.mapped[Name(8, 4100)]
    assert first.place.name is next(key for key in again.mapped if key.kind == 8)


def test_as_many_as_were_seen_are_known_and_no_more() -> None:
    known = Known(lambda a, b: (a, b))
    for n in range(3 * Known.AT_MOST):
        assert known[n, 1] == (n, 1)
        assert len(known) <= Known.AT_MOST
    assert Known(str)[5] == "5"
