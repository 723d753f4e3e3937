"""The flight record: the last events of a daemon, kept in memory, written when something breaks.

To record an event costs about a microsecond, so it is always on. What is kept is bounded in number
and in size: text is cut, objects are turned into short text at once, so that they are not kept
alive. Secrets are taken out when the record is written.

The file is a CBOR sequence (RFC 8742): a header, tagged 55799 so that the `file` command knows it,
then one array `[seconds, kind, {field: value}]` per event, oldest first.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from mdsdaemon.redaction import HIDDEN, SECRET_FIELDS, redact
from mdsdaemon.version import __version__

FORMAT = "mdsdaemon flight record"
FORMAT_VERSION = 1
SELF_DESCRIBED = 55799

MAX_TEXT = 200
"""Characters kept of a text field."""
MAX_FIELDS = 12
"""Fields kept of an event."""
DEFAULT_CAPACITY = 256

_Event = tuple[float, str, dict[str, object] | tuple[int, str, int]]
_ATOMS = frozenset({int, float, bool, type(None)})


class FlightRecorder:
    """A bounded ring of events.

    Args:
        capacity: events kept; 0 keeps none.
        wall: seconds since the epoch.
        name: whose record it is, `mds.a`.
    """

    __slots__ = ("_events", "_total", "_wall", "name")

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        *,
        wall: Callable[[], float],
        name: str = "",
    ) -> None:
        self.name = name
        self._wall = wall
        self._events: deque[_Event] = deque(maxlen=max(capacity, 0))
        self._total = 0

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<FlightRecorder {self.name} {len(self)}/{self.capacity}>"

    @property
    def capacity(self) -> int:
        """Events kept."""
        return self._events.maxlen or 0

    def resize(self, capacity: int) -> None:
        """Keep another number of events from now on."""
        self._events = deque(self._events, max(capacity, 0))

    def record(self, kind: str, /, **fields: object) -> None:
        """Note an event.

        Args:
            kind: `msg_in`, `msg_out`, `state`, `command`, `task_started`, `task_ended`, ….
            fields: numbers, truth values and short texts; anything else is kept as short text.
        """
        for name, value in fields.items():
            kind_of = type(value)
            if kind_of in _ATOMS or (kind_of is str and len(value) <= MAX_TEXT):  # type: ignore[arg-type]
                continue
            fields[name] = _short(value)
        self._total += 1
        self._events.append((self._wall(), kind, fields))

    def message(self, kind: str, con: int, name: str, tid: int) -> None:
        """Note a message: by far the most frequent event, made into fields when it is read.

        Args:
            kind: `message.in`, `message.out`.
            con: the serial number of its connection.
            name, tid: its type's name, and its transaction number or 0.
        """
        self._total += 1
        self._events.append((self._wall(), kind, (con, name, tid)))

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """The events from the oldest on, without secrets."""
        for at, kind, what in list(self._events):
            if isinstance(what, tuple):
                con, name, tid = what
                yield at, kind, {"con": con, "msg": f"{name} tid {tid}" if tid else name}
            else:
                yield at, kind, clean(what)

    def dump(self, reason: str = "") -> bytes:
        """The record as a CBOR sequence.

        Args:
            reason: why it is written: `crash: …`, `respawn`, `log dump`.
        """
        from cbor2 import CBORTag, dumps

        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "program": f"mdsdaemon {__version__}",
            "name": self.name,
            "pid": os.getpid(),
            "written": self._wall(),
            "reason": _short(redact(reason)),
            "events": len(self._events),
            "dropped": self._total - len(self._events),
        }
        parts = [dumps(CBORTag(SELF_DESCRIBED, header))]
        parts += [dumps([at, kind, fields]) for at, kind, fields in self.events()]
        return b"".join(parts)

    def dump_file(self, path: str, reason: str = "") -> None:
        """Write the record to a file that only its owner can read, in place of an older one.

        Raises:
            OSError: it cannot be written.
        """
        data = self.dump(reason)
        partial = f"{path}.{os.getpid()}.new"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise


def _short(value: object) -> str:
    """A value of any type as text of at most MAX_TEXT characters."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        text = value
    else:
        try:
            text = str(value)
        except Exception as e:
            text = f"<{type(value).__name__}: {type(e).__name__}>"
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    # CBOR's text is UTF-8; names from outside may hold bytes that are not.
    return text.encode("utf-8", "backslashreplace").decode()


def clean(fields: dict[str, object]) -> dict[str, Any]:
    """The fields of an event as they are written: bounded, and without secrets."""
    out: dict[str, Any] = {}
    for name, value in list(fields.items())[:MAX_FIELDS]:
        if name in SECRET_FIELDS:
            out[name] = HIDDEN
        elif isinstance(value, str):
            out[name] = _short(redact(value))
        else:
            out[name] = value
    return out
