"""Usage and health in the embedded monitor: df, full flags, placement groups, warnings."""

from typing import Any

import pytest
from tests.unit.embedded_osdmap_kit import FSID, GIB, START, Kit

from mdsdaemon.embedded.monitor import osd_pgs
from mdsdaemon.embedded.monitor.osd_usage import PoolUsage, raw_available
from mdsdaemon.messages.pool import MGetPoolStats, MStatfs

MIB = 1 << 20


def filled() -> Kit:
    """Pools a (8 PGs, 3 objects, 1 MiB) and b (4 PGs, empty, two copies)."""
    kit = Kit()
    kit.pool("a", pg_num=8)
    kit.pool("b", pg_num=4, size=2)
    kit.ok("osd pool application enable", pool="a", app="cephfs")
    kit.store.pools[1] = PoolUsage(
        objects=3, clones=1, bytes=MIB, reads=5, read_kb=6, writes=7, write_kb=8, omap_objects=1
    )
    kit.store.used = 2 * MIB
    return kit


def test_df() -> None:
    kit = filled()
    # as Ceph reckons: in KiB, up to the full ratio
    avail = int((4 * GIB - 2 * MIB >> 10) - (4 * GIB >> 10) * (1.0 - kit.osd.map.osd.full_ratio))
    assert raw_available(kit.osd.map, kit.osd.usage) // 1024 == avail
    found = kit.json("df", detail="detail")
    store = {
        "total_bytes": 4 * GIB,
        "total_avail_bytes": 4 * GIB - 2 * MIB,
        "total_used_bytes": 2 * MIB,
        "total_used_raw_bytes": 2 * MIB,
        "total_used_raw_ratio": pytest.approx(2 * MIB / (4 * GIB)),
    }
    assert found["stats_by_class"] == {"hdd": store}
    assert found["stats"] == {
        **store,
        "num_osds": 1,
        "num_per_pool_osds": 0,
        "num_per_pool_omap_osds": 0,
    }
    a, b = found["pools"]
    assert (a["name"], a["id"], b["name"], b["id"]) == ("a", 1, "b", 2)
    stats = a["stats"]
    assert {key: stats[key] for key in ("stored", "objects", "kb_used", "bytes_used", "dirty")} == {
        "stored": MIB,
        "objects": 3,
        "kb_used": 1024,
        "bytes_used": MIB,
        "dirty": 3,
    }
    assert (stats["rd"], stats["rd_bytes"], stats["wr"], stats["wr_bytes"]) == (5, 6144, 7, 8192)
    assert stats["max_avail"] // 1024 == avail
    assert b["stats"]["max_avail"] // 1024 == avail // 2
    assert "rd" not in kit.json("df")["pools"][0]["stats"]
    text = kit.text("df")
    assert text.startswith(
        "--- RAW STORAGE ---\n"
        "CLASS   SIZE    AVAIL   USED  RAW USED  %RAW USED\n"
        "hdd    4 GiB  4.0 GiB  2 MiB     2 MiB       0.05\n"
        "TOTAL  4 GiB  4.0 GiB  2 MiB     2 MiB       0.05\n \n--- POOLS ---\n"
        "POOL  ID  PGS  STORED  OBJECTS   USED  %USED  MAX AVAIL\n"
        "a      1    8   1 MiB        3  1 MiB   0.03"
    )


def test_osd_df() -> None:
    kit = filled()
    found = kit.json("osd df", output_method="tree")
    root, host, osd = found["nodes"]
    assert (root["name"], root["children"], host["name"], osd["name"]) == (
        "default",
        [host["id"]],
        "box",
        "osd.0",
    )
    assert (osd["kb"], osd["kb_used"], osd["pgs"], osd["status"]) == (4 << 20, 2048, 12, "up")
    assert found["summary"]["total_kb_avail"] == (4 << 20) - 2048
    assert [n["name"] for n in kit.json("osd df")["nodes"]] == ["osd.0"]
    assert kit.text("osd df").splitlines()[1] == (
        " 0    hdd  0.00389   1.00000  4 GiB    2 MiB  1 MiB   0 B   0 B  4.0 GiB  0.05  1.00   12"
        "      up"
    )
    result = kit.run("osd df", filter_by="class", filter="nope")
    assert (result.r, result.outs) == (-22, "specified class 'nope' does not exist")


def test_statfs_and_pool_stats() -> None:
    kit = filled()
    session = kit.session()
    kit.osd.handle_statfs(session, MStatfs(fsid=FSID))
    (reply,) = session.take()
    assert (reply.kb, reply.kb_used, reply.num_objects) == (4 << 20, 2048, 3)
    assert reply.kb_avail == (4 << 20) - 2048
    kit.osd.handle_statfs(session, MStatfs(fsid=FSID, data_pool=1))
    (reply,) = session.take()
    assert (reply.kb_used, reply.num_objects, reply.kb - reply.kb_avail) == (1024, 3, 1024)
    # no answer: a pool that is gone, another cluster, no caps
    kit.osd.handle_statfs(session, MStatfs(fsid=FSID, data_pool=99))
    kit.osd.handle_statfs(session, MStatfs(fsid=type(FSID)(int=1)))
    nobody = kit.session("client.n", "allow command foo")
    kit.osd.handle_statfs(nobody, MStatfs(fsid=FSID))
    kit.osd.handle_get_pool_stats(nobody, MGetPoolStats(fsid=FSID, pools=["a"]))
    assert session.take() + nobody.take() == []
    kit.osd.handle_get_pool_stats(session, MGetPoolStats(fsid=FSID, pools=["a", "zz", "b"]))
    (reply,) = session.take()
    assert sorted(reply.pool_stats) == ["a", "b"]
    total = reply.pool_stats["a"].stats.sum
    assert (total.num_bytes, total.num_objects, total.num_object_clones) == (MIB, 3, 1)
    assert (total.num_rd, total.num_wr_kb, reply.pool_stats["b"].acting) == (5, 8, 4)


@pytest.mark.parametrize(
    ("used", "state", "flag", "check"),
    [
        (0.80, [], "", ""),
        (0.86, ["nearfull"], "nearfull", "OSD_NEARFULL"),
        (0.91, ["backfillfull"], "backfillfull", "OSD_BACKFILLFULL"),
        (0.96, ["full"], "full", "OSD_FULL"),
    ],
)
def test_a_store_that_fills_up(used: float, state: list[str], flag: str, check: str) -> None:
    kit = filled()
    kit.store.used = int(kit.store.total * used)
    kit.tick()
    found = kit.json("osd info", id=0)["state"]
    assert [name for name in found if name not in ("exists", "up")] == state
    names = kit.json("osd pool ls", detail="detail")[0]["flags_names"].split(",")
    assert names == ["hashpspool", *([flag] if flag else [])]
    codes = kit.health()
    assert (check in codes) == bool(check)
    if check == "OSD_FULL":
        assert codes[check] == ("HEALTH_ERR", "1 full osd(s)", ("osd.0 is full",))
        assert codes["POOL_FULL"][2] == (
            "pool 'a' is full (no space)",
            "pool 'b' is full (no space)",
        )
    epoch = kit.osd.map.epoch
    kit.tick()
    assert kit.osd.map.epoch == epoch
    kit.store.used = 0
    kit.tick()
    assert kit.json("osd info", id=0)["state"] == ["exists", "up"]
    assert kit.json("osd pool ls", detail="detail")[0]["flags_names"] == "hashpspool"


def test_ratios() -> None:
    kit = filled()
    kit.store.used = kit.store.total // 2
    assert kit.ok("osd set-nearfull-ratio", ratio=0.4) == "osd set-nearfull-ratio 0.4"
    assert "OSD_NEARFULL" in kit.health()
    kit.ok("osd set-full-ratio", ratio=0.3)
    severity, text, detail = kit.health()["OSD_OUT_OF_ORDER_FULL"]
    assert (severity, text) == ("HEALTH_ERR", "full ratio(s) out of order")
    assert detail == ("full_ratio (0.3) < backfillfull_ratio (0.9), increased",)
    assert kit.json("osd dump")["full_ratio"] == pytest.approx(0.3, abs=1e-7)


# -- placement groups -------------------------------------------------------------------------


def test_states_of_placement_groups() -> None:
    kit = filled()
    assert kit.osd.pgs.states() == {"active+clean": 8, "active+undersized": 4}
    kit.store.pools[2] = PoolUsage(objects=2, bytes=10)
    states = kit.osd.pgs.states()
    assert states == {"active+clean": 8, "active+undersized": 3, "active+undersized+degraded": 1}
    facts = kit.osd.pgs.summary()
    assert (facts.num_pgs, facts.num_pools, facts.objects, facts.data) == (12, 2, 5, MIB + 10)
    assert (facts.degraded, facts.copies) == (2, 7)
    assert osd_pgs.summary_json(facts)["degraded_objects"] == 2
    assert osd_pgs.summary_text(facts) == (
        "    pools:   2 pools, 12 pgs\n    objects: 5 objects, 1.0 MiB\n"
        "    usage:   2 MiB used, 4.0 GiB / 4 GiB avail\n"
        "    pgs:     2/7 objects degraded (28.571%)\n"
        "             8 active+clean\n             3 active+undersized\n"
        "             1 active+undersized+degraded\n"
    )
    kit.ok("osd out", ids=["0"])
    assert kit.osd.pgs.states() == {"stale+active+clean": 12}
    kit.ok("osd in", ids=["0"])
    assert sum(kit.osd.pgs.states().values()) == 12


def test_without_an_osd_placement_groups_are_unknown() -> None:
    kit = Kit(osd=False)
    kit.pool("a", pg_num=2)
    assert kit.osd.pgs.states() == {"unknown": 2}
    assert osd_pgs.summary_json(kit.osd.pgs.summary())["unknown_pgs_ratio"] == 1
    assert kit.text("pg stat") == "2 pgs: 2 unknown; 0 B data, 0 B used, 4 GiB / 4 GiB avail\n"


def test_pg_commands() -> None:
    kit = filled()
    assert kit.text("pg stat") == (
        "12 pgs: 4 active+undersized, 8 active+clean; 1 MiB data, 2 MiB used, "
        "4.0 GiB / 4 GiB avail\n"
    )
    rows = kit.json("pg ls", pool=1)["pg_stats"]
    assert [row["pgid"] for row in rows] == [f"1.{seed:x}" for seed in range(8)]
    assert rows[0]["stat_sum"]["num_objects"] == 3
    assert (rows[0]["acting"], rows[0]["acting_primary"]) == ([0], 0)
    assert len(kit.json("pg ls", states=["undersized"])["pg_stats"]) == 4
    assert "pg_stats" not in kit.json("pg ls", states=["stale"])
    assert len(kit.json("pg ls-by-osd", osd=0)["pg_stats"]) == 12
    assert len(kit.json("pg ls-by-pool", poolstr="b")["pg_stats"]) == 4
    for prefix, args, r, text in (
        ("pg ls", {"pool": 99}, -2, "pool 99 does not exist"),
        ("pg ls-by-pool", {"poolstr": "zz"}, -2, "pool zz does not exist"),
        ("pg ls-by-osd", {"osd": 9}, -11, "osd 9 is not up"),
        ("pg map", {"pgid": "99.0"}, -2, "pg '99.0' does not exist"),
        ("pg map", {"pgid": "zz"}, -22, "invalid pgid 'zz'"),
    ):
        result = kit.run(prefix, **args)
        assert (result.r, result.outs) == (r, text)
    dump = kit.json("pg dump")["pg_map"]
    assert dump["pg_stats_sum"]["stat_sum"]["num_objects"] == 3
    assert [pool["poolid"] for pool in dump["pool_stats"]] == [2, 1]
    assert kit.ok("pg dump", dumpcontents=["pools"]) == "dumped pools"
    for what in ("all", "summary", "pools", "osds", "pgs", "pgs_brief", "delta"):
        kit.text("pg dump", dumpcontents=[what])
        kit.json("pg dump", dumpcontents=[what])
    assert kit.text("pg map", pgid="1.fff") == (
        f"osdmap e{kit.osd.map.epoch} pg 1.fff (1.7) -> up [0] acting [0]\n"
    )
    result = kit.run("osd ok-to-stop", ids=["0"])
    assert (result.r, result.outs) == (
        -16,
        "unsafe to stop osd(s) at this time (12 PGs are or would become offline)",
    )
    assert kit.run("osd safe-to-destroy", ids=["0"]).r == -16


# -- health -----------------------------------------------------------------------------------


def test_a_healthy_cluster_says_nothing() -> None:
    kit = Kit()
    kit.pool("a")
    kit.store.pools[1] = PoolUsage(objects=1)
    kit.ok("osd pool application enable", pool="a", app="rbd")
    assert kit.health() == {}


def expect(kit: Kit, code: str, text: str, *detail: str, severity: str = "HEALTH_WARN") -> None:
    assert kit.health()[code] == (severity, text, detail)


def test_an_osd_that_is_down() -> None:
    kit = Kit()
    kit.pool("a", pg_num=2)
    kit.osd.osd_is_gone()
    where = "root=default,host=box"
    expect(kit, "OSD_DOWN", "1 osds down", f"osd.0 ({where}) is down")
    expect(kit, "OSD_HOST_DOWN", "1 host (1 osds) down", "host box (root=default) (1 osds) is down")
    expect(kit, "OSD_ROOT_DOWN", "1 root (1 osds) down", "root default (1 osds) is down")
    assert "PG_AVAILABILITY" not in kit.health()
    kit.clock.now += 100
    severity, text, detail = kit.health()["PG_AVAILABILITY"]
    assert (severity, text) == ("HEALTH_WARN", "Reduced data availability: 2 pgs stale")
    assert detail[0] == (
        "pg 1.0 is stuck stale for 100s, current state stale+active+clean, last acting []"
    )
    kit.boot()
    kit.ok("osd out", ids=["0"])
    assert "OSD_DOWN" not in kit.health()


def test_warnings_about_pools() -> None:
    kit = Kit(mon_warn_on_pool_no_redundancy="true", osd_pool_default_size="1")
    kit.pool("a", pg_num=3)
    kit.store.pools[1] = PoolUsage(objects=1)
    expect(
        kit,
        "POOL_NO_REDUNDANCY",
        "1 pool(s) have no replicas configured",
        "pool 'a' has no replicas configured",
    )
    expect(
        kit,
        "POOL_PG_NUM_NOT_POWER_OF_TWO",
        "1 pool(s) have non-power-of-two pg_num",
        "pool 'a' pg_num 3 is not a power of two",
    )
    severity, text, detail = kit.health()["POOL_APP_NOT_ENABLED"]
    assert (severity, text) == ("HEALTH_WARN", "1 pool(s) do not have an application enabled")
    assert detail[0] == "application not enabled on pool 'a'"
    for name, val in (("pgp_num", "2"), ("noscrub", "1"), ("nodeep-scrub", "1")):
        kit.ok("osd pool set", pool="a", var=name, val=val)
    expect(
        kit,
        "SMALLER_PGP_NUM",
        "1 pools have pg_num > pgp_num",
        "pool a pg_num 3 > pgp_num 2",
    )
    expect(
        kit,
        "POOL_SCRUB_FLAGS",
        "Some pool(s) have the noscrub, nodeep-scrub flag(s) set",
        "Pool a has noscrub flag",
        "Pool a has nodeep-scrub flag",
        severity="HEALTH_OK",
    )


def test_warnings_about_flags_and_numbers() -> None:
    kit = Kit(osd_pool_default_size="3", mon_max_pg_per_osd="2")
    kit.mon.config.set_val("mon_max_pg_per_osd", 250)
    kit.pool("a", pg_num=8, size=1)
    kit.mon.config.set_val("mon_max_pg_per_osd", 2)
    kit.ok("osd set", key="pause")
    kit.ok("osd set", key="noout")
    expect(kit, "OSDMAP_FLAGS", "pauserd,pausewr,noout flag(s) set")
    expect(kit, "TOO_FEW_OSDS", "OSD count 1 < osd_pool_default_size 3")
    expect(kit, "TOO_MANY_PGS", "too many PGs per OSD (8 > max 2)")


def test_replicas_that_are_missing() -> None:
    kit = filled()
    assert "PG_DEGRADED" not in kit.health()
    kit.clock.now = START + 100
    _, text, detail = kit.health()["PG_DEGRADED"]
    assert text == "Degraded data redundancy: 4 pgs undersized"
    assert detail[0] == (
        "pg 2.0 is stuck undersized for 100s, current state active+undersized, last acting [0]"
    )
    kit.store.pools[2] = PoolUsage(objects=1)
    _, text, _ = kit.health()["PG_DEGRADED"]
    assert text.startswith("Degraded data redundancy: 1/5 objects degraded (20.000%), ")


def test_a_quota_that_is_near() -> None:
    kit = filled()
    kit.mon.config.set_val("mon_pool_quota_warn_threshold", 50)
    kit.ok("osd pool set-quota", pool="a", field="max_objects", val="4")
    expect(kit, "POOL_NEAR_FULL", "1 pools nearfull", "pool 'a' has 3 objects (max 4)")


def test_commands_with_nothing_to_say() -> None:
    kit = filled()
    found: Any = kit.json("osd perf")
    assert found["osdstats"]["osd_perf_infos"][0]["id"] == 0
    assert kit.text("osd blocked-by") == "osd  num_blocked\n"
    assert kit.text("osd pool stats", pool_name="a") == "pool a id 1\n  nothing is going on\n\n"
    assert kit.run("osd pool stats", pool_name="zz").outs == "unrecognized pool 'zz'"
    assert kit.text("osd utilization").startswith("avg 12\nstddev 0 (expected baseline 0)\n")
