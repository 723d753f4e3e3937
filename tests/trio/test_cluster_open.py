"""`open_cluster` in a host's program: on virtual time over a network in memory."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
import trio.testing
from tests.minimal_rank import MinimalRank

import mdsdaemon
from mdsdaemon.cluster.cluster import Cluster, open_cluster
from mdsdaemon.cluster.errors import CommandFailedError
from mdsdaemon.errors import ExitStatus, FatalError, UsageError
from mdsdaemon.host import Host
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.rank.mds_rank import MDSRank
from mdsdaemon.types.entity import PeerName

START = 1_800_000_000.0


@pytest.fixture(autouse=True)
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders are made here."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


def left(folder: Path) -> list[str]:
    """What is in a folder."""
    return os.listdir(folder)


@asynccontextmanager
async def running(network: MemoryNetwork | None = None, **options: Any) -> AsyncIterator[Cluster]:
    """A cluster that is ready, on a network in memory, all of it from one seed."""
    host = Host.seeded(1, lambda: START + trio.current_time())
    async with (
        trio.open_nursery() as nursery,
        open_cluster(host=host, network=network or MemoryNetwork(seed=1), **options) as cluster,
    ):
        with trio.fail_after(30):
            await nursery.start(cluster.run)
        yield cluster


async def plain(cluster: Cluster, prefix: str, **args: Any) -> Any:
    return json.loads((await cluster.command(prefix, format="json", **args)).outb)


def daemons_of(dump: dict[str, Any]) -> dict[str, str]:
    """State by name."""
    infos = [*dump["standbys"]]
    for fs in dump["filesystems"]:
        infos += fs["mdsmap"]["info"].values()
    return {info["name"]: info["state"] for info in infos}


async def until_daemons(cluster: Cluster, wanted: dict[str, str]) -> None:
    with trio.fail_after(60):
        while daemons_of(await plain(cluster, "fs dump")) != wanted:  # noqa: ASYNC110
            await trio.sleep(0.1)


async def test_ready_means_ready(autojump_clock: trio.testing.MockClock, tmp: Path) -> None:
    async with running(mds=2, fs=["one"]) as cluster:
        assert cluster.step == "ready"
        assert cluster.conf_path.parent == cluster.folder
        assert cluster.folder.parent == tmp
        assert f"fsid = {cluster.fsid}\n" in cluster.conf_path.read_text()
        assert "[client.admin]" in cluster.keyring_path.read_text()
        osd = await plain(cluster, "osd dump")
        assert [(o["up"], o["in"]) for o in osd["osds"]] == [(1, 1)]
        assert [pool["pool_name"] for pool in osd["pools"]] == [
            "cephfs.one.meta", "cephfs.one.data",
        ]  # fmt: skip
        assert sorted(cluster.mds) == ["a", "b"]
        assert set(daemons_of(await plain(cluster, "fs dump"))) == {"a", "b"}
        assert str(cluster.mon_addrs).startswith("v2:10.0.0.1:")
        assert cluster.is_ready
    assert left(tmp) == []


async def test_daemons_are_added_stopped_and_killed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(fs=[]) as cluster:
        first = cluster.mds["a"]
        second = await cluster.mds.add()
        assert second.name == "b"
        await cluster.mds.wait_in_map("b")
        with pytest.raises(ValueError, match=r"mds\.b runs already"):
            await cluster.mds.add("b")
        await until_daemons(cluster, {"a": "up:standby", "b": "up:standby"})
        await cluster.mds.kill("b")
        assert list(cluster.mds) == ["a"]
        assert "b" in daemons_of(await plain(cluster, "fs dump"))  # the monitor does not know yet
        await until_daemons(cluster, {"a": "up:standby"})  # the beacon grace has passed
        await cluster.mds.stop("a")
        assert first.outcome is not None
        assert not cluster.mds
        assert daemons_of(await plain(cluster, "fs dump")) == {}  # it said goodbye
        again = await cluster.mds.add("b")
        await cluster.mds.wait_in_map("b")
        assert again.gid != second.gid
        with pytest.raises(KeyError):
            await cluster.mds.stop("a")


async def test_a_failed_daemon_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    async with running(fs=["one"]) as cluster:
        mds = cluster.mds["a"]
        gid = mds.gid
        assert isinstance(mds.rank, MDSRank)
        await cluster.command("mds fail", role_or_gid="a")
        with trio.fail_after(30):
            await mds.wait_for_life(2)
            await mds.wait_for_state("up:active")
        assert mds.gid != gid


async def test_commands_are_refused_as_by_a_monitor(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(mds=0) as cluster:
        with pytest.raises(CommandFailedError, match="nosuch") as caught:
            await cluster.command("osd pool rename", srcpool="nosuch", destpool="b")
        assert caught.value.errno == errno.ENOENT
        with pytest.raises(CommandFailedError) as caught:
            await cluster.command("osd fly")
        assert caught.value.errno == errno.EINVAL


async def test_the_end_in_good_order(autojump_clock: trio.testing.MockClock) -> None:
    """`stop` ends `run`; the daemons have said goodbye by then."""
    host = Host.seeded(1, lambda: START + trio.current_time())
    async with (
        trio.open_nursery() as nursery,
        open_cluster(host=host, network=MemoryNetwork(seed=1), fs=[]) as cluster,
    ):
        await nursery.start(cluster.run)
        mds = cluster.mds["a"]
        cluster.stop()
        with trio.fail_after(5):
            outcome = await mds.wait_ended()
        assert outcome is not None
        assert outcome.clean
    with pytest.raises(RuntimeError, match="called once"):
        await cluster.run()


async def test_cancelled_it_is_gone_at_once(
    autojump_clock: trio.testing.MockClock, tmp: Path
) -> None:
    with trio.CancelScope() as scope:
        async with running():
            begun = trio.current_time()
            scope.cancel()
            await trio.sleep_forever()
    assert trio.current_time() - begun < 0.01
    assert left(tmp) == []


async def test_never_run(autojump_clock: trio.testing.MockClock, tmp: Path) -> None:
    async with open_cluster(network=MemoryNetwork(seed=1)) as cluster:
        assert cluster.folder.is_dir()
        with pytest.raises(RuntimeError, match="not ready"):
            await cluster.reset()
    assert left(tmp) == []


async def test_an_error_inside_comes_out(autojump_clock: trio.testing.MockClock, tmp: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with running():
            raise ZeroDivisionError
    assert caught.group_contains(ZeroDivisionError)
    assert left(tmp) == []


async def test_values_that_cannot_be(tmp: Path) -> None:
    with pytest.raises(UsageError, match="mds is -1"):
        async with open_cluster(mds=-1):
            pytest.fail("it opened")
    assert left(tmp) == []


async def test_a_store_that_is_refused(tmp_path: Path) -> None:
    """`run` raises the plain error, out of all its nurseries."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "cluster.sqlite").write_bytes(b"#!/bin/sh\n" * 100)
    async with open_cluster(data=data, network=MemoryNetwork(seed=1)) as cluster:
        with pytest.raises(FatalError, match="is not a store of mdsdaemon") as caught:
            await cluster.run()
    assert caught.value.status == ExitStatus.DATA


async def test_a_mon_port_that_is_taken(autojump_clock: trio.testing.MockClock) -> None:
    network = MemoryNetwork(seed=1)
    async with running(network, mon_port=3300):
        async with open_cluster(network=network, mon_port=3300) as second:
            with pytest.raises(FatalError, match="port 3300 is in use") as caught:
                await second.run()
        assert caught.value.status == ExitStatus.ADDRESS


async def test_a_bug_in_one_daemon_ends_all(
    autojump_clock: trio.testing.MockClock, tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenRank(MinimalRank):
        async def run(
            self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        ) -> None:
            raise ZeroDivisionError

    with caplog.at_level(logging.CRITICAL), pytest.raises(ExceptionGroup) as caught:
        async with running(fs=["one"], rank_factory=BrokenRank):
            await trio.sleep(60)
    assert caught.group_contains(ZeroDivisionError)
    assert left(tmp) == []


class ServingRank(MinimalRank):
    """Asks for the next state each time, up to up:active."""

    serves_files = True
    held: ClassVar[bool] = False
    """Whether it stays in the state that it is in."""

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        state = mdsmap.mds_info[self.services.gid].state
        following = {
            State.CREATING: State.ACTIVE,
            State.STARTING: State.ACTIVE,
            State.REPLAY: State.RECONNECT,
            State.RECONNECT: State.REJOIN,
            State.REJOIN: State.ACTIVE,
        }
        if not self.held:
            self.services.beacon.set_want_state(mdsmap, following.get(State(state), state))
            self.services.beacon.send()


async def test_with_a_rank_that_serves_ready_is_active(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A file system is made without being asked for, and waited for; also after a reset."""
    async with running(rank_factory=ServingRank) as cluster:
        assert cluster.serves_files
        assert daemons_of(await plain(cluster, "fs dump")) == {"a": "up:active"}
        assert [fs["name"] for fs in await plain(cluster, "fs ls")] == ["cephfs"]
        await cluster.command("fs fail", fs_name="cephfs")
        await cluster.reset()
        assert daemons_of(await plain(cluster, "fs dump")) == {"a": "up:active"}
    async with running(rank_factory=ServingRank, fs=["x", "y"], mds=3) as cluster:
        states = sorted(daemons_of(await plain(cluster, "fs dump")).values())
        assert states == ["up:active", "up:active", "up:standby"]
    async with running(rank_factory=ServingRank, mds=0) as cluster:
        assert await plain(cluster, "fs ls") == []
    async with running(rank_factory=ServingRank, fs=[]) as cluster:
        assert daemons_of(await plain(cluster, "fs dump")) == {"a": "up:standby"}


async def test_not_active_is_not_ready(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step says what is waited for."""
    monkeypatch.setattr(ServingRank, "held", True)
    async with (
        trio.open_nursery() as nursery,
        open_cluster(network=MemoryNetwork(seed=1), rank_factory=ServingRank) as cluster,
    ):
        with trio.move_on_after(60) as scope:
            await nursery.start(cluster.run)
        assert scope.cancelled_caught
        assert "cephfs (rank 0 is up:creating)" in cluster.step


async def test_no_traces_in_the_host(tmp: Path) -> None:
    """On real sockets: no signal handlers, threads or tasks of ours stay."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    threads = set(threading.enumerate())
    root = trio.lowlevel.current_root_task()
    assert root is not None
    before = sum(len(nursery.child_tasks) for nursery in root.child_nurseries)
    async with trio.open_nursery() as nursery, mdsdaemon.open_cluster() as cluster:
        with trio.fail_after(30):
            await nursery.start(cluster.run)
        assert {n: signal.getsignal(n) for n in signal.valid_signals()} == handlers
    assert set(threading.enumerate()) - threads <= {
        t for t in threading.enumerate() if "Trio" in t.name
    }
    assert sum(len(nursery.child_tasks) for nursery in root.child_nurseries) == before


async def test_two_in_one_program(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing is shared between them."""
    async with running(fs=["one"]) as first, running(fs=["two"]) as second:
        assert first.fsid == second.fsid  # the same seed: and still two clusters
        assert first.folder != second.folder
        await first.command("osd pool create", pool="extra")
        assert "extra" in await plain(first, "osd pool ls")
        assert "extra" not in await plain(second, "osd pool ls")


async def test_randomness_is_the_hosts(autojump_clock: trio.testing.MockClock) -> None:
    """Fsid, keys and gids come from the seed."""

    async def run() -> tuple[Any, ...]:
        async with running(mds=2, fs=["one"]) as cluster:
            # what is before the secret holds the time
            keys = [key["key"][16:] for key in (await plain(cluster, "auth ls"))["auth_dump"]]
            return cluster.fsid, keys, {name: mds.gid for name, mds in cluster.mds.items()}

    assert await run() == await run()
