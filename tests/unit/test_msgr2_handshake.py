"""Two ends through banner, HELLO, authentication and ident, and what they say then."""

import pytest
from tests.unit.msgr2_peers import (
    CRC,
    LOSSLESS_CLIENT,
    LOSSLESS_PEER,
    LOSSY_CLIENT,
    SECURE,
    STATEFUL_SERVER,
    STATELESS_SERVER,
    StubAuth,
    StubPolicy,
    StubServerAuth,
    at_state,
    framed,
    make_pair,
    make_registry,
    messages,
    ready_pair,
)

from mdsdaemon.msgr2.auth import AuthBadMethod, AuthDone, AuthError, AuthKeys, AuthMore
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import (
    Authenticated,
    HelloReceived,
    KeepaliveAcked,
    KeepaliveReceived,
    NeedDecision,
    Ready,
)
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.payloads import (
    AuthBadMethodPayload,
    AuthDonePayload,
    AuthMorePayload,
    AuthRequestPayload,
    encode_payload,
)
from mdsdaemon.msgr2.session import FaultKind
from mdsdaemon.msgr2.states import State, Tag
from mdsdaemon.records import evolve
from mdsdaemon.types.entity import MDS, EntityAddr, EntityAddrVec, PeerName

MODES = pytest.mark.parametrize("mode", [CRC, SECURE])
PIECES = pytest.mark.parametrize("piece", [1, 7, 1 << 30])


@MODES
@PIECES
@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_handshake_and_messages(mode: int, piece: int, rounds: int) -> None:
    pair = make_pair(mode, auth=StubAuth(modes=[mode], rounds=rounds))
    sent = [
        MessageFrame(
            9,
            front=b"front" * n,
            middle=b"m" * (n % 3),
            data=b"data" * (n * n),
            tid=n,
            version=n,
            compat_version=1,
            data_off=n,
        )
        for n in range(9)
    ]
    for message in sent:
        pair.session.send(message)
    pair.run(piece)
    assert pair.ready
    hello, done, decision, ready, *arrived = pair.server_events
    assert hello == HelloReceived(MDS, pair.server_registry.endpoint.addrs.addrs[0])
    assert isinstance(done, Authenticated)
    assert done.con_mode == mode
    assert done.identity is not None
    assert done.identity.global_id == 7
    assert isinstance(decision, NeedDecision)
    assert ready == Ready(accepted=True, reconnected=False)
    assert arrived == [evolve(m, seq=n + 1) for n, m in enumerate(sent)]
    assert pair.client_events[:3] == [
        HelloReceived(MDS, EntityAddr(2, 0, "127.0.0.1", 50000)),
        Authenticated(7, mode, None),
        Ready(accepted=False, reconnected=False),
    ]
    assert not pair.client_events[3:]
    assert pair.session.unacked == 0
    there = pair.server.session
    assert there is not None
    assert there.peer_name == PeerName(MDS, 6800)
    assert there.peer_addrs == pair.client_registry.endpoint.addrs
    assert pair.session.peer_name == PeerName(MDS, 6801)
    assert pair.session.features == there.features != 0
    assert pair.session.client_cookie == there.client_cookie != 0
    assert pair.session.server_cookie == there.server_cookie != 0
    assert not pair.client.wants_write
    assert pair.client.data_to_send() == b""


@MODES
def test_messages_answer_each_other(mode: int) -> None:
    pair = ready_pair(mode)
    there = pair.server.session
    assert there is not None
    for n in range(5):
        pair.session.send(MessageFrame(1, tid=n))
        pair.step()
        there.send(MessageFrame(2, tid=n))
        pair.run()
    assert [m.tid for m in messages(pair.client_events)] == [0, 1, 2, 3, 4]
    # each answer carries the acknowledgement of what it answers
    assert [m.ack_seq for m in messages(pair.client_events)] == [1, 2, 3, 4, 5]
    assert pair.session.unacked == there.unacked == 0


@MODES
def test_keepalives(mode: int) -> None:
    pair = ready_pair(mode)
    pair.client.send_keepalive(1234.000001)
    pair.run()
    assert pair.server_events == [KeepaliveReceived(1_234_000_001_000)]
    assert pair.client_events == [KeepaliveAcked(1_234_000_001_000)]


def test_keepalive_waits_for_ready() -> None:
    pair = make_pair()
    pair.client.send_keepalive(5.0)
    assert pair.session.keepalive_wanted
    pair.run()
    assert pair.client_events[-1] == KeepaliveAcked(5_000_000_000)
    assert not pair.session.keepalive_wanted


def test_lossy_sessions_keep_nothing_and_acknowledge_nothing() -> None:
    pair = make_pair(client_policy=LOSSY_CLIENT, server_policy=STATELESS_SERVER)
    pair.session.send(MessageFrame(1))
    pair.run()
    there = pair.server.session
    assert there is not None
    assert pair.session.lossy
    assert there.lossy
    assert pair.session.unacked == there.ack_left == 0
    assert pair.session.client_cookie == pair.session.server_cookie == 0
    assert not [event for event in pair.client_events if isinstance(event, MessageFrame)]
    assert pair.server_registry.sessions() == []


def test_bad_method_then_another_attempt() -> None:
    pair = make_pair(auth=StubAuth(modes=[CRC], refusals=3))
    pair.run()
    assert pair.ready


def test_attempts_are_bounded() -> None:
    pair = make_pair(auth=StubAuth(modes=[CRC], refusals=99))
    with pytest.raises(ProtocolError, match="too many attempts"):
        pair.run()


def test_refusal_in_the_second_round_lets_the_client_begin_anew() -> None:
    class RefusesOnce(StubServerAuth):
        def request_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
            if self.requests == 1:
                return AuthBadMethod(-13, [2], [CRC])
            return super().request_more(payload)

    pair = make_pair(server_auth=RefusesOnce())
    pair.run()
    assert pair.ready


def test_no_method_left_is_the_authenticators_error() -> None:
    pair = at_state(State.AUTH_CONNECTING)
    refusal = AuthBadMethodPayload(2, -95, [], [])
    with pytest.raises(AuthError, match="no method is allowed"):
        pair.feed_client(framed(Tag.AUTH_BAD_METHOD, encode_payload(refusal)))
    assert pair.client.closed


@MODES
def test_unsigned_method_signs_with_zeros(mode: int) -> None:
    pair = make_pair(mode, auth=StubAuth(modes=[mode], signed=False))
    pair.run()
    assert pair.ready


def test_secure_mode_needs_a_secret() -> None:
    class Forgets(StubAuth):
        def keys(self, con_mode: int) -> AuthKeys:
            return AuthKeys(b"only a session key", b"39 bytes".ljust(39))

    with pytest.raises(ProtocolError, match="no connection secret"):
        make_pair(client_auth=Forgets(modes=[SECURE])).run()


def test_a_mode_that_was_not_offered_is_refused() -> None:
    pair = at_state(State.AUTH_CONNECTING)
    done = AuthDonePayload(7, SECURE, b"welcome")
    with pytest.raises(ProtocolError, match="chose connection mode 2, not offered"):
        pair.feed_client(framed(Tag.AUTH_DONE, encode_payload(done)))


def test_a_server_does_not_choose_what_was_not_offered() -> None:
    pair = at_state(State.AUTH_ACCEPTING)
    request = AuthRequestPayload(2, [], b"who I am")
    more = AuthMorePayload(b"answer")
    with pytest.raises(ProtocolError, match="does not offer connection mode 1"):
        pair.feed_server(
            framed(Tag.AUTH_REQUEST, encode_payload(request))
            + framed(Tag.AUTH_REQUEST_MORE, encode_payload(more))
        )


def test_unknown_address_is_learned_from_the_peer() -> None:
    registry = make_registry(6800, host="0.0.0.0")
    pair = make_pair(client_registry=registry)
    pair.run()
    assert pair.ready
    assert str(registry.endpoint.addrs) == "v2:127.0.0.1:6800/1"
    there = pair.server.session
    assert there is not None
    assert there.peer_addrs == registry.endpoint.addrs


def test_an_address_is_not_learned_from_a_stranger_who_connects() -> None:
    registry = make_registry(6800, host="0.0.0.0")
    pair = make_pair(server_registry=registry)
    pair.run()
    assert str(registry.endpoint.addrs) == "v2:0.0.0.0:6800/1"


def test_addresses_are_learned_per_family_and_without_any() -> None:
    endpoint = make_registry(6800).endpoint
    seen4, seen6 = EntityAddr.parse("v2:10.0.0.9:5/5"), EntityAddr.parse("v2:[fe80::1]:5/5")
    assert not endpoint.learn_addr(seen4)
    endpoint.addrs = EntityAddrVec.parse("[v2:0.0.0.0:1/7,v2:[::]:2/7]")
    assert endpoint.learn_addr(seen4)
    assert str(endpoint.addrs) == "[v2:10.0.0.9:1/7,v2:[::]:2/7]"
    endpoint.addrs = EntityAddrVec.parse("[v2:[::]:2/7,v2:0.0.0.0:1/7]")
    assert endpoint.learn_addr(seen6)
    assert str(endpoint.addrs) == "[v2:[fe80::1]:2/7,v2:0.0.0.0:1/7]"
    endpoint.addrs = EntityAddrVec()
    endpoint.nonce = 77
    assert not endpoint.learn_addr(EntityAddr.parse("v2:0.0.0.0:5/5"))
    assert endpoint.learn_addr(seen4)
    assert endpoint.addrs.addrs == (EntityAddr(EntityAddr.TYPE_ANY, 77, "10.0.0.9", 0),)


def test_secrets_do_not_show() -> None:
    pair = ready_pair(SECURE)
    shown = repr((pair.session, AuthMorePayload(b"hush"), AuthKeys(b"hush", b"hush")))
    assert "hush" not in shown
    assert str(pair.session.client_cookie) not in shown


def test_data_to_send_is_batched_and_bounded() -> None:
    pair = ready_pair()
    for _ in range(100):
        pair.session.send(MessageFrame(1, front=bytes(1000)))
    first = pair.client.data_to_send(max_bytes=10_000)
    assert 10_000 <= len(first) < 12_000
    rest = [first]
    while pair.client.wants_write:
        rest.append(pair.client.data_to_send(max_bytes=10_000))
    pair.feed_server(b"".join(rest))
    assert len(messages(pair.server_events)) == 100


def test_messages_are_taken_one_by_one() -> None:
    """A caller who stops taking events has the peer's bytes wait, not its messages."""
    pair = ready_pair()
    for _ in range(3):
        pair.session.send(MessageFrame(1))
    pair.server.receive(pair.client.data_to_send())
    there = pair.server.session
    assert there is not None
    for n in range(3):
        assert there.in_seq == n
        assert isinstance(pair.server.next_event(), MessageFrame)


@pytest.mark.parametrize(
    ("client", "server"),
    [(LOSSLESS_CLIENT, STATEFUL_SERVER), (LOSSLESS_PEER, LOSSLESS_PEER)],
)
def test_reconnect_over_a_new_socket(client: StubPolicy, server: StubPolicy) -> None:
    first = make_pair(client_policy=client, server_policy=server)
    first.run()
    for n in range(5):
        first.session.send(MessageFrame(1, tid=n))
    first.collect()
    first.feed_server(bytes(first.to_server[:-70]))  # the last one is cut
    assert [m.tid for m in messages(first.server_events)] == [0, 1, 2, 3]
    there = first.server.session
    assert there is not None
    assert there.fault().kind is FaultKind.STANDBY
    assert first.session.fault().kind is FaultKind.RECONNECT
    assert first.session.queued == 5
    second = make_pair(
        SECURE,
        client_policy=client,
        server_policy=server,
        client_registry=first.client_registry,
        server_registry=first.server_registry,
    )
    assert second.session is first.session
    second.run()
    assert second.server.session is there
    assert [m.tid for m in messages(second.server_events)] == [4]
    assert second.client_events[2] == Ready(accepted=False, reconnected=True)
    assert second.session.unacked == 0
