"""Configuration beside a live ceph-mds: the same options, answers and texts."""

import json
import os
import random
import string
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.real.admin import asok
from tests.real.cluster import Mds, RealCluster

from mdsdaemon.config import Config, ConfigError, Level
from mdsdaemon.config.commands import (
    Answer,
    config_diff,
    config_get,
    config_help,
    config_set,
    config_show,
    config_unset,
    injectargs,
)
from mdsdaemon.config.conf_file import parse_conf
from mdsdaemon.config.load import load
from mdsdaemon.config.options import get_option, table

# What parts of a standby ceph-mds observe; `config set` of these succeeds though they are text.
OBSERVED = (
    "auth_client_required", "auth_cluster_required", "auth_service_required", "auth_supported",
    "container_image", "crush_location", "err_to_stderr", "err_to_syslog", "fsid", "host",
    "keyring", "lockdep", "log_coarse_timestamps", "log_file", "log_max_new", "log_max_recent",
    "log_stderr_prefix", "log_to_file", "log_to_stderr", "log_to_syslog", "ms_client_mode",
    "ms_cluster_mode", "ms_mon_client_mode", "ms_mon_cluster_mode", "ms_mon_service_mode",
    "ms_service_mode",
)  # fmt: skip


@pytest.fixture
def real(cluster: RealCluster) -> Mds:
    """A ceph-mds."""
    daemon = cluster.start_mds("real", "a")
    daemon.wait_standby()
    return daemon


@pytest.fixture
def ours(cluster: RealCluster, real: Mds) -> Config:
    """The configuration that our daemon would have in its place, running."""
    config = load(["-i", "a", "-c", str(cluster.conf), "-f"], {}).config
    # What a daemon sets itself when it knows the cluster.
    config.set_val("fsid", cluster.fsid, Level.OVERRIDE)
    config.observe(OBSERVED, lambda _: None)
    config.running = True
    return config


def live(mds: Mds, prefix: str, **arguments: Any) -> str:
    """The raw answer: JSON, or `ERROR: …` and the text of the error."""
    return asok(mds.asok_path, prefix, format="json-pretty", **arguments).decode()


def as_live(answer: Answer) -> str:
    """As an admin socket writes it."""
    out = json.dumps(answer.data, indent=4) + "\n" if answer.data else "{}\n"
    if answer.r < 0:
        return f"ERROR: ({-answer.r}) {os.strerror(-answer.r)}\n{answer.text}\n"
    return out


def test_the_same_options(real: Mds) -> None:
    options = json.loads(live(real, "config help"))["options"]
    assert [option["name"] for option in options] == [option.name for option in table()]
    for option in options:
        wanted = {**option, "desc": "", "long_desc": ""}
        assert get_option(option["name"]).dump() == wanted


def test_config_show(real: Mds, ours: Config) -> None:
    theirs = json.loads(live(real, "config show"))
    mine = config_show(ours).data
    assert list(mine) == list(theirs)
    assert [name for name in theirs if theirs[name] != mine[name]] == []


def test_show_config_on_the_command_line(cluster: RealCluster) -> None:
    args = ["-i", "x", "-c", str(cluster.conf), "--mds-cache-memory-limit", "1G",
            "--default-mds_join_fs", "f", "--mds_data", "/x/$type-$id"]  # fmt: skip
    theirs = subprocess.run(
        ["ceph-mds", *args, "--show-config"],
        capture_output=True, text=True, check=True, env=cluster.env,
    ).stdout  # fmt: skip
    config = load(args, {}).config
    assert "".join(f"{name} = {value}\n" for name, value in config.show().items()) == theirs


def test_config_diff(real: Mds, ours: Config) -> None:
    theirs = json.loads(live(real, "config diff"))["diff"]
    assert config_diff(ours).data["diff"] == theirs


GETS = ["mds_beacon_grace", "mds beacon grace", " fsid ", "nosuch", "keyring", "debug_mds", "name"]
SETS = [
    ("mds_beacon_grace", "7"), ("mds_beacon_grace", "7.0"), ("mds_beacon_grace", "abc"),
    ("mds_cache_memory_limit", "1G"), ("mds_cache_memory_limit", "1Gi"),
    ("mds_cache_memory_limit", "1X"), ("nosuch", "1"), ("public_addr", "127.0.0.1"),
    ("debug_mds", "2"), ("debug_mds", "200"), ("debug_mds", "x"), ("public_addr", "1.2.3.4"),
    ("mds_log_pause", "yes"), ("mds_log_pause", "1"), ("mds_log_pause", "True"),
    ("log_stderr_prefix", "x y"), ("mds_join_fs", ""), ("fsid", "abc"), ("mds_numa_node", "3"),
    ("mds_health_summarize_threshold", "2K"), ("log_max_recent", "0"), ("mds beacon interval", "3"),
    ("mds_ping_grace", "1m"), ("mds-beacon-grace", "1"), ("osd_op_queue", "x"),
]  # fmt: skip


def test_get_set_and_unset(real: Mds, ours: Config) -> None:
    for name in GETS:
        assert live(real, "config get", var=name) == as_live(config_get(ours, name))
    for name, value in SETS:
        said = live(real, "config set", var=name, val=[value])
        assert said == as_live(config_set(ours, name, [value])), name
    assert config_diff(ours).data["diff"].keys() >= {"mds_beacon_grace", "mds_ping_grace"}
    for name in ("mds_beacon_grace", "mds_beacon_grace", "nosuch", "mds_ping_grace"):
        assert live(real, "config unset", var=name) == as_live(config_unset(ours, name))
    test_config_diff(real, ours)


def test_help_of_one_option(real: Mds, ours: Config) -> None:
    for name in ("mds_beacon_grace", "debug_mds", "osd_op_queue", "mds cache memory limit"):
        theirs = json.loads(live(real, "config help", var=name))["option"]
        mine = config_help(ours, name).data["option"]
        assert {**theirs, "desc": "", "long_desc": ""} == {**mine, "desc": "", "long_desc": ""}
    assert live(real, "config help", var="nosuch") == as_live(config_help(ours, "nosuch"))


INJECTED = [
    "--debug_mds=6 --mds_beacon_grace 9", "--debug_mds 6/7 --mds-beacon-grace 9 --mds_log_pause",
    "--debug_mds", "--nosuch 3", "--mds_beacon_grace abc", "--mds_log_pause=maybe",
    "--mds_log_pause maybe", "--no-mds_log_pause", "--no-mds-log-pause",
    "--default-mds_beacon_grace=8 --mds_beacon_interval=2", "--mds_beacon_grace=3  --nosuch",
    '--mds_join_fs "a b"', "--mds_join_fs= --mds_log_pause false --mds_log_pause=1",
    "mds_tick_interval=1", "--public_addr=1.2.3.4", "-f", "--", "-m x", "--mds_log_pause 0",
    "--default-mds_tick_interval=abc", "--log_stderr_prefix=x --no-log_to_syslog",
    "--mds_tick_interval=1e999", "--mds_dir_keys_per_op=1KK --mds_cache_memory_limit=16E",
    "--mds_ping_grace=10x", "--osd_uuid=zz", "--mds_numa_node=1", "--debug_mds=99/100",
]  # fmt: skip


def test_injectargs(real: Mds, ours: Config) -> None:
    for text in INJECTED:
        said = live(real, "injectargs", injected_args=[text])
        assert said == as_live(injectargs(ours, [text])), text
    test_config_diff(real, ours)


def test_random_values(real: Mds, ours: Config) -> None:
    """Whatever text is set, both take it or refuse it alike."""
    rng = random.Random(16)
    names = ["mds_tick_interval", "mds_dir_keys_per_op", "mds_cache_memory_limit", "mds_ping_grace",
             "mds_log_pause", "debug_mds", "mds_join_fs", "rados_osd_op_timeout"]  # fmt: skip
    alphabet = string.digits * 3 + "+-.eExXKMGTPEBismhdwy /_"
    for _ in range(400):
        name = rng.choice(names)
        value = "".join(rng.choices(alphabet, k=rng.randrange(6)))
        said = live(real, "config set", var=name, val=[value])
        mine = as_live(config_set(ours, name, [value]))
        assert said == mine, (name, value)


def test_values_of_files(cluster: RealCluster, tmp_path: Path) -> None:
    """Files that ceph-mds accepts mean the same; some that it refuses are accepted here."""
    rng = random.Random(2)
    pieces = ["[global]\n", "[mds]\n", "[mds.x]\n", "mds_data", "mds data", "= ", "=", "a", "/b c",
              "\n", "\n", " ", "\t", ";c", "# d", '"', "'", "\\", "\\\n", "$id", "[", "]", "\r\n",
              "mds data = v\n", "[mds.x] ; e\n"]  # fmt: skip
    path = tmp_path / "t.conf"
    accepted = 0
    for _ in range(150):
        text = "[global]\n" * rng.randrange(2) + "".join(rng.choices(pieces, k=rng.randrange(14)))
        path.write_bytes((text + "\n").encode())
        theirs = subprocess.run(
            ["ceph-mds", "-i", "x", "-c", str(path), "--show-config-value", "mds_data"],
            capture_output=True, text=True, check=False, env=cluster.env,
        )  # fmt: skip
        if theirs.returncode:
            with suppress(ConfigError):  # accepted or refused, but never anything else
                parse_conf(path.read_bytes(), str(path))
            continue
        accepted += 1
        config = load(["-i", "x", "-c", str(path)], {}).config
        assert config.get_str("mds_data") + "\n" == theirs.stdout, text
    assert accepted > 15


def without_observers(text: str) -> str:
    """Which options somebody observes is each daemon's own affair."""
    return text.replace("(not observed, change may require restart) ", "")


def test_our_daemon_says_the_same(real: Mds, cluster: RealCluster) -> None:
    """The same commands on the admin sockets of both daemons."""
    mine = cluster.start_mds("ours", "b")
    mine.wait_standby()

    def both(prefix: str, **arguments: Any) -> tuple[str, str]:
        answers = [live(mds, prefix, **arguments) for mds in (real, mine)]
        return without_observers(answers[0]), without_observers(answers[1])

    names = [list(json.loads(answer)) for answer in both("config show")]
    assert names[0] == names[1]
    for prefix in ("config help", "config diff"):
        kinds = [type(json.loads(answer)) for answer in both(prefix)]
        assert kinds == [dict, dict]
    untouched = [(n, v) for n, v in SETS if n not in ("fsid", "log_stderr_prefix")]
    for name, value in untouched:
        theirs, ours = both("config set", var=name, val=[value])
        assert ours == theirs, (name, value)
    for text in INJECTED:
        if "log_" not in text.replace("mds_log", ""):
            theirs, ours = both("injectargs", injected_args=[text])
            assert ours == theirs, text
    for name in GETS:
        if name != "keyring":
            theirs, ours = both("config get", var=name)
            assert ours == theirs, name
    for name in ("mds_beacon_grace", "nosuch", "mds_ping_grace"):
        theirs, ours = both("config unset", var=name)
        assert ours == theirs, name
    for name in ("nosuch", "all"):
        theirs, ours = both("perf reset", var=name)
        assert ours == theirs
    for prefix in ("log flush", "log dump", "log reopen", "perf histogram schema"):
        assert [type(json.loads(answer)) for answer in both(prefix)] == [dict, dict]
    for arguments in ({"logger": "cct"}, {"logger": "nosuch"}, {"logger": "cct", "counter": "x"}):
        theirs, ours = both("perf dump", **arguments)
        assert json.loads(ours).keys() == json.loads(theirs).keys()
    theirs, ours = both("perf schema")
    rows = [next(iter(json.loads(answer)["cct"].values())) for answer in (theirs, ours)]
    assert list(rows[0]) == list(rows[1])
