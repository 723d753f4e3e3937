"""Looking at a CRUSH map: its tree, locations, rules and tunables as Ceph's JSON has them.

Behaviour: ceph/ceph, src/crush/CrushWrapper.cc, src/crush/CrushTreeDumper.h (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import frozen

from mdsdaemon.maps.crush_map import Bucket, BucketAlg, CrushMap, Rule

SCALE: Final = 0x10000
"""Weights in the map are in units of 1/65536."""

COMPAT_WEIGHT_SET: Final = -1
"""The key in `choose_args` of the weights that are for all pools."""

_ALGS: Final = {
    BucketAlg.UNIFORM: "uniform",
    BucketAlg.LIST: "list",
    BucketAlg.TREE: "tree",
    BucketAlg.STRAW: "straw",
    BucketAlg.STRAW2: "straw2",
}
_TUNABLES: Final = {
    "argonaut": (2, 5, 19, 0, 0, 0),
    "bobtail": (0, 0, 50, 1, 0, 0),
    "firefly": (0, 0, 50, 1, 1, 0),
    "jewel": (0, 0, 50, 1, 1, 1),
}
_ONE_NUMBER_STEPS: Final = {8: "set_choose_tries", 9: "set_chooseleaf_tries"}
_CHOOSE_STEPS: Final = {
    2: "choose_firstn",
    3: "choose_indep",
    6: "chooseleaf_firstn",
    7: "chooseleaf_indep",
}


@frozen
class Node:
    """A place in the walk through the tree: an item under `parent` (0: a root).

    `children` are those that the walk goes into, in its order reversed, as Ceph lists them.
    """

    id: int
    parent: int
    depth: int
    weight: float
    children: tuple[int, ...] = ()


def buckets(crush: CrushMap) -> Iterator[Bucket]:
    """All buckets, from id -1 on."""
    return (bucket for bucket in crush.tree.buckets if bucket is not None)


def is_shadow(crush: CrushMap, item: int) -> bool:
    """Whether the bucket is the shadow of another for one device class."""
    return "~" in crush.name_map.get(item, "")


def item_class(crush: CrushMap, item: int) -> str | None:
    """The device class of a device, or of a shadow bucket."""
    number = crush.class_map.get(item)
    return None if number is None else crush.class_name.get(number)


def bucket_type(crush: CrushMap, item: int) -> int:
    """The number of the type of a bucket; 0 for devices."""
    bucket = crush.bucket(item)
    return 0 if bucket is None else bucket.type


def item_name(crush: CrushMap, item: int) -> str:
    """The name of a device or bucket."""
    return crush.name_map.get(item, f"osd.{item}" if item >= 0 else f"{item}")


def roots(crush: CrushMap, *, shadows: bool = False) -> list[int]:
    """The buckets that are in no other, in the order of their numbers."""
    inner = {item for bucket in buckets(crush) for item in bucket.items}
    found = (bucket.id for bucket in buckets(crush) if bucket.id not in inner)
    return sorted(item for item in found if shadows or not is_shadow(crush, item))


def parent(crush: CrushMap, item: int) -> Bucket | None:
    """The bucket that an item is in, shadows aside."""
    for bucket in buckets(crush):
        if item in bucket.items and not is_shadow(crush, bucket.id):
            return bucket
    return None


def full_location(crush: CrushMap, item: int) -> dict[str, str]:
    """Type → name of all buckets around an item: ``{"host": "a", "root": "default"}``."""
    found: dict[str, str] = {}
    bucket = parent(crush, item)
    while bucket is not None:
        found[crush.type_map.get(bucket.type, "")] = item_name(crush, bucket.id)
        bucket = parent(crush, bucket.id)
    return dict(sorted(found.items()))


def location_text(crush: CrushMap, item: int) -> str:
    """``root=default,host=a``: from the outermost bucket inwards."""
    steps: list[str] = []
    bucket = parent(crush, item)
    while bucket is not None:
        steps.append(f"{crush.type_map.get(bucket.type, '')}={item_name(crush, bucket.id)}")
        bucket = parent(crush, bucket.id)
    return ",".join(reversed(steps))


def devices_under(crush: CrushMap, item: int) -> set[int]:
    """The devices below a bucket, or the device itself."""
    if item >= 0:
        return {item}
    bucket = crush.bucket(item)
    if bucket is None:
        return set()
    return {osd for child in bucket.items for osd in devices_under(crush, child)}


def devices_by_class(crush: CrushMap, name: str) -> list[int]:
    """The devices of a class."""
    return sorted(i for i in crush.class_map if i >= 0 and item_class(crush, i) == name)


def rules_by_class(crush: CrushMap, name: str) -> list[int]:
    """The rules that begin at a shadow of that class."""
    return [
        number
        for number, rule in enumerate(crush.tree.rules)
        if rule is not None
        and any(op == 1 and arg < 0 and item_class(crush, arg) == name for op, arg, _ in rule.steps)
    ]


def walk(
    crush: CrushMap,
    start: list[int],
    wanted: Callable[[int], bool] = lambda item: True,
) -> Iterator[Node]:
    """Depth first from `start`; of a bucket's items those that are `wanted`, by class and name."""
    for root in start:
        if wanted(root):
            bucket = crush.bucket(root)
            yield from _walk(crush, root, 0, 0, (bucket.weight if bucket else 0) / SCALE, wanted)


def _walk(
    crush: CrushMap,
    item: int,
    parent_id: int,
    depth: int,
    weight: float,
    wanted: Callable[[int], bool],
) -> Iterator[Node]:
    bucket = crush.bucket(item)
    if bucket is None:
        yield Node(item, parent_id, depth, weight)
        return
    weights = dict(zip(bucket.items, item_weights(bucket), strict=True))
    order = sorted((child for child in bucket.items if wanted(child)), key=_sort_key(crush))
    yield Node(item, parent_id, depth, weight, tuple(reversed(order)))
    for child in order:
        yield from _walk(crush, child, item, depth + 1, weights[child] / SCALE, wanted)


def _sort_key(crush: CrushMap) -> Callable[[int], str]:
    def key(item: int) -> str:
        if item >= 0:
            return f"{item_class(crush, item) or ''}_osd.{item:08}"
        return f"_{item_name(crush, item)}"

    return key


def item_weights(bucket: Bucket) -> list[int]:
    """One weight for each item, also of buckets that keep them in another form."""
    if bucket.alg == BucketAlg.UNIFORM:
        return bucket.item_weights[:1] * len(bucket.items)
    if bucket.alg == BucketAlg.TREE:
        return bucket.item_weights[1::2][: len(bucket.items)]
    return bucket.item_weights


def node_fields(crush: CrushMap, node: Node, pool_names: dict[int, str]) -> dict[str, Any]:
    """What every kind of tree says of an item; the caller adds `children` or an OSD's state."""
    out: dict[str, Any] = {"id": node.id}
    class_name = item_class(crush, node.id)
    if class_name is not None:
        out["device_class"] = class_name
    if node.id < 0:
        kind = bucket_type(crush, node.id)
        out |= {
            "name": item_name(crush, node.id),
            "type": crush.type_map.get(kind, ""),
            "type_id": kind,
        }
    else:
        out |= {
            "name": f"osd.{node.id}",
            "type": crush.type_map.get(0, "osd"),
            "type_id": 0,
            "crush_weight": node.weight,
            "depth": node.depth,
        }
    if node.parent < 0:
        out["pool_weights"] = _pool_weights(crush, node, pool_names)
    return out


def _pool_weights(crush: CrushMap, node: Node, pool_names: dict[int, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    bucket = crush.bucket(node.parent)
    if bucket is None or node.id not in bucket.items:
        return out
    position = bucket.items.index(node.id)
    for number, args in crush.choose_args.items():
        name = pool_names.get(number, f"{number}") if number != COMPAT_WEIGHT_SET else "(compat)"
        for arg in args:
            if arg.bucket_index == -1 - node.parent and arg.weight_set:
                out[name] = [weights[position] / SCALE for weights in arg.weight_set]
    return out


# -- whole dumps ------------------------------------------------------------------------------


def dump_crush(crush: CrushMap) -> dict[str, Any]:
    """`osd crush dump`."""
    devices = []
    for osd in range(crush.tree.max_devices):
        device: dict[str, Any] = {"id": osd, "name": crush.name_map.get(osd, f"device{osd}")}
        class_name = item_class(crush, osd)
        if class_name is not None:
            device["class"] = class_name
        devices.append(device)
    return {
        "devices": devices,
        "types": [{"type_id": n, "name": name} for n, name in sorted(crush.type_map.items())],
        "buckets": [_dump_bucket(crush, bucket) for bucket in buckets(crush)],
        "rules": dump_rules(crush),
        "tunables": dump_tunables(crush),
        "choose_args": dump_choose_args(crush),
    }


def _dump_bucket(crush: CrushMap, bucket: Bucket) -> dict[str, Any]:
    return {
        "id": bucket.id,
        "name": item_name(crush, bucket.id),
        "type_id": bucket.type,
        "type_name": crush.type_map.get(bucket.type, ""),
        "weight": bucket.weight,
        "alg": _ALGS.get(BucketAlg(bucket.alg), "unknown"),
        "hash": "rjenkins1" if bucket.hash == 0 else "unknown",
        "items": [
            {"id": item, "weight": weight, "pos": position}
            for position, (item, weight) in enumerate(
                zip(bucket.items, item_weights(bucket), strict=True)
            )
        ],
    }


def dump_rules(crush: CrushMap) -> list[dict[str, Any]]:
    """All rules."""
    return [
        dump_rule(crush, number) for number, rule in enumerate(crush.tree.rules) if rule is not None
    ]


def dump_rule(crush: CrushMap, number: int) -> dict[str, Any]:
    """One rule, which is there."""
    rule = crush.rule(number)
    assert rule is not None
    out: dict[str, Any] = {"rule_id": number}
    if number in crush.rule_name_map:
        out["rule_name"] = crush.rule_name_map[number]
    return out | {
        "ruleset": rule.ruleset,
        "type": rule.type,
        "min_size": rule.min_size,
        "max_size": rule.max_size,
        "steps": [_dump_step(crush, rule, i) for i in range(len(rule.steps))],
    }


def _dump_step(crush: CrushMap, rule: Rule, index: int) -> dict[str, Any]:
    op, arg1, arg2 = rule.steps[index]
    if op == 0:
        return {"op": "noop"}
    if op == 1:
        return {"op": "take", "item": arg1, "item_name": crush.name_map.get(arg1, "")}
    if op == 4:
        return {"op": "emit"}
    if op in _CHOOSE_STEPS:
        return {"op": _CHOOSE_STEPS[op], "num": arg1, "type": crush.type_map.get(arg2, "")}
    if op in _ONE_NUMBER_STEPS:
        return {"op": _ONE_NUMBER_STEPS[op], "num": arg1}
    return {"opcode": op, "arg1": arg1, "arg2": arg2}


def _has(crush: CrushMap, *ops: int) -> bool:
    return any(op in ops for rule in crush.tree.rules if rule for op, _, _ in rule.steps)


def dump_tunables(crush: CrushMap) -> dict[str, Any]:
    """`osd crush show-tunables`."""
    values = (
        crush.choose_local_tries,
        crush.choose_local_fallback_tries,
        crush.choose_total_tries,
        crush.chooseleaf_descend_once,
        crush.chooseleaf_vary_r,
        crush.chooseleaf_stable,
    )
    straw2 = bool(crush.allowed_bucket_algs & 1 << BucketAlg.STRAW2)
    profile = next((name for name, known in _TUNABLES.items() if known == values), "unknown")
    if profile == "firefly" and straw2:
        profile = "hammer"
    legacy = _TUNABLES["argonaut"]
    has_straw2 = any(bucket.alg == BucketAlg.STRAW2 for bucket in buckets(crush))
    return {
        "choose_local_tries": values[0],
        "choose_local_fallback_tries": values[1],
        "choose_total_tries": values[2],
        "chooseleaf_descend_once": values[3],
        "chooseleaf_vary_r": values[4],
        "chooseleaf_stable": values[5],
        "straw_calc_version": crush.straw_calc_version,
        "allowed_bucket_algs": crush.allowed_bucket_algs,
        "profile": profile,
        "optimal_tunables": int(profile == "jewel"),
        "legacy_tunables": int(profile == "argonaut"),
        "minimum_required_version": min_required_version(crush),
        "require_feature_tunables": int(values[:3] != legacy[:3]),
        "require_feature_tunables2": int(values[3] != 0),
        "has_v2_rules": int(_has(crush, 3, 7, 8, 9)),
        "require_feature_tunables3": int(values[4] != 0),
        "has_v3_rules": int(_has(crush, 12)),
        "has_v4_buckets": int(has_straw2),
        "require_feature_tunables5": int(values[5] != 0),
        "has_v5_rules": int(_has(crush, 13)),
    }


def min_required_version(crush: CrushMap) -> str:
    """The oldest release whose clients understand the map."""
    if crush.chooseleaf_stable or _has(crush, 13):
        return "jewel"
    if any(bucket.alg == BucketAlg.STRAW2 for bucket in buckets(crush)):
        return "hammer"
    if crush.chooseleaf_vary_r:
        return "firefly"
    if crush.chooseleaf_descend_once or crush.choose_total_tries != 19:
        return "bobtail"
    return "argonaut"


def dump_choose_args(crush: CrushMap) -> dict[str, Any]:
    """Alternative weights, by the number of the set."""
    return {
        f"{number}": [
            {"bucket_id": -1 - arg.bucket_index}
            | (
                {"weight_set": [[w / SCALE for w in weights] for weights in arg.weight_set]}
                if arg.weight_set
                else {}
            )
            | ({"ids": list(arg.ids)} if arg.ids else {})
            for arg in args
        ]
        for number, args in sorted(crush.choose_args.items())
    }
