"""What a person types: the stock `ceph` tool's `tell`, `daemon` and `config`."""

import json

import pytest
from tests.real.cluster import Mds
from tests.real.daemons import wait_for

ASKED = [("status",), ("version",), ("config", "show"), ("perf", "dump"), ("git_version",)]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_tell_and_daemon_give_what_ceph_mds_gives(mds: Mds, words: tuple[str, ...]) -> None:
    """Three ways to one answer: tell by name, daemon by name, daemon by socket."""
    tell = mds.cluster.ceph("tell", f"mds.{mds.name}", *words)
    by_name = mds.cluster.ceph("daemon", f"mds.{mds.name}", *words)
    by_path = mds.cluster.ceph("daemon", str(mds.asok_path), *words)
    assert tell.keys() == by_name.keys() == by_path.keys()
    assert len(tell) > 0


def test_help(mds: Mds) -> None:
    """`ceph tell … help` is written by the tool from our descriptions; `daemon … help` by us."""
    told = mds.cluster.ceph("tell", f"mds.{mds.name}", "help", json=False)
    assert "damage rm <damage_id:int>" in told
    by_socket = mds.cluster.ceph("daemon", f"mds.{mds.name}", "help")
    assert by_socket["damage ls"]


def test_tell_by_gid_and_to_all(mds: Mds) -> None:
    gid = mds.gid()
    assert mds.cluster.ceph("tell", f"mds.{gid}", "status")["id"] == gid
    everyone = mds.cluster.ceph("tell", "mds.*", "status", json=False)
    assert f'"id": {gid}' in everyone


def test_the_tool_validates_arguments_by_our_descriptions(mds: Mds) -> None:
    """The tool itself refuses, from the descriptions that the daemon gave it."""
    done = mds.cluster.ceph_result("tell", f"mds.{mds.name}", "damage", "rm", "not-a-number")
    assert done.returncode == 22
    assert "damage rm <damage_id:int>" in done.stderr
    done = mds.cluster.ceph_result("daemon", f"mds.{mds.name}", "nonsense")
    assert done.returncode == 22


def test_pretty_is_the_default_format(mds: Mds) -> None:
    pretty = mds.cluster.ceph("tell", f"mds.{mds.name}", "version", json=False)
    assert pretty.startswith('{\n    "version"')
    compact = mds.cluster.tell(mds.name, "version", format="json").out
    assert compact.startswith('{"version"')
    assert json.loads(pretty) == json.loads(compact)


def test_config_set_and_unset_take_effect(mds: Mds) -> None:
    def value() -> float:
        return float(mds.asok("config get", var="mds_tick_interval")["mds_tick_interval"])

    before = value()
    mds.asok("config set", var="mds_tick_interval", val=["9"])
    assert value() == 9
    assert "mds_tick_interval" in mds.asok("config diff")["diff"]
    mds.asok("config unset", var="mds_tick_interval")
    assert value() == before


def test_injectargs(mds: Mds) -> None:
    mds.cluster.ceph("tell", f"mds.{mds.name}", "injectargs", "--mds_tick_interval=8", json=False)
    assert float(mds.asok("config get", var="mds_tick_interval")["mds_tick_interval"]) == 8


def test_configuration_of_the_monitor_arrives_live(mds: Mds) -> None:
    """`ceph config set` for one daemon, for all of its kind, and taken back."""

    def value() -> str:
        return str(mds.asok("config get", var="mds_join_fs")["mds_join_fs"])

    def diff() -> dict[str, object]:
        entry: dict[str, object] = mds.asok("config diff")["diff"].get("mds_join_fs", {})
        return entry

    mds.cluster.ceph("config", "set", "mds", "mds_join_fs", "everyone", json=False)
    wait_for(lambda: value() == "everyone", 5, "the section mds arrives")
    mds.cluster.ceph("config", "set", f"mds.{mds.name}", "mds_join_fs", "mine", json=False)
    wait_for(lambda: value() == "mine", 5, "the more specific section wins")
    assert diff()["mon"] == "mine"
    mds.asok("config set", var="mds_join_fs", val=["override"])
    assert value() == "override"
    mds.asok("config unset", var="mds_join_fs")
    assert value() == "mine"
    mds.cluster.ceph("config", "rm", f"mds.{mds.name}", "mds_join_fs", json=False)
    wait_for(lambda: value() == "everyone", 5, "the wider section is back")
    mds.cluster.ceph("config", "rm", "mds", "mds_join_fs", json=False)
    wait_for(lambda: value() == "", 5, "the default is back")


def test_log_reopen_makes_a_new_file(mds: Mds) -> None:
    """What logrotate does: the file moved away, then SIGHUP or `log reopen`."""
    log = mds.logs[1]
    wait_for(log.exists, 5, "there is a log file")
    moved = log.with_suffix(".old")
    log.rename(moved)
    mds.asok("log reopen")
    wait_for(log.exists, 5, "`log reopen` makes a new file")
