"""The CRUSH map: the tree of devices, and the rules by which placement groups choose among them.

Format: ceph/ceph, src/crush/CrushWrapper.cc, src/crush/crush.h (Pacific).
"""

from enum import IntEnum
from typing import Any

import attrs

from mdsdaemon.encoding import (
    S32,
    S64,
    U8,
    U32,
    Cursor,
    Custom,
    DecodeError,
    List,
    Map,
    Str,
    field,
    wire,
)
from mdsdaemon.encoding.codec import struct_of

CRUSH_MAGIC = 0x00010000

_U32 = struct_of("I").pack
_HEAD = struct_of("iIi")
_BUCKET = struct_of("iHBBII")
_STEP = struct_of("Iii")


class BucketAlg(IntEnum):
    """How a bucket chooses among its items."""

    UNIFORM = 1
    LIST = 2
    TREE = 3
    STRAW = 4
    STRAW2 = 5


@attrs.define
class Bucket:
    """A node of the tree.

    Attributes:
        id: negative; the bucket lies at index ``-1 - id``.
        type: number in ``type_map`` (0 is a device).
        alg: a BucketAlg.
        hash: the hash function, 0 for rjenkins1.
        weight: of all items, in units of 1/65536.
        items: devices (>= 0) and buckets (< 0).
        item_weights: one for each item; for UNIFORM the one weight of all of them, for TREE the
            weights of the inner nodes.
        extra: for LIST the sums of weights, for STRAW the straws.
    """

    id: int
    type: int
    alg: int
    hash: int
    weight: int
    items: list[int]
    item_weights: list[int]
    extra: list[int] = attrs.Factory(list)


@attrs.define
class Rule:
    """A rule: who may use it (``ruleset``, pool type, sizes) and its (op, arg1, arg2) steps."""

    ruleset: int
    type: int
    min_size: int
    max_size: int
    steps: list[tuple[int, int, int]]


@attrs.define
class Tree:
    """Buckets and rules by index, None where there is none."""

    max_devices: int = 0
    buckets: list[Bucket | None] = attrs.Factory(list)
    rules: list[Rule | None] = attrs.Factory(list)


def _u32s(c: Cursor, n: int) -> list[int]:
    return list(struct_of(f"{n}I").unpack(c.raw(4 * n)))


def _decode_bucket(c: Cursor) -> Bucket | None:
    kind = c.u32()
    if kind == 0:
        return None
    number, bucket_type, alg, hash_kind, weight, n = _BUCKET.unpack(c.raw(_BUCKET.size))
    if kind != alg:
        raise c.fail(f"bucket {number} is announced as algorithm {kind} and has {alg}")
    if n * 4 > c.remaining():
        raise c.fail(f"bucket {number} claims {n} items")
    items = list(struct_of(f"{n}i").unpack(c.raw(4 * n)))
    extra: list[int] = []
    if alg == BucketAlg.UNIFORM:
        weights = _u32s(c, 1)
    elif alg in (BucketAlg.LIST, BucketAlg.STRAW):
        both = _u32s(c, 2 * n)
        weights, extra = both[::2], both[1::2]
    elif alg == BucketAlg.TREE:
        weights = _u32s(c, c.u8())
    elif alg == BucketAlg.STRAW2:
        weights = _u32s(c, n)
    else:
        raise c.fail(f"bucket {number} has the unknown algorithm {alg}")
    return Bucket(number, bucket_type, alg, hash_kind, weight, items, weights, extra)


def _encode_bucket(bucket: Bucket | None, out: bytearray) -> None:
    if bucket is None:
        out += _U32(0)
        return
    b, n = bucket, len(bucket.items)
    out += _U32(b.alg)
    out += _BUCKET.pack(b.id, b.type, b.alg, b.hash, b.weight, n)
    out += struct_of(f"{n}i").pack(*b.items)
    if b.alg in (BucketAlg.LIST, BucketAlg.STRAW):
        both = [x for pair in zip(b.item_weights, b.extra, strict=True) for x in pair]
        out += struct_of(f"{2 * n}I").pack(*both)
        return
    if b.alg == BucketAlg.TREE:
        out.append(len(b.item_weights))
    out += struct_of(f"{len(b.item_weights)}I").pack(*b.item_weights)


def _decode_rule(c: Cursor) -> Rule | None:
    if c.u32() == 0:
        return None
    n = c.u32()
    if n * _STEP.size > c.remaining():
        raise c.fail(f"a rule claims {n} steps")
    ruleset, kind, low, high = c.raw(4)
    return Rule(ruleset, kind, low, high, list(_STEP.iter_unpack(c.raw(n * _STEP.size))))


def _encode_rule(rule: Rule | None, out: bytearray) -> None:
    if rule is None:
        out += _U32(0)
        return
    out += _U32(1) + _U32(len(rule.steps))
    out += bytes((rule.ruleset, rule.type, rule.min_size, rule.max_size))
    for step in rule.steps:
        out += _STEP.pack(*step)


def _decode_tree(c: Cursor) -> Tree:
    max_buckets, max_rules, max_devices = _HEAD.unpack(c.raw(_HEAD.size))
    if max_buckets < 0 or 4 * (max_buckets + max_rules) > c.remaining():
        raise c.fail(f"{max_buckets} buckets and {max_rules} rules are claimed")
    buckets = [_decode_bucket(c) for _ in range(max_buckets)]
    return Tree(max_devices, buckets, [_decode_rule(c) for _ in range(max_rules)])


def _encode_tree(tree: Tree, out: bytearray, features: int) -> None:
    out += _HEAD.pack(len(tree.buckets), len(tree.rules), tree.max_devices)
    for bucket in tree.buckets:
        _encode_bucket(bucket, out)
    for rule in tree.rules:
        _encode_rule(rule, out)


def _plain_tree(tree: Tree) -> Any:
    return attrs.asdict(tree)


def _unplain_tree(plain: Any) -> Tree:
    return Tree(
        plain["max_devices"],
        [None if b is None else Bucket(**b) for b in plain["buckets"]],
        [
            None if r is None else Rule(**{**r, "steps": [tuple(s) for s in r["steps"]]})
            for r in plain["rules"]
        ],
    )


_Tree: Custom[Tree] = Custom(
    _decode_tree, _encode_tree, 12, plain=_plain_tree, unplain=_unplain_tree
)


def _decode_names(c: Cursor) -> dict[int, str]:
    """A map of names by number, whose keys some old releases wrote with 64 bits.

    Names are never empty, so a length of 0 is the upper half of such a key.
    """
    names = {}
    for _ in range(c.count(8)):
        number, length = c.s32(), c.u32()
        if length == 0:
            length = c.u32()
        names[number] = str(c.raw(length), "utf-8", "surrogateescape")
    return names


_NAMES = Map(S32, Str)


def _encode_names(names: dict[int, str], out: bytearray, features: int) -> None:
    _NAMES.encoder()(out, names, features)


_Names: Custom[dict[int, str]] = Custom(
    _decode_names, _encode_names, 4, plain=_NAMES.to_plain, unplain=_NAMES.from_plain
)


@wire()
class ChooseArg:
    """Other weights (a list for each position) and ids for the items of one bucket."""

    bucket_index: int = field(U32, default=0)
    weight_set: list[list[int]] = field(List(List(U32)), factory=list)
    ids: list[int] = field(List(S32), factory=list)


@wire(ceph="CrushWrapper")
class CrushMap:
    """The CRUSH map with its names and tunables.

    Attributes:
        tree: buckets and rules.
        type_map, name_map, rule_name_map: names of types, items and rules.
        class_map: the device class of each device, ``class_name`` its name.
        class_bucket: for each bucket and class, the bucket's shadow with that class alone.
        choose_args: alternative weights by name (-1: the balancer's).
    """

    magic: int = field(U32, default=CRUSH_MAGIC)
    tree: Tree = field(_Tree, factory=Tree)
    type_map: dict[int, str] = field(_Names, factory=dict)
    name_map: dict[int, str] = field(_Names, factory=dict)
    rule_name_map: dict[int, str] = field(_Names, factory=dict)
    choose_local_tries: int = field(U32, default=2, if_more=True)
    choose_local_fallback_tries: int = field(U32, default=5, if_more=True)
    choose_total_tries: int = field(U32, default=19, if_more=True)
    chooseleaf_descend_once: int = field(U32, default=0, if_more=True)
    chooseleaf_vary_r: int = field(U8, default=0, if_more=True)
    straw_calc_version: int = field(U8, default=0, if_more=True)
    allowed_bucket_algs: int = field(U32, default=0x16, if_more=True)
    chooseleaf_stable: int = field(U8, default=0, if_more=True)
    class_map: dict[int, int] = field(Map(S32, S32), factory=dict, if_more=True)
    class_name: dict[int, str] = field(Map(S32, Str), factory=dict, if_more=True)
    class_bucket: dict[int, dict[int, int]] = field(
        Map(S32, Map(S32, S32)), factory=dict, if_more=True
    )
    choose_args: dict[int, list[ChooseArg]] = field(
        Map(S64, List(ChooseArg)), factory=dict, if_more=True
    )

    def __attrs_post_init__(self) -> None:
        if self.magic != CRUSH_MAGIC:
            raise DecodeError("CrushMap", "magic", 0, f"{self.magic:#x} is not {CRUSH_MAGIC:#x}")

    def finalize(self) -> None:
        """Count the devices anew, as every Ceph daemon does with a map that it has read.

        Those of the tree count, and those that only have a name.
        """
        buckets = [bucket for bucket in self.tree.buckets if bucket is not None]
        known = [item for bucket in buckets for item in bucket.items]
        self.tree.max_devices = max([-1, *known, *self.name_map]) + 1

    def bucket(self, number: int) -> Bucket | None:
        """The bucket of a (negative) id."""
        index = -1 - number
        return self.tree.buckets[index] if 0 <= index < len(self.tree.buckets) else None

    def rule(self, number: int) -> Rule | None:
        """The rule of a number."""
        return self.tree.rules[number] if 0 <= number < len(self.tree.rules) else None
