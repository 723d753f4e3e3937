"""What the messenger's tests share: nodes on a memory network, stub authentication, a message."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio.testing
from attrs import define, field

from mdsdaemon.encoding import U64, Blob
from mdsdaemon.encoding import field as wire_field
from mdsdaemon.host import Host
from mdsdaemon.messages.base import Message, message
from mdsdaemon.msgr2.auth import (
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_CRC,
    AuthBadMethod,
    AuthCapsInfo,
    AuthDone,
    AuthError,
    AuthKeys,
    AuthRequest,
    PeerIdentity,
)
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.stream import Transport
from mdsdaemon.types.entity import (
    CLIENT,
    MDS,
    EntityAddr,
    EntityAddrVec,
    EntityName,
    PeerName,
    type_name,
)

SERVER_HOST = "10.0.0.1"
CLIENT_HOST = "10.0.0.2"
KEYS = AuthKeys(session_key=bytes(range(16)), connection_secret=bytes(range(64)))


@message(0x7FF0, v=1, compat=1)
class MNumber(Message):
    """The tests' own message."""

    number: int = wire_field(U64, default=0)
    text: bytes = wire_field(Blob, default=b"")


class StubAuth:
    """Both halves of an authentication that believes everything the peer says."""

    def __init__(self, owner: StubAuthenticator, peer_type: int) -> None:
        self.owner = owner
        self.peer_type = peer_type

    def request(self, *args: Any) -> Any:
        if not args:
            return AuthRequest(CEPH_AUTH_NONE, [self.owner.con_mode], str(self.owner.name).encode())
        method, modes, payload = args
        if self.owner.refuse or method != CEPH_AUTH_NONE:
            return AuthBadMethod(-13, [CEPH_AUTH_NONE], [self.owner.con_mode])
        name = EntityName.parse(payload.decode())
        global_id = 4100 + int(name.id)
        identity = PeerIdentity(name, global_id, AuthCapsInfo(True), method)
        return AuthDone(global_id, modes[0], b"", KEYS, identity)

    def request_more(self, payload: bytes) -> Any:
        raise AuthError(13, "no second round here")

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        raise AuthError(-result, "the server refuses us")

    def reply_more(self, payload: bytes) -> bytes:
        raise AuthError(13, "no second round here")

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        return KEYS


class StubAuthenticator:
    """Everybody is who he says he is."""

    def __init__(self, name: EntityName, con_mode: int = CEPH_CON_MODE_CRC) -> None:
        self.name = name
        self.con_mode = con_mode
        self.refuse = False
        self.without_ticket = False

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> StubAuth:
        if self.without_ticket:
            raise AuthError(13, f"no ticket for {type_name(peer_type)}")
        return StubAuth(self, peer_type)

    def server_session(self, peer_type: int, now: float) -> StubAuth:
        return StubAuth(self, peer_type)


class Recording(Dispatcher):
    """Notes everything; `on_message` may do more."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.numbers: list[int] = []
        self.messages: list[MNumber] = []
        self.accepted: list[Connection] = []
        self.connections: list[Connection] = []
        self.on_message: Callable[[MNumber], None] | None = None
        self.admit = True
        self.misses = True
        self._changed = trio.lowlevel.ParkingLot()

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._changed.unpark_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something was noted that makes `condition` true."""
        while not condition():
            await self._changed.park()

    async def until_event(self, event: str, count: int = 1) -> None:
        await self.until(lambda: self.events.count(event) >= count)

    def ms_dispatch(self, msg: Message) -> bool:
        assert isinstance(msg, MNumber)
        self.numbers.append(msg.number)
        self.messages.append(msg)
        try:
            if self.on_message is not None:
                self.on_message(msg)
        finally:
            self._note("message")
        return True

    def ms_handle_connect(self, con: Connection) -> None:
        self.connections.append(con)
        self._note("connect")

    def ms_handle_accept(self, con: Connection) -> None:
        self.accepted.append(con)
        self._note("accept")

    def ms_handle_rest(self, con: Connection) -> bool:
        self._note("rest")
        return not self.misses

    def ms_handle_reset(self, con: Connection) -> bool:
        # "dropped": authenticated, but its socket went to another connection, or to none
        known = con.peer_identity is None or con in self.accepted
        self._note("reset" if known else "dropped")
        return True

    def ms_handle_remote_reset(self, con: Connection) -> None:
        self._note("remote_reset")

    def ms_handle_refused(self, con: Connection) -> bool:
        self._note("refused")
        return True

    def ms_handle_authentication(self, con: Connection) -> bool:
        self._note("authentication")
        return self.admit


class Records:
    """A flight recorder that forgets nothing."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, object]]] = []

    def record(self, kind: str, /, **fields: object) -> None:
        self.entries.append((kind, fields))

    def message(self, kind: str, con: int, name: str, tid: int) -> None:
        self.entries.append((kind, {"con": con, "msg": f"{name} {tid}"}))

    def count(self, kind: str) -> int:
        return sum(entry[0] == kind for entry in self.entries)


@define
class Node:
    """A messenger with what surrounds it."""

    messenger: Messenger
    dispatcher: Recording
    auth: StubAuthenticator
    records: Records
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    @property
    def addrs(self) -> EntityAddrVec:
        return self.messenger.my_addrs

    def connect(self, other: Node, **kwargs: bool) -> Connection:
        return self.messenger.connect_to(other.messenger.name.type, other.addrs, **kwargs)


def make_node(
    transport: Transport,
    name: str = "mds.0",
    policy: Policy | None = None,
    *,
    con_mode: int = CEPH_CON_MODE_CRC,
    options: MessengerOptions | None = None,
    seed: int = 0,
) -> Node:
    """A messenger with policy `policy` towards everybody (lossless_peer)."""
    entity = EntityName.parse(name)
    number = int(entity.id) if entity.id.isdigit() else -1
    rng = random.Random(f"{name} {seed}")
    auth = StubAuthenticator(entity, con_mode)
    dispatcher = Recording()
    records = Records()
    messenger = Messenger(
        PeerName(entity.type, number),
        nonce=rng.randrange(1, 1 << 32),
        host=Host.seeded(rng.randrange(1 << 32)),
        transport=transport,
        options=options,
        log=logging.getLogger(f"test.{name}"),
        recorder=records,
    )
    messenger.set_authenticator(auth)
    messenger.add_dispatcher_tail(dispatcher)
    messenger.set_default_policy(policy or Policy.lossless_peer())
    return Node(messenger, dispatcher, auth, records)


async def start(nursery: trio.Nursery, node: Node, *binds: str) -> Node:
    """Run the node's messenger in `nursery`, until `node.scope` is cancelled."""

    async def run(*, task_status: trio.TaskStatus[EntityAddrVec]) -> None:
        with node.scope:
            await node.messenger.run(
                [EntityAddr.parse(bind) for bind in binds], task_status=task_status
            )

    await nursery.start(run)
    return node


@asynccontextmanager
async def two_nodes(
    network: MemoryNetwork,
    server_policy: Policy | None = None,
    client_policy: Policy | None = None,
    *,
    con_mode: int = CEPH_CON_MODE_CRC,
    server_options: MessengerOptions | None = None,
    client_options: MessengerOptions | None = None,
    client: str = "mds.1",
    seed: int = 0,
) -> AsyncIterator[tuple[Node, Node]]:
    """A server at SERVER_HOST and a client at CLIENT_HOST, both listening; nothing stays."""
    one = make_node(
        network.transport(SERVER_HOST),
        "mds.0",
        server_policy,
        con_mode=con_mode,
        options=server_options,
        seed=seed,
    )
    two = make_node(
        network.transport(CLIENT_HOST),
        client,
        client_policy,
        con_mode=con_mode,
        options=client_options,
        seed=seed,
    )
    async with trio.open_nursery() as nursery:
        await start(nursery, one, f"v2:{SERVER_HOST}:6800")
        await start(nursery, two, f"v2:{CLIENT_HOST}:6800")
        yield one, two
        nursery.cancel_scope.cancel()
    assert not network.streams
    assert not network.listeners
    for node in (one, two):
        assert not node.messenger.connections
        assert node.messenger.dispatch_throttle.current == 0
        assert len(node.messenger.gate) == 0


def run_seeded(main: Callable[[int], Awaitable[None]], seed: int, limit: float = 3600.0) -> None:
    """Run `main(seed)` on virtual time with Trio's scheduling drawn from `seed` too."""
    internals: Any = trio._core._run
    internals._r.seed(seed)
    before = internals._ALLOW_DETERMINISTIC_SCHEDULING
    internals._ALLOW_DETERMINISTIC_SCHEDULING = True

    async def bounded() -> None:
        with trio.fail_after(limit):
            await main(seed)

    try:
        trio.run(partial(bounded), clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        internals._ALLOW_DETERMINISTIC_SCHEDULING = before


__all__ = ["CLIENT", "MDS"]
