"""Calls whose answers are known to be awkward: the same from ceph-mds and from ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fs_pair import Pair, neutral, pairs, two_file_systems

PINS = {
    "ceph.dir.pin": ["0", "999", "256", "-1", "-5", "x", "1.5", "", " 1", "99999999999", "+1"],
    "ceph.dir.pin.random": ["0", "0.005", "0.01", "0.02", "1.5", "-1", "x", "nan", "inf", "1e-3"],
    "ceph.dir.pin.distributed": ["0", "1", "2", "true", "", "+1", "01", "-0"],
}
QUOTAS = {
    "ceph.quota.max_files": ["10", "0", "-1", "x", "", "1k", str(2**63 - 1), str(2**63), "+5"],
    "ceph.quota.max_bytes": ["4096", "1", "0", "1M", "-3"],
    "ceph.quota": [
        "max_bytes=1 max_files=2", "max_bytes=1,max_files=2", "max_bytes=1  max_files=2",
        "max_bytes=", "=1", "", "x=1", "max_files=3 max_files=4", " max_files=1", "max_files=1 ",
    ],
}  # fmt: skip
LAYOUTS = {
    ".stripe_unit": ["65536", "0", "1", "-1", "x", "4294967296", "-65536", ""],
    ".stripe_count": ["2", "0", "1"],
    ".object_size": ["8388608", "1", "0"],
    ".pool": ["extra.data", "99", "-1", "nowhere", ""],
    ".pool_namespace": ["ns", "", "a b"],
    ".pool_id": ["99", "x", "-1"],
    ".pool_name": ["extra.data", "nowhere"],
    ".json": ["{}", '{"object_size":4194304,"stripe_unit":4194304,"stripe_count":1}', "x", "[]"],
    ".nonsense": ["1"],
    "": [
        "stripe_unit=4194304 stripe_count=1 object_size=4194304", "stripe_unit=65536",
        "stripe_unit=65536,", "stripe_unit=65536 object_size=1", "pool_namespace=x", "x", "",
        "foo=1 stripe_unit=65536",
    ],
}  # fmt: skip
READ = [
    "ceph.dir.layout", "ceph.dir.layout.json", "ceph.dir.layout.pool_name",
    "ceph.dir.layout.pool_namespace", "ceph.dir.entries", "ceph.dir.rbytes", "ceph.dir.pin",
    "ceph.snap.btime", "ceph.file.layout", "ceph.file.layout.json", "ceph.quota",
    "ceph.mirror.info", "ceph.dir.subvolume", "ceph.nonsense",
]  # fmt: skip
REMOVED = [
    "ceph.dir.layout", "ceph.dir.layout.pool_namespace", "ceph.file.layout",
    "ceph.file.layout.pool_namespace", "ceph.quota", "ceph.dir.pin", "ceph.dir.layout.pool",
    "ceph.foo", "ceph.mirror.info",
]  # fmt: skip
WIDE = "é".encode().decode("latin-1")


@pytest.fixture(scope="module")
def pair(real_ceph: None) -> Iterator[Pair]:
    cluster = RealCluster(osd=True, options=QUICK)
    with started(cluster), two_file_systems(cluster), pairs(cluster, 1) as made:
        yield made[0]


@pytest.fixture
def top(pair: Pair, request: pytest.FixtureRequest) -> str:
    """A directory of the test's own with /d/e, a file and a symbolic link."""
    name = f"/t{abs(hash(request.node.name)) % 10**9}"
    for path in (name, f"{name}/d", f"{name}/d/e"):
        assert pair.call(["mkdir", path, 0o755])[1][0] == 0
    pair.call(["open", "s", f"{name}/f", os.O_CREAT | os.O_RDWR, 0o644])
    pair.call(["symlink", "x", f"{name}/l"])
    return name


def agree(pair: Pair, *calls: list[Any]) -> None:
    """Both answer each of the calls alike."""
    for call in calls:
        stock, ours = pair.call(call)
        assert neutral(stock) == neutral(ours), f"{call}: ceph-mds {stock}, ours {ours}"


def test_pins(pair: Pair, top: str) -> None:
    for name, values in PINS.items():
        for value in values:
            agree(pair, ["setxattr", f"{top}/d", name, value, 0], ["getxattr", f"{top}/d", name])
        agree(pair, ["setxattr", f"{top}/f", name, "0", 0], ["setxattr", "/", name, "0", 0])


def test_quotas(pair: Pair, top: str) -> None:
    for name, values in QUOTAS.items():
        for value in values:
            agree(
                pair,
                ["setxattr", f"{top}/d/e", name, value, 0],
                ["getxattr", f"{top}/d/e", "ceph.quota"],
                ["getxattr", f"{top}/d/e", "ceph.quota.max_files"],
            )
    agree(pair, ["setxattr", f"{top}/f", "ceph.quota.max_files", "1", 0])


@pytest.mark.parametrize("kind", ["dir", "file"])
def test_layouts(pair: Pair, top: str, kind: str) -> None:
    path = f"{top}/d/e" if kind == "dir" else f"{top}/f"
    for part, values in LAYOUTS.items():
        for value in values:
            agree(
                pair,
                ["setxattr", path, f"ceph.{kind}.layout{part}", value, 0],
                ["getxattr", path, f"ceph.{kind}.layout"],
            )
    agree(pair, ["open", "q", f"{top}/d/e/new", os.O_CREAT | os.O_RDWR, 0o600])
    agree(pair, ["getxattr", f"{top}/d/e/new", "ceph.file.layout"])


def test_virtual_attributes_of_everything(pair: Pair, top: str) -> None:
    for path in (f"{top}/d", f"{top}/d/e", f"{top}/f", f"{top}/l"):
        agree(pair, *(["getxattr", path, name] for name in READ))
        agree(pair, *(["removexattr", path, name] for name in REMOVED))
    for value in ("1", "1", "0", "x", "2", ""):
        agree(pair, ["setxattr", f"{top}/d", "ceph.dir.subvolume", value, 0])
    agree(pair, ["setxattr", f"{top}/f", "ceph.dir.subvolume", "1", 0])


def test_limits_of_attributes(pair: Pair, top: str) -> None:
    path = f"{top}/f"
    for size in (60000, 65536, 70000):
        agree(pair, ["setxattr", path, "user.big", "v" * size, 0])
    agree(
        pair,
        ["setxattr", path, "user.b", "v" * 40000, 0],
        ["setxattr", path, "user.c", "v" * 40000, 0],
        ["setxattr", path, "user.b", "v" * 60000, 2],
        ["setxattr", path, "user.b", "", 0],
        ["listxattr", path],
        ["removexattr", path, "user.b"],
        ["removexattr", path, "user.b"],
    )


@pytest.mark.parametrize("name", ["n" * 255, "n" * 256, WIDE * 127, WIDE * 128])
def test_long_names(pair: Pair, top: str, name: str) -> None:
    agree(
        pair,
        ["mkdir", f"{top}/{name}", 0o755],
        ["lstat", f"{top}/{name}"],
        ["open", "q", f"{top}/d/{name}", os.O_CREAT, 0o644],
        ["symlink", name, f"{top}/d/{name}x"],
        ["readlink", f"{top}/d/{name}x"],
        ["rename", f"{top}/{name}", f"{top}/d/e/{name}"],
    )


def test_sizes(pair: Pair, top: str) -> None:
    agree(
        pair,
        ["truncate", f"{top}/f", 1 << 40],
        ["truncate", f"{top}/f", (1 << 40) + 1],
        ["lstat", f"{top}/f"],
        ["truncate", f"{top}/f", 0],
        ["truncate", f"{top}/d", 5],
        ["lstat", f"{top}/d"],
        ["truncate", f"{top}/no", 5],
        ["mknod", f"{top}/dev", 0o060600, 0x801],
        ["truncate", f"{top}/dev", 77],
        ["lstat", f"{top}/dev"],
    )


def test_links_and_renames(pair: Pair, top: str) -> None:
    agree(
        pair,
        ["link", f"{top}/f", f"{top}/d/hard"],
        ["lstat", f"{top}/f"],
        ["link", f"{top}/f", f"{top}/d/hard"],
        ["unlink", f"{top}/f"],
        ["lstat", f"{top}/d/hard"],
        ["link", f"{top}/d", f"{top}/dl"],
        ["link", f"{top}/l", f"{top}/ll"],
        ["lstat", f"{top}/ll"],
        ["rename", f"{top}/d/hard", f"{top}/f"],
        ["rmdir", f"{top}/d"],
        ["unlink", f"{top}/d"],
        ["rmdir", f"{top}/f"],
        ["rmdir", "/"],
        ["unlink", "/"],
        ["rename", "/", f"{top}/x"],
        ["rename", f"{top}/f", "/"],
        ["rename", f"{top}/d", f"{top}/f"],
        ["rename", f"{top}/f", f"{top}/d/e"],
        ["listing", f"{top}"],
    )


def test_ways_to_open(pair: Pair, top: str) -> None:
    for path in (f"{top}/d", f"{top}/f", f"{top}/l", f"{top}/new", f"{top}/f/x", f"{top}/no/x"):
        for flags in (
            os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC,
            os.O_DIRECTORY, os.O_NOFOLLOW, os.O_CREAT | os.O_EXCL | os.O_RDWR,
            os.O_CREAT | os.O_DIRECTORY, os.O_CREAT | os.O_RDWR | os.O_TRUNC,
        ):  # fmt: skip
            agree(pair, ["open", "q", path, flags, 0o640])
    agree(pair, ["lstat", f"{top}/x"], ["listing", top])
