"""The service side: which authorizers are taken, and that all others are refused."""

import errno
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cephx_peers import Issued, KeyServer

from mdsdaemon.cephx.auth import AuthCapsInfo, RotatingSecrets
from mdsdaemon.cephx.crypto import CryptoKey, put_sealed, seal
from mdsdaemon.cephx.plug import AuthBadMethod, AuthDone, AuthError, AuthMore
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import CLOCK_SLACK, MAX_ATTEMPTS, AuthServer, ServiceServerAuth
from mdsdaemon.cephx.tickets import CephxAuthorizer, NoneAuthorizer, RotatingKeyRing
from mdsdaemon.cephx.wire import CephXAuthorize, CephXServiceTicketInfo, CephXTicketBlob
from mdsdaemon.encoding import encode
from mdsdaemon.host import Host
from mdsdaemon.types.entity import AUTH, CLIENT, MDS, MGR, MON, OSD, EntityName

NONE, CEPHX = 1, 2
CRC, SECURE = 1, 2
FOO = EntityName(CLIENT, "foo")
CAPS = AuthCapsInfo.from_text("allow rw path=/home")
HOST = Host.seeded(11)
NOW = HOST.wall()
KEYS = KeyServer(HOST)


def accept(
    peer_type: int = CLIENT,
    *,
    registry: AuthRegistry | None = None,
    ring: RotatingKeyRing | None = None,
    now: float = NOW,
) -> ServiceServerAuth:
    server = AuthServer(registry or AuthRegistry(), ring or KEYS.ring(), HOST.randbytes)
    return server.server_session(peer_type, now)


def ticket(**options: float) -> Issued:
    return KEYS.issue(MDS, FOO, 4242, CAPS, **options)  # type: ignore[arg-type]


def shake(
    session: ServiceServerAuth, authorizer: CephxAuthorizer, modes: list[int] | None = None
) -> AuthMore | AuthDone | AuthBadMethod:
    """Both rounds; the verdict of the last."""
    verdict = session.request(CEPHX, modes or [CRC, SECURE], authorizer.payload)
    if isinstance(verdict, AuthMore):
        verdict = session.request_more(authorizer.add_challenge(verdict.payload))
    return verdict


def refused(
    verdict: AuthMore | AuthDone | AuthBadMethod, why: str, number: int = errno.EACCES
) -> None:
    assert isinstance(verdict, AuthBadMethod)
    assert verdict.result == -number
    assert why in verdict.reason


@pytest.mark.parametrize(
    ("modes", "mode", "secret"), [([1, 2], 1, 0), ([2, 1], 2, 64), ([2], 2, 64)]
)
def test_both_ends_agree(modes: list[int], mode: int, secret: int) -> None:
    issued = ticket()
    authorizer = issued.authorizer(2**64 - 1)
    done = shake(accept(), authorizer, modes)
    assert isinstance(done, AuthDone)
    assert done.con_mode == mode
    assert done.global_id == done.identity.global_id == 4242
    assert done.identity.entity_name == FOO
    assert done.identity.caps == CAPS
    assert done.identity.auth_method == CEPHX
    assert len(done.keys.connection_secret) == secret
    assert authorizer.verify_reply(done.payload) == done.keys
    assert done.keys.session_key == issued.session_key.secret


def test_every_connection_has_its_own_challenge() -> None:
    authorizer = ticket().authorizer(1)
    first, second = accept(), accept()
    one = first.request(CEPHX, [CRC], authorizer.payload)
    two = second.request(CEPHX, [CRC], authorizer.payload)
    assert isinstance(one, AuthMore)
    assert isinstance(two, AuthMore)
    assert one.payload != two.payload
    refused(second.request_more(authorizer.add_challenge(one.payload)), "replay")


def test_a_recorded_answer_is_of_no_use() -> None:
    authorizer = ticket().authorizer(1)
    session = accept()
    more = session.request(CEPHX, [CRC], authorizer.payload)
    assert isinstance(more, AuthMore)
    answer = authorizer.add_challenge(more.payload)
    assert isinstance(session.request_more(answer), AuthDone)
    # As a first authorizer it only gets a challenge; as an answer it is to another challenge.
    thief = accept()
    assert isinstance(thief.request(CEPHX, [CRC], answer), AuthMore)
    refused(thief.request_more(answer), "replay")
    with pytest.raises(AuthError):
        thief.request_more(answer)  # the challenge is gone


def test_the_first_authorizer_again_is_no_answer() -> None:
    authorizer = ticket().authorizer(1)
    session = accept()
    assert isinstance(session.request(CEPHX, [CRC], authorizer.payload), AuthMore)
    refused(session.request_more(authorizer.payload), "replay")


def test_a_guess_without_the_session_key() -> None:
    issued = ticket()
    thief = CephxAuthorizer(
        MDS, issued.authorizer(1).base, CryptoKey.create(HOST.randbytes, NOW), nonce=1
    )
    refused(accept().request(CEPHX, [CRC], thief.payload), "does not decrypt")


def test_an_answer_before_a_challenge() -> None:
    with pytest.raises(AuthError, match="was not given"):
        accept().request_more(ticket().authorizer(1).payload)


def test_tickets_expire() -> None:
    authorizer = ticket().authorizer(1)
    limit = NOW + KEYS.service_ttl + CLOCK_SLACK
    assert isinstance(shake(accept(now=limit - 1), authorizer), AuthDone)
    refused(shake(accept(now=limit + 1), authorizer), "expired")
    # A monitor whose clock is ahead of ours gives tickets that begin later; they are good.
    assert isinstance(shake(accept(now=NOW - 7200), authorizer), AuthDone)


def test_a_ticket_for_another_service() -> None:
    for service in (OSD, MGR, MON, AUTH):
        authorizer = KEYS.issue(service, FOO, 4242, CAPS).authorizer(1)
        refused(shake(accept(), authorizer), "this is a mds")


def test_a_ticket_for_another_service_under_our_number() -> None:
    """The osd's ticket, said to be the mds's: our secret does not open it."""
    issued = KEYS.issue(OSD, FOO, 4242, CAPS)
    issued.service = MDS
    refused(shake(accept(), issued.authorizer(1)), "does not")


@pytest.mark.parametrize("secret_id", [0, 9, 2**64 - 1])
def test_unknown_secret_id(secret_id: int) -> None:
    issued = ticket()
    issued.blob.secret_id = secret_id
    refused(shake(accept(), issued.authorizer(1)), "known here: 1, 2, 3")


def test_secrets_rotate() -> None:
    keys = KeyServer(Host.seeded(5))
    issued = [keys.issue(MDS, FOO, 1, secret_id=n) for n in (1, 2, 3)]
    for one in issued:
        assert isinstance(shake(accept(ring=keys.ring()), one.authorizer(1)), AuthDone)
    keys.rotate(MDS)
    refused(shake(accept(ring=keys.ring()), issued[0].authorizer(1)), "too old")
    assert isinstance(shake(accept(ring=keys.ring()), issued[1].authorizer(1)), AuthDone)


def test_without_secrets_nothing_is_taken() -> None:
    empty = RotatingKeyRing(MDS, RotatingSecrets())
    refused(shake(accept(ring=empty), ticket().authorizer(1)), "known here: none")


def test_claiming_another_global_id() -> None:
    refused(shake(accept(), ticket().authorizer(1, global_id=4243)), "claims global_id 4243")


def test_a_ticket_without_session_key() -> None:
    issued = ticket()
    issued.info.session_key = CryptoKey()
    secret = KEYS.rotating[MDS].secrets[issued.blob.secret_id].key
    issued.blob.blob = seal(CephXServiceTicketInfo, issued.info, secret)
    refused(accept().request(CEPHX, [CRC], issued.authorizer(1).payload), "no session key")


@pytest.mark.parametrize("peer_type", [MON, OSD, MDS, MGR])
def test_cluster_daemons_must_be_what_they_say(peer_type: int) -> None:
    """A client's ticket does not make a monitor of it."""
    refused(shake(accept(peer_type), ticket().authorizer(1)), "proves to be client.foo")
    daemon = KEYS.issue(MDS, EntityName(peer_type, "x"), 7)
    assert isinstance(shake(accept(peer_type), daemon.authorizer(1)), AuthDone)
    # A manager's modules mount the file system as clients, with the manager's key.
    assert isinstance(shake(accept(CLIENT), daemon.authorizer(1)), AuthDone)


# ---- methods and modes ----


def test_none_only_where_it_is_allowed() -> None:
    claim = NoneAuthorizer(EntityName(CLIENT, "admin"), 99).payload
    refused(accept().request(NONE, [CRC], claim), "auth_service_required", errno.EOPNOTSUPP)
    lax_clients = AuthRegistry(service_methods=(CEPHX, NONE))
    done = accept(registry=lax_clients).request(NONE, [SECURE, CRC], claim)
    assert isinstance(done, AuthDone)
    assert done.con_mode == CRC
    assert done.global_id == 99
    assert done.identity.caps.allow_all
    assert done.identity.auth_method == NONE
    assert done.keys.session_key == b""
    osd = NoneAuthorizer(EntityName(OSD, "0"), 3).payload
    for peer_type in (MON, OSD, MDS, MGR):
        verdict = accept(peer_type, registry=lax_clients).request(NONE, [CRC], osd)
        refused(verdict, "auth_cluster_required", errno.EOPNOTSUPP)
    lax_cluster = AuthRegistry(cluster_methods=(NONE,))
    assert isinstance(accept(OSD, registry=lax_cluster).request(NONE, [CRC], osd), AuthDone)
    refused(accept(MON, registry=lax_cluster).request(NONE, [CRC], osd), "proves to be osd.0")
    refused(
        accept(OSD, registry=lax_cluster).request(CEPHX, [CRC], ticket().authorizer(1).payload),
        "method cephx is not allowed",
        errno.EOPNOTSUPP,
    )
    refused(
        accept(registry=lax_clients).request(NONE, [SECURE], claim),
        "connection modes",
        errno.EOPNOTSUPP,
    )


def test_modes() -> None:
    only_secure = AuthRegistry(service_modes=(SECURE,))
    verdict = shake(accept(registry=only_secure), ticket().authorizer(1), [CRC])
    refused(verdict, "connection modes [1]", errno.EOPNOTSUPP)
    assert isinstance(verdict, AuthBadMethod)
    assert verdict.methods == [CEPHX]
    assert verdict.modes == [SECURE]
    done = shake(accept(registry=only_secure), ticket().authorizer(1), [CRC, SECURE])
    assert isinstance(done, AuthDone)
    assert done.con_mode == SECURE


@pytest.mark.parametrize("method", [0, 3, 4, 2**32 - 1])
def test_unknown_methods(method: int) -> None:
    refused(accept().request(method, [CRC], b"\x01"), "not allowed", errno.EOPNOTSUPP)


def test_a_refused_peer_may_try_again_and_not_for_ever() -> None:
    session = accept()
    for _ in range(MAX_ATTEMPTS - 1):
        refused(session.request(CEPHX, [CRC], b""), "no authorizer")
    assert isinstance(shake(session, ticket().authorizer(1)), AuthDone)
    with pytest.raises(AuthError, match="gave up"):
        session.request(CEPHX, [CRC], b"")


def test_a_monitor_session_is_not_served() -> None:
    refused(accept().request(CEPHX, [CRC], b"\x0a" + bytes(30)), "mode 10")


# ---- altered bytes ----


def test_cut_anywhere() -> None:
    payload = ticket().authorizer(1).payload
    for end in range(len(payload)):
        verdict = accept().request(CEPHX, [CRC], payload[:end])
        assert isinstance(verdict, AuthBadMethod)
        assert verdict.result == -errno.EACCES


def _answer(session: ServiceServerAuth, issued: Issued) -> bytes:
    authorizer = issued.authorizer(1)
    more = session.request(CEPHX, [CRC], authorizer.payload)
    assert isinstance(more, AuthMore)
    return authorizer.add_challenge(more.payload)


def test_any_bit_of_the_answer_flipped() -> None:
    """In the ticket, around it, and in what is under the session key."""
    issued = KEYS.issue(MDS, FOO, 4242, AuthCapsInfo.from_text("allow rw path='/" + "x" * 64 + "'"))
    length = len(_answer(accept(), issued))
    for at in range(length * 8):
        session = accept()
        answer = bytearray(_answer(session, issued))
        answer[at // 8] ^= 1 << at % 8
        verdict = session.request_more(bytes(answer))
        if isinstance(verdict, AuthDone):
            # None of these says anything about the peer: the version bytes of the authorizer and
            # of the ticket's wrapping, and the nonce, which only the peer looks at.
            assert at // 8 in (0, 13) or at // 8 >= length - 48
            assert verdict.identity.entity_name == FOO
            assert verdict.identity.caps.caps == issued.info.ticket.caps.caps
            assert verdict.keys.session_key == issued.session_key.secret


def test_bytes_after_the_authorizer() -> None:
    session = accept()
    refused(session.request_more(_answer(session, ticket()) + b"\0"), "follow")


def _reseal(change: Callable[[CephXServiceTicketInfo], bytes]) -> Issued:
    issued = ticket()
    secret = KEYS.rotating[MDS].secrets[issued.blob.secret_id].key
    head = b"\x01" + 0xFF009CAD8826AA55.to_bytes(8, "little")
    issued.blob.blob = secret.encrypt(head + change(issued.info))
    return issued


def test_tickets_not_as_ceph_writes_them() -> None:
    def with_auid(info: CephXServiceTicketInfo) -> bytes:
        info.ticket.auid = 0
        return encode(CephXServiceTicketInfo, info)

    def with_tail(info: CephXServiceTicketInfo) -> bytes:
        return encode(CephXServiceTicketInfo, info) + b"\0"

    def with_noise(info: CephXServiceTicketInfo) -> bytes:
        raw = encode(CephXServiceTicketInfo, info)
        return raw.replace(b"path=/", b"path=\xff")

    def with_control(info: CephXServiceTicketInfo) -> bytes:
        return encode(CephXServiceTicketInfo, info).replace(b"foo", b"f\x01o")

    for change in (with_auid, with_tail, with_noise, with_control):
        verdict = accept().request(CEPHX, [CRC], _reseal(change).authorizer(1).payload)
        refused(verdict, "altered")

    def of_the_future(info: CephXServiceTicketInfo) -> bytes:
        return b"\x02" + encode(CephXServiceTicketInfo, info)[1:] + b"new"

    assert isinstance(shake(accept(), _reseal(of_the_future).authorizer(1)), AuthDone)


@given(st.binary(max_size=300), st.sampled_from([NONE, CEPHX]))
def test_any_bytes(payload: bytes, method: int) -> None:
    registry = AuthRegistry(service_methods=(CEPHX, NONE))
    session = accept(registry=registry)
    verdict = session.request(method, [CRC], payload)
    assert not isinstance(verdict, AuthMore)
    session = accept(registry=registry)
    issued = ticket()
    if isinstance(session.request(CEPHX, [CRC], issued.authorizer(1).payload), AuthMore):
        assert isinstance(session.request_more(payload), AuthBadMethod)


@given(st.binary(max_size=200))
def test_any_sealed_bytes(plain: bytes) -> None:
    """Whoever has the service's secret can still not make the decoder fail otherwise."""
    issued = ticket()
    secret = KEYS.rotating[MDS].secrets[2].key
    head = b"\x01" + 0xFF009CAD8826AA55.to_bytes(8, "little")
    issued.blob = CephXTicketBlob(2, secret.encrypt(head + plain))
    assert isinstance(accept().request(CEPHX, [CRC], issued.authorizer(1).payload), AuthBadMethod)


def test_a_challenge_answered_by_version_1_of_the_authorizer() -> None:
    """Clients without challenge support (before 2018) are not let in."""
    issued = ticket()
    session = accept()
    authorizer = issued.authorizer(1)
    assert isinstance(session.request(CEPHX, [CRC], authorizer.payload), AuthMore)
    old = authorizer.base + put_sealed(CephXAuthorize, CephXAuthorize(1), issued.session_key)
    refused(session.request_more(old), "challenge")
