"""Who receives a messenger's messages and hears of its connections.

Every callback is synchronous and runs in the task of the connection that it is about, never from
inside `send_message`, `mark_down` or another call of the caller: state that the caller is changing
is whole again when a callback sees it. Callbacks must not block.

Behaviour: ceph/ceph, src/msg/Dispatcher.h, Messenger.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.connection import Connection


class DaemonFault(Exception):
    """A bug or a failure in state that all connections share.

    An ordinary exception out of a callback ends the one connection it was called for. One that
    derives from this passes through the messenger and ends the daemon.
    """


class Dispatcher:
    """No-op defaults; override what concerns you."""

    def ms_dispatch(self, msg: Message) -> bool:
        """A message arrived. True: it is mine, nobody else sees it."""
        return False

    def ms_handle_connect(self, con: Connection) -> None:
        """A connection that we opened is ready, for the first time or again."""

    def ms_handle_accept(self, con: Connection) -> None:
        """A connection that the peer opened is ready, for the first time or again."""

    def ms_handle_rest(self, con: Connection) -> bool:
        """The peer of `con` is gone, and it is the peer's to come back. True: nobody here would
        miss it, so the connection ends instead of waiting for ever.
        """
        return False

    def ms_handle_reset(self, con: Connection) -> bool:
        """`con` is gone and messages may be lost. True: no other dispatcher is told."""
        return False

    def ms_handle_remote_reset(self, con: Connection) -> None:
        """The peer has forgotten the session of `con`; messages are lost, `con` lives on."""

    def ms_handle_refused(self, con: Connection) -> bool:
        """Nobody listens at the peer's address. True: no other dispatcher is told."""
        return False

    def ms_handle_authentication(self, con: Connection) -> bool:
        """A peer has proved who it is (`con.peer_identity`); False refuses it.

        Called before anything that the peer says is acted upon.
        """
        return True
