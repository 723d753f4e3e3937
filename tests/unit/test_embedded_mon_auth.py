"""Who gets in: keys, global ids, tickets, rotating secrets, over the hours of a clock."""

from __future__ import annotations

import errno

import pytest
from attrs import define, field
from tests.unit.embedded_mon_kit import Clock, Mon

from mdsdaemon.cephx.auth import RotatingSecrets
from mdsdaemon.cephx.client import CephxClient, MonAuth, ServiceAuth, client_server_challenge
from mdsdaemon.cephx.crypto import CryptoKey, put_sealed
from mdsdaemon.cephx.plug import (
    AUTH_MODE_MON,
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    AuthBadMethod,
    AuthDone,
    AuthError,
    AuthMore,
)
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.cephx.wire import (
    CEPHX_GET_AUTH_SESSION_KEY,
    CephXAuthenticate,
    CephXRequestHeader,
    CephXServerChallenge,
)
from mdsdaemon.embedded.key_server import SERVICES, KeyServer
from mdsdaemon.embedded.key_server_auth import CephxServiceHandler, GlobalId, MonPeerIdentity
from mdsdaemon.embedded.storage import MemoryStorage
from mdsdaemon.encoding import U64, decode, encode
from mdsdaemon.host import Host
from mdsdaemon.messages.auth import MAuth, MAuthReply
from mdsdaemon.types.entity import AUTH, CLIENT, MDS, MON, OSD, EntityAddrVec, EntityName

X = EntityName(CLIENT, "x")
CRC, SECURE = 1, 2


@define(eq=False)
class Peer:
    """A client with a key, and its dealings with a monitor."""

    m: Mon
    name: EntityName = X
    caps: dict[str, str] = field(factory=lambda: {"mon": "allow r", "osd": "allow rw"})
    key: CryptoKey | None = None
    mode: int = SECURE
    want: int = MON | OSD | MDS
    client: CephxClient | None = None
    rotating: RotatingKeyRing | None = None
    identity: MonPeerIdentity | None = None

    def __attrs_post_init__(self) -> None:
        if self.key is None:
            self.key = self.m.mon.auth.get_or_create(self.name, self.caps).key

    def connect(self) -> AuthDone | AuthBadMethod:
        """One handshake; on success the client's own checks have passed too."""
        registry = AuthRegistry(
            my_type=self.name.type,
            mon_client_modes=(self.mode,),
            mon_cluster_modes=(self.mode,),
            client_methods=(CEPH_AUTH_CEPHX,),
        )
        host = self.m.mon.host
        ours = MonAuth(registry, self.name, self.key, self.want, host, self.rotating, self.client)
        theirs = self.m.mon.auth.authenticator.server_session(self.name.type, host.wall())
        asked = ours.request()
        verdict = theirs.request(asked.method, asked.modes, asked.payload)
        while isinstance(verdict, AuthMore):
            verdict = theirs.request_more(ours.reply_more(verdict.payload))
        if isinstance(verdict, AuthDone):
            keys = ours.done(verdict.global_id, verdict.con_mode, verdict.payload)
            assert keys == verdict.keys
            assert isinstance(ours.client, CephxClient)
            assert isinstance(verdict.identity, MonPeerIdentity)
            self.client, self.identity = ours.client, verdict.identity
        return verdict

    def mauth(self, payload: bytes) -> MAuthReply:
        """An MAuth on the open session."""
        assert self.identity is not None
        session = self.m.session(str(self.name))
        session.auth = self.identity.handler
        self.m.mon.auth.handle_auth(session, MAuth(protocol=2, auth_payload=payload, tid=3))
        (reply,) = session.heard
        assert isinstance(reply, MAuthReply)
        assert reply.tid == 3
        return reply

    def renew(self) -> None:
        """What the monitor client does when tickets get old."""
        assert self.client is not None
        again = True
        while again:
            reply = self.mauth(self.client.build_request())
            again = self.client.handle_response(reply.result, reply.result_bl)

    def status(self) -> str:
        assert self.identity is not None
        assert self.identity.handler is not None
        return self.identity.handler.status


@pytest.fixture
def m() -> Mon:
    return Mon()


@pytest.mark.parametrize("mode", [CRC, SECURE])
def test_a_client_gets_in_with_all_its_tickets(m: Mon, mode: int) -> None:
    peer = Peer(m, mode=mode)
    done = peer.connect()
    assert isinstance(done, AuthDone)
    assert done.con_mode == mode
    assert len(done.keys.connection_secret) == (64 if mode == SECURE else 0)
    assert (done.identity.entity_name, done.identity.global_id) == (X, done.global_id)
    assert m.mon.auth.mon_caps(X, done.identity.caps).text == "allow r"
    assert peer.client is not None
    assert peer.client.tickets.need(AUTH | MON | OSD | MDS, m.clock.now) == 0
    assert peer.status() == GlobalId.NEW_OK


def test_the_object_store_takes_the_ticket(m: Mon) -> None:
    peer = Peer(m)
    peer.connect()
    assert peer.client is not None
    server = m.mon.auth.keys.authenticator_for(OSD, AuthRegistry(OSD))
    ours = ServiceAuth(AuthRegistry(my_type=CLIENT), OSD, peer.client)
    theirs = server.server_session(CLIENT, m.clock.now)
    asked = ours.request()
    verdict = theirs.request(asked.method, asked.modes, asked.payload)
    assert isinstance(verdict, AuthMore)
    verdict = theirs.request_more(ours.reply_more(verdict.payload))
    assert isinstance(verdict, AuthDone)
    assert verdict.identity.caps == m.mon.auth.keys.caps_info(X, OSD)
    with pytest.raises(AuthError):
        server.client_session(MON, EntityAddrVec())


@pytest.mark.parametrize("what", ["wrong key", "no such name", "no mon caps", "removed"])
def test_who_does_not_get_in(m: Mon, what: str) -> None:
    if what == "no mon caps":
        peer = Peer(m, caps={"osd": "allow *"})
    elif what == "no such name":
        peer = Peer(m, key=m.mon.auth.keys.create_key(), name=EntityName(CLIENT, "nobody"))
    else:
        peer = Peer(m)
    if what == "wrong key":
        peer.key = m.mon.auth.keys.create_key()
    if what == "removed":
        m.run("auth rm", entity="client.x")
    verdict = peer.connect()
    assert isinstance(verdict, AuthBadMethod)
    assert verdict.result == -errno.EACCES
    assert verdict.methods == [CEPH_AUTH_CEPHX]
    assert verdict.reason


def test_the_same_refusal_for_all_that_is_wrong_with_a_key(m: Mon) -> None:
    """Who guesses does not learn which names there are."""
    Peer(m)
    wrong = m.mon.auth.keys.create_key()
    known = Peer(m, key=wrong).connect()
    unknown = Peer(m, key=wrong, name=EntityName(CLIENT, "nobody")).connect()
    assert isinstance(known, AuthBadMethod)
    assert isinstance(unknown, AuthBadMethod)
    assert known.result == unknown.result


def test_global_ids_are_never_given_twice() -> None:
    storage, clock = MemoryStorage(), Clock()
    seen: set[int] = set()
    for _ in range(3):
        m = Mon(storage, clock=clock)
        peers = [Peer(m) for _ in range(3)]
        for peer in peers:
            done = peer.connect()
            assert isinstance(done, AuthDone)
            assert done.global_id not in seen
            assert done.global_id > 4096
            seen.add(done.global_id)
        m.mon.restore(m.mon.snapshot())
    assert m.mon.auth.assign_global_id() not in seen


def test_many_global_ids() -> None:
    m = Mon(mon_globalid_prealloc="10")
    ids = [m.mon.auth.assign_global_id() for _ in range(500)]
    assert ids == list(range(ids[0], ids[0] + 500))
    again = Mon(m.storage)
    assert again.mon.auth.assign_global_id() > ids[-1]


def test_an_old_global_id_takes_its_ticket(m: Mon) -> None:
    peer = Peer(m)
    first = peer.connect()
    second = peer.connect()
    assert isinstance(first, AuthDone)
    assert isinstance(second, AuthDone)
    assert first.global_id == second.global_id
    assert peer.status() == GlobalId.RECLAIM_OK
    # without the ticket, or with that of another
    assert peer.client is not None
    thief = Peer(m)
    thief.connect()
    assert thief.client is not None
    thief.client.global_id = first.global_id
    verdict = thief.connect()
    assert isinstance(verdict, AuthBadMethod)
    assert verdict.result == -errno.EACCES
    assert "ticket" in verdict.reason


def proof(m: Mon, handler: CephxServiceHandler, *, struct_v: int) -> bytes:
    """What an older client sends: it never shows its old ticket."""
    challenge = decode(CephXServerChallenge, handler.challenge())
    auth = m.mon.auth.keys.get(X)
    assert auth is not None
    key = client_server_challenge(auth.key, challenge.server_challenge, 7)
    request = CephXAuthenticate(struct_v=struct_v, client_challenge=7, key=key, other_keys=MON)
    head = encode(CephXRequestHeader, CephXRequestHeader(CEPHX_GET_AUTH_SESSION_KEY))
    return head + encode(CephXAuthenticate, request)


@pytest.mark.parametrize("allowed", [False, True])
def test_older_clients_may_come_back_if_allowed(allowed: bool) -> None:
    m = Mon(auth_allow_insecure_global_id_reclaim=str(allowed).lower())
    Peer(m)
    authenticator = m.mon.auth.authenticator
    new = CephxServiceHandler(authenticator, X, 5000, is_new=True)
    new.authenticate(proof(m, new, struct_v=2), 0)
    assert new.status == GlobalId.NEW_NOT_EXPOSED
    back = CephxServiceHandler(authenticator, X, 5000, is_new=False)
    if allowed:
        back.authenticate(proof(m, back, struct_v=2), 0)
        assert back.status == GlobalId.RECLAIM_INSECURE
    else:
        with pytest.raises(AuthError):
            back.authenticate(proof(m, back, struct_v=2), 0)
    newer = CephxServiceHandler(authenticator, X, 5000, is_new=False)
    with pytest.raises(AuthError):
        newer.authenticate(proof(m, newer, struct_v=3), 0)


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 20])
def test_malformed_payloads(m: Mon, cut: int) -> None:
    Peer(m)
    session = m.mon.auth.authenticator.server_session(CLIENT, 0.0)
    head = bytes([AUTH_MODE_MON]) + encode(EntityName, X) + encode(U64, 0)
    assert isinstance(session.request(CEPH_AUTH_CEPHX, [SECURE], head[:cut]), AuthBadMethod) or (
        cut >= len(head)
    )
    assert isinstance(session.request(CEPH_AUTH_CEPHX, [SECURE], head), AuthMore)
    verdict = session.request_more(b"\x00\x01" + bytes(cut))
    assert isinstance(verdict, AuthBadMethod)
    with pytest.raises(AuthError):
        session.request_more(b"")


def test_authorizers_and_unknown_methods_are_refused(m: Mon) -> None:
    session = m.mon.auth.authenticator.server_session(CLIENT, 0.0)
    for method, payload in (
        (CEPH_AUTH_CEPHX, b"\x01" + bytes(40)),
        (CEPH_AUTH_NONE, bytes([AUTH_MODE_MON]) + encode(EntityName, X) + encode(U64, 0)),
        (77, b""),
    ):
        assert isinstance(session.request(method, [SECURE], payload), AuthBadMethod)
    assert isinstance(session.request(CEPH_AUTH_CEPHX, [], b""), AuthBadMethod)
    for _ in range(4):
        session.request(77, [SECURE], b"")
    with pytest.raises(AuthError, match="gave up"):
        session.request(77, [SECURE], b"")


def test_method_none_where_it_is_allowed() -> None:
    m = Mon(auth_service_required="none", auth_cluster_required="cephx")
    session = m.mon.auth.authenticator.server_session(CLIENT, 0.0)
    payload = bytes([AUTH_MODE_MON]) + encode(EntityName, X) + encode(U64, 0)
    done = session.request(CEPH_AUTH_NONE, [CRC], payload)
    assert isinstance(done, AuthDone)
    assert m.mon.auth.mon_caps(X, done.identity.caps).is_allow_all()
    mds = bytes([AUTH_MODE_MON]) + encode(EntityName, EntityName(MDS, "a")) + encode(U64, 0)
    assert isinstance(session.request(CEPH_AUTH_NONE, [CRC], mds), AuthBadMethod)


def test_tickets_are_renewed_for_days(m: Mon) -> None:
    peer = Peer(m)
    peer.connect()
    assert peer.client is not None
    for _ in range(24 * 7):
        m.tick(3600)
        assert peer.client.need_tickets()
        peer.renew()
        assert not peer.client.need_tickets()


def test_a_removed_entity_gets_no_more_tickets(m: Mon) -> None:
    peer = Peer(m)
    peer.connect()
    assert peer.client is not None
    m.tick(3000)
    m.run("auth rm", entity="client.x")
    reply = peer.mauth(peer.client.build_request())
    # the monitors' own ticket names no caps; the client is told of the others' refusal by their
    # absence, as by a real monitor
    assert reply.result in (0, -errno.EACCES, -errno.EINVAL)
    assert isinstance(peer.connect(), AuthBadMethod)


def test_new_caps_are_in_the_next_ticket(m: Mon) -> None:
    peer = Peer(m)
    peer.connect()
    m.run("auth caps", entity="client.x", caps=["mon", "allow r", "osd", "allow r pool=p"])
    info = m.mon.auth.keys.caps_info(X, OSD)
    assert decode_text(info.caps) == "allow r pool=p"


def decode_text(raw: bytes) -> str:
    return raw[4:].decode()


# -- rotating secrets ---------------------------------------------------------------------------


def test_secrets_rotate(m: Mon) -> None:
    keys = m.mon.auth.keys
    seen = {service: set(keys.rotating[service].secrets) for service in SERVICES}
    assert all(numbers == {1, 2, 3} for numbers in seen.values())
    for hour in range(1, 50):
        m.tick(3600)
        for service in SERVICES:
            secrets = keys.rotating[service]
            assert len(secrets.secrets) == 3
            number, _, ttl = keys.service_secret(service)
            assert number in secrets.secrets
            assert ttl > 0
        assert keys.rotating[OSD].max_ver >= hour


def test_daemons_fetch_their_secrets(m: Mon) -> None:
    ring = RotatingKeyRing(MDS)
    caps = {"mon": "allow profile mds", "mds": "allow"}
    mds = Peer(m, EntityName(MDS, "a"), caps, rotating=ring)
    mds.connect()
    assert mds.client is not None
    request = mds.client.build_rotating_request()
    assert request is not None
    reply = mds.mauth(request)
    assert not mds.client.handle_response(reply.result, reply.result_bl)
    assert ring.secrets == m.mon.auth.keys.rotating[MDS]
    # and nobody else's
    client = Peer(m)
    client.connect()
    assert client.mauth(request).result == -errno.EACCES


def test_secrets_survive_a_restart() -> None:
    storage, clock = MemoryStorage(), Clock()
    before = Mon(storage, clock=clock).mon.auth.keys.rotating
    after = Mon(storage, clock=clock).mon.auth.keys.rotating
    assert before == after
    clock.now += 10 * 86400
    assert Mon(storage, clock=clock).mon.auth.keys.rotating != before


def test_a_ring_is_always_the_present_one(m: Mon) -> None:
    ring = m.mon.auth.keys.ring(OSD)
    m.tick(20000)
    number, secret, _ = m.mon.auth.keys.service_secret(OSD)
    assert ring.get_service_secret(OSD, number) == secret
    m.mon.auth.load(dict(m.mon.auth.records()))
    assert ring.get_service_secret(OSD, number) == secret


def test_secrets_are_in_no_repr(m: Mon) -> None:
    peer = Peer(m)
    peer.connect()
    texts = repr(m.mon.auth.keys) + repr(peer.identity) + repr(m.session())
    assert peer.key is not None
    assert repr(peer.key.secret)[2:-1] not in texts


def test_a_server_without_secrets() -> None:
    keys = KeyServer(Host.seeded(1), Mon().mon.config)
    with pytest.raises(AuthError, match="no secrets"):
        keys.auth_ticket(X, 1)


def test_rotating_secrets_are_sealed_with_the_entitys_key(m: Mon) -> None:
    name = EntityName(MDS, "a")
    key = m.mon.auth.get_or_create(name, {"mon": "allow r"}).key
    sealed = m.mon.auth.keys.rotating_for(name)
    assert sealed == put_sealed(RotatingSecrets, m.mon.auth.keys.rotating[MDS], key)


# -- snapshots ----------------------------------------------------------------------------------


def test_entities_go_back_with_a_snapshot(m: Mon) -> None:
    before = m.json("auth ls")
    state = m.mon.snapshot()
    m.run("auth get-or-create", entity="client.new", caps=["mon", "allow r"])
    m.run("auth caps", entity="client.admin", caps=["mon", "allow *"])
    m.run("auth rm", entity="client.bootstrap-mds")
    m.mon.restore(state)
    assert m.json("auth ls") == before
    assert Mon(m.storage).json("auth ls") == before
