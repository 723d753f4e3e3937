"""Who may `tell`: a client whose mds caps have a grant with `*`, nobody else."""

import pytest
from tests.real.cluster import Mds
from tests.real.daemons import wait_for

REFUSED = ["readwrite", "legacy", "onepath", "nomds", "badcaps"]


@pytest.mark.parametrize("client", REFUSED)
def test_tell_without_allow_star_is_eacces(mds: Mds, client: str) -> None:
    done = mds.cluster.ceph_result("tell", f"mds.{mds.name}", "status", name=f"client.{client}")
    assert done.returncode == 13  # EACCES
    assert "EACCES" in done.stderr
    assert not done.stdout
    assert mds.gid()


def test_tell_with_allow_star(mds: Mds) -> None:
    done = mds.cluster.ceph_result("tell", f"mds.{mds.name}", "status", name="client.alldaemons")
    assert done.returncode == 0
    assert f'"id": {mds.gid()}' in done.stdout


def test_caps_that_do_not_parse_are_named_in_the_log(mds: Mds) -> None:
    mds.cluster.ceph_result("tell", f"mds.{mds.name}", "status", name="client.badcaps")
    if mds.kind == "ours":
        wait_for(lambda: "permit everything" in mds.logged(), 3, "the log quotes the caps")
        (line,) = [line for line in mds.logged().splitlines() if "permit everything" in line][:1]
        assert "client.badcaps" in line


def test_exit_is_refused_to_others(mds: Mds) -> None:
    done = mds.cluster.ceph_result("tell", f"mds.{mds.name}", "exit", name="client.readwrite")
    assert done.returncode == 13
    assert mds.running
    mds.cluster.tell(mds.name, "status")


def test_caps_taken_away_hold_for_the_next_connection(mds: Mds) -> None:
    """The monitor changes the caps; a new connection brings a ticket that says so."""
    cluster, who = mds.cluster, "client.alldaemons"
    caps = {"mon": "allow r", "mds": "allow *"}
    flat = [word for pair in caps.items() for word in pair]
    try:
        cluster.mon("auth caps", entity=who, caps=["mon", "allow r", "mds", "allow r"])
        done = cluster.ceph_result("tell", f"mds.{mds.name}", "status", name=who)
        assert done.returncode == 13
    finally:
        cluster.mon("auth caps", entity=who, caps=flat)
    assert cluster.ceph_result("tell", f"mds.{mds.name}", "status", name=who).returncode == 0
