"""An entry of the journal: the envelope around an event, and which event it is.

    payload = encode_event(EUpdate(type="mkdir", …))
    event = decode_event(payload)

An entry is u32 0, then a versioned struct of the event's u32 type and the event; before 2012 the
type stood first, with nothing around the event.

Format: ceph/ceph, src/mds/LogEvent.h and .cc (Pacific); SEGMENT and LID of later releases
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from struct import Struct

from mdsdaemon.encoding import (
    ALL_FEATURES,
    U32,
    DecodeError,
    Union,
    as_codec,
    decode,
    field,
    reader,
    wire,
    writer,
)
from mdsdaemon.encoding.codec import Decoder
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.journal import (
    ECommitted,
    EExport,
    EFragment,
    EImportFinish,
    EImportStart,
    ELid,
    ENoOp,
    EOpen,
    EPeerUpdate,
    EPurged,
    EResetJournal,
    ESegment,
    ESession,
    ESessions,
    ESessionsOld,
    ESubtreeMap,
    ESubtreeMapTest,
    ETableClient,
    ETableServer,
    EUpdate,
)

LogEvent = (
    ESubtreeMap
    | EExport
    | EImportStart
    | EImportFinish
    | EFragment
    | EResetJournal
    | ESession
    | ESessionsOld
    | ESessions
    | EUpdate
    | EPeerUpdate
    | EOpen
    | ECommitted
    | EPurged
    | ETableClient
    | ETableServer
    | ESubtreeMapTest
    | ENoOp
    | ESegment
    | ELid
)
"""Any event."""


class EventType(IntEnum):
    """EVENT_*; the names are those that cephfs-journal-tool prints."""

    SUBTREEMAP = 2
    EXPORT = 3
    IMPORTSTART = 4
    IMPORTFINISH = 5
    FRAGMENT = 6
    RESETJOURNAL = 9
    SESSION = 10
    SESSIONS_OLD = 11
    SESSIONS = 12
    UPDATE = 20
    PEERUPDATE = 21
    OPEN = 22
    COMMITTED = 23
    PURGED = 24
    TABLECLIENT = 42
    TABLESERVER = 43
    SUBTREEMAP_TEST = 50
    NOOP = 51
    SEGMENT = 100
    LID = 101


CLASSES: Mapping[int, type[LogEvent]] = {
    EventType.SUBTREEMAP: ESubtreeMap,
    EventType.EXPORT: EExport,
    EventType.IMPORTSTART: EImportStart,
    EventType.IMPORTFINISH: EImportFinish,
    EventType.FRAGMENT: EFragment,
    EventType.RESETJOURNAL: EResetJournal,
    EventType.SESSION: ESession,
    EventType.SESSIONS_OLD: ESessionsOld,
    EventType.SESSIONS: ESessions,
    EventType.UPDATE: EUpdate,
    EventType.PEERUPDATE: EPeerUpdate,
    EventType.OPEN: EOpen,
    EventType.COMMITTED: ECommitted,
    EventType.PURGED: EPurged,
    EventType.TABLECLIENT: ETableClient,
    EventType.TABLESERVER: ETableServer,
    EventType.SUBTREEMAP_TEST: ESubtreeMapTest,
    EventType.NOOP: ENoOp,
    EventType.SEGMENT: ESegment,
    EventType.LID: ELid,
}
"""Events by their type."""

_TYPES = {cls: EventType(number) for number, cls in CLASSES.items()}

_TAGGED = Union(U32, CLASSES)
_NEW_ENCODING = bytes(4)
_HEAD = Struct("<IHII")
_ENVELOPE, _VERSION = 10, 0x0101
"""Bytes up to where the envelope's length counts from; its version and compat version."""


@wire(v=1, compat=1)
class _Envelope:
    event: LogEvent = field(_TAGGED)


@wire()
class _Entry:
    new_encoding: int = field(U32)
    envelope: _Envelope = field(_Envelope)


_read_entry = reader(_Entry)
_write_entry = writer(_Entry)


@cache
def _decoder(kind: int) -> Decoder:
    return as_codec(CLASSES[kind]).decoder()


def event_type(event: LogEvent) -> EventType:
    """The type of an event."""
    return _TYPES[type(event)]


def encode_event(event: LogEvent, features: int = FEATURES_PACIFIC) -> bytes:
    """The payload of its journal entry.

    Raises:
        EncodeError: a field's value does not fit its type.
    """
    return _write_entry(_Entry(0, _Envelope(event)), features)


def decode_event(payload: bytes) -> LogEvent:
    """The event of a journal entry.

    Raises:
        DecodeError: it is none, or of a type or version that we do not know.
    """
    event: LogEvent
    size = len(payload)
    if size >= _HEAD.size:
        zero, version, length, kind = _HEAD.unpack_from(payload)
        if not zero and version == _VERSION and length == size - _ENVELOPE and kind in CLASSES:
            # nearly always: nothing but the event has to be read, and it fills the rest
            event, end = _decoder(kind)(payload, _HEAD.size, size, ALL_FEATURES)
            if end == size:
                return event
    if payload[:4] == _NEW_ENCODING:
        return _read_entry(payload).envelope.event
    if len(payload) < 4:
        raise DecodeError("LogEvent", "type", 0, f"{len(payload)} bytes are no event")
    event = decode(_TAGGED, payload)
    return event
