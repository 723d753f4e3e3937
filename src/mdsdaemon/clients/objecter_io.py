"""What the objecter's state asks of its surroundings. Everything is synchronous.

None of these may call back into the state.
"""

from __future__ import annotations

from typing import Protocol

from mdsdaemon.clients.objecter_session import PendingOp
from mdsdaemon.messages.base import Message
from mdsdaemon.types.entity import EntityAddrVec


class ObjecterIO(Protocol):
    """Connections to OSDs, and the monitor client."""

    def open_session(self, osd: int, addrs: EntityAddrVec) -> None:
        """Connect to an OSD; a former connection to it is given up with all it has queued."""

    def close_session(self, osd: int) -> None:
        """Give up the connection."""

    def send(self, osd: int, msg: Message) -> None:
        """Queue a message on the OSD's connection."""

    def want_map(self, start: int, onetime: bool) -> None:
        """Subscribe to OSDMaps from epoch `start` on (0: the newest, whole)."""

    def got_map(self, epoch: int) -> None:
        """This epoch is the newest that is known now."""

    def check_version(self, op: PendingOp) -> None:
        """Ask which epoch is the newest, and call `state.version_known(op, epoch)` later."""

    def my_addrs(self) -> EntityAddrVec:
        """Our addresses, by which we may be fenced."""
