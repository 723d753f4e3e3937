"""Health: checks of all services, mutes, what the log says; the log itself."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests.unit.embedded_mon_kit import FSID, Mon

from mdsdaemon.embedded.monitor.service import HEALTH_ERR, HEALTH_WARN, HealthCheck
from mdsdaemon.embedded.monitor.timespan import parse_timespan
from mdsdaemon.embedded.storage import MemoryStorage
from mdsdaemon.messages.log import ClogType, LogEntry, MLog, MLogAck
from mdsdaemon.types.entity import EntityAddrVec, EntityName, PeerName


class Sick(Mon):
    """A monitor whose checks the test sets."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.checks: list[HealthCheck] = []
        self.mon.auth.health = lambda: self.checks  # type: ignore[method-assign]

    def logged(self) -> list[str]:
        return [f"{e['priority']} {e['message']}" for e in self.json("log last", num=100)[1:]]


SICK = HealthCheck("SICK", HEALTH_WARN, "one thing is sick", ["it is x"], 1)


def test_a_new_monitor_is_healthy() -> None:
    m = Mon()
    m.tick()
    assert m.text("health") == "HEALTH_OK\n"
    assert m.json("health") == {"status": "HEALTH_OK", "checks": {}, "mutes": []}


def test_texts() -> None:
    m = Sick()
    m.checks = [SICK, HealthCheck("BAD", HEALTH_ERR, "it is bad", ["a", "b"], 2)]
    assert m.text("health") == "HEALTH_ERR it is bad; one thing is sick\n"
    assert m.text("health", detail="detail") == (
        "HEALTH_ERR it is bad; one thing is sick\n"
        "[ERR] BAD: it is bad\n    a\n    b\n[WRN] SICK: one thing is sick\n    it is x\n"
    )
    assert m.json("health", detail="detail")["checks"]["SICK"] == {
        "severity": "HEALTH_WARN",
        "summary": {"message": "one thing is sick", "count": 1},
        "detail": [{"message": "it is x"}],
        "muted": False,
    }


def test_changes_are_logged_once() -> None:
    m = Sick()
    m.tick()
    m.checks = [SICK]
    for _ in range(3):
        m.tick()
    m.checks = [HealthCheck("SICK", HEALTH_WARN, "two things are sick", [], 2)]
    m.tick(120)
    m.checks = []
    m.tick()
    assert m.logged() == [
        "[WRN] Health check failed: one thing is sick (SICK)",
        "[WRN] Health check update: two things are sick (SICK)",
        "[INF] Health check cleared: SICK (was: two things are sick)",
        "[INF] Cluster is now healthy",
    ]


def test_a_mute_ends_when_the_alert_does_or_gets_worse() -> None:
    m = Sick()
    m.checks = [SICK]
    assert m.run("health mute", code="NIX").r == -errno.ENOENT
    assert m.run("health mute", code="SICK").r == 0
    m.tick()
    assert m.text("health") == "HEALTH_OK (muted: SICK)\n"
    m.checks = [HealthCheck("SICK", HEALTH_WARN, "worse", [], 2)]
    m.tick()
    assert m.json("health")["status"] == "HEALTH_WARN"
    assert m.run("health mute", code="SICK").r == 0
    m.checks = []
    m.tick()
    assert m.json("health")["mutes"] == []
    assert [line for line in m.logged() if "mute" in line] == [
        "[INF] Health alert mute SICK cleared (count increased from 1 to 2)",
        "[INF] Health alert mute SICK cleared (health alert cleared)",
    ]


def test_sticky_and_timed_mutes_survive_a_restart() -> None:
    storage = MemoryStorage()
    m = Sick(storage=storage)
    assert m.run("health mute", code="A", sticky=True).r == 0
    assert m.run("health mute", code="B", sticky=True, ttl="10m").r == 0
    assert m.run("health mute", code="B", ttl="soon").r == -errno.EINVAL
    m = Sick(storage=storage, clock=m.clock)
    m.tick(30)
    assert m.text("health") == "HEALTH_OK (muted: A B(9m))\n"
    m.tick(600)
    assert m.text("health") == "HEALTH_OK (muted: A)\n"
    m.run("health unmute")
    assert m.text("health") == "HEALTH_OK\n"


def test_bad_caps_are_an_error() -> None:
    m = Mon()
    key = b"AQDUugNrVQb3HxAAiiCrtsvAxW6MRNZk2cOASA=="
    ring = b"[client.x]\n\tkey = " + key + b'\n\tcaps mds = "rubbish"\n'
    assert m.run("auth import", inbuf=ring).outs == "imported keyring"
    check = m.json("health", detail="detail")["checks"]["AUTH_BAD_CAPS"]
    assert check["severity"] == "HEALTH_ERR"
    assert check["detail"][0]["message"].startswith("client.x mds capability parse failed")
    m.run("auth rm", entity="client.x")
    assert m.json("health")["checks"] == {}


def test_insecure_reclaim_is_a_warning() -> None:
    m = Mon(auth_allow_insecure_global_id_reclaim="true")
    assert list(m.json("health")["checks"]) == ["AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED"]
    m.run("config set", who="mon", name="debug_mon", value="1")
    m.mon.config.set_val("auth_allow_insecure_global_id_reclaim", "false")
    assert m.json("health")["checks"] == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("5m", 300), ("1h 30min", 5400), ("2 weeks", 1209600), ("1y", 31536000)],
)
def test_timespans(text: str, seconds: int) -> None:
    assert parse_timespan(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "5 parsecs", "0s", "-5", "9" * 30])
def test_bad_timespans(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timespan(text)


# -- the log ------------------------------------------------------------------------------------


def entry(seq: int, prio: int = ClogType.INFO, text: str = "said", channel: str = "") -> LogEntry:
    return LogEntry(
        name=EntityName.parse("mds.a"),
        rank=PeerName(2, 0),
        addrs=EntityAddrVec.parse("v2:10.0.0.2:6800/1"),
        stamp=1_700_000_000_000_000_000 + seq,
        seq=seq,
        prio=prio,
        msg=f"{text} {seq}",
        channel=channel,
    )


def test_daemons_log_and_are_acknowledged() -> None:
    m = Mon()
    mds = m.session("mds.a", "allow profile mds")
    for _ in range(2):  # sent again: not kept twice
        m.mon.log.handle_log(mds, MLog(fsid=FSID, entries=[entry(1), entry(2, ClogType.WARN)]))
    acks = [msg for msg in mds.heard if isinstance(msg, MLogAck)]
    assert [ack.last for ack in acks] == [2, 2]
    lines = m.json("log last", num=2)
    assert [line["message"] for line in lines] == ["said 1", "said 2"]
    assert lines[1]["priority"] == "[WRN]"
    assert m.text("log last", num=1).endswith(" mds.a (mds.0) 2 : cluster [WRN] said 2\n")


def test_who_may_not_log_is_not_heard() -> None:
    m = Mon()
    client = m.session("client.x", "allow r")
    m.mon.log.handle_log(client, MLog(fsid=FSID, entries=[entry(1)]))
    m.mon.log.handle_log(m.session(), MLog(entries=[entry(1)]))
    assert client.heard == []
    assert len(m.json("log last", num=100)) == 1


def test_watchers_get_their_level() -> None:
    m = Mon()
    info, warn = m.session("client.i"), m.session("client.w")
    m.subscribe(info, "log-info")
    m.subscribe(warn, "log-warn", 1)
    info.heard.clear()
    with m.mon.transactions.transaction():
        m.mon.log.cluster("info", "an info")
        m.mon.log.cluster("error", "an error")
        m.mon.log.cluster("debug", "a detail")
    assert [[e.msg for e in msg.entries] for msg in info.heard if isinstance(msg, MLog)] == [
        ["an info", "an error"]
    ]
    assert [[e.msg for e in msg.entries] for msg in warn.heard if isinstance(msg, MLog)] == [
        ["an error"]
    ]


def test_the_log_is_bounded_and_survives() -> None:
    storage = MemoryStorage()
    m = Mon(storage, mon_log_max_summary="5")
    for n in range(20):
        m.run("log", logtext=["line", f"{n}"])
    shown = [line["message"] for line in m.json("log last", num=100)]
    assert shown == [f"line {n}" for n in range(15, 20)]
    assert len(list(storage.items("mon_log"))) <= 10
    m = Mon(storage, mon_log_max_summary="5")
    assert [line["message"] for line in m.json("log last", num=2)] == ["line 18", "line 19"]
    m.run("log", logtext=["after"])
    assert m.json("log last", num=1)[0]["message"] == "after"


def test_log_levels() -> None:
    m = Mon()
    assert m.run("log", logtext=["x"], level="nix").r == -errno.EINVAL
    m.run("log", logtext=["careful"], level="warn")
    assert [e["message"] for e in m.json("log last", level="warn")] == ["careful"]
