"""The object class `cephfs`: what cephfs-data-scan gathers on the first object of a file.

Behaviour: ceph/ceph, src/cls/cephfs/cls_cephfs.cc; format: cls_cephfs.h
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.embedded.store.classes.cephfs_types import AccumulateArgs, ObjCeiling
from mdsdaemon.embedded.store.classes.registry import (
    METHOD_RD,
    METHOD_WR,
    MethodError,
    get_xattr,
    method,
    read_input,
    set_xattr,
)
from mdsdaemon.encoding import S64, U64, DecodeError, decode, encode

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext


def _set_if_greater(ctx: OpContext, name: str, codec: Any, value: Any) -> None:
    """Set the attribute unless it holds a value that is as great; rubbish is overwritten."""
    try:
        raw = get_xattr(ctx, name)
    except MethodError:  # there is none, or no object
        raw = b""
    try:
        if raw and not value > decode(codec, raw):
            return
    except DecodeError:
        pass
    set_xattr(ctx, name, encode(codec, value))


@method("cephfs", "accumulate_inode_metadata", METHOD_RD | METHOD_WR)
def accumulate_inode_metadata(ctx: OpContext, data: bytes) -> bytes:
    """Keep the highest object index, the latest time and the greatest size that were seen."""
    args = read_input(AccumulateArgs, data)
    ceiling = ObjCeiling(args.obj_index, args.obj_size)
    _set_if_greater(ctx, args.obj_xattr_name, ObjCeiling, ceiling)
    _set_if_greater(ctx, args.mtime_xattr_name, S64, args.mtime)
    _set_if_greater(ctx, args.obj_size_xattr_name, U64, args.obj_size)
    return b""
