"""Messages that a rank cannot handle in its present state.

Behaviour: ceph/ceph, src/mds/MDSRank.h (wait_for_replay, wait_for_reconnect, wait_for_active)
(Pacific)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdsdaemon.messages.base import Message
    from mdsdaemon.rank.core import RankCore

MAX_WAITING = 16384
"""Messages that wait at a time; a client over it loses its connection, and asks again."""


class StateWaiters:
    """Messages in their order, each with the state that it waits for."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self._waiting: deque[tuple[int, Message, Callable[[Any], None]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, state: int, msg: Message, handler: Callable[[Any], None]) -> bool:
        """Keep the message if the rank is not as far as `state`; whether it is kept."""
        if self.rank.state >= state:
            return False
        if len(self._waiting) >= MAX_WAITING:
            if msg.connection is not None:
                self.rank.log.warning("%d messages wait already, dropping %s", MAX_WAITING, msg)
                msg.connection.mark_down()
            return True
        self._waiting.append((state, msg, handler))
        return True

    def state_changed(self) -> None:
        """Handle what has waited for the present state."""
        due = [entry for entry in self._waiting if entry[0] <= self.rank.state]
        if not due:
            return
        self._waiting = deque(entry for entry in self._waiting if entry[0] > self.rank.state)
        for _, msg, handler in due:
            self.rank.queue.push(lambda msg=msg, handler=handler: handler(msg))  # type: ignore[misc]
