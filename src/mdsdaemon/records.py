"""Classes of records that are quick to make: their methods are written when they are first called.

    @define
    class Point:
        x: int
        y: int = 0
        seen: list[int] = field(factory=list, repr=False)

A program has some hundred such classes, of which a run needs a part. attrs writes source text for
each and compiles it while its module is loaded, which takes a third of a daemon's start; here each
method is compiled when it is called for the first time. The classes are slotted, and what they do
is what attrs' `define` and `frozen` do, without validators and converters. `attrs.evolve`,
`attrs.fields` and the like know them.
"""

from __future__ import annotations

import linecache
import operator
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from types import FunctionType, MappingProxyType
from typing import Any, TypeVar, dataclass_transform, overload

import attrs

C = TypeVar("C")
T = TypeVar("T")

NOTHING = attrs.NOTHING
FIELDS = "__record_fields__"
_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class Field:
    """What is known of one field; `name` and `alias` (the argument's name) once its class is."""

    __slots__ = ("alias", "default", "eq", "factory", "init", "kw_only", "metadata", "name", "repr")

    def __init__(
        self,
        default: Any = NOTHING,
        factory: Callable[[], Any] | None = None,
        init: bool = True,
        repr: bool = True,  # noqa: A002
        eq: bool = True,
        kw_only: bool = False,
        metadata: Mapping[str, Any] = _NO_METADATA,
    ) -> None:
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default, factory = NOTHING, default.factory
        self.name = self.alias = ""
        self.default, self.factory = default, factory
        self.init, self.repr, self.eq, self.kw_only = init, repr, eq, kw_only
        self.metadata = metadata

    @property
    def is_required(self) -> bool:
        """Whether there is no value unless one is given."""
        return self.default is NOTHING and self.factory is None


@overload
def field(
    *, default: T, init: bool = ..., repr: bool = ..., eq: bool = ..., kw_only: bool = ...,
    metadata: Mapping[str, Any] = ...,
) -> T: ...  # fmt: skip
@overload
def field(
    *, factory: Callable[[], T], init: bool = ..., repr: bool = ..., eq: bool = ...,
    kw_only: bool = ..., metadata: Mapping[str, Any] = ...,
) -> T: ...  # fmt: skip
@overload
def field(
    *, init: bool = ..., repr: bool = ..., eq: bool = ..., kw_only: bool = ...,
    metadata: Mapping[str, Any] = ...,
) -> Any: ...  # fmt: skip
def field(**options: Any) -> Any:
    """A field of a record, as `attrs.field`."""
    return Field(**options)


def fields(cls: type[Any]) -> tuple[Field, ...]:
    """The fields of a record class, those of its bases first."""
    found: tuple[Field, ...] = getattr(cls, FIELDS)
    return found


def evolve(record: C, **changes: Any) -> C:
    """A copy with other values, as `attrs.evolve`."""
    every = fields(type(record))
    given = {each.alias: getattr(record, each.name) for each in every if each.init}
    return type(record)(**given | changes)


class _Later:
    """In the place of a method, or an attribute of the class, that nobody has asked for yet."""

    __slots__ = ("cls", "make", "name")

    def __init__(self, cls: type[Any], name: str, make: Callable[[type[Any]], Any]) -> None:
        self.cls, self.name, self.make = cls, name, make

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        made = self.make(self.cls)
        setattr(self.cls, self.name, made)
        return getattr(owner if instance is None else instance, self.name)


@overload
def define(maybe_cls: type[C], /) -> type[C]: ...
@overload
def define(
    maybe_cls: None = None, /, *, eq: bool = ..., order: bool = ..., hash: bool = ...,
    frozen: bool = ..., kw_only: bool = ...,
) -> Callable[[type[C]], type[C]]: ...  # fmt: skip
@dataclass_transform(field_specifiers=(field, attrs.field))
def define(
    maybe_cls: type[Any] | None = None,
    /,
    *,
    eq: bool = True,
    order: bool = False,
    hash: bool = False,  # noqa: A002
    frozen: bool = False,
    kw_only: bool = False,
) -> Any:
    """As `attrs.define`; `hash` is its `unsafe_hash`. Methods that the class has itself stay."""
    build = partial(_build, eq=eq, order=order, hashed=hash, frozen=frozen, kw_only=kw_only)
    return build if maybe_cls is None else build(maybe_cls)


@overload
def frozen(maybe_cls: type[C], /) -> type[C]: ...
@overload
def frozen(
    maybe_cls: None = None, /, *, eq: bool = ..., order: bool = ..., kw_only: bool = ...
) -> Callable[[type[C]], type[C]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field, attrs.field))
def frozen(
    maybe_cls: type[Any] | None = None,
    /,
    *,
    eq: bool = True,
    order: bool = False,
    kw_only: bool = False,
) -> Any:
    """As `attrs.frozen`."""
    build = partial(_build, eq=eq, order=order, hashed=False, frozen=True, kw_only=kw_only)
    return build if maybe_cls is None else build(maybe_cls)


# -- making a class ------------------------------------------------------------------------------


def _build(
    cls: type[Any], *, eq: bool, order: bool, hashed: bool, frozen: bool, kw_only: bool
) -> type[Any]:
    own = _own_fields(cls, kw_only)
    bases = cls.__mro__[1:-1]
    inherited = [each for each in _inherited_fields(bases, cls) if each.name not in own]
    body = {name: value for name, value in cls.__dict__.items() if name not in own}
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    there = {name for base in bases for name in base.__dict__.get("__slots__", ())}
    slots = [name for name in own if name not in there]
    if not any(hasattr(base, "__weakref__") for base in bases):
        slots.append("__weakref__")
    every = (*inherited, *own.values())
    body |= {
        "__slots__": tuple(slots),
        "__qualname__": cls.__qualname__,
        "__match_args__": tuple(each.name for each in every if each.init and not each.kw_only),
        FIELDS: every,
    }
    if frozen:
        body |= {"__setattr__": _refuse, "__delattr__": _refuse}
    for name, method in _SHARED.items():
        body.setdefault(name, method)
    compares = eq and "__eq__" not in cls.__dict__
    if compares and "__hash__" not in cls.__dict__:
        body["__hash__"] = None
    made: type[Any] = type(cls)(cls.__name__, cls.__bases__, body)  # type: ignore[misc]
    _rebind(cls, made)
    later: dict[str, Callable[[type[Any]], Any]] = {"__attrs_attrs__": _attrs_fields}
    if "__init__" not in cls.__dict__:
        later["__init__"] = _make_init
    if compares:
        later |= _EQUALITY
    if "__hash__" not in cls.__dict__ and (hashed or (frozen and compares)):
        later["__hash__"] = _make_hash
    if order:
        later |= _ORDER
    for name, make in later.items():
        setattr(made, name, _Later(made, name, make))
    return made


def _own_fields(cls: type[Any], kw_only: bool) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063
        if str(annotation).startswith(("typing.ClassVar", "ClassVar")):
            continue
        value = cls.__dict__.get(name, NOTHING)
        if isinstance(value, _ATTRS_FIELD):
            raise TypeError(f"{cls.__name__}.{name}: a record takes a field of mdsdaemon.records")
        one = value if isinstance(value, Field) else Field(default=value)
        one.name, one.alias = name, name.lstrip("_")
        one.kw_only = one.kw_only or kw_only
        found[name] = one
    return found


def _inherited_fields(bases: tuple[type[Any], ...], cls: type[Any]) -> list[Field]:
    found: dict[str, Field] = {}
    for base in reversed(bases):
        if "__attrs_attrs__" in base.__dict__ and FIELDS not in base.__dict__:
            raise TypeError(f"{cls.__name__}: its base {base.__name__} is no record")
        for each in base.__dict__.get(FIELDS, ()):
            found.setdefault(each.name, each)
    return list(found.values())


def _rebind(old: type[Any], made: type[Any]) -> None:
    """Methods that say `super()` or `__class__` mean the class that was made, too."""
    for value in made.__dict__.values():
        function = value.fget if isinstance(value, property) else value
        function = getattr(function, "__func__", function)
        if isinstance(function, FunctionType) and function.__closure__:
            for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True):
                if name == "__class__" and cell.cell_contents is old:
                    cell.cell_contents = made


_ATTRS_FIELD = type(attrs.field())


# -- what all classes share ----------------------------------------------------------------------


def _shown(record: Any) -> str:
    shown = [f"{f.name}={getattr(record, f.name)!r}" for f in fields(type(record)) if f.repr]
    return f"{type(record).__qualname__.rpartition('>.')[2]}({', '.join(shown)})"


def _refuse(record: Any, name: str, value: Any = None) -> None:
    raise attrs.exceptions.FrozenInstanceError


def _getstate(record: Any) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(type(record))}


def _setstate(record: Any, state: dict[str, Any]) -> None:
    for name, value in state.items():
        object.__setattr__(record, name, value)


_SHARED = {"__repr__": _shown, "__getstate__": _getstate, "__setstate__": _setstate}


# -- what is made later --------------------------------------------------------------------------


def _make_init(cls: type[Any]) -> Any:
    """The constructor's function, compiled."""
    known: dict[str, Any] = {"_NOTHING": NOTHING, "_set": object.__setattr__}
    frozen = cls.__dict__.get("__setattr__", cls.__setattr__) is _refuse
    places: list[str] = []
    keywords: list[str] = []
    lines: list[str] = []
    for number, each in enumerate(fields(cls)):
        place = value = each.alias
        fresh = ""
        if each.factory is not None:
            known[f"_new{number}"] = each.factory
            fresh = f"_new{number}()"
            value = f"{fresh} if {place} is _NOTHING else {place}"
            place += "=_NOTHING"
        elif each.default is not NOTHING:
            known[f"_default{number}"] = each.default
            fresh = f"_default{number}"
            place += f"={fresh}"
        if each.init:
            (keywords if each.kw_only else places).append(place)
        elif fresh:
            value = fresh
        else:
            continue
        target = each.name
        lines.append(f"_set(self, {target!r}, {value})" if frozen else f"self.{target} = {value}")
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("self.__attrs_post_init__()")
    head = ", ".join(["self", *places, *(["*", *keywords] if keywords else [])])
    return _compiled(cls, "__init__", head, lines or ["pass"], known)


def _compiled(cls: type[Any], name: str, head: str, lines: list[str], known: dict[str, Any]) -> Any:
    source = f"def {name}({head}):\n" + "".join(f"    {line}\n" for line in lines)
    filename = f"<mdsdaemon record {cls.__module__}.{cls.__qualname__}.{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec"), known)
    method = known[name]
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    method.__module__ = cls.__module__
    return method


def _compared(cls: type[Any]) -> list[str]:
    return [each.name for each in fields(cls) if each.eq]


def _make_equality(name: str, answer: str, cls: type[Any]) -> Any:
    alike = " and ".join(f"self.{name} == other.{name}" for name in _compared(cls)) or "True"
    lines = [
        "if other.__class__ is not self.__class__: return NotImplemented",
        f"return {answer}({alike})",
    ]
    return _compiled(cls, name, "self, other", lines, {})


def _make_hash(cls: type[Any]) -> Any:
    values = "".join(f"self.{name}, " for name in _compared(cls))
    return _compiled(cls, "__hash__", "self", [f"return hash(({values}))"], {})


def _make_comparison(compare: Callable[[Any, Any], bool], cls: type[Any]) -> Any:
    names = _compared(cls)
    values: Callable[[Any], Any] = attrgetter(*names) if names else lambda _: ()

    def method(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(values(self), values(other))

    return method


def _attrs_fields(cls: type[Any]) -> Any:
    """What attrs' own functions want to know."""
    template: dict[str, Any] = {}
    for each in fields(cls):
        fresh = {"factory": each.factory} if each.factory else {"default": each.default}
        template[each.name] = attrs.field(
            init=each.init,
            repr=each.repr,
            eq=each.eq,
            kw_only=each.kw_only,
            alias=each.alias,
            metadata=each.metadata,
            **fresh,
        )
    return attrs.fields(attrs.make_class(cls.__name__, template))


_EQUALITY = {
    "__eq__": partial(_make_equality, "__eq__", ""),
    "__ne__": partial(_make_equality, "__ne__", "not "),
}
_ORDER = {
    f"__{compare.__name__}__": partial(_make_comparison, compare)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge)
}
