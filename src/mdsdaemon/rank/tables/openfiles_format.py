"""How the table of open files lies in its objects.

`mds0_openfiles.N`, N in hex: in the omap's header the magic, the table's version, how many objects
there are, and how far a change of several objects is; a key (the inode's number in hex) for each
anchor; `_journal.N` while a change of several objects is under way.

Format: ceph/ceph, src/mds/OpenFileTable.cc, src/mds/Anchor.cc (Pacific)
"""

from __future__ import annotations

from enum import IntEnum

from mdsdaemon.encoding import (
    ALL_FEATURES,
    U8,
    U32,
    U64,
    Blob,
    Cursor,
    DecodeError,
    List,
    Map,
    Set,
    Str,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.rank.log.opening import MAGIC
from mdsdaemon.types.frag import Frag

MAX_OBJECTS = 1024
JOURNAL_PREFIX = "_journal."
_OBSOLETE_HEADER = 13


class JournalState(IntEnum):
    """How far a change of several objects is."""

    NONE = 0
    START = 1
    FINISH = 2


@wire(v=2, compat=1, hash=False)
class Anchor:
    """Anchor: where an inode is that clients have open; ``frags``: of a directory, those in use."""

    ino: int = field(U64, default=0)
    dirino: int = field(U64, default=0)
    d_name: str = field(Str, default="")
    d_type: int = field(U8, default=0)
    frags: set[Frag] = field(Set(Frag), factory=set, since=2)


@wire()
class AnchorValue:
    """The value of a key; the list was once that of the fragments, and is empty."""

    anchor: Anchor = field(Anchor, factory=Anchor)
    old_frags: list[Frag] = field(List(Frag), factory=list, if_more=True)


@wire(v=1, compat=1)
class HeaderBody:
    """The header, behind the magic."""

    version: int = field(U64, default=0)
    num_objs: int = field(U32, default=0)
    journal_state: int = field(U8, default=0)


@wire()
class Header:
    """The omap's header."""

    magic: str = field(Str, default=MAGIC)
    body: HeaderBody = field(HeaderBody, factory=HeaderBody)


@wire()
class JournalEntry:
    """A `_journal.N`: what is being changed in this object."""

    version: int = field(U64, default=0)
    update: dict[str, bytes] = field(Map(Str, Blob), factory=dict)
    remove: set[str] = field(Set(Str), factory=set)


def object_name(rank: int, index: int) -> str:
    """An object of the table."""
    return f"mds{rank}_openfiles.{index:x}"


def encode_header(version: int, num_objs: int, state: JournalState) -> bytes:
    """The header as it is written."""
    return encode(Header, Header(body=HeaderBody(version, num_objs, state)), ALL_FEATURES)


def decode_header(data: bytes) -> HeaderBody:
    """What a header says.

    Raises:
        DecodeError: it is malformed, or says what cannot be.
    """
    if len(data) == _OBSOLETE_HEADER:
        c = Cursor(data, 0, len(data), ALL_FEATURES, ("OpenFileTable", "header"))
        body = HeaderBody(c.u64(), c.u32(), c.u8())
    else:
        header = decode(Header, data, partial=True)
        if header.magic != MAGIC:
            raise DecodeError("OpenFileTable", "magic", 0, f"invalid magic {header.magic!r}")
        body = header.body
    if body.num_objs > MAX_OBJECTS:
        raise DecodeError("OpenFileTable", "num_objs", 0, f"{body.num_objs} objects")
    if body.journal_state > JournalState.FINISH:
        raise DecodeError("OpenFileTable", "journal_state", 0, f"is {body.journal_state}")
    return body


def key_of(ino: int) -> str:
    """The key of an inode."""
    return f"{ino:x}"


def parse_key(key: str) -> int:
    """The inode of a key.

    Raises:
        DecodeError: it is none.
    """
    try:
        ino = int(key, 16)
    except ValueError:
        ino = 0
    if not 0 < ino < 1 << 64 or key_of(ino) != key:
        raise DecodeError("OpenFileTable", "key", 0, f"{key!r} is no inode number")
    return ino
