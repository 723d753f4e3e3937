r"""ceph.conf: sections, keys and values, each with the line that it stands on.

    [global]                          ; a comment, as is what follows a #
    mon host = 10.0.0.1, 10.0.0.2
    log_file = "/var/log/ceph/$name.log"
    keyring = /etc/ceph/a\;b          a backslash takes the meaning from the next character
    public network = 10.0.0.0/8, \
                     192.168.0.0/16   and at the end of a line, continues it

Blanks in a key count as underscores: `mon host` is `mon_host`. Letters' case counts and a dash is
no underscore, as in Ceph 16; `suspects` finds the keys that were probably meant otherwise. The last
of equal keys wins, sections of one name are one. What Ceph 16 accepts gives the same values here;
beyond that a missing newline at the end, blanks before `[section]`, comment characters inside
quotes and keys before the first section (counted as `[global]`) are accepted too.

Format: ceph/ceph, src/common/ConfUtils.cc (Pacific), checked against 16.2.15.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mdsdaemon import records
from mdsdaemon.errors import ConfigError

MAX_FILE = 16 << 20
"""Bytes; nobody writes a longer ceph.conf on purpose."""

_EOL = re.compile(r"\r\n|\n|\r")
_BLANKS = re.compile(r"[ \t\v\f\r\n]+")
_HEADING = re.compile(r"[ \t]*\[((?:\\.|[^\]\\;#\r\n])+)\](.*)", re.DOTALL)
_KEY = re.compile(r"((?:\\.|[^=\[;#\\])+)=", re.DOTALL)
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNQUOTED = re.compile(r"(?:\\.|[^;#\\])*", re.DOTALL)
_QUOTED = {
    '"': re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL),
    "'": re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL),
}


def normalize_key_name(key: str) -> str:
    """`  mon  host ` → `mon_host`."""
    return _BLANKS.sub("_", key.strip(" \t\v\f\r\n"))


@records.frozen
class Entry:
    """One `key = value`: the value as written between the quotes, metavariables not expanded."""

    key: str
    value: str = records.field(repr=False)
    line: int


@records.define
class ConfFile:
    """A parsed file: section name → key → entry."""

    path: str
    sections: dict[str, dict[str, Entry]] = records.field(factory=dict, repr=False)

    def read(self, sections: Sequence[str], key: str) -> Entry | None:
        """The entry of `key` in the first of `sections` that has it."""
        for name in sections:
            entry = self.sections.get(name, {}).get(key)
            if entry is not None:
                return entry
        return None

    def entries(self, sections: Sequence[str]) -> dict[str, Entry]:
        """All entries of `sections`, the first of which goes before the others."""
        found: dict[str, Entry] = {}
        for name in reversed(sections):
            found.update(self.sections.get(name, {}))
        return found

    def old_style_sections(self) -> list[str]:
        """Sections such as `[mds0]`, which lack the period and so belong to nobody."""
        return [
            name
            for name in self.sections
            if name.startswith(("mds", "mon", "osd")) and len(name) > 3 and name[3] != "."
        ]


def parse_conf(data: bytes, path: str) -> ConfFile:
    """Parse the bytes of a ceph.conf; `path` is for the errors.

    Raises:
        ConfigError: with file and line.
    """
    if len(data) > MAX_FILE:
        raise ConfigError(path, 0, f"has {len(data)} bytes, more than the {MAX_FILE} allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        before = data[: e.start].decode("latin-1")
        raise ConfigError(path, len(_EOL.findall(before)) + 1, "not UTF-8 text") from None
    conf = ConfFile(path)
    section = conf.sections.setdefault("global", {})
    for number, line in _logical_lines(text):
        if not line.strip(" \t\v\f\r\n") or line.lstrip(" \t\v\f\r\n")[0] in ";#":
            continue
        if "\0" in line:
            raise ConfigError(path, number, "a NUL character")
        heading = _HEADING.fullmatch(line)
        if heading is not None:
            _nothing_more(path, number, heading[2], "the section's name")
            section = conf.sections.setdefault(_UNESCAPE.sub(r"\1", heading[1]), {})
        elif line.lstrip(" \t").startswith("["):
            raise ConfigError(path, number, "no ] after the section's name")
        else:
            entry = _parse_entry(path, number, line)
            section[entry.key] = entry
    return conf


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, text) with continued lines joined."""
    number = 1
    pending, first = "", 0
    for line in _EOL.split(text):
        if not pending:
            first = number
        number += 1
        # An odd number of backslashes ends the line, unless all of it is a comment.
        slashes = len(line) - len(line.rstrip("\\"))
        if slashes % 2 and not _in_comment(pending + line):
            pending += line[:-1]
            continue
        yield first, pending + line
        pending = ""
    if pending:
        yield first, pending


def _in_comment(line: str) -> bool:
    """The end of the line lies in a comment."""
    i, quote = 0, ""
    value = False
    while i < len(line):
        ch = line[i]
        if ch == "\\":
            i += 1
        elif quote:
            quote = "" if ch == quote else quote
        elif ch in ";#":
            return True
        elif ch in "\"'" and value and not line[line.index("=") + 1 : i].strip():
            quote = ch
        elif ch == "=":
            value = True
        i += 1
    return False


def _parse_entry(path: str, number: int, line: str) -> Entry:
    match = _KEY.match(line)
    key = normalize_key_name(match[1]) if match else ""
    if match is None or not key:
        raise ConfigError(path, number, "neither a [section] nor a line of the form NAME = VALUE")
    rest = line[match.end() :].lstrip(" \t")
    if rest[:1] in _QUOTED:
        quoted = _QUOTED[rest[0]].match(rest)
        if quoted is None:
            raise ConfigError(path, number, f"no closing {rest[0]} in the value of {key}")
        _nothing_more(path, number, rest[quoted.end() :], f"the quoted value of {key}")
        value = quoted[1]
    else:
        unquoted = _UNQUOTED.match(rest)
        value = unquoted[0] if unquoted else ""
    return Entry(key, _UNESCAPE.sub(r"\1", value).strip(" \t\v\f\r\n"), number)


def _nothing_more(path: str, number: int, rest: str, after: str) -> None:
    rest = rest.strip(" \t\v\f\r\n")
    if rest and rest[0] not in ";#":
        raise ConfigError(path, number, f"text after {after}")
