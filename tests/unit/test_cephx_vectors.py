"""What Ceph 16.2.15 itself said: our bytes are the same as its bytes, on both sides."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cephx_peers import KeyServer

from mdsdaemon.cephx.client import CephxClient, MonAuth
from mdsdaemon.cephx.crypto import CryptoKey, get_sealed, unseal
from mdsdaemon.cephx.plug import AuthDone, AuthMore
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import AuthServer
from mdsdaemon.cephx.tickets import CephxAuthorizer, RotatingKeyRing, cursor
from mdsdaemon.cephx.wire import (
    CephXAuthenticate,
    CephXAuthorize,
    CephXAuthorizeChallenge,
    CephXAuthorizeReply,
    CephXServiceTicketInfo,
    CephXTicketBlob,
)
from mdsdaemon.encoding import decode
from mdsdaemon.host import Host
from mdsdaemon.types.entity import AUTH, CLIENT, MDS, MGR, MON, OSD, EntityName, type_name

DATA = json.loads((Path(__file__).parent / "data" / "cephx_16_2_15.json").read_text())
ADMIN = EntityName(CLIENT, "admin")
PY = EntityName(MDS, "py")


def raw(shake: str, part: str) -> bytes:
    return bytes.fromhex(DATA[shake][part])


def host(*answers: bytes) -> Host:
    """A host whose random bytes are the given ones, in order; its clock is the recording's."""
    left = list(answers)

    def randbytes(count: int) -> bytes:
        answer = left.pop(0)
        assert len(answer) == count
        return answer

    seeded = Host.seeded(1)
    return Host(lambda: float(DATA["captured_at"]), randbytes, seeded.rng)


def as_bytes(number: int) -> bytes:
    return number.to_bytes(8, "little")


def admin_session() -> CephxClient:
    """Replays client.admin's handshake with the monitor, comparing what we say."""
    answer = raw("mon", "answer")
    authenticate = decode(CephXAuthenticate, answer[2:])
    auth = MonAuth(
        AuthRegistry(CLIENT, cluster_methods=(2,)),
        ADMIN,
        CryptoKey.from_base64(DATA["admin_key"]),
        MON | OSD | MDS | MGR,
        host(as_bytes(authenticate.client_challenge)),
    )
    client = CephxClient(ADMIN, CryptoKey.from_base64(DATA["admin_key"]), 0, auth.host)
    client.want = authenticate.other_keys  # librados wants no mds ticket here
    auth.previous = client
    assert auth.request().payload == raw("mon", "request")
    assert auth.reply_more(raw("mon", "challenge")) == answer
    keys = auth.done(DATA["mon"]["global_id"], DATA["mon"]["con_mode"], raw("mon", "done"))
    assert len(keys.session_key) == 16
    assert len(keys.connection_secret) == 64
    assert isinstance(auth.client, CephxClient)
    return auth.client


def test_a_monitor_session_as_librados_makes_it() -> None:
    client = admin_session()
    assert client.global_id == DATA["mon"]["global_id"]
    assert {type_name(s) for s in client.tickets.tickets} == {"auth", "mon", "osd", "mgr"}
    assert not client.need_tickets()
    now = client.host.wall()
    assert client.tickets.handler(AUTH).expires == now + 259200
    assert client.tickets.handler(MGR).renew_after == now + 2700


def sealed_part(payload: bytes) -> tuple[int, CephXTicketBlob, Any]:
    c = cursor(payload, "test")
    c.skip(1 + 8 + 4)
    return c.offset, c.get(CephXTicketBlob), c


def test_an_authorizer_as_librados_makes_it() -> None:
    """To the mgr, in secure mode."""
    client = admin_session()
    session_key = client.tickets.handler(MGR).session_key
    _, blob, c = sealed_part(raw("mgr", "request"))
    assert blob == client.tickets.handler(MGR).ticket
    nonce = get_sealed(CephXAuthorize, c, session_key).nonce
    client.host = host(as_bytes(nonce))
    authorizer = client.build_authorizer(MGR)
    assert authorizer.payload == raw("mgr", "request")
    assert authorizer.add_challenge(raw("mgr", "challenge")) == raw("mgr", "answer")
    keys = authorizer.verify_reply(raw("mgr", "done"))
    assert keys.session_key == session_key.secret
    assert len(keys.connection_secret) == 64


def mds_ring() -> RotatingKeyRing:
    ring = RotatingKeyRing(MDS)
    client = CephxClient(PY, CryptoKey.from_base64(DATA["mds_key"]), MON, host(), ring)
    assert client.handle_response(0, bytes.fromhex(DATA["rotating_reply"])) is False
    return ring


def test_rotating_secrets() -> None:
    ring = mds_ring()
    assert sorted(ring.secrets.secrets) == [1, 2, 3]
    assert not ring.need_new_secrets(DATA["captured_at"])
    assert ring.get_service_secret(OSD, 2) is None
    assert ring.get_service_secret(MDS, 4) is None


def test_we_answer_as_ceph_mds_answered() -> None:
    """The service side with the recorded secrets and challenge: byte for byte the same."""
    ring = mds_ring()
    _, blob, _ = sealed_part(raw("mds", "request"))
    secret = ring.get_service_secret(MDS, blob.secret_id)
    assert secret is not None
    info = unseal(CephXServiceTicketInfo, blob.blob, secret)
    challenge = unseal(CephXAuthorizeChallenge, raw("mds", "challenge"), info.session_key)
    server = AuthServer(AuthRegistry(), ring, host(as_bytes(challenge.server_challenge)).randbytes)
    session = server.server_session(CLIENT, DATA["captured_at"])
    more = session.request(2, DATA["mds"]["modes"], raw("mds", "request"))
    assert isinstance(more, AuthMore)
    assert more.payload == raw("mds", "challenge")
    done = session.request_more(raw("mds", "answer"))
    assert isinstance(done, AuthDone)
    assert done.payload == raw("mds", "done")
    assert done.con_mode == DATA["mds"]["con_mode"]
    assert done.global_id == DATA["mds"]["global_id"]
    assert done.identity.entity_name == ADMIN
    assert done.identity.caps.caps == b"\x07\0\0\0allow *"
    assert done.keys.session_key == info.session_key.secret
    assert done.keys.connection_secret == b""


@pytest.mark.parametrize("shake", ["mds", "mgr"])
def test_replies_are_read(shake: str) -> None:
    ring = mds_ring()
    if shake == "mds":
        _, blob, _ = sealed_part(raw("mds", "request"))
        secret = ring.get_service_secret(MDS, blob.secret_id)
        assert secret is not None
        key = unseal(CephXServiceTicketInfo, blob.blob, secret).session_key
    else:
        key = admin_session().tickets.handler(MGR).session_key
    done = raw(shake, "done")
    reply = get_sealed(CephXAuthorizeReply, cursor(done, "test"), key)
    c = cursor(raw(shake, "answer"), "test")
    c.skip(13)
    c.get(CephXTicketBlob)
    assert reply.nonce_plus_one == get_sealed(CephXAuthorize, c, key).nonce + 1


def test_no_secret_is_in_any_repr() -> None:
    client = admin_session()
    server = KeyServer(Host.seeded(3))
    issued = server.issue(MDS, ADMIN, 5)
    authorizer = issued.authorizer(7)
    assert isinstance(authorizer, CephxAuthorizer)
    for thing in (client, client.tickets, mds_ring(), authorizer, issued.info):
        text = repr(thing)
        for key in (client.key, client.tickets.handler(MGR).session_key, issued.session_key):
            assert repr(key.secret) not in text
            assert key.to_base64() not in text
            assert key.secret.hex() not in text
