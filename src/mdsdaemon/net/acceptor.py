"""What happens to a socket that a peer opened, until a connection takes it over.

In the socket's own task: banner, HELLO, authentication (`Authenticator.server_session` checks the
authorizer), `ms_handle_authentication`; only then is the peer's IDENT or RECONNECT read, and the
registry decides between a new connection, an existing one that goes on over this socket, and a
refusal. Until then the peer is a stranger, and the handshake gate may end it.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc, "Server Protocol Methods" (Pacific)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon.msgr2.auth import AuthError
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import Authenticated, AuthRefused, NeedDecision
from mdsdaemon.msgr2.frames import FrameLimits
from mdsdaemon.msgr2.registry import Accept, Reuse
from mdsdaemon.msgr2.wire import Wire
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import DaemonFault
from mdsdaemon.net.link import Link, LinkClosed
from mdsdaemon.types.entity import EntityAddrVec, type_name

if TYPE_CHECKING:
    from mdsdaemon.msgr2.events import Event
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.net.stream import Stream

_STRANGER_LIMITS: Final = FrameLimits(control=64 << 10, preauth=128 << 10)
"""Bytes that somebody may make us hold before we know him; an authorizer takes a few KiB."""


class Acceptor:
    """Serves one accepted stream; `run` is its task."""

    def __init__(self, messenger: Messenger, stream: Stream) -> None:
        self._messenger = messenger
        self._stream = stream
        self._peer = str(stream.peer_addr)
        self._link: Link
        self._con: Connection | None = None
        self._adopted = False
        self._ticket = 0

    async def run(self) -> None:
        """Shake hands, then hand the socket over, or live on as the new connection's task."""
        messenger, stream = self._messenger, self._stream
        scope = trio.CancelScope()
        self._ticket = messenger.gate.enter(stream.peer_addr.host, scope.cancel)
        limit = messenger.options.ms_connection_ready_timeout
        wire = Wire.server(
            messenger.registry,
            lambda peer_type: messenger.authenticator.server_session(
                peer_type, messenger.host.wall()
            ),
            messenger.policies.get,
            stream.peer_addr,
            _STRANGER_LIMITS,
        )
        deadline = trio.current_time() + limit
        self._link = Link(stream, wire, deadline, messenger.tally, messenger.outbox)
        messenger.record("accept.start", peer=self._peer)
        reason, level = "the messenger stops", logging.DEBUG
        try:
            with scope, trio.move_on_at(self._link.deadline) as timer:
                await self._link.handshake(self._handle)
            if timer.cancelled_caught:
                reason, level = f"no end of the handshake after {limit:g} s", logging.INFO
            elif scope.cancelled_caught:
                reason, level = "too many handshakes at a time, this was the oldest", logging.INFO
            else:
                reason = "accepted"
        except DaemonFault:
            raise
        except (LinkClosed, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            reason, level = str(exc), logging.INFO
        except (ProtocolError, AuthError) as exc:
            reason, level = str(exc), logging.WARNING
        except Exception as exc:
            reason, level = f"a bug: {type(exc).__name__}", logging.ERROR
            messenger.log.exception("a bug in accepting %s", self._peer)
        finally:
            messenger.gate.leave(self._ticket)
            messenger.record("accept.end", peer=self._peer, reason=reason)
            if reason != "accepted":
                self._link.close()
                messenger.log.log(level, "peer %s is not accepted: %s", self._peer, reason)
        con = self._con
        if con is None:
            return
        if reason == "accepted" and not self._adopted:
            await con.run()
        else:
            # The dispatchers have seen it in ms_handle_authentication; it never became a
            # connection, or the peer's existing one took its socket over.
            con.finish(
                "its socket serves another connection" if self._adopted else reason, reset=True
            )
            con.deliver_reset()

    def _handle(self, event: Event) -> bool:
        if isinstance(event, Authenticated):
            self._authenticated(event)
        elif isinstance(event, AuthRefused):
            self._messenger.record("accept.refused", peer=self._peer, reason=event.reason)
            self._messenger.log.warning("peer %s is refused: %s", self._peer, event.reason)
        elif isinstance(event, NeedDecision):
            return self._decide(event)
        return False

    def _authenticated(self, event: Authenticated) -> None:
        messenger, wire = self._messenger, self._link.wire
        messenger.gate.leave(self._ticket)
        identity = event.identity
        assert identity is not None
        addrs = EntityAddrVec.of(self._stream.peer_addr)
        con = Connection(messenger, messenger.policies.get(wire.peer_type), wire.peer_type, addrs)
        con.peer_identity = identity
        con.peer_global_id = event.global_id
        self._con = con
        self._peer = f"{identity.entity_name} ({type_name(wire.peer_type)}) {addrs}"
        if not messenger.deliver_handle_authentication(con):
            raise ProtocolError("refused by ms_handle_authentication")

    def _decide(self, request: NeedDecision) -> bool:
        """Answer the peer; True when this socket has found its connection."""
        messenger, con, link = self._messenger, self._con, self._link
        assert con is not None
        decision = messenger.registry.decide(request)
        con.peer_addrs = request.ident.addrs
        if isinstance(decision, Accept):
            con.attach(decision.session)
            if decision.replaced is not None:
                old = decision.replaced.owner
                assert isinstance(old, Connection)
                old.finish("the peer has opened a new connection", reset=True)
                old.deliver_reset()
            link.wire.apply(decision)
            messenger.connection_accepted(con)
            con.adopt(link, con.peer_identity, con.peer_global_id)
            return True
        link.wire.apply(decision)
        if isinstance(decision, Reuse):
            existing = decision.session.owner
            assert isinstance(existing, Connection)
            self._adopted = True
            existing.adopt(link, con.peer_identity, con.peer_global_id)
            return True
        return False
