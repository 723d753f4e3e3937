"""msgr2 against Ceph's own messenger, over plain sockets: both sides, crc and secure mode."""

import contextlib
import errno
import json
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar
from uuid import UUID

import pytest
from attrs import define, field
from tests.real.cluster import RealCluster

from mdsdaemon.cephx.client import AuthClient, MonAuth, ServiceAuth
from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.host import Host
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.msgr2.auth import (
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_CRC,
    CEPH_CON_MODE_SECURE,
    AuthBadMethod,
    AuthCapsInfo,
    AuthDone,
    AuthError,
    AuthKeys,
    AuthMore,
    AuthRequest,
    ClientAuth,
    PeerIdentity,
)
from mdsdaemon.msgr2.endpoint import Endpoint
from mdsdaemon.msgr2.events import (
    Authenticated,
    Event,
    HelloReceived,
    KeepaliveAcked,
    NeedDecision,
    Ready,
    RemoteReset,
)
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.registry import Registry
from mdsdaemon.msgr2.session import FaultKind, Session
from mdsdaemon.msgr2.wire import Wire
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import CLIENT, MDS, MON, EntityAddr, EntityAddrVec, EntityName, PeerName

PING, MON_MAP, MON_GET_MAP, MON_SUBSCRIBE = 2, 4, 5, 15
HOST = Host.system()
FEATURES_ALL = (1 << 64) - 1
E = TypeVar("E")


@define
class Caller:
    """A client on one blocking socket after the other."""

    registry: Registry
    session: Session
    target: EntityAddr
    stream: socket.socket = field(init=False)
    wire: Wire = field(init=False)

    @classmethod
    def make(cls, name: PeerName, peer_type: int, target: EntityAddr, policy: Policy) -> "Caller":
        addrs = EntityAddrVec.parse(f"v2:0.0.0.0:0/{HOST.random_u32()}")
        registry = Registry(Endpoint(name, addrs, HOST.randbytes))
        session = registry.connect_session(peer_type, EntityAddrVec.of(target), policy)
        return cls(registry, session, target)

    @contextlib.contextmanager
    def connected(self, auth: ClientAuth) -> Iterator[None]:
        """A socket, closed at the end of the block."""
        self.stream = socket.create_connection((self.target.host, self.target.port), timeout=10)
        self.wire = Wire.client(self.registry, self.session, auth, self.target)
        with self.stream:
            yield

    def flush(self) -> None:
        while self.wire.wants_write:
            self.stream.sendall(self.wire.data_to_send())

    def event(self) -> Event:
        while (event := self.wire.next_event()) is None:
            self.flush()
            data = self.stream.recv(65536)
            assert data, f"the peer closed the connection in state {self.wire.state}"
            self.wire.receive(data)
        return event

    def wait(self, kind: type[E]) -> E:
        while not isinstance(event := self.event(), kind):
            assert not isinstance(event, RemoteReset)
        return event

    def until_acked(self) -> None:
        while self.session.unacked:
            if self.wire.next_event() is None and self.session.unacked:
                self.wire.receive(self.stream.recv(65536))

    def message(self, kind: int) -> MessageFrame:
        while (frame := self.wait(MessageFrame)).type != kind:
            pass
        return frame


def mon_addr(cluster: RealCluster) -> EntityAddr:
    addr = EntityAddrVec.parse(cluster.mon_addrs["a"]).msgr2()
    assert addr is not None
    return addr


@define
class OnlyNone:
    """A ClientAuth that knows method none only."""

    refused: tuple[int, list[int], list[int]] | None = None

    def request(self) -> AuthRequest:
        return AuthRequest(CEPH_AUTH_NONE, [CEPH_CON_MODE_SECURE, CEPH_CON_MODE_CRC], b"")

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        self.refused = (result, methods, modes)
        raise AuthError(errno.EACCES, "the monitor does not allow method none")

    def reply_more(self, payload: bytes) -> bytes:
        raise NotImplementedError

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        raise NotImplementedError


def test_monitor_refuses_method_none(cluster: RealCluster) -> None:
    """Banner, HELLO, AUTH_REQUEST and AUTH_BAD_METHOD as the monitor writes and reads them."""
    caller = Caller.make(PeerName(CLIENT, -1), MON, mon_addr(cluster), Policy.lossy_client())
    auth = OnlyNone()
    with caller.connected(auth):
        hello = caller.wait(HelloReceived)
        assert hello.peer_type == MON
        assert hello.my_addr.host == "127.0.0.1"
        assert caller.registry.endpoint.addrs.addrs[0].host == "127.0.0.1"
        with pytest.raises(AuthError):
            caller.event()
    assert auth.refused == (-errno.EACCES, [CEPH_AUTH_CEPHX], [CEPH_CON_MODE_CRC])


@pytest.fixture(scope="module")
def both_modes(real_ceph: None) -> Iterator[RealCluster]:
    """A cluster whose daemons take either mode, with a standby ceph-mds."""
    either = {f"ms_{kind}_mode": "crc secure" for kind in ("service", "client", "mon_client")}
    with RealCluster(options={**either, "ms_mon_service_mode": "crc secure"}) as cluster:
        cluster.start_real_mds("real", "--debug-ms", "1").wait_standby()
        yield cluster


MODES = pytest.mark.parametrize("mode", [CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE])


def mon_caller(cluster: RealCluster) -> Caller:
    return Caller.make(PeerName(CLIENT, -1), MON, mon_addr(cluster), Policy.lossy_client())


def mon_auth(cluster: RealCluster, mode: int) -> MonAuth:
    """client.admin's handshake with a monitor, for connections of one mode only."""
    name = EntityName(CLIENT, "admin")
    key = KeyRing.load(str(cluster.keyring)).get_secret(name)
    registry = AuthRegistry(my_type=CLIENT, mon_client_modes=(mode,))
    return MonAuth(registry, name, key, MON | MDS, HOST)


@MODES
def test_session_with_the_monitor(both_modes: RealCluster, mode: int) -> None:
    """Signatures, SERVER_IDENT, messages and keepalives, in the mode that we asked for."""
    caller, auth = mon_caller(both_modes), mon_auth(both_modes, mode)
    with caller.connected(auth):
        done = caller.wait(Authenticated)
        assert done.con_mode == mode
        assert done.global_id == auth.global_id > 0
        caller.session.send(MessageFrame(MON_GET_MAP))
        caller.wire.send_keepalive(1234.5)
        assert caller.wait(Ready) == Ready(accepted=False, reconnected=False)
        assert caller.session.lossy
        assert caller.wait(KeepaliveAcked).stamp == 1_234_500_000_000
        monmap = caller.message(MON_MAP)
        assert UUID(both_modes.fsid).bytes in monmap.front


@MODES
def test_lossless_session_survives_its_sockets(both_modes: RealCluster, mode: int) -> None:
    """A ceph-mds resumes our session again and again; each message arrives once, in order."""
    first, auth = mon_caller(both_modes), mon_auth(both_modes, mode)
    with first.connected(auth):
        first.wait(Ready)
    assert auth.client is not None
    caller = Caller.make(
        PeerName(CLIENT, auth.global_id), MDS, mds_addr(both_modes), Policy.lossless_client()
    )
    for round_ in range(5):
        with caller.connected(service_auth(auth.client, mode)):
            for _ in range(3):
                caller.session.send(MessageFrame(PING))
            assert caller.wait(Ready) == Ready(accepted=False, reconnected=round_ > 0)
            assert caller.wire.con_mode == mode
            caller.flush()
            if round_ % 2:
                # Some of it is acknowledged on this socket; the rest is learned on the next.
                caller.until_acked()
        assert caller.session.fault().kind is FaultKind.RECONNECT
    with caller.connected(service_auth(auth.client, mode)):
        caller.session.send(command(77))
        assert tid_of_reply(caller) == 77
        assert caller.session.out_seq == 16
        assert not caller.session.unacked
    log = (both_modes.root / "log" / "mds.real.log").read_text()
    arrived = re.findall(rf" <== client\.{auth.global_id} \S+ (\d+) ==== ping ", log)
    assert list(map(int, arrived)) == list(range(1, 16))


def mds_addr(cluster: RealCluster) -> EntityAddr:
    (info,) = [info for info in cluster.mds_infos() if info["name"] == "real"]
    (addr,) = [addr for addr in info["addrs"]["addrvec"] if addr["type"] == "v2"]
    return EntityAddr.parse(f"v2:{addr['addr']}/{addr['nonce']}")


def service_auth(client: AuthClient, mode: int) -> ServiceAuth:
    return ServiceAuth(AuthRegistry(my_type=CLIENT, client_modes=(mode,)), MDS, client)


def command(tid: int) -> MessageFrame:
    message = MCommand(fsid=UUID(int=0), cmd=['{"prefix": "version", "format": "json"}'])
    version, compat, front = encode_message(message, FEATURES_ALL)
    return MessageFrame(MCommand.TYPE, front, tid=tid, version=version, compat_version=compat)


def tid_of_reply(caller: Caller) -> int:
    frame = caller.message(MCommandReply.TYPE)
    reply = decode_message(
        frame.type, frame.version, frame.compat_version, frame.front, b"", frame.data, FEATURES_ALL
    )
    assert isinstance(reply, MCommandReply)
    assert reply.r == 0
    assert json.loads(frame.data)["version"].startswith("16.2")
    return frame.tid


@define
class TakesAnyone:
    """A ServerAuth for method none, after one refusal of whatever else the peer tries first."""

    tried: list[int] = field(factory=list)

    def request(
        self, method: int, modes: list[int], payload: bytes
    ) -> AuthMore | AuthDone | AuthBadMethod:
        self.tried.append(method)
        if method != CEPH_AUTH_NONE:
            return AuthBadMethod(-errno.EOPNOTSUPP, [CEPH_AUTH_NONE], [CEPH_CON_MODE_CRC])
        identity = PeerIdentity(
            EntityName(CLIENT, "admin"), 4711, AuthCapsInfo(allow_all=True), method
        )
        return AuthDone(4711, CEPH_CON_MODE_CRC, b"", AuthKeys(), identity)

    def request_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
        raise AuthError(errno.EPERM, "nothing more was asked for")


def serve(
    listener: socket.socket, port: int, auths: list[TakesAnyone], done: Callable[[Event], bool]
) -> None:
    """Accept one peer and follow it until `done`, which sees every event."""
    me = EntityAddrVec.parse(f"v2:127.0.0.1:{port}/0")
    registry = Registry(Endpoint(PeerName(MON, 0), me, HOST.randbytes))

    def auth(peer_type: int) -> TakesAnyone:
        auths.append(TakesAnyone())
        return auths[-1]

    stream, (host, peer_port) = listener.accept()
    wire = Wire.server(
        registry,
        auth,
        lambda peer_type: Policy.stateless_server(),
        EntityAddr.parse(f"v2:{host}:{peer_port}/0"),
    )
    with stream:
        while True:
            while (event := wire.next_event()) is not None:
                if isinstance(event, NeedDecision):
                    wire.apply(registry.decide(event))
                if done(event):
                    return
            stream.sendall(wire.data_to_send())
            data = stream.recv(65536)
            if not data:
                return
            wire.receive(data)


def test_stock_tool_connects_to_us(real_ceph: None) -> None:
    """`ceph` falls back to the method that we allow, and its first messages arrive."""
    auths: list[TakesAnyone] = []
    events: list[Event] = []

    def done(event: Event) -> bool:
        events.append(event)
        return sum(isinstance(e, MessageFrame) for e in events) >= 2

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = threading.Thread(target=serve, args=(listener, port, auths, done))
        server.start()
        tool = subprocess.Popen(
            [
                *("ceph", "-c", "/dev/null", "-m", f"v2:127.0.0.1:{port}"),
                *("--auth-client-required", "none", "--no-log-to-stderr", "fsid"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server.join(20)
            assert not server.is_alive()
        finally:
            tool.kill()
            tool.wait()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            server.join(5)
    messages = [event for event in events if isinstance(event, MessageFrame)]
    assert [message.seq for message in messages] == [1, 2]
    assert MON_SUBSCRIBE in {message.type for message in messages}
    assert auths[0].tried[-1] == CEPH_AUTH_NONE
