"""The tree of hosts and OSDs as `osd tree` and its kin show it.

Format: ceph/ceph, src/osd/OSDMap.cc (print_tree), src/crush/CrushWrapper.cc (dump_tree) (Pacific),
checked against 16.2.15
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mdsdaemon.embedded.monitor import osd_crush
from mdsdaemon.embedded.monitor.osd_flags import OSD_DESTROYED
from mdsdaemon.embedded.monitor.osd_text import Table, number, weight
from mdsdaemon.embedded.monitor.osd_view import existing, primary_affinity
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.osd_map import OSDMap


def osd_status(osd_map: OSDMap, osd: int) -> str:
    """``up``, ``down`` or ``destroyed``."""
    if osd_map.is_up(osd):
        return "up"
    state = osd_map.client.osd_state[osd] if osd_map.exists(osd) else 0
    return "destroyed" if state & OSD_DESTROYED else "down"


def _tree(
    osd_map: OSDMap, wanted: Callable[[int], bool] | None, root: int | None
) -> tuple[list[osd_crush.Node], list[int]]:
    """The nodes in order, and the OSDs that are in no bucket."""
    crush = osd_map.client.crush

    def shown(item: int) -> bool:
        if wanted is None:
            return True
        return any(wanted(osd) for osd in osd_crush.devices_under(crush, item))

    start = osd_crush.roots(crush) if root is None else [root]
    nodes = list(osd_crush.walk(crush, start, shown))
    touched = {node.id for node in nodes}
    strays = [o for o in existing(osd_map) if o not in touched and shown(o)] if root is None else []
    return nodes, strays


def dump_tree(
    osd_map: OSDMap, wanted: Callable[[int], bool] | None = None, root: int | None = None
) -> dict[str, Any]:
    """`osd tree` with OSDs for which `wanted` is true, from a bucket on or from all roots."""
    nodes, strays = _tree(osd_map, wanted, root)
    out = {"nodes": [_tree_node(osd_map, node) for node in nodes]}
    if root is None:
        out["stray"] = [_tree_node(osd_map, osd_crush.Node(osd, 0, 0, 0.0)) for osd in strays]
    return out


def _tree_node(osd_map: OSDMap, node: osd_crush.Node) -> dict[str, Any]:
    out = osd_crush.node_fields(osd_map.client.crush, node, osd_map.client.pool_name)
    if node.id < 0:
        return out | {"children": list(node.children)}
    there = osd_map.exists(node.id)
    reweight = osd_map.client.osd_weight[node.id] / osd_crush.SCALE if there else 0
    affinity = primary_affinity(osd_map, node.id) / osd_crush.SCALE
    return out | {
        "exists": int(there),
        "status": osd_status(osd_map, node.id),
        "reweight": number(reweight),
        "primary_affinity": number(affinity),
    }


def print_tree(
    osd_map: OSDMap, wanted: Callable[[int], bool] | None = None, root: int | None = None
) -> str:
    """`osd tree` as a table."""
    nodes, strays = _tree(osd_map, wanted, root)
    crush = osd_map.client.crush
    table = Table(
        "<>ID", "<>CLASS", "<>WEIGHT", "<<TYPE NAME", "<>STATUS", "<>REWEIGHT", "<>PRI-AFF"
    )
    for node in [*nodes, *(osd_crush.Node(osd, 0, 0, 0.0) for osd in strays)]:
        cells: list[object] = [
            node.id,
            osd_crush.item_class(crush, node.id) or "",
            weight(node.weight),
            tree_name(crush, node),
        ]
        if node.id >= 0 and osd_map.exists(node.id):
            reweight = osd_map.client.osd_weight[node.id] / osd_crush.SCALE
            affinity = primary_affinity(osd_map, node.id) / osd_crush.SCALE
            cells += [osd_status(osd_map, node.id), weight(reweight), weight(affinity)]
        elif node.id >= 0:
            cells += ["DNE", 0]
        table.row(*cells)
    return str(table)


def tree_name(crush: CrushMap, node: osd_crush.Node) -> str:
    """``host a`` or ``osd.0``, four spaces further in for each level."""
    name = osd_crush.item_name(crush, node.id)
    if node.id < 0:
        name = f"{crush.type_map.get(osd_crush.bucket_type(crush, node.id), '')} {name}"
    return "    " * node.depth + (name if node.id < 0 else f"osd.{node.id}")


def crush_tree(osd_map: OSDMap, *, shadows: bool) -> tuple[dict[str, Any], str]:
    """`osd crush tree`, with or without the shadows of device classes: JSON and table."""
    crush, names = osd_map.client.crush, osd_map.client.pool_name
    nodes = list(osd_crush.walk(crush, osd_crush.roots(crush, shadows=shadows)))
    touched = {node.id for node in nodes}
    strays = [
        osd_crush.Node(osd, 0, 0, 0.0)
        for osd in range(crush.tree.max_devices)
        if osd in crush.name_map and osd not in touched
    ]
    table = Table("<>ID", "<>CLASS", "<>WEIGHT", "<<TYPE NAME")
    for node in nodes:
        class_name = osd_crush.item_class(crush, node.id) or ""
        table.row(node.id, class_name, weight(node.weight), tree_name(crush, node))

    def dumped(node: osd_crush.Node) -> dict[str, Any]:
        fields = osd_crush.node_fields(crush, node, names)
        return fields | ({"children": list(node.children)} if node.id < 0 else {})

    return {"nodes": [dumped(n) for n in nodes], "stray": [dumped(n) for n in strays]}, str(table)
