"""Tickets and rotating secrets stay fresh; methods, keys and options at the start."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
from tests.trio.fake_mon import (
    MDS_A,
    FakeCluster,
    eventually,
    join,
    start_client,
    start_mons,
)
from trio.testing import MockClock

from mdsdaemon.cephx.keyring import KeyringError
from mdsdaemon.cephx.plug import AuthError
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.messages.auth import MAuth
from mdsdaemon.types.entity import AUTH, CLIENT, MDS, MGR, MON, OSD, EntityAddrVec, EntityName

PEER = EntityAddrVec.parse("v2:10.0.8.8:6800/1")


def auths(cluster: FakeCluster) -> int:
    return sum(isinstance(m, MAuth) for mon in cluster.mons.values() for m in mon.received)


async def test_rotating_secrets_arrive_before_anybody_is_served(
    autojump_clock: MockClock,
) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        assert await client.monc.wait_auth_rotating(5)
        ring = client.monc.rotating
        assert ring is not None
        assert ring.secrets == cluster.keys.rotating[MDS]
        assert await client.monc.wait_auth_rotating(0)
        nursery.cancel_scope.cancel()


async def test_waiting_for_rotating_secrets_has_an_end(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    cluster.mons["a"].answer_auth = False
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        start = trio.current_time()
        assert not await client.monc.wait_auth_rotating(12)
        assert trio.current_time() - start == pytest.approx(12, abs=0.1)
        assert 8 <= auths(cluster) <= 16  # asked again, but not all the time
        cluster.mons["a"].answer_auth = True
        assert await client.monc.wait_auth_rotating(5)
        nursery.cancel_scope.cancel()


async def test_no_rotating_secrets_for_a_client(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    admin = EntityName(CLIENT, "admin")
    cluster.keys.add(admin, mon="allow *")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, name=admin)
        await join(client)
        assert await client.monc.wait_auth_rotating(0)
        await trio.sleep(100)
        assert auths(cluster) == 0
        nursery.cancel_scope.cancel()


async def test_hours_with_tickets_of_five_minutes(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("ab", service_ttl=300, mon_ttl=3600)
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, auth_service_ticket_ttl="300")
        await join(client)
        assert await client.monc.wait_auth_rotating(5)
        gid = client.monc.global_id

        async def rotate(interval: float, *services: int) -> None:
            while True:
                await trio.sleep(interval)
                for service in services:
                    cluster.keys.rotate(service)

        nursery.start_soon(rotate, 300, MON, OSD, MDS, MGR)
        nursery.start_soon(rotate, 3600, AUTH)
        for _ in range(5 * 60):
            await trio.sleep(60)
            wall = cluster.host.wall()
            for service in (OSD, MDS, MGR):
                assert client.monc.auth is not None
                client.monc.auth.build_authorizer(service)
            ring = client.monc.rotating
            assert ring is not None
            assert not ring.need_new_secrets(wall - 75 - 10)
        assert client.monc.global_id == gid
        assert client.monc.is_connected
        # tickets at three quarters of their time, secrets at each rotation: no more than that
        assert auths(cluster) < 5 * 60 * 60 / 300 * 4
        nursery.cancel_scope.cancel()


async def test_a_refused_renewal_is_logged_and_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = FakeCluster.make("a", service_ttl=300)
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster, auth_service_ticket_ttl="300")
        await join(client)
        mon = cluster.mons["a"]
        mon.auth_result = -errno.EACCES
        await trio.sleep(400)
        assert "renewing tickets and keys" in caplog.text
        assert client.monc.is_connected
        mon.auth_result = 0
        cluster.keys.rotate(MDS)
        assert await client.monc.wait_auth_rotating(30)
        nursery.cancel_scope.cancel()


async def test_connections_to_services_show_tickets(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        with pytest.raises(AuthError, match="no monitor session yet"):
            client.monc.client_session(OSD, PEER)
        await join(client)
        request = client.monc.client_session(OSD, PEER).request()
        assert request.method == 2
        assert request.payload[0] == 1
        verdict = client.monc.server_session(CLIENT, cluster.host.wall()).request(2, [1], b"\x01")
        assert getattr(verdict, "result", 0) == -errno.EACCES
        nursery.cancel_scope.cancel()


async def test_no_session_with_monitors_that_nobody_hunts(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        client = await start_client(nursery, cluster)
        with pytest.raises(AuthError, match="is wanted"):
            client.monc.client_session(MON, PEER)
        nursery.cancel_scope.cancel()


async def test_method_none_where_the_cluster_allows_it(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    cluster = FakeCluster.make("a")
    cluster.mons["a"].allow_none = True
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(
            nursery,
            cluster,
            keyring=str(tmp_path / "missing"),
            auth_cluster_required="none",
            auth_service_required="none",
            auth_client_required="none",
        )
        await join(client)
        assert client.monc.auth is not None
        assert client.monc.auth.method == 1
        assert await client.monc.wait_auth_rotating(0)
        nursery.cancel_scope.cancel()


async def test_no_keyring_says_where_it_looked(autojump_clock: MockClock, tmp_path: Path) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyringError, match="missing"):
            await start_client(nursery, cluster, keyring=str(tmp_path / "missing"))
        nursery.cancel_scope.cancel()


async def test_no_method_at_all_is_an_error(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        with pytest.raises(MonClientError, match=r"no authentication method .* for mds\.a"):
            await start_client(nursery, cluster, auth_cluster_required="gss")
        nursery.cancel_scope.cancel()


async def test_options_about_methods_work_at_once(autojump_clock: MockClock) -> None:
    cluster = FakeCluster.make("a")
    async with trio.open_nursery() as nursery:
        await start_mons(nursery, cluster)
        client = await start_client(nursery, cluster)
        await join(client)
        con = client.monc._hunter.active
        assert con is not None
        await eventually(lambda: con.con.con_mode == 2)
        client.config.set_val("ms_mon_cluster_mode", "crc")
        cluster.network.cut()
        await eventually(lambda: client.monc._hunter.active not in (None, con))
        again = client.monc._hunter.active
        assert again is not None
        await eventually(lambda: again.con.con_mode == 1)
        assert MDS_A in cluster.keys.entities
        nursery.cancel_scope.cancel()
