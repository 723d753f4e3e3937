"""Lazy I/O: clients that share a file buffer and cache nevertheless, as with ceph-mds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.daemons import wait_for
from tests.real.fs_pair import OURS, STOCK, FsClient, two_file_systems

FLAGS = os.O_RDWR | os.O_CREAT


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=QUICK)) as made, two_file_systems(made):
        yield made


def caps(cluster: RealCluster, fs: str, path: str) -> list[tuple[str, str]]:
    """What the clients have of a file and want, as the server shows it."""
    mds = next(m for m in cluster.mdss if m.kind == ("ours" if fs == OURS else "real"))
    (shown,) = mds.asok("dump tree", root=path, depth=0)
    return sorted((cap["issued"], cap["wanted"]) for cap in shown["client_caps"])


def outcomes(cluster: RealCluster, fs: str) -> list[Any]:
    """Two clients share a file without and with lazy I/O; all that they see, and their caps."""
    found: list[Any] = []
    with ExitStack() as stack:
        a, b = (stack.enter_context(FsClient(cluster.conf, fs)) for _ in "ab")

        def settled(lazy: int) -> None:
            last: list[Any] = []

            def there() -> bool:
                shown = caps(cluster, fs, "/f")
                last.append(shown)
                same = last[-5:].count(shown) == 5
                return same and sum("l" in issued for issued, _ in shown) == lazy

            wait_for(there, 20, f"{fs}: {lazy} clients have lazy I/O: {last[-1:]}", every=0.1)
            found.append(last[-1])

        def call(client: FsClient, *words: Any) -> None:
            found.append((words, client.call(*words)))

        for client in (a, b):
            call(client, "open", "s", "/f", FLAGS, 0o644)
        call(a, "write", "s", "plain", 0)
        call(b, "read", "s", 0, 10)
        settled(0)
        for client in (a, b):
            call(client, "lazyio", "s", 1)
        settled(2)
        call(b, "read", "s", 0, 10)
        call(a, "write", "s", "lazy!", 0)  # stays in the buffers of a
        call(a, "read", "s", 0, 10)
        call(a, "lazyio_propagate", "s", 0, 0)
        call(b, "lazyio_synchronize", "s", 0, 0)
        call(b, "read", "s", 0, 10)
        call(b, "write", "s", "more", 5)
        call(b, "lazyio_propagate", "s", 0, 0)
        call(a, "lazyio_synchronize", "s", 0, 0)
        call(a, "read", "s", 0, 20)
        call(a, "lazyio", "s", 0)
        call(a, "write", "s", "A", 0)
        settled(1)
        call(b, "lazyio_synchronize", "s", 0, 0)
        call(b, "read", "s", 0, 20)
        call(b, "lazyio", "s", 0)
        call(b, "read", "s", 0, 20)
        settled(0)
        call(b, "ftruncate", "s", 3)
        call(a, "read", "s", 0, 20)
        for client in (a, b):
            call(client, "close", "s")
        call(a, "content", "/f")
    return found


def test_the_same_as_with_ceph_mds(cluster: RealCluster) -> None:
    stock, ours = (outcomes(cluster, fs) for fs in (STOCK, OURS))
    for theirs, mine in zip(stock, ours, strict=True):
        assert mine == theirs
    assert stock[-1] == (("content", "/f"), (0, "Aaz"))
