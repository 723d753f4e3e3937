"""The configuration database: for whom a setting counts, its history, what a session is told."""

from __future__ import annotations

import errno

import pytest
from tests.unit.embedded_mon_kit import Mon

from mdsdaemon.embedded.monitor.config_map import BadTarget, ConfigMap, Target
from mdsdaemon.embedded.storage import MemoryStorage
from mdsdaemon.messages.config import MConfig, MGetConfig
from mdsdaemon.types.entity import EntityName

TYPES = {"osd": 0, "host": 1, "rack": 3, "root": 11}
PLACE = {"host": "h1", "rack": "r1", "root": "default"}


def values(
    entries: dict[str, str], name: str, place: dict[str, str] | None = None, device_class: str = ""
) -> dict[str, str]:
    found = ConfigMap(entries).for_entity(EntityName.parse(name), place or {}, device_class, TYPES)
    return {option: item.value for option, item in found.items()}


@pytest.mark.parametrize(
    ("text", "section", "mask"),
    [
        ("global", "global", ""),
        ("mds", "mds", ""),
        ("mds.a.b", "mds.a.b", ""),
        ("osd/class:ssd", "osd", "class:ssd"),
        ("osd/host:h1/class:ssd", "osd", "host:h1/class:ssd"),
        ("class:ssd/osd", "osd", "class:ssd"),
        ("host:h1", "global", "host:h1"),
    ],
)
def test_targets(text: str, section: str, mask: str) -> None:
    target = Target.parse(text)
    assert (target.section, target.mask) == (section, mask)
    assert Target.parse(target.key("")) == target


@pytest.mark.parametrize("text", ["foo", "", "mds/foo", "mdss.a"])
def test_bad_targets(text: str) -> None:
    with pytest.raises(BadTarget):
        Target.parse(text)


def test_the_nearest_section_counts() -> None:
    entries = {
        "global/debug_ms": "1",
        "client/debug_ms": "2",
        "client.a/debug_ms": "3",
        "client.a.b/debug_ms": "4",
        "mds/debug_mds": "9",
    }
    assert values(entries, "client.a.b.c") == {"debug_ms": "4"}
    assert values(entries, "client.a.x") == {"debug_ms": "3"}
    assert values(entries, "client.b") == {"debug_ms": "2"}
    assert values(entries, "mds.a") == {"debug_ms": "1", "debug_mds": "9"}


def test_masks() -> None:
    entries = {
        "osd/osd_max_backfills": "1",
        "osd/class:ssd/osd_max_backfills": "2",
        "osd/rack:r1/osd_max_backfills": "3",
        "osd/host:h1/osd_max_backfills": "4",
        "osd/host:h2/osd_max_backfills": "5",
    }
    assert values(entries, "osd.0") == {"osd_max_backfills": "1"}
    assert values(entries, "osd.0", None, "ssd") == {"osd_max_backfills": "2"}
    assert values(entries, "osd.0", PLACE, "ssd") == {"osd_max_backfills": "4"}
    assert values(entries, "osd.0", {"rack": "r1"}, "ssd") == {"osd_max_backfills": "3"}
    # a mask counts only within its section
    entries["osd.0/osd_max_backfills"] = "6"
    assert values(entries, "osd.0", PLACE, "ssd") == {"osd_max_backfills": "6"}


def test_what_cannot_be_is_left_out() -> None:
    entries = {
        "foo/debug_ms": "1",
        "global/mon_host": "x",
        "debug_ms": "2",
        "mgr/mgr/balancer/active": "true",
        "mds/mds_session_blacklist_on_evict": "false",
    }
    assert values(entries, "client.a") == {"debug_ms": "2"}
    assert values(entries, "mgr.x") == {"debug_ms": "2", "mgr/balancer/active": "true"}
    assert values(entries, "mds.x")["mds_session_blocklist_on_evict"] == "false"


def test_sessions_hear_of_changes_that_concern_them() -> None:
    m = Mon()
    a, b = m.session("client.a"), m.session("client.b")
    for session in a, b:
        m.subscribe(session, "config")
    assert [type(msg) for msg in a.heard] == [MConfig]
    m.run("config set", who="client.a", name="debug_client", value="7")
    m.run("config set", who="client.a", name="debug_client", value="7")
    assert len(a.heard) == 2
    assert isinstance(a.heard[-1], MConfig)
    assert a.heard[-1].config == {"debug_client": "7/7"}
    assert len(b.heard) == 1
    m.run("config rm", who="client.a", name="debug_client")
    assert isinstance(a.heard[-1], MConfig)
    assert a.heard[-1].config == {}


def test_get_config_for_another_name() -> None:
    m = Mon()
    m.run("config set", who="mds.x", name="debug_mds", value="7")
    session = m.session()
    m.mon.config_db.handle_get_config(session, MGetConfig(EntityName.parse("mds.x"), tid=9))
    (reply,) = session.heard
    assert isinstance(reply, MConfig)
    assert (reply.config, reply.tid) == ({"debug_mds": "7/7"}, 9)


def test_the_monitor_takes_its_own_settings() -> None:
    m = Mon()
    m.run("config set", who="mon", name="mon_max_log_entries_per_event", value="17")
    assert m.mon.config.get_int("mon_max_log_entries_per_event") == 17
    m.run("config rm", who="mon", name="mon_max_log_entries_per_event")
    assert m.mon.config.get_int("mon_max_log_entries_per_event") != 17


def test_history_survives_a_restart() -> None:
    storage = MemoryStorage()
    m = Mon(storage)
    m.run("config set", who="mds", name="debug_mds", value="7")
    m.run("config set", who="mds", name="debug_mds", value="8")
    before = m.json("config log")
    m = Mon(storage)
    assert m.json("config log") == before
    assert [change["version"] for change in before] == [3, 2, 1]
    assert before[0]["changes"] == [
        {"name": "mds/debug_mds", "previous_value": "7/7", "new_value": "8/8"}
    ]
    m.run("config reset", num=1)
    assert m.json("config dump") == []
    assert m.json("config log")[0]["name"] == "reset to 1"
    assert m.run("config reset", num=77).r == -errno.EINVAL


def test_assimilate_conf() -> None:
    m = Mon()
    m.run("config set", who="global", name="debug_mon", value="3")
    conf = b"""
[global]
    mds beacon interval = 3
    fsid = 6dd2bcd1-4b4a-4a5b-9a3a-2f7d3c7b0c11
    no such = option
    debug mon = 4
[mds.x]
    debug_mds = 9
[mds0]
    debug_mds = 9
"""
    left = m.run("config assimilate-conf", inbuf=conf).outb.decode()
    assert left == (
        "\n[global]\n\tdebug_mon = 4\n\tfsid = 6dd2bcd1-4b4a-4a5b-9a3a-2f7d3c7b0c11\n"
        "\tno_such = option\n\n[mds0]\n\tdebug_mds = 9\n"
    )
    assert {(o["section"], o["name"], o["value"]) for o in m.json("config dump")} == {
        ("global", "debug_mon", "3/3"),
        ("global", "mds_beacon_interval", "3.000000"),
        ("mds.x", "debug_mds", "9/9"),
    }
    assert m.run("config assimilate-conf", inbuf=b"[global\nx").r == -errno.EINVAL


def test_config_keys_of_the_database_are_the_database() -> None:
    m = Mon()
    m.run("config-key set", key="config/mds/debug_mds", val="5")
    assert m.text("config get", who="mds.a", key="debug_mds") == "5\n"
    assert m.run("config-key set", key="big", val="x" * 65537).r == -errno.EFBIG


def test_kv_subscriptions() -> None:
    m = Mon()
    session, other = m.session("client.a"), m.session("client.b", "allow rwx")
    for each in session, other:
        m.subscribe(each, "kv:a/")
    m.run("config-key set", key="a/b", val="1")
    m.run("config-key set", key="b", val="2")
    m.run("config-key rm", key="a/b")
    pairs = [getattr(msg, "pairs", None) for msg in session.heard]
    assert pairs == [{}, {"a/b": b"1"}, {}]
    assert other.heard == []
