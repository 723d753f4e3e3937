"""Schemas: a record whose fields say how they lie in bytes.

``@wire`` turns a class into a record (`records.py`) and hangs a ``WireCodec`` on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

from mdsdaemon import records
from mdsdaemon.encoding.codec import Codec, as_codec
from mdsdaemon.encoding.fields import FieldSpec
from mdsdaemon.encoding.struct_codec import METADATA, ByValue, EnvelopeKind, WireCodec

T = TypeVar("T")
C = TypeVar("C")

REGISTRY: dict[str, type[Any]] = {}
"""Classes by the name of the C++ type that they mirror."""


def field(
    codec: Codec[T] | type[T],
    *,
    default: Any = records.NOTHING,
    factory: Callable[[], Any] | None = None,
    since: int = 0,
    until: int = 1 << 16,
    when: int = 0,
    unless: int = 0,
    only_if: str = "",
    if_more: bool = False,
    length_of: str = "",
    counted_by: str = "",
    repr: bool = True,  # noqa: A002
    eq: bool = True,
    kw_only: bool = False,
) -> T:
    """Declare a wire field; fields lie in the order in which they are declared.

    Args:
        codec: a codec or a ``@wire`` class.
        default, factory: the value where the bytes have none.
        since, until: the struct versions that have the field: ``since <= v < until``.
        when, unless: feature bits that must all be there, or must not.
        only_if: an expression over fields declared earlier, such as ``"flags & 1"``.
        if_more: read only if bytes are left in the enclosing struct; always written.
        length_of: what is written is the length of the attribute of that name.
        counted_by: the count of this list, text or blob stands in the earlier field of that name,
            which says ``length_of`` this one.
        repr: False for secrets.
    """
    spec = FieldSpec(
        as_codec(codec), since, until, when, unless, only_if, if_more, length_of, counted_by
    )
    options: dict[str, Any] = {"repr": repr, "eq": eq, "kw_only": kw_only}
    if factory is not None:
        options["factory"] = factory
    elif default is not records.NOTHING:
        options["default"] = default
    return records.field(metadata={METADATA: spec}, **options)  # type: ignore[no-any-return]


@dataclass_transform(field_specifiers=(field, records.field))
def wire(
    *,
    v: int = 0,
    compat: int = 0,
    versions: tuple[tuple[int, int, int], ...] = (),
    envelope: EnvelopeKind | None = None,
    legacy: tuple[int, int] | None = None,
    keep_tail: bool = False,
    by_value: ByValue | None = None,
    newest: int = 0,
    ceph: str = "",
    order: bool = False,
    hash: bool = False,  # noqa: A002
    frozen: bool = False,
    shared: bool = False,
) -> Callable[[type[C]], type[C]]:
    """Make a class a wire type: a record with a generated codec.

    Args:
        v, compat: struct_v and struct_compat that are written.
        versions: ``((feature mask, v, compat), …)`` where they depend on the peer: the first entry
            whose bits the peer has is written.
        envelope: "start" (u8 v, u8 compat, u32 length) where ``v`` is given, "version" (u8 v),
            "header" (the version stands in the message header), "bare" otherwise.
        legacy: ``(compatv, lenv)`` of DECODE_START_LEGACY_COMPAT_LEN: older structs lack the compat
            byte, the length, or both.
        keep_tail: keep what a newer release appended and write it back (attributes ``wire_tail``
            and ``wire_version``).
        by_value: ``(value, v, compat) -> (v, compat)`` where the version depends on the value too.
        newest: the newest version that is read, where it is newer than what is written.
        ceph: the C++ type's name, under which the class is found in ``REGISTRY``.
        order, hash, frozen: as in attrs; ordered types are written in order in sets and maps.
        shared: values that are alike are read as one object; for frozen classes of a fixed size
            that have few values.
    """
    table = versions or (((0, v, compat),) if v else ())
    kind: EnvelopeKind = envelope or ("start" if table else "bare")

    def build(cls: type[C]) -> type[C]:
        if keep_tail:
            options: dict[str, Any] = {"kw_only": True, "repr": False}
            for name, default in (("wire_tail", b""), ("wire_version", (0, 0))):
                setattr(cls, name, records.field(default=default, **options))
                cls.__annotations__[name] = Any
        made = records.define(order=order, hash=hash, frozen=frozen)(cls)
        made.__wire__ = WireCodec(  # type: ignore[attr-defined]
            made,
            envelope=kind,
            versions=table,
            legacy=legacy,
            keep_tail=keep_tail,
            sortable=order,
            by_value=by_value,
            newest=newest,
            shared=shared,
        )
        if ceph:
            REGISTRY[ceph] = made
        return made

    return build


def wire_codec(cls: type[C]) -> WireCodec[C]:
    """The codec of a ``@wire`` class.

    Raises:
        TypeError: ``cls`` is not one.
    """
    codec = as_codec(cls)
    if not isinstance(codec, WireCodec):
        raise TypeError(f"{cls!r} is not a @wire class")
    return codec
