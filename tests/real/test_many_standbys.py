"""Many standbys in one process, for a minute, at the monitor's and the daemons' defaults."""

from collections.abc import Callable

import pytest
from tests.real.cluster import RealCluster
from tests.real.crowd import IMPATIENT, watch

SECONDS = 60
MOST_KIB = 400


def test_many_standbys_for_a_minute(
    request: pytest.FixtureRequest,
    new_cluster: Callable[[RealCluster], RealCluster],
    record_property: Callable[[str, object], None],
) -> None:
    count = request.config.getoption("--standbys")
    cluster = new_cluster(RealCluster(options=IMPATIENT))
    took = watch(cluster, count, SECONDS)
    each = took["each"] / 1024
    record_property(
        "figures",
        f"{count} standbys after {took['join']:.1f} s; {took['first'] / (1 << 20):.1f} MiB with "
        f"one, {each:.0f} KiB for each more; {took['share']:.1%} of one core",
    )
    assert each <= MOST_KIB
