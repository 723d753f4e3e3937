"""The grammar of mds capability strings: text to clauses, without their meaning.

    caps    := grant (" "* [;,] " "* grant)*
    grant   := "allow" SP spec [match] [SP "network" SP cidr]
    spec    := "*" | "all" | "rwfps" | "rwps" | "rwfp" | "rwfs" | "rwp" | "rws" | "rwf" | "rw" | "r"
    match   := [SP fsname=NAME] [SP path=PATH] [SP root_squash] [SP uid=N] [SP gids=N,N…]
    SP      := (" " | newline | tab)+

Every choice is settled where it is met: once a piece has matched, it is not tried otherwise
later. White space around the whole is skipped. ``match`` is Squid's form; each of the fixed
combinations that Pacific knows is one of its cases, so that every string Pacific accepts parses
here to the same clauses.

Format: ceph/ceph, src/mds/MDSAuthCaps.cc, MDSCapParser (Pacific; main for ``match``)
"""

from __future__ import annotations

import re
from typing import Final

from mdsdaemon.records import frozen

_UINT_MAX: Final = 2**32 - 1
_SP: Final = r"[ \n\t]+"

_ALLOW = re.compile("allow" + _SP)
# Longest first where one is the beginning of another.
_SPEC = re.compile(r"\*|all|rwfps|rwps|rwfp|rwfs|rwp|rws|rwf|rw|r")
_FSNAME = re.compile(_SP + r"fsname=([A-Za-z0-9_.-]+)")
_PATH = re.compile(_SP + r"""path=(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_./-]+))""")
_ROOT_SQUASH = re.compile(_SP + "root_squash")
_UID = re.compile(_SP + r"uid=([0-9]+)")
_GIDS = re.compile(_SP + r"gids=([0-9]+)")
_NEXT_GID = re.compile(r",([0-9]+)")
_NETWORK = re.compile(_SP + "network" + _SP + r"([/.:a-fA-F0-9\]\[]+)")
_SEPARATOR = re.compile(r" *[;,] *")
_BLANK: Final = " \t\n\v\f\r"


class CapsError(ValueError):
    """A capability string does not parse; ``str()`` is one sentence that shows where."""


@frozen
class Clause:
    """One grant as written; ``path`` and ``network`` are not yet normalised or checked."""

    spec: str
    fs_name: str = ""
    path: str = ""
    root_squash: bool = False
    uid: int | None = None
    gids: tuple[int, ...] = ()
    network: str = ""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = len(text) - len(text.lstrip(_BLANK))

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match here and step over it, or stay."""
        found = pattern.match(self.text, self.pos)
        if found:
            self.pos = found.end()
        return found

    def uint(self, pattern: re.Pattern[str]) -> int | None:
        """An unsigned 32-bit number in group 1; a bigger one does not match."""
        start = self.pos
        found = self.take(pattern)
        if found is None:
            return None
        digits = found[1].lstrip("0") or "0"
        if len(digits) > 10 or int(digits) > _UINT_MAX:
            self.pos = start
            return None
        return int(digits)

    def grant(self) -> Clause | None:
        start = self.pos
        if not self.take(_ALLOW) or not (spec := self.take(_SPEC)):
            self.pos = start
            return None
        fs_name = self.take(_FSNAME)
        path = self.take(_PATH)
        root_squash = self.take(_ROOT_SQUASH)
        uid = self.uint(_UID)
        gids = []
        gid = self.uint(_GIDS)
        while gid is not None:
            gids.append(gid)
            gid = self.uint(_NEXT_GID)
        network = self.take(_NETWORK)
        return Clause(
            spec=spec[0],
            fs_name=fs_name[1] if fs_name else "",
            path=next((part for part in path.groups() if part is not None), "") if path else "",
            root_squash=root_squash is not None,
            uid=uid,
            gids=tuple(gids),
            network=network[1] if network else "",
        )


def parse(text: str) -> list[Clause]:
    """The clauses of ``text``; raises CapsError if any of it does not parse."""
    reader = _Reader(text)
    clauses = []
    clause = reader.grant()
    while clause is not None:
        clauses.append(clause)
        end = reader.pos
        clause = reader.grant() if reader.take(_SEPARATOR) else None
        if clause is None:
            reader.pos = end
    rest = text[reader.pos :].lstrip(_BLANK)
    if rest or not clauses:
        raise CapsError(f"mds capability parse failed, stopped at '{rest}' of '{text}'")
    return clauses
