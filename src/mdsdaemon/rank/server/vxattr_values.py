"""Values of virtual extended attributes: texts to layouts, quotas and numbers, and back.

Behaviour: ceph/ceph, src/mds/Server.cc (parse_layout_vxattr, parse_quota_vxattr), and of the live
16.2.15 its parse_layout_vxattr_json
"""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING, Any

from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.layout import check_pool
from mdsdaemon.rank.server.maps import AHEAD
from mdsdaemon.rank.server.new_inode import default_layout, has_layout
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types.stats import QuotaInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.layout import FileLayout

U32_MAX = (1 << 32) - 1
S64_MAX = (1 << 63) - 1
_INT = re.compile(r"[+-]?\d+\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)\Z", re.ASCII | re.IGNORECASE)
_TRUTH = re.compile(r"(\+?0*[01]|-0+)\Z")
_PAIRS = re.compile(r"[A-Za-z_][\w.]*=[^\s=]+\Z", re.ASCII)


class NoSuchPool(Exception):
    """A layout names a pool that our map does not have."""

    def wait_for_newer_map(self, rank: RankCore, epoch: int) -> None:
        """The client may know more than we do.

        Raises:
            MustWait: until our map is as new as the client's.
        """
        if rank.objecter.epoch < epoch <= rank.objecter.epoch + AHEAD:
            gate = rank.queue.gate()

            async def wait() -> None:
                await rank.objecter.wait_for_map(epoch)
                gate.open()

            rank.spawn(wait, "OSD map for a layout")
            raise MustWait(gate)


def parse_int(text: str, least: int, most: int) -> int:
    """A whole number.

    Raises:
        FsError: EINVAL: it is none, or out of range.
    """
    if not _INT.match(text):
        raise FsError(errno.EINVAL, f"{text!r} is no number")
    value = int(text)
    if not least <= value <= most:
        raise FsError(errno.EINVAL, f"{text!r} is out of range")
    return value


def parse_unsigned(text: str) -> int:
    """A number of 32 bits; a negative one counts from the top, as boost's lexical_cast has it."""
    value = parse_int(text, -U32_MAX, U32_MAX)
    return value & U32_MAX


def parse_float(text: str) -> float:
    """A number, also one that is none (`nan`), as boost's lexical_cast has it.

    Raises:
        FsError: EINVAL.
    """
    if not _FLOAT.match(text) and not _NO_NUMBER.match(text):
        raise FsError(errno.EINVAL, f"{text!r} is no number")
    return float(text)


def parse_bool(text: str) -> bool:
    """0 or 1.

    Raises:
        FsError: EINVAL.
    """
    if _TRUTH.match(text):
        return text.endswith("1")
    raise FsError(errno.EINVAL, f"{text!r} is neither 0 nor 1")


def _pairs(value: str) -> list[tuple[str, str]]:
    """`key=value key=value`.

    Raises:
        FsError: EINVAL.
    """
    pairs: list[tuple[str, str]] = []
    for part in value.split(" "):
        if not _PAIRS.match(part):
            raise FsError(errno.EINVAL, f"{value!r} does not consist of key=value")
        key, _, content = part.partition("=")
        pairs.append((key, content))
    return pairs


# -- layouts -----------------------------------------------------------------------------------


def parse_layout(rank: RankCore, name: str, value: str, layout: FileLayout) -> FileLayout:
    """The layout with what `name` (`layout`, `layout.pool`, …) says, checked.

    Raises:
        FsError: EINVAL, ENODATA: there is no such part of a layout.
        NoSuchPool: our OSD map lacks the pool.
    """
    if name == "layout.json":
        _from_json(rank, value, layout)
    elif name == "layout":
        for key, content in sorted(dict(reversed(_pairs(value))).items()):
            _set_part(rank, f"layout.{key}", content, layout)
            check_pool(rank, layout)
    else:
        _set_part(rank, name, value, layout)
    if not layout.is_valid():
        raise FsError(errno.EINVAL, "invalid layout")
    check_pool(rank, layout)
    return layout


def _set_part(rank: RankCore, name: str, value: str, layout: FileLayout) -> None:
    part = name.removeprefix("layout.")
    if name == part:
        raise FsError(errno.ENODATA, f"no attribute {name}")
    if part in {"object_size", "stripe_unit", "stripe_count"}:
        setattr(layout, part, parse_unsigned(value))
    elif part == "pool":
        layout.pool_id = parse_unsigned(value) if _INT.match(value) else _pool(rank, value)
    elif part == "pool_id":
        layout.pool_id = parse_int(value, -S64_MAX - 1, S64_MAX)
    elif part == "pool_name":
        try:
            layout.pool_id = _pool(rank, value)
        except NoSuchPool as error:
            raise FsError(errno.EINVAL, str(error)) from error
    elif part == "pool_namespace":
        layout.pool_ns = value
    else:
        raise FsError(errno.ENODATA, f"no attribute {name}")


def _pool(rank: RankCore, name: str) -> int:
    number = rank.objecter.osd_map.lookup_pool(name)
    if number >= 0:
        return number
    raise NoSuchPool(f"there is no pool {name!r}")


def _from_json(rank: RankCore, value: str, layout: FileLayout) -> None:
    try:
        content = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise FsError(errno.EINVAL, "no JSON") from error
    if not isinstance(content, dict):
        raise FsError(errno.EINVAL, "no JSON object")
    for part in ("object_size", "stripe_unit", "stripe_count"):
        if part not in content:
            raise FsError(errno.EINVAL, f"{part} is missing")
        setattr(layout, part, parse_int(_text(content[part]), 0, U32_MAX))
    layout.pool_ns = _text(content.get("pool_namespace", ""))
    name, number = _text(content.get("pool_name", "")), _text(content.get("pool_id", "0"))
    if name:
        _set_part(rank, "layout.pool_name", name, layout)
        return
    layout.pool_id = parse_int(number, 0, S64_MAX)
    if layout.pool_id not in rank.objecter.osd_map.pools:
        raise FsError(errno.EINVAL, f"there is no pool {number}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise FsError(errno.EINVAL, "neither number nor text")
    return str(value)


def layout_json(rank: RankCore, inode: CInode, layout: FileLayout) -> str:
    """`ceph.dir.layout.json`: what holds for an inode, and where that comes from."""
    if layout == default_layout(rank):
        origin = "default"
    else:
        origin = "set" if has_layout(inode.inode) else "inherited"
    pool = rank.objecter.osd_map.client.pool_name.get(layout.pool_id, "")
    return (
        f'{{"stripe_unit": {layout.stripe_unit}, "stripe_count": {layout.stripe_count}, '
        f'"object_size": {layout.object_size}, "pool_name": "{pool}", '
        f'"pool_id": {layout.pool_id}, "pool_namespace": "{layout.pool_ns}", '
        f'"inheritance": "@{origin}"}}'
    )


# -- quotas ------------------------------------------------------------------------------------


def parse_quota(name: str, value: str, old: QuotaInfo) -> QuotaInfo:
    """The quota with what `name` (`quota`, `quota.max_bytes`, `quota.max_files`) says.

    Raises:
        FsError: EINVAL.
    """
    quota = QuotaInfo(old.max_bytes, old.max_files)
    if name == "quota":
        if not value:
            return quota
        pairs = sorted(dict(reversed(_pairs(value))).items())
    else:
        pairs = [(name.removeprefix("quota."), value)]
    for part, content in pairs:
        if part not in {"max_bytes", "max_files"} or part == name:
            raise FsError(errno.EINVAL, f"no attribute {name}")
        setattr(quota, part, parse_int(content, 0, S64_MAX))
    return quota
