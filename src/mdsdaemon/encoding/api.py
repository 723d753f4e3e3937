"""Whole values to whole buffers and back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

from mdsdaemon.encoding.codec import Codec, Encoder, as_codec
from mdsdaemon.encoding.errors import DecodeError, EncodeError
from mdsdaemon.encoding.struct_codec import WireCodec

T = TypeVar("T")

ALL_FEATURES = (1 << 64) - 1


def _name(codec: Codec[Any]) -> str:
    return codec.cls.__name__ if isinstance(codec, WireCodec) else type(codec).__name__


def decode(
    what: Codec[T] | type[T],
    data: bytes | bytearray | memoryview,
    features: int = ALL_FEATURES,
    *,
    version: int | None = None,
    partial: bool = False,
) -> T:
    """Read one value that fills ``data``.

    Args:
        what: a codec or a ``@wire`` class.
        data: the bytes, which may come from anyone.
        features: the feature bits that the writer assumed.
        version: for ``envelope="header"`` types, the version that the message header names.
        partial: allow bytes after the value.

    Raises:
        DecodeError: the bytes are not one such value.
    """
    codec = as_codec(what)
    buffer = bytes(data)
    if version is not None and isinstance(codec, WireCodec):
        read = codec.decode_body(version)
    else:
        read = codec.decoder()
    value, offset = read(buffer, 0, len(buffer), features)
    if offset != len(buffer) and not partial:
        why = f"{len(buffer) - offset} bytes follow the value"
        raise DecodeError(_name(codec), "", offset, why)
    return value  # type: ignore[no-any-return]


def encode(
    what: Codec[T] | type[T],
    value: T,
    features: int = ALL_FEATURES,
    *,
    version: int | None = None,
) -> bytes:
    """The bytes of ``value`` for a peer with ``features``.

    Raises:
        EncodeError: a field's value does not fit its type.
    """
    codec = as_codec(what)
    if version is not None and isinstance(codec, WireCodec):
        return written(codec.encode_body(version), value, features, codec)
    return written(codec.encoder(), value, features, codec)


def written(encoder: Encoder, value: Any, features: int, codec: Codec[Any]) -> bytes:
    """The bytes that an encoder of `codec` writes; for those who have looked it up before.

    Raises:
        EncodeError: a field's value does not fit its type.
    """
    out = bytearray()
    try:
        encoder(out, value, features)
    except (struct.error, ValueError, TypeError, AttributeError, KeyError) as error:
        raise EncodeError(f"{_name(codec)}: {error}") from error
    return bytes(out)


def writer(what: Codec[T] | type[T]) -> Callable[[T, int], bytes]:
    """`encode` of one type, for those who write many: `(value, features) -> bytes`."""
    codec = as_codec(what)

    def write(value: T, features: int = ALL_FEATURES) -> bytes:
        return written(codec.encoder(), value, features, codec)

    return write


def reader(what: Codec[T] | type[T]) -> Callable[[bytes], T]:
    """`decode` of one type with all features, for those who read many."""
    codec = as_codec(what)

    def read(data: bytes) -> T:
        value, offset = codec.decoder()(data, 0, len(data), ALL_FEATURES)
        if offset != len(data):
            why = f"{len(data) - offset} bytes follow the value"
            raise DecodeError(_name(codec), "", offset, why)
        return value  # type: ignore[no-any-return]

    return read


def to_plain(value: Any) -> Any:
    """A ``@wire`` value as numbers, strings, bytes, lists and dicts, as CBOR holds them."""
    return as_codec(type(value)).to_plain(value)


def from_plain(cls: type[T], plain: Any) -> T:
    """The value back from ``to_plain``'s form.

    Raises:
        DecodeError: the form is not that of the class.
    """
    try:
        return as_codec(cls).from_plain(plain)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DecodeError(cls.__name__, "", 0, f"not the plain form of it: {error!r}") from error
