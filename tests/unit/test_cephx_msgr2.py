"""cephx in msgr2's handshake, both ends ours: keys that agree, refusals told and logged."""

from collections.abc import Callable

import pytest
from tests.unit.cephx_peers import KeyServer, MonServerAuth
from tests.unit.msgr2_peers import LOSSY_CLIENT, STATELESS_SERVER, Pair, make_registry

from mdsdaemon.cephx.client import CephxClient, MonAuth, ServiceAuth
from mdsdaemon.cephx.plug import CEPH_AUTH_NONE, AuthError
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import AuthServer
from mdsdaemon.host import Host
from mdsdaemon.msgr2.auth import ClientAuth, ServerAuth
from mdsdaemon.msgr2.events import AuthRefused
from mdsdaemon.msgr2.wire import Wire
from mdsdaemon.types.entity import CLIENT, MDS, MON, EntityAddrVec, EntityName

CRC, SECURE = 1, 2
HOST = Host.seeded(21)
NAME = EntityName(CLIENT, "foo")


def joined(
    ours: ClientAuth, theirs: Callable[[int], ServerAuth], my_type: int, peer_type: int
) -> Pair:
    """A client of ``my_type`` and a server of ``peer_type``, nothing said yet."""
    client, server = make_registry(6801, kind=my_type), make_registry(6802, kind=peer_type)
    target = server.endpoint.addrs.addrs[0]
    session = client.connect_session(peer_type, EntityAddrVec.of(target), LOSSY_CLIENT)
    return Pair(
        client,
        server,
        session,
        Wire.client(client, session, ours, target),
        Wire.server(server, theirs, lambda _: STATELESS_SERVER, client.endpoint.addrs.addrs[0]),
    )


def mon_session(keys: KeyServer, mode: int) -> CephxClient:
    key = keys.entities[NAME].key
    registry = AuthRegistry(my_type=CLIENT, mon_client_modes=(mode,))
    auth = MonAuth(registry, NAME, key, MDS | MON, HOST)
    pair = joined(auth, lambda _: MonServerAuth(keys), CLIENT, MON)
    pair.run()
    assert pair.ready
    assert pair.client.con_mode == mode
    assert isinstance(auth.client, CephxClient)
    return auth.client


@pytest.fixture
def keys() -> KeyServer:
    keys = KeyServer(HOST)
    keys.add(NAME, mds="allow *")
    return keys


@pytest.mark.parametrize("mode", [CRC, SECURE])
def test_monitor_then_service(keys: KeyServer, mode: int) -> None:
    client = mon_session(keys, mode)
    server = AuthServer(AuthRegistry(), keys.ring(), HOST.randbytes)
    ours = ServiceAuth(AuthRegistry(my_type=CLIENT, client_modes=(mode,)), MDS, client)
    pair = joined(ours, lambda t: server.server_session(t, HOST.wall()), CLIENT, MDS)
    pair.run()
    assert pair.ready
    assert pair.server.con_mode == mode
    identity = pair.server.identity
    assert identity is not None
    assert identity.entity_name == NAME
    assert identity.global_id == client.global_id
    assert identity.caps.caps == keys.entities[NAME].caps["mds"]


def test_a_refusal_is_told_and_its_reason_logged(keys: KeyServer) -> None:
    client = mon_session(keys, CRC)
    for _ in range(3):
        keys.rotate(MDS)
    server = AuthServer(AuthRegistry(), keys.ring(), HOST.randbytes)
    ours = ServiceAuth(AuthRegistry(my_type=CLIENT), MDS, client)
    pair = joined(ours, lambda t: server.server_session(t, HOST.wall()), CLIENT, MDS)
    with pytest.raises(AuthError, match="mds refused our ticket"):
        pair.run()
    refusals = [event for event in pair.server_events if isinstance(event, AuthRefused)]
    assert [refusal.result for refusal in refusals] == [-13]
    assert "it is too old" in refusals[0].reason
    assert pair.server.identity is None
    assert not pair.server.is_ready


def test_a_client_that_says_it_is_a_monitor(keys: KeyServer) -> None:
    client = mon_session(keys, CRC)
    server = AuthServer(AuthRegistry(), keys.ring(), HOST.randbytes)
    ours = ServiceAuth(AuthRegistry(my_type=CLIENT), MDS, client)
    pair = joined(ours, lambda t: server.server_session(t, HOST.wall()), MON, MDS)
    with pytest.raises(AuthError):
        pair.run()
    assert pair.server.identity is None


def test_method_none_where_it_is_allowed(keys: KeyServer) -> None:
    only_none = AuthRegistry(my_type=CLIENT, client_methods=(CEPH_AUTH_NONE,))
    mon = MonAuth(only_none, NAME, None, MDS, HOST)
    pair = joined(mon, lambda _: MonServerAuth(keys, allow_none=True), CLIENT, MON)
    pair.run()
    assert pair.ready
    assert mon.client is not None
    lax = AuthRegistry(service_methods=(CEPH_AUTH_NONE,))
    for registry, allowed in ((lax, True), (AuthRegistry(), False)):
        server = AuthServer(registry, keys.ring(), HOST.randbytes)
        ours = ServiceAuth(only_none, MDS, mon.client)
        pair = joined(ours, lambda t, s=server: s.server_session(t, 0.0), CLIENT, MDS)  # type: ignore[misc]
        if allowed:
            pair.run()
            assert pair.ready
            assert pair.server.identity is not None
            assert pair.server.identity.caps.allow_all
        else:
            with pytest.raises(AuthError, match="allows cephx, and none was used"):
                pair.run()
