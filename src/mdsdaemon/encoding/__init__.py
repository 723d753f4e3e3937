"""Ceph's binary encoding, declared once per type; CBOR from the same declarations.

@wire(v=2, compat=1, ceph="thing_t")
class Thing:
    number: int = field(U64)
    names: list[str] = field(List(Str), factory=list, since=2)

decode(Thing, data)      encode(Thing, thing)      to_plain(thing)
"""

from mdsdaemon.encoding.api import (
    ALL_FEATURES,
    decode,
    encode,
    from_plain,
    reader,
    to_plain,
    writer,
    written,
)
from mdsdaemon.encoding.codec import Codec, as_codec
from mdsdaemon.encoding.containers import (
    Array,
    Custom,
    Framed,
    List,
    Map,
    Opt,
    Seldom,
    Set,
    Tail,
    Tuple,
    Union,
)
from mdsdaemon.encoding.cursor import Cursor
from mdsdaemon.encoding.errors import DecodeError, EncodeError
from mdsdaemon.encoding.fields import FieldSpec
from mdsdaemon.encoding.primitives import (
    F32,
    F64,
    S8,
    S16,
    S32,
    S64,
    U8,
    U16,
    U32,
    U64,
    Blob,
    Bool,
    Duration,
    Raw,
    Rest,
    Str,
    Time,
    Uuid,
)
from mdsdaemon.encoding.schema import REGISTRY, field, wire, wire_codec
from mdsdaemon.encoding.struct_codec import WireCodec
from mdsdaemon.encoding.unread import Unread

__all__ = [
    "ALL_FEATURES",
    "F32",
    "F64",
    "REGISTRY",
    "S8",
    "S16",
    "S32",
    "S64",
    "U8",
    "U16",
    "U32",
    "U64",
    "Array",
    "Blob",
    "Bool",
    "Codec",
    "Cursor",
    "Custom",
    "DecodeError",
    "Duration",
    "EncodeError",
    "FieldSpec",
    "Framed",
    "List",
    "Map",
    "Opt",
    "Raw",
    "Rest",
    "Seldom",
    "Set",
    "Str",
    "Tail",
    "Time",
    "Tuple",
    "Union",
    "Unread",
    "Uuid",
    "WireCodec",
    "as_codec",
    "decode",
    "encode",
    "field",
    "from_plain",
    "reader",
    "to_plain",
    "wire",
    "wire_codec",
    "writer",
    "written",
]
