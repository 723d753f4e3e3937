"""What stands before a struct's fields is read, then the fields of the version that it names.

Format: ceph/ceph, src/include/encoding.h (DECODE_START, DECODE_START_LEGACY_COMPAT_LEN,
DECODE_FINISH), Pacific.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mdsdaemon.encoding.codec import Decoder, struct_of
from mdsdaemon.encoding.errors import DecodeError, short

HEAD = struct_of("BBI")
LEN = struct_of("I")

BodyOf = Callable[[int], Decoder]
"""The decoder of the fields of a struct version."""


def version_decoder(name: str, body_of: BodyOf) -> Decoder:
    """u8 version."""
    where = (name, "")

    def decode_version(b: bytes, o: int, e: int, f: int) -> tuple[Any, int]:
        if o >= e:
            raise short(where, o, e, 1)
        return body_of(b[o])(b, o + 1, e, f)

    return decode_version


def start_decoder(
    name: str, newest: int, known: Mapping[int, Decoder], body_of: BodyOf, keep_tail: bool
) -> Decoder:
    """u8 version, u8 compat version, u32 length.

    Args:
        newest: the newest version that is read.
        known: what `body_of` has given before, by version.
        keep_tail: keep what follows the fields.
    """
    where, head = (name, ""), HEAD.unpack_from

    def decode_start(b: bytes, o: int, e: int, f: int) -> tuple[Any, int]:
        if o + 6 > e:
            raise short(where, o, e, 6)
        v, compat, size = head(b, o)
        if compat > newest:
            raise DecodeError(name, "", o, f"needs version {compat}, {newest} is known here")
        o += 6
        end = o + size
        if end > e:
            raise short(where, o, e, size)
        body = known.get(v)
        value, o = (body if body is not None else body_of(v))(b, o, end, f)
        if keep_tail and (o < end or v > newest):
            value.wire_tail = b[o:end]
            value.wire_version = (v, compat)
        return value, end

    return decode_start


def legacy_decoder(
    name: str,
    newest: int,
    body_of: BodyOf,
    keep_tail: bool,
    compat_since: int,
    length_since: int,
) -> Decoder:
    """As `start_decoder`, for structs whose versions before these lack the compat version or the
    length.
    """
    where = (name, "")

    def decode_legacy(b: bytes, o: int, e: int, f: int) -> tuple[Any, int]:
        if o >= e:
            raise short(where, o, e, 1)
        v = b[o]
        o += 1
        compat = 0
        if v >= compat_since:
            if o >= e:
                raise short(where, o, e, 1)
            compat = b[o]
            if compat > newest:
                why = f"needs version {compat}, {newest} is known here"
                raise DecodeError(name, "", o, why)
            o += 1
        if v < length_since:
            return body_of(v)(b, o, e, f)
        if o + 4 > e:
            raise short(where, o, e, 4)
        end = o + 4 + LEN.unpack_from(b, o)[0]
        o += 4
        if end > e:
            raise short(where, o, e, end - o)
        value, o = body_of(v)(b, o, end, f)
        if keep_tail and (o < end or v > newest):
            value.wire_tail = b[o:end]
            value.wire_version = (v, compat)
        return value, end

    return decode_legacy
