"""Records of the monitor's services: values of the schema as CBOR."""

from __future__ import annotations

from typing import Any, TypeVar

import cbor2

from mdsdaemon.encoding import DecodeError, from_plain, to_plain
from mdsdaemon.errors import ExitStatus, FatalError

T = TypeVar("T")


def pack(value: Any) -> bytes:
    """A schema's object, or plain data, as a record."""
    plain = to_plain(value) if hasattr(type(value), "__wire__") else value
    return cbor2.dumps(plain)


def unpack(cls: type[T], record: bytes) -> T:
    """The object of a record that `pack` made.

    Raises FatalError: the record is none of that kind.
    """
    try:
        return from_plain(cls, unpack_plain(record))
    except (DecodeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
        raise _bad(cls.__name__, exc) from exc


def unpack_plain(record: bytes) -> Any:
    """The plain data of a record; raises FatalError."""
    try:
        return cbor2.loads(record)
    except (cbor2.CBORDecodeError, ValueError, EOFError) as exc:
        raise _bad("plain data", exc) from exc


def _bad(kind: str, exc: Exception) -> FatalError:
    return FatalError(
        f"a record of the monitor does not decode as {kind}: {exc}",
        ExitStatus.DATA,
        "restore the folder from a copy, or start with another one",
    )
