"""A daemon's life against a monitor on a memory network, on virtual time."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
import trio
from tests.trio.daemon_kit import a_cluster
from trio.testing import MockClock

from mdsdaemon.daemon import runner
from mdsdaemon.daemon.commands.tell import MAX_QUEUED
from mdsdaemon.daemon.mds_daemon import MAX_UNREAD
from mdsdaemon.daemon.outcome import End
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.maps.compat_set import get_compat_set_all
from mdsdaemon.maps.mds_map import EPOCH_NULL_MAP, MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.net.memory_network import LinkSettings
from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.types.entity import CLIENT
from mdsdaemon.types.entity import MDS as MDS_TYPE


async def test_becomes_standby_and_stays(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        boot = cluster.mon.beacons[0]
        assert (boot.state, boot.seq, boot.version, boot.name) == (State.BOOT, 1, 0, "a")
        assert boot.compat == get_compat_set_all()
        assert boot.sys_info["addr"].startswith("v2:10.0.1.1:6800/")
        assert boot.sys_info["ceph_release"] == "pacific"
        await trio.sleep(400)
        assert mds.state == State.STANDBY
        standby = cluster.mon.beacons[1:]
        assert {b.state for b in standby} == {State.STANDBY}
        assert [b.seq for b in standby] == list(range(2, len(standby) + 2))
        assert 95 <= len(standby) <= 101, "every four seconds"
        assert standby[-1].sys_info == {}
        assert not mds.daemon.beacon.is_laggy()
        assert mds.daemon.messenger.my_addrs == cluster.mon.mdsmap.mds_info[mds.gid].addrs


async def test_flight_record_has_the_nursery_tree(autojump_clock: MockClock) -> None:
    recorder = FlightRecorder(1000, wall=trio.current_time)
    async with a_cluster() as cluster, cluster.standby("a", _recorder=recorder) as mds:
        await mds.command('{"prefix": "status"}')
        await mds.stop()
    events = [(kind, fields) for _, kind, fields in recorder.events()]
    started = [f["task"] for kind, f in events if kind == "task.start"]
    assert started == [
        *("messenger", "commands", "monitor session", "beacon", "tick", "manager session"),
    ]
    ended = [f["task"] for kind, f in events if kind == "task.end"]
    assert sorted(ended) == sorted(started)
    assert ended[-2:] == ["monitor session", "messenger"], "shutdown order is nesting order"
    kinds = {kind for kind, _ in events}
    assert {"mdsmap", "want_state", "command", "suicide", "message.in", "message.out"} <= kinds


async def test_leaving_the_block_says_goodbye(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster:
        async with cluster.standby("a") as mds:
            gid = mds.gid
        assert cluster.mon.beacons[-1].state == State.DNE
        assert gid not in cluster.mon.mdsmap.mds_info
        assert mds.outcome is not None
        assert (mds.outcome.end, mds.outcome.clean) == (End.EXIT, True)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_signal_leaves_once(autojump_clock: MockClock, signum: int) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        daemon = mds.daemon
        began = trio.current_time()
        daemon.handle_signal(signum)
        daemon.handle_signal(signum)
        await mds.stop()
        assert trio.current_time() - began < 0.95
        assert [b.state for b in cluster.mon.beacons].count(State.DNE) == 1


async def test_goodbye_waits_no_longer_than_it_may(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        cluster.mon.answering = False
        began = trio.current_time()
        await mds.stop()
        assert 0.5 < trio.current_time() - began <= 0.96
        assert cluster.mon.beacons[-1].state == State.DNE


async def test_no_goodbye_when_the_map_does_not_have_us(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.daemon("a") as mds:
        cluster.mon.takes_standbys = False
        await cluster.nursery.start(mds.run)
        await cluster.mon.hear_state(State.BOOT)
        began = trio.current_time()
        await mds.stop()
        assert trio.current_time() - began < 0.01
        assert {b.state for b in cluster.mon.beacons} == {State.BOOT}


async def test_suicide_before_any_monitor_answers(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.daemon("a") as mds:
        cluster.network.crash("10.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mds.run)
            await trio.sleep(100)
            assert mds.lives == 1
            mds.daemon.handle_signal(signal.SIGTERM)
        assert mds.outcome is not None
        assert mds.outcome.end is End.EXIT


async def test_removed_from_the_map_respawns_with_a_new_gid(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        gid, nonce = mds.gid, mds.daemon.messenger.nonce
        began = trio.current_time()
        cluster.mon.fail(gid)
        await mds.wait_for_life(2)
        await mds.wait_for_state("up:standby")
        assert trio.current_time() - began < 5
        assert mds.gid != gid
        assert mds.daemon.messenger.nonce != nonce
        assert not [b for b in cluster.mon.beacons if b.state == State.DNE], "no goodbye"


async def test_empty_map_of_a_newer_monitor_respawns(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        cluster.mon.send_map(cluster.mon.cons[mds.gid], MDSMap(), EPOCH_NULL_MAP)
        await mds.wait_for_life(2)
        await mds.wait_for_state("up:standby")


async def test_old_and_broken_maps_are_passed_over(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        from mdsdaemon.messages.mds import MMDSMap

        con = cluster.mon.cons[mds.gid]
        have = mds.mdsmap.epoch
        cluster.mon.send_map(con, MDSMap(), have)
        con.send_message(MMDSMap(fsid=cluster.mon.beacons[0].fsid, epoch=have + 5, encoded=b"\5"))
        await trio.sleep(10)
        assert mds.mdsmap.epoch == have
        assert mds.state == State.STANDBY
        assert "cannot decode MDS map" in caplog.text


async def test_unknown_compat_feature_ends_the_daemon(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        cluster.mon.mdsmap.compat.incompat.insert(12, "quiesce subvolumes")
        cluster.mon.publish()
        await mds.wait_ended()
        assert mds.outcome is not None
        assert "quiesce subvolumes" in mds.outcome.reason
        assert cluster.mon.beacons[-1].state == State.DNE


async def test_laggy_when_nobody_answers_and_no_more_afterwards(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        await trio.sleep(5)
        beacon = mds.daemon.beacon
        cluster.mon.answering = False
        await trio.sleep(13)
        assert not beacon.is_laggy()
        await trio.sleep(4)
        assert beacon.is_laggy()
        assert "appears to be laggy" in caplog.text
        cluster.mon.answering = True
        await trio.sleep(5)
        assert not beacon.is_laggy()
        assert not beacon.state.laggy
        assert "no longer laggy" in caplog.text


async def test_survives_a_cut_connection_and_a_monitor_restart(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        gid = mds.gid
        cluster.network.cut()
        await trio.sleep(60)
        cluster.mon.assign(gid, State.STANDBY)
        await trio.sleep(5)
        assert mds.mdsmap.epoch == cluster.mon.mdsmap.epoch
        assert mds.lives == 1


async def test_refused_for_longer_than_the_grace_a_new_life_says_why(
    autojump_clock: MockClock,
) -> None:
    async with a_cluster() as cluster, cluster.daemon("a") as mds:

        async def live() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(mds.run)
                await mds.wait_for_state("up:standby")
                cluster.mon.refuses = True
                cluster.network.cut()
                await trio.sleep(10)
                # the monitors still have us, and may have us back
                assert mds.lives == 1

        with pytest.raises(ExceptionGroup) as caught:
            await live()
        assert mds.lives == 2
        (error,) = caught.value.exceptions
        assert isinstance(error, FatalError)
        assert error.status == ExitStatus.NOT_PERMITTED


@pytest.mark.parametrize("seed", range(8))
async def test_bad_network_is_lived_through(autojump_clock: MockClock, seed: int) -> None:
    """Sends that break the connection, slow links, partitions: in the end a standby, one life."""
    async with a_cluster(seed) as cluster, cluster.standby("a") as mds:
        cluster.network.defaults = LinkSettings(delay=(0.001, 0.5), cut_probability=0.05)
        for _ in range(5):
            await trio.sleep(cluster.network.rng.uniform(5, 60))
            cluster.network.partition(["10.0.0.1"], ["10.0.1.1"])
            await trio.sleep(cluster.network.rng.uniform(1, 40))
            cluster.network.heal()
        cluster.network.defaults = LinkSettings()
        await trio.sleep(60)
        cluster.mon.assign(mds.gid, State.STANDBY)
        await trio.sleep(5)
        assert mds.lives == 1
        assert mds.mdsmap.epoch == cluster.mon.mdsmap.epoch
        assert not mds.daemon.beacon.is_laggy()


async def test_another_gid_is_another_life(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        cluster.mon.gives_gids_back = False
        cluster.network.cut()
        await trio.sleep(20)
        cluster.mon.publish()
        await mds.wait_for_life(2)
        await mds.wait_for_state("up:standby")


async def test_stuck_worker_holds_the_beacons_back(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        beats = mds.daemon.heartbeat
        handle = beats.add_worker("journal")
        beats.reset_timeout(handle, trio.current_time(), 2.0)
        await trio.sleep(20)
        quiet = len(cluster.mon.beacons)
        await trio.sleep(60)
        assert len(cluster.mon.beacons) == quiet
        assert "MDS internal heartbeat is not healthy! (journal)" in caplog.text
        beats.reset_timeout(handle, trio.current_time(), 1000.0)
        await trio.sleep(1)
        assert len(cluster.mon.beacons) == quiet + 1


async def test_injected_failure_holds_the_beacons_back(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        await trio.sleep(10)
        said = await mds.command(
            '{"prefix": "config set", "var": "heartbeat_inject_failure", "val": ["60"]}'
        )
        assert said.r == 0
        quiet = len(cluster.mon.beacons)
        await trio.sleep(60)
        assert len(cluster.mon.beacons) == quiet
        await trio.sleep(10)
        assert len(cluster.mon.beacons) > quiet
        assert mds.config.get_int("heartbeat_inject_failure") == 0


async def test_a_flood_of_commands_is_bounded(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        replies: list[MCommandReply] = []

        class Con:
            def send_message(self, msg: MCommandReply) -> None:
                replies.append(msg)

            def push(self) -> None:
                pass

        for tid in range(MAX_QUEUED + 5):
            msg = MCommand(fsid=mds.daemon.monc.fsid, cmd=['{"prefix": "0"}'])
            msg.tid, msg.connection = tid, Con()
            mds.daemon.tell.queue_tell_command(msg)
        assert [(r.r, r.tid) for r in replies] == [(-16, MAX_QUEUED + n) for n in range(5)]
        await trio.sleep(1)
        assert sorted(r.tid for r in replies if r.r == 0) == list(range(MAX_QUEUED))


async def test_a_client_that_reads_no_answers(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers must not pile up; the flood ends its connection."""
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        admin = await cluster.admin()
        addrs = mds.daemon.messenger.my_addrs
        con = admin.messenger.connect_to(MDS_TYPE, addrs)
        con.send_message(MCommand(fsid=mds.daemon.monc.fsid, cmd=['{"prefix": "0"}'], tid=77))
        while 77 not in admin.replies:
            await admin.changed.park()
        (there,) = [c for c in mds.daemon.messenger.connections if c.peer_type == CLIENT]
        assert there._link is not None
        monkeypatch.setattr(there._link, "_flush", lambda: None)  # the kernel takes no more
        for tid in range(100, 100 + 2 * MAX_UNREAD):
            con.send_message(MCommand(fsid=mds.daemon.monc.fsid, cmd=['{"prefix": "0"}'], tid=tid))
            await trio.sleep(0.01)
        assert not there.is_open
        assert "takes no answers" in caplog.text
        con.mark_down()
        assert (await admin.tell(addrs, '{"prefix": "0"}')).r == 0


async def test_idle_clients_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """Who connected and asked for nothing is forgotten when it goes."""
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        for _ in range(20):
            admin = await cluster.admin()
            con = admin.messenger.connect_to(MDS_TYPE, mds.daemon.messenger.my_addrs)
            con.send_keepalive()
            await trio.sleep(1)
            assert con.is_connected
            con.mark_down()
            await trio.sleep(1)
        left = [c for c in mds.daemon.messenger.connections if c.peer_type == CLIENT]
        assert left == []


class Notifications:
    """Stands for the service manager's socket."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def ready(self, status: str = "") -> None:
        self.said.append(f"READY {status}")

    def status(self, text: str) -> None:
        self.said.append(text)

    def watchdog(self) -> None:
        self.said.append("alive")


async def test_service_manager_is_told(autojump_clock: MockClock) -> None:
    heard: Any = Notifications()
    async with a_cluster() as cluster, cluster.daemon("a") as mds:
        cluster.mon.takes_standbys = False
        cluster.nursery.start_soon(runner._notify, mds, heard)
        await cluster.nursery.start(mds.run)
        await cluster.mon.hear_state(State.BOOT)
        assert heard.said == ["joining"]
        cluster.mon.takes_standbys = True
        await mds.wait_for_state("up:standby")
        gid = mds.gid
        cluster.mon.assign(gid, State.CREATING, 0)
        await mds.wait_for_state("up:creating")
        await trio.sleep(1)
        await mds.stop()
    assert heard.said == [
        "joining",
        f"READY up:standby gid {gid}",
        f"up:creating gid {gid} rank 0",
    ]


async def test_watchdog_is_fed_while_nothing_is_stuck(autojump_clock: MockClock) -> None:
    heard: Any = Notifications()
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        cluster.nursery.start_soon(runner._watchdog, mds, heard, 10.0)
        await trio.sleep(35)
        assert heard.said == ["alive"] * 4
        beats = mds.daemon.heartbeat
        beats.reset_timeout(beats.add_worker("journal"), trio.current_time(), 1.0)
        await trio.sleep(100)
        assert heard.said == ["alive"] * 4


def _json(text: Any) -> Any:
    return json.loads(text)


async def test_commands_by_message(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        admin = await cluster.admin()
        addrs = mds.daemon.messenger.my_addrs
        reply = await admin.tell(addrs, '{"prefix": "status", ', '"format": "json"}')
        assert (reply.r, reply.rs) == (0, "")
        status = _json(reply.data)
        assert list(status) == [
            *("cluster_fsid", "whoami", "id", "want_state", "state", "mdsmap_epoch"),
            *("osdmap_epoch", "osdmap_epoch_barrier", "uptime"),
        ]
        assert (status["whoami"], status["state"]) == (-1, "up:standby")
        assert (await admin.tell(addrs, '{"prefix": "ops"}')).r == -38
        empty = await admin.tell(addrs)
        assert (empty.r, empty.rs) == (-22, "no command given")
        assert (await admin.tell(addrs, "nonsense")).r == -22
        assert (await admin.tell(addrs, '{"prefix": "nonsense"}')).r == -22


async def test_exit_and_respawn_commands_answer_first(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        admin = await cluster.admin()
        reply = await admin.tell(mds.daemon.messenger.my_addrs, '{"prefix": "respawn"}')
        assert (reply.r, reply.data) == (0, b"Respawning...\n")
        await mds.wait_for_life(2)
        await mds.wait_for_state("up:standby")
        began = trio.current_time()
        reply = await admin.tell(mds.daemon.messenger.my_addrs, '{"prefix": "exit"}')
        assert (reply.r, reply.data) == (0, b"Exiting...\n")
        await mds.stop()
        assert trio.current_time() - began < 2.1


async def test_host_cancels_as_a_crash_would(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.daemon("a") as mds:
        async with trio.open_nursery() as nursery:
            await nursery.start(mds.run)
            await mds.wait_for_state("up:standby")
            nursery.cancel_scope.cancel()
        assert State.DNE not in {b.state for b in cluster.mon.beacons}
        with pytest.raises(RuntimeError, match="not running"):
            _ = mds.daemon


async def test_address_in_use(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a") as mds:
        taken = mds.daemon.messenger.my_addrs.addrs[0]
        async with cluster.daemon("b", _binds=[taken], _transport=mds.around.transport) as second:
            with pytest.raises(FatalError, match=f"port {taken.port} is in use") as caught:
                await cluster.nursery.start(second.run)
            assert caught.value.status is ExitStatus.ADDRESS
            assert (await second.wait_ended(), second.lives) == (None, 1)


async def test_no_monitor_is_known(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.daemon("a", mon_host="") as mds:
        with pytest.raises(FatalError, match="no monitor is known"):
            await cluster.nursery.start(mds.run)
        assert await mds.stop() is None
        with pytest.raises(RuntimeError, match="called once"):
            await mds.run()


async def test_no_key(autojump_clock: MockClock) -> None:
    async with (
        a_cluster() as cluster,
        cluster.daemon("a", auth_client_required="cephx", keyring="/nonexistent") as mds,
    ):
        for option in ("auth_cluster_required", "auth_service_required"):
            mds.config.set_val(option, "cephx")
        with pytest.raises(FatalError, match=r"mds\.a") as caught:
            await cluster.nursery.start(mds.run)
        assert caught.value.status is ExitStatus.NOT_PERMITTED


async def test_no_respawn_where_the_host_does_not_want_it(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster, cluster.standby("a", _respawn=False) as mds:
        cluster.mon.fail(mds.gid)
        outcome = await mds.wait_ended()
        assert outcome is not None
        assert outcome.end is End.RESPAWN
        assert "Map removed me" in outcome.reason


async def test_many_daemons_share_a_process_and_nothing_else(autojump_clock: MockClock) -> None:
    async with a_cluster() as cluster:
        names = [f"n{i}" for i in range(8)]
        standbys = [await cluster.nursery.start(_hold, cluster, name) for name in names]
        gids = {mds.gid for mds in standbys}
        assert len(gids) == len(names)
        cluster.mon.fail(standbys[3].gid)
        await standbys[3].wait_for_life(2)
        await standbys[3].wait_for_state("up:standby")
        assert [mds.lives for mds in standbys] == [1, 1, 1, 2, 1, 1, 1, 1]


async def _hold(cluster: Any, name: str, task_status: Any) -> None:
    async with cluster.standby(name) as mds:
        task_status.started(mds)
        await trio.sleep_forever()
