"""Reading a flight record, and writing it down for people.

The file may come from anywhere and may be cut off (a full disk, a dying machine): what can be read
is read, and the rest is named. Format: see ring.py.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.recorder.ring import FORMAT, FORMAT_VERSION, SELF_DESCRIBED, clean

MAX_FILE = 256 << 20
MAX_EVENT = 64 << 10
"""Bytes of one event; ours have less than 4 KiB."""


class RecordError(FatalError):
    """The file is no flight record, or cannot be read."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"{path}: {why}", ExitStatus.BAD_FILE, "name a file that `log dump` or a crash wrote"
        )


@attrs.frozen
class Event:
    """One event: seconds since the epoch, kind, fields."""

    at: float
    kind: str
    fields: dict[str, Any]


@attrs.define
class Record:
    """A flight record.

    Attributes:
        damage: where and why reading ended before the end of the file, "" when it did not.
    """

    header: dict[str, Any]
    events: list[Event]
    damage: str = ""


def read_record(path: str) -> Record:
    """Read a file.

    Raises:
        RecordError: it cannot be read, or is no flight record.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as e:
        raise RecordError(path, f"cannot read it: {e.strerror or e}") from None
    if len(data) > MAX_FILE:
        raise RecordError(path, f"longer than {MAX_FILE} bytes")
    return parse_record(data, path)


def parse_record(data: bytes, path: str = "record") -> Record:
    """As `read_record`, from bytes."""
    from cbor2 import CBORDecodeError, CBORDecoder

    # What a decoder that is given hostile bytes may raise besides its own error.
    broken = (CBORDecodeError, ValueError, TypeError, OverflowError, MemoryError, RecursionError,
              LookupError)  # fmt: skip
    stream = io.BytesIO(data)
    decoder = CBORDecoder(stream, tag_hook=lambda _, tag: tag)
    try:
        header = decoder.decode()
    except broken:
        raise RecordError(path, "not a flight record") from None
    header = _untagged(header)
    if not isinstance(header, Mapping) or header.get("format") != FORMAT:
        raise RecordError(path, "not a flight record")
    if header.get("version") != FORMAT_VERSION:
        raise RecordError(path, f"a flight record of version {header.get('version')!r}")
    record = Record({str(name): value for name, value in header.items()}, [])
    while (at := stream.tell()) < len(data):
        try:
            item = decoder.decode()
        except broken:
            record.damage = f"cut off at byte {at} of {len(data)}"
            break
        event = _event(item) if stream.tell() - at <= MAX_EVENT else None
        if event is None:
            record.damage = f"no event at byte {at}"
            break
        record.events.append(event)
    expected = header.get("events")
    if not record.damage and isinstance(expected, int) and len(record.events) < expected:
        record.damage = f"only {len(record.events)} of {expected} events are there"
    return record


def _untagged(item: Any) -> Any:
    if getattr(item, "tag", None) == SELF_DESCRIBED:
        return item.value
    return item


def _event(item: Any) -> Event | None:
    match item:
        case [int() | float() as at, str() as kind, Mapping() as fields] if at == at:
            named = {str(name): value for name, value in fields.items()}
            return Event(float(at), kind, clean(named))
    return None


def format_record(record: Record) -> Iterator[str]:
    """The lines that `record show` prints."""
    header = record.header
    who = f"{header.get('name') or 'a daemon'} (pid {header.get('pid')}, {header.get('program')})"
    yield f"flight record of {_plain(who)}"
    written, reason = header.get("written"), header.get("reason")
    if isinstance(written, int | float):
        yield f"written {timestamp(written)}" + (f": {_plain(reason)}" if reason else "")
    dropped = header.get("dropped")
    yield f"{len(record.events)} events" + (f", {dropped} older ones dropped" if dropped else "")
    previous = None
    width = max((len(event.kind) for event in record.events), default=0)
    for event in record.events:
        gap = 0.0 if previous is None else event.at - previous
        previous = event.at
        fields = "  ".join(f"{_plain(k)}={_value(v)}" for k, v in event.fields.items())
        line = f"{timestamp(event.at)} {gap:+9.3f}  {_plain(event.kind):{min(width, 24)}}  {fields}"
        yield line.rstrip()
    if record.damage:
        yield f"the record is damaged: {record.damage}"


def timestamp(at: float) -> str:
    """`2026-11-23T03:21:53.027Z`, or the bare number when it is no date."""
    try:
        moment = dt.datetime.fromtimestamp(at, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> str:
    """Text without line ends and control characters, which a terminal would obey."""
    return "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in str(value))


def _value(value: object) -> str:
    text = _plain(value)
    return f'"{text}"' if isinstance(value, str) and (" " in text or not text) else text
