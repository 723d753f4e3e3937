"""The answer to CLIENT_IDENT and SESSION_RECONNECT, case by case."""

import pytest
from attrs import evolve
from tests.unit.msgr2_peers import (
    FEATURES,
    LOSSLESS_PEER,
    LOSSY_CLIENT,
    STATEFUL_SERVER,
    STATELESS_SERVER,
    StubPolicy,
    make_registry,
)

from mdsdaemon.msgr2.auth import AuthCapsInfo, PeerIdentity
from mdsdaemon.msgr2.events import NeedDecision
from mdsdaemon.msgr2.payloads import ClientIdent, Reconnect
from mdsdaemon.msgr2.registry import (
    Accept,
    AnswerMissingFeatures,
    AnswerReset,
    AnswerRetry,
    AnswerRetryGlobal,
    AnswerWait,
    Decision,
    Refuse,
    Registry,
    Reuse,
)
from mdsdaemon.msgr2.session import Session, SessionState
from mdsdaemon.types.entity import CLIENT, MDS, EntityAddrVec, EntityName
from mdsdaemon.types.features import MSG_ADDR2

LOWER, MINE, HIGHER = (f"v2:127.0.0.1:{port}/1" for port in (6700, 6800, 6900))
CONNECTING, READY = SessionState.CONNECTING, SessionState.READY
STANDBY, WAIT = SessionState.STANDBY, SessionState.WAIT
PEER_RESET = evolve(LOSSLESS_PEER, resetcheck=True)


def identity(name: str = "mds.b", global_id: int = 5) -> PeerIdentity:
    return PeerIdentity(EntityName.parse(name), global_id, AuthCapsInfo(), 2)


def existing(
    registry: Registry,
    addr: str,
    *,
    policy: StubPolicy = LOSSLESS_PEER,
    kind: int = MDS,
    state: SessionState = READY,
    client_cookie: int = 0,
    server_cookie: int = 0,
    peer_global_seq: int = 0,
    connect_seq: int = 0,
    known_as: PeerIdentity | None = None,
) -> Session:
    session = registry.connect_session(kind, EntityAddrVec.parse(addr), policy)
    session.state = state
    session.client_cookie = client_cookie
    session.server_cookie = server_cookie
    session.peer_global_seq = peer_global_seq
    session.connect_seq = connect_seq
    session.identity = known_as
    return session


def ask_ident(
    registry: Registry,
    addr: str,
    *,
    cookie: int = 100,
    global_seq: int = 10,
    policy: StubPolicy = LOSSLESS_PEER,
    kind: int = MDS,
    features: int = FEATURES,
    who: PeerIdentity | None = None,
) -> Decision:
    ident = ClientIdent(
        addrs=EntityAddrVec.parse(addr),
        target_addr=registry.endpoint.addrs.addrs[0],
        gid=1,
        global_seq=global_seq,
        supported_features=features,
        required_features=0,
        flags=0,
        cookie=cookie,
    )
    return registry.decide(NeedDecision(ident, kind, policy, who or identity()))


def ask_reconnect(
    registry: Registry,
    addr: str,
    *,
    client_cookie: int = 100,
    server_cookie: int = 200,
    global_seq: int = 10,
    connect_seq: int = 1,
    policy: StubPolicy = LOSSLESS_PEER,
    kind: int = MDS,
    who: PeerIdentity | None = None,
) -> Decision:
    reconnect = Reconnect(
        addrs=EntityAddrVec.parse(addr),
        client_cookie=client_cookie,
        server_cookie=server_cookie,
        global_seq=global_seq,
        connect_seq=connect_seq,
        msg_seq=0,
    )
    return registry.decide(NeedDecision(reconnect, kind, policy, who or identity()))


@pytest.fixture
def registry() -> Registry:
    return make_registry(6800)


# ---- CLIENT_IDENT ----


def test_unknown_peers_are_accepted(registry: Registry) -> None:
    decision = ask_ident(registry, LOWER)
    assert isinstance(decision, Accept)
    assert decision.registered
    assert decision.replaced is None
    assert registry.sessions() == []  # deciding changes nothing


def test_unregistered_lossy_clients_are_always_accepted(registry: Registry) -> None:
    existing(registry, LOWER, peer_global_seq=99)
    decision = ask_ident(registry, LOWER, policy=STATELESS_SERVER)
    assert isinstance(decision, Accept)
    assert not decision.registered


def test_missing_features_come_first(registry: Registry) -> None:
    existing(registry, LOWER, peer_global_seq=99)
    policy = evolve(LOSSLESS_PEER, features_required=0b110)
    decision = ask_ident(registry, LOWER, policy=policy, features=MSG_ADDR2 | 0b010)
    assert decision == AnswerMissingFeatures(0b100)
    assert isinstance(ask_ident(registry, LOWER, features=0), AnswerMissingFeatures)


def test_closed_sessions_do_not_count(registry: Registry) -> None:
    session = existing(registry, LOWER, peer_global_seq=99)
    session.close()
    assert isinstance(ask_ident(registry, LOWER), Accept)
    assert registry.sessions() == []


@pytest.mark.parametrize(("known", "claimed", "refused"), [(10, 9, True), (10, 10, False)])
def test_older_global_seq_is_refused(
    registry: Registry, known: int, claimed: int, refused: bool
) -> None:
    existing(registry, LOWER, peer_global_seq=known)
    decision = ask_ident(registry, LOWER, global_seq=claimed)
    assert isinstance(decision, Refuse) == refused


def test_lossy_sessions_are_replaced(registry: Registry) -> None:
    session = existing(registry, LOWER, policy=LOSSY_CLIENT)
    decision = ask_ident(registry, LOWER)
    assert isinstance(decision, Accept)
    assert decision.replaced is session


def test_another_type_at_the_address_replaces(registry: Registry) -> None:
    session = existing(registry, LOWER, kind=CLIENT, policy=STATEFUL_SERVER)
    decision = ask_ident(registry, LOWER)
    assert isinstance(decision, Accept)
    assert decision.replaced is session


@pytest.mark.parametrize("state", [CONNECTING, READY, STANDBY, WAIT])
@pytest.mark.parametrize(("policy", "reset"), [(LOSSLESS_PEER, False), (PEER_RESET, True)])
def test_another_cookie_means_that_the_peer_has_started_anew(
    registry: Registry, state: SessionState, policy: StubPolicy, reset: bool
) -> None:
    session = existing(registry, LOWER, state=state, client_cookie=7, server_cookie=8)
    decision = ask_ident(registry, LOWER, cookie=100, policy=policy)
    assert decision == Reuse(session, reconnected=False, remote_reset=reset)


@pytest.mark.parametrize("addr", [LOWER, HIGHER])
@pytest.mark.parametrize("server_cookie", [0, 8])
@pytest.mark.parametrize("state", [CONNECTING, READY, STANDBY, WAIT])
def test_the_same_cookie_means_that_it_goes_on_establishing(
    registry: Registry, addr: str, server_cookie: int, state: SessionState
) -> None:
    session = existing(registry, addr, state=state, client_cookie=100, server_cookie=server_cookie)
    assert ask_ident(registry, addr, policy=PEER_RESET) == Reuse(session, reconnected=False)


@pytest.mark.parametrize(
    ("addr", "state", "policy", "wins"),
    [
        # the socket from the lower address wins the race
        (LOWER, CONNECTING, LOSSLESS_PEER, True),
        (LOWER, WAIT, LOSSLESS_PEER, True),
        (HIGHER, CONNECTING, LOSSLESS_PEER, False),
        (HIGHER, WAIT, LOSSLESS_PEER, False),
        # towards a client there is no race
        (HIGHER, CONNECTING, STATEFUL_SERVER, True),
        # nor is there with a session that is not connecting
        (HIGHER, READY, LOSSLESS_PEER, True),
        (HIGHER, STANDBY, LOSSLESS_PEER, True),
    ],
)
@pytest.mark.parametrize("own_cookie", [0, 55])
def test_races_of_two_idents(
    registry: Registry,
    addr: str,
    state: SessionState,
    policy: StubPolicy,
    wins: bool,
    own_cookie: int,
) -> None:
    session = existing(registry, addr, state=state, policy=policy, client_cookie=own_cookie)
    decision = ask_ident(registry, addr)
    if wins:
        assert decision == Reuse(session, reconnected=False)
    else:
        assert decision == AnswerWait(follow_through=session)


def test_races_are_decided_by_the_msgr2_address_as_memcmp_sees_it(registry: Registry) -> None:
    # nonce before port, port in network order, and only the address of type v2
    registry.endpoint.addrs = EntityAddrVec.parse("[v2:127.0.0.1:512/5,v1:127.0.0.1:1/5]")
    for addr, lower in [
        ("v2:127.0.0.1:9999/4", True),
        ("v2:127.0.0.1:1/6", False),
        ("v2:127.0.0.1:256/5", True),
        ("v2:127.0.0.1:767/5", False),
        ("v2:127.0.0.0:512/5", True),
        ("v2:128.0.0.0:512/5", False),
        ("[v2:127.0.0.1:512/4,v1:127.0.0.1:9/9]", True),
        ("v1:127.0.0.1:512/9", True),  # no msgr2 address at all: blank
        ("v2:127.0.0.1:512/256", True),  # the nonce in memory order
        ("v2:[::1]:512/5", False),
    ]:
        existing(registry, addr, state=CONNECTING)
        assert isinstance(ask_ident(registry, addr), Reuse) == lower, addr


def test_a_peer_with_our_own_address_is_refused(registry: Registry) -> None:
    existing(registry, MINE, state=CONNECTING)
    assert isinstance(ask_ident(registry, MINE), Refuse)


@pytest.mark.parametrize(
    ("kind", "known_as", "who", "stranger"),
    [
        (MDS, identity("mds.b", 5), identity("mds.c", 5), True),
        (MDS, identity("mds.b", 5), identity("mds.b", 6), False),
        (CLIENT, identity("client.x", 5), identity("client.x", 6), True),
        (CLIENT, identity("client.x", 5), identity("client.x", 5), False),
        (CLIENT, None, identity("client.x", 5), False),
    ],
)
def test_nobody_inherits_the_session_of_another(
    registry: Registry,
    kind: int,
    known_as: PeerIdentity | None,
    who: PeerIdentity,
    stranger: bool,
) -> None:
    session = existing(
        registry, LOWER, kind=kind, client_cookie=100, server_cookie=200, known_as=known_as
    )
    reconnect = ask_reconnect(registry, LOWER, kind=kind, who=who)
    assert reconnect == (AnswerReset(full=True) if stranger else Reuse(session, reconnected=True))
    # with the right cookie, with another one, and in a race
    for cookie in (100, 101):
        ident = ask_ident(registry, LOWER, kind=kind, who=who, cookie=cookie)
        assert ident == Reuse(session, reconnected=False, remote_reset=stranger)
    session.client_cookie = session.server_cookie = 0
    session.state = CONNECTING
    ident = ask_ident(registry, LOWER, kind=kind, who=who)
    assert ident == Reuse(session, reconnected=False, remote_reset=stranger)


# ---- SESSION_RECONNECT ----


def test_reconnect_to_nothing_is_a_full_reset(registry: Registry) -> None:
    assert ask_reconnect(registry, LOWER) == AnswerReset(full=True)
    existing(registry, LOWER, client_cookie=100, server_cookie=200).close()
    assert ask_reconnect(registry, LOWER) == AnswerReset(full=True)


def test_reconnect_of_another_type_is_a_full_reset(registry: Registry) -> None:
    existing(registry, LOWER, kind=CLIENT, client_cookie=100, server_cookie=200)
    assert ask_reconnect(registry, LOWER) == AnswerReset(full=True)


@pytest.mark.parametrize(("policy", "full"), [(LOSSLESS_PEER, False), (PEER_RESET, True)])
def test_reconnect_with_another_cookie(registry: Registry, policy: StubPolicy, full: bool) -> None:
    existing(registry, LOWER, client_cookie=7, server_cookie=200)
    assert ask_reconnect(registry, LOWER, policy=policy) == AnswerReset(full=full)


def test_reconnect_when_our_server_ident_was_lost(registry: Registry) -> None:
    existing(registry, LOWER, state=CONNECTING, client_cookie=100, server_cookie=0)
    assert ask_reconnect(registry, LOWER, policy=PEER_RESET) == AnswerReset(full=False)


@pytest.mark.parametrize(
    ("addr", "policy", "ours", "theirs", "expected"),
    [
        (LOWER, LOSSLESS_PEER, 3, 2, AnswerRetry(3)),
        (HIGHER, LOSSLESS_PEER, 3, 2, AnswerRetry(3)),
        (LOWER, LOSSLESS_PEER, 2, 3, None),
        (HIGHER, LOSSLESS_PEER, 2, 3, None),
        (LOWER, LOSSLESS_PEER, 2, 2, None),
        (HIGHER, LOSSLESS_PEER, 2, 2, AnswerWait()),
        (HIGHER, STATEFUL_SERVER, 2, 2, None),
    ],
)
def test_races_of_two_reconnects(
    registry: Registry,
    addr: str,
    policy: StubPolicy,
    ours: int,
    theirs: int,
    expected: Decision | None,
) -> None:
    session = existing(
        registry, addr, policy=policy, client_cookie=100, server_cookie=200, connect_seq=ours
    )
    decision = ask_reconnect(registry, addr, connect_seq=theirs)
    assert decision == (expected or Reuse(session, reconnected=True))


@pytest.mark.parametrize(("known", "retry"), [(9, False), (10, False), (11, True)])
def test_reconnect_with_an_older_global_seq(registry: Registry, known: int, retry: bool) -> None:
    session = existing(registry, LOWER, client_cookie=100, server_cookie=200, peer_global_seq=known)
    decision = ask_reconnect(registry, LOWER, global_seq=10)
    assert decision == (AnswerRetryGlobal(11) if retry else Reuse(session, reconnected=True))


# ---- the registry itself ----


def test_sessions_are_found_by_the_addresses_they_were_made_with(registry: Registry) -> None:
    one = existing(registry, LOWER)
    assert existing(registry, LOWER) is one
    one.peer_addrs = EntityAddrVec.parse("[v2:127.0.0.1:6700/1,v1:127.0.0.1:6701/1]")
    assert registry.lookup(one.key) is one
    one.close()
    registry.forget(one)
    registry.forget(one)
    assert registry.sessions() == []


def test_forgetting_a_replaced_session_leaves_its_successor(registry: Registry) -> None:
    old = existing(registry, LOWER)
    old.close()
    new = existing(registry, LOWER)
    registry.forget(old)
    assert registry.lookup(new.key) is new
