"""A cache that is much too small: everything is trimmed and fetched again, all the time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.real.admin import SYSTEM_PYTHON, asok
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

CLIENT = Path(__file__).parent / "churn_client.py"
LIMIT = 250_000


def test_clients_of_a_small_cache(osd_cluster: RealCluster) -> None:
    osd_cluster.new_fs("small")
    mds = osd_cluster.start_our_mds("a")
    mds.wait_state("up:active", 30)
    # what is dirty stays in the cache: it is stored soon
    options = {
        "mds_cache_memory_limit": LIMIT,
        "mds_tick_interval": 1,
        "mds_log_events_per_segment": 32,
        "mds_log_max_segments": 3,
    }
    for name, value in options.items():
        asok(mds.asok_path, "config set", var=name, val=[str(value)])
    clients = [
        subprocess.Popen(
            [SYSTEM_PYTHON, str(CLIENT), str(osd_cluster.conf), seed, "2000"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=osd_cluster.env, text=True,
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    while any(client.poll() is None for client in clients):
        mds.asok("cache drop")  # it also stores what is dirty
    for client in clients:
        out, err = client.communicate(timeout=240)
        assert client.returncode == 0, err
        assert "files" in out
    mds.asok("flush journal")
    wait_for(lambda: _used(mds.asok_path) < LIMIT, 30, "the cache fits")
    perf = mds.asok("perf dump")
    assert perf["mds"]["dir_fetch"] > 50
    asok(mds.asok_path, "scrub start", path="/", scrubops=["recursive", "force"], format="json")
    wait_for(
        lambda: "no active scrubs" in json.loads(asok(mds.asok_path, "scrub status"))["status"],
        60,
        "the scrub is over",
    )
    assert mds.asok("damage ls") == []
    assert [line for line in mds.logged().splitlines() if "[ERR]" in line] == []


def _used(path: Path) -> int:
    return int(json.loads(asok(path, "cache status", format="json"))["pool"]["bytes"])
