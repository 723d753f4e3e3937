"""Intervals against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.rank.tables.intervals import Intervals

pieces = st.tuples(st.integers(0, 60), st.integers(1, 12))
steps = st.lists(
    st.tuples(st.sampled_from(["insert", "erase", "discard", "union", "subtract", "take"]), pieces),
    max_size=40,
)


def numbers(intervals: Intervals) -> set[int]:
    return {n for start, length in intervals for n in range(start, start + length)}


@given(steps)
def test_is_a_set_of_numbers(todo: list[tuple[str, tuple[int, int]]]) -> None:
    intervals, model = Intervals(), set[int]()
    for what, (start, length) in todo:
        given_ = set(range(start, start + length))
        if what == "insert":
            if given_ & model:
                with pytest.raises(ValueError, match="overlaps"):
                    intervals.insert(start, length)
            else:
                intervals.insert(start, length)
                model |= given_
        elif what == "erase":
            if given_ <= model:
                intervals.erase(start, length)
                model -= given_
            else:
                with pytest.raises(ValueError, match="not all there"):
                    intervals.erase(start, length)
        elif what == "discard":
            assert intervals.discard(start) == (start in model)
            model.discard(start)
        elif what == "union":
            intervals.union({start: length})
            model |= given_
        elif what == "subtract":
            intervals.subtract({start: length})
            model -= given_
        else:
            taken = intervals.take(length)
            lowest = sorted(model)[:length]
            assert [n for s, size in taken.items() for n in range(s, s + size)] == lowest
            model -= set(lowest)
        assert numbers(intervals) == model
        assert intervals.size == len(model)
        assert all(n in intervals for n in model)
        assert start not in intervals or start in model
        items = list(intervals)
        assert all(s + size < t for (s, size), (t, _) in pairwise(items))


@given(st.lists(pieces, max_size=8), st.lists(pieces, max_size=8))
def test_intersection(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    one, other = Intervals(), Intervals()
    for piece in a:
        one.union(dict([piece]))
    for piece in b:
        other.union(dict([piece]))
    both = one.intersection(other.as_dict())
    assert numbers(both) == numbers(one) & numbers(other)


def test_equal_and_text() -> None:
    assert Intervals({16: 4}) == Intervals({16: 2, 18: 2})
    assert str(Intervals({16: 4, 32: 1})) == "[10~4,20~1]"
    with pytest.raises(IndexError):
        _ = Intervals().first
