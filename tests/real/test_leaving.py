"""How a standby leaves the map and comes back: signals, commands, failures."""

import signal
import time
from collections.abc import Callable

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

# Seconds from a signal to the exit; ceph-mds needs 2 to 3 for it.
EXIT_LIMIT = {"ours": 1.0, "real": 4.0}


def wait_absent(mds: Mds, gid: int, timeout: float) -> None:
    wait_for(
        lambda: gid not in [info["gid"] for info in mds.cluster.mds_infos()],
        timeout,
        f"gid {gid} is gone from the map",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_signal_ends_it_cleanly(
    mds: Mds, number: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    """Status 0 within a second, and the monitor was told, not left to its grace."""
    gid = mds.gid()
    mds.signal(number)
    status, seconds = mds.wait_gone(10)
    record_property("figures", f"{mds.kind}: {seconds:.2f} s from {number.name} to exit")
    assert status == 0
    assert seconds < EXIT_LIMIT[mds.kind]
    wait_absent(mds, gid, 2)
    assert not mds.asok_path.exists()
    assert "Traceback" not in mds.logged()


def test_signal_while_the_monitors_are_away(cluster: RealCluster, mds_kind: str) -> None:
    """With nobody to say goodbye to, it still ends, within the second that the goodbye may take."""
    mds = cluster.start_mds(mds_kind, "a")
    mds.wait_standby()
    cluster.daemons["mon.a"].signal(signal.SIGSTOP)
    try:
        mds.signal(signal.SIGTERM)
        status, seconds = mds.wait_gone(10)
    finally:
        cluster.daemons["mon.a"].signal(signal.SIGCONT)
    assert status == 0
    assert seconds < EXIT_LIMIT[mds.kind] + 1


def test_tell_exit(mds: Mds) -> None:
    gid = mds.gid()
    assert "Exiting" in mds.cluster.ceph("tell", f"mds.{mds.name}", "exit", json=False)
    status, _ = mds.wait_gone(10)
    assert status == 0
    wait_absent(mds, gid, 2)


def test_exit_by_admin_socket(mds: Mds) -> None:
    gid = mds.gid()
    assert "Exiting" in mds.cluster.ceph("daemon", f"mds.{mds.name}", "exit", json=False)
    assert mds.wait_exit(10) == 0
    wait_absent(mds, gid, 2)


def test_tell_respawn(mds: Mds) -> None:
    gid = mds.gid()
    assert "Respawning" in mds.cluster.ceph("tell", f"mds.{mds.name}", "respawn", json=False)
    again = mds.wait_standby(10, not_gid=gid)
    assert again["gid"] > gid
    assert mds.running  # the same process: its pid is that of the child
    wait_for(lambda: mds.gid() == again["gid"], 5, "the admin socket is the new daemon's")
    wait_absent(mds, gid, 10)


def test_mds_fail_respawns_it(mds: Mds) -> None:
    """`ceph mds fail`: same pid, new gid, back within 5 s."""
    gid, pid = mds.gid(), mds.pid
    mds.cluster.ceph("mds", "fail", mds.name, json=False)
    again = mds.wait_standby(5, not_gid=gid)
    assert again["gid"] != gid
    assert mds.running
    assert mds.pid == pid
    assert "respawn" in mds.logged().lower()


def test_mds_fail_again_and_again(mds: Mds) -> None:
    """Every respawn leaves the process as able as the first one; nothing leaks into the next."""
    gid = mds.gid()
    for _ in range(5):
        mds.cluster.mon("mds fail", role_or_gid=str(gid))
        gid = mds.wait_standby(5, not_gid=gid)["gid"]
    assert [info["gid"] for info in mds.cluster.mds_infos()] == [gid]


def test_killed_is_dropped_after_the_grace_and_restarts(mds: Mds) -> None:
    """With another daemon that beacons: the monitor never drops the last one it heard of."""
    grace = 6  # mds_beacon_grace of these clusters
    mds.cluster.start_real_mds("real").wait_standby()
    gid = mds.gid()
    mds.kill()
    killed = time.monotonic()
    wait_absent(mds, gid, grace + 8)
    assert time.monotonic() - killed > grace - 2  # a beacon may have been a second old
    again = mds.cluster.start_mds(mds.kind, mds.name)
    assert again.wait_standby(5)["gid"] != gid
    assert again.gid() != gid


def test_restart_at_once_takes_its_own_place(mds: Mds) -> None:
    """A restart within the grace: the monitor fails the entry of the process that is no more."""
    gid = mds.gid()
    mds.kill()
    again = mds.cluster.start_mds(mds.kind, mds.name)
    again.wait_standby(5, not_gid=gid)
    wait_absent(mds, gid, 3)


def test_second_of_the_same_name_fails_the_first(mds: Mds) -> None:
    """As with ceph-mds: the monitor fails the older one, which respawns and comes back as newer."""
    gid = mds.gid()
    second = mds.cluster.start_mds(mds.kind, mds.name, label="a-again")
    wait_absent(mds, gid, 5)
    assert len(mds.cluster.names()) <= 1
    wait_for(lambda: "respawn" in mds.logged().lower(), 5, "the older one says that it respawns")
    assert second.running
    assert mds.running
    second.kill()
    wait_for(lambda: mds.cluster.names() == [mds.name], 10, "the remaining one is in the map")
