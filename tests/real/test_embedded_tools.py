"""The stock tools `ceph` and `rados` on the embedded cluster and on a real one, key by key.

On both a stock ceph-mds is active and one of ours stands by; who asks can tell the clusters apart
only by what is accepted below.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.shapes import Accepted, differences

OPTIONS = {name: QUICK[name] for name in ("mds_beacon_interval", "mds_beacon_grace")} | {
    "osd_pool_default_pg_autoscale_mode": "off",
    "osd_pool_default_pg_num": "1",
    "osd_crush_chooseleaf_type": "0",
}
NO_MANAGER = "there is no manager in the one-process cluster"
ACCEPTED = [
    Accepted("status", r"/mgrmap/.*|/servicemap/.*", NO_MANAGER),
    Accepted("status", r"/progress_events.*", NO_MANAGER),
    Accepted("status", r"/pgmap/pgs_by_state/.*", "a real one without a manager counts none"),
]


@pytest.fixture(scope="module")
def both(real_ceph: None) -> Iterator[tuple[RealCluster, RealCluster]]:
    """Each with a file system that mds.real serves, and a standby of ours."""
    with (
        started(EmbeddedCluster(options=OPTIONS)) as ours,
        started(RealCluster(osd=True, options=QUICK | OPTIONS)) as real,
    ):
        real.mon("auth rm", entity="client.badcaps")
        for cluster in ours, real:
            mds = cluster.start_real_mds("real")
            mds.wait_standby()
            cluster.new_fs()
            mds.wait_state("up:active", 20)
            cluster.start_our_mds("b").wait_standby()
            for pool in ("p", "q"):
                cluster.mon("osd pool create", pool=pool, pg_num=4)
                cluster.mon("osd pool application enable", pool=pool, app="x")
            wait_for(lambda: settled(cluster), 30, "all is well", every=0.1)  # noqa: B023
        yield ours, real


def settled(cluster: RealCluster) -> bool:
    return not set(cluster.mon("health", detail="detail")["checks"]) - {"MGR_DOWN"}


Both = tuple[RealCluster, RealCluster]

CEPH = {
    "status": ("-s",),
    "health": ("health", "detail"),
    "osd tree": ("osd", "tree"),
    "fs dump": ("fs", "dump"),
    "fs ls": ("fs", "ls"),
    "mds stat": ("mds", "stat"),
    "auth": ("auth", "get-or-create", "client.x", "mon", "allow r", "osd", "allow rw pool=p"),
    "auth again": ("auth", "get-or-create", "client.x"),
    "auth get": ("auth", "get", "client.x"),
    "config dump": ("config", "dump"),
    "config get": ("config", "get", "mds"),
    "osd dump": ("osd", "dump"),
    "osd map": ("osd", "map", "p", "object"),
    "mon dump": ("mon", "dump"),
    "versions": ("versions",),
}


@pytest.mark.parametrize("name", CEPH)
def test_ceph(both: Both, name: str) -> None:
    shown = []
    for cluster in both:
        cluster.ceph("config", "set", "mds", "mds_cache_memory_limit", "1G", json=False)
        if name == "auth get":
            cluster.ceph(*CEPH["auth"])
        shown.append(no_names(cluster.ceph(*CEPH[name])))
    ours, real = shown
    assert ours
    only_ours, only_real = differences(name, ours, real, ACCEPTED)
    assert (only_ours, only_real) == ([], [])
    same = SAME.get(name)
    if same is not None:
        assert same(ours) == same(real)


def no_names(value: Any) -> Any:
    """Keys that are ids or versions, without them."""
    if isinstance(value, dict):
        pattern = r"^gid_\d+$|^mds_\d+$|^ceph version .*|^\d+\.\d+\.\d+\.\d+:.*"
        return {re.sub(pattern, "KEY", key): no_names(v) for key, v in value.items()}
    return [no_names(each) for each in value] if isinstance(value, list) else value


SAME: dict[str, Callable[[Any], Any]] = {
    "osd tree": lambda tree: tree,
    "fs ls": lambda found: [(fs["name"], fs["metadata_pool"]) for fs in found],
    "auth": lambda found: [(e["entity"], e["caps"]) for e in found],
    "auth get": lambda found: [(e["entity"], e["caps"]) for e in found],
    "config dump": lambda found: found,
    "config get": lambda found: found,
    "osd map": lambda found: {
        k: v for k, v in found.items() if k not in ("epoch", "pgid", "raw_pgid")
    },
}
"""What of an answer is the same word for word."""


def test_tell_all_metadata_servers(both: Both) -> None:
    """`ceph tell mds.* status`, of a stock daemon and one of ours."""
    shown = []
    for cluster in both:
        text = cluster.ceph("tell", "mds.*", "status", json=False)
        parts = re.split(r"^(mds\.\w+): ", text, flags=re.MULTILINE)[1:]
        shown.append(dict(zip(parts[::2], map(json.loads, parts[1::2]), strict=True)))
    ours, real = shown
    assert set(ours) == set(real) == {"mds.real", "mds.b"}
    for name in ours:
        assert differences("tell", ours[name], real[name]) == ([], [])
        for key in ("state", "whoami", "want_state", "fs_name"):
            assert ours[name].get(key) == real[name].get(key)


# -- rados --------------------------------------------------------------------------------------

RADOS = [
    ("put", "o", "{source}"),
    ("get", "o", "-"),
    ("get", "none", "-"),
    ("stat", "none"),
    ("put", "copy", "{source}", "--offset", "100"),
    ("append", "o", "{source}"),
    ("truncate", "copy", "50"),
    ("ls",),
    ("-N", "space", "put", "in-space", "{source}"),
    ("-N", "space", "ls"),
    ("--all", "ls"),
    ("setomapval", "o", "key", "value"),
    ("setomapval", "o", "another", "one"),
    ("listomapkeys", "o"),
    ("listomapvals", "o"),
    ("getomapval", "o", "key"),
    ("getomapval", "o", "none"),
    ("rmomapkey", "o", "another"),
    ("setomapheader", "o", "a header"),
    ("getomapheader", "o"),
    ("setxattr", "o", "name", "value"),
    ("getxattr", "o", "name"),
    ("getxattr", "o", "none"),
    ("listxattr", "o"),
    ("rmxattr", "o", "name"),
    ("lock", "get", "o", "l", "--lock-cookie", "c", "--lock-tag", "t"),
    ("lock", "get", "o", "l", "--lock-cookie", "d", "--lock-tag", "t"),
    ("lock", "list", "o", "--format", "json"),
    ("lock", "info", "o", "l", "--format", "json"),
    ("lock", "get", "s", "l", "--lock-type", "shared", "--lock-cookie", "c", "--lock-tag", "t"),
    ("lock", "get", "s", "l", "--lock-type", "shared", "--lock-cookie", "d", "--lock-tag", "t"),
    ("lock", "info", "s", "l", "--format", "json"),
    ("lock", "break", "o", "l", "client.0", "--lock-cookie", "c"),
    ("mksnap", "one"),
    ("rm", "o"),
    ("lssnap",),
    ("-s", "one", "get", "o", "-"),
    ("rollback", "o", "one"),
    ("get", "o", "-"),
    ("rmsnap", "one"),
    ("cp", "o", "o2"),
    ("get", "o2", "-"),
    ("touch", "touched"),
    ("listwatchers", "o"),
    ("rm", "none"),
    ("-p", "nopool", "ls"),
]


def test_rados(both: Both) -> None:
    """One script of commands: statuses and what they print."""
    shown = []
    for cluster in both:
        source = cluster.root / "source"
        source.write_bytes(b"some words\n" * 10)
        answers = []
        for words in RADOS:
            given = [word.format(source=source) for word in words]
            pool = [] if "-p" in words else ["-p", "p"]
            done = cluster_run(cluster, "rados", *pool, *given)
            answers.append((words, done[0], masked(done[1])))
        shown.append(answers)
    ours, real = shown
    assert [a for a, b in zip(ours, real, strict=True) if a != b] == [], [
        b for a, b in zip(ours, real, strict=True) if a != b
    ]


def cluster_run(cluster: RealCluster, *argv: str) -> tuple[int, str]:
    done = subprocess.run(
        [argv[0], "-c", str(cluster.conf), *argv[1:]],
        env=cluster.env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode("latin-1")


def masked(text: str) -> str:
    """What is left when times, client numbers and addresses are blanked out."""
    text = re.sub(r"client\.\d+", "client.N", text)
    text = re.sub(r"\d+\.\d+\.\d+\.\d+:\d+/\d+", "ADDR", text)
    return re.sub(r"\d{4}[-.]\d\d[-.]\d\d[T ][\d:.]+(\+\d{4})?", "TIME", text)


def test_rados_bench(both: Both) -> None:
    """Its results have the same form, and it reads back what it wrote."""
    shown: list[list[set[str]]] = []
    for cluster in both:
        forms = []
        for kind in "write", "seq", "rand":
            words = ("-b", "4096", "--no-cleanup") if kind == "write" else ()
            status, out = cluster_run(
                cluster, "rados", "-p", "q", "bench", "1", kind, *words,
                "-t", "4", "--run-name", "r", "--format", "json",
            )  # fmt: skip
            assert status == 0
            # not quite JSON: 16.2.15 leaves out a comma
            forms.append(set(re.findall(r'"(\w+)":', out)))
        cluster_run(cluster, "rados", "-p", "q", "cleanup", "--run-name", "r")
        assert cluster_run(cluster, "rados", "-p", "q", "ls")[1] == ""
        shown.append(forms)
    assert shown[0] == shown[1]
    assert all("bandwidth" in form for form in shown[0])
