"""Records behave as attrs' own classes do, and are written when they are first used."""

from __future__ import annotations

import copy
import inspect
import pickle
from abc import ABC, abstractmethod
from typing import Any, ClassVar, cast

import attrs
import pytest

from mdsdaemon import records
from mdsdaemon.records import define, evolve, field, frozen


@define
class Thing:
    """Every kind of field."""

    LIMIT: ClassVar[int] = 7

    name: str
    size: int = 3
    seen: list[int] = field(factory=list, repr=False)
    _hidden: int = 5
    made: str = field(init=False, default="here", eq=False)
    later: int = field(init=False, repr=False, eq=False)
    by: str = field(default="me", kw_only=True)

    def doubled(self) -> int:
        return 2 * self.size


@attrs.define
class Model:
    """The same by attrs."""

    LIMIT: ClassVar[int] = 7

    name: str
    size: int = 3
    seen: list[int] = attrs.field(factory=list, repr=False)
    _hidden: int = 5
    made: str = attrs.field(init=False, default="here", eq=False)
    later: int = attrs.field(init=False, repr=False, eq=False)
    by: str = attrs.field(default="me", kw_only=True)


@frozen(order=True)
class Point:
    x: int
    y: int = 0


@define
class Base(ABC):
    first: int = 1

    def __attrs_post_init__(self) -> None:
        self.first += 1

    @abstractmethod
    def what(self) -> str: ...


@define(kw_only=True)
class Derived(Base):
    second: int = 2

    def what(self) -> str:
        return f"{super().__repr__()} {__class__ is type(self)}"  # type: ignore[name-defined]


@define(eq=False)
class ByIdentity:
    number: int = 0


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("a",), {}),
        (("a", 4), {"by": "you"}),
        (("a", 4, [1], 6), {}),
        ((), {"name": "a", "hidden": 9, "seen": [2]}),
    ],
)
def test_it_is_made_and_shown_as_by_attrs(args: Any, options: Any) -> None:
    one, other = Thing(*args, **options), Model(*args, **options)
    assert repr(one) == repr(other).replace("Model", "Thing")
    for name in ("name", "size", "seen", "_hidden", "made", "by"):
        assert getattr(one, name) == getattr(other, name)
    assert not hasattr(one, "later")
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize(
    ("args", "options"),
    [((), {}), (("a",), {"_hidden": 1}), (("a", 1, [], 2, "me"), {}), (("a",), {"made": "x"})],
)
def test_what_does_not_fit_is_a_type_error(args: Any, options: Any) -> None:
    with pytest.raises(TypeError, match=r"Thing\.__init__\(\)"):
        Thing(*args, **options)
    with pytest.raises(TypeError):
        Model(*args, **options)


def test_defaults_are_not_shared() -> None:
    one, other = Thing("a"), Thing("a")
    one.seen.append(1)
    assert other.seen == []


def test_equality_order_and_hash() -> None:
    assert Thing("a") == Thing("a") != Thing("b")
    assert Thing("a", 1) != cast("Any", ("a", 1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Thing("a"))
    made = Thing("a")
    made.made = "there"
    assert made == Thing("a")
    assert {Point(1, 2): 3}[Point(1, 2)] == 3
    assert sorted([Point(2), Point(1, 5), Point(1, 2)]) == [Point(1, 2), Point(1, 5), Point(2)]
    assert Point(1) <= Point(1) >= Point(1)
    assert not Point(1) > Point(1, 1)
    with pytest.raises(TypeError):
        _ = Point(1) < 3  # type: ignore[operator]
    assert ByIdentity() != ByIdentity()
    assert len({ByIdentity(), ByIdentity()}) == 2


def test_frozen_records_stay_as_they_are() -> None:
    point = Point(1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del point.x
    assert point == Point(1)


def test_nothing_but_the_fields_can_be_set() -> None:
    with pytest.raises(AttributeError):
        Thing("a").other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("one", [Thing("a", seen=[1]), Point(1, 2), Derived(second=5)])
def test_copies(one: Any) -> None:
    if isinstance(one, Thing):
        one.later = 4
    for again in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert again == one
        assert again is not one


def test_inheritance() -> None:
    one = Derived(first=10, second=20)
    assert (one.first, one.second) == (11, 20)
    assert one.what() == "Derived(first=11, second=20) True"
    assert repr(one) == "Derived(first=11, second=20)"
    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    with pytest.raises(TypeError):
        Derived(1, 2)  # type: ignore[call-arg]
    assert [each.name for each in records.fields(Derived)] == ["first", "second"]


def test_copies_with_changes() -> None:
    one = Thing("a", 4, [1], 6, by="you")
    assert evolve(one, name="b", hidden=7) == Thing("b", 4, [1], 7, by="you")
    assert attrs.evolve(one, name="b", hidden=7) == Thing("b", 4, [1], 7, by="you")  # type: ignore[misc]
    with pytest.raises(TypeError):
        evolve(one, other=1)


def test_attrs_knows_them() -> None:
    assert attrs.has(Thing)
    names = [(a.name, a.alias, a.init, a.kw_only, a.eq) for a in attrs.fields(Thing)]
    assert names == [(a.name, a.alias, a.init, a.kw_only, a.eq) for a in attrs.fields(Model)]
    assert attrs.asdict(Point(1, 2)) == {"x": 1, "y": 2}  # type: ignore[arg-type]


def test_the_constructor_is_written_when_it_is_called() -> None:
    @define
    class Late:
        number: int = 1

    assert type(vars(Late)["__init__"]) is records._Later
    assert Late().number == 1
    assert inspect.isfunction(vars(Late)["__init__"])
    assert str(inspect.signature(Late)) == "(number=1)"


def test_its_own_methods_stay() -> None:
    @define
    class Own:
        number: int = 1

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 8

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2)
    assert hash(Own()) == 8
    assert repr(Own()) == "own"


def test_fields_and_bases_of_attrs_are_refused() -> None:
    with pytest.raises(TypeError, match="a record takes a field"):

        @define
        class Wrong:
            number: int = attrs.field(default=1)

    with pytest.raises(TypeError, match="Model is no record"):

        @define
        class Below(Model):
            more: int = 1
