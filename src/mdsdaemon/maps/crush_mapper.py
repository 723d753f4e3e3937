"""Placement: which devices a CRUSH rule chooses for an input.

The result is the one that every other implementation computes, or the data is not where the others
look for it: the arithmetic, the order of tries and the quirks are those of the format.

Format: ceph/ceph, src/crush/mapper.c (crush_do_rule), Pacific.
"""

from collections.abc import Sequence
from enum import IntEnum

import attrs

from mdsdaemon.maps.crush_hash import hash32_2, hash32_3, hash32_4, ln
from mdsdaemon.maps.crush_map import Bucket, BucketAlg, ChooseArg, CrushMap

ITEM_UNDEF = 0x7FFFFFFE
ITEM_NONE = 0x7FFFFFFF
"""No device: a hole in a positional (erasure-coded) result."""

WEIGHT_IN = 0x10000
_LN_ONE = 1 << 48
_WORST = -(1 << 63)
_MAX_DEPTH = 64
"""No tree is this deep: a map whose buckets contain one another would never end otherwise."""


class Op(IntEnum):
    """Steps of a rule."""

    TAKE = 1
    CHOOSE_FIRSTN = 2
    CHOOSE_INDEP = 3
    EMIT = 4
    CHOOSELEAF_FIRSTN = 6
    CHOOSELEAF_INDEP = 7
    SET_CHOOSE_TRIES = 8
    SET_CHOOSELEAF_TRIES = 9
    SET_CHOOSE_LOCAL_TRIES = 10
    SET_CHOOSE_LOCAL_FALLBACK_TRIES = 11
    SET_CHOOSELEAF_VARY_R = 12
    SET_CHOOSELEAF_STABLE = 13


@attrs.define
class _Tunables:
    choose_tries: int
    leaf_tries: int
    local_retries: int
    local_fallback: int
    vary_r: int
    stable: int


@attrs.define
class _Permutation:
    """A bucket's items in an order drawn from ``x``, made only as far as it is asked for."""

    x: int
    order: list[int]
    made: int = 0


class _Placement:
    """One run of a rule for one input ``x``."""

    def __init__(
        self,
        crush: CrushMap,
        weights: Sequence[int],
        x: int,
        choose_args: dict[int, ChooseArg],
    ) -> None:
        self.crush = crush
        self.weights = weights
        self.x = x
        self.args = choose_args
        self.permutations: dict[int, _Permutation] = {}

    # -- one draw from one bucket -------------------------------------------------------------

    def permuted(self, bucket: Bucket, r: int) -> int:
        """The ``r``-th item in the bucket's permutation for this input."""
        size = len(bucket.items)
        position = r % size
        perm = self.permutations.get(bucket.id)
        if perm is None:
            perm = self.permutations[bucket.id] = _Permutation(self.x, list(range(size)))
        while perm.made <= position:
            p = perm.made
            if p < size - 1:
                i = hash32_3(self.x, bucket.id, p) % (size - p)
                if i:
                    order = perm.order
                    order[p + i], order[p] = order[p], order[p + i]
            perm.made += 1
        return bucket.items[perm.order[position]]

    def choose(self, bucket: Bucket, r: int, position: int) -> int:
        """The item of ``bucket`` for draw ``r``."""
        alg = bucket.alg
        if alg == BucketAlg.STRAW2:
            return self._straw2(bucket, r, position)
        if alg == BucketAlg.UNIFORM:
            return self.permuted(bucket, r)
        if alg == BucketAlg.LIST:
            return self._list(bucket, r)
        if alg == BucketAlg.TREE:
            return self._tree(bucket, r)
        return self._straw(bucket, r)

    def _straw2(self, bucket: Bucket, r: int, position: int) -> int:
        items = ids = bucket.items
        weights = bucket.item_weights
        arg = self.args.get(-1 - bucket.id)
        if arg is not None:
            if arg.weight_set:
                weights = arg.weight_set[min(position, len(arg.weight_set) - 1)]
            if arg.ids:
                ids = arg.ids
        x, high, best = self.x, 0, 0
        for i, (weight, number) in enumerate(zip(weights, ids, strict=False)):
            # the logarithm is negative: dividing its size and negating truncates to zero, as C does
            draw = (
                -((_LN_ONE - ln(hash32_3(x, number, r) & 0xFFFF)) // weight) if weight else _WORST
            )
            if i == 0 or draw > best:
                high, best = i, draw
        return items[min(high, len(items) - 1)]

    def _straw(self, bucket: Bucket, r: int) -> int:
        high, best = 0, 0
        for i, item in enumerate(bucket.items):
            draw = (hash32_3(self.x, item, r) & 0xFFFF) * bucket.extra[i]
            if i == 0 or draw > best:
                high, best = i, draw
        return bucket.items[high]

    def _list(self, bucket: Bucket, r: int) -> int:
        for i in range(len(bucket.items) - 1, -1, -1):
            draw = hash32_4(self.x, bucket.items[i], r, bucket.id) & 0xFFFF
            if draw * bucket.extra[i] >> 16 < bucket.item_weights[i]:
                return bucket.items[i]
        return bucket.items[0]

    def _tree(self, bucket: Bucket, r: int) -> int:
        nodes = bucket.item_weights
        n = len(nodes) >> 1
        while not n & 1:
            if n == 0:
                return bucket.items[0]
            point = hash32_4(self.x, n, r, bucket.id) * nodes[n] >> 32
            half = (n & -n) >> 1
            n = n - half if point < nodes[n - half] else n + half
        return bucket.items[min(n >> 1, len(bucket.items) - 1)]

    # -- helpers of both choosers ---------------------------------------------------------------

    def is_out(self, item: int) -> bool:
        """Whether the device takes no data, or not this input's."""
        if item >= len(self.weights):
            return True
        weight = self.weights[item]
        if weight >= WEIGHT_IN:
            return False
        return weight == 0 or hash32_2(self.x, item) & 0xFFFF >= weight

    def item_type(self, item: int) -> int | None:
        """The type of an item; None for one that the map does not have."""
        if item >= 0:
            return 0 if item < self.crush.tree.max_devices else None
        bucket = self.crush.bucket(item)
        return None if bucket is None else bucket.type

    # -- replicated: the first n that do -----------------------------------------------------

    def firstn(
        self,
        bucket: Bucket,
        count: int,
        kind: int,
        taken: list[int],
        room: int,
        tries: int,
        leaf_tries: int,
        t: _Tunables,
        leaves: list[int] | None,
        parent_r: int,
        start: int,
    ) -> None:
        """Append up to ``room`` distinct items of type ``kind`` to ``taken``.

        ``leaves``, if given, gets one device below each of them. ``start`` is the first replica
        number, ``count`` the number after the last.
        """
        for rep in range(start, count):
            if room <= 0:
                break
            item = self._one(
                bucket, rep + parent_r, kind, taken, room, tries, leaf_tries, t, leaves
            )
            if item is not None:
                taken.append(item)
                room -= 1

    def _one(
        self,
        bucket: Bucket,
        base: int,
        kind: int,
        taken: list[int],
        room: int,
        tries: int,
        leaf_tries: int,
        t: _Tunables,
        leaves: list[int] | None,
    ) -> int | None:
        """One item that is neither out nor taken; None when the tries are used up."""
        failures = 0
        while True:  # from the top of the tree
            inside = bucket
            local = depth = 0
            while True:  # down through the buckets, or again in the same one
                r = base + failures
                collides = False
                if not inside.items:
                    rejected = True
                else:
                    if (
                        t.local_fallback > 0
                        and local >= len(inside.items) >> 1
                        and local > t.local_fallback
                    ):
                        item = self.permuted(inside, r)
                    else:
                        item = self.choose(inside, r, len(taken))
                    found = self.item_type(item)
                    if found != kind:
                        below = self.crush.bucket(item) if item < 0 else None
                        depth += 1
                        if found is None or below is None or depth > _MAX_DEPTH:
                            return None
                        inside = below
                        continue
                    collides = item in taken
                    rejected = False
                    if not collides and leaves is not None:
                        rejected = not self._leaf(item, r, taken, room, leaf_tries, t, leaves)
                    if not rejected and not collides and kind == 0:
                        rejected = self.is_out(item)
                    if not rejected and not collides:
                        return item
                    if leaves is not None:
                        # the leaf of an item that is not taken after all
                        del leaves[len(taken) :]
                failures += 1
                local += 1
                if collides and local <= t.local_retries:
                    continue
                if t.local_fallback > 0 and local <= len(inside.items) + t.local_fallback:
                    continue
                if failures < tries:
                    break
                return None

    def _leaf(
        self,
        item: int,
        r: int,
        taken: list[int],
        room: int,
        leaf_tries: int,
        t: _Tunables,
        leaves: list[int],
    ) -> bool:
        """Append a device below ``item`` to ``leaves``; False if there is none."""
        if item >= 0:
            leaves.append(item)
            return True
        below = self.crush.bucket(item)
        if below is None:
            return False
        sub_r = r >> (t.vary_r - 1) if t.vary_r else 0
        start = 0 if t.stable else len(taken)
        self.firstn(below, start + 1, 0, leaves, room, leaf_tries, 0, t, None, sub_r, start)
        return len(leaves) > len(taken)

    # -- erasure-coded: every position for itself ----------------------------------------------

    def indep(
        self,
        bucket: Bucket,
        left: int,
        count: int,
        kind: int,
        out: list[int],
        at: int,
        tries: int,
        leaf_tries: int,
        leaves: list[int] | None,
        parent_r: int,
    ) -> None:
        """Fill ``out[at : at + left]``, leaving ITEM_NONE where nothing is found."""
        end = at + left
        out[at:end] = [ITEM_UNDEF] * left
        if leaves is not None:
            leaves[at:end] = [ITEM_UNDEF] * left
        for failures in range(tries):
            if left <= 0:
                break
            for rep in range(at, end):
                if out[rep] != ITEM_UNDEF:
                    continue
                item = self._position(
                    bucket, rep, count, kind, out, at, end, failures, leaf_tries, leaves, parent_r
                )
                if item is not None:
                    out[rep] = item
                    left -= 1
                    if item == ITEM_NONE and leaves is not None:
                        leaves[rep] = ITEM_NONE
        for row in (out, leaves):
            if row is not None:
                row[at:end] = [ITEM_NONE if x == ITEM_UNDEF else x for x in row[at:end]]

    def _position(
        self,
        bucket: Bucket,
        rep: int,
        count: int,
        kind: int,
        out: list[int],
        at: int,
        end: int,
        failures: int,
        leaf_tries: int,
        leaves: list[int] | None,
        parent_r: int,
    ) -> int | None:
        """The item for one position in this round; ITEM_NONE gives it up, None tries again."""
        inside = bucket
        for _ in range(_MAX_DEPTH):
            size = len(inside.items)
            if not size:
                return None
            step = count + 1 if inside.alg == BucketAlg.UNIFORM and size % count == 0 else count
            r = rep + parent_r + step * failures
            item = self.choose(inside, r, at)
            found = self.item_type(item)
            if found != kind:
                below = self.crush.bucket(item) if item < 0 else None
                if found is None or below is None:
                    return ITEM_NONE
                inside = below
                continue
            if item in out[at:end]:
                return None
            if leaves is not None:
                if item < 0:
                    below = self.crush.bucket(item)
                    if below is None:
                        return ITEM_NONE
                    self.indep(below, 1, count, 0, leaves, rep, leaf_tries, 0, None, r)
                    if leaves[rep] == ITEM_NONE:
                        return None
                else:
                    leaves[rep] = item
            return None if kind == 0 and self.is_out(item) else item
        return ITEM_NONE


def do_rule(
    crush: CrushMap,
    rule_number: int,
    x: int,
    size: int,
    weights: Sequence[int],
    choose_args_id: int | None = None,
) -> list[int]:
    """The devices that a rule chooses for ``x``, at most ``size``.

    Args:
        weights: of each device by number, 0x10000 for all of its data, 0 for none.
        choose_args_id: the pool, whose own weights are used if the map has some for it (else the
            balancer's, -1, if it has those).

    Returns:
        Device numbers; ITEM_NONE for holes of positional rules. Empty if there is no such rule.
    """
    rule = crush.rule(rule_number)
    if rule is None:
        return []
    chosen_args = crush.choose_args.get(-1, [])
    if choose_args_id is not None:
        chosen_args = crush.choose_args.get(choose_args_id, chosen_args)
    run = _Placement(crush, weights, x, {arg.bucket_index: arg for arg in chosen_args})
    t = _Tunables(
        crush.choose_total_tries + 1,
        0,
        crush.choose_local_tries,
        crush.choose_local_fallback_tries,
        crush.chooseleaf_vary_r,
        crush.chooseleaf_stable,
    )
    result: list[int] = []
    work: list[int] = []
    for op, arg1, arg2 in rule.steps:
        if op == Op.TAKE:
            if 0 <= arg1 < crush.tree.max_devices or crush.bucket(arg1) is not None:
                work = [arg1]
        elif op == Op.EMIT:
            result += work[: size - len(result)]
            work = []
        elif op in (Op.CHOOSE_FIRSTN, Op.CHOOSELEAF_FIRSTN, Op.CHOOSE_INDEP, Op.CHOOSELEAF_INDEP):
            work = _choose_step(run, Op(op), arg1, arg2, work, size, t)
        else:
            _set_step(op, arg1, t)
    return result


def _set_step(op: int, value: int, t: _Tunables) -> None:
    if op == Op.SET_CHOOSE_TRIES and value > 0:
        t.choose_tries = value
    elif op == Op.SET_CHOOSELEAF_TRIES and value > 0:
        t.leaf_tries = value
    elif op == Op.SET_CHOOSE_LOCAL_TRIES and value >= 0:
        t.local_retries = value
    elif op == Op.SET_CHOOSE_LOCAL_FALLBACK_TRIES and value >= 0:
        t.local_fallback = value
    elif op == Op.SET_CHOOSELEAF_VARY_R and value >= 0:
        t.vary_r = value
    elif op == Op.SET_CHOOSELEAF_STABLE and value >= 0:
        t.stable = value


def _choose_step(
    run: _Placement, op: Op, arg1: int, kind: int, work: list[int], size: int, t: _Tunables
) -> list[int]:
    to_leaf = op in (Op.CHOOSELEAF_FIRSTN, Op.CHOOSELEAF_INDEP)
    out: list[int] = []
    for taken_from in work:
        count = arg1 if arg1 > 0 else arg1 + size
        bucket = run.crush.bucket(taken_from)
        if count <= 0 or bucket is None:
            continue
        room = size - len(out)
        chosen: list[int] = []
        leaves: list[int] | None = [] if to_leaf else None
        if op in (Op.CHOOSE_FIRSTN, Op.CHOOSELEAF_FIRSTN):
            descend_once = 1 if run.crush.chooseleaf_descend_once else t.choose_tries
            leaf_tries = t.leaf_tries or descend_once
            run.firstn(
                bucket, count, kind, chosen, room, t.choose_tries, leaf_tries, t, leaves, 0, 0
            )
        else:
            run.indep(
                bucket,
                min(count, room),
                count,
                kind,
                chosen,
                0,
                t.choose_tries,
                t.leaf_tries or 1,
                leaves,
                0,
            )
        out += chosen if leaves is None else leaves
    return out
