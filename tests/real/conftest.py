"""Fixtures of the tests against real Ceph daemons.

Every test in this folder is marked ``real`` unless it says otherwise. Where Ceph's packages are
missing they are skipped with a sentence; in CI (environment CI set) that is a failure instead.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.needs import lacking, need_programs
from tests.real.cluster import Mds, RealCluster, missing_programs

_HERE = Path(__file__).parent
_running: list[RealCluster] = []  # those whose logs a failing test's report quotes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.real)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``mds_kind`` runs once for each daemon that --mds-kind names."""
    if "mds_kind" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--mds-kind")
        metafunc.parametrize("mds_kind", ["ours", "real"] if asked == "both" else [asked])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test's report carries what each daemon wrote while the test ran."""
    report = yield
    if report.failed:
        for cluster in _running:
            report.sections.append((f"daemons of {cluster.root}", cluster.fresh_logs()))
    return report


@pytest.fixture(scope="session")
def real_ceph() -> None:
    """Ceph's programs are here; else the test is skipped, in CI failed."""
    missing = missing_programs()
    if not missing:
        return
    lacking(f"needs Ceph 16's Debian packages; not found: {', '.join(missing)}")


@pytest.fixture(scope="session")
def can_mount(real_ceph: None) -> None:
    """As ``real_ceph``, and ceph-fuse can mount."""
    need_programs("ceph-fuse")
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
        lacking("needs /dev/fuse and root")


@contextmanager
def started(cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster up within the block, and its logs in the reports of tests that fail in it."""
    with cluster:
        _running.append(cluster)
        try:
            yield cluster
        finally:
            _running.remove(cluster)


# Beacons come quickly and patience is short, so that a check of the grace takes seconds; and the
# monitor does not gather changes for up to a second before it makes a new map.
QUICK = {
    "mds_beacon_interval": "1",
    "mds_beacon_grace": "6",
    "mon_tick_interval": "1",  # beacons' ages count only while this is shorter than the grace
    "mds_beacon_mon_down_grace": "0",  # and not in the first minute of a monitor
    "paxos_propose_interval": "0.1",
}


@pytest.fixture(scope="session")
def _shared_cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(options=QUICK)) as cluster:
        yield cluster


@pytest.fixture
def cluster(_shared_cluster: RealCluster) -> Iterator[RealCluster]:
    """One monitor (crc), shared by the session; no MDS in its map when a test begins or ends.

    The options of QUICK are set; all else is Ceph's default.
    """
    _shared_cluster.mark_logs()
    yield _shared_cluster
    _shared_cluster.reset()


@pytest.fixture(scope="session")
def _shared_osd_cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=QUICK)) as cluster:
        yield cluster


@pytest.fixture
def osd_cluster(_shared_osd_cluster: RealCluster) -> Iterator[RealCluster]:
    """As ``cluster``, with an OSD: what ceph-mds needs to become active."""
    _shared_osd_cluster.mark_logs()
    yield _shared_osd_cluster
    _shared_osd_cluster.reset()


@pytest.fixture
def new_cluster(real_ceph: None) -> Iterator[Callable[[RealCluster], RealCluster]]:
    """Starts the cluster given to it, for this test alone (its monitors may be killed)."""
    with ExitStack() as stack:
        yield lambda cluster: stack.enter_context(started(cluster))


@pytest.fixture
def mds(cluster: RealCluster, mds_kind: str) -> Mds:
    """mds.a on ``cluster``, up:standby."""
    daemon = cluster.start_mds(mds_kind, "a")
    daemon.wait_standby()
    return daemon
