"""Sessions of stock clients: what ceph-mds does, ours does as well.

The ways are those of Ceph's own test_client_recovery, test_sessionmap and test_strays.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.fs_pair import _PROGRAM, FsClient

KINDS = ("real", "ours")
QUICK = ("--mds_reconnect_timeout=6",)
ESHUTDOWN, EPERM = 108, 1


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


class Site:
    """A file system of its own on one daemon."""

    def __init__(self, cluster: RealCluster, kind: str) -> None:
        self.cluster, self.kind = cluster, kind
        self.fs = f"s{kind}{time.monotonic_ns() % 10**9}"
        self.clients: list[FsClient] = []
        cluster.new_fs(self.fs)
        self.mds = self.start("a")

    def start(self, name: str) -> Mds:
        self.mds = self.cluster.start_mds(self.kind, name, *QUICK)
        self.mds.wait_state("up:active", 60)
        return self.mds

    def crash(self) -> None:
        """The daemon is killed, and the monitors know."""
        self.mds.kill()
        self.cluster.mon("mds fail", role_or_gid=f"{self.fs}:0")

    def client(self, auth_id: str = "admin") -> FsClient:
        made = FsClient(self.cluster.conf, self.fs, auth_id)
        self.clients.append(made)
        return made

    def close(self) -> None:
        for client in self.clients:
            os.kill(client.pid, signal.SIGCONT)
            client.close()

    def sessions(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = self.mds.asok("session ls")
        return shown

    def session_of(self, client: FsClient) -> dict[str, Any]:
        pid = str(client.pid)
        return next(s for s in self.sessions() if s["client_metadata"].get("pid") == pid)

    def counter(self, name: str) -> int:
        value: int = self.mds.asok("perf dump", logger="mds_cache")["mds_cache"][name]
        return value

    def data(self) -> list[str]:
        return self.cluster.run(
            "rados", "-c", str(self.cluster.conf), "-p", f"{self.fs}.data", "ls"
        ).split()


@pytest.fixture
def site(osd_cluster: RealCluster, kind: str) -> Iterator[Site]:
    made = Site(osd_cluster, kind)
    yield made
    made.close()


def shape(value: Any, path: str = "") -> Any:
    """Names and kinds of what is in a JSON value, in its order."""
    if isinstance(value, dict):
        return [(key, shape(one)) for key, one in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


SHAPES: dict[str, Any] = {}


def test_who_is_there(site: Site) -> None:
    one, two = site.client(), site.client()
    assert one.call("mkdir", "/d", 0o755)[0] == 0
    assert two.call("stat", "/d")[0] == 0
    pids = {s["client_metadata"]["pid"] for s in site.sessions()}
    assert pids == {str(one.pid), str(two.pid)}
    session = site.session_of(two)
    assert session["state"] == "open"
    assert session["client_metadata"]["root"] == "/"
    assert session["inst"] == f"client.{session['id']} {session['entity']['addr']['addr']}/" + str(
        session["entity"]["addr"]["nonce"]
    )
    session["completed_requests"] = session["prealloc_inos"] = session["delegated_inos"] = []
    SHAPES[site.kind] = shape(session)
    if len(SHAPES) == len(KINDS):
        assert SHAPES["ours"] == SHAPES["real"]
    began = time.monotonic()
    assert two.call("unmount")[0] == 0
    assert time.monotonic() - began < 10
    wait_for(lambda: len(site.sessions()) == 1, 5, "one session is left")


def test_clients_go_on_after_a_restart(site: Site) -> None:
    client = site.client()
    assert client.call("open", "f", "/f", os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
    assert client.call("write", "f", "before", 0) == (0, 6)
    assert client.call("fsync", "f")[0] == 0
    held = site.session_of(client)["id"]
    site.crash()
    site.start("b")
    assert client.call("write", "f", "after", 6) == (0, 5)
    assert client.call("fsync", "f")[0] == 0
    assert client.call("mkdir", "/new", 0o755)[0] == 0
    assert client.call("content", "/f") == (0, "beforeafter")
    (session,) = site.sessions()
    assert session["id"] == held
    assert not session["reconnecting"]


def test_who_does_not_come_back_is_given_up(site: Site) -> None:
    client = site.client()
    assert client.call("mkdir", "/d", 0o755)[0] == 0
    os.kill(client.pid, signal.SIGSTOP)
    site.crash()
    mds = site.mds = site.cluster.start_mds(site.kind, "b", *QUICK)
    mds.wait_state("up:reconnect", 30)
    began = time.monotonic()
    session = site.session_of(client)
    assert session["reconnecting"]
    status = mds.asok("status")
    assert "reconnect_status" in status
    mds.wait_state("up:active", 40)
    assert 3 <= time.monotonic() - began <= 14
    assert site.sessions() == []
    assert session["inst"].split()[1] in site.cluster.ceph("osd", "blocklist", "ls", json=False)
    os.kill(client.pid, signal.SIGCONT)
    assert client.call("mkdir", "/e", 0o755)[0] != 0
    again = site.client()
    assert again.call("stat", "/d")[0] == 0


def test_an_eviction_ends_the_wait_for_a_client(site: Site) -> None:
    client = site.client()
    assert client.call("mkdir", "/d", 0o755)[0] == 0
    session = site.session_of(client)
    os.kill(client.pid, signal.SIGSTOP)
    site.crash()
    mds = site.mds = site.cluster.start_mds(site.kind, "b", "--mds_reconnect_timeout=60")
    mds.wait_state("up:reconnect", 30)
    site.cluster.tell("b", "session evict", filters=[f"id={session['id']}"])
    mds.wait_state("up:active", 20)
    assert site.sessions() == []


def test_evicting_fences(site: Site) -> None:
    victim, other = site.client(), site.client()
    assert victim.call("open", "f", "/f", os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
    assert victim.call("write", "f", "x", 0)[0] == 0
    session = site.session_of(victim)
    site.cluster.tell("a", "session evict", filters=[f"id={session['id']}"])
    assert [s["client_metadata"]["pid"] for s in site.sessions()] == [str(other.pid)]
    assert session["inst"].split()[1] in site.cluster.ceph("osd", "blocklist", "ls", json=False)
    began = time.monotonic()
    # what the dead client had is free at once
    assert other.call("open", "g", "/f", os.O_RDWR, 0o644)[0] == 0
    assert other.call("write", "g", "yz", 0)[0] == 0
    assert time.monotonic() - began < 20
    assert victim.call("mkdir", "/no", 0o755)[0] in (ESHUTDOWN, EPERM)
    reply = site.cluster.tell("a", "session kill", client_id="12345")
    assert reply.r == -2


def test_a_root_outside_of_the_caps(site: Site) -> None:
    cluster = site.cluster
    admin = site.client()
    for name in ("/bar", "/baz"):
        assert admin.call("mkdir", name, 0o777)[0] == 0
    name = f"badguy{site.kind}"
    cluster.mon(
        "auth get-or-create",
        entity=f"client.{name}",
        caps=["mds", "allow rw path=/bar", "mon", "allow r", "osd", "allow rw"],
    )
    key = cluster.mon("auth get-key", entity=f"client.{name}")["key"]
    with cluster.keyring.open("a") as out:
        out.write(f"[client.{name}]\nkey = {key}\n")
    program = [SYSTEM_PYTHON, str(_PROGRAM), str(cluster.conf), site.fs, name]
    mount = subprocess.run(
        program, capture_output=True, input="", text=True, timeout=60, check=False
    )
    assert "Operation not permitted" in mount.stderr  # its root is "/"
    denied = "client session with non-allowable root '/' denied"
    wait_for(lambda: denied in json.dumps(cluster.mon("log last", num=50)), 10, "the log tells")
    assert len(site.sessions()) == 1


def test_an_open_file_outlives_its_name(site: Site) -> None:
    client = site.client()
    assert client.call("open", "f", "/f", os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
    assert client.call("write", "f", "data", 0)[0] == 0
    assert client.call("fsync", "f")[0] == 0
    assert client.call("unlink", "/f")[0] == 0
    wait_for(lambda: site.counter("num_strays") == 1, 10, "there is a stray")
    assert len(site.data()) == 1
    site.crash()
    site.start("b")
    assert client.call("read", "f", 0, 10) == (0, "data")
    assert site.counter("num_strays") == 1
    assert client.call("close", "f")[0] == 0
    wait_for(lambda: site.counter("num_strays") == 0, 40, "the stray is gone")
    wait_for(lambda: not site.data() or None, 30, "its data is gone")


def test_hard_links_take_their_inode_in(site: Site) -> None:
    client = site.client()
    assert client.call("open", "f", "/one", os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
    assert client.call("write", "f", "data", 0)[0] == 0
    assert client.call("close", "f")[0] == 0
    assert client.call("link", "/one", "/two")[0] == 0
    assert client.call("unlink", "/one")[0] == 0
    assert client.call("content", "/two") == (0, "data")
    wait_for(lambda: site.counter("num_strays") == 0, 30, "it has a place of its own again")
    assert site.counter("strays_reintegrated") == 1
    site.mds.asok("flush journal")
    assert client.call("unlink", "/two")[0] == 0
    wait_for(lambda: not site.data() or None, 30, "its data is gone")


def test_stock_and_ours_go_on_with_each_others_sessions(osd_cluster: RealCluster) -> None:
    """A client stays through five changes of the daemon, and uses its inode numbers."""
    with closing(Site(osd_cluster, "real")) as site:
        _turns(site)


def _turns(site: Site) -> None:
    client = site.client()
    for turn in range(6):
        for number in range(40):
            path = f"/t{turn}-{number}"
            assert client.call("open", "f", path, os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
            assert client.call("write", "f", path, 0)[0] == 0
        if turn == 5:
            break
        site.crash()
        site.kind = "ours" if site.kind == "real" else "real"
        site.start("abcdef"[turn + 1])
    for turn in range(6):
        for number in range(40):
            path = f"/t{turn}-{number}"
            assert client.call("content", path) == (0, path)
    number, listing = client.call("listing", "/")
    assert number == 0
    assert len(listing) == 6 * 40 + 2
    (session,) = site.sessions()
    assert session["num_completed_requests"] < 100
    said = site.cluster.mon("log last", num=100, level="error", channel="cluster")
    assert not [m for m in said if "mds." in str(m.get("name", ""))]


def test_silent_clients(site: Site) -> None:
    """One that is in somebody's way loses its session; one that is in nobody's keeps it."""
    cluster = site.cluster
    cluster.mon("fs set", fs_name=site.fs, var="session_timeout", val="30")
    writer, idle, reader = site.client(), site.client(), site.client()
    for client, path in ((writer, "/f"), (idle, "/g")):
        assert client.call("open", "f", path, os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
        assert client.call("write", "f", "data", 0)[0] == 0
        assert client.call("fsync", "f")[0] == 0
    for client in (writer, idle):
        os.kill(client.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert reader.call("content", "/f", timeout=100) == (0, "data")
    assert 10 <= time.monotonic() - began <= 60
    states = {s["client_metadata"]["pid"]: s["state"] for s in site.sessions()}
    assert states == {str(idle.pid): "open", str(reader.pid): "open"}
    os.kill(idle.pid, signal.SIGCONT)
    assert idle.call("write", "f", "more", 4) == (0, 4)
    assert idle.call("fsync", "f")[0] == 0
