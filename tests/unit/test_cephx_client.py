"""The client side: sessions with a monitor, renewal of tickets, authorizers for services."""

import errno
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cephx_peers import KeyServer, MonServerAuth

from mdsdaemon.cephx.auth import RotatingSecrets
from mdsdaemon.cephx.client import CephxClient, MonAuth, NoneClient, ServiceAuth
from mdsdaemon.cephx.crypto import CryptoKey, put_sealed
from mdsdaemon.cephx.plug import AuthBadMethod, AuthDone, AuthError, AuthMore
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import AuthServer
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.cephx.wire import CephXAuthorizeReply
from mdsdaemon.host import Host
from mdsdaemon.records import evolve
from mdsdaemon.types.entity import AUTH, CLIENT, MDS, MGR, MON, OSD, EntityName

NONE, CEPHX = 1, 2
CRC, SECURE = 1, 2
NAME = EntityName(MDS, "a")
WANT = MON | OSD | MDS | MGR


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Cluster:
    """A key server with mds.a in it, and one clock for all."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.host = Host.seeded(7, self.clock)
        self.keys = KeyServer(self.host)
        self.key = self.keys.add(NAME, mds="allow", osd="allow rw", mgr="allow profile mds")
        self.ring = RotatingKeyRing(MDS)

    def auth(
        self,
        previous: CephxClient | NoneClient | None = None,
        *,
        key: CryptoKey | None = None,
        registry: AuthRegistry | None = None,
    ) -> MonAuth:
        return MonAuth(
            registry or AuthRegistry(),
            NAME,
            key or self.key,
            WANT,
            self.host,
            self.ring,
            previous,
        )

    def connect(
        self, auth: MonAuth, *, allow_none: bool = False, mode: int | None = None
    ) -> tuple[MonServerAuth, AuthDone]:
        mon = MonServerAuth(self.keys, allow_none)
        request = auth.request()
        while True:
            verdict = mon.request(
                request.method, [mode] if mode else request.modes, request.payload
            )
            if isinstance(verdict, AuthMore):
                verdict = mon.request_more(auth.reply_more(verdict.payload))
            if isinstance(verdict, AuthDone):
                keys = auth.done(verdict.global_id, verdict.con_mode, verdict.payload)
                assert keys == verdict.keys
                return mon, verdict
            assert isinstance(verdict, AuthBadMethod)
            request = auth.bad_method(
                request.method, verdict.result, verdict.methods, verdict.modes
            )

    def session(self) -> tuple[CephxClient, MonServerAuth]:
        auth = self.auth()
        mon, _ = self.connect(auth)
        assert isinstance(auth.client, CephxClient)
        return auth.client, mon


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.mark.parametrize("mode", [CRC, SECURE])
def test_a_session(cluster: Cluster, mode: int) -> None:
    auth = cluster.auth()
    mon, done = cluster.connect(auth, mode=mode)
    client = auth.client
    assert isinstance(client, CephxClient)
    assert auth.global_id == client.global_id == done.global_id == 4100
    assert mon.name == NAME
    assert len(done.keys.connection_secret) == (64 if mode == SECURE else 0)
    assert sorted(client.tickets.tickets) == [MON, MDS, OSD, MGR, AUTH]
    assert not client.need_tickets()
    assert client.tickets.have(WANT | AUTH, cluster.clock.now) == WANT | AUTH


def test_rotating_secrets_and_both_ends_of_a_service(cluster: Cluster) -> None:
    client, mon = cluster.session()
    request = client.build_rotating_request()
    assert request is not None
    assert client.handle_response(*mon.mauth(request)) is False
    assert cluster.ring.secrets == cluster.keys.rotating[MDS]
    server = AuthServer(AuthRegistry(), cluster.ring, cluster.host.randbytes)
    ours = ServiceAuth(AuthRegistry(), MDS, client)
    theirs = server.server_session(MDS, cluster.clock.now)
    request_ = ours.request()
    more = theirs.request(request_.method, [SECURE], request_.payload)
    assert isinstance(more, AuthMore)
    done = theirs.request_more(ours.reply_more(more.payload))
    assert isinstance(done, AuthDone)
    assert ours.done(done.global_id, done.con_mode, done.payload) == done.keys
    assert done.identity.entity_name == NAME
    assert done.identity.global_id == client.global_id
    assert done.identity.caps.caps == cluster.keys.entities[NAME].caps["mds"]


def test_rotating_secrets_grow_old(cluster: Cluster) -> None:
    client, mon = cluster.session()
    request = client.build_rotating_request()
    assert request is not None
    assert cluster.ring.need_new_secrets()
    client.handle_response(*mon.mauth(request))
    now = cluster.clock.now
    assert not cluster.ring.need_new_secrets()
    assert not cluster.ring.need_new_secrets(now + 3599)
    assert cluster.ring.need_new_secrets(now + 3600)


# ---- renewal ----


def renew(client: CephxClient, mon: MonServerAuth) -> int:
    """Rounds until nothing is needed at once."""
    rounds, again = 0, True
    while again:
        rounds += 1
        again = client.handle_response(*mon.mauth(client.build_request()))
    return rounds


def test_service_tickets_are_renewed_before_they_expire(cluster: Cluster) -> None:
    client, mon = cluster.session()
    start = cluster.clock.now
    cluster.clock.now = start + 2699
    assert not client.need_tickets()
    cluster.clock.now = start + 2700
    assert client.need_tickets()
    assert client.tickets.have(WANT, cluster.clock.now) == WANT
    old = {service: t.ticket for service, t in client.tickets.tickets.items()}
    assert renew(client, mon) == 1
    assert not client.need_tickets()
    new = {service: t.ticket for service, t in client.tickets.tickets.items()}
    assert old[AUTH] == new[AUTH]
    assert all(old[service] != new[service] for service in (MON, OSD, MDS, MGR))
    assert client.tickets.handler(OSD).expires == cluster.clock.now + 3600


def test_the_ticket_for_tickets_is_renewed(cluster: Cluster) -> None:
    """By the old one, whose key then also hides the new one; the others come with it."""
    client, mon = cluster.session()
    cluster.clock.now += 194400
    assert client.need_tickets()
    before = client.tickets.handler(AUTH)
    assert renew(client, mon) == 1
    after = client.tickets.handler(AUTH)
    assert after.session_key != before.session_key
    assert client.tickets.have(WANT | AUTH, cluster.clock.now) == WANT | AUTH
    assert client.global_id == mon.global_id


def test_a_manager_ticket_alone_is_not_worth_a_request(cluster: Cluster) -> None:
    client, _ = cluster.session()
    client.invalidate(MGR)
    assert not client.need_tickets()
    client.invalidate(OSD)
    assert client.need_tickets()


def test_an_expired_ticket_is_not_shown(cluster: Cluster) -> None:
    client, _ = cluster.session()
    client.build_authorizer(OSD)
    cluster.clock.now += 3600
    with pytest.raises(AuthError, match="osd: the ticket has expired"):
        client.build_authorizer(OSD)
    with pytest.raises(AuthError, match="there is no ticket"):
        client.build_authorizer(CLIENT)


def test_a_refused_renewal_changes_nothing(cluster: Cluster) -> None:
    client, mon = cluster.session()
    cluster.clock.now += 2700
    before = repr(client), dict(client.tickets.tickets)
    with pytest.raises(AuthError):
        client.handle_response(-errno.EACCES, b"")
    result, payload = mon.mauth(client.build_request())
    for end in range(len(payload)):
        with pytest.raises(AuthError):
            client.handle_response(result, payload[:end])
        assert (repr(client), dict(client.tickets.tickets)) == before
    assert not client.handle_response(result, payload)


@given(st.binary(max_size=400))
def test_any_answer(payload: bytes) -> None:
    client, _ = SESSION.session()
    for head in (b"", b"\0\1\0\0\0\0", b"\0\2\0\0\0\0", b"\0\4\0\0\0\0"):
        try:
            client.handle_response(0, head + payload)
        except AuthError:
            pass
    auth = SESSION.auth()
    auth.request()
    try:
        auth.reply_more(payload)
    except AuthError:
        pass
    with pytest.raises(AuthError):
        auth.done(1, SECURE, payload)


SESSION = Cluster()


# ---- the next session ----


def test_the_global_id_is_taken_up_again(cluster: Cluster) -> None:
    client, _ = cluster.session()
    auth = cluster.auth(client)
    assert auth.global_id == client.global_id
    tickets = dict(client.tickets.tickets)
    mon, done = cluster.connect(auth)
    assert done.global_id == client.global_id
    assert mon.status == "known"
    # The old session is as it was: other attempts may still be using it.
    assert client.tickets.tickets == tickets
    assert isinstance(auth.client, CephxClient)
    assert auth.client.tickets.handler(AUTH) != client.tickets.handler(AUTH)
    # Tickets for services that are still good are not asked for again.
    assert auth.client.tickets.handler(OSD) == client.tickets.handler(OSD)
    third = cluster.auth(auth.client)
    _, done = cluster.connect(third)
    assert done.global_id == client.global_id


def test_after_a_long_time_the_old_global_id_is_lost(cluster: Cluster) -> None:
    client, _ = cluster.session()
    for _ in range(3):
        cluster.keys.rotate(AUTH)
    with pytest.raises(
        AuthError, match=r"does not let mds\.a take up its global_id 4100"
    ) as caught:
        cluster.connect(cluster.auth(client))
    assert caught.value.errno == errno.EACCES
    _, done = cluster.connect(cluster.auth())
    assert done.global_id == 4102


def test_several_monitors_at_once(cluster: Cluster) -> None:
    """Attempts with the same past do not meet."""
    client, _ = cluster.session()
    first, second = cluster.auth(client), cluster.auth(client)
    mons = [MonServerAuth(cluster.keys), MonServerAuth(cluster.keys)]
    mores = []
    for auth, mon in zip((first, second), mons, strict=True):
        request = auth.request()
        more = mon.request(request.method, request.modes, request.payload)
        assert isinstance(more, AuthMore)
        mores.append(more)
    for auth, mon, more in reversed(list(zip((first, second), mons, mores, strict=True))):
        done = mon.request_more(auth.reply_more(more.payload))
        assert isinstance(done, AuthDone)
        assert auth.done(done.global_id, done.con_mode, done.payload) == done.keys


# ---- what users get wrong ----


def test_wrong_key_and_unknown_name(cluster: Cluster) -> None:
    wrong = CryptoKey.create(cluster.host.randbytes, 0)
    with pytest.raises(AuthError, match=r"does not accept the key of mds\.a.*ceph auth get mds\.a"):
        cluster.connect(cluster.auth(key=wrong))
    unknown = evolve(cluster.auth(), name=EntityName(MDS, "b"))
    with pytest.raises(AuthError, match=r"does not accept the key of mds\.b"):
        cluster.connect(unknown)


def test_no_key(cluster: Cluster) -> None:
    auth = MonAuth(AuthRegistry(), NAME, None, WANT, cluster.host)
    with pytest.raises(AuthError, match=r"no key for mds\.a") as caught:
        auth.request()
    assert caught.value.errno == errno.ENOENT
    auth = MonAuth(AuthRegistry().without_cephx(), NAME, None, WANT, cluster.host)
    with pytest.raises(AuthError, match="no authentication method is left"):
        auth.request()


def test_methods_that_do_not_meet(cluster: Cluster) -> None:
    auth = cluster.auth(registry=AuthRegistry(cluster_methods=(NONE,)))
    with pytest.raises(AuthError, match=r"allows cephx, and mds\.a may use none"):
        cluster.connect(auth)


def test_the_next_method_is_tried(cluster: Cluster) -> None:
    auth = cluster.auth(registry=AuthRegistry(cluster_methods=(NONE, CEPHX)))
    cluster.connect(auth)
    assert isinstance(auth.client, CephxClient)
    # Never one of the monitor's that is not ours.
    auth = cluster.auth(key=CryptoKey.create(cluster.host.randbytes, 0))
    with pytest.raises(AuthError):
        cluster.connect(auth, allow_none=True)


def test_method_none(cluster: Cluster) -> None:
    auth = cluster.auth(registry=AuthRegistry(cluster_methods=(NONE,)))
    _, done = cluster.connect(auth, allow_none=True)
    client = auth.client
    assert isinstance(client, NoneClient)
    assert client.global_id == done.global_id
    assert done.con_mode == CRC
    assert not client.need_tickets()
    assert client.build_rotating_request() is None
    with pytest.raises(AuthError):
        auth.reply_more(b"")
    ours = ServiceAuth(AuthRegistry(), OSD, client)
    request = ours.request()
    assert request.method == NONE
    assert request.modes == [CRC]
    assert ours.done(0, CRC, b"").session_key == b""
    _, again = cluster.connect(
        cluster.auth(client, registry=AuthRegistry(cluster_methods=(NONE,))), allow_none=True
    )
    assert again.global_id == done.global_id


def test_a_global_id_of_zero(cluster: Cluster) -> None:
    auth = cluster.auth()
    auth.request()
    with pytest.raises(AuthError, match="nobody's"):
        auth.done(0, CRC, b"")


# ---- services that lie ----


def service(cluster: Cluster) -> tuple[ServiceAuth, CryptoKey, Callable[[int, bytes], bytes]]:
    client, _ = cluster.session()
    auth = ServiceAuth(AuthRegistry(), OSD, client)
    auth.request()
    key = client.tickets.handler(OSD).session_key
    nonce = auth._authorizer.nonce  # type: ignore[union-attr]

    def reply(plus: int, secret: bytes) -> bytes:
        answer = CephXAuthorizeReply(2 if secret else 1, nonce + plus, secret)
        return put_sealed(CephXAuthorizeReply, answer, key)

    return auth, key, reply


def test_a_service_must_prove_itself(cluster: Cluster) -> None:
    auth, key, reply = service(cluster)
    assert auth.done(1, CRC, reply(1, b"")).session_key == key.secret
    with pytest.raises(AuthError, match="not ours"):
        auth.done(1, CRC, reply(0, b""))
    with pytest.raises(AuthError, match="did not prove"):
        auth.done(1, CRC, b"")
    with pytest.raises(AuthError, match="no secret"):
        auth.done(1, SECURE, reply(1, b""))
    assert auth.done(1, SECURE, reply(1, b"x" * 64)).connection_secret == b"x" * 64
    with pytest.raises(AuthError, match="challenge"):
        auth.reply_more(bytes(32))


def test_a_refused_ticket_is_renewed(cluster: Cluster) -> None:
    auth, _, _ = service(cluster)
    with pytest.raises(AuthError, match="osd refused our ticket"):
        auth.bad_method(CEPHX, -errno.EACCES, [CEPHX], [CRC])
    assert auth.client.need_tickets()
    with pytest.raises(AuthError, match="allows none"):
        auth.bad_method(CEPHX, -errno.EOPNOTSUPP, [NONE], [CRC])
    with pytest.raises(AuthError, match="before one was sent"):
        ServiceAuth(AuthRegistry(), OSD, auth.client).reply_more(b"")


# ---- the lists of methods and modes ----

OPTIONS = {
    "auth_supported": "",
    "auth_cluster_required": "cephx",
    "auth_service_required": "cephx;none",
    "auth_client_required": "cephx, none",
    "ms_mon_cluster_mode": "secure crc",
    "ms_mon_service_mode": "secure",
    "ms_mon_client_mode": "crc",
    "ms_cluster_mode": "crc secure",
    "ms_service_mode": "crc,what",
    "ms_client_mode": "secure",
}


def test_the_lists_of_the_configuration() -> None:
    mds = AuthRegistry.from_config(OPTIONS.__getitem__)
    assert [mds.supported_methods(t) for t in (MON, MGR, MDS, OSD)] == [(CEPHX,)] * 4
    assert mds.supported_methods(CLIENT) == (CEPHX, NONE)
    assert mds.supported_modes(MON) == mds.supported_modes(MGR) == (SECURE, CRC)
    assert mds.supported_modes(OSD) == mds.supported_modes(MDS) == (CRC, SECURE)
    assert mds.supported_modes(CLIENT) == (CRC,)
    assert mds.supported_modes(MON, NONE) == (CRC,)
    client = AuthRegistry.from_config(OPTIONS.__getitem__, CLIENT)
    assert client.supported_methods(MON) == (CEPHX, NONE)
    assert client.supported_modes(MON) == (CRC,)
    assert client.supported_modes(MDS) == (SECURE,)
    assert not client.accepts(MDS, CEPHX)
    mon = AuthRegistry.from_config(OPTIONS.__getitem__, MON)
    assert mon.supported_modes(MDS) == (SECURE,)
    assert mon.supported_methods(MGR) == (CEPHX,)
    all_none = AuthRegistry.from_config({**OPTIONS, "auth_supported": "none"}.__getitem__)
    assert all_none.supported_methods(MON) == all_none.supported_methods(CLIENT) == (NONE,)
    assert mds.without_cephx().supported_methods(CLIENT) == (NONE,)
    assert mds.without_cephx().supported_methods(MON) == ()


def test_rotating_secrets_that_are_few() -> None:
    assert RotatingSecrets().need_new_secrets()
    assert RotatingSecrets().need_new_secrets(5.0)
