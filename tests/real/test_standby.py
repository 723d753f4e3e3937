"""A daemon joins a real cluster as a standby."""

import time

import pytest

from tests.real.cluster import Mds, RealCluster


def test_standby_within_three_seconds_of_exec(cluster: RealCluster, mds_kind: str) -> None:
    mds = cluster.start_mds(mds_kind, "a")
    info = mds.wait_standby(timeout=3)
    assert time.monotonic() - mds.started < 3
    assert info["name"] == "a"
