"""The messenger: listeners, connections, policies and dispatchers of one endpoint.

    messenger = Messenger(PeerName(MDS, -1), nonce=…, host=host, transport=SocketTransport(), …)
    messenger.set_authenticator(…); messenger.add_dispatcher_tail(…); messenger.set_policy(…)
    my_addrs = await nursery.start(messenger.run, [EntityAddr.parse("v2:10.0.0.1:0")])
    con = messenger.connect_to(MON, addrs)
    con.send_message(…)

`run` owns two nurseries: listeners inside, connections around them, so that on shutdown nobody new
comes in before the connections end. `shutdown()` and cancelling `run` end it.

Behaviour: ceph/ceph, src/msg/async/AsyncMessenger.cc (Pacific)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon.messages.base import payload_summary
from mdsdaemon.msgr2.endpoint import Endpoint
from mdsdaemon.msgr2.registry import Registry
from mdsdaemon.msgr2.session import Session
from mdsdaemon.net.acceptor import Acceptor
from mdsdaemon.net.bind import bind
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.counters import Tally
from mdsdaemon.net.handshake_gate import HandshakeGate
from mdsdaemon.net.link import Outbox
from mdsdaemon.net.loopback import LoopbackConnection
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy, PolicySet
from mdsdaemon.net.stream import AcceptExhausted, Listener
from mdsdaemon.net.throttle import Throttle
from mdsdaemon.records import evolve
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec, PeerName, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mdsdaemon.host import Host
    from mdsdaemon.messages.base import Message
    from mdsdaemon.msgr2.auth import Authenticator
    from mdsdaemon.net.dispatcher import Dispatcher
    from mdsdaemon.net.options import SupportsRecord
    from mdsdaemon.net.stream import Transport

_EXHAUSTED_PAUSE: Final = 0.1
_EXHAUSTED_LOG_INTERVAL: Final = 60.0


class Messenger:
    """One endpoint on the network. See the module.

    Attributes:
        options: may be replaced while running; what is under way keeps its deadline.
        registry: sessions by peer address (msgr2).
        policies, gate, dispatch_throttle: for the package's own use, and for tests.
    """

    def __init__(
        self,
        name: PeerName,
        *,
        nonce: int,
        host: Host,
        transport: Transport,
        options: MessengerOptions | None = None,
        log: logging.Logger | None = None,
        recorder: SupportsRecord | None = None,
    ) -> None:
        self.host = host
        self.transport = transport
        self.options = options or MessengerOptions()
        self.log = log or logging.getLogger("mdsdaemon.ms")
        self.nonce = nonce
        self.endpoint = Endpoint(name, EntityAddrVec(), host.randbytes, nonce)
        self.registry = Registry(self.endpoint)
        self.policies = PolicySet()
        self.gate = HandshakeGate(self.options.max_handshakes)
        self.dispatch_throttle = Throttle(
            f"msgr_dispatch_throttler-{type_name(name.type)}",
            self.options.ms_dispatch_throttle_bytes,
        )
        self.tally = Tally()
        self.outbox = Outbox()
        self._recorder = recorder
        self._authenticator: Authenticator | None = None
        self._dispatchers: list[Dispatcher] = []
        self._connections: dict[int, Connection] = {}
        self._serial = 0
        self._nursery: trio.Nursery | None = None
        self._stopped = False
        self._loopback: LoopbackConnection | None = None
        self._shutdown = trio.Event()

    # -- before run ----------------------------------------------------------------------

    @property
    def authenticator(self) -> Authenticator:
        """Who authenticates our connections, in both directions."""
        if self._authenticator is None:
            raise RuntimeError("set_authenticator() comes before run()")
        return self._authenticator

    def set_authenticator(self, authenticator: Authenticator) -> None:
        """Give the plug for authentication; required before `run`."""
        self._authenticator = authenticator

    def add_dispatcher_head(self, dispatcher: Dispatcher) -> None:
        """Let `dispatcher` see everything before the others."""
        self._dispatchers.insert(0, dispatcher)

    def add_dispatcher_tail(self, dispatcher: Dispatcher) -> None:
        """Let `dispatcher` see everything after the others."""
        self._dispatchers.append(dispatcher)

    def remove_dispatcher(self, dispatcher: Dispatcher) -> None:
        """No more callbacks to `dispatcher`."""
        self._dispatchers.remove(dispatcher)

    def set_policy(
        self,
        peer_type: int,
        policy: Policy,
        throttler_bytes: Throttle | None = None,
        throttler_messages: Throttle | None = None,
    ) -> None:
        """The policy of new connections with peers of `peer_type`."""
        if throttler_bytes is not None or throttler_messages is not None:
            policy = policy.with_throttles(throttler_bytes, throttler_messages)
        self.policies = evolve(self.policies, by_type={**self.policies.by_type, peer_type: policy})

    def set_default_policy(self, policy: Policy) -> None:
        """The policy of new connections with peers of other types."""
        self.policies = evolve(self.policies, default=policy)

    # -- name and addresses --------------------------------------------------------------

    @property
    def name(self) -> PeerName:
        """Our type and number, as peers are told."""
        return self.endpoint.name

    def set_myname(self, name: PeerName) -> None:
        """Change the number that new connections announce."""
        self.endpoint.name = name

    @property
    def my_addrs(self) -> EntityAddrVec:
        """Where we listen; bound to a wildcard, the first peer tells us our address."""
        return self.endpoint.addrs

    # -- running -------------------------------------------------------------------------

    async def run(
        self,
        binds: Sequence[EntityAddr] = (),
        *,
        task_status: trio.TaskStatus[EntityAddrVec] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen on `binds` (none: connect only) and serve until cancelled.

        Raises BindError, before anything else has happened; DaemonFault out of a dispatcher.
        """
        _ = self.authenticator
        listeners: list[Listener] = []
        self.endpoint.addrs = EntityAddrVec()
        try:
            for addr in binds:
                listener = await bind(self.transport, addr, self.options, self.log)
                listeners.append(listener)
                mine = evolve(listener.addr, nonce=self.nonce)
                self.endpoint.addrs = EntityAddrVec((*self.my_addrs.addrs, mine))
            async with trio.open_nursery() as self._nursery:
                self._loopback = LoopbackConnection(self, self.policies.get(self.name.type))
                self._nursery.start_soon(self._loopback.run, name="connection to ourselves")
                async with trio.open_nursery() as listening:
                    for listener in listeners:
                        listening.start_soon(self._listen, listener, name=f"listen {listener.addr}")
                    self.log.debug("my_addrs is %s", self.my_addrs)
                    task_status.started(self.my_addrs)
                    await self._shutdown.wait()
                    listening.cancel_scope.cancel()
                self._stopped = True
                self._nursery.cancel_scope.cancel()
        finally:
            self._stopped = True
            self._nursery = None
            for listener in listeners:
                listener.close()

    def shutdown(self) -> None:
        """Make `run` return: first the listeners end, then the connections, without callbacks."""
        self._shutdown.set()

    async def _listen(self, listener: Listener) -> None:
        self.record("listener.start", addr=str(listener.addr))
        last_complaint = -_EXHAUSTED_LOG_INTERVAL
        try:
            while True:
                try:
                    stream = await listener.accept()
                except AcceptExhausted as exc:
                    now = trio.current_time()
                    if now - last_complaint >= _EXHAUSTED_LOG_INTERVAL:
                        last_complaint = now
                        self.log.error("%s", exc)
                    self.gate.evict_one()
                    await trio.sleep(_EXHAUSTED_PAUSE)
                    continue
                assert self._nursery is not None
                self._nursery.start_soon(
                    Acceptor(self, stream).run, name=f"accept {stream.peer_addr}"
                )
        finally:
            listener.close()
            self.record("listener.end", addr=str(listener.addr))

    # -- connections ---------------------------------------------------------------------

    def connect_to(self, peer_type: int, addrs: EntityAddrVec, *, anon: bool = False) -> Connection:
        """The connection to the peer at `addrs`: the present one, a new one, or our loopback.

        `anon`: a new one in any case, known to nobody but the caller. After the messenger has
        stopped, the result is closed.

        Raises ValueError: `addrs` has no msgr2 address; RuntimeError: before `run`.
        """
        if addrs.msgr2() is None:
            raise ValueError(f"{addrs} has no msgr2 (v2) address, and nothing else is spoken here")
        policy = self.policies.get(peer_type)
        if self._nursery is None:
            if not self._stopped:
                raise RuntimeError("connect_to() comes after run() has started")
            con = Connection(self, policy, peer_type, addrs)
            con.finish("the messenger has stopped", reset=False)
            return con
        if not anon and self._is_me(addrs):
            assert self._loopback is not None
            return self._loopback
        if anon:
            session = Session(peer_type, addrs, policy)
        else:
            session = self.registry.connect_session(peer_type, addrs, policy)
            if isinstance(session.owner, Connection):
                return session.owner
        con = Connection(self, policy, peer_type, addrs)
        con.attach(session)
        self._connections[con.serial] = con
        self._nursery.start_soon(con.run, name=f"connection to {con.peer}")
        return con

    @property
    def loopback(self) -> Connection:
        """The connection to ourselves."""
        if self._loopback is None:
            raise RuntimeError("the loopback connection exists once run() has started")
        return self._loopback

    @property
    def connections(self) -> list[Connection]:
        """All open connections but the loopback."""
        return list(self._connections.values())

    def mark_down_addrs(self, addrs: EntityAddrVec) -> None:
        """Close the connection to the peer at `addrs`, if any; dispatchers hear of a reset."""
        session = self.registry.lookup(addrs)
        if session is not None and isinstance(session.owner, Connection):
            session.owner.finish("marked down by address", reset=True)

    def mark_down_all(self) -> None:
        """Close all connections; dispatchers hear of a reset for each."""
        for con in self.connections:
            con.finish("all connections are marked down", reset=True)

    def _is_me(self, addrs: EntityAddrVec) -> bool:
        mine = self.my_addrs
        return bool(mine) and (addrs == mine or (len(addrs.addrs) == 1 and addrs.addrs[0] in mine))

    # -- for the package's own use -------------------------------------------------------

    def next_serial(self) -> int:
        """A number that tells connections apart in logs and records."""
        self._serial += 1
        self.tally.created_connections += 1
        return self._serial

    def connection_accepted(self, con: Connection) -> None:
        """A peer's socket became `con`."""
        self._connections[con.serial] = con

    def connection_ended(self, con: Connection) -> None:
        """The task of `con` is over."""
        self._connections.pop(con.serial, None)

    def record(self, kind: str, /, **fields: object) -> None:
        """Note an event in the flight recorder, if there is one."""
        if self._recorder is not None:
            self._recorder.record(kind, **fields)

    def note_sent(self, con: Connection, msg: Message) -> None:
        """A message was queued."""
        self.tally.send_messages += 1
        if self._recorder is not None:
            self._recorder.message("message.out", con.serial, type(msg).__name__, msg.tid)

    def deliver(self, con: Connection, msg: Message) -> None:
        """Offer a message to the dispatchers in turn."""
        self.tally.recv_messages += 1
        if self._recorder is not None:
            self._recorder.message("message.in", con.serial, type(msg).__name__, msg.tid)
        for dispatcher in self._dispatchers:
            if dispatcher.ms_dispatch(msg):
                return
        self.log.info("nobody handles %s from %s", payload_summary(msg), con.peer)

    def deliver_handle_connect(self, con: Connection) -> None:
        """Tell all dispatchers."""
        for dispatcher in self._dispatchers:
            dispatcher.ms_handle_connect(con)

    def deliver_handle_accept(self, con: Connection) -> None:
        """Tell all dispatchers."""
        for dispatcher in self._dispatchers:
            dispatcher.ms_handle_accept(con)

    def deliver_handle_reset(self, con: Connection) -> None:
        """Tell the dispatchers until one says that it was concerned."""
        for dispatcher in self._dispatchers:
            if dispatcher.ms_handle_reset(con):
                return

    def deliver_handle_rest(self, con: Connection) -> bool:
        """Ask the dispatchers until one knows that `con` is not missed."""
        return any(dispatcher.ms_handle_rest(con) for dispatcher in self._dispatchers)

    def deliver_handle_remote_reset(self, con: Connection) -> None:
        """Tell all dispatchers."""
        for dispatcher in self._dispatchers:
            dispatcher.ms_handle_remote_reset(con)

    def deliver_handle_refused(self, con: Connection) -> None:
        """Tell the dispatchers until one says that it was concerned."""
        for dispatcher in self._dispatchers:
            if dispatcher.ms_handle_refused(con):
                return

    def deliver_handle_authentication(self, con: Connection) -> bool:
        """Ask all dispatchers; one refusal suffices."""
        return all(dispatcher.ms_handle_authentication(con) for dispatcher in self._dispatchers)
