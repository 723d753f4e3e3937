"""A client's session, as far as the daemon itself needs one.

Every accepted connection gets a `Session`, rank or not, because a client with `allow *` may send
commands to any daemon. It enters a rank's session map only when the client asks to open it.

Behaviour: ceph/ceph, src/mds/SessionMap.h, src/mds/MDSDaemon.cc, ms_handle_accept (Pacific)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mdsdaemon.cephx.caps import MDSAuthCaps
from mdsdaemon.types.entity import PeerName

if TYPE_CHECKING:
    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.connection import Connection

MAX_PREOPEN = 1024
"""Messages kept for a client that has no connection; a longer queue drops its oldest."""


class SessionState(IntEnum):
    """The state of a client's session."""

    CLOSED = 0
    OPENING = 1
    OPEN = 2
    CLOSING = 3
    STALE = 4
    KILLING = 5


@define(eq=False)
class Session:
    """One client: what it may do, and where it can be reached. `name.num` is its global id."""

    name: PeerName
    connection: Connection | None = None
    state: SessionState = SessionState.CLOSED
    state_seq: int = 0
    auth_caps: MDSAuthCaps = field(factory=MDSAuthCaps)
    client_metadata: dict[str, str] = field(factory=dict)
    preopen_out_queue: deque[Message] = field(factory=lambda: deque(maxlen=MAX_PREOPEN), repr=False)
    priv: Any = field(default=None, repr=False)
    """For the rank's own use."""

    def is_closed(self) -> bool:
        return self.state == SessionState.CLOSED

    def set_state(self, state: SessionState) -> None:
        """Change the state; `state_seq` counts the changes."""
        if self.state != state:
            self.state = state
            self.state_seq += 1

    def set_connection(self, con: Connection) -> None:
        """The client's connection from now on; what waited for one is sent."""
        self.connection = con
        while self.preopen_out_queue:
            con.send_message(self.preopen_out_queue.popleft())

    def send(self, msg: Message) -> None:
        """Send, or keep the message until the client is connected."""
        if self.connection is None:
            self.preopen_out_queue.append(msg)
        else:
            self.connection.send_message(msg)


class SessionMap:
    """The sessions that clients have asked a rank to open, by name (client.GLOBALID)."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[PeerName, Session] = {}

    def get_session(self, name: PeerName) -> Session | None:
        return self._by_name.get(name)

    def add_session(self, session: Session) -> None:
        self._by_name[session.name] = session

    def remove_session(self, session: Session) -> None:
        self._by_name.pop(session.name, None)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)
