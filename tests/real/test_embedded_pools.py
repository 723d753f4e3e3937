"""The embedded monitor's OSDMap: pools, placement and figures, as stock tools see them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.conftest import started
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.embedded_pool_script import OPTIONS, REAL_OPTIONS, settled, unequal

NewCluster = Callable[[RealCluster], RealCluster]


@pytest.fixture(scope="module")
def _ours(real_ceph: None) -> Iterator[RealCluster]:
    with started(EmbeddedCluster(options=OPTIONS)) as cluster:
        yield cluster


@pytest.fixture
def ours(_ours: RealCluster) -> Iterator[RealCluster]:
    """The embedded cluster, without pools when a test begins."""
    _ours.mark_logs()
    yield _ours
    remove_pools(_ours)


@pytest.fixture(scope="module")
def _real(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, mgr=True, options=REAL_OPTIONS)) as cluster:
        yield cluster


@pytest.fixture
def both(ours: RealCluster, _real: RealCluster) -> Iterator[tuple[RealCluster, RealCluster]]:
    """The embedded cluster, and one of Ceph's own daemons."""
    _real.mark_logs()
    yield ours, _real
    remove_pools(_real)


def remove_pools(cluster: RealCluster) -> None:
    for pool in cluster.mon("osd pool ls"):
        if not pool.startswith((".", "device_health")):
            sure = {"yes_i_really_really_mean_it": True}
            cluster.mon("osd pool rm", pool=pool, pool2=pool, **sure)


def keyring(cluster: RealCluster, caps: dict[str, list[str]]) -> Path:
    """A file with the keys of these entities, which are made."""
    path = cluster.root / "others.keyring"
    texts = [
        cluster.mon("auth get-or-create", entity=name, caps=words) for name, words in caps.items()
    ]
    path.write_text("".join(f"[{e['entity']}]\nkey = {e['key']}\n" for (e,) in texts))
    return path


# -- librados -----------------------------------------------------------------------------------

USERS = {
    "client.reads": ["mon", "allow r", "osd", "allow r"],
    "client.snaps": ["mon", "allow r", "osd", "allow rwx pool=b"],
    "client.all": ["mon", "allow rw", "osd", "allow *"],
}


def test_librados_finds_no_difference(both: tuple[RealCluster, RealCluster]) -> None:
    """Pools, snapshots, applications, figures, fences: one program of python3-rados on both."""
    program = str(Path(__file__).with_name("rados_pools.py"))
    said = []
    for cluster in both:
        others = str(keyring(cluster, USERS))
        out = cluster.run(SYSTEM_PYTHON, program, str(cluster.conf), others, timeout=120)
        said.append(json.loads(out))
    ours, real = said
    assert [what for what, _ in ours] == [what for what, _ in real]
    assert not [
        (what, mine, other)
        for (what, mine), (_, other) in zip(ours, real, strict=True)
        if mine != other
    ]


def rados(cluster: RealCluster, *args: str) -> str:
    return cluster.run("rados", "-c", str(cluster.conf), *args)


def test_figures_are_true(both: tuple[RealCluster, RealCluster]) -> None:
    """What lies in a pool, as `ceph df`, `rados df`, `pg ls` and `osd df` say, on both."""
    shown = []
    for cluster in both:
        cluster.mon("osd pool create", pool="p", pg_num=4)
        cluster.mon("osd pool create", pool="empty", pg_num=1)
        source = cluster.root / "source"
        for size in (0, 1, 4096, 100_000):
            source.write_bytes(bytes(size))
            rados(cluster, "-p", "p", "put", f"of{size}", str(source))
        rados(cluster, "-p", "p", "setomapval", "of0", "key", "value")
        rados(cluster, "-p", "p", "mksnap", "s")
        rados(cluster, "-p", "p", "put", "of4096", str(source))
        wait_for(lambda: pool_figures(cluster).get("p", {}).get("objects") == 5, 20, "the figures")  # noqa: B023
        wait_for(lambda: settled(cluster), 20, "the placement groups are there")  # noqa: B023
        groups = cluster.mon("pg ls-by-pool", poolstr="p")["pg_stats"]
        stored = {
            pg["pgid"].partition(".")[2]: (
                pg["stat_sum"]["num_objects"],
                pg["stat_sum"]["num_bytes"],
                pg["stat_sum"]["num_object_clones"],
            )
            for pg in groups
        }
        table = [line.split()[:4] for line in rados(cluster, "df").splitlines()]
        (osd,) = cluster.mon("osd df")["nodes"]
        shown.append(
            {
                "df": pool_figures(cluster),
                "pgs": stored,
                "rados df": [row for row in table if row and row[0] in ("p", "empty")],
                "groups": osd["pgs"],
                "osd df keys": sorted(osd),
            }
        )
    ours, real = shown
    assert ours["df"]["p"] == {"stored": 204_097, "objects": 5}
    assert ours["df"]["empty"] == {"stored": 0, "objects": 0}
    assert sum(objects for objects, _, _ in ours["pgs"].values()) == 5
    assert ours["rados df"] == real["rados df"]
    assert ours["df"]["p"] == real["df"]["p"]
    assert ours["osd df keys"] == real["osd df keys"]
    assert ours["groups"] == 5


def pool_figures(cluster: RealCluster) -> dict[str, dict[str, int]]:
    pools = cluster.mon("df")["pools"]
    return {
        pool["name"]: {key: pool["stats"][key] for key in ("stored", "objects")} for pool in pools
    }


# -- placement ----------------------------------------------------------------------------------


def map_file(cluster: RealCluster, epoch: int = 0) -> str:
    path = cluster.root / f"osdmap.{epoch}"
    which = [str(epoch)] if epoch else []
    cluster.ceph("osd", "getmap", *which, "-o", str(path), json=False)
    return str(path)


def test_objects_are_where_osdmaptool_says(ours: RealCluster) -> None:
    """`ceph osd map` and `pg dump`, against Ceph's own code on the map that `getmap` gives."""
    numbers = {}
    for groups in (1, 3, 8, 13, 64):
        ours.mon("osd pool create", pool=f"p{groups}", pg_num=groups, pgp_num=(groups + 1) // 2)
        numbers[f"p{groups}"] = ours.mon("osd pool get", pool=f"p{groups}", var="size")["pool_id"]
    path = map_file(ours)
    for pool, number in numbers.items():
        for name in ("x", "a longer name", "10000000000.00000000", "ü"):
            argv = ("--test-map-object", name, "--pool", str(number))
            text = ours.run("osdmaptool", path, *argv)
            mine = ours.mon("osd map", pool=pool, object=name)
            found = re.search(r"object '.*' -> (\S+) -> \[(.*)\]", text)
            assert found, text
            assert (mine["pgid"], mine["up"]) == (found[1], [int(found[2])])
    dumped = ours.run("osdmaptool", path, "--test-map-pgs-dump-all")
    theirs = set(re.findall(r"^(\d+\.[0-9a-f]+)\s+raw \(\[0\], p0\)", dumped, re.MULTILINE))
    brief = ours.mon("pg dump", dumpcontents=["pgs_brief"])["pg_stats"]
    assert {pg["pgid"] for pg in brief} == theirs
    assert len(theirs) == sum((1, 3, 8, 13, 64))
    assert all(pg["up"] == pg["acting"] == [0] for pg in brief)


# -- Ceph's own code on our maps ----------------------------------------------------------------


def test_ceph_reads_our_map(ours: RealCluster) -> None:
    """`osdmaptool --dump json` of what getmap gives is what `osd dump` says, key by key."""
    ours.mon("osd pool create", pool="p", pg_num=8, pg_num_min=4, target_size_ratio=0.5)
    ours.mon("osd pool application enable", pool="p", app="rbd")
    ours.mon("osd pool mksnap", pool="p", snap="s")
    ours.mon("osd pool set", pool="p", var="compression_mode", val="force")
    ours.mon("osd pool set-quota", pool="p", field="max_objects", val="1000")
    ours.mon("osd blocklist", blocklistop="add", addr="10.0.0.1:0/5", expire=600.0)
    ours.mon("osd set", key="noout")
    ours.mon("osd crush rule create-replicated", name="by-osd", root="default", type="osd")
    path = map_file(ours)
    text = ours.run("osdmaptool", path, "--dump", "json")
    theirs = json.loads(text[text.index("{") :])
    mine = ours.mon("osd dump")
    assert list(unequal(mine, theirs)) == []
    assert mine == theirs
    assert " 'p' replicated" in (printed := ours.run("osdmaptool", path, "--print"))
    plain = ours.ceph("osd", "dump", json=False)
    assert printed.partition("epoch")[2].split() == plain.partition("epoch")[2].split()
    crush = ours.root / "crush"
    ours.ceph("osd", "getcrushmap", "-o", str(crush), json=False)
    exported = ours.root / "exported"
    ours.run("osdmaptool", path, "--export-crush", str(exported))
    assert crush.read_bytes() == exported.read_bytes()
    dumped = ours.run("crushtool", "-i", str(crush), "--dump")
    assert json.loads(dumped) == ours.mon("osd crush dump")
    words = ("--test", "--rule", "0", "--num-rep", "1", "--show-statistics")
    assert "result size == 1:\t1024/1024" in ours.run("crushtool", "-i", str(crush), *words)
    ours.mon("osd unset", key="noout")


def test_ceph_reads_every_epoch(ours: RealCluster) -> None:
    begun = ours.mon("osd dump")["epoch"]
    for number in range(6):
        ours.mon("osd pool create", pool=f"p{number}", pg_num=1)
        ours.mon("osd pool rename", srcpool=f"p{number}", destpool=f"q{number}")
    newest = ours.mon("osd dump")["epoch"]
    assert newest >= begun + 12
    for epoch in range(begun + 1, newest + 1):
        text = ours.run("osdmaptool", map_file(ours, epoch), "--dump", "json")
        assert (
            list(unequal(ours.mon("osd dump", epoch=epoch), json.loads(text[text.index("{") :])))
            == []
        )


# -- the stock tools ----------------------------------------------------------------------------

CALLS = [
    ("osd pool create x 8 8", "pool 'x' created", 0),
    ("osd pool create y --size 1 --pg_num 4", "pool 'y' created", 0),
    ("osd pool create z 8 8 replicated nix", "specified rule nix doesn't exist", 2),
    ("osd pool set x size 12", "EINVAL: pool size must be between 1 and 10", 22),
    ("osd pool set x no_such_variable 1", "", 22),
    ("osd pool rm x", "EPERM: WARNING: this will *PERMANENTLY DESTROY*", 1),
    ("osd pool rm x x --yes-i-really-really-mean-it", "pool 'x' removed", 0),
    ("osd pool set-quota y max_objects 10", "set-quota max_objects = 10 for pool y", 0),
    ("osd blocklist add 10.0.0.9:0/1 60", "blocklisting 10.0.0.9:0/1 until", 0),
    ("osd blacklist rm 10.0.0.9:0/1", "un-blocklisting 10.0.0.9:0/1", 0),
    ("osd set noscrub", "noscrub is set", 0),
    ("osd unset noscrub", "noscrub is unset", 0),
    ("osd erasure-code-profile set x k=2 m=1", "", 95),
    ("osd crush add-bucket rack1 rack", "", 95),
]


def test_the_ceph_tool(ours: RealCluster) -> None:
    wrong = []
    for line, text, status in CALLS:
        done = ours.ceph_result(*line.split())
        if done.returncode != status or text not in done.stderr:
            wrong.append((line, done.returncode, done.stderr))
    assert not wrong


SHOWN = [
    *("osd tree", "osd df tree", "osd stat", "osd perf", "osd pool ls detail", "osd lspools"),
    *("osd pool stats", "osd pool get p all", "pg stat", "pg dump", "pg ls", "df detail"),
    *("osd blocklist ls", "osd metadata 0", "osd find 0", "osd versions", "osd crush tree"),
]


def test_what_is_shown_has_the_same_headings(both: tuple[RealCluster, RealCluster]) -> None:
    """The tables that people read: first lines alike but for numbers."""
    shown = []
    for cluster in both:
        cluster.mon("osd pool create", pool="p", pg_num=4)
        wait_for(lambda: settled(cluster), 30, "the placement groups are there")  # noqa: B023
        shown.append([cluster.ceph(*line.split(), json=False) for line in SHOWN])
    for line, mine, other in zip(SHOWN, *shown, strict=True):
        headings = [
            [word for word in text.split() if word.isupper() and word.isalpha() and word != "B"]
            for text in (mine, other)
        ]
        assert headings[0] == headings[1], line
        assert bool(mine.strip()) == bool(other.strip()), line


# -- what is full -------------------------------------------------------------------------------


def checks(cluster: RealCluster) -> dict[str, Any]:
    found = cluster.mon("health", detail="detail")["checks"]
    return {
        code: (
            check["severity"],
            check["summary"]["message"],
            [d["message"] for d in check["detail"]],
        )
        for code, check in found.items()
        if not code.startswith("AUTH_")  # of the tests' own keyring
    }


def put(cluster: RealCluster, pool: str, name: str) -> subprocess.Popen[bytes]:
    argv = ["rados", "-c", str(cluster.conf), "-p", pool, "put", name, str(cluster.conf)]
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv],
        env=cluster.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_quota_holds_writers(both: tuple[RealCluster, RealCluster]) -> None:
    seen = []
    for cluster in both:
        cluster.mon("osd pool create", pool="p", pg_num=1)
        cluster.mon("osd pool application enable", pool="p", app="x")
        for name in "ab":
            rados(cluster, "-p", "p", "put", name, str(cluster.conf))
        cluster.mon("osd pool set-quota", pool="p", field="max_objects", val="2")
        wait_for(lambda: "POOL_FULL" in checks(cluster), 30, "the pool is full")  # noqa: B023
        seen.append(checks(cluster))
        rados(cluster, "-p", "p", "ls")
        writer = put(cluster, "p", "c")
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(1.5)
        cluster.mon("osd pool set-quota", pool="p", field="max_objects", val="0")
        assert writer.wait(30) == 0
        wait_for(lambda: "POOL_FULL" not in checks(cluster), 30, "there is room")  # noqa: B023
        assert sorted(rados(cluster, "-p", "p", "ls").split()) == ["a", "b", "c"]
    assert seen[0] == seen[1]


def test_a_full_cluster(both: tuple[RealCluster, RealCluster]) -> None:
    ours, real = both
    health_pool = "device_health_metrics"  # of a real manager
    wait_for(lambda: health_pool in real.mon("osd pool ls"), 60, "the manager has its pool")
    ours.mon("osd pool create", pool=health_pool, pg_num=1)
    ours.mon("osd pool application enable", pool=health_pool, app="x")
    seen = []
    for cluster in both:
        cluster.mon("osd pool create", pool="p", pg_num=1)
        cluster.mon("osd pool application enable", pool="p", app="x")
        source = cluster.root / "source"
        source.write_bytes(bytes(16 << 20))
        rados(cluster, "-p", "p", "put", "big", str(source))
        cluster.mon("osd set-nearfull-ratio", ratio=0.001)
        wait_for(lambda: "OSD_NEARFULL" in checks(cluster), 30, "it is nearly full")  # noqa: B023
        near = checks(cluster)
        cluster.mon("osd set-backfillfull-ratio", ratio=0.001)
        cluster.mon("osd set-full-ratio", ratio=0.001)
        wait_for(lambda: "OSD_FULL" in checks(cluster), 30, "it is full")  # noqa: B023
        wait_for(lambda: "POOL_FULL" in checks(cluster), 30, "the pool is full")  # noqa: B023
        full = checks(cluster)
        for which, ratio in (("full", 0.95), ("backfillfull", 0.9), ("nearfull", 0.85)):
            cluster.mon(f"osd set-{which}-ratio", ratio=ratio)
        wait_for(lambda: not checks(cluster), 30, "there is room")  # noqa: B023
        seen.append((near, full))
    assert seen[0] == seen[1]


# -- state --------------------------------------------------------------------------------------


def test_state_outlives_the_process(new_cluster: NewCluster) -> None:
    cluster = new_cluster(EmbeddedCluster(data=True, options=OPTIONS))
    assert isinstance(cluster, EmbeddedCluster)
    cluster.mon("osd pool create", pool="p", pg_num=8)
    cluster.mon("osd pool create", pool="gone", pg_num=8)
    remove = {"pool": "gone", "pool2": "gone", "yes_i_really_really_mean_it": True}
    cluster.mon("osd pool mksnap", pool="p", snap="s")
    cluster.mon("osd pool set-quota", pool="p", field="max_bytes", val="1G")
    cluster.mon("osd pool application enable", pool="p", app="x")
    cluster.mon("osd blocklist", blocklistop="add", addr="10.0.0.1:0/5", expire=3600.0)
    cluster.mon("osd set", key="nodeep-scrub")
    cluster.mon("osd pool rm", **remove)
    rados(cluster, "-p", "p", "put", "o", str(cluster.conf))
    before = cluster.mon("osd dump")
    cluster.restart()
    after = cluster.mon("osd dump")
    assert after["epoch"] > before["epoch"]
    for key in ("pools", "flags", "blocklist", "pool_max", "crush_version", "osd_xinfo"):
        assert list(unequal(after[key], before[key])) == [], key
    assert after["osds"][0]["up"] == 1
    assert after["osds"][0]["uuid"] == before["osds"][0]["uuid"]
    assert cluster.mon("osd dump", epoch=before["epoch"]) == before
    rados(cluster, "-p", "p", "put", "o2", str(cluster.conf))
    assert sorted(rados(cluster, "-p", "p", "ls").split()) == ["o", "o2"]
    cluster.mon("osd pool create", pool="new", pg_num=8)
    assert cluster.mon("osd pool get", pool="new", var="size")["pool_id"] == after["pool_max"] + 1
