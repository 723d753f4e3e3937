"""Fragment trees: every hash value has one leaf, whatever was split and merged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.rank.cache.fragtree import (
    MAX_BITS,
    WHOLE,
    check,
    child,
    children,
    contains,
    force_to_leaf,
    get_branch,
    get_branch_above,
    get_branch_or_leaf,
    get_leaf,
    get_leaves,
    get_leaves_under,
    is_leaf,
    merge,
    parent,
    split,
)
from mdsdaemon.types.frag import Frag, FragTree


@st.composite
def trees(draw: st.DrawFn) -> FragTree:
    tree = FragTree()
    for _ in range(draw(st.integers(0, 6))):
        leaf = draw(st.sampled_from(get_leaves(tree)))
        if leaf.bits <= 8:
            split(tree, leaf, draw(st.integers(1, 3)))
    return tree


def size(frag: Frag) -> int:
    return 1 << (MAX_BITS - frag.bits)


@given(trees(), st.integers(0, (1 << 32) - 1))
def test_every_value_has_one_leaf(tree: FragTree, value: int) -> None:
    leaves = get_leaves(tree)
    assert sum(map(size, leaves)) == 1 << MAX_BITS
    assert leaves == sorted(leaves)
    assert [leaf for leaf in leaves if leaf.contains(value)] == [get_leaf(tree, value)]
    assert all(is_leaf(tree, leaf) for leaf in leaves)
    check(tree)


@given(trees(), st.integers(0, 10), st.integers(0, (1 << 24) - 1))
def test_branches(tree: FragTree, bits: int, value: int) -> None:
    frag = Frag.of(value, bits)
    leaves = get_leaves(tree)
    assert get_leaves_under(tree, frag) == [leaf for leaf in leaves if contains(frag, leaf)]
    branch = get_branch(tree, frag)
    assert contains(branch, frag)
    assert branch in tree.splits or branch == WHOLE
    above = get_branch_above(tree, frag)
    assert contains(above, frag)
    assert above != frag or frag == WHOLE
    around = get_branch_or_leaf(tree, frag)
    assert contains(around, frag)
    assert is_leaf(tree, frag) == (frag in leaves)


@given(trees(), st.integers(0, 10), st.integers(0, (1 << 24) - 1))
def test_what_is_forced_is_a_leaf(tree: FragTree, bits: int, value: int) -> None:
    frag = Frag.of(value, bits)
    was = is_leaf(tree, frag)
    others = [leaf for leaf in get_leaves(tree) if not contains(frag, leaf)]
    assert force_to_leaf(tree, frag) != was
    assert is_leaf(tree, frag)
    assert sum(map(size, get_leaves(tree))) == 1 << MAX_BITS
    # what lies beside it is as it was, or in pieces
    for other in others:
        if not contains(other, frag):
            assert get_leaves_under(tree, other)
    check(tree)


@given(st.integers(0, (1 << 24) - 1), st.integers(0, 20), st.integers(1, 4))
def test_pieces(value: int, bits: int, more: int) -> None:
    frag = Frag.of(value, bits)
    pieces = children(frag, more)
    assert pieces == [child(frag, more, i) for i in range(1 << more)]
    assert sum(map(size, pieces)) == size(frag)
    assert all(parent(piece, more) == frag for piece in pieces)
    assert all(contains(frag, piece) and not contains(piece, frag) for piece in pieces)


def test_alike_splits_become_one() -> None:
    tree = FragTree()
    split(tree, WHOLE, 1)
    for piece in children(WHOLE, 1):
        split(tree, piece, 2)
    assert tree.splits == {WHOLE: 3}
    split(tree, child(WHOLE, 3, 5), 1)
    assert tree.splits == {WHOLE: 3, child(WHOLE, 3, 5): 1}
    merge(tree, child(WHOLE, 3, 5), 1)
    merge(tree, WHOLE, 3)
    assert tree.splits == {}


def test_forcing_through_the_middle_of_a_split() -> None:
    tree = FragTree({WHOLE: 3})
    middle = child(WHOLE, 1, 0)
    assert force_to_leaf(tree, middle)
    assert tree.splits == {WHOLE: 1, child(WHOLE, 1, 1): 2}
    assert len(get_leaves(tree)) == 5


@pytest.mark.parametrize(
    "splits",
    [
        {WHOLE: 0},
        {WHOLE: -1},
        {WHOLE: 25},
        {WHOLE: 17},
        {Frag(25 << 24): 1},
        {Frag(1 << 24 | 1): 1},
        {Frag.of(0, 20): 5},
    ],
)
def test_forged_trees(splits: dict[Frag, int]) -> None:
    with pytest.raises(ValueError, match=r"fragment|split"):
        check(FragTree(splits))


def test_many_splits_in_any_order() -> None:
    rng = random.Random(7)
    tree = FragTree()
    for _ in range(200):
        leaves = get_leaves(tree)
        leaf = rng.choice(leaves)
        if leaf.bits < 16:
            split(tree, leaf, 1)
    check(tree)
    while tree.splits:
        # any split whose pieces are all leaves
        at = rng.choice(
            [f for f, b in tree.splits.items() if not any(c in tree.splits for c in children(f, b))]
        )
        merge(tree, at, tree.splits[at])
    assert get_leaves(tree) == [WHOLE]
