"""Files are made and removed while the daemon is killed again and again: nothing is left over."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import closing

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.fs_pair import FsClient
from tests.real.test_rank_sessions import Site

KILLS = 8


class Churn(threading.Thread):
    """A client that makes, writes and removes files until it is told to stop."""

    def __init__(self, client: FsClient, number: int) -> None:
        super().__init__(daemon=True)
        self.client, self.number = client, number
        self.stop = threading.Event()
        self.done = 0
        self.failed: list[object] = []

    def run(self) -> None:
        while not self.stop.is_set():
            path = f"/c{self.number}-{self.done}"
            calls: list[list[object]] = [
                ["open", "f", path, os.O_CREAT | os.O_RDWR, 0o644],
                ["write", "f", "x" * 100, 0],
                ["unlink", path],
                ["close", "f"],
            ]
            if self.done % 7 == 0:
                calls = [["mkdir", path, 0o755], ["rmdir", path]]
            for call in calls:
                number, result = self.client.call(*call, timeout=120)
                if number:
                    self.failed.append((call, number, result))
                    return
            self.done += 1


def test_nothing_is_left_over(osd_cluster: RealCluster) -> None:
    with closing(Site(osd_cluster, "ours")) as site:
        _churn_and_kill(site)


def _churn_and_kill(site: Site) -> None:
    rng = random.Random(5)
    churns = [Churn(site.client(), number) for number in range(2)]
    for churn in churns:
        churn.start()
    try:
        for turn in range(KILLS):
            time.sleep(rng.uniform(0.2, 2.0))
            site.crash()
            site.start("ba"[turn % 2])
        time.sleep(1)
    finally:
        for churn in churns:
            churn.stop.set()
    for churn in churns:
        churn.join(150)
        assert not churn.failed
        assert churn.done > 0
        assert churn.client.call("unmount")[0] == 0
    wait_for(lambda: site.counter("num_strays") == 0, 60, "all strays are gone")
    wait_for(lambda: not site.data() or None, 30, "all data is gone")
    assert site.mds.asok("damage ls") == []
    # a stock daemon finds nothing wrong with what is left
    site.crash()
    site.kind = "real"
    site.start("c")
    started = site.mds.asok("scrub start", path="/", scrubops=["recursive"])
    assert started["return_code"] == 0
    wait_for(
        lambda: "no active scrubs" in site.mds.asok("scrub status")["status"], 60, "scrub is over"
    )
    assert site.mds.asok("damage ls") == []
    assert site.counter("num_strays") == 0
    said = site.cluster.mon("log last", num=100, level="error", channel="cluster")
    assert not [m for m in said if str(m.get("name", "")).startswith("mds.")]
