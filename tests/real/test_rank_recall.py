"""Clients with more capabilities than they may have, or than fit, give some back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.fs_pair import FsClient
from tests.real.test_rank_sessions import Site

FILES = 700


@pytest.fixture(params=("real", "ours"))
def site(osd_cluster: RealCluster, request: pytest.FixtureRequest) -> Iterator[Site]:
    with closing(Site(osd_cluster, request.param)) as made:
        yield made


def fill(client: FsClient) -> None:
    assert client.call("mkdir", "/d", 0o755)[0] == 0
    for number in range(FILES):
        path = f"/d/{number}"
        assert client.call("open", "f", path, os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
    assert client.call("close", "f")[0] == 0


def caps(site: Site, client: FsClient) -> int:
    value: int = site.session_of(client)["num_caps"]
    return value


def test_the_most_that_a_client_may_have(site: Site) -> None:
    client = site.client()
    fill(client)
    assert caps(site, client) > FILES
    config = site.cluster.mon
    config("config set", who="mds", name="mds_min_caps_per_client", value="50")
    config("config set", who="mds", name="mds_max_caps_per_client", value="300")
    wait_for(lambda: caps(site, client) <= 300, 40, "the client has given caps back")
    session = site.session_of(client)
    assert session["recall_caps_throttle"]["halflife"] == 1.5
    assert client.call("stat", "/d/5")[0] == 0


def test_a_full_cache(site: Site) -> None:
    client = site.client()
    fill(client)
    config = site.cluster.mon
    config("config set", who="mds", name="mds_min_caps_per_client", value="50")
    config("config set", who="mds", name="mds_cache_memory_limit", value="5000")
    wait_for(lambda: caps(site, client) <= 100, 40, "the client has given caps back")
    for number in range(0, FILES, 50):
        assert client.call("stat", f"/d/{number}")[0] == 0


def test_a_dropped_cache(site: Site) -> None:
    client = site.client()
    fill(client)
    site.cluster.mon("config set", who="mds", name="mds_min_caps_per_client", value="50")
    drop = site.mds.asok("cache drop", timeout=30)
    recall = drop["client_recall"]
    assert recall["return_code"] == 0
    assert recall["recalled"] >= FILES - 50  # ceph-mds counts each time that it asks
    # the client says at once that it has got the recall
    assert drop["duration"] < 1
    assert client.call("stat", "/d/5")[0] == 0
