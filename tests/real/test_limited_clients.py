"""Clients whose caps limit them (`ceph fs authorize`: paths, root_squash, no layouts or snapshots):
the outcome of every operation is that with ceph-mds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.real.admin import asok
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fs_pair import OURS, STOCK, FsClient, Stuck, neutral, two_file_systems

CAPS = {
    "reader": "allow r",
    "path": "allow r, allow rw path=/in",
    "path_layouts": "allow r, allow rwp path=/in",
    "path_snapshots": "allow r, allow rws path=/in",
    "squashed_path": "allow rw root_squash, allow rw path=/in",
}
WAITS = (0, "libcephfs 16.2.15 waits for ever")
R, W, RW, CREAT = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT
REFUSED = {"reader": 40, "path": 20, "squashed_path": 20}
"""Calls that must be refused at least: fewer would be limits that do not hold."""


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=QUICK)) as made, two_file_systems(made):
        with made.keyring.open("a") as ring:
            for name, mds in CAPS.items():
                caps = ["mds", mds, "mon", "allow r", "osd", "allow rw"]
                made.mon("auth get-or-create", entity=f"client.{name}", caps=caps)
                key = made.mon("auth get-key", entity=f"client.{name}")["key"]
                ring.write(f"[client.{name}]\n\tkey = {key}\n")
        for fs in (STOCK, OURS):
            made.mon("fs set", fs_name=fs, var="allow_new_snaps", val="true")
        yield made


def prepared(admin: FsClient, who: str) -> None:
    """Directories in and outside of the path, with things in them that are not the client's."""
    for top in ("/in", "/out"):
        admin.call("mkdir", top, 0o777)
        folder = f"{top}/{who}"
        assert admin.call("mkdir", folder, 0o777)[0] == 0
        for name in ("old", "attr", "gone", "moved", "linked", "over"):
            assert admin.call("open", "s", f"{folder}/{name}", RW | CREAT, 0o666)[0] == 0
            assert admin.call("write", "s", name, 0)[0] == 0
            assert admin.call("close", "s")[0] == 0
        for name in ("sub", "empty", "full"):
            assert admin.call("mkdir", f"{folder}/{name}", 0o777)[0] == 0
        assert admin.call("symlink", "old", f"{folder}/sym")[0] == 0
        assert admin.call("setxattr", f"{folder}/attr", "user.old", "1", 0)[0] == 0
        assert admin.call("mkdir", f"{folder}/.snap/kept", 0o755)[0] == 0
    admin.call("remount")


def calls(here: str, there: str) -> list[list[Any]]:
    """All operations in one directory; some go to the other one."""
    layout = ["ceph.dir.layout.stripe_count", "2", 0]
    return [
        ["stat", here], ["listing", here], ["content", f"{here}/old"],
        ["mkdir", f"{here}/made", 0o755], ["mkdir", f"{here}/sub/made", 0o755],
        ["open", "new", f"{here}/new", RW | CREAT, 0o644], ["write", "new", "data", 0],
        ["fsync", "new"], ["read", "new", 0, 10], ["ftruncate", "new", 2], ["fchmod", "new", 0o600],
        ["flock", "new", 2 | 4, 7], ["close", "new"],
        ["open", "x", f"{here}/new", RW | CREAT | os.O_EXCL, 0o644], ["close", "x"],
        ["open", "r", f"{here}/old", R, 0], ["read", "r", 0, 10], ["flock", "r", 1 | 4, 7],
        ["flock", "r", 2 | 4, 7], ["fsync", "r"], ["close", "r"],
        ["open", "w", f"{here}/old", W, 0], ["write", "w", "more", 2], ["close", "w"],
        ["open", "t", f"{here}/old", W | os.O_TRUNC, 0], ["close", "t"],
        ["truncate", f"{here}/attr", 5], ["chmod", f"{here}/attr", 0o640],
        ["lchown", f"{here}/attr", 5, 6], ["utimes", f"{here}/attr", 1000, 2000],
        ["setxattr", f"{here}/attr", "user.a", "v", 0], ["getxattr", f"{here}/attr", "user.old"],
        ["removexattr", f"{here}/attr", "user.old"], ["listxattr", f"{here}/attr"],
        ["setxattr", f"{here}/empty", *layout], ["getxattr", f"{here}/empty", "ceph.dir.layout"],
        ["setxattr", f"{here}/new", "ceph.file.layout.stripe_unit", "65536", 0],
        ["setxattr", f"{here}/empty", "ceph.quota.max_files", "10", 0],
        ["getxattr", f"{here}/empty", "ceph.quota"],
        ["setxattr", f"{here}/empty", "ceph.dir.pin", "0", 0],
        ["removexattr", f"{here}/empty", "ceph.dir.layout"],
        ["symlink", "old", f"{here}/sym2"], ["readlink", f"{here}/sym"],
        ["link", f"{here}/linked", f"{here}/link"], ["link", f"{here}/linked", f"{there}/link2"],
        ["link", f"{there}/linked", f"{here}/link3"],
        ["rename", f"{here}/moved", f"{here}/moved2"],
        ["rename", f"{here}/moved2", f"{here}/over"],
        ["rename", f"{here}/over", f"{there}/came"], ["rename", f"{there}/came", f"{here}/back"],
        ["rename", f"{here}/sub", f"{here}/sub2"], ["rename", f"{here}/sub2", f"{there}/sub3"],
        ["mknod", f"{here}/fifo", 0o010644, 0], ["mknod", f"{here}/dev", 0o020644, 0x103],
        ["unlink", f"{here}/gone"], ["rmdir", f"{here}/empty"], ["rmdir", f"{here}/full"],
        ["mkdir", f"{here}/.snap/mine", 0o755], ["listing", f"{here}/.snap"],
        ["rename", f"{here}/.snap/mine", f"{here}/.snap/named"],
        ["content", f"{here}/.snap/kept/old"], ["rmdir", f"{here}/.snap/named"],
        ["rmdir", f"{here}/.snap/kept"], ["unlink", f"{here}/nothing"], ["stat", f"{here}/nothing"],
    ]  # fmt: skip


def gone(cluster: RealCluster, fs: str, client: FsClient) -> None:
    """The client is killed and its session ended."""
    client.close()
    mds = next(m for m in cluster.mdss if m.kind == ("ours" if fs == OURS else "real"))
    for session in mds.asok("session ls"):
        if session["client_metadata"].get("pid") == str(client.pid):
            asok(mds.asok_path, "session evict", filters=[f"id={session['id']}"])


def outcomes(cluster: RealCluster, fs: str, who: str) -> list[Any]:
    """What the client is answered."""
    found: list[Any] = []
    client = FsClient(cluster.conf, fs, who)
    try:
        for here, there in (("/in", "/out"), ("/out", "/in")):
            for call in calls(f"{here}/{who}", f"{there}/{who}"):
                if call[0] == "rename" and here == "/out":
                    continue  # libcephfs 16.2.15 waits for ever after those that were refused
                try:
                    found.append((call, client.call(*call, timeout=12)))
                except Stuck:
                    found.append((call, WAITS))
                    gone(cluster, fs, client)
                    client = FsClient(cluster.conf, fs, who)
    finally:
        gone(cluster, fs, client)  # it may not get away by itself after a refusal
    return found


@pytest.mark.parametrize("who", CAPS)
def test_every_operation(cluster: RealCluster, who: str) -> None:
    def one(fs: str) -> list[Any]:
        with FsClient(cluster.conf, fs) as admin:
            prepared(admin, who)
            found = outcomes(cluster, fs, who)
            admin.call("remount")
            return [*found, *((["tree"], admin.call("tree", top)) for top in ("/in", "/out"))]

    with ThreadPoolExecutor() as pool:
        said = dict(zip((STOCK, OURS), pool.map(one, (STOCK, OURS)), strict=True))
    for stock, ours in zip(said[STOCK], said[OURS], strict=True):
        if stock[1] != WAITS:
            assert neutral(ours) == neutral(stock)
    refused = [call for call, (code, _) in said[OURS] if code in (1, 13)]
    assert len(refused) >= REFUSED.get(who, 1), refused
