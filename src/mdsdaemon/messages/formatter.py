"""What a command answers with, and how that is written: json, json-pretty, cbor, xml.

A command builds plain data (dict, list, str, int, float, bool, None) under a section name; the
client's ``format`` chooses the writing. Ceph 16 falls back to json-pretty for a format it does not
know; so does this, with `cbor` as an addition of ours.

Format: ceph/ceph, src/common/Formatter.cc (Pacific), checked against a live daemon.
"""

import errno
import json
import os
from collections.abc import Iterable
from typing import Any

from mdsdaemon import records


class NamedList(list[Any]):
    """A list whose items have a name, which only XML shows."""

    __slots__ = ("item",)

    def __init__(self, item: str, values: Iterable[Any] = ()) -> None:
        super().__init__(values)
        self.item = item


@records.frozen
class Reply:
    """The result of a command.

    r: 0 or a negative errno. error: text for the person (status string of `ceph tell`).
    out: bytes as they are; when empty and r >= 0, `data` is written in the wanted format under
    `section` (None: nothing to write).
    """

    r: int = 0
    error: str = ""
    out: bytes = b""
    section: str = ""
    data: Any = None

    @classmethod
    def fail(cls, code: int, text: str = "") -> "Reply":
        """An error; `code` is a positive errno."""
        return cls(r=-code, error=text)


@records.frozen
class Result:
    """A finished command as it goes on the wire: result code, status string, output."""

    r: int
    error: str
    out: bytes


def cpp_strerror(r: int) -> str:
    """`(22) Invalid argument` for 22 or -22."""
    return f"({abs(r)}) {os.strerror(abs(r))}"


def render(reply: Reply, fmt: str) -> Result:
    """Write a reply in the format that the client asked for. A failed command has no data."""
    if reply.r < 0 or reply.out or not reply.section:
        return Result(reply.r, reply.error, reply.out)
    try:
        out = dump(reply.section, reply.data, fmt)
    except (ValueError, TypeError) as e:
        return Result(-errno.EIO, f"cannot write this answer as {fmt or 'json-pretty'}: {e}", b"")
    return Result(reply.r, reply.error, out)


def dump(section: str, data: Any, fmt: str) -> bytes:
    """`data` in the format `fmt`, as UTF-8 (or CBOR) bytes."""
    if fmt == "json":
        return _text(json.dumps(data, separators=(",", ":"), ensure_ascii=False))
    if fmt == "cbor":
        from cbor2 import dumps

        return dumps(data)
    if fmt in ("xml", "xml-pretty"):
        parts: list[str] = []
        _xml(section, data, parts, 0 if fmt == "xml-pretty" else None)
        return _text("".join(parts))
    return _text(json.dumps(data, indent=4, ensure_ascii=False) + "\n")


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def escape(text: str) -> str:
    """For XML. (The standard library's own brings an HTTP client with it.)"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _xml(name: str, value: Any, parts: list[str], depth: int | None) -> None:
    tag = escape(name.replace(" ", "_"))
    pad = "" if depth is None else "    " * depth
    end = "" if depth is None else "\n"
    if isinstance(value, dict | list):
        parts.append(f"{pad}<{tag}>{end}")
        deeper = None if depth is None else depth + 1
        if isinstance(value, dict):
            for key, item in value.items():
                _xml(str(key), item, parts, deeper)
        else:
            item_name = value.item if isinstance(value, NamedList) else "item"
            for item in value:
                _xml(item_name, item, parts, deeper)
        parts.append(f"{pad}</{tag}>{end}")
        return
    if value is None:
        text = ""
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = escape(str(value))
    parts.append(f"{pad}<{tag}>{text}</{tag}>{end}")
