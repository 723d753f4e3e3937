"""How a directory is split: which fragments there are, and which has a name.

A FragTree says for each fragment that was split into how many bits' worth of pieces. What no split
names is a leaf, and has an object of its own.

Behaviour: ceph/ceph, src/include/frag.h (fragtree_t) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterator

from mdsdaemon.types.frag import Frag, FragTree

WHOLE = Frag(0)
MAX_BITS = 24
MAX_LEAVES = 1 << 16


def child(frag: Frag, bits: int, index: int) -> Frag:
    """The `index`-th of the 2**bits pieces of a fragment."""
    more = frag.bits + bits
    return Frag.of(frag.value | index << (MAX_BITS - more), more)


def children(frag: Frag, bits: int) -> list[Frag]:
    """The 2**bits pieces of a fragment, in their order."""
    return [child(frag, bits, index) for index in range(1 << bits)]


def parent(frag: Frag, bits: int = 1) -> Frag:
    """The fragment of `bits` fewer bits that has this one in it."""
    return Frag.of(frag.value, frag.bits - bits)


def contains(frag: Frag, other: Frag) -> bool:
    """Whether all of `other` lies in `frag`."""
    return other.bits >= frag.bits and frag.contains(other.value)


def check(tree: FragTree) -> None:
    """Refuse what no directory has: forged splits would make more pieces than memory holds.

    Raises:
        ValueError: what is wrong.
    """
    leaves = 1
    for frag, bits in tree.splits.items():
        if frag.bits > MAX_BITS or frag.value & ~Frag.mask_of(frag.bits):
            raise ValueError(f"{frag.enc:#x} is no fragment")
        if not 0 < bits <= MAX_BITS - frag.bits:
            raise ValueError(f"fragment {frag} cannot be split by {bits} bits")
        leaves += (1 << bits) - 1
    if leaves > MAX_LEAVES:
        raise ValueError(f"{leaves} fragments")


# -- finding -----------------------------------------------------------------------------------


def get_leaf(tree: FragTree, value: int) -> Frag:
    """The leaf that has a hash value (its lower 24 bits count)."""
    splits = tree.splits
    at = WHOLE
    while bits := splits.get(at, 0):
        at = Frag.of(value, at.bits + bits)
    return at


def get_branch(tree: FragTree, frag: Frag) -> Frag:
    """The smallest split fragment that has `frag` in it, perhaps `frag` itself; else WHOLE."""
    while frag.bits and frag not in tree.splits:
        frag = parent(frag)
    return frag


def get_branch_above(tree: FragTree, frag: Frag) -> Frag:
    """The smallest split fragment that has `frag` in it and is another one; else WHOLE."""
    return get_branch(tree, parent(frag)) if frag.bits else frag


def get_branch_or_leaf(tree: FragTree, frag: Frag) -> Frag:
    """The smallest fragment of the tree that has all of `frag` in it."""
    branch = get_branch(tree, frag)
    bits = tree.splits.get(branch, 0)
    if bits and branch.bits + bits <= frag.bits:
        return Frag.of(frag.value, branch.bits + bits)
    return branch


def get_leaves(tree: FragTree) -> list[Frag]:
    """All leaves, in the order of hash values."""
    return list(_walk(tree, WHOLE))


def get_leaves_under(tree: FragTree, frag: Frag) -> list[Frag]:
    """The leaves that lie in a fragment, in the order of hash values; none if it is in a leaf."""
    top = get_branch_or_leaf(tree, frag)
    return [leaf for leaf in _walk(tree, top) if contains(frag, leaf)]


def is_leaf(tree: FragTree, frag: Frag) -> bool:
    """Whether this fragment has an object of its own."""
    return frag not in tree.splits and get_leaf(tree, frag.value) == frag


def _walk(tree: FragTree, frag: Frag) -> Iterator[Frag]:
    bits = tree.splits.get(frag, 0)
    if not bits:
        yield frag
        return
    for piece in children(frag, bits):
        yield from _walk(tree, piece)


# -- changing ----------------------------------------------------------------------------------


def split(tree: FragTree, frag: Frag, bits: int, *, simplify: bool = True) -> None:
    """A leaf is split into 2**bits pieces."""
    assert is_leaf(tree, frag), f"{frag} is no leaf"
    tree.splits[frag] = bits
    if simplify:
        _simplify(tree, get_branch_above(tree, frag))


def merge(tree: FragTree, frag: Frag, bits: int, *, simplify: bool = True) -> None:
    """The pieces of a fragment, all of them leaves, become one."""
    assert tree.splits.get(frag) == bits, f"{frag} is not split by {bits}"
    del tree.splits[frag]
    if simplify:
        _simplify(tree, get_branch_above(tree, frag))


def _simplify(tree: FragTree, frag: Frag) -> None:
    """A split whose pieces are all split alike becomes one split."""
    splits = tree.splits
    bits = splits.get(frag, 0)
    if not bits:
        return
    pieces = children(frag, bits)
    more = splits.get(pieces[0], 0)
    if more and all(splits.get(piece) == more for piece in pieces):
        for piece in pieces:
            del splits[piece]
        splits[frag] = bits + more


def force_to_leaf(tree: FragTree, frag: Frag) -> bool:
    """Make `frag` a leaf: split what is above it, merge what is below; whether anything changed."""
    if is_leaf(tree, frag):
        return False
    splits = tree.splits
    above = get_branch_or_leaf(tree, frag)
    if above.bits < frag.bits:
        spread, bits = frag.bits - above.bits, splits.get(above, 0)
        if not bits:
            split(tree, above, spread)
            return True
        # the split above goes past it: make it two
        splits[above] = spread
        for piece in children(above, spread):
            splits[piece] = bits - spread
    for inner in [inner for inner in splits if contains(frag, inner)]:
        del splits[inner]
    return True
