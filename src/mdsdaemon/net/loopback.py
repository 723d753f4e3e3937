"""The connection of a messenger to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mdsdaemon.messages.base import payload_summary
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import DaemonFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.net.policy import Policy
    from mdsdaemon.types.entity import PeerName


class LoopbackConnection(Connection):
    """The connection of a messenger to itself: messages are handed over as they are."""

    is_loopback = True

    def __init__(self, messenger: Messenger, policy: Policy) -> None:
        super().__init__(messenger, policy, messenger.name.type, messenger.my_addrs)
        self._waiting: list[Message] = []

    @property
    def peer_name(self) -> PeerName:
        """Our own name."""
        return self.messenger.name

    @property
    def features(self) -> int:
        """All that we support."""
        return self.policy.features_supported

    @property
    def is_connected(self) -> bool:
        """True until the messenger stops."""
        return not self._closed

    def send_message(self, msg: Message) -> bool:
        """Deliver `msg` to our own dispatchers, from the loopback's task."""
        if self._closed:
            return False
        self._waiting.append(msg)
        self._changed.unpark_all()
        return True

    def push(self) -> None:
        """Nothing: a dispatch is not interrupted by another."""

    def retain(self) -> Callable[[], None]:
        """No throttle applies here."""
        return lambda: None

    async def run(self) -> None:
        """Deliver what is sent, in order, until cancelled."""
        try:
            while True:
                batch, self._waiting = self._waiting, []
                for msg in batch:
                    msg.source = self.messenger.name
                    msg.connection = self
                    msg.recv_stamp = trio.current_time()
                    self._deliver_local(msg)
                if self._waiting:
                    await trio.lowlevel.checkpoint()
                else:
                    await self._changed.park()
        finally:
            self._closed = True

    def _deliver_local(self, msg: Message) -> None:
        try:
            self.messenger.deliver(self, msg)
        except DaemonFault:
            raise
        except Exception:
            self.messenger.log.exception(
                "a bug in dispatching %s sent to ourselves", payload_summary(msg)
            )
