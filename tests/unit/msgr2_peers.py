"""Two ends of msgr2 joined without a socket, and authenticators that know one shared secret."""

import hashlib
import random
from collections.abc import Callable, Iterator

from attrs import define, evolve, field, frozen

from mdsdaemon.msgr2.auth import (
    CEPH_AUTH_CEPHX,
    CEPH_CON_MODE_CRC,
    CEPH_CON_MODE_SECURE,
    AuthBadMethod,
    AuthCapsInfo,
    AuthDone,
    AuthError,
    AuthKeys,
    AuthMore,
    AuthRequest,
    PeerIdentity,
)
from mdsdaemon.msgr2.endpoint import Endpoint
from mdsdaemon.msgr2.events import Event, NeedDecision
from mdsdaemon.msgr2.frames import FrameLimits, FrameWriter
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.registry import Registry
from mdsdaemon.msgr2.session import Session
from mdsdaemon.msgr2.states import State
from mdsdaemon.msgr2.wire import Wire
from mdsdaemon.types.entity import MDS, EntityAddr, EntityAddrVec, EntityName, PeerName

CRC, SECURE = CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE
FEATURES = (1 << 63) - 1


@frozen
class StubPolicy:
    """A SessionPolicy; the kinds below carry Ceph's names."""

    lossy: bool = False
    server: bool = False
    standby: bool = False
    resetcheck: bool = True
    register_lossy_clients: bool = True
    features_required: int = 0
    features_supported: int = FEATURES


LOSSLESS_PEER = StubPolicy(standby=True, resetcheck=False)
LOSSLESS_CLIENT = StubPolicy()
STATEFUL_SERVER = StubPolicy(server=True, standby=True)
LOSSY_CLIENT = StubPolicy(lossy=True, resetcheck=False)
STATELESS_SERVER = StubPolicy(
    lossy=True, server=True, resetcheck=False, register_lossy_clients=False
)


@define(slots=False)
class StubAuth:
    """A ClientAuth: a method with `rounds` extra rounds and a shared secret.

    `refusals`: how often the server says "bad method" first.
    """

    modes: list[int] = field(factory=lambda: [SECURE, CRC])
    rounds: int = 1
    refusals: int = 0
    signed: bool = True
    name: str = "mds.a"
    global_id: int = 7
    secret: bytes = b"shared secret"
    requests: int = 0
    seen: list[bytes] = field(factory=list)
    _modes_wanted: list[int] = field(factory=list)

    def keys(self, con_mode: int) -> AuthKeys:
        secret = hashlib.sha512(self.secret).digest() if con_mode == SECURE else b""
        return AuthKeys(self.secret if self.signed else b"", secret)

    # ClientAuth

    def request(self) -> AuthRequest:
        return AuthRequest(CEPH_AUTH_CEPHX, list(self.modes), b"who I am")

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        if not methods:
            raise AuthError(-result, "no method is allowed")
        return AuthRequest(methods[0], list(self.modes), b"who I am")

    def reply_more(self, payload: bytes) -> bytes:
        return payload[::-1]

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        if payload != b"welcome":
            raise AuthError(1, "the server's proof is wrong")
        return self.keys(con_mode)


class StubServerAuth(StubAuth):
    """The server's half: `request` has another shape there."""

    def request(  # type: ignore[override]
        self, method: int, modes: list[int], payload: bytes
    ) -> AuthMore | AuthDone | AuthBadMethod:
        self._modes_wanted = modes
        self.requests += 1
        if self.requests <= self.refusals:
            return AuthBadMethod(-95, [CEPH_AUTH_CEPHX], [CRC])
        if payload != b"who I am":
            raise AuthError(13, "nonsense")
        return self._next()

    def request_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
        self.seen.append(payload)
        return self._next()

    def _next(self) -> AuthMore | AuthDone:
        if len(self.seen) < self.rounds:
            return AuthMore(b"challenge %d" % len(self.seen))
        mode = self._modes_wanted[0] if self._modes_wanted else CRC
        identity = PeerIdentity(
            EntityName.parse(self.name), self.global_id, AuthCapsInfo(allow_all=True), 2
        )
        return AuthDone(self.global_id, mode, b"welcome", self.keys(mode), identity)


def make_registry(port: int, seed: int = 0, kind: int = MDS, host: str = "127.0.0.1") -> Registry:
    addrs = EntityAddrVec.of(EntityAddr(EntityAddr.TYPE_MSGR2, 1, host, port))
    rng = random.Random(seed * 65536 + port)
    return Registry(Endpoint(PeerName(kind, port), addrs, rng.randbytes))


@define
class Pair:
    """A client's and a server's wire. Bytes wait in `to_client` and `to_server` until moved."""

    client_registry: Registry
    server_registry: Registry
    session: Session
    client: Wire
    server: Wire
    to_client: bytearray = field(factory=bytearray)
    to_server: bytearray = field(factory=bytearray)
    client_events: list[Event] = field(factory=list)
    server_events: list[Event] = field(factory=list)

    def towards(self, side: str) -> tuple[bytearray, Callable[[bytes], None]]:
        """What waits for "client" or "server", and how to feed it."""
        if side == "client":
            return self.to_client, self.feed_client
        return self.to_server, self.feed_server

    def collect(self) -> None:
        """Take what both ends want to send."""
        self.to_server += self.client.data_to_send()
        self.to_client += self.server.data_to_send()

    def feed_server(self, data: bytes) -> None:
        feed(self.server, data, self.server_registry, self.server_events)

    def feed_client(self, data: bytes) -> None:
        feed(self.client, data, self.client_registry, self.client_events)

    def step(self, piece: int = 1 << 30) -> bool:
        """Move what there is in pieces of at most `piece` bytes; False if there was nothing."""
        self.collect()
        moved = bool(self.to_client or self.to_server)
        for data in pieces(self.to_server, piece):
            self.feed_server(data)
        for data in pieces(self.to_client, piece):
            self.feed_client(data)
        return moved

    def run(self, piece: int = 1 << 30) -> None:
        """Until nothing more is said."""
        while self.step(piece):
            pass

    def run_until(self, done: Callable[[], bool]) -> None:
        while not done():
            assert self.step(), "nothing more is said"

    @property
    def ready(self) -> bool:
        return self.client.is_ready and self.server.is_ready


def pieces(data: bytearray, size: int) -> Iterator[bytes]:
    """Cut `data` into pieces, and empty it."""
    whole = bytes(data)
    data.clear()
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def feed(wire: Wire, data: bytes, registry: Registry, events: list[Event]) -> None:
    """Bytes into a wire, its events to a list, its decisions from the registry."""
    wire.receive(data)
    while (event := wire.next_event()) is not None:
        events.append(event)
        if isinstance(event, NeedDecision):
            wire.apply(registry.decide(event))


def make_pair(
    mode: int = CRC,
    *,
    auth: StubAuth | None = None,
    client_auth: StubAuth | None = None,
    server_auth: "StubServerAuth | None" = None,
    client_policy: StubPolicy = LOSSLESS_PEER,
    server_policy: StubPolicy = LOSSLESS_PEER,
    client_registry: Registry | None = None,
    server_registry: Registry | None = None,
    limits: FrameLimits | None = None,
) -> Pair:
    """A client and a server that have not said anything yet; both authenticate as `auth` says."""
    auth = auth or StubAuth(modes=[mode])
    a = client_registry or make_registry(6800)
    b = server_registry or make_registry(6801)
    session = a.connect_session(MDS, b.endpoint.addrs, client_policy)
    client = Wire.client(a, session, client_auth or evolve(auth), b.endpoint.addrs.addrs[0], limits)
    server = Wire.server(
        b,
        lambda peer_type: server_auth or server_half(auth),
        lambda peer_type: server_policy,
        EntityAddr(EntityAddr.TYPE_MSGR2, 0, "127.0.0.1", 50000),
        limits,
    )
    return Pair(a, b, session, client, server)


def server_half(auth: StubAuth) -> StubServerAuth:
    return StubServerAuth(
        modes=auth.modes,
        rounds=auth.rounds,
        refusals=auth.refusals,
        signed=auth.signed,
        name=auth.name,
        global_id=auth.global_id,
        secret=auth.secret,
    )


def ready_pair(mode: int = CRC, *, rounds: int = 1, limits: FrameLimits | None = None) -> Pair:
    """Both ends READY, nothing in flight, no events left."""
    pair = make_pair(mode, auth=StubAuth(modes=[mode], rounds=rounds), limits=limits)
    pair.run()
    assert pair.ready
    pair.client_events.clear()
    pair.server_events.clear()
    return pair


def framed(tag: int, payload: bytes) -> bytes:
    """A control frame in crc mode, as anybody could make it."""
    writer = FrameWriter()
    writer.write(tag, payload)
    return writer.take()


def at_state(state: State) -> Pair:
    """A pair whose client or server has just come to `state`, with nothing for it in flight."""
    pair = make_pair()
    if state is State.SESSION_RECONNECTING:
        pair.run()
        pair.session.fault()
        pair = make_pair(client_registry=pair.client_registry, server_registry=pair.server_registry)
    side = "client" if "CONNECTING" in state.name else "server"
    wire = pair.client if side == "client" else pair.server
    other = "server" if side == "client" else "client"
    for _ in range(20):
        pair.collect()
        data, feed_other = pair.towards(other)
        feed_other(bytes(data))
        data.clear()
        pair.collect()
        data, feed_one = pair.towards(side)
        while data and wire.state is not state:
            feed_one(bytes(data[:1]))
            del data[:1]
        if wire.state is state:
            data.clear()
            return pair
    raise AssertionError(f"never in {state}")


def messages(events: list[Event]) -> list[MessageFrame]:
    return [event for event in events if isinstance(event, MessageFrame)]
