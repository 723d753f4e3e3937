"""The embedded monitor's OSDMap commands beside its pools: what they print, what they refuse.

The texts are those of a live 16.2.15 with one OSD.
"""

import errno
import json
import random
from typing import Any

import pytest
from tests.unit.embedded_osdmap_kit import OSD_UUID, Kit

from mdsdaemon.embedded.monitor import crush_build, osd_crush
from mdsdaemon.embedded.monitor.osd_refused import REFUSED
from mdsdaemon.embedded.monitor.osd_text import (
    Table,
    iec,
    parse_iec,
    parse_int,
    parse_si,
    percent,
    si,
    timespan,
    weight,
)
from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.crush_mapper import do_rule
from mdsdaemon.maps.osd_map import decode_osd_map

# -- how things are printed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (308441, "301 KiB"), (1 << 30, "1 GiB"), (1234567, "1.2 MiB"),
     (4294658855, "4.0 GiB"), (10239, "10 KiB"), (4079909632, "3.8 GiB"), (1 << 60, "1 EiB")],
)  # fmt: skip
def test_bytes(value: int, text: str) -> None:
    assert iec(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (2000000, "2M"), (10**18, "1E")],
)
def test_counts(value: int, text: str) -> None:
    assert si(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5s"), (2, "2s"), (119.9, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"),
     (172800, "2d"), (86400 * 13, "13d"), (86400 * 14, "2w"), (86400 * 100, "3M"),
     (86400 * 800, "2y")],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert timespan(seconds) == text


def test_small_things() -> None:
    assert [weight(w) for w in (1.0, 0.0038909912, 0.0, -1.0)] == ["1.00000", "0.00389", "0", "-"]
    assert [percent(p) for p in (0.0, 0.009, 0.01, 12.345)] == ["0", "0", "0.01", "12.35"]
    table = Table("<<NAME", "<>N")
    table.row("a", 12)
    table.row("long")
    assert str(table) == "NAME  N \na     12\nlong    \n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("4096", 4096), ("4K", 4096), ("4Ki", 4096), ("4B", 4), ("-1K", -1024),
     ("2E", 2**61)],
)  # fmt: skip
def test_sizes_are_read(text: str, value: int) -> None:
    assert parse_iec(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "value not specified"), ("zz", "unit prefix not recognized"),
     ("4KiB", r"illegal prefix \(length > 2\)"), ("1Bi", 'illegal prefix "Bi"'),
     ("9999999999E", "too large"), ("-9999999999E", "too small"), ("1Q", "not recognized"),
     ("99999999999999999999", "seems to be invalid"), ("-", "to be integer")],
)  # fmt: skip
def test_sizes_that_are_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_iec(text)


def test_numbers_are_read_as_ceph_does() -> None:
    assert (parse_si("1K"), parse_int("-7")) == (1000, -7)
    for bad in ("1k", "x", "", "99E"):
        with pytest.raises(ValueError, match="strict_si"):
            parse_si(bad)
    with pytest.raises(ValueError, match="integer, got '3B'"):
        parse_si("3B")


# -- reading the map --------------------------------------------------------------------------


def test_the_tree() -> None:
    kit = Kit()
    assert kit.text("osd tree") == (
        "ID  CLASS  WEIGHT   TYPE NAME      STATUS  REWEIGHT  PRI-AFF\n"
        "-1         0.00389  root default                            \n"
        "-3         0.00389      host box                            \n"
        " 0    hdd  0.00389          osd.0      up   1.00000  1.00000\n"
    )
    assert kit.json("osd tree") == {
        "nodes": [
            {"id": -1, "name": "default", "type": "root", "type_id": 11, "children": [-3]},
            {
                "id": -3, "name": "box", "type": "host", "type_id": 1, "pool_weights": {},
                "children": [0],
            },
            {
                "id": 0, "device_class": "hdd", "name": "osd.0", "type": "osd", "type_id": 0,
                "crush_weight": 0.0038909912109375, "depth": 2, "pool_weights": {}, "exists": 1,
                "status": "up", "reweight": 1, "primary_affinity": 1,
            },
        ],
        "stray": [],
    }  # fmt: skip
    assert kit.json("osd tree", states=["down"]) == {"nodes": [], "stray": []}
    assert len(kit.json("osd tree-from", bucket="box")["nodes"]) == 2
    for args, r, text in (
        ({"bucket": "zz"}, -2, "bucket 'zz' does not exist"),
        ({"bucket": "osd.0"}, -22, '"osd.0" is not a bucket'),
    ):
        result = kit.run("osd tree-from", **args)
        assert (result.r, result.outs) == (r, text)
    result = kit.run("osd tree", states=["up", "down"])
    assert result.outs == "can specify only one of 'up', 'down' and 'destroyed'"
    kit.ok("osd down", ids=["0"])
    assert kit.json("osd tree", states=["down"])["nodes"][-1]["status"] == "down"


def test_one_osd() -> None:
    kit = Kit()
    assert kit.text("osd info", id=0) == (
        "osd.0 up   in  weight 1 up_from 2 up_thru 2 down_at 0 last_clean_interval [0,0) "
        f"v2:127.0.0.1:6800/1 v2:127.0.0.1:6800/1 exists,up {OSD_UUID}\n"
    )
    found = kit.json("osd find", id=0)
    assert (found["host"], found["crush_location"]) == ("box", {"host": "box", "root": "default"})
    assert (kit.text("osd ls"), kit.json("osd ls-tree", name="default")) == ("0\n", [0])
    assert kit.text("osd getmaxosd") == "max_osd = 1 in epoch 2\n"
    (version,) = kit.json("osd versions")
    assert version.startswith("ceph version 16.2.15 (mdsdaemon-")
    assert kit.json("osd count-metadata", property="hostname") == {"box": 1}
    assert kit.json("osd metadata", id="osd.0")["hostname"] == "box"
    for prefix, args, r, text in (
        ("osd find", {"id": 5}, -2, "osd.5 does not exist"),
        ("osd info", {"id": 7}, -22, "osd.7 does not exist"),
        ("osd metadata", {"id": 3}, -2, "osd.3 does not exist"),
        ("osd ls-tree", {"name": "zz"}, -2, '"zz" does not exist'),
        ("osd dump", {"epoch": 99}, -2, "there is no map for epoch 99"),
        ("osd getmap", {"epoch": 99}, -2, "there is no map for epoch 99"),
    ):
        result = kit.run(prefix, **args)
        assert (result.r, result.outs) == (r, text)


def test_maps_as_they_are() -> None:
    kit = Kit()
    kit.pool("a")
    for epoch in (1, 2, 3):
        result = kit.run("osd getmap", epoch=epoch)
        assert result.outs == f"got osdmap epoch {epoch}"
        assert decode_osd_map(result.outb).epoch == epoch
    result = kit.run("osd getcrushmap")
    assert result.outs == "2"
    crush = decode(CrushMap, result.outb)
    assert encode(CrushMap, crush) == result.outb
    assert kit.json("osd dump", epoch=1)["osds"] == []
    assert kit.text("osd dump").endswith(f"exists,up {OSD_UUID}\n")


def test_where_an_object_is() -> None:
    kit = Kit()
    for name in ("x", "p1"):
        kit.pool(name, pg_num=32)
    epoch = kit.osd.map.epoch
    assert kit.text("osd map", pool="p1", object="foo") == (
        f"osdmap e{epoch} pool 'p1' (2) object 'foo' -> pg 2.7fc1f406 (2.6) -> "
        "up ([0], p0) acting ([0], p0)\n"
    )
    found = kit.json("osd map", pool="p1", object="foo", nspace="ns")
    assert (found["objname"], found["raw_pgid"], found["pgid"]) == ("ns/foo", "2.ac17f0b6", "2.16")
    result = kit.run("osd map", pool="zz", object="foo")
    assert (result.r, result.outs) == (-2, "pool zz does not exist")


# -- changing it ------------------------------------------------------------------------------


def outcomes(kit: Kit, table: list[tuple[str, dict[str, Any], int, str]]) -> None:
    for prefix, args, r, text in table:
        result = kit.run(prefix, **args)
        assert (result.r, result.outs) == (r, text), (prefix, args)


def test_flags() -> None:
    kit = Kit()
    outcomes(kit, [
        ("osd set", {"key": "noout"}, 0, "noout is set"),
        ("osd set", {"key": "pause"}, 0, "pauserd,pausewr is set"),
        ("osd set", {"key": "full"}, -22, "unrecognized flag 'full'"),
        ("osd set", {"key": "pglog_hardlimit"}, 0, "pglog_hardlimit is set"),
        ("osd unset", {"key": "noout"}, 0, "noout is unset"),
        ("osd unpause", {}, 0, "pauserd,pausewr is unset"),
        ("osd pause", {}, 0, "pauserd,pausewr is set"),
    ])  # fmt: skip
    assert kit.text("osd stat").splitlines()[1] == "flags pauserd,pausewr"


def test_osds_out_and_in() -> None:
    kit = Kit()
    outcomes(kit, [
        ("osd reweight", {"id": 0, "weight": 0.5}, 0, "reweighted osd.0 to 0.5 (8000)"),
        ("osd reweight", {"id": 9, "weight": 0.5}, -2, "osd.9 does not exist"),
        ("osd out", {"ids": ["0"]}, 0, "marked out osd.0. "),
        ("osd out", {"ids": ["0"]}, 0, "osd.0 is already out. "),
        ("osd out", {"ids": ["9"]}, 0, "osd.9 does not exist. "),
        ("osd in", {"ids": ["osd.0"]}, 0, "marked in osd.0. "),
        ("osd in", {"ids": ["all"]}, 0, ""),
        ("osd in", {"ids": ["0"]}, 0, "osd.0 is already in. "),
        ("osd primary-affinity", {"id": 0, "weight": 0.5}, 0,
         "set osd.0 primary-affinity to 0.5 (8327682)"),
    ])  # fmt: skip
    # back to the weight of before
    assert kit.osd.map.client.osd_weight == [0x8000]
    assert kit.osd.map.client.osd_primary_affinity == [0x8000]
    assert kit.run("osd out", ids=["zz"]).r == -22


def test_fences() -> None:
    kit = Kit()
    until = "2023-11-14T23:13:20.000000+0000"
    outcomes(kit, [
        ("osd blocklist", {"blocklistop": "add", "addr": "10.0.0.1:0/123"}, 0,
         f"blocklisting 10.0.0.1:0/123 until {until} (3600 sec)"),
        ("osd blacklist", {"blacklistop": "add", "addr": "v2:10.0.0.2:7/9", "expire": 77.5}, 0,
         "blocklisting 10.0.0.2:7/9 until 2023-11-14T22:14:37.500000+0000 (77.5 sec)"),
        ("osd blocklist", {"blocklistop": "add", "addr": "zz"}, -22, "unable to parse address zz"),
        ("osd blocklist", {"blocklistop": "rm", "addr": "10.0.0.2:7/9"}, 0,
         "un-blocklisting 10.0.0.2:7/9"),
        ("osd blocklist", {"blocklistop": "rm", "addr": "10.0.0.2:7/9"}, 0,
         "10.0.0.2:7/9 isn't blocklisted"),
        ("osd blocklist", {"range": "range", "blocklistop": "add", "addr": "10.1.0.0/16"}, 0,
         f"blocklisting cidr:10.1.0.0:0/16 until {until} (3600 sec)"),
        ("osd blocklist", {"range": "range", "blocklistop": "add", "addr": "10.1.2.3/40"}, -22,
         "Too many bits in range for that protocol!"),
        ("osd blocklist", {"range": "range", "blocklistop": "rm", "addr": "10.1.2.3/32"}, 0,
         "cidr:10.1.2.3:0/32 isn't blocklisted"),
        ("osd blocklist ls", {}, 0, "listed 2 entries"),
    ])  # fmt: skip
    assert kit.text("osd blocklist ls") == (f"10.0.0.1:0/123 {until}\ncidr:10.1.0.0:0/16 {until}\n")
    # a time beyond the calendar of the map is its end
    kit.ok("osd blocklist", blocklistop="add", addr="1.1.1.1:0/1", expire=1e30)
    kit.ok("osd blocklist clear")
    assert kit.json("osd blacklist ls") == []
    decode_osd_map(kit.run("osd getmap").outb)


def test_settings() -> None:
    kit = Kit()
    outcomes(kit, [
        ("osd set-require-min-compat-client", {"version": "zz"}, -22,
         "version zz is not recognized"),
        ("osd set-require-min-compat-client", {"version": "argonaut"}, -1,
         "osdmap current utilizes features that require jewel; "
         "cannot set require_min_compat_client below that to argonaut"),
        ("osd set-require-min-compat-client", {"version": "jewel"}, 0,
         "set require_min_compat_client to jewel"),
        ("osd require-osd-release", {"release": "pacific"}, 0, ""),
        ("osd require-osd-release", {"release": "octopus"}, -1,
         "require_osd_release cannot be lowered once it has been set"),
    ])  # fmt: skip
    assert kit.text("osd get-require-min-compat-client") == "jewel\n"


# -- CRUSH ------------------------------------------------------------------------------------


def test_the_crush_map_is_a_real_clusters() -> None:
    kit = Kit()
    dump = kit.json("osd crush dump")
    buckets = {bucket["id"]: bucket for bucket in dump["buckets"]}
    assert [(b["name"], b["weight"], b["alg"]) for b in dump["buckets"]] == [
        ("default", 255, "straw2"),
        ("default~hdd", 255, "straw2"),
        ("box", 255, "straw2"),
        ("box~hdd", 255, "straw2"),
    ]
    assert buckets[-2]["items"] == [{"id": -4, "weight": 255, "pos": 0}]
    assert dump["devices"] == [{"id": 0, "name": "osd.0", "class": "hdd"}]
    tunables = dump["tunables"]
    assert (tunables["profile"], tunables["optimal_tunables"]) == ("jewel", 1)
    assert tunables["allowed_bucket_algs"] == 54
    assert tunables["minimum_required_version"] == "jewel"


def test_rules() -> None:
    kit = Kit()
    create = "osd crush rule create-replicated"
    outcomes(kit, [
        (create, {"name": "r2", "root": "default", "type": "host"}, 0, ""),
        (create, {"name": "r2", "root": "default", "type": "host"}, 0, "rule r2 already exists"),
        (create, {"name": "r3", "root": "default", "type": "osd", "class": "hdd"}, 0, ""),
        (create, {"name": "r4", "root": "default", "type": "osd", "class": "ssd"}, -22,
         "device class ssd does not exist"),
        (create, {"name": "r4", "root": "zz", "type": "osd"}, -2, "root item zz does not exist"),
        (create, {"name": "r4", "root": "default", "type": "zz"}, -22, "unknown type zz"),
        ("osd crush rule rename", {"srcname": "r2", "dstname": "r22"}, 0, ""),
        ("osd crush rule rename", {"srcname": "r2", "dstname": "r22"}, 0,
         "already renamed to 'r22'"),
        ("osd crush rule rename", {"srcname": "zz", "dstname": "yy"}, -2,
         "source rule name 'zz' does not exist"),
        ("osd crush rule rename", {"srcname": "r22", "dstname": "r3"}, -17,
         "destination rule name 'r3' already exists"),
        ("osd crush rule dump", {"name": "zz"}, -2, "unknown crush rule 'zz'"),
        ("osd crush rule ls-by-class", {"class": "zz"}, -2, "failed to get rules by class 'zz'"),
    ])  # fmt: skip
    assert kit.text("osd crush rule ls") == "replicated_rule\nr22\nr3\n"
    assert kit.json("osd crush rule ls-by-class", **{"class": "hdd"}) == ["r3"]
    kit.pool("p", rule="r3")
    result = kit.run("osd crush rule rm", name="r3")
    assert (result.r, result.outs) == (-16, "crush ruleset r3 2 is in use")
    assert kit.ok("osd crush rule rm", name="r22") == ""
    assert kit.ok("osd crush rule rm", name="r22") == "rule r22 does not exist"
    # its number is given again
    kit.ok(create, name="r5", root="default", type="osd")
    assert [rule["rule_id"] for rule in kit.json("osd crush rule dump")] == [0, 1, 2]
    crush = kit.osd.map.client.crush
    for number in range(3):
        assert do_rule(crush, number, 1234, 1, kit.osd.map.client.osd_weight, 1) == [0]


def test_the_rest_of_crush() -> None:
    kit = Kit()
    assert kit.text("osd crush tree", shadow="--show-shadow") == (
        "ID  CLASS  WEIGHT   TYPE NAME       \n"
        "-2    hdd  0.00389  root default~hdd\n"
        "-4    hdd  0.00389      host box~hdd\n"
        " 0    hdd  0.00389          osd.0   \n"
        "-1         0.00389  root default    \n"
        "-3         0.00389      host box    \n"
        " 0    hdd  0.00389          osd.0   \n"
    )
    assert kit.text("osd crush ls", node="default") == "box\n"
    assert kit.run("osd crush ls", node="zz").outs == "node 'zz' does not exist"
    assert kit.json("osd crush class ls") == ["hdd"]
    assert kit.json("osd crush class ls-osd", **{"class": "hdd"}) == [0]
    assert kit.text("osd crush get-device-class", ids=["osd.0", "1"]) == "osd.0 hdd\nosd.1 \n"
    assert kit.run("osd crush get-device-class", ids=["x"]).outs == "unable to parse osd id:'x'"
    assert kit.text("osd crush get-tunable", tunable="straw_calc_version") == "1\n"
    assert (kit.json("osd crush weight-set ls"), kit.json("osd crush weight-set dump")) == ([], {})
    assert kit.text("osd erasure-code-profile get", name="default") == (
        "k=2\nm=2\nplugin=jerasure\ntechnique=reed_sol_van\n"
    )
    assert kit.text("osd numa-status").splitlines()[1] == (
        "  0  box         -        -         -  -   "
    )


def test_weights_of_devices() -> None:
    assert crush_build.device_weight(4 << 30) == 255
    assert crush_build.device_weight(1 << 40) == 0x10000
    assert crush_build.device_weight(1) == 0
    crush = crush_build.empty_map(1)
    crush_build.add_device(crush, 0, "h", 1, "ssd")
    assert osd_crush.location_text(crush, 0) == "root=default,host=h"
    assert osd_crush.devices_under(crush, -1) == {0}


# -- what is refused --------------------------------------------------------------------------


def test_refused_commands_say_why() -> None:
    kit = Kit()
    before = kit.osd.map
    for prefix, args in (
        ("osd rm", {"ids": ["0"]}),
        ("osd crush reweight", {"name": "osd.0", "weight": 1.0}),
        ("osd tier add", {"pool": "a", "tierpool": "b"}),
        ("osd erasure-code-profile set", {"name": "x"}),
        ("pg scrub", {"pgid": "1.0"}),
        ("osd setmaxosd", {"newmax": 4}),
    ):
        result = kit.run(prefix, **args)
        assert result.r == -errno.EOPNOTSUPP
        assert result.outs.startswith(f"{prefix} is not supported: ")
    assert kit.osd.map is before
    refused = [desc for descs in REFUSED.values() for desc in descs]
    assert len(refused) == len(set(refused)) > 80


def test_no_argument_is_a_bug() -> None:
    """Whatever is given, a command answers with a status; only what works changes the map."""
    kit, rng = Kit(), random.Random(5)
    kit.pool("a")
    values: list[Any] = [
        "", "a", "0", "-1", "zz", "99999999999999999999", 0, -1, 1 << 62, 1.5, -0.5, True,
        ["a"], [], ["0", "zz"], "\udcff", "x" * 5000, "all", "1.0", "10.0.0.0/8", "size", "add",
    ]  # fmt: skip
    commands = [c for c in kit.mon.commands if c.module in ("osd", "pg") or c.prefix == "df"]
    assert len(commands) > 150
    for item in commands:
        for _ in range(12):
            args = {
                arg.name: rng.choice(values) for arg in item.signature.args if rng.random() < 0.9
            }
            if rng.random() < 0.4:
                args["format"] = rng.choice(("json", "xml", "plain", "zz", "json-pretty"))
            for name in ("pool", "pool2", "srcpool", "poolstr"):
                if name in args and rng.random() < 0.7:
                    args[name] = "a"
            epoch = kit.osd.map.epoch
            result = kit.run(item.prefix, **args)
            assert result.r <= 0
            if result.r < 0 and item.prefix not in ("osd down", "osd out", "osd in"):
                assert kit.osd.map.epoch == epoch, (item.prefix, args)
                assert result.outs, (item.prefix, args)
            if not kit.osd.pool_id("a"):
                kit.pool("a")
    json.dumps(kit.json("osd dump"))
    decode_osd_map(kit.run("osd getmap").outb)
