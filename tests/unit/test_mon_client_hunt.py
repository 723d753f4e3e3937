"""Which monitors are tried next, and how long a round lasts."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.clients.hunt import Candidate, Hunt, weighted_shuffle


class Options:
    """The four options of the hunt, at Ceph's defaults."""

    def __init__(self, **changes: float) -> None:
        self.values: dict[str, float] = {
            "mon_client_hunt_interval": 3.0,
            "mon_client_hunt_parallel": 3,
            "mon_client_hunt_interval_backoff": 1.5,
            "mon_client_hunt_interval_min_multiple": 1.0,
            "mon_client_hunt_interval_max_multiple": 10.0,
        } | changes

    def get_float(self, name: str) -> float:
        return float(self.values[name])

    def get_int(self, name: str) -> int:
        return int(self.values[name])


def hunt(seed: int = 1, **changes: float) -> Hunt:
    return Hunt(Options(**changes), random.Random(seed))


def test_no_back_off_before_the_first_session() -> None:
    h = hunt()
    for _ in range(5):
        h.start()
        assert h.interval() == 3.0


def test_back_off_grows_to_ten_times_and_shrinks_again() -> None:
    h = hunt()
    h.start()
    h.finish()
    seen = []
    for _ in range(8):
        h.start()
        seen.append(round(h.interval(), 3))
    assert seen[:3] == [4.5, 6.75, 10.125]
    assert seen[-1] == 30.0
    for _ in range(20):
        h.un_backoff()
    assert h.interval() == 3.0


def test_batches_cover_every_monitor_before_one_is_tried_again() -> None:
    h = hunt()
    monitors = [Candidate(rank) for rank in range(7)]
    tried = [h.next_batch(monitors) for _ in range(3)]
    assert [len(batch) for batch in tried] == [3, 3, 1]
    assert sorted(rank for batch in tried for rank in batch) == list(range(7))
    assert len(h.next_batch(monitors)) == 3


def test_lower_priority_values_go_first_and_alone() -> None:
    h = hunt()
    monitors = [Candidate(0, priority=5), Candidate(1), Candidate(2, priority=5)]
    assert h.next_batch(monitors) == [1]
    assert sorted(h.next_batch(monitors)) == [0, 2]
    assert h.next_batch(monitors) == [1]


def test_parallel_zero_tries_all_at_once() -> None:
    h = hunt(mon_client_hunt_parallel=0)
    assert sorted(h.next_batch([Candidate(rank) for rank in range(5)])) == [0, 1, 2, 3, 4]


def test_a_new_monmap_forgets_what_was_tried() -> None:
    h = hunt(mon_client_hunt_parallel=1)
    h.next_batch([Candidate(0), Candidate(1)])
    h.forget_tried()
    assert h.tried == set()


def test_no_candidates_is_an_empty_batch() -> None:
    assert hunt().next_batch([]) == []


def test_heavier_monitors_are_tried_first_more_often() -> None:
    first = Counter(
        weighted_shuffle([Candidate(0, weight=1), Candidate(1, weight=9)], random.Random(n))[0].rank
        for n in range(1000)
    )
    assert 850 < first[1] < 950


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=9),
    st.integers(0, 5),
    st.integers(),
)
def test_a_batch_has_distinct_untried_ranks_of_one_priority(
    monitors: list[tuple[int, int]], parallel: int, seed: int
) -> None:
    h = hunt(seed, mon_client_hunt_parallel=parallel)
    known = [Candidate(rank, p, w) for rank, (p, w) in enumerate(monitors)]
    for _ in range(6):
        tried_before = set(h.tried)
        batch = h.next_batch(known)
        assert batch
        assert len(set(batch)) == len(batch)
        assert len({known[rank].priority for rank in batch}) == 1
        assert tried_before >= {c.rank for c in known} or not tried_before & set(batch)
