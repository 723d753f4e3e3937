"""One line per event, as text or as JSON."""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from typing import Any

from mdsdaemon.log.levels import ceph_level
from mdsdaemon.redaction import redact

MAX_LINE = 16384
"""Characters of a line; the rest is cut."""
_FRAMES = 12
_GROUP = 4


def one_line(text: str) -> str:
    """`text` without line ends and control characters, which are written as escapes."""
    if not text.isprintable():
        text = "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in text)
    return text if len(text) <= MAX_LINE else text[:MAX_LINE] + "…"


def brief_traceback(error: BaseException) -> str:
    """An exception and where it came from on one line, the innermost frame first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1][:_FRAMES]
    places = " < ".join(
        f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames
    )
    text = f"{type(error).__name__}: {error}"
    if places:
        text += f" [{places}]"
    if isinstance(error, BaseExceptionGroup):
        text += f" ({'; '.join(brief_traceback(e) for e in error.exceptions[:_GROUP])})"
    return text


class _Formatter(logging.Formatter):
    """Knows daemon and subsystem of a record from its logger's name."""

    def __init__(self, daemon: str, base: str) -> None:
        super().__init__()
        self._daemon = daemon
        self._own = f"{base}.{daemon}"

    def origin(self, record: logging.LogRecord) -> tuple[str, str]:
        """(daemon, subsystem)."""
        if record.name == self._own:
            return self._daemon, "mds"
        if record.name.startswith(self._own + "."):
            return self._daemon, record.name[len(self._own) + 1 :]
        return "-", record.name.rpartition(".")[2]


class LineFormatter(_Formatter):
    """`2026-11-23T03:21:53.027614+0000 7f90c0  1 mds.a monc: text`, as Ceph's lines begin.

    Time, thread, Ceph's level, daemon, subsystem, text. Line ends in the text are escaped, an
    exception is added in brief, and what looks like a key is taken out.

    Args:
        coarse: time stamps to the millisecond instead of the microsecond.
        prefix: put before each line.
    """

    def __init__(self, daemon: str, base: str, *, coarse: bool = False, prefix: str = "") -> None:
        super().__init__(daemon, base)
        self._coarse = coarse
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {brief_traceback(record.exc_info[1])}"
        daemon, subsystem = self.origin(record)
        thread = f"{(record.thread or 0) & 0xFFFFFFFFFFFF:x}"
        head = f"{timestamp(record.created, coarse=self._coarse)} {thread}"
        level = ceph_level(record.levelno)
        return self._prefix + one_line(redact(f"{head} {level:2} {daemon} {subsystem}: {text}"))


class JsonFormatter(_Formatter):
    """One JSON object per line: time, level, ceph_level, daemon, subsys, text, pid, exception."""

    def format(self, record: logging.LogRecord) -> str:
        daemon, subsystem = self.origin(record)
        row: dict[str, Any] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "ceph_level": ceph_level(record.levelno),
            "daemon": daemon,
            "subsys": subsystem,
            "text": redact(record.getMessage())[:MAX_LINE],
            "pid": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            row["exception"] = redact("".join(traceback.format_exception(record.exc_info[1])))
        return json.dumps(row, ensure_ascii=False)


def timestamp(created: float, *, coarse: bool = False) -> str:
    """Local time with zone, as Ceph has it: `2026-11-23T03:21:53.027614+0000`."""
    moment = time.localtime(created)
    micros = min(int(created % 1 * 1_000_000), 999_999)
    fraction = f"{micros // 1000:03}" if coarse else f"{micros:06}"
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{fraction}%z", moment)
