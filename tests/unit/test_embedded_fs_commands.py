"""`ceph fs …`: what it changes, answers and refuses.

The texts and numbers of the refusals are those of a live ceph-mon 16.2.15; tests/real compares them
again with one.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests.unit.embedded_fs_mon import FakeMon, with_fs

from mdsdaemon.maps.mds_map import FLAG_NOT_JOINABLE
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.pool import PoolType

# -- fs new -------------------------------------------------------------------------------------


def test_fs_new() -> None:
    mon = FakeMon()
    daemon = mon.daemon(1)
    result = mon.ask("fs new", fs_name="cephfs", metadata="m1", data="d1")
    assert (result.r, result.outs) == (0, "new fs with metadata pool 1 and data pool 2")
    fs = mon.mds.fsmap.filesystems[0]
    assert (fs.fscid, mon.mds.fsmap.legacy_client_fscid) == (1, 1)
    assert mon.mds.state.edit.info(1).state == State.CREATING
    assert mon.osd.pool(1).application_metadata == {"cephfs": {"metadata": "cephfs"}}
    assert mon.osd.pool(2).application_metadata == {"cephfs": {"data": "cephfs"}}
    assert mon.osd.pool(1).opts.opts == {3: 5, 15: 16, 18: 4.0}
    daemon.up()
    assert mon.text("mds stat") == "cephfs:1 {0=m1=up:active}\n"


def test_fs_new_again_is_no_error() -> None:
    mon = with_fs()
    result = mon.ask("fs new", fs_name="cephfs", metadata="m1", data="d1")
    assert (result.r, result.outs) == (0, "filesystem 'cephfs' already exists")


@pytest.mark.parametrize(
    ("args", "number", "text"),
    [
        (("x", "nope", "d2"), errno.ENOENT, "pool 'nope' does not exist"),
        (("x", "m2", "nope"), errno.ENOENT, "pool 'nope' does not exist"),
        (("", "m2", "d2"), errno.EINVAL, "Filesystem name may not be empty"),
        (("cephfs", "m2", "d2"), errno.EINVAL, "filesystem already exists with name 'cephfs'"),
        (
            ("x", "m3", "d2"),
            errno.EINVAL,
            "pool 'm3' already contains some objects. Use an empty pool instead.",
        ),
        (("x", "m2", "rbd"), errno.EINVAL, "pool 'rbd' (id '7') has a non-CephFS application"),
        (("x", "m2", "ec"), errno.EINVAL, "Use --force to override."),
        (("x", "ec", "d2"), errno.EINVAL, "CephFS metadata is not permitted"),
        (("x", "m2", "d1"), errno.EEXIST, "is already using one of the specified RADOS pools"),
        (("x", "m1", "d2"), errno.EEXIST, "Pass --allow-dangerous-metadata-overlay"),
        (("x", "m2", "tier"), errno.EINVAL, "is already in use as a cache tier."),
    ],
)
def test_fs_new_refuses(args: tuple[str, str, str], number: int, text: str) -> None:
    mon = with_fs()
    mon.osd.objects[5] = 3
    mon.osd.pool(mon.osd.add_pool("rbd")).application_metadata["rbd"] = {}
    ec = mon.osd.pool(mon.osd.add_pool("ec"))
    ec.type = PoolType.ERASURE
    mon.osd.pool(mon.osd.add_pool("tier")).tier_of = 2
    name, metadata, data = args
    result = mon.ask("fs new", fs_name=name, metadata=metadata, data=data)
    assert result.r == -number
    assert text in result.outs


def test_fs_new_in_numbers() -> None:
    mon = FakeMon()
    new: dict[str, Any] = {"fs_name": "a", "metadata": "m1", "data": "d1"}
    assert mon.ask("fs new", **new, fscid=7).outs == (
        "Pass --force to create a file system with a specific ID"
    )
    assert mon.ask("fs new", **new, fscid=7, force=True).r == 0
    assert mon.ask("fs new", fs_name="b", metadata="m2", data="d2").r == 0
    assert [fs.fscid for fs in mon.mds.fsmap.filesystems] == [7, 8]
    result = mon.ask("fs new", fs_name="c", metadata="m3", data="d3", fscid=8, force=True)
    assert (result.r, result.outs) == (-errno.EINVAL, "filesystem already exists with id '8'")
    # a lower number raises the next one all the same, as in Ceph
    assert mon.ask("fs new", fs_name="c", metadata="m3", data="d3", fscid=2, force=True).r == 0
    assert [fs.fscid for fs in mon.mds.fsmap.filesystems] == [2, 7, 8]
    assert mon.mds.fsmap.next_filesystem_id == 10
    assert mon.mds.fsmap.legacy_client_fscid == 7


def test_fs_new_of_what_is_there() -> None:
    mon = FakeMon()
    mon.daemon(1)
    assert mon.ask("fs new", fs_name="a", metadata="m1", data="d1", recover=True).r == 0
    mds_map = mon.mds.fsmap.filesystems[0].mds_map
    assert (mds_map.in_, mds_map.failed, mds_map.up) == ({0}, {0}, {})
    assert mds_map.flags & FLAG_NOT_JOINABLE
    assert mon.ask("fs set", fs_name="a", var="joinable", val="true").r == 0
    assert mon.mds.state.edit.info(1).state == State.REPLAY


def test_a_data_pool_that_grows_by_itself_is_remarked_on() -> None:
    mon = FakeMon()
    mon.osd.pool(2).pg_autoscale_mode = 2
    mon.osd.pool(1).pg_autoscale_mode = 2  # not of metadata
    assert mon.ask("fs new", fs_name="y", metadata="m1", data="d1").outs == (
        "  Pool 'd1' (id '2') has pg autoscale mode 'on' but is not marked as bulk.\n"
        "  Consider setting the flag by running\n"
        "    # ceph osd pool set d1 bulk true\n"
        "new fs with metadata pool 1 and data pool 2"
    )


def test_one_file_system_only() -> None:
    mon = with_fs()
    flag: dict[str, Any] = {"flag_name": "enable_multiple"}
    assert mon.ask("fs flag set", **flag, val="false").r == 0
    result = mon.ask("fs new", fs_name="x", metadata="m2", data="d2")
    assert result.r == -errno.EINVAL
    assert result.outs.startswith("Creation of multiple filesystems is disabled.")
    assert mon.ask("fs flag set", **flag, val="hoho").outs == (
        "value must be false|no|0 or true|yes|1Invalid boolean value 'hoho'"
    )
    assert mon.ask("fs flag set", flag_name="nonsense", val="1").outs == "Unknown flag 'nonsense'"
    assert mon.ask("fs flag set", **flag, val="yes").r == 0
    assert mon.ask("fs new", fs_name="x", metadata="m2", data="d2").r == 0


# -- taking down --------------------------------------------------------------------------------


def test_fs_fail_and_rm() -> None:
    mon = with_fs(1, 2)
    refused = mon.ask("fs rm", fs_name="cephfs", yes_i_really_mean_it=True)
    assert refused.outs == (
        "all MDS daemons must be inactive/failed before removing filesystem. See `ceph fs fail`."
    )
    result = mon.ask("fs fail", fs_name="cephfs")
    assert result.outs == (
        "cephfs marked not joinable; MDS cannot join the cluster. All MDS ranks marked failed."
    )
    assert mon.osd.fenced == [2]
    mds_map = mon.mds.fsmap.filesystems[0].mds_map
    assert (mds_map.up, mds_map.failed) == ({}, {0})
    assert mds_map.last_failure_osd_epoch <= mon.osd.map.epoch
    assert mon.ask("fs rm", fs_name="cephfs").r == -errno.EPERM
    assert mon.ask("fs rm", fs_name="cephfs", yes_i_really_mean_it=True).r == 0
    assert mon.mds.fsmap.filesystems == []
    assert mon.mds.fsmap.legacy_client_fscid == -1
    again = mon.ask("fs rm", fs_name="cephfs", yes_i_really_mean_it=True)
    assert (again.r, again.outs) == (0, "filesystem 'cephfs' does not exist")


def test_fs_rm_forgets_who_preferred_it() -> None:
    mon = with_fs()
    mon.ask("fs fail", fs_name="cephfs")
    daemon = mon.daemon(2)
    daemon.say(State.STANDBY, fs="cephfs")
    assert mon.mds.state.edit.info(2).join_fscid == 1
    assert mon.ask("fs rm", fs_name="cephfs", yes_i_really_mean_it=True).r == 0
    assert mon.mds.state.edit.info(2).join_fscid == -1


def test_fs_reset() -> None:
    mon = with_fs(1)
    assert mon.ask("fs reset", fs_name="cephfs", yes_i_really_mean_it=True).r == -errno.EINVAL
    mon.ask("fs set", fs_name="cephfs", var="session_timeout", val="99")
    mon.ask("fs fail", fs_name="cephfs")
    assert mon.ask("fs reset", fs_name="cephfs").r == -errno.EPERM
    assert mon.ask("fs reset", fs_name="cephfs", yes_i_really_mean_it=True).r == 0
    mds_map = mon.mds.fsmap.filesystems[0].mds_map
    assert (mds_map.in_, mds_map.failed, mds_map.session_timeout) == ({0}, {0}, 60)
    daemon = mon.daemon(2)
    assert mon.mds.state.edit.info(2).state == State.REPLAY
    daemon.up()


@pytest.mark.parametrize(
    "prefix",
    ["fs fail", "fs reset", "fs set", "fs set-default", "fs add_data_pool", "fs rm_data_pool",
     "fs mirror enable", "fs required_client_features", "fs compat"],
)  # fmt: skip
def test_unknown_file_systems(prefix: str) -> None:
    result = FakeMon().ask(prefix, fs_name="nox", var="max_mds", val="1", pool="d1")
    assert (result.r, result.outs) == (-errno.ENOENT, "Filesystem not found: 'nox'")


# -- fs set -------------------------------------------------------------------------------------

NUMBER = "requires an integer value"
TRUTH = "value must be false|no|0 or true|yes|1"
SET: list[tuple[str, str, int, str]] = [
    ("max_mds", "2", 0, ""),
    ("max_mds", "0", errno.EINVAL, "You must specify at least one MDS"),
    ("max_mds", "q", errno.EINVAL, "Expected option value to be integer, got 'q'"),
    ("max_mds", "", errno.EINVAL, "Expected option value to be integer, got ''"),
    ("max_mds", "9" * 25, errno.EINVAL, f"The option value '{'9' * 25}' seems to be invalid"),
    ("max_mds", "257", errno.EINVAL, "may not have more than 256 MDS ranks"),
    ("max_file_size", "65536", 0, ""),
    ("max_file_size", "65535", errno.ERANGE, "max_file_size must at least 65536"),
    ("max_file_size", "1g", errno.EINVAL, f"max_file_size {NUMBER}"),
    ("allow_new_snaps", "0", 0, "disabled new snapshots"),
    ("allow_new_snaps", "yes", 0, "enabled new snapshots"),
    ("allow_new_snaps", "perhaps", errno.EINVAL, TRUTH),
    ("inline_data", "1", errno.EPERM, "Inline data support is deprecated and will be removed in "
     "a future release. Add --yes-i-really-really-mean-it if you are certain you want this "
     "enabled."),
    ("inline_data", "no", 0, "inline data disabled"),
    ("balancer", "bal.lua", 0, "setting the metadata load balancer to bal.lua"),
    ("balancer", "", 0, "unsetting the metadata load balancer"),
    ("down", "true", 0, "cephfs marked down. "),
    ("down", "false", 0, "cephfs marked up, max_mds = 1"),
    ("cluster_down", "true", 0, "cephfs marked not joinable; MDS cannot join as newly active. "
     "WARNING: cluster_down flag is deprecated and will be removed in a future version. Please "
     'use "joinable".'),
    ("joinable", "false", 0, "cephfs marked not joinable; MDS cannot join as newly active."),
    ("joinable", "true", 0, "cephfs marked joinable; MDS may join as newly active."),
    ("allow_multimds_snaps", "true", errno.EPERM,
     "Warning! This command is for MDS only. Do not run it manually"),
    ("standby_count_wanted", "2", 0, ""),
    ("standby_count_wanted", "-2", errno.ERANGE, "standby_count_wanted must be non-negative"),
    ("standby_count_wanted", "a", errno.EINVAL, f"standby_count_wanted {NUMBER}"),
    ("session_timeout", "29", errno.ERANGE, "session_timeout must be at least 30s"),
    ("session_timeout", "31", 0, ""),
    ("session_timeout", "x", errno.EINVAL, f"session_timeout {NUMBER}"),
    ("session_autoclose", "200", 0, ""),
    ("session_autoclose", "1", errno.ERANGE, "session_autoclose must be at least 30s"),
    ("allow_standby_replay", "1", 0, ""),
    ("min_compat_client", "nonsense", errno.EINVAL, "version nonsense is not recognized"),
    ("refuse_client_session", "1", errno.EINVAL, "unknown variable refuse_client_session"),
    ("", "1", errno.EINVAL, "Invalid variable"),
]  # fmt: skip


@pytest.mark.parametrize(("var", "val", "number", "text"), SET)
def test_fs_set(var: str, val: str, number: int, text: str) -> None:
    mon = with_fs()
    result = mon.ask("fs set", fs_name="cephfs", var=var, val=val)
    assert (result.r, result.outs) == (-number, text)


def test_fs_set_shows() -> None:
    mon = with_fs()
    for var, val, number, _ in SET:
        if not number:
            mon.ask("fs set", fs_name="cephfs", var=var, val=val)
    mon.ask("fs set", fs_name="cephfs", var="inline_data", val="1",
            yes_i_really_really_mean_it=True)  # fmt: skip
    mon.ask("fs set", fs_name="cephfs", var="min_compat_client", val="octopus")
    shown = mon.json("fs get", fs_name="cephfs")["mdsmap"]
    wanted = {
        "max_file_size": 65536,
        "session_timeout": 31,
        "session_autoclose": 200,
        "standby_count_wanted": 2,
        "ever_allowed_features": 34,
        "explicitly_allowed_features": 34,
        "flags": 0b110010,
        "balancer": "",
        "required_client_features": {"feature_13": "deleg_ino"},
    }
    assert {name: shown[name] for name in wanted} == wanted
    assert "inline_data\tenabled\n" in mon.text("fs get", fs_name="cephfs")


def test_down_and_up_keep_the_number_of_ranks() -> None:
    mon = with_fs()
    mon.ask("fs set", fs_name="cephfs", var="max_mds", val="3")
    mon.ask("fs set", fs_name="cephfs", var="down", val="1")
    assert mon.json("fs get", fs_name="cephfs")["mdsmap"]["max_mds"] == 0
    assert mon.ask("fs set", fs_name="cephfs", var="down", val="0").outs == (
        "cephfs marked up, max_mds = 3"
    )


def test_no_more_followers() -> None:
    mon = with_fs(1, 2)
    mon.ask("fs set", fs_name="cephfs", var="allow_standby_replay", val="1")
    assert mon.text("mds stat") == "cephfs:1 {0=m2=up:active} 1 up:standby-replay\n"
    mon.ask("fs set", fs_name="cephfs", var="allow_standby_replay", val="0")
    assert mon.text("mds stat") == "cephfs:1 {0=m2=up:active}\n"
    assert mon.osd.fenced == []


# -- what must be known -------------------------------------------------------------------------


def test_required_client_features() -> None:
    mon = with_fs()

    def ask(subop: str, val: str) -> tuple[int, str]:
        result = mon.ask("fs required_client_features", fs_name="cephfs", subop=subop, val=val)
        return result.r, result.outs

    assert ask("add", "mimic") == (0, "added feature 'mimic' to required_client_features")
    assert ask("add", "8") == (0, "feature 'mimic' is already set")
    assert ask("add", "18")[1] == "added feature '32bits_retry_fwd' to required_client_features"
    shown = mon.json("fs get", fs_name="cephfs")["mdsmap"]["required_client_features"]
    assert shown == {"feature_8": "mimic", "feature_18": "32bits_retry_fwd"}
    assert "{8=mimic,18=32bits_retry_fwd}" in mon.text("fs get", fs_name="cephfs")
    assert ask("rm", "8") == (0, "removed feature 'mimic' from required_client_features")
    assert ask("rm", "mimic") == (0, "feature 'mimic' is already unset")
    assert ask("rm", "reserved") == (-errno.EINVAL, "Invalid feature name: reserved")
    assert ask("rm", "19") == (-errno.EINVAL, "Invalid feature id: 19")
    assert ask("rm", "") == (-errno.EINVAL, "Missing feature id/name")
    assert ask("up", "8")[0] == -errno.EINVAL


def test_fs_compat() -> None:
    mon = with_fs(1)

    def ask(subop: str, feature: int, text: str | None = None) -> tuple[int, str]:
        extra: dict[str, Any] = {} if text is None else {"feature_str": text}
        result = mon.ask("fs compat", fs_name="cephfs", subop=subop, feature=feature, **extra)
        return result.r, result.outs

    assert ask("rm_compat", 1)[0] == -errno.EBUSY
    mon.ask("fs fail", fs_name="cephfs")
    assert ask("add_compat", 3, "x") == (0, 'added compat feature F(3, "x")')
    assert ask("add_compat", 3, "x") == (0, "feature already exists")
    assert ask("add_compat", 3, "y") == (
        -errno.EEXIST,
        "feature with differing name `x' exists",
    )
    assert ask("add_incompat", 30) == (-errno.EINVAL, "adding a feature requires a feature string")
    assert ask("rm_compat", 3) == (0, "removed compat feature 3")
    assert ask("rm_compat", 3) == (0, "already removed compat feature 3")
    assert ask("rm_incompat", 0) == (-errno.EINVAL, "Invalid feature")
    assert ask("rm_incompat", 64) == (-errno.EINVAL, "Invalid feature")
    assert ask("add_incompat", 30, "z") == (0, 'added incompat feature F(30, "z")')
    assert mon.json("fs compat show", fs_name="cephfs")["incompat"]["feature_30"] == "z"
    mon.daemon(2)
    mon.ask("fs set", fs_name="cephfs", var="joinable", val="1")
    assert mon.text("mds stat") == "cephfs:0/1 1 up:standby, 1 failed\n"  # it does not know z


def test_mds_compat_is_for_new_file_systems() -> None:
    mon = FakeMon()
    assert "feature_9" in mon.json("mds compat show")["incompat"]
    assert mon.ask("mds compat rm_incompat", feature=9).outs == "removing incompat feature 9"
    assert mon.ask("mds compat rm_incompat", feature=9).outs.startswith(
        "incompat feature 9 not present in compat={},rocompat={},incompat={1=base v0.20,"
    )
    mon.ask("fs new", fs_name="a", metadata="m1", data="d1")
    assert "feature_9" not in mon.json("fs compat show", fs_name="a")["incompat"]
    # what a new file system of 16.2.5 and later has, whatever the default
    assert "feature_7" in mon.json("fs compat show", fs_name="a")["incompat"]


# -- pools, mirrors, defaults -------------------------------------------------------------------


def test_data_pools() -> None:
    mon = with_fs()

    def ask(action: str, pool: str) -> tuple[int, str]:
        result = mon.ask(f"fs {action}_data_pool", fs_name="cephfs", pool=pool)
        return result.r, result.outs

    assert ask("add", "d2") == (0, "added data pool 4 to fsmap")
    assert mon.osd.pool(4).application_metadata == {"cephfs": {"data": "cephfs"}}
    assert ask("add", "4") == (0, "data pool 4 is already on fs cephfs")
    assert ask("add", "99") == (-errno.ENOENT, "pool id '99' does not exist")
    assert ask("add", "nope") == (-errno.ENOENT, "pool 'nope' does not exist")
    assert mon.text("fs ls") == "name: cephfs, metadata pool: m1, data pools: [d1 d2 ]\n"
    assert mon.mds.pool_in_use(4)
    assert ask("rm", "d1") == (-errno.EINVAL, "cannot remove default data pool")
    assert ask("rm", "-5") == (-errno.EINVAL, "invalid pool id '-5'")
    assert ask("rm", "d2") == (0, "removed data pool 4 from fsmap")
    assert ask("rm", "d2") == (0, "")
    assert not mon.mds.pool_in_use(4)


def test_a_pool_that_is_gone_leaves_the_map_with_the_next_change() -> None:
    mon = with_fs()
    mon.ask("fs add_data_pool", fs_name="cephfs", pool="d2")
    del mon.osd.map.client.pools[4]
    mon.daemon(1)
    assert mon.mds.fsmap.filesystems[0].mds_map.data_pools == [2]


def test_mirrors() -> None:
    mon = with_fs()
    peer: dict[str, Any] = {"fs_name": "cephfs", "uuid": "u1"}
    spec: dict[str, Any] = {"remote_cluster_spec": "client.a@there", "remote_fs_name": "far"}
    assert mon.ask("fs mirror peer_add", **peer, **spec).outs == (
        "Mirroring not enabled for filesystem 'cephfs'"
    )
    assert mon.ask("fs mirror enable", fs_name="cephfs").r == 0
    assert mon.ask("fs mirror enable", fs_name="cephfs").r == 0
    assert mon.ask("fs mirror peer_add", **peer, **spec | {"remote_cluster_spec": "x"}).r < 0
    assert mon.ask("fs mirror peer_add", **peer, **spec).outs == ""
    assert mon.ask("fs mirror peer_add", **peer, **spec).outs == "peer already exists"
    assert mon.json("fs get", fs_name="cephfs")["mirror_info"] == {
        "peers": {
            "u1": {"remote": {"client_name": "client.a", "cluster_name": "there", "fs_name": "far"}}
        }
    }
    assert "remote_cluster={client_name=client.a," in mon.text("fs get", fs_name="cephfs")
    assert mon.ask("fs mirror peer_remove", **peer).outs == ""
    assert mon.ask("fs mirror peer_remove", **peer).outs == "cannot find peer with uuid: u1"
    assert mon.ask("fs mirror disable", fs_name="cephfs").r == 0
    assert "mirror_info" not in mon.json("fs get", fs_name="cephfs")


def test_the_default_file_system() -> None:
    mon = with_fs()
    mon.ask("fs new", fs_name="x", metadata="m2", data="d2")
    assert mon.json("fs dump")["default_fscid"] == 1
    assert mon.ask("fs set-default", fs_name="x").r == 0
    assert mon.json("fs dump")["default_fscid"] == 2
    assert mon.ask("fs set_default", fs_name="cephfs").r == 0
    assert mon.json("fs dump")["default_fscid"] == 1
