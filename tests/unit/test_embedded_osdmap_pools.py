"""Pools in the embedded monitor: made, set, tagged, limited, snapped; errno and text of 16.2.15."""

import errno
from typing import Any

import pytest
from tests.unit.embedded_osdmap_kit import START, Kit

TOO_MANY = (
    "'pg_num' must be greater than 0 and less than or equal to 65536 "
    "(you may adjust 'mon max pool pg num' for higher values)"
)


@pytest.fixture(scope="module")
def _kit() -> Kit:
    kit = Kit(mon_max_pg_per_osd="250")
    kit.pool("p", pg_num=8)
    return kit


@pytest.fixture
def kit(_kit: Kit) -> Kit:
    return _kit


def test_a_new_pool() -> None:
    kit = Kit()
    number = kit.pool("a")
    pool = kit.osd.map.pools[number]
    assert number == 1
    assert (pool.type, pool.size, pool.min_size, pool.pg_num, pool.pgp_num) == (1, 1, 1, 8, 8)
    assert (pool.pg_num_target, pool.pgp_num_target, pool.pg_num_pending) == (8, 8, 8)
    assert (pool.flags, pool.object_hash, pool.crush_rule) == (1, 2, 0)
    assert pool.create_time == int(START) * 10**9
    assert pool.last_change == kit.osd.map.epoch
    assert kit.pool("b", pg_num=4, bulk=True, autoscale_mode="warn", target_size_ratio=0.5) == 2
    line = kit.text("osd pool ls", detail="detail").splitlines()[1]
    assert line == (
        "pool 2 'b' replicated size 1 min_size 1 crush_rule 0 object_hash rjenkins pg_num 4 "
        "pgp_num 4 autoscale_mode warn last_change 4 flags hashpspool,bulk stripe_width 0 "
        "target_size_ratio 0.5"
    )
    # numbers are not given again
    kit.ok("osd pool rm", pool="b", pool2="b", yes_i_really_really_mean_it=True)
    assert kit.pool("b") == 3


@pytest.mark.parametrize(
    ("args", "r", "text"),
    [
        ({"pool": "p"}, 0, "pool 'p' already exists"),
        ({"pool": "p", "pool_type": "erasure"}, -22, "pool 'p' cannot change to type erasure"),
        ({"pool": "x", "pg_num": 100000}, -34, TOO_MANY),
        (
            {"pool": "x", "pg_num": 8, "pgp_num": 9},
            -34,
            "'pgp_num' must be greater than 0 and lower or equal than 'pg_num', "
            "which in this case is 8",
        ),
        ({"pool": "x", "rule": "nope"}, -2, "specified rule nope doesn't exist"),
        (
            {"pool": "x", "pg_num": 2000},
            -34,
            " pg_num 2000 size 1 would mean 2008 total pgs, which exceeds max 750 "
            "(mon_max_pg_per_osd 250 * num_in_osds 3)",
        ),
        ({"pool": "x", "size": 20}, -22, "pool size is bigger than the crush rule max size"),
        ({"pool": ""}, -22, "(22) Invalid argument"),
        (
            {"pool": "x", "fast_read": 1},
            -22,
            "'fast_read' can only apply to erasure coding pool",
        ),
        (
            {"pool": "x", "erasure_code_profile": "replicated_rule", "rule": "zz"},
            -22,
            "error parsing integer value 'zz': Expected option value to be integer, got 'zz'",
        ),
        ({"pool": "x", "erasure_code_profile": "nope"}, -2, "specified rule nope doesn't exist"),
    ],
)
def test_pools_that_cannot_be(kit: Kit, args: dict[str, Any], r: int, text: str) -> None:
    before = kit.osd.map
    result = kit.run("osd pool create", **args)
    assert (result.r, result.outs) == (r, text)
    assert kit.osd.map is before


def test_erasure_coded_pools_are_refused(kit: Kit) -> None:
    result = kit.run("osd pool create", pool="e", pool_type="erasure")
    assert result.r == -errno.EOPNOTSUPP
    assert "erasure coded" in result.outs


@pytest.mark.parametrize(
    ("var", "val", "r", "text"),
    [
        ("size", "11", -22, "pool size must be between 1 and 10"),
        (
            "size",
            "x",
            -22,
            "error parsing integer value 'x': Expected option value to be integer, got 'x'",
        ),
        (
            "size",
            "1",
            -1,
            "WARNING: setting pool size 1 could lead to data loss without recovery. If you are "
            "*ABSOLUTELY CERTAIN* that is what you want, pass the flag --yes-i-really-mean-it.",
        ),
        ("min_size", "9", -22, "pool min_size must be between 1 and size, which is set to 1"),
        ("pg_num", "0", -34, TOO_MANY),
        (
            "pg_num",
            "5000",
            -34,
            "pool id 1 pg_num 5000 size 1 would mean 5000 total pgs, which exceeds max 750 "
            "(mon_max_pg_per_osd 250 * num_in_osds 3)",
        ),
        ("pgp_num", "17", -22, "specified pgp_num 17 > pg_num 8"),
        ("pgp_num", "0", -22, "specified pgp_num must > 0, but you set to 0"),
        ("nodelete", "maybe", -22, "expecting value 'true', 'false', '0', or '1'"),
        (
            "hashpspool",
            "0",
            -1,
            "are you SURE?  this will remap all placement groups in this pool, this triggers "
            "large data movement, pass --yes-i-really-mean-it if you really do.",
        ),
        ("hit_set_type", "bloom", -13, "(13) Permission denied"),
        ("fast_read", "1", -22, "fast read is not supported in replication pool"),
        (
            "allow_ec_overwrites",
            "1",
            -22,
            "ec overwrites can only be enabled for an erasure coded pool",
        ),
        ("compression_mode", "foo", -22, "unrecognized compression mode 'foo'"),
        ("compression_algorithm", "zz", -22, "unrecognized compression_algorithm 'zz'"),
        (
            "compression_required_ratio",
            "1.5",
            -22,
            "compression_required_ratio is out of range (0-1): '1.5'",
        ),
        ("csum_type", "zz", -22, "unrecognized csum_type 'zz'"),
        ("pg_autoscale_mode", "zz", -22, "specified invalid mode zz"),
        ("pg_num_min", "99", -22, "specified pg_num_min 99 > pg_num 8"),
        ("pg_num_max", "2", -22, "specified pg_num_max 2 < pg_num 8"),
        (
            "target_size_bytes",
            "1Q",
            -22,
            "error parsing unit value '1Q': strict_iecstrtoll: unit prefix not recognized",
        ),
        ("recovery_priority", "11", -22, "pool recovery_priority must be between -10 and 10"),
        (
            "scrub_priority",
            "unset",
            -22,
            "error parsing integer value 'unset': Expected option value to be integer, got 'unset'",
        ),
        (
            "scrub_max_interval",
            "1.5x",
            -22,
            "error parsing floating point value '1.5x': "
            "strict_strtod: garbage at end of string. got: '1.5x'",
        ),
        ("dedup_tier", "1", -22, "expecting value 'pool name'"),
        ("dedup_tier", "nope", -2, "unrecognized pool 'nope'"),
        ("crush_rule", "nope", -2, "crush rule nope does not exist"),
        ("pg_autoscale_bias", "2000", -22, "pg_autoscale_bias must be between 0 and 1000"),
    ],
)
def test_settings_that_cannot_be(kit: Kit, var: str, val: str, r: int, text: str) -> None:
    before = kit.osd.map
    result = kit.run("osd pool set", pool="p", var=var, val=val)
    assert (result.r, result.outs) == (r, text)
    assert kit.osd.map is before


def test_settings_and_what_get_says_of_them() -> None:
    kit = Kit()
    kit.pool("p", pg_num=8)
    given = {
        "compression_mode": "force",
        "compression_required_ratio": ".5",
        "compression_max_blob_size": "4K",
        "csum_type": "crc32c",
        "pg_num_min": "4",
        "pg_num_max": "64",
        "target_size_ratio": "0.2",
        "recovery_priority": "-3",
        "scrub_min_interval": "3.5",
        "nodelete": "true",
        "bulk": "1",
        "pg_autoscale_mode": "on",
        "size": "2",
    }
    for var, val in given.items():
        assert kit.ok("osd pool set", pool="p", var=var, val=val) == f"set pool 1 {var} to {val}"
    assert kit.text("osd pool get", pool="p", var="all") == (
        "size: 2\nmin_size: 1\npg_num: 8\npgp_num: 8\ncrush_rule: replicated_rule\n"
        "hashpspool: true\nnodelete: true\nnopgchange: false\nnosizechange: false\n"
        "write_fadvise_dontneed: false\nnoscrub: false\nnodeep-scrub: false\nuse_gmt_hitset: 1\n"
        "fast_read: 0\nscrub_min_interval: 3.5\nrecovery_priority: -3\ncompression_mode: force\n"
        "compression_required_ratio: 0.5\ncompression_max_blob_size: 4096\ncsum_type: crc32c\n"
        "pg_autoscale_mode: on\npg_num_min: 4\ntarget_size_ratio: 0.2\npg_num_max: 64\nbulk: true\n"
    )
    found = kit.json("osd pool get", pool="p", var="csum_type")
    assert found == {"pool": "p", "pool_id": 1, "csum_type": "crc32c"}
    unset = kit.ok("osd pool set", pool="p", var="compression_mode", val="unset")
    assert unset == "unset pool 1 compression_mode"
    for var in ("recovery_priority", "target_size_ratio"):
        kit.ok("osd pool set", pool="p", var=var, val="0")
    for var, r, text in (
        ("compression_mode", -2, "option 'compression_mode' is not set on pool 'p'"),
        ("target_size_ratio", -2, "option 'target_size_ratio' is not set on pool 'p'"),
        ("hit_set_type", -13, "pool 'p' is not a tier pool: variable not applicable"),
        (
            "erasure_code_profile",
            -13,
            "pool 'p' is not a erasure pool: variable not applicable",
        ),
    ):
        result = kit.run("osd pool get", pool="p", var=var)
        assert (result.r, result.outs) == (r, text)
    assert kit.run("osd pool get", pool="q", var="size").outs == "unrecognized pool 'q'"


def test_placement_groups_split_and_merge_at_once() -> None:
    kit = Kit()
    kit.pool("p", pg_num=8)
    kit.ok("osd pool set", pool="p", var="pg_num", val="16")
    pool = kit.osd.map.pools[1]
    assert (pool.pg_num, pool.pgp_num, pool.pg_num_target, pool.pg_num_pending) == (16,) * 4
    assert pool.last_force_op_resend_preluminous == kit.osd.map.epoch
    kit.ok("osd pool set", pool="p", var="pgp_num", val="8")
    kit.ok("osd pool set", pool="p", var="pg_num", val="4")
    pool = kit.osd.map.pools[1]
    assert (pool.pg_num, pool.pgp_num, pool.pgp_num_target) == (4, 4, 4)
    assert pool.last_force_op_resend_prenautilus == kit.osd.map.epoch
    for flag, var, what in (
        ("nopgchange", "pg_num", "pg_num"),
        ("nopgchange", "pgp_num", "pgp_num"),
        ("nosizechange", "size", "size"),
        ("nosizechange", "min_size", "min size"),
    ):
        kit.ok("osd pool set", pool="p", var=flag, val="1")
        result = kit.run("osd pool set", pool="p", var=var, val="2")
        assert (result.r, result.outs) == (
            -1,
            f"pool {what} change is disabled; you must unset {flag} flag for the pool first",
        )


def test_removal_needs_the_name_twice_and_permission() -> None:
    kit = Kit(mon_allow_pool_delete="false")
    kit.pool("p")
    sure: dict[str, Any] = {"pool2": "p", "yes_i_really_really_mean_it": True}
    assert kit.ok("osd pool rm", pool="q") == "pool 'q' does not exist"
    assert kit.run("osd pool rm", pool="p").outs.startswith("WARNING: this will *PERMANENTLY")
    assert kit.run("osd pool rm", pool="p", pool2="p").r == -1
    result = kit.run("osd pool rm", pool="p", **sure)
    assert (result.r, result.outs.split(";")[0]) == (-1, "pool deletion is disabled")
    kit.mon.config.set_val("mon_allow_pool_delete", True)
    kit.ok("osd pool set", pool="p", var="nodelete", val="true")
    result = kit.run("osd pool delete", pool="p", **sure)
    assert (result.r, result.outs) == (
        -1,
        "pool deletion is disabled; you must unset nodelete flag for the pool first",
    )
    kit.ok("osd pool set", pool="p", var="nodelete", val="false")
    assert kit.ok("osd pool delete", pool="p", **sure) == "pool 'p' removed"
    assert kit.osd.map.pools == {}


def test_names() -> None:
    kit = Kit()
    kit.pool("a")
    kit.pool("b")
    assert kit.text("osd lspools") == "1 a\n2 b\n"
    assert kit.json("osd lspools") == [
        {"poolnum": 1, "poolname": "a"},
        {"poolnum": 2, "poolname": "b"},
    ]
    assert kit.json("osd pool ls") == ["a", "b"]
    for source, target, r, text in (
        ("a", "b", -17, "pool 'b' already exists"),
        ("x", "y", -2, "unrecognized pool 'x'"),
        ("a", "c", 0, "pool 'a' renamed to 'c'"),
        ("a", "c", 0, "pool 'a' does not exist; pool 'c' does -- assuming successful rename"),
    ):
        result = kit.run("osd pool rename", srcpool=source, destpool=target)
        assert (result.r, result.outs) == (r, text)
    assert kit.osd.pool_id("c") == 1
    assert kit.osd.pool_by_name("a") is None


def test_applications() -> None:
    kit = Kit()
    kit.pool("p")
    for args, r, text in (
        ("enable cephfs", 0, "enabled application 'cephfs' on pool 'p'"),
        ("enable cephfs", 0, "enabled application 'cephfs' on pool 'p'"),
        (
            "enable rbd",
            -1,
            "Are you SURE? Pool 'p' already has an enabled application; "
            "pass --yes-i-really-mean-it to proceed anyway",
        ),
        ("set cephfs data x", 0, "set application 'cephfs' key 'data' to 'x' on pool 'p'"),
        ("set nope data x", -2, "application 'nope' is not enabled on pool 'p'"),
        ("set cephfs all x", -22, "key cannot be 'all'"),
        ("rm cephfs zz", 0, "application 'cephfs' on pool 'p' does not have key 'zz'"),
        ("rm nope data", -2, "application 'nope' is not enabled on pool 'p'"),
        ("get nope", -2, "pool 'p' has no application 'nope'"),
        ("get cephfs zz", -2, "application 'cephfs' on pool 'p' does not have key 'zz'"),
        (
            "disable cephfs",
            -1,
            "Are you SURE? Disabling an application within a pool might result in loss of "
            "application functionality; pass --yes-i-really-mean-it to proceed anyway",
        ),
    ):
        op, *words = args.split()
        named = dict(zip(("app", "key", "value"), words, strict=False))
        result = kit.run(f"osd pool application {op}", pool="p", **named)
        assert (result.r, result.outs) == (r, text)
    sure = {"pool": "p", "yes_i_really_mean_it": True}
    for app in ("b", "c", "d"):
        kit.ok("osd pool application enable", app=app, **sure)
    result = kit.run("osd pool application enable", app="e", **sure)
    assert (result.r, result.outs) == (-22, "too many enabled applications on pool 'p'; max 4")
    assert kit.json("osd pool application get") == {
        "p": {"b": {}, "c": {}, "cephfs": {"data": "x"}, "d": {}}
    }
    assert kit.json("osd pool application get", pool="p", app="cephfs") == {"data": "x"}
    found = kit.text("osd pool application get", pool="p", app="cephfs", key="data")
    assert found == "x\n"
    assert kit.ok("osd pool application disable", app="b", **sure) == (
        "disable application 'b' on pool 'p'"
    )
    assert "b" not in kit.osd.map.pools[1].application_metadata


def test_enable_application_for_other_services() -> None:
    kit = Kit()
    number = kit.pool("p")
    kit.osd.enable_application(number, "cephfs", "data", "a")
    kit.osd.enable_application(number, "cephfs", "data", "b")
    assert kit.osd.map.pools[number].application_metadata == {"cephfs": {"data": "a"}}
    kit.osd.enable_application(number, "cephfs", "metadata", "b", force=True)
    assert kit.osd.map.pools[number].application_metadata == {
        "cephfs": {"data": "a", "metadata": "b"}
    }
    with pytest.raises(KeyError):
        kit.osd.enable_application(99, "cephfs")
