"""Comparing two JSON documents by their keys and kinds of value."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accepted:
    """A difference from ceph-mds that stands, and why.

    ``command`` and ``path`` are regular expressions for the whole of either; a path is the keys
    from the root joined by `/`, with `[]` for a list's elements and the kind of value at its end.
    """

    command: str
    path: str
    why: str

    def covers(self, command: str, path: str) -> bool:
        return bool(re.fullmatch(self.command, command) and re.fullmatch(self.path, path))


def shape(value: Any, path: str = "") -> set[str]:
    """Every path in a document, each with its value's kind; elements of a list share theirs."""
    match value:
        case dict():
            paths = {f"{path} {{}}"}
            for key, member in value.items():
                paths |= shape(member, f"{path}/{key}")
            return paths
        case list():
            return {f"{path} []"}.union(*(shape(member, f"{path}/[]") for member in value))
        case bool():
            return {f"{path} bool"}
        case int() | float():
            return {f"{path} number"}
        case _:
            return {f"{path} {type(value).__name__}"}


def differences(
    command: str, ours: Any, real: Any, accepted: Iterable[Accepted] = ()
) -> tuple[list[str], list[str]]:
    """Paths that only ``ours`` has, and those that only ``real`` has, but for the accepted."""
    mine, theirs = shape(ours), shape(real)

    def left(paths: set[str]) -> list[str]:
        return sorted(p for p in paths if not any(a.covers(command, p) for a in accepted))

    return left(mine - theirs), left(theirs - mine)
