"""The regression guard: what counts as slower, and what the spread explains."""

from __future__ import annotations

from bench.figures import LOOP, OURS, REAL, Better, Key, Summary
from bench.guard import FLOOR, compare, guard
from hypothesis import given
from hypothesis import strategies as st


def one(
    ratio: float, better: Better = "lower", width: float = 1.0, name: str = "create",
    unit: str = "µs", rival: str = REAL,
) -> Summary:  # fmt: skip
    spread = (ratio / width**0.5, ratio * width**0.5)
    return Summary(Key("p", name), unit, better, {OURS: ratio, rival: 1.0}, ratio, spread, 5)


def verdict(then: Summary, now: Summary) -> str:
    (change,) = compare([then], [now])
    return "slower" if change.slower else "faster" if change.faster else "same"


def test_which_way_is_worse() -> None:
    assert verdict(one(1.0), one(2.0)) == "slower"
    assert verdict(one(2.0), one(1.0)) == "faster"
    assert verdict(one(1.0, "higher"), one(2.0, "higher")) == "faster"
    assert verdict(one(2.0, "higher"), one(1.0, "higher")) == "slower"


def test_small_changes_and_those_within_the_spread_are_none() -> None:
    assert verdict(one(1.0), one(FLOOR - 0.01)) == "same"
    assert verdict(one(1.0), one(FLOOR + 0.01)) == "slower"
    assert verdict(one(1.0, width=2.0), one(1.9, width=2.0)) == "same"
    assert verdict(one(1.0, width=2.0), one(2.1, width=2.0)) == "slower"
    # A quick run of one life has no spread of its own; that of the kept figures counts half.
    assert verdict(one(1.0, width=4.0), one(1.9)) == "same"
    assert verdict(one(1.0, width=4.0), one(2.1)) == "slower"


def test_what_cannot_be_compared_is_left_out() -> None:
    alone = Summary(Key("p", "create"), "µs", "lower", {OURS: 3.0}, None, None, 5)
    assert compare([alone], [alone]) == []
    assert compare([one(1.0)], [one(1.0, unit="ms")]) == []
    assert compare([one(1.0)], [one(1.0, "higher")]) == []
    assert compare([one(1.0)], [one(1.0, name="other")]) == []
    size = Summary(Key("p", "inode"), "bytes", "lower", {OURS: 3.0}, None, None, 1)
    (change,) = compare([size], [size])
    assert change.against == "as it is"


def test_the_worst_comes_first() -> None:
    then = [one(1.0, name=name) for name in "abc"]
    now = [one(1.3, name="a"), one(3.0, name="b"), one(0.5, name="c")]
    assert [change.key.name for change in compare(then, now)] == ["b", "a", "c"]


def test_it_tells_people() -> None:
    then = [one(1.0, name="create"), one(1.0, name="rename"), one(1.0, name="codec", rival=LOOP)]
    now = [one(2.0, name="create"), one(1.0, name="rename"), one(0.5, name="codec", rival=LOOP)]
    text = guard(then, [*now, one(1.0, name="new")])
    slower, _, faster = text.partition("Faster than")
    assert "Slower than the figures that were kept" in slower
    assert "p: create" in slower
    assert "to ceph-mds" in slower
    assert "2.00" in slower
    assert "p: codec" in faster
    assert "to the loop" in faster
    assert "1 of 3 figures are as they were" in text
    assert "1 figures were not kept before" in text
    assert "Slower" not in guard(then, then)


@given(
    st.floats(0.01, 100), st.floats(0.01, 100), st.floats(1, 4), st.floats(1, 4),
    st.sampled_from(["higher", "lower"]),
)  # fmt: skip
def test_what_is_slower_one_way_is_faster_the_other(
    a: float, b: float, wide: float, wider: float, better: Better
) -> None:
    then, now = one(a, better, wide), one(b, better, wider)
    opposite = {"slower": "faster", "faster": "slower", "same": "same"}
    assert verdict(now, then) == opposite[verdict(then, now)]
