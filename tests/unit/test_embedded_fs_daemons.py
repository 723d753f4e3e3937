"""`ceph mds …`, the manager's file system commands, and health: what they answer and refuse.

The texts and numbers of the refusals are those of a live ceph-mon 16.2.15; tests/real compares them
again with one.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests.unit.embedded_fs_mon import FakeMon, with_fs

from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.health import MDSHealth, MDSHealthMetric

# -- daemons ------------------------------------------------------------------------------------


def test_mds_fail() -> None:
    mon = with_fs(1, 2)
    result = mon.ask("mds fail", role_or_gid="0")
    assert (result.r, result.outs) == (0, "failed mds gid 2")
    assert mon.osd.fenced == [2]
    assert mon.text("mds stat") == "cephfs:1/1 {0=m1=up:replay}\n"
    for who, said in (
        ("nosuch", "MDS named 'nosuch' does not exist, or is not up"),
        ("99999", ""),
        ("cephfs:7", "MDS named 'cephfs:7' does not exist, or is not up"),
    ):
        result = mon.ask("mds fail", role_or_gid=who)
        unseen = "does not exist, is not up or you lack the permission to see."
        assert (result.r, result.outs) == (0, f"{said}MDS named '{who}' {unseen}")
    assert mon.ask("mds fail", role_or_gid="m1").outs == "failed mds gid 1"
    assert mon.mds.fsmap.filesystems[0].mds_map.failed == {0}


def test_mds_rm_and_set_state() -> None:
    mon = with_fs(1, 2)
    assert mon.ask("mds rm", gid=9).outs == "mds gid 9 does not exist"
    assert mon.ask("mds rm", gid=2).r == -errno.EBUSY
    assert mon.ask("mds rm", gid=1).outs == "removed mds gid 1"
    assert mon.ask("mds set_state", gid=9, state=13).r == 0
    assert mon.ask("mds set_state", gid=2, state=11).outs == ("set mds gid 2 to state 11 up:rejoin")
    mon.daemon(3)
    assert mon.ask("mds set_state", gid=3, state=13).r == -errno.EINVAL


def test_mds_freeze() -> None:
    mon = with_fs(1)
    assert mon.ask("mds freeze", role_or_gid="m1", val="yes").outs == "freezing mds.1"
    assert " frozen addr " in mon.text("fs dump")
    assert mon.json("fs dump")["filesystems"][0]["mdsmap"]["info"]["gid_1"]["flags"] == 1
    assert mon.ask("mds freeze", role_or_gid="m1", val="perhaps").r == -errno.EINVAL
    assert mon.ask("mds freeze", role_or_gid="nosuch", val="1").r == -errno.EINVAL
    assert mon.ask("mds freeze", role_or_gid="m1", val="0").outs == "unfreezing mds.1"


def test_mds_repaired_and_rmfailed() -> None:
    mon = with_fs(1)
    for role, number, text in (
        ("cephfs:5", errno.ENOENT, "Rank '5' not found"),
        ("nofs:5", errno.ENOENT, "Invalid filesystem"),
        ("x", errno.EINVAL, "Invalid rank 'x'"),
        ("-1", errno.EINVAL, "Invalid rank '-1'"),
    ):
        result = mon.ask("mds repaired", role=role)
        assert (result.r, result.outs) == (-number, text)
    assert mon.ask("mds repaired", role="0").outs == "nothing to do: rank is not damaged"
    assert mon.ask("mds rmfailed", role="0").r == -errno.EPERM
    sure: dict[str, Any] = {"yes_i_really_mean_it": True}
    assert mon.ask("mds rmfailed", role="0", **sure).outs == "removed failed mds.1:0"
    result = mon.ask("mds rmfailed", role="nofs:0", **sure)
    assert (result.r, result.outs) == (-errno.EINVAL, "Invalid filesysteminvalid role 'nofs:0'")


def test_a_damaged_rank_is_repaired() -> None:
    mon = FakeMon()
    daemon = mon.daemon(1)
    mon.ask("fs new", fs_name="cephfs", metadata="m1", data="d1")
    daemon.up()
    daemon.say(State.DAMAGED)
    mon.daemon(2)
    assert mon.text("mds stat") == "cephfs:0/1 1 up:standby, 1 damaged\n"
    assert mon.ask("mds repaired", role="cephfs:0").outs == "repaired: restoring rank 1:0"
    assert mon.text("mds stat") == "cephfs:1/1 {0=m2=up:replay}\n"


def test_mds_ok_to_stop() -> None:
    mon = with_fs(1, 2)
    assert mon.ask("mds ok-to-stop", ids=["m2"]).outs == "should be safe to stop [m2]"
    assert mon.ask("mds ok-to-stop", ids=["nobody"]).outs == "should be safe to stop [nobody]"
    refused = mon.ask("mds ok-to-stop", ids=["m2", "m1"])
    assert (refused.r, refused.outs) == (
        -errno.EBUSY,
        "insufficent standby MDS daemons to stop active gids 2 and/or standby gids 1",
    )
    assert mon.ask("mds ok-to-stop").outs == "must specify mds id"
    mon.ask("mds fail", role_or_gid="m2")
    assert mon.ask("mds ok-to-stop", ids=["m1"]).outs == (
        "one or more filesystems is currently degraded"
    )


def test_metadata() -> None:
    mon = with_fs(1, 2)
    assert mon.json("mds metadata", who="m2") == {
        "addr": "x",
        "ceph_version": "ceph version 1",
        "hostname": "here",
    }
    assert [entry["name"] for entry in mon.json("mds metadata")] == ["m1", "m2"]
    assert mon.json("mds versions") == {"ceph version 1": 2}
    assert mon.json("mds count-metadata", property="nothing") == {"unknown": 2}
    assert mon.mds.nodes() == {"here": ["m1", "m2"]}
    result = mon.ask("mds metadata", who="nosuch")
    assert (result.r, result.outs, result.outb) == (
        -errno.EINVAL,
        "MDS named 'nosuch' does not exist, or is not up",
        b"{}\n",
    )


# -- caps ---------------------------------------------------------------------------------------


def test_caps_confine_to_file_systems() -> None:
    mon = with_fs(1)
    mon.ask("fs new", fs_name="x", metadata="m2", data="d2")
    only = mon.session("client.x", caps="allow rw fsname=x")
    assert mon.text("fs ls", session=only).startswith("name: x,")
    assert mon.ask("fs get", fs_name="cephfs", session=only).r == -errno.ENOENT
    assert [fs["id"] for fs in mon.json("fs dump", session=only)["filesystems"]] == [2]
    assert mon.ask("fs fail", fs_name="cephfs", session=only).outs == (
        "Permission denied: 'cephfs'"
    )
    assert mon.ask("fs fail", fs_name="x", session=only).r == 0
    result = mon.ask("mds fail", role_or_gid="m1", session=only)
    assert result.r == -errno.EINVAL
    reader = mon.session("client.r", caps="allow r")
    assert mon.ask("fs fail", fs_name="x", session=reader).r == -errno.EPERM


# -- commands of the manager's modules ----------------------------------------------------------


def test_fs_status_for_people() -> None:
    mon = with_fs(1, 2)
    mon.ask("fs set", fs_name="cephfs", var="allow_standby_replay", val="1")
    mon.daemon(3)
    mon.mds.counter_source = lambda name, path: 12345 if path == "mds_mem.ino" else 1
    assert mon.text("fs status") == (
        "cephfs - 1 clients\n"
        "======\n"
        "RANK      STATE       MDS     ACTIVITY     DNS    INOS   DIRS   CAPS  \n"
        " \033[1m0\033[0m        \033[1;32mactive\033[0m       m2  Reqs:    1 /s     1   12.3k  "
        "   1      1   \n"
        "0-s   standby-replay   m1  Evts:    1 /s     1   12.3k     1      1   \n"
        "POOL    TYPE     USED  AVAIL  \n"
        " m1   metadata     0    972M  \n"
        " d1     data       0    972M  \n"
        "STANDBY MDS  \n"
        "     m3      \n"
        "MDS version: ceph version 1\n"
    )


def test_fs_status_for_programs() -> None:
    mon = with_fs(1, 2)
    data = mon.json("fs status")
    assert data["clients"] == [{"clients": 0, "fs": "cephfs"}]
    assert data["mds_version"] == "ceph version 1"
    assert data["mdsmap"] == [
        {"caps": 0, "dirs": 0, "dns": 0, "inos": 0, "name": "m2", "rank": 0, "rate": 0,
         "state": "active"},
        {"name": "m1", "state": "standby"},
    ]  # fmt: skip
    assert [(p["id"], p["name"], p["type"]) for p in data["pools"]] == [
        (1, "m1", "metadata"),
        (2, "d1", "data"),
    ]
    result = mon.ask("fs status", fs="nosuch")
    assert (result.r, result.outs) == (-errno.EINVAL, "Invalid filesystem: nosuch")
    mon.ask("fs fail", fs_name="cephfs")
    assert mon.json("fs status")["mdsmap"][0] == {"rank": 0, "state": "failed"}


def test_volumes() -> None:
    mon = with_fs(1)
    assert mon.text("fs volume ls") == '[\n    {\n        "name": "cephfs"\n    }\n]\n'
    warned = mon.ask("fs volume rm", vol_name="cephfs")
    assert warned.r == -errno.EPERM
    assert warned.outs.startswith("WARNING: this will *PERMANENTLY DESTROY* all data")
    sure: dict[str, Any] = {"yes-i-really-mean-it": "--yes-i-really-mean-it"}
    assert mon.ask("fs volume rm", vol_name="cephfs", **sure).outs.startswith(
        "pool deletion is disabled; you must first set"
    )
    mon.config.set_val("mon_allow_pool_delete", "true")
    assert mon.ask("fs volume rm", vol_name="nope", **sure).r == -errno.ENOENT


@pytest.mark.parametrize("prefix", ["fs subvolume create", "fs snap-schedule add", "fs perf stats"])
def test_what_needs_a_manager_is_refused_in_words(prefix: str) -> None:
    result = FakeMon().ask(prefix)
    assert result.r == -errno.EOPNOTSUPP
    assert prefix in result.outs


# -- health -------------------------------------------------------------------------------------


def checks(mon: FakeMon) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    return {c.code: (c.severity, c.summary, c.detail) for c in mon.mds.health()}


def test_healthy() -> None:
    assert checks(FakeMon()) == {}
    assert checks(with_fs(1)) == {}


def test_health_of_file_systems_that_are_down() -> None:
    mon = FakeMon()
    mon.ask("fs new", fs_name="y", metadata="m1", data="d1", recover=True)
    mon.ask("fs new", fs_name="z", metadata="m2", data="d2")
    assert checks(mon) == {
        "FS_DEGRADED": ("HEALTH_WARN", "1 filesystem is degraded", ("fs y is degraded",)),
        "FS_WITH_FAILED_MDS": (
            "HEALTH_WARN",
            "1 filesystem has a failed mds daemon",
            ("fs y has 1 failed mds",),
        ),
        "MDS_ALL_DOWN": (
            "HEALTH_ERR",
            "2 filesystems are offline",
            (
                "fs y is offline because no MDS is active for it.",
                "fs z is offline because no MDS is active for it.",
            ),
        ),
        "MDS_UP_LESS_THAN_MAX": (
            "HEALTH_WARN",
            "1 filesystem is online with fewer MDS than max_mds",
            ("fs z has 0 MDS online, but wants 1",),
        ),
    }


def test_health_of_missing_standbys_and_damage() -> None:
    mon = with_fs(1, 2)
    mon.ask("mds rm", gid=1)
    assert checks(mon) == {
        "MDS_INSUFFICIENT_STANDBY": (
            "HEALTH_WARN",
            "insufficient standby MDS daemons available",
            ("have 0; want 1 more",),
        )
    }
    mon.ask("fs set", fs_name="cephfs", var="standby_count_wanted", val="0")
    assert checks(mon) == {}
    mon.mds.state.edit.fs(1).mds_map.damaged.add(1)
    mon.mds.state.edit.fs(1).mds_map.inline_data_enabled = True
    found = checks(mon)
    assert found["MDS_DAMAGE"] == (
        "HEALTH_ERR",
        "1 mds daemon damaged",
        ("fs cephfs mds.1 is damaged",),
    )
    assert found["FS_INLINE_DATA_DEPRECATED"][2] == (
        "fs cephfs has deprecated feature inline_data enabled.",
    )


def test_health_that_daemons_complain_of() -> None:
    mon = FakeMon()
    first, second = mon.daemon(1), mon.daemon(2)
    mon.ask("fs new", fs_name="cephfs", metadata="m1", data="d1")
    second.up()
    trim = MDSHealthMetric(1, 1, "Behind on trimming (9/1)", {"num_segments": "9", "max": "1"})
    second.say(State.ACTIVE, health=MDSHealth([trim, MDSHealthMetric(77, 1, "?")]))
    first.say(State.STANDBY, health=MDSHealth([MDSHealthMetric(1, 0, "too")]))
    assert checks(mon) == {
        "MDS_TRIM": (
            "HEALTH_WARN",
            "2 MDSs behind on trimming",
            (
                "mds.m1(mds.-1): too",
                "mds.m2(mds.0): Behind on trimming (9/1) max: 1, num_segments: 9",
            ),
        )
    }
