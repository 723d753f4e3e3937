"""The same random calls of two clients on ceph-mds and on ours: the same errnos, listings,
attributes and contents, after every step and after mounting anew."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK, started
from tests.real.fs_pair import Pair, StockDied, neutral, pairs, two_file_systems
from tests.real.fs_script import Call, Script

STEPS = int(os.environ.get("MDSDAEMON_DIFF_STEPS", "150"))
SEEDS = range(1, 1 + int(os.environ.get("MDSDAEMON_DIFF_SEEDS", "3")))
CHECK_EVERY = 50


@pytest.fixture
def cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(osd=True, options=QUICK)) as made, two_file_systems(made):
        yield made


def same(pair: Pair, call: Call, where: str) -> Any:
    """The outcome of a call, which is the same on both file systems."""
    stock, ours = pair.call(call)
    if stock is not None and stock[0] == 0 and isinstance(stock[1], dict) and call[0] == "tree":
        paths = sorted(set(stock[1]) | set(ours[1] or {}))
        for path in paths:
            seen = (stock[1].get(path), (ours[1] or {}).get(path))
            assert seen[0] == seen[1], f"{where}: {path}: ceph-mds {seen[0]}, ours {seen[1]}"
    assert neutral(stock) == neutral(ours), f"{where}: {call}: ceph-mds {stock}, ours {ours}"
    return stock


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("snapshots", [False, True])
def test_random_calls_of_two_clients(cluster: RealCluster, seed: int, snapshots: bool) -> None:
    tally: Counter[bool] = Counter()
    with pairs(cluster) as clients:
        ended = False
        try:
            compare(clients, Script(seed, snapshots=snapshots), tally)
        except StockDied:
            ended = True
    if ended:
        assert sum(tally.values()) > CHECK_EVERY, "ceph-mds ended before there was much to compare"
        return
    assert tally[True] > STEPS / 5, f"too little of it succeeds: {tally}"


def compare(clients: list[Pair], script: Script, tally: Counter[bool]) -> None:
    """Make the calls of a script; counts those that succeed and those that fail."""
    for step in range(STEPS):
        who, call = script.next()
        where = f"step {step} client {who}"
        outcome = same(clients[who], call, where)
        if outcome is not None:
            script.note(call, outcome[0])
            tally[outcome[0] == 0] += 1
        if step % CHECK_EVERY == CHECK_EVERY - 1:
            same(clients[1 - who], ["tree", "/"], where)
    for pair in clients:
        same(pair, ["remount"], "at the end")
        same(pair, ["tree", "/"], "mounted anew")
