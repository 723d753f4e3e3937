"""More files than the cache may hold: in one directory, and across many."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.large_kit import Step, fragments, large_load, scrub

FEWEST = 3000
BYTES_PER_FILE = 2000
"""As the daemon counts a file without capabilities in its cache, or a little less."""

WITH_CAPABILITY = 3200
BETWEEN = 2.0
"""Seconds in which files come into the cache before it is trimmed again, and clients answer."""


def allowed(step: Step, limit: int) -> float:
    """Bytes: half as much again as the limit is what HEALTH_WARN leaves unsaid."""
    fastest = max([step.calls / step.seconds, *step.rates])
    return 1.5 * limit + BETWEEN * fastest * WITH_CAPABILITY


@pytest.fixture
def cluster(real_ceph: None, pytestconfig: pytest.Config) -> Iterator[RealCluster]:
    """A cache that has room for a quarter of the files, and for what goes on."""
    files: int = pytestconfig.getoption("--large-files")
    options = dict(QUICK)
    options["mds_cache_memory_limit"] = str(files * BYTES_PER_FILE // 4 + (1 << 20))
    options["mds_min_caps_per_client"] = "50"
    if files < 20 * FEWEST:
        options["mds_bal_split_size"] = "400"
        options["mds_bal_fragment_interval"] = "1"
        options["mds_log_events_per_segment"] = "64"
    with started(RealCluster(osd=True, options=options)) as made:
        yield made


@pytest.mark.parametrize("per", [0, 50], ids=["one", "many"])
def test_more_files_than_the_cache_holds(
    cluster: RealCluster,
    mds_kind: str,
    per: int,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    files: int = max(pytestconfig.getoption("--large-files") // 100 * 100, FEWEST)
    mds = cluster.start_mds(mds_kind, "a")
    mds.wait_standby()
    cluster.new_fs()
    mds.wait_state("up:active", 30)
    limit = int(mds.asok("config get", var="mds_cache_memory_limit")["mds_cache_memory_limit"])
    with large_load(mds, files=files, per=per) as load:
        load.fill()
        if not per:
            wait_for(lambda: len(fragments(mds, "/large")) >= 8, 20, "the directory is split")
        load.remount()
        load.lookup(files // 10)
        load.remount()
        assert load.readdir() == files
        load.remount()
        scrub(mds, 60 + files / 500)
        load.empty()
        load.clients[0].begin("rmdir", "/large")
        load.clients[0].end()
        # libcephfs sends what it gives back when it likes, of what is unlinked too
        load.remount()
    figures = [
        f"{s.name} {s.calls / s.seconds:.0f}/s {s.cached >> 20} MiB of {s.resident >> 20}"
        for s in load.steps
    ]
    record_property("figures", f"limit {limit >> 20} MiB: " + ", ".join(figures))
    if mds_kind == "ours":
        # ceph-mds keeps what is dirty however full its cache is
        over = [step for step in load.steps if step.cached > allowed(step, limit)]
        # few files are read before the cache is trimmed the next time
        assert [s for s in over if s.name in ("create", "unlink") or s.seconds > 10] == []

        def fits() -> bool:
            return int(mds.asok("cache status")["pool"]["bytes"]) <= limit

        wait_for(fits, 30, "the cache fits")
    assert mds.asok("damage ls") == []
