"""The CRUSH map of one host with its one device, and changes of its rules.

As in any cluster since Luminous, each device class has a shadow of the tree with the devices of
that class alone (``default~hdd``), which rules for a class begin at.

Behaviour: ceph/ceph, src/osd/OSDMap.cc (build_simple_crush_map), src/crush/CrushWrapper.cc
(add_simple_rule_at, device_class_clone) (Pacific)
"""

from __future__ import annotations

import copy
import errno
from typing import Final

from mdsdaemon.maps.crush_map import Bucket, BucketAlg, CrushMap, Rule
from mdsdaemon.messages.cmdparse import CommandError
from mdsdaemon.types.pool import PoolType

TYPES: Final = (
    "osd", "host", "chassis", "rack", "row", "pdu", "pod", "room", "datacenter", "zone", "region",
    "root",
)  # fmt: skip
HOST: Final = TYPES.index("host")
ROOT: Final = TYPES.index("root")

DEFAULT_ROOT: Final = "default"
DEFAULT_RULE: Final = "replicated_rule"
RULE_SIZES: Final = (1, 10)
"""Pool sizes that rules for replicated pools are made for."""

STEP_TAKE: Final = 1
STEP_CHOOSE_FIRSTN: Final = 2
STEP_EMIT: Final = 4
STEP_CHOOSELEAF_FIRSTN: Final = 6

_MAX_RULES: Final = 1 << 8
_ALLOWED_ALGS: Final = (
    1 << BucketAlg.UNIFORM | 1 << BucketAlg.LIST | 1 << BucketAlg.STRAW | 1 << BucketAlg.STRAW2
)


def device_weight(capacity: int) -> int:
    """The CRUSH weight of a device of `capacity` bytes: TiB, in units of 1/65536."""
    return int(max(round(capacity / (1 << 40), 4), 0.00001) * 0x10000)


def empty_map(failure_domain: int) -> CrushMap:
    """The map of a new cluster: a root without devices, jewel's tunables, and the default rule.

    `failure_domain` is the number of the type that the default rule spreads over (0: devices).
    """
    crush = CrushMap(
        type_map=dict(enumerate(TYPES)),
        choose_local_tries=0,
        choose_local_fallback_tries=0,
        choose_total_tries=50,
        chooseleaf_descend_once=1,
        chooseleaf_vary_r=1,
        straw_calc_version=1,
        allowed_bucket_algs=_ALLOWED_ALGS,
        chooseleaf_stable=1,
    )
    _add_bucket(crush, ROOT, DEFAULT_ROOT, [], [])
    domain = crush.type_map.get(failure_domain, TYPES[HOST])
    add_replicated_rule(crush, DEFAULT_RULE, DEFAULT_ROOT, domain)
    return crush


def add_device(crush: CrushMap, osd: int, host: str, weight: int, device_class: str) -> None:
    """Put ``osd.N`` under `host`, under the root; the shadows of its class are made."""
    number = next((n for n, name in crush.class_name.items() if name == device_class), None)
    if number is None:
        number = max(crush.class_name, default=-1) + 1
        crush.class_name[number] = device_class
    crush.name_map[osd] = f"osd.{osd}"
    crush.class_map[osd] = number
    root = -1
    # the root's shadow has the id before the host's, as where a class comes before the first host
    shadow_root = _add_bucket(crush, ROOT, f"{DEFAULT_ROOT}~{device_class}", [], [])
    host_id = _add_bucket(crush, HOST, host, [osd], [weight])
    shadow_host = _add_bucket(crush, HOST, f"{host}~{device_class}", [osd], [weight])
    for parent, child in ((root, host_id), (shadow_root, shadow_host)):
        bucket = crush.bucket(parent)
        assert bucket is not None
        bucket.items.append(child)
        bucket.item_weights.append(weight)
        bucket.weight += weight
    for original, shadow in ((root, shadow_root), (host_id, shadow_host)):
        crush.class_bucket.setdefault(original, {})[number] = shadow
        crush.class_map[shadow] = number
    crush.finalize()


def _add_bucket(crush: CrushMap, kind: int, name: str, items: list[int], weights: list[int]) -> int:
    number = -1 - len(crush.tree.buckets)
    bucket = Bucket(number, kind, BucketAlg.STRAW2, 0, sum(weights), list(items), list(weights))
    crush.tree.buckets.append(bucket)
    crush.name_map[number] = name
    return number


def copied(crush: CrushMap) -> CrushMap:
    """A map of its own, to be changed."""
    return copy.deepcopy(crush)


def rule_id(crush: CrushMap, name: str) -> int | None:
    """The number of the rule of that name."""
    return next((n for n, known in crush.rule_name_map.items() if known == name), None)


def item_id(crush: CrushMap, name: str) -> int | None:
    """The number of the device or bucket of that name."""
    return next((n for n, known in crush.name_map.items() if known == name), None)


def class_id(crush: CrushMap, name: str) -> int | None:
    """The number of a device class."""
    return next((n for n, known in crush.class_name.items() if known == name), None)


def add_replicated_rule(
    crush: CrushMap, name: str, root: str, failure_domain: str, device_class: str = ""
) -> int:
    """Add a rule that chooses replicas under `root`, each in another `failure_domain`.

    Raises CommandError: ENOENT (root), EINVAL (type or class), ENOSPC (too many rules).
    """
    number = next(
        (i for i, rule in enumerate(crush.tree.rules) if rule is None), len(crush.tree.rules)
    )
    if number >= _MAX_RULES:
        raise CommandError(errno.ENOSPC, f"there are {_MAX_RULES} rules already")
    take = item_id(crush, root)
    if take is None:
        raise CommandError(errno.ENOENT, f"root item {root} does not exist")
    kind = 0
    if failure_domain:
        found = next((n for n, known in crush.type_map.items() if known == failure_domain), None)
        if found is None:
            raise CommandError(errno.EINVAL, f"unknown type {failure_domain}")
        kind = found
    if device_class:
        number_of_class = class_id(crush, device_class)
        if number_of_class is None:
            raise CommandError(errno.EINVAL, f"device class {device_class} does not exist")
        shadow = crush.class_bucket.get(take, {}).get(number_of_class)
        if shadow is None:
            raise CommandError(
                errno.EINVAL, f"root {root} has no devices with class {device_class}"
            )
        take = shadow
    choose = STEP_CHOOSELEAF_FIRSTN if kind else STEP_CHOOSE_FIRSTN
    steps = [(STEP_TAKE, take, 0), (choose, 0, kind), (STEP_EMIT, 0, 0)]
    rule = Rule(number, PoolType.REPLICATED, *RULE_SIZES, steps)
    if number == len(crush.tree.rules):
        crush.tree.rules.append(rule)
    else:
        crush.tree.rules[number] = rule
    crush.rule_name_map[number] = name
    return number


def remove_rule(crush: CrushMap, number: int) -> None:
    """Take a rule away; its number is free again."""
    crush.tree.rules[number] = None
    crush.rule_name_map.pop(number, None)


def rename_rule(crush: CrushMap, source: str, target: str) -> None:
    """Raises CommandError: ENOENT (no such rule), EEXIST (the name is taken)."""
    number = rule_id(crush, source)
    if number is None:
        raise CommandError(errno.ENOENT, f"source rule name '{source}' does not exist")
    if rule_id(crush, target) is not None:
        raise CommandError(errno.EEXIST, f"destination rule name '{target}' already exists")
    crush.rule_name_map[number] = target


def check_rule(crush: CrushMap, number: int, kind: int, size: int) -> None:
    """Raises CommandError (EINVAL): no such rule, or not for pools of that type and size."""
    rule = crush.rule(number)
    if rule is None:
        raise CommandError(errno.EINVAL, f"crush rule {number} does not exist")
    if rule.type != kind:
        raise CommandError(errno.EINVAL, "pool type does not match the crush rule's type")
    if size < rule.min_size:
        raise CommandError(errno.EINVAL, "pool size is smaller than the crush rule min size")
    if size > rule.max_size:
        raise CommandError(errno.EINVAL, "pool size is bigger than the crush rule max size")
