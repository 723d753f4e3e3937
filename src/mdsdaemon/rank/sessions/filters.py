"""Which sessions a command means: `session ls|evict [filter …]`.

Behaviour: ceph/ceph, src/mds/SessionMap.cc (SessionFilter) (Pacific)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from mdsdaemon.rank.session import Session

_METADATA = "client_metadata."
_NUMBER = re.compile(r"[ \t\n\r\f\v]*[+-]?[0-9]+")
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class FilterError(ValueError):
    """A filter that is none; the text is for the person who gave it (EINVAL)."""


@define
class SessionFilter:
    """A session matches when it fits everything that was given.

    Attributes:
        metadata: of the client, by key. auth_name: the name of its key, without its type.
        state: in words. id: its number; 0: any. reconnecting: whether it is awaited.
    """

    metadata: dict[str, str] = field(factory=dict)
    auth_name: str = ""
    state: str = ""
    id: int = 0
    reconnecting: bool | None = None

    @classmethod
    def parse(cls, args: Iterable[str]) -> SessionFilter:
        """From the words of a command.

        Raises:
            FilterError: one of them is no filter.
        """
        made = cls()
        for word in args:
            key, equals, value = word.partition("=")
            if not equals:
                # ceph-mds before Octopus was given a bare number; nothing after it counts
                made.id = _number(word, f"Invalid filter '{word}'")
                return made
            made._add(key, value)
        return made

    def _add(self, key: str, value: str) -> None:
        if key.startswith(_METADATA) and len(key) > len(_METADATA):
            self.metadata.setdefault(key[len(_METADATA) :], value)
        elif key == "auth_name":
            self.auth_name = value
        elif key == "state":
            self.state = value
        elif key == "id":
            self.id = _number(value, f"Expected option value to be integer, got '{value}'")
        elif key == "reconnecting":
            if value not in _BOOLS:
                raise FilterError(f"Invalid boolean value '{value}'")
            self.reconnecting = _BOOLS[value]
        else:
            raise FilterError(f"Invalid filter key '{key}'")

    def match(self, session: Session) -> bool:
        """Whether the session is meant."""
        known = session.client_metadata
        return (
            all(known.get(key) == value for key, value in self.metadata.items())
            and self.auth_name in ("", session.info.auth_name.id)
            and self.state in ("", session.state.name.lower())
            and self.id in (0, session.client)
            and self.reconnecting in (None, session.reconnecting)
        )


def _number(text: str, error: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise FilterError(error)
    if not -(1 << 63) <= int(text) < 1 << 63:
        raise FilterError(f"The option value '{text}' seems to be invalid")
    return int(text)
