"""A value per option and level, observers, metavariables, and what the commands show."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.config import Config, Level, OptionError
from mdsdaemon.config.commands import (
    config_diff,
    config_get,
    config_help,
    config_set,
    config_show,
    config_unset,
)
from mdsdaemon.config.option_types import Value
from mdsdaemon.redaction import HIDDEN

KEY = "AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA=="


def make(**settings: Value) -> Config:
    return Config("mds.a", settings, hostname="host1", pid=77, home="/root")


def test_the_higher_level_wins() -> None:
    config = make()
    values = {Level.MON: 1, Level.FILE: 2, Level.ENV: 3, Level.CMDLINE: 4, Level.OVERRIDE: 5}
    for level, value in reversed(values.items()):
        config.set_val("mds_tick_interval", value, level)
    assert config.get_float("mds_tick_interval") == 5
    for level in sorted(values, reverse=True):
        assert config.level("mds_tick_interval") == level
        assert config.get_float("mds_tick_interval") == values[level]
        config.rm_val("mds_tick_interval", level)
    assert config.get_float("mds_tick_interval") == 5.0  # the default
    assert config.level("mds_tick_interval") == Level.DEFAULT


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Level)), st.one_of(st.none(), st.integers(-5, 5))),
        max_size=30,
    )
)
def test_any_sequence_of_changes(changes: list[tuple[Level, int | None]]) -> None:
    config = make()
    model: dict[Level, int] = {}
    seen: list[float] = []
    name = "mds_tick_interval"
    config.observe([name], lambda _: seen.append(config.get_float(name)))
    for level, value in changes:
        before = config.get_float(name)
        if value is None:
            config.rm_val(name, level)
            model.pop(level, None)
        else:
            config.set_val(name, value, level)
            model[level] = value
        expected = float(model[max(model)]) if model else 5.0
        assert config.get_float(name) == expected
        assert config.levels(name) == dict(sorted(model.items()))
        if before != expected:
            assert seen[-1] == expected


def test_typed_getters() -> None:
    config = make()
    assert config.get_int("mds_cache_memory_limit") == 4 << 30
    assert config.get_bool("mds_valgrind_exit") is False
    assert config.get_str("mds_join_fs") == ""
    assert config.get_float("ms_connection_idle_timeout") == 900.0
    for getter in (config.get_bool, config.get_int, config.get_float):
        with pytest.raises(TypeError):
            getter("mds_join_fs")
    with pytest.raises(TypeError):
        config.get_str("mds_beacon_grace")
    with pytest.raises(KeyError):
        config.get("no_such_option")
    with pytest.raises(KeyError):
        config.get_str("no_such_option")


def test_settings_of_an_embedding_program() -> None:
    config = make(mon_host="127.0.0.1:3300", mds_beacon_interval=0.5, mds_valgrind_exit=True)
    assert config.level("mon_host") == Level.CMDLINE
    assert config.get_float("mds_beacon_interval") == 0.5
    assert config.get_bool("mds_valgrind_exit") is True
    with pytest.raises(OptionError, match="Configuration option not found: 'mon_hosts'"):
        make(mon_hosts="x")


# -- metavariables --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("/a/$cluster/$name/$type/$id/$host/$num/$pid", "/a/ceph/mds.a/mds/a/host1/a/77"),
        ("${id}x/$idx/$", "ax/$idx/$"),
        ("$nosuch/${nosuch}/$Name", "$nosuch/${nosuch}/$Name"),
        ("$home/x", "/root/x"),
        ("$run_dir/$mds_beacon_grace", "/var/run/ceph/15.000000"),
        ("$mds_data", "/var/lib/ceph/mds/ceph-a"),
    ],
)
def test_metavariables(text: str, expanded: str) -> None:
    config = make(log_file=text)
    assert config.get_str("log_file") == expanded
    assert config.expand(text) == expanded


def test_the_option_host_is_the_host() -> None:
    assert make(host="other", log_file="$host").get_str("log_file") == "other"
    assert make(host="$host", log_file="$host").get_str("host") == "host1"


def test_defaults_with_metavariables_follow_what_they_name() -> None:
    config = make()
    assert config.get_str("keyring") == "/var/lib/ceph/mds/ceph-a/keyring"
    config.set_val("mds_data", "/d/$id", Level.FILE)
    assert config.get_str("keyring") == "/d/a/keyring"


def test_a_loop_is_broken_and_named() -> None:
    config = make(mds_data="$keyring", keyring="$mds_data")
    assert config.get_str("mds_data") == "$mds_data"
    assert "mds_data is defined by itself: mds_data -> keyring" in config.warnings[0]


def test_expansion_is_bounded() -> None:
    names = ["mds_data", "mon_data", "osd_data", "mgr_data", "rgw_data", "log_file", "pid_file",
             "chdir", "setuser", "setgroup", "crash_dir", "plugin_dir", "run_dir"]  # fmt: skip
    wide = {a: f"${b}${b}${b}${b}" for a, b in pairwise(names)}
    config = make(**wide)
    assert config.get_str("mds_data") == wide["mds_data"]
    assert "mds_data takes more than 1000 substitutions" in config.warnings[0]
    config = make(mds_data="$run_dir" * 900, run_dir="x" * 1000)
    assert config.get_str("mds_data") == "$run_dir" * 900
    assert "expands to more than" in config.warnings[0]


# -- changes while the daemon runs ----------------------------------------------------------------


def test_what_needs_a_restart_is_refused() -> None:
    config = make()
    config.set_val("public_addr", "127.0.0.1")
    config.running = True
    with pytest.raises(OptionError, match="'public_addr' may not be modified at runtime") as caught:
        config.set_val("public_addr", "127.0.0.2")
    assert caught.value.errno == 1
    config.set_val("public_addr", "v2:127.0.0.1:0/0")  # no change
    config.set_val("mds_beacon_grace", 20)
    with pytest.raises(OptionError):
        config.set_val("keyring", "/k")
    stop = config.observe(["keyring"], lambda _: None)
    config.set_val("keyring", "/k")
    stop()
    with pytest.raises(OptionError):
        config.set_val("keyring", "/k2")


def test_observers_hear_only_of_what_is_theirs() -> None:
    config = make()
    heard: list[set[str]] = []
    stop = config.observe(["debug_mds", "mds_join_fs"], lambda names: heard.append(set(names)))
    config.set_val("debug_mds", "5")
    config.set_val("debug_mds", "5/5")  # the same
    config.set_val("mds_beacon_grace", "5")
    config.change("mds_join_fs", "x")
    config.change("debug_mds", "6")
    assert heard == [{"debug_mds"}]
    config.apply_changes()
    assert heard == [{"debug_mds"}, {"debug_mds", "mds_join_fs"}]
    stop()
    config.set_val("debug_mds", "7")
    assert len(heard) == 2
    with pytest.raises(KeyError):
        config.observe(["no_such_option"], lambda _: None)


def test_a_value_below_another_is_no_change() -> None:
    config = make(mds_join_fs="x")
    heard: list[object] = []
    config.observe(["mds_join_fs"], heard.append)
    config.set_val("mds_join_fs", "y", Level.FILE)
    assert heard == []


def test_the_monitors_configuration() -> None:
    config = make(mds_tick_interval=9)
    problems = config.set_mon_vals(
        {
            "mds_beacon_grace": "11",
            "mds_tick_interval": "3",
            "mon_host": "1.2.3.4",
            "mds_cache_memory_limit": "plenty",
            "of_the_future": "1",
        }
    )
    assert config.get_float("mds_beacon_grace") == 11
    assert config.get_float("mds_tick_interval") == 9
    assert config.levels("mds_tick_interval")[Level.MON] == 3
    assert config.get_str("mon_host") == ""
    assert sorted(config.ignored_mon_values) == ["mds_cache_memory_limit", "mon_host"]
    assert len(problems) == 3
    heard: list[object] = []
    config.observe(["mds_beacon_grace"], heard.append)
    assert config.set_mon_vals({"mds_beacon_interval": "2"}) == []
    assert config.get_float("mds_beacon_grace") == 15
    assert Level.MON not in config.levels("mds_tick_interval")
    assert heard == [{"mds_beacon_grace"}]


# -- commands -------------------------------------------------------------------------------------


def test_config_get() -> None:
    config = make()
    assert config_get(config, "mds beacon grace") == (0, "", {"mds beacon grace": "15.000000"})
    assert config_get(config, "nosuch") == (
        -2,
        "error getting 'nosuch': (2) No such file or directory",
        {},
    )


def test_config_set_and_unset() -> None:
    config = make()
    config.running = True
    text = "mds_beacon_grace = '7.000000' (not observed, change may require restart) "
    assert config_set(config, "mds_beacon_grace", ["7"]) == (0, "", {"success": text})
    assert config_set(config, "mds_beacon_grace", ["7.0"]) == (0, "", {"success": ""})
    assert config_set(config, "debug_mds", ["20"]) == (0, "", {"success": ""})
    assert config.get_str("debug_mds") == "20/20"
    config.observe(["mds_join_fs"], lambda _: None)
    answer = config_set(config, "mds_join_fs", ["a", "b"])
    assert answer.data == {"success": "mds_join_fs = 'a b' "}
    refused = {
        ("mds_beacon_grace", "abc"): (-22, "(22) Invalid argument"),
        ("nosuch", "1"): (-2, "(2) No such file or directory"),
        ("public_addr", "1.2.3.4"): (-1, "(1) Operation not permitted"),
        ("debug_mds", "200"): (-34, "(34) Numerical result out of range"),
    }
    for (name, value), (r, why) in refused.items():
        answer = config_set(config, name, [value])
        assert answer == (r, f"error setting '{name}' to '{value}': {why}", {})
    assert config_unset(config, "mds_beacon_grace").r == 0
    assert config.get_float("mds_beacon_grace") == 15
    assert config_unset(config, "mds_beacon_grace") == (0, "", {})
    assert config_unset(config, "nosuch") == (
        -22,
        "error unsetting 'nosuch': (22) Invalid argument",
        {},
    )


def test_config_diff_has_ceph_s_shape() -> None:
    config = make()
    config.set_val("mds_beacon_grace", 5, Level.FILE)
    config.set_val("mds_beacon_grace", 7.5)
    config.set_val("memstore_device_bytes", "4G", Level.MON)
    config.set_val("pid_file", "$name.pid", Level.ENV)
    config.set_val("mds_log_pause", True, Level.DEFAULT)
    assert config_diff(config).data["diff"] == {
        "keyring": {"default": "$mds_data/keyring", "final": "/var/lib/ceph/mds/ceph-a/keyring"},
        "mds_beacon_grace": {"default": 15, "file": 5, "override": 7.5, "final": 7.5},
        "mds_log_pause": {"default": True, "final": True},
        "memstore_device_bytes": {
            "default": "1073741824",
            "mon": "4294967296",
            "final": "4294967296",
        },
        "pid_file": {"default": "", "env": "$name.pid", "final": "mds.a.pid"},
        "rbd_default_features": {"default": "61", "final": "61"},
    }
    assert list(config_diff(config, "pid file").data["diff"]) == ["pid_file"]
    assert config_diff(config, "nosuch").data == {"diff": {}}


def test_config_help() -> None:
    config = make()
    assert config_help(config, "mds beacon grace").data["option"]["type"] == "float"
    assert len(config_help(config, None).data["options"]) == 1744
    assert config_help(config, "nosuch") == (-2, "Setting not found: 'nosuch'", {})


def test_config_show_lists_everything() -> None:
    shown = config_show(make()).data
    assert len(shown) == 1810
    assert list(shown)[:2] == ["name", "cluster"]
    assert shown["name"] == "mds.a"
    assert all(isinstance(value, str) for value in shown.values())


def test_secrets_are_not_shown() -> None:
    config = make(key=KEY, rgw_keystone_admin_password="hunter2")
    config.running = True
    everything = [
        repr(config),
        str(config.show()),
        str(config.diff()),
        str(list(config.values())),
        str(config_get(config, "key")),
        str(config_set(config, "key", [KEY + "x"])),
        str(config_set(config, "rgw_keystone_admin_password", ["hunter22"])),
    ]
    assert not [text for text in everything if KEY in text or "hunter2" in text]
    assert config.shown("key") == HIDDEN
    assert config.get_str("key") == KEY
    assert make().shown("key") == ""


def test_what_is_reported_to_the_manager() -> None:
    config = make(mds_join_fs="x", fsid="8cf90c7c-a475-400b-bc4b-c1cc443480fa")
    values = dict(config.values())
    assert values["mds_join_fs"] == {Level.CMDLINE: "x"}
    assert "fsid" not in values
    assert dict(config.defaults())["mds_beacon_grace"] == "15.000000"
    assert dict(config.defaults())["keyring"] == "$mds_data/keyring"
